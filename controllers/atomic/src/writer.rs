//! The writer and its one call.

use std::future::IntoFuture;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::cache::{ObjectId, ObjectKey};
use crate::drive::{Driver, Shared};
use crate::error::Error;
use crate::object::{RawStatus, StatusResource};
use crate::outcome::{ClosureOutput, UpdateOutcome};
use crate::queue::{Call, CallerBase, ClosureResult, Reply, UpdateRequest};
use crate::version::is_newer;

/// Writes the status of objects of one kind. Cheap to clone; clones are one writer.
///
/// See the [crate's documentation](crate) for what it guarantees.
pub struct StatusWriter<K: StatusResource>(pub(crate) Arc<Shared<K>>);

impl<K: StatusResource> Clone for StatusWriter<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: StatusResource> std::fmt::Debug for StatusWriter<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StatusWriter").field("manager", &self.0.endpoint.manager).finish_non_exhaustive()
    }
}

impl<K: StatusResource> StatusWriter<K> {
    /// Updates the status of `object`: runs `closure` on the freshest status known and writes what
    /// it changed.
    ///
    /// The closure returns nothing, a `bool` that says whether it changed something, or a `Result` of those
    /// whose error declines the update (see [`ClosureOutput`]). It may run several times, on different
    /// statuses, and must have no side effects.
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
        R: ClosureOutput,
    {
        Update { writer: self.clone(), request: self.batch(object), fresh: false, closure }
    }

    /// The newer of `cached` and what this writer has written or read last, or was shown here since, by
    /// whatever cache.
    ///
    /// A reconciler that begins with it never acts on something older than its own last write, and
    /// needs no read for that:
    ///
    /// ```no_run
    /// # use std::sync::Arc;
    /// # use atomic_status::{StatusWriter, StatusResource};
    /// # fn reconcile<K: StatusResource>(writer: &StatusWriter<K>, cached: Arc<K>) {
    /// let object = writer.latest(&cached);
    /// # }
    /// ```
    #[must_use]
    pub fn latest(&self, cached: &Arc<K>) -> Arc<K> {
        match id(&**cached) {
            Ok(id) => self.0.cache.latest(&id.key, cached, self.is_base(cached)),
            Err(_) => cached.clone(),
        }
    }

    /// The name under which the API server records this writer's fields, unique to it.
    #[must_use]
    pub fn field_manager(&self) -> &str {
        &self.0.endpoint.manager
    }

    /// How many objects are kept because a cache may not have them yet, or another may lag behind.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.0.cache.len()
    }

    /// How many objects have updates waiting or under way.
    #[must_use]
    pub fn busy(&self) -> usize {
        self.0.queues.len()
    }

    /// Takes no more updates and waits until all that were taken are answered, which their budgets
    /// bound.
    pub async fn close(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    /// Whether a write may be based on `object` as it is.
    fn is_base(&self, object: &K) -> bool {
        self.0.trusts_offers && object.raw_status() != RawStatus::Typed
    }

    /// What `object` says about the base; only what the writer does not know already is copied.
    fn batch(&self, object: &K) -> Result<(ObjectId, Option<CallerBase>), Missing> {
        let id = id(object)?;
        let version = object.meta().resource_version.clone().filter(|version| !version.is_empty());
        let version = version.ok_or(Missing::Part("resourceVersion"))?;
        let kept = self.0.cache.get(&id.key).filter(|kept| kept.uid == id.uid);
        if kept.is_some_and(|kept| kept.version == version || is_newer(&kept.version, &version)) {
            return Ok((id, None));
        }
        let raw = if self.is_base(object) { Some(Arc::new(raw(object).map_err(Missing::Json)?)) } else { None };
        Ok((id, Some(CallerBase { version, raw })))
    }
}

/// Why no update can be based on an object.
enum Missing {
    Part(&'static str),
    Json(serde_json::Error),
}

fn id<K: StatusResource>(object: &K) -> Result<ObjectId, Missing> {
    let meta = object.meta();
    let name = meta.name.clone().ok_or(Missing::Part("name"))?;
    let uid = meta.uid.clone().ok_or(Missing::Part("uid"))?;
    Ok(ObjectId { key: ObjectKey { namespace: meta.namespace.clone(), name }, uid })
}

fn raw<K: StatusResource>(object: &K) -> Result<serde_json::Value, serde_json::Error> {
    let mut raw = serde_json::to_value(object)?;
    if let (RawStatus::Exact(status), Some(members)) = (object.raw_status(), raw.as_object_mut()) {
        members.insert("status".to_owned(), status.clone());
    }
    Ok(raw)
}

/// An update that is made by awaiting it.
#[must_use = "an update does nothing until it is awaited"]
pub struct Update<K: StatusResource, F> {
    writer: StatusWriter<K>,
    request: Result<(ObjectId, Option<CallerBase>), Missing>,
    fresh: bool,
    closure: F,
}

impl<K: StatusResource, F> Update<K, F> {
    /// Reads the object first, so that the closure decides on nothing older than this call. For
    /// decisions that end without a write, which no conflict would correct.
    pub fn fresh(mut self) -> Self {
        self.fresh = true;
        self
    }
}

impl<K, F, R> IntoFuture for Update<K, F>
where
    K: StatusResource,
    F: FnMut(&mut K::Status) -> R + Send + 'static,
    R: ClosureOutput,
{
    type Output = Result<UpdateOutcome<K>, Error<R::Error>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let Self { writer, request, fresh, closure } = self;
            let since = Instant::now();
            let (reply, answer) = oneshot::channel();
            match writer.enqueue(request, fresh, closure, since, reply) {
                // The task answers everybody; it ends early only with its runtime.
                Ok(()) => answer.await.unwrap_or(Err(Error::Closed)),
                Err(error) => {
                    writer.0.endpoint.metrics.answered(error.category(), since.elapsed());
                    Err(error)
                }
            }
        })
    }
}

impl<K: StatusResource> StatusWriter<K> {
    fn enqueue<F, R>(
        &self,
        request: Result<(ObjectId, Option<CallerBase>), Missing>,
        fresh: bool,
        closure: F,
        since: Instant,
        reply: oneshot::Sender<Reply<K, R::Error>>,
    ) -> Result<(), Error<R::Error>>
    where
        F: FnMut(&mut K::Status) -> R + Send + 'static,
        R: ClosureOutput,
    {
        let (id, caller_base) = request.map_err(|missing| match missing {
            Missing::Part(part) => Error::Incomplete(part),
            Missing::Json(error) => Error::Unwritable(Arc::new(error)),
        })?;
        // Held before the check, so that `close` waits for whoever got past it.
        let token = self.0.tasks.token();
        if self.0.tasks.is_closed() {
            return Err(Error::Closed);
        }
        let deadline = since + self.0.budget;
        let metrics = self.0.endpoint.metrics.clone();
        let lease = self.0.queues.push(id, |permit| {
            let caller = Call::open(reply, permit, since, metrics);
            let closure = caller.clone().closure(closure);
            let result = ClosureResult::Changed;
            UpdateRequest { caller_base, fresh, since, deadline, tries: 0, result, closure, caller }
        });
        let lease = lease.map_err(Error::widen)?;
        if let Some(lease) = lease {
            let driver = Driver::new(self.0.clone(), lease);
            self.0.tasks.spawn(driver.serve());
        }
        drop(token);
        Ok(())
    }
}
