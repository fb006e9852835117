//! Items and members that several values can have in common.

use std::fmt;
use std::ops::Deref;

use triomphe::ThinArc;

/// The items of a list or the members of an object, in one allocation with the text they were read from. A clone shares
/// them; nothing is allocated for an empty one.
pub struct SharedSlice<'a, T> {
    parts: Option<ThinArc<&'a [u8], T>>,
    unset: bool,
}

impl<'a, T> SharedSlice<'a, T> {
    pub(super) fn new(parts: impl ExactSizeIterator<Item = T>, raw: &'a [u8], unset: bool) -> Self {
        let parts = (parts.len() > 0).then(|| ThinArc::from_header_and_iter(raw, parts));
        Self { parts, unset }
    }

    /// Bytes of memory for so many parts: they follow four words, and an allocation has about one of its own.
    pub(super) fn size_of(parts: usize) -> usize {
        if parts == 0 { 0 } else { 5 * size_of::<usize>() + parts * size_of::<T>() }
    }

    /// The JSON text that this was read from; empty when it was not.
    pub(crate) fn raw(&self) -> &'a [u8] {
        self.parts.as_ref().map_or(&[], |parts| parts.header.header)
    }

    /// Whether all of it is unset.
    pub(super) fn is_unset(&self) -> bool {
        self.unset
    }

    /// Whether both are one and the same.
    pub(crate) fn ptr_eq(&self, other: &SharedSlice<'_, T>) -> bool {
        match (&self.parts, &other.parts) {
            (Some(a), Some(b)) => a.as_ptr().addr() == b.as_ptr().addr(),
            _ => false,
        }
    }
}

impl<T> Deref for SharedSlice<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.parts.as_ref().map_or(&[], |parts| &parts.slice)
    }
}

impl<T> Clone for SharedSlice<'_, T> {
    fn clone(&self) -> Self {
        Self { parts: self.parts.clone(), unset: self.unset }
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
