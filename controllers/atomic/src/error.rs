//! What can become of an update, other than a write.

use std::fmt;
use std::sync::Arc;

/// Why an update ended without a write, `E` being the error of the closure.
///
/// Of all variants only [`Error::Unknown`] and [`Error::Deleted`] leave open whether the update was
/// applied; after every other one it certainly was not, with the exception that
/// [`Error::Unreadable`] names.
///
/// It is a [`std::error::Error`] for every `E` that can be shown, `anyhow::Error` included; the text of the closure's
/// error is part of its own. An [`Error`] of a closure that returns none converts to that of any other.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error<E = Never> {
    /// The closure returned an error; nothing of what it did is written.
    #[error("the update was declined: {0:#}")]
    Closure(E),
    /// The closure panicked, or the status type did on what the closure made of it; nothing of it is
    /// written.
    #[error("the update panicked: {0}")]
    Panicked(String),
    /// The object is gone, and perhaps another one has its name. If an answer was lost before that,
    /// whether the update was applied is not known, and no longer matters.
    #[error("the object is gone")]
    Deleted,
    /// The name belongs to another object now; the update was not applied.
    #[error("the object was replaced by another one of its name")]
    Replaced,
    /// Schema or admission refuses the status on the object's current version.
    #[error("the status is refused ({code} {reason}): {message}")]
    Refused {
        /// HTTP code, not always 422: admission answers with any code it likes, 409 included.
        code: u16,
        /// The reason of the answer.
        reason: String,
        /// The message of the answer.
        message: String,
        /// What is wrong, one for each cause of the answer.
        causes: Arc<[RefusalCause]>,
    },
    /// The time budget was spent before a write succeeded; nothing of this update is applied.
    #[error("the time budget is spent")]
    Budget(#[source] Option<RetryReason>),
    /// Too many updates wait for this object already.
    #[error("too many updates wait for this object")]
    Busy,
    /// The answer to the write was lost and nothing tells whether it was applied; or the writer's runtime
    /// ended while a write was on its way.
    #[error("the outcome of the write is unknown")]
    Unknown(#[source] Option<RetryReason>),
    /// The API server said something that no repetition will change (401, 403, ...).
    #[error("the API server rejected the request")]
    Api(#[source] Arc<kube::Error>),
    /// An object cannot be read as its type. With `committed` the update was applied and only the
    /// answer cannot be read.
    #[error("the object cannot be read as its type")]
    Unreadable {
        /// Whether the update was applied before this was noticed.
        committed: bool,
        /// What does not fit.
        #[source]
        source: Arc<serde_json::Error>,
    },
    /// The status cannot be written as JSON.
    #[error("the status cannot be written as JSON")]
    Unwritable(#[source] Arc<serde_json::Error>),
    /// The object given lacks what a write is based on.
    #[error("the object has no {0}")]
    Incomplete(&'static str),
    /// The writer was closed, or its runtime ended, before the update was sent.
    #[error("the writer is closed")]
    Closed,
}

impl<E> Error<E> {
    /// A bounded name for metrics and event reasons.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            Self::Closure(_) => "declined",
            Self::Panicked(_) => "panicked",
            Self::Deleted => "deleted",
            Self::Replaced => "replaced",
            Self::Refused { .. } => "refused",
            Self::Budget(_) => "budget",
            Self::Busy => "busy",
            Self::Unknown(_) => "unknown",
            Self::Api(_) => "api",
            Self::Unreadable { .. } => "unreadable",
            Self::Unwritable(_) => "unwritable",
            Self::Incomplete(_) => "incomplete",
            Self::Closed => "closed",
        }
    }
}

/// The error of a closure that returns none: there is no such value.
///
/// Not a [`std::error::Error`], by which the conversion from `Error<Never>` to every other [`Error`] differs from that
/// of a type to itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Never {}

impl fmt::Display for Never {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl Error {
    /// What became of a whole write, to be told to one of its callers.
    pub(crate) fn widen<E>(self) -> Error<E> {
        match self {
            Error::Closure(never) => match never {},
            Error::Panicked(message) => Error::Panicked(message),
            Error::Deleted => Error::Deleted,
            Error::Replaced => Error::Replaced,
            Error::Refused { code, reason, message, causes } => Error::Refused { code, reason, message, causes },
            Error::Budget(last) => Error::Budget(last),
            Error::Busy => Error::Busy,
            Error::Unknown(last) => Error::Unknown(last),
            Error::Api(source) => Error::Api(source),
            Error::Unreadable { committed, source } => Error::Unreadable { committed, source },
            Error::Unwritable(source) => Error::Unwritable(source),
            Error::Incomplete(part) => Error::Incomplete(part),
            Error::Closed => Error::Closed,
        }
    }
}

impl<E> From<Error<Never>> for Error<E>
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn from(error: Error<Never>) -> Self {
        error.widen()
    }
}

/// One cause of a refusal, as the schema or an admission webhook gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusalCause {
    /// Machine-readable reason.
    pub reason: String,
    /// The field concerned.
    pub field: String,
    /// For a person.
    pub message: String,
}

/// The last thing that stood in the way of an update that was tried again.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum RetryReason {
    /// Somebody else wrote the object first.
    #[error("another writer was faster")]
    Conflict,
    /// Schema or admission refused the status, on a version that was not the current one any more.
    #[error("the status was refused ({code} {reason}): {message}")]
    Refused {
        /// HTTP code.
        code: u16,
        /// The reason of the answer.
        reason: String,
        /// The message of the answer.
        message: String,
        /// What is wrong, one for each cause of the answer.
        causes: Arc<[RefusalCause]>,
    },
    /// The API server answered that it could not.
    #[error("the API server answered {code} {reason}: {message}")]
    Answer {
        /// HTTP code.
        code: u16,
        /// Reason of the answer, empty if there was none.
        reason: String,
        /// Message of the answer.
        message: String,
    },
    /// The connection failed.
    #[error("the connection to the API server failed")]
    Connection(#[source] Arc<kube::Error>),
    /// No answer came in time.
    #[error("the API server did not answer in time")]
    Timeout,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("it is full")]
    struct Full;

    fn plain() -> Result<(), Error> {
        Err(Error::Busy)
    }

    #[test]
    fn an_error_without_a_closures_own_becomes_any_other() {
        let one = || -> Result<(), Error<Full>> { Ok(plain()?) };
        assert!(matches!(one(), Err(Error::Busy)));
        let text = || -> Result<(), Error<String>> { Ok(plain()?) };
        assert!(matches!(text(), Err(Error::Busy)));
        let any = || -> Result<(), Error<anyhow::Error>> { Ok(plain()?) };
        assert!(matches!(any(), Err(Error::Busy)));
        let itself = || -> Result<(), Error> {
            plain()?;
            Ok(())
        };
        assert!(matches!(itself(), Err(Error::Busy)));
    }

    #[test]
    fn an_error_of_any_closure_becomes_a_dynamic_one_with_its_whole_text() {
        let declined = || -> anyhow::Result<()> { Err(Error::Closure(Full))? };
        assert_eq!(declined().unwrap_err().to_string(), "the update was declined: it is full");
        let dynamic = anyhow::Error::new(Full).context("no room");
        let declined = || -> anyhow::Result<()> { Err(Error::Closure(dynamic))? };
        assert_eq!(declined().unwrap_err().to_string(), "the update was declined: no room: it is full");
    }
}
