//! The `StatusPolicy` language: which changes of a resource's status are legal from one write to the next.
//!
//! A policy document compiles to a [`Policy`]; [`Policy::judge`] compares an old and a
//! new object and says whether the write is legal, explained by a stale read, or never
//! legal. Everything here is pure: there is no clock, no network access, no tokio and no
//! Kubernetes client.
//!
//! ```
//! use statusguard_policy::{Object, Operation, Policy, Verdict, Value};
//!
//! let policy = Policy::compile(&serde_json::json!({
//!     "apiVersion": "statusguard.dev/v1alpha1",
//!     "kind": "StatusPolicy",
//!     "metadata": { "name": "jobs.example.org" },
//!     "spec": {
//!         "target": { "group": "example.org", "version": "v1", "resource": "jobs" },
//!         "monotone": [{ "path": ".status.attempts" }],
//!     },
//! }))
//! .expect("the policy compiles");
//! let object = |status: &'static [u8]| Object::of_parts(Some(status), None, None).expect("JSON");
//! let judgement = policy.judge(Operation::Update, &object(br#"{"attempts":3}"#), &object(br#"{"attempts":2}"#));
//! assert_eq!(judgement.verdict, Verdict::Stale);
//! assert_eq!(judgement.findings[0].field, "status.attempts");
//! # let _ = Value::Null;
//! ```

mod compile;
mod graph;
mod judge;
mod machine;
mod magnitude;
mod number;
mod path;
mod problem;
mod rules;
mod shown;
pub mod spec;
mod time;
mod value;
mod verdict;

pub use judge::{MAX_FINDINGS, Object};
pub use machine::Machine;
pub use problem::{Problem, Severity};
pub use rules::{Policy, is_core};
pub use spec::{StatusPolicy, StatusPolicySpec};
pub use value::{MAX_DEPTH, ParseError, Value};
pub use verdict::{Class, Finding, Judgement, Operation, Reason, UnknownOperation, Verdict, Waiver};
