//! What a closure may say, and what becomes of its update.

use std::convert::Infallible;
use std::sync::Arc;

/// What became of an update.
#[derive(Debug)]
pub enum UpdateOutcome<K> {
    /// The API server accepted it, exactly once.
    #[non_exhaustive]
    Written {
        /// The object as it was written, or (only after a lost answer without history) a later version.
        object: Arc<K>,
        /// How many PUTs carried this update; 1 unless something stood in the way.
        attempts: u32,
        /// How many updates the last PUT carried, this one included.
        merged: usize,
        /// Whether the object has the very status that the PUT carried. If not, the API server pruned what
        /// the CRD does not declare, filled in a default, or stored another form of a value; a
        /// webhook changed something; or, where `object` is a later version, somebody else did. With the
        /// `resourceVersion` from before, nothing at all was stored.
        stored_as_sent: bool,
    },
    /// The closure changed nothing, so nothing was sent for it.
    Unchanged {
        /// The object the closure saw.
        object: Arc<K>,
    },
}

impl<K> UpdateOutcome<K> {
    /// The object after the update.
    #[must_use]
    pub fn object(&self) -> &Arc<K> {
        match self {
            Self::Written { object, .. } | Self::Unchanged { object } => object,
        }
    }

    /// The object after the update.
    #[must_use]
    pub fn into_object(self) -> Arc<K> {
        match self {
            Self::Written { object, .. } | Self::Unchanged { object } => object,
        }
    }

    /// Whether the update changed the status.
    #[must_use]
    pub fn is_written(&self) -> bool {
        matches!(self, Self::Written { .. })
    }
}

/// What a closure may return: nothing, or a result whose error declines the update.
pub trait ClosureOutput: Send + 'static {
    /// The error by which a closure declines.
    type Error: Send + 'static;

    /// Whether the update is to be written.
    ///
    /// # Errors
    /// The reason why it is not.
    fn into_result(self) -> Result<(), Self::Error>;
}

impl ClosureOutput for () {
    type Error = Infallible;

    fn into_result(self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl<E: Send + 'static> ClosureOutput for Result<(), E> {
    type Error = E;

    fn into_result(self) -> Self {
        self
    }
}
