//! Keeps the guard's entries in a `ValidatingWebhookConfiguration`, and nothing else.
//!
//! - The object is never created: deleting it is how the guard is switched off, and nothing brings it back.
//! - Every write is a compare-and-swap (PUT with `uid` and `resourceVersion`), and only where something of ours is to
//!   change. The rest of the object goes through as raw JSON, fields of newer versions of Kubernetes included.
//! - Ours are: entries whose name ends in `.statusguard.dev`, in them every field that [`entry`] sets, of their selectors
//!   the terms that it sets, and two annotations, which record those terms and until when authorities stay. All else belongs to others and stays.
//! - Several replicas write the same, so that the first of them ends it. What another replica has written is left alone
//!   for a while: it may know something newer.
//!
//! ```text
//! policies, bundle ──▶ Planner ──▶ repaired(current, desired) ──▶ PUT ──▶ API server
//!                        ▲  trials, pace, author                               │
//!                        └──────────────────── GET ◀── watch ──────────────────┘
//! ```

mod author;
mod authorities;
mod entry;
mod event;
mod inputs;
mod keeper;
mod metrics;
mod object;
mod pace;
mod plan;
mod published;
mod repair;
mod selector;
mod settings;
mod trial;
mod verb;

pub(crate) use entry::SUFFIX;
pub use entry::{Backend, EntryError, PolicyEntry, TargetScope, entry};
pub(crate) use inputs::check as check_bundle;
pub use keeper::ConfigurationKeeper;
pub use metrics::ConfigurationMetrics;
pub use published::Published;
pub use repair::{EntryChange, Repair, repaired};
pub use settings::{ConfigurationSettings, KeeperTiming};
