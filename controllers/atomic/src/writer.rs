//! The writer and its one call.

use std::convert::Infallible;
use std::future::IntoFuture;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::authorship::AppendOnly;
use crate::builder::Builder;
use crate::compose::Composer;
use crate::drive::Driver;
use crate::error::Error;
use crate::kept::{Kept, Place};
use crate::line::{Call, Lines, Offered, Queued, Reply, Target, Ticket};
use crate::object::{Raw, Subject};
use crate::version::is_newer;
use crate::wire::Line;

/// Whether a phase differs between two statuses.
pub(crate) type PhaseChange<S> = Box<dyn Fn(&S, &S) -> bool + Send + Sync>;

/// Writes the status of objects of one kind. Cheap to clone; clones are one writer.
///
/// See the [crate's documentation](crate) for what it guarantees.
pub struct StatusWriter<K: Subject>(pub(crate) Arc<Shared<K>>);

impl<K: Subject> Clone for StatusWriter<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Subject> std::fmt::Debug for StatusWriter<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StatusWriter").field("manager", &self.0.line.manager).finish_non_exhaustive()
    }
}

/// What all parts of a writer share.
pub(crate) struct Shared<K: Subject> {
    pub(crate) name: String,
    pub(crate) kind: K::DynamicType,
    pub(crate) line: Line,
    pub(crate) composer: Composer<K>,
    pub(crate) append_only: Vec<AppendOnly>,
    /// Whether an object that a caller offers may be the base of a write.
    pub(crate) trusts_offers: bool,
    pub(crate) budget: Duration,
    pub(crate) kept: Kept<K>,
    pub(crate) lines: Lines<K>,
    pub(crate) tasks: TaskTracker,
}

/// What became of an update.
#[derive(Debug)]
pub enum Outcome<K> {
    /// It is written, exactly once.
    Written {
        /// The object as it was written, or (only after a lost answer without history) a later version.
        object: Arc<K>,
        /// How many PUTs carried this update; 1 unless something stood in the way.
        attempts: u32,
        /// How many updates the last PUT carried, this one included.
        merged: usize,
    },
    /// The closure changed nothing, so nothing was sent for it.
    Unchanged {
        /// The object the closure saw.
        object: Arc<K>,
    },
}

impl<K> Outcome<K> {
    /// The object after the update.
    #[must_use]
    pub fn object(&self) -> &Arc<K> {
        match self {
            Self::Written { object, .. } | Self::Unchanged { object } => object,
        }
    }

    /// The object after the update.
    #[must_use]
    pub fn into_object(self) -> Arc<K> {
        match self {
            Self::Written { object, .. } | Self::Unchanged { object } => object,
        }
    }

    /// Whether the update changed the status.
    #[must_use]
    pub fn is_written(&self) -> bool {
        matches!(self, Self::Written { .. })
    }
}

/// What a closure may return: nothing, or a result whose error declines the update.
pub trait Decision: Send + 'static {
    /// The error by which a closure declines.
    type Error: Send + 'static;

    /// Whether the update is to be written.
    ///
    /// # Errors
    /// The reason why it is not.
    fn into_result(self) -> Result<(), Self::Error>;
}

impl Decision for () {
    type Error = Infallible;

    fn into_result(self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl<E: Send + 'static> Decision for Result<(), E> {
    type Error = E;

    fn into_result(self) -> Self {
        self
    }
}

impl<K: Subject<DynamicType = ()>> StatusWriter<K> {
    /// A writer for a kind known at compile time; `name` says who writes (a controller's name).
    pub fn builder(client: Client, name: impl Into<String>) -> Builder<K> {
        Self::builder_with(client, name, ())
    }
}

impl<K: Subject> StatusWriter<K> {
    /// A writer for a kind known at run time.
    pub fn builder_with(client: Client, name: impl Into<String>, kind: K::DynamicType) -> Builder<K> {
        Builder::new(client, name.into(), kind)
    }

    /// Updates the status of `object`: runs `closure` on the freshest status known and writes what
    /// it changed.
    ///
    /// The closure returns nothing, or a `Result<(), E>` whose error declines the update. It may run
    /// several times, on different statuses, and must have no side effects.
    ///
    /// Nothing happens before the returned value is awaited. Dropped while awaited, the update is
    /// either applied whole or not at all, and updates of others that share its write are not
    /// touched.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn update<F, R>(&self, object: &K, closure: F) -> Update<K, F>
    where
        F: FnMut(&mut K::Status) -> R + Send + 'static,
        R: Decision,
    {
        Update { writer: self.clone(), ticket: self.offer(object), fresh: false, closure }
    }

    /// The newer of `cached` and what this writer has written or read last, or was shown here since, by
    /// whatever cache.
    ///
    /// A reconciler that begins with it never acts on something older than its own last write, and
    /// needs no read for that:
    ///
    /// ```no_run
    /// # use std::sync::Arc;
    /// # use atomic_status::{StatusWriter, Subject};
    /// # fn reconcile<K: Subject>(writer: &StatusWriter<K>, cached: Arc<K>) {
    /// let object = writer.latest(&cached);
    /// # }
    /// ```
    #[must_use]
    pub fn latest(&self, cached: &Arc<K>) -> Arc<K> {
        match target(&**cached) {
            Ok(target) => self.0.kept.latest(&target.place, cached),
            Err(_) => cached.clone(),
        }
    }

