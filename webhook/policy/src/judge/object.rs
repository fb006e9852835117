//! The parts of an object that a verdict depends on.

use crate::value::{ParseError, Value};

/// The parts of an object that a verdict depends on.
#[derive(Clone, Debug, Default)]
pub struct Object<'a> {
    /// `.status`, [`Value::Null`] when absent.
    pub status: Value<'a>,
    /// `.metadata.generation`.
    pub generation: Value<'a>,
    /// Whether `.metadata.deletionTimestamp` is set.
    pub deleting: bool,
}

impl<'a> Object<'a> {
    /// From the JSON text of the three fields.
    ///
    /// # Errors
    /// When one of them is not JSON.
    pub fn of_parts(
        status: Option<&'a [u8]>,
        generation: Option<&'a [u8]>,
        deletion: Option<&'a [u8]>,
    ) -> Result<Self, ParseError> {
        let parse = |part: Option<&'a [u8]>| part.map_or(Ok(Value::Null), Value::parse);
        Ok(Self { status: parse(status)?, generation: parse(generation)?, deleting: !parse(deletion)?.is_unset() })
    }

    /// Like [`Object::of_parts`], for the other object of the same write: what the two have in common
    /// is parsed once.
    ///
    /// # Errors
    /// When one of the fields is not JSON.
    pub fn of_parts_like(
        like: &Self,
        status: Option<&'a [u8]>,
        generation: Option<&'a [u8]>,
        deletion: Option<&'a [u8]>,
    ) -> Result<Self, ParseError> {
        let status = status.map_or(Ok(Value::Null), |status| Value::parse_like(status, &like.status))?;
        Ok(Self { status, ..Self::of_parts(None, generation, deletion)? })
    }

    /// From a whole object.
    #[must_use]
    pub fn of(object: &Value<'a>) -> Self {
        let metadata = object.get("metadata");
        Self {
            status: object.get("status").clone(),
            generation: metadata.get("generation").clone(),
            deleting: !metadata.get("deletionTimestamp").is_unset(),
        }
    }
}
