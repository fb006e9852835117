//! What a closure may say, and what becomes of its update.

use std::sync::Arc;

use crate::error::Never;

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
///
/// A `bool` is taken as well, so that a closure may end in [`append_once`](crate::append_once) or
/// [`set_condition`](crate::set_condition); it has no effect, because the writer sees for itself what changed:
///
/// ```no_run
/// # use atomic_status::{append_once, set_once, AlreadySet, Dynamic, Error, StatusWriter};
/// # use kube::CustomResource;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(CustomResource, Serialize, Deserialize, Clone, Debug)]
/// # #[kube(group = "example.org", version = "v1", kind = "Delivery", namespaced, status = "DeliveryStatus", schema = "disabled")]
/// # struct DeliverySpec {}
/// # #[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
/// # #[serde(default)]
/// # struct DeliveryStatus { log: Vec<String>, started: Option<String> }
/// # async fn doc(writer: StatusWriter<Delivery>, delivery: Delivery) -> Result<(), Error<AlreadySet>> {
/// writer.update(&delivery, |status| append_once(&mut status.log, "sent".to_owned(), String::clone)).await?;
/// writer.update(&delivery, |status| set_once(&mut status.started, "10:00".to_owned())).await?;
/// # Ok(())
/// # }
/// ```
///
/// # What a closure captures
/// The closure is kept until its update is answered, may run again, and may outlive a caller that stops waiting. So it
/// is `'static` and owns what it captures: it cannot borrow from its caller, and gives away no captured value but a
/// copy of it.
///
/// ```no_run
/// # use atomic_status::{Dynamic, Error, StatusWriter};
/// # async fn doc(writer: StatusWriter<Dynamic>, delivery: Dynamic, target: &str) -> Result<(), Error> {
/// let (target, message) = (target.to_owned(), format!("for {target}"));
/// writer
///     .update(&delivery, move |status| {
///         status["target"] = target.clone().into();
///         status["message"] = message.clone().into();
///     })
///     .await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors of several types
/// Under one `?` they become what both convert to: the error type of the function, if it is [`Error`](crate::Error) of
/// the one error that a closure may return, else `anyhow::Error` or a boxed error.
///
/// ```no_run
/// # use atomic_status::{Dynamic, Error, StatusWriter};
/// # async fn doc(writer: StatusWriter<Dynamic>, delivery: Dynamic) {
/// #[derive(Debug, thiserror::Error)]
/// #[error("it is delivered already")]
/// struct Delivered;
///
/// async fn one(writer: &StatusWriter<Dynamic>, delivery: &Dynamic) -> Result<(), Error<Delivered>> {
///     writer.update(delivery, |status| status["phase"] = "Sending".into()).await?;
///     writer.update(delivery, |status| if status["phase"] == "Sent" { Err(Delivered) } else { Ok(()) }).await?;
///     Ok(())
/// }
///
/// async fn several(writer: &StatusWriter<Dynamic>, delivery: &Dynamic) -> anyhow::Result<()> {
///     one(writer, delivery).await?;
///     writer
///         .update(delivery, |status| {
///             let tries: i64 = serde_json::from_value(status["tries"].clone())?;
///             anyhow::ensure!(tries < 5, "tried {tries} times");
///             status["tries"] = (tries + 1).into();
///             Ok(())
///         })
///         .await?;
///     Ok(())
/// }
/// # }
/// ```
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
    type Error = Never;

    fn into_result(self) -> Result<(), Never> {
        Ok(())
    }
}

impl ClosureOutput for bool {
    type Error = Never;

    fn into_result(self) -> Result<(), Never> {
        Ok(())
    }
}

impl<E: Send + 'static> ClosureOutput for Result<(), E> {
    type Error = E;

    fn into_result(self) -> Self {
        self
    }
}

impl<E: Send + 'static> ClosureOutput for Result<bool, E> {
    type Error = E;

    fn into_result(self) -> Result<(), E> {
        self.map(drop)
    }
}
