//! Policies from the cluster: `StatusPolicy` objects, compiled beside what the API server serves of their targets.
//!
//! - All objects are listed before any policy changes; after that each change replaces the policies in force as a whole.
//! - A version that does not compile replaces nothing: the last one that did stays in force. A deleted policy goes at once.
//! - A CRD that appears, changes or goes has its policy compiled again. Only names and versions of CRDs are kept in memory;
//!   a CRD is read when its policy is compiled.
//! - Conditions are a function of the object, its target and the webhook configuration, so that all replicas want the same.
//!   A status that says it already is not written. Every write names the version that it was made from.
//! - While the API server is away, everything stays as it is.
//!
//! ```text
//! StatusPolicy objects ──watch──▶ PolicyWatch ──▶ PolicyStore (with the policies of the folder)
//! CRDs, discovery ──watch, get──▶      │ │                │
//! webhook configuration, calls ──▶     │ └──▶ served ◀────┘ ──▶ entries of the webhook configuration
//!                                      └──▶ conditions of the objects
//! ```

mod compiled;
mod conditions;
mod index;
mod metrics;
mod problems;
mod record;
mod requests;
mod settings;
mod status_write;
mod target;
mod watch;

pub(crate) use conditions::switched_off;
pub use metrics::PolicyWatchMetrics;
pub use settings::PolicyWatchSettings;
pub use watch::{EnforcementInputs, PolicyWatch, ServedPolicy};
