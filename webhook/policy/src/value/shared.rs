//! Items and members that several values can have in common.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// The items of a list or the members of an object. A clone shares them.
pub struct SharedSlice<'a, T>(Arc<Parts<'a, T>>);

struct Parts<'a, T> {
    parts: Vec<T>,
    raw: &'a [u8],
    unset: bool,
}

impl<'a, T> SharedSlice<'a, T> {
    pub(super) fn new(parts: Vec<T>, raw: &'a [u8], unset: bool) -> Self {
        Self(Arc::new(Parts { parts, raw, unset }))
    }

    /// The JSON text that this was read from; empty when it was not.
    pub(crate) fn raw(&self) -> &'a [u8] {
        self.0.raw
    }

    /// Whether all of it is unset.
    pub(super) fn is_unset(&self) -> bool {
        self.0.unset
    }

    /// Whether both are one and the same.
    pub(crate) fn ptr_eq(&self, other: &SharedSlice<'_, T>) -> bool {
        Arc::as_ptr(&self.0).addr() == Arc::as_ptr(&other.0).addr()
    }
}

impl<T> Deref for SharedSlice<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0.parts
    }
}

impl<T> Clone for SharedSlice<'_, T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: PartialEq> PartialEq for SharedSlice<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        self.ptr_eq(other) || **self == **other
    }
}

impl<T: fmt::Debug> fmt::Debug for SharedSlice<'_, T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(self.iter()).finish()
    }
}