    /// The name under which the API server records this writer's fields, unique to it.
    #[must_use]
    pub fn field_manager(&self) -> &str {
        &self.0.line.manager
    }

    /// How many objects are kept because a cache may not have them yet, or another may lag behind.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.0.kept.len()
    }

    /// How many objects have updates waiting or under way.
    #[must_use]
    pub fn busy(&self) -> usize {
        self.0.lines.len()
    }

    /// Takes no more updates and waits until all that were taken are answered, which their budgets
    /// bound.
    pub async fn close(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    /// What `object` says about the base; only what the writer does not know already is copied.
    fn offer(&self, object: &K) -> Result<(Target, Option<Offered>), Missing> {
        let target = target(object)?;
        let version = object.meta().resource_version.clone().filter(|version| !version.is_empty());
        let version = version.ok_or(Missing::Part("resourceVersion"))?;
        let kept = self.0.kept.get(&target.place).filter(|kept| kept.uid == target.uid);
        if kept.is_some_and(|kept| kept.version == version || is_newer(&kept.version, &version)) {
            return Ok((target, None));
        }
        let whole = self.0.trusts_offers && object.raw_status() != Raw::Typed;
        let raw = if whole { Some(Arc::new(raw(object).map_err(Missing::Json)?)) } else { None };
        Ok((target, Some(Offered { version, raw })))
    }
}

/// The answer to come.
type Promise<K, E> = oneshot::Receiver<Reply<K, E>>;

/// Why no update can be based on an object.
enum Missing {
    Part(&'static str),
    Json(serde_json::Error),
}

fn target<K: Subject>(object: &K) -> Result<Target, Missing> {
    let meta = object.meta();
    let name = meta.name.clone().ok_or(Missing::Part("name"))?;
    let uid = meta.uid.clone().ok_or(Missing::Part("uid"))?;
    Ok(Target { place: Place { namespace: meta.namespace.clone(), name }, uid })
}

fn raw<K: Subject>(object: &K) -> Result<serde_json::Value, serde_json::Error> {
    let mut raw = serde_json::to_value(object)?;
    if let (Raw::Exact(status), Some(members)) = (object.raw_status(), raw.as_object_mut()) {
        members.insert("status".to_owned(), status.clone());
    }
    Ok(raw)
}

/// An update that is made by awaiting it.
#[must_use = "an update does nothing until it is awaited"]
pub struct Update<K: Subject, F> {
    writer: StatusWriter<K>,
    ticket: Result<(Target, Option<Offered>), Missing>,
    fresh: bool,
    closure: F,
}

impl<K: Subject, F> Update<K, F> {
    /// Reads the object first, so that the closure decides on nothing older than this call. For
    /// decisions that end without a write, which no conflict would correct.
    pub fn fresh(mut self) -> Self {
        self.fresh = true;
        self
    }
}

impl<K, F, R> IntoFuture for Update<K, F>
where
    K: Subject,
    F: FnMut(&mut K::Status) -> R + Send + 'static,
    R: Decision,
{
    type Output = Result<Outcome<K>, Error<R::Error>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let Self { writer, ticket, fresh, closure } = self;
            let since = Instant::now();
            match writer.enqueue(ticket, fresh, closure, since) {
                // The task answers everybody; it ends early only with its runtime.
                Ok(reply) => reply.await.unwrap_or(Err(Error::Closed)),
                Err(error) => {
                    writer.0.line.metrics.answered(error.category(), since.elapsed());
                    Err(error)
                }
            }
        })
    }
}

impl<K: Subject> StatusWriter<K> {
    fn enqueue<F, R>(
        &self,
        ticket: Result<(Target, Option<Offered>), Missing>,
        fresh: bool,
        closure: F,
        since: Instant,
    ) -> Result<Promise<K, R::Error>, Error<R::Error>>
    where
        F: FnMut(&mut K::Status) -> R + Send + 'static,
        R: Decision,
    {
        let (target, offered) = ticket.map_err(|missing| match missing {
            Missing::Part(part) => Error::Incomplete(part),
            Missing::Json(error) => Error::Unwritable(Arc::new(error)),
        })?;
        let (reply, answer) = oneshot::channel();
        let metrics = self.0.line.metrics.clone();
        let job = Box::new(Call { closure, declined: None, reply, since, metrics });
        let deadline = since + self.0.budget;
        let ticket = Ticket { offered, fresh, since, deadline, tries: 0, job };
        // Held before the check, so that `close` waits for whoever got past it.
        let token = self.0.tasks.token();
        if self.0.tasks.is_closed() {
            return Err(Error::Closed);
        }
        match self.0.lines.push(target, ticket) {
            Queued::Full => return Err(Error::Busy),
            Queued::Behind => {}
            Queued::First(service) => {
                let driver = Driver::new(self.0.clone(), service);
                self.0.tasks.spawn(driver.serve());
            }
        }
        drop(token);
        Ok(answer)
    }
}
