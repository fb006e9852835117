//! The settings of a writer.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio_util::task::TaskTracker;

use crate::authorship::AppendOnly;
use crate::body::SingleUseBody;
use crate::cache::ObjectCache;
use crate::compose::{Composer, PhaseChange};
use crate::drive::Shared;
use crate::metrics::{Instruments, Metrics};
use crate::object::StatusResource;
use crate::queue::UpdateQueues;
use crate::wire::Endpoint;
use crate::writer::StatusWriter;

/// Settings of a [`StatusWriter`].
#[must_use = "a builder does nothing until it is built"]
pub struct Builder<K: StatusResource> {
    client: Client,
    name: String,
    kind: K::DynamicType,
    budget: Duration,
    request_timeout: Option<Duration>,
    subresource: bool,
    phase: Option<PhaseChange<K::Status>>,
    append_only: Vec<AppendOnly>,
    keep: usize,
    keep_bytes: usize,
    metrics: Metrics,
}

/// A name that the API server would not take as a field manager.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} does not do as the name of a writer: 1 to 111 printable ASCII characters")]
pub struct InvalidName(String);

/// What is left of the 128 characters of a field manager after `/` and the instance.
const LONGEST_NAME: usize = 111;

/// Moments beyond it need not exist.
const LONGEST_BUDGET: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

impl<K: StatusResource<DynamicType = ()>> StatusWriter<K> {
    /// A writer for a kind known at compile time; `name` says who writes (a controller's name).
    pub fn builder(client: Client, name: impl Into<String>) -> Builder<K> {
        Self::builder_with(client, name, ())
    }
}

impl<K: StatusResource> StatusWriter<K> {
    /// A writer for a kind known at run time.
    pub fn builder_with(client: Client, name: impl Into<String>, kind: K::DynamicType) -> Builder<K> {
        Builder::new(client, name.into(), kind)
    }
}

impl<K: StatusResource> Builder<K> {
    fn new(client: Client, name: String, kind: K::DynamicType) -> Self {
        Self {
            client,
            name,
            kind,
            budget: Duration::from_secs(10),
            request_timeout: None,
            subresource: true,
            phase: None,
            append_only: Vec::new(),
            keep: 4096,
            keep_bytes: 64 << 20,
            metrics: Metrics::default(),
        }
    }

    /// How long an update may take before it ends with [`Error::Budget`](crate::Error::Budget) (default 10 s). Settling a
    /// lost answer has as much again, plus the requests under way then.
    pub fn budget(mut self, budget: Duration) -> Self {
        self.budget = budget.min(LONGEST_BUDGET);
        self
    }

    /// How long one request may take before its answer counts as lost (default: half the budget).
    /// It should exceed what admission webhooks of the kind may take.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = Some(timeout);
        self
    }

    /// Writes the object itself, for kinds whose status is not a subresource. An object that this
    /// writer has not read or written itself is then read before the first write.
    pub fn main_resource(mut self) -> Self {
        self.subresource = false;
        self
    }

    /// How to read the phase: updates are merged into one write only up to the first that changes
    /// it, so that no phase is skipped in what others see.
    pub fn phase<P: PartialEq>(mut self, read: impl Fn(&K::Status) -> P + Send + Sync + 'static) -> Self {
        self.phase = Some(Box::new(move |before, after| read(before) != read(after)));
        self
    }

    /// Declares that the entries of the list at `list` (a JSON pointer from the status, such as
    /// `/attempts`) carry in `identity` a value that no other entry ever has and that only this one
    /// writer ever appends, and that they are never removed. This settles a lost answer when the API
    /// server has lost the history, too.
    ///
    /// A random identity will do, or one with the
    /// [name of this writer's manager](crate::StatusWriter::field_manager) in it. One from outside will
    /// not, such as that of an event which several processes handle, or one process before and after its
    /// restart: found in the list, it proves that one of them has appended it, not which, and a write of
    /// the others would be acknowledged for it.
    pub fn append_only(mut self, list: impl Into<String>, identity: impl Into<String>) -> Self {
        self.append_only.push(AppendOnly::new(list.into(), identity.into()));
        self
    }

    /// How many objects to keep in case a cache lags behind (default 4096). Once a cache has caught up, what is kept
    /// is its own object, shared with it; of a typed object the raw form stays as well, until the cache shows a newer
    /// version.
    pub fn keep(mut self, objects: usize) -> Self {
        self.keep = objects;
        self
    }

    /// About how many bytes of memory the kept objects may take, those that are shared with a cache not counted
    /// (default 64 MiB). The newest is kept, however large it is.
    pub fn keep_bytes(mut self, bytes: usize) -> Self {
        self.keep_bytes = bytes;
        self
    }

    /// Where to count.
    pub fn metrics(mut self, metrics: Metrics) -> Self {
        self.metrics = metrics;
        self
    }

    /// The writer. Must be called within a Tokio runtime, like the making of the client.
    ///
    /// # Errors
    /// [`InvalidName`] when the API server would not take the name as a field manager.
    pub fn build(self) -> Result<StatusWriter<K>, InvalidName> {
        let Self {
            client,
            name,
            kind,
            budget,
            request_timeout,
            subresource,
            phase,
            append_only,
            keep,
            keep_bytes,
            metrics,
        } = self;
        if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            return Err(InvalidName(name));
        }
        // A custom resource takes nothing but the status from such a write. A built-in kind takes parts of the
        // metadata, too, and a cache may have dropped some: like a main resource it is read first.
        let trusts_offers = subresource && !is_built_in(&K::group(&kind));
        let endpoint = Endpoint {
            client,
            once: SingleUseBody::new(),
            manager: format!("{name}/{:016x}", rand::random::<u64>()),
            subresource,
            timeout: request_timeout.unwrap_or(budget / 2),
            metrics: Instruments::new(metrics, name.clone()),
        };
        let composer = Arc::new(Composer {
            api_version: K::api_version(&kind).into_owned(),
            kind: K::kind(&kind).into_owned(),
            phase,
        });
        Ok(StatusWriter(Arc::new(Shared {
            name,
            kind,
            endpoint,
            composer,
            append_only,
            trusts_offers,
            budget,
            cache: ObjectCache::new(NonZeroUsize::new(keep).unwrap_or(NonZeroUsize::MIN), keep_bytes),
            queues: UpdateQueues::new(),
            tasks: TaskTracker::new(),
        })))
    }
}

/// Whether a group may be one of Kubernetes itself, whose names have no dot or end in `.k8s.io`.
fn is_built_in(group: &str) -> bool {
    !group.contains('.') || group.ends_with(".k8s.io")
}
