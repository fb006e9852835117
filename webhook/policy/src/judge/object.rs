//! The parts of an object that a verdict depends on.

use crate::budget::{Budget, Unfinished};
use crate::value::{ParseError, Value};

/// The parts of an object that a verdict depends on.
#[derive(Clone, Debug, Default)]
pub struct Object<'a> {
    /// `.status`, [`Value::Null`] when absent or unreadable.
    pub status: Value<'a>,
    /// Why `.status` could not be read, e.g. because it is nested too deep.
    pub unreadable: Option<ParseError>,
    /// `.metadata.generation`, [`Value::Null`] when absent or unreadable.
    pub generation: Value<'a>,
    /// Whether `.metadata.deletionTimestamp` is set.
    pub deleting: bool,
}

impl<'a> Object<'a> {
    /// From the JSON text of the three fields.
    #[must_use]
    pub fn of_parts(status: Option<&'a [u8]>, generation: Option<&'a [u8]>, deletion: Option<&'a [u8]>) -> Self {
        Self::of_parts_like(&Self::default(), status, generation, deletion)
    }

    /// Like [`Object::of_parts`], for the other object of the same write: what the two have in common
    /// is parsed once.
    #[must_use]
    pub fn of_parts_like(
        like: &Self,
        status: Option<&'a [u8]>,
        generation: Option<&'a [u8]>,
        deletion: Option<&'a [u8]>,
    ) -> Self {
        let unlimited = Budget::unlimited();
        Self::of_parts_within(&unlimited, like, status, generation, deletion).unwrap_or_default()
    }

    /// Like [`Object::of_parts_like`], in the memory of a budget; the object counts as held by it from then on.
    ///
    /// # Errors
    /// When the memory does not suffice.
    pub fn of_parts_within(
        budget: &Budget<'_>,
        like: &Self,
        status: Option<&'a [u8]>,
        generation: Option<&'a [u8]>,
        deletion: Option<&'a [u8]>,
    ) -> Result<Self, Unfinished> {
        let parse = |part: Option<&'a [u8]>| -> Result<Value<'a>, Unfinished> {
            let parsed = part.map(|part| Value::parse_within(part, &Value::Null, budget)).transpose()?;
            Ok(parsed.and_then(Result::ok).unwrap_or_default())
        };
        let (status, unreadable) =
            match status.map(|status| Value::parse_within(status, &like.status, budget)).transpose()? {
                None => (Value::Null, None),
                Some(Ok(status)) => (status, None),
                Some(Err(error)) => (Value::Null, Some(error)),
            };
        Ok(Self { status, unreadable, generation: parse(generation)?, deleting: !parse(deletion)?.is_unset() })
    }

    /// From a whole object.
    #[must_use]
    pub fn of(object: &Value<'a>) -> Self {
        let metadata = object.get("metadata");
        Self {
            status: object.get("status").clone(),
            unreadable: None,
            generation: metadata.get("generation").clone(),
            deleting: !metadata.get("deletionTimestamp").is_unset(),
        }
    }
}
