//! One optimistic status write per transition: nothing lost, nothing applied twice.
//!
//! A controller that reads an object from its cache, decides, and writes the status back loses
//! updates: the cache is stale, another writer was faster, the answer to the write got lost. A
//! [`StatusWriter`] takes a closure instead of a status. It runs the closure on the freshest status
//! known and puts the result on exactly that version; only if that version is not current any more
//! does it read the object and run the closure again.
//!
//! ```no_run
//! use std::sync::Arc;
//! use atomic_status::{StatusWriter, increment};
//! use kube::runtime::controller::Action;
//! # use kube::CustomResource;
//! # use serde::{Deserialize, Serialize};
//! # #[derive(CustomResource, Serialize, Deserialize, Clone, Debug)]
//! # #[kube(group = "example.org", version = "v1", kind = "Delivery", namespaced, status = "DeliveryStatus", schema = "disabled")]
//! # struct DeliverySpec {}
//! # #[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
//! # #[serde(rename_all = "camelCase", default)]
//! # struct DeliveryStatus { phase: String, attempts: i64 }
//!
//! struct Context {
//!     writer: StatusWriter<Delivery>,
//! }
//!
//! async fn reconcile(cached: Arc<Delivery>, context: Arc<Context>) -> Result<Action, atomic_status::Error> {
//!     // Never act on something older than the own last write.
//!     let delivery = context.writer.latest(&cached);
//!
//!     // Side effects happen here, once, and never in the closure.
//!
//!     let outcome = context.writer.update(&delivery, |status| {
//!         status.phase = "Sent".into();
//!         increment(&mut status.attempts);
//!     }).await?;
//!     assert_eq!(outcome.object().status.as_ref().map(|s| s.phase.as_str()), Some("Sent"));
//!     Ok(Action::await_change())
//! }
//!
//! # async fn doc() -> Result<(), Box<dyn std::error::Error>> {
//! let client = kube::Client::try_default().await?;
//! let writer = StatusWriter::<Delivery>::builder(client, "delivery-controller")
//!     .phase(|status| status.phase.clone())
//!     .build()?;
//! # Ok(())
//! # }
//! ```
//!
//! A closure may decline. Its error comes back as [`Error::Closure`], and nothing is written:
//!
//! ```no_run
//! # use atomic_status::{Dynamic, Error, UpdateOutcome, StatusWriter};
//! # async fn doc(writer: StatusWriter<Dynamic>, object: Dynamic) {
//! #[derive(Debug, PartialEq)]
//! struct Finished;
//!
//! let outcome = writer.update(&object, |status| {
//!     if status["phase"] == "Done" {
//!         return Err(Finished);
//!     }
//!     status["phase"] = "Running".into();
//!     Ok(())
//! }).await;
//! match outcome {
//!     Ok(UpdateOutcome::Written { object, .. }) => { /* emit events: it is committed */ }
//!     Ok(UpdateOutcome::Unchanged { .. }) => {}
//!     Err(Error::Closure(Finished)) => {}
//!     Err(Error::Refused { causes, .. }) => { /* this status is not legal on the current version */ }
//!     Err(Error::Deleted | Error::Replaced) => { /* somebody else's object now */ }
//!     Err(other) => { /* requeue with backoff */ }
//! }
//! # }
//! ```
//!
//! # Guarantees
//! 1. **Nothing lost.** The status is put with the `resourceVersion` and `uid` of the version that
//!    the closure ran on. A write never replaces a version the closure has not seen.
//! 2. **Nothing twice.** An update that is answered with [`UpdateOutcome::Written`] was accepted by the
//!    API server exactly once, whatever happened to requests and answers on the way; one that is
//!    answered with any error but [`Error::Unknown`] or [`Error::Deleted`] was not applied, and never
//!    will be. The variant [`Error::Unreadable`] says itself which of the two it is. That holds also
//!    when the runtime of the writer ends under it. Whether the API server has stored what it
//!    accepted is told by `stored_as_sent`: it prunes what the CRD does not declare, and a
//!    webhook may change a status.
//! 3. **Unknown fields survive**, in the status, in entries of its lists and in its maps: what is
//!    written is the raw status with the *difference* that the closure made to its typed reading. They
//!    go with what they belong to: with an entry that goes, and with an object within the status
//!    whose `type` or `kind` becomes another, such as the former variant of an enum.
//! 4. **One request per transition.** No read precedes a write of a custom resource unless the object
//!    does not know its raw status (see [`WithRawStatus`]). Nothing changed: nothing sent. Updates of one object that arrive
//!    while a write is under way share the next one, in the order of their arrival; each caller gets
//!    its own answer, and a closure that declines, panics, or makes a status that cannot be written
//!    takes nothing and nobody with it.
//! 5. **Bounded.** In time: an update is answered within its budget, plus one budget to settle a
//!    lost answer; what is under way or still to be asked then (at most a PUT, a watch and a read) may
//!    take its time-out beyond that ([`Builder::request_timeout`]; a watch takes a quarter of it). In number: at most
//!    1024 updates wait for one object, then [`Error::Busy`].
//! 6. **Own writes are read.** [`StatusWriter::latest`] and every update see at least this writer's
//!    own last write, whatever cache they are given an object of.
//!
//! # A lost answer
//! A connection is cut, an answer does not come in time, or it is a 5xx: the PUT may have landed, may
//! land later, or never. The writer finds out, by what is *proven* and never by what looks likely:
//!
//! 1. It **repeats the same PUT on the same base**. Success proves that the earlier one can never
//!    land: two PUTs on one version cannot both change something. (If the second changed nothing, the
//!    base is still current and the first may land on it: see below.) The closures are not run again.
//! 2. **409**: the object has left the base, so the earlier PUT either is the first version after it
//!    or never lands. A watch that starts at the base shows that version. The API server moves every
//!    field that a request changes to the field manager of that request, and sets the time of that
//!    manager's entry in `managedFields`. The name of this writer's manager, `name/instance`, is its
//!    own. So the version is of the manager whose entry is new, has another time or more fields than in
//!    the base. Times count in seconds: where no entry has changed, the version is ours if a
//!    changed field is ours and none belongs to others alone; it is not ours if one belongs to others
//!    alone, or if none of those that we have set is ours.
//! 3. **The history is gone** (410, after compaction, a restart of the API server or a change of the CRD), or
//!    watching is not allowed: one live read. Our entry in `managedFields`, if it is new or its time
//!    moved since the base, proves that the write landed, because we have made no other; so does a
//!    field that differs from the base, has the value we sent and is ours. With
//!    [`Builder::append_only`] the identities of the appended entries, which no other writer appends,
//!    decide in both directions: all are there, or it never landed. That one is absent counts if no
//!    entry was added at all, or if an earlier answer has shown that identities are stored as they are sent.
//! 4. Else **[`Error::Unknown`]**, never a guess.
//!
//! A field is ours if its manager is, or if it is in a list or map that is ours as a whole (an atomic one); what
//! is around it does not count. A field may also change without an owner: a default takes the place of one that was
//! given up, or is new in the CRD; a webhook adds one; another version of the API has other fields. Such a field proves
//! nothing.
//!
//! What ownership proves rests on two rules that the writer keeps: of one object it has one write
//! under way, and it never bases a write on a version older than its own last one (where it can no
//! longer tell, it reads first). A PUT given up as unknown, or one whose repetition changed nothing, may
//! still land on its base; on that very version a write counts as landed only if the next one holds exactly the
//! status that was sent, and as not landed only if the next one is somebody else's or lacks an appended
//! identity.
//!
//! An answer with 200 counts only if it shows the object that was written: kind, name, uid and a version. Anything else,
//! such as the page of a proxy, is a lost answer.
//!
//! Requests of which it is certain that they were not applied (no connection within the time-out, 429,
//! an admission webhook that could not be called) are not lost answers; they are tried again within the budget.
//!
//! # Refusals
//! A 409 of an admission webhook is not a version conflict, nor is its 500 a lost answer or its 404 a
//! missing object: a refusal is told by its causes, or by the words that the API server puts before the
//! message of a webhook. A refusal (schema, webhook, policy; with whatever code) leads to a live read. If the object has
//! moved, the closure runs again; if not, the refusal is final: [`Error::Refused`]. A write that
//! carried several updates and is refused, forbidden (other than by the authorizer, which forbids it to
//! all), malformed or too large is taken apart until the one that is to blame stands alone.
//!
//! # Assumptions
//! * **Closures are pure**: they decide from the status they are given, may run several times, and
//!   touch nothing else. External calls are made before.
//! * **One writer per process and kind**, shared by cloning. Two writers in one process are safe but
//!   do not merge their writes nor see each other's.
//! * The API server tracks `managedFields`, as kube-apiserver does for every kind, but only of objects
//!   that were created with more than a name (a spec, a label), and not after somebody cleared them.
//!   Where it does not, a lost answer whose PUT conflicts ends as [`Error::Unknown`] unless
//!   `append_only` settles it.
//! * The role allows `update` on the status, `get` on the object, and `watch` for step 2.
//! * **A cache drops no status of [`WithRawStatus`] objects.** Other parts, and the status of typed objects, it
//!   may drop to save memory: none of that is ever written back.
//! * The status type writes fields under the names by which it reads them.
//! * Etcd is not restored from a backup under a running writer.
//! * **What is declared [`Builder::append_only`] is so**: an identity is appended by one writer only. Where
//!   several processes append what has its identity from outside, leave it undeclared. If the API server
//!   changes identities (a CRD that does not declare a part of them, a webhook), it does so in all objects of the kind.
//! * `managedFields` are written by the API server alone: no client puts back entries of an earlier version.
//! * Requests are repeated by nobody else. kube's default client repeats what was answered with 429,
//!   503 or 504, which would hide a lost answer; the bodies of PUTs are made such that it cannot. A
//!   client with other retrying layers of its own must leave PUTs alone.
//!
//! # Caveats
//! * **Closures that block** run on a thread where they may, and the callers' budgets end meanwhile. One that
//!   never returns holds up its object for ever, and [`StatusWriter::close`] with it; so does one that waits for
//!   another update of the same object without a time-out of its own.
//! * **The last obstacle is told of the object**, not of one update: a budget that ends with
//!   [`RetryReason::Refused`] may name the refusal of an update that shared the write.
//! * **A typed object forgets** what its type does not know. Before the first write of an object of
//!   which the writer knows no raw status (after a start, or after a write of somebody else), it is
//!   read: two requests instead of one. A cache of [`WithRawStatus`] objects saves that. Versions the writer
//!   has written itself never need it.
//! * **Kinds of Kubernetes itself** (groups without a dot or under `k8s.io`) are read likewise: a write
//!   of their status takes parts of the metadata along, and what a cache dropped would be wiped.
//! * **Decisions without a write** ([`UpdateOutcome::Unchanged`], [`Error::Closure`]) are made on the version
//!   known, which may be a stale one, because no conflict corrects them. [`Update::fresh`] reads first.
//! * **A write that only removes** map members or keyed entries leaves no owner behind; if its answer
//!   is lost and somebody could have removed the same, the outcome is [`Error::Unknown`].
//! * **Entries of lists without identity** (a text or number in `type`, `name`, `id`, `uid`, `key`): an entry that
//!   has changed is the one that stood in its place between two that have not, if at least half of
//!   its members stayed. Else it is a new one, and the unknown fields of the old one go with that. A list
//!   of which all entries change at once, while one is dropped and one is appended, is not told
//!   from one whose entries were edited.
//! * Up to ten field managers per object are remembered by the API server, each start of a process
//!   adds one, and the oldest are folded together: that is how Kubernetes bounds them.
//! * Resource versions are compared as decimal integers ([`compare_versions`]). Of an API server with
//!   opaque ones, `latest` always believes the cache, and a write based on another version than the last
//!   one that the writer has seen begins with a read.
//! * What is kept in case a cache lags behind is bounded ([`Builder::keep`], [`Builder::keep_bytes`]): of an
//!   object that falls out, `latest` shows what the cache shows, and the next write based on that begins with a
//!   read.
//!
//! # Dynamic objects, and kinds without a status subresource
//! ```no_run
//! use atomic_status::{Dynamic, StatusWriter};
//! use kube::core::{ApiResource, GroupVersionKind};
//!
//! # fn doc(client: kube::Client) -> Result<(), Box<dyn std::error::Error>> {
//! let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("example.org", "v1", "Delivery"));
//! let writer = StatusWriter::<Dynamic>::builder_with(client, "courier", kind)
//!     .main_resource()
//!     .build()?;
//! # Ok(())
//! # }
//! ```

mod authorship;
mod backoff;
mod body;
mod builder;
mod cache;
mod compose;
mod drive;
mod error;
mod json;
mod limit;
mod merge;
mod metrics;
mod object;
mod outcome;
mod protocol;
mod queue;
mod status;
mod version;
mod wire;
mod writer;

pub use builder::{Builder, InvalidName};
pub use error::{Error, Never, RefusalCause, RetryReason};
pub use metrics::Metrics;
pub use object::{Dynamic, RawStatus, StatusResource, WithRawStatus};
pub use outcome::{ClosureOutput, UpdateOutcome};
pub use status::{AlreadySet, Counter, append_once, increment, set_condition, set_once};
pub use version::compare_versions;
pub use writer::{StatusWriter, Update};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
