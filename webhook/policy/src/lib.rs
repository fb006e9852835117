//! The `StatusPolicy` language: which changes of a resource's status are legal from one write to the next.
//!
//! A policy document compiles to a [`Policy`]; [`Policy::judge`] compares an old and a
//! new object and says whether the write is legal, explained by a stale read, or never
//! legal. Everything here is pure: there is no clock, no network access, no tokio and no
//! Kubernetes client.
//!
//! ```
//! use statusguard_policy::{Budget, Object, Operation, Policy, Verdict};
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
//! let object = |status: &'static [u8]| Object::of_parts(Some(status), None, None);
//! let (old, new) = (object(br#"{"attempts":3}"#), object(br#"{"attempts":2}"#));
//! let judgement = policy.judge(Operation::Update, &old, &new, &Budget::unlimited())?;
//! assert_eq!(judgement.verdict, Verdict::Stale);
//! assert_eq!(judgement.findings[0].field, "status.attempts");
//! # Ok::<(), statusguard_policy::Unfinished>(())
//! ```

mod budget;
mod compile;
mod graph;
mod judge;
mod machine;
mod magnitude;
mod message;
mod near;
mod number;
mod path;
mod problem;
mod relation;
mod rules;
mod shown;
pub mod spec;
mod sum;
mod time;
mod value;
mod verdict;

pub use budget::{Budget, Unfinished};
pub use judge::{MAX_FINDINGS, Object};
pub use machine::Machine;
pub use near::nearest;
pub use problem::{Problem, Severity};
pub use rules::{Policy, is_core};
pub use spec::{StatusPolicy, StatusPolicySpec};
pub use value::{MAX_DEPTH, ParseError, Text, Value};
pub use verdict::{Class, Finding, Judgement, Operation, Reason, UnknownOperation, Verdict, Waiver};
