//! What the edge asks of the rest of the guard: a judge, and a recorder for what it refused.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::review::Review;

/// Memory for judging a body of 64 KiB, whatever is in it. Bytes that are chosen to be expensive take up to 42 times their
/// number.
pub(crate) const LEAST_MEMORY: usize = 4 << 20;

/// What a call's path names: `/admit/{group or core}/{resource}`. The review is of this resource;
/// the edge refuses a review of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GroupResource<'a> {
    /// API group, `""` for core.
    pub group: &'a str,
    /// Plural resource name.
    pub resource: &'a str,
}

/// What a judge gets to know of a call beside its review.
#[derive(Debug, Clone, Copy)]
pub struct CallContext<'a> {
    /// What the call's path names.
    pub resource: GroupResource<'a>,
    /// The id of the API server's trace (W3C Trace Context), when the call is part of one: 32 hexadecimal digits.
    pub trace_id: Option<&'a str>,
    /// When a judgement has to end, so that its answer is not too late.
    pub deadline: Instant,
    /// Bytes of memory that the judgement may hold.
    pub memory: usize,
    /// Set when nobody waits for the answer any more.
    pub(crate) given_up: Option<&'a AtomicBool>,
}

impl<'a> CallContext<'a> {
    /// A call that somebody waits for until its deadline, with the least memory that a judgement is given.
    #[must_use]
    pub fn new(resource: GroupResource<'a>, trace_id: Option<&'a str>, deadline: Instant) -> Self {
        Self { resource, trace_id, deadline, memory: LEAST_MEMORY, given_up: None }
    }

    /// Whether nobody waits for an answer any more: its deadline has passed, or its client has gone. A judgement that
    /// takes long asks now and then, and ends with [`Unjudged::Unfinished`].
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.given_up.is_some_and(|given_up| given_up.load(Ordering::Relaxed)) || Instant::now() >= self.deadline
    }
}

/// Decides about one write.
///
/// Guarantees: a panic in any method ends that call alone, with a failure that leaves the choice to
/// `failurePolicy`.
pub trait Judge: Send + Sync + 'static {
    /// What is to be recorded about a write.
    type Record: Send + 'static;

    /// Waits until what is needed for this resource is there. The edge waits no longer than
    /// [`Limits::policy_wait`](crate::Limits::policy_wait), then calls [`Judge::judge`] all the
    /// same. The default has nothing to wait for.
    fn wait_ready(&self, _resource: GroupResource<'_>) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// Judges: computes and does not block. Statuses of more than 64 KiB, and reviews of more than 1 MiB, have a thread of
    /// their own; others are judged on their connection's task.
    fn judge(&self, call: &CallContext<'_>, review: &Review<'_>) -> ReviewAnswer<Self::Record>;
}

/// Keeps records.
pub trait Recorder<R>: Send + Sync + 'static {
    /// Done when the record is durable. The reply waits for it, no longer than
    /// [`Limits::record_wait`](crate::Limits::record_wait); past that the reply goes out and this
    /// future runs on by itself.
    fn record(&self, record: R) -> impl Future<Output = ()> + Send;
}

/// Drops what it is given: for servers that keep no records.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoRecords;

impl<R: Send + 'static> Recorder<R> for NoRecords {
    fn record(&self, _record: R) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

/// A judge's answer, and what is to be told about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReviewAnswer<R> {
    /// What becomes of the write.
    pub decision: Decision,
    /// For the client. The API server may drop the decision of this call and still hand on its
    /// warnings: only for writes that are allowed. Control characters become spaces; 4096
    /// characters in all.
    pub warnings: Vec<String>,
    /// Audit annotations, key without the webhook's name. The first value of a key wins over those
    /// of later calls for the same request: put the judged version into the key. Characters other
    /// than `[A-Za-z0-9._-]` become `_`.
    pub annotations: Vec<(String, String)>,
    /// For metrics and logs.
    pub labels: Labels,
    /// Reasons of the findings, for `statusguard_findings_total`.
    pub findings: Vec<Cow<'static, str>>,
    /// No policy is known for the resource: counted.
    pub unknown_policy: bool,
    /// To be kept before the reply goes out.
    pub record: Option<R>,
}

/// Metric labels of a judged write. Values from a bounded set only: never names of objects or
/// parts of a request's path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, prometheus_client::encoding::EncodeLabelSet)]
pub struct Labels {
    /// Name of the policy that judged.
    pub policy: Cow<'static, str>,
    /// What happened to the write.
    pub outcome: Cow<'static, str>,
    /// Class of the findings, empty without.
    pub class: Cow<'static, str>,
}

/// What becomes of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It is admitted.
    Allow,
    /// It is refused.
    Deny(Denial),
    /// It was not judged, and the call fails: `failurePolicy` decides.
    Fail(Unjudged),
    /// It was not judged, and is admitted all the same. Counted and logged like a call that fails.
    AllowUnjudged(Unjudged),
}

/// Why a write was not judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unjudged {
    /// The review is not one that can be judged. A call that fails for it is answered with HTTP 400.
    Malformed {
        /// Label of `statusguard_malformed_total`, from a bounded set.
        cause: &'static str,
        /// What the log and the API server are told.
        message: String,
    },
    /// The judgement was not finished. A call that fails for it is answered with HTTP 500.
    Unfinished {
        /// Label of `statusguard_shed_total`, from a bounded set.
        cause: &'static str,
        /// What the log and the API server are told.
        message: String,
    },
}

/// A refusal, as the client sees it. Name and uid of the object are the edge's to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// HTTP status code, 400 to 599.
    pub code: u16,
    /// Kubernetes status reason that belongs to the code (`Conflict`, `Invalid`).
    pub reason: &'static str,
    /// For a person: what was refused, why, what to do, and what it means if that does not help.
    pub message: String,
    /// Of a conflict the judged version first, then one for each finding.
    pub causes: Vec<Cause>,
}

/// One violated rule, or the judged version.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Cause {
    /// The finding (`CounterRegression`), or `JudgedVersion`.
    pub reason: Cow<'static, str>,
    /// Policy, old and new value. Stands on its own: of a 422 kubectl prints fields and messages of the causes alone.
    pub message: String,
    /// Path of the field.
    pub field: String,
}

impl<R> ReviewAnswer<R> {
    /// An answer with nothing but a decision and its labels.
    #[must_use]
    pub fn new(decision: Decision, labels: Labels) -> Self {
        Self {
            decision,
            warnings: Vec::new(),
            annotations: Vec::new(),
            labels,
            findings: Vec::new(),
            unknown_policy: false,
            record: None,
        }
    }
}
