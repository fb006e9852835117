//! Why a body is not an AdmissionReview that can be judged.

/// A body that is not an AdmissionReview, with the review's uid if it stands before the problem.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct MalformedReview {
    /// The uid, when it could be read.
    pub uid: Option<String>,
    /// What is wrong.
    pub reason: MalformedReason,
}

/// What is wrong with a body. Never holds content of the objects under review.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MalformedReason {
    /// Another token was needed here.
    #[error("the body is not a JSON object as expected: byte {at} should begin {expected}")]
    Unexpected {
        /// Offset in bytes.
        at: usize,
        /// What should stand there.
        expected: &'static str,
    },
    /// The body ends within a value.
    #[error("the body ends before its JSON does")]
    Truncated,
    /// There is more after the review.
    #[error("the body goes on after the review, at byte {at}")]
    Trailing {
        /// Offset in bytes.
        at: usize,
    },
    /// A key with an escape that JSON does not know.
    #[error("the body has a key with an escape that JSON does not know")]
    Key,
    /// A field that must be there is not.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A field has another type.
    #[error("{field} is not {expected}")]
    WrongType {
        /// Path from the root.
        field: &'static str,
        /// The type it must have.
        expected: &'static str,
    },
    /// A field that decides stands there twice.
    #[error("{0} is given twice")]
    Duplicate(&'static str),
    /// A string that is not a JSON string, or not UTF-8.
    #[error("{field} is not a valid string")]
    Text {
        /// Path from the root.
        field: &'static str,
    },
    /// A uid longer than any that an API server sends.
    #[error("{field} has more than {limit} bytes")]
    TooLong {
        /// Path from the root.
        field: &'static str,
        /// Bytes that it may have.
        limit: usize,
    },
    /// Not `AdmissionReview` of `admission.k8s.io/v1`.
    #[error(
        "the body is not an AdmissionReview of admission.k8s.io/v1; \
         set admissionReviewVersions to [v1]"
    )]
    Version,
    /// An operation that admission does not know.
    #[error("request.operation is not CREATE, UPDATE, DELETE or CONNECT")]
    UnknownOperation,
}

impl MalformedReview {
    /// A short name for metric labels.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self.reason {
            MalformedReason::Unexpected { .. }
            | MalformedReason::Truncated
            | MalformedReason::Trailing { .. }
            | MalformedReason::Key
            | MalformedReason::Text { .. } => "syntax",
            MalformedReason::Missing(_) => "missing",
            MalformedReason::WrongType { .. } | MalformedReason::UnknownOperation => "type",
            MalformedReason::TooLong { .. } => "length",
            MalformedReason::Duplicate(_) => "duplicate",
            MalformedReason::Version => "version",
        }
    }
}
