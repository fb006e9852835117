//! Watches policies and CRDs, and does what follows from them, one thing after another.

mod work;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Debug;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future;
use futures::stream::{self, BoxStream, Stream, StreamExt as _, TryStreamExt as _};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DynamicObject};
use kube::core::{ObjectMeta, PartialObjectMeta};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use statusguard_edge::ReadinessGate;
use statusguard_policy::StatusPolicy;
use tokio::sync::watch;
use tokio::time::sleep_until;

use super::index::PolicyIndex;
use super::metrics::PolicyWatchMetrics;
use super::problems::{PolicyProblems, PolicyRequest};
use super::requests::PolicyRequests;
use super::settings::PolicyWatchSettings;
use crate::cluster::configuration::Published;
use crate::cluster::request::RequestError;
use crate::guard::policy_changes::NamedPolicies;
use crate::guard::policy_file::ActivePolicy;
use crate::guard::store::PolicyStore;

/// Objects in one page of a listing: policies may be large, and the annotations of CRDs hold all of what was once applied.
const PAGE: u32 = 50;

/// A policy in force whose target is served.
#[derive(Clone, Debug)]
pub struct ServedPolicy {
    /// The policy.
    pub policy: Arc<ActivePolicy>,
    /// Whether its target is in a namespace; `None` while that is not known.
    pub namespaced: Option<bool>,
}

/// What the condition `Enforced` is made from.
pub struct EnforcementInputs {
    /// What the API server holds of the guard's entries.
    pub published: watch::Receiver<Published>,
    /// Policies of which a call arrived through the API server.
    pub arrived: watch::Receiver<HashSet<String>>,
}

/// Brings the policies of the cluster into force.
pub struct PolicyWatch {
    client: Client,
    store: Arc<PolicyStore>,
    settings: PolicyWatchSettings,
    metrics: PolicyWatchMetrics,
    requests: PolicyRequests,
    problems: PolicyProblems,
    gate: Option<ReadinessGate>,
    served: watch::Sender<Option<Arc<[ServedPolicy]>>>,
    index: PolicyIndex,
    in_force: watch::Receiver<Arc<NamedPolicies>>,
    /// What could not be looked up, and when to try again.
    unknown: BTreeSet<String>,
    retry_at: Option<Instant>,
    /// The API server is not asked before this time, and why.
    away: Option<(Instant, String)>,
    resync_at: Instant,
    crds_watched: bool,
    /// The served policies may be others.
    unpublished: bool,
    /// Conditions are not written before this time.
    write_at: Instant,
    /// Those that are left alone for a while.
    held: BTreeMap<String, Instant>,
}

impl PolicyWatch {
    /// A watch that does nothing yet. The store may have a folder's policies.
    #[must_use]
    pub fn new(
        client: Client,
        store: Arc<PolicyStore>,
        settings: PolicyWatchSettings,
        metrics: PolicyWatchMetrics,
    ) -> Self {
        let now = Instant::now();
        Self {
            requests: PolicyRequests::new(client.clone(), &settings.field_manager, settings.request),
            problems: PolicyProblems::new(&settings, &metrics),
            gate: None,
            served: watch::Sender::default(),
            index: PolicyIndex::default(),
            in_force: store.in_force(),
            unknown: BTreeSet::new(),
            retry_at: None,
            away: None,
            resync_at: now + settings.resync,
            crds_watched: false,
            unpublished: false,
            write_at: now,
            held: BTreeMap::new(),
            client,
            store,
            settings,
            metrics,
        }
    }

    /// Opens the gate once all policies have been listed and those that compile are in force. It stays open while the watch
    /// runs: what was loaded stays in force.
    pub fn announce(&mut self, gate: ReadinessGate) {
        self.gate = Some(gate);
    }

    /// The policies in force whose targets are served, those of the folder included; `None` before all are known.
    #[must_use]
    pub fn served(&self) -> watch::Receiver<Option<Arc<[ServedPolicy]>>> {
        self.served.subscribe()
    }

    /// Watches until `shutdown` ends. What is in force stays so.
    pub async fn run(mut self, mut inputs: EnforcementInputs, shutdown: impl Future<Output = ()>) {
        tokio::select! {
            () = shutdown => {}
            () = self.follow(&mut inputs) => {}
        }
    }

    async fn follow(&mut self, inputs: &mut EnforcementInputs) {
        let mut policies = policy_changes(self.client.clone(), Duration::ZERO);
        let mut crds = pin!(crd_changes(self.client.clone()));
        self.in_force.mark_changed();
        loop {
            let wake = self.wake();
            // Work comes last: everything that has happened by then is known to it.
            tokio::select! {
                biased;
                Some(event) = policies.next() => {
                    if let Some(wait) = self.policy_event(event) {
                        policies = policy_changes(self.client.clone(), wait);
                    }
                }
                Some(event) = crds.next() => self.crd_event(event),
                Ok(()) = self.in_force.changed() => {
                    let in_force = Arc::clone(&self.in_force.borrow_and_update());
                    self.index.in_force_changed(&in_force);
                    self.unpublished = true;
                }
                Ok(()) = inputs.published.changed() => self.index.all_conditions(),
                Ok(()) = inputs.arrived.changed() => self.index.all_conditions(),
                () = std::future::ready(()), if self.has_work() => self.work(inputs).await,
                () = sleep_until(wake.into()) => self.time_passed(),
            }
        }
    }

    /// Returns how long to wait before all is listed again, if that is the only way to learn of changes.
    fn policy_event(&mut self, event: Result<Event<DynamicObject>, watcher::Error>) -> Option<Duration> {
        match event {
            Ok(event) => {
                match event {
                    Event::Init => {}
                    Event::InitApply(_) | Event::InitDone => self.problems.succeeded(PolicyRequest::ListPolicies),
                    Event::Apply(_) | Event::Delete(_) => self.problems.succeeded(PolicyRequest::WatchPolicies),
                }
                self.index.policy_event(event);
                self.metrics.synced.set(self.index.listed.into());
                None
            }
            Err(error) => {
                let (list, error) = RequestError::of_watch(error);
                self.index.policy_watch_failed();
                let request = if list { PolicyRequest::ListPolicies } else { PolicyRequest::WatchPolicies };
                let wait = self.problems.failed(request, &error);
                (!list && matches!(error, RequestError::Forbidden(_))).then_some(wait)
            }
        }
    }

    fn crd_event(&mut self, event: Result<Event<ObjectMeta>, watcher::Error>) {
        match event {
            Ok(event) => {
                match event {
                    Event::Init => {}
                    Event::InitApply(_) | Event::InitDone => self.problems.succeeded(PolicyRequest::ListCrds),
                    Event::Apply(_) | Event::Delete(_) => self.problems.succeeded(PolicyRequest::WatchCrds),
                }
                self.crds_watched |= matches!(event, Event::InitDone | Event::Apply(_) | Event::Delete(_));
                self.index.crd_event(event);
            }
            Err(error) => {
                let (list, error) = RequestError::of_watch(error);
                self.index.crd_watch_failed();
                let request = if list { PolicyRequest::ListCrds } else { PolicyRequest::WatchCrds };
                self.problems.failed(request, &error);
                // After anything else the watch goes on where it ended.
                self.crds_watched &= !matches!(error, RequestError::Forbidden(_));
            }
        }
    }

    /// When time alone gives something to do.
    fn wake(&self) -> Instant {
        let held = self.held.values().min().copied();
        let write = (!self.index.conditions.is_empty()).then_some(self.write_at);
        [self.retry_at, held, write].into_iter().flatten().fold(self.resync_at, Instant::min)
    }

    fn time_passed(&mut self) {
        let now = Instant::now();
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            self.index.retry(std::mem::take(&mut self.unknown));
        }
        if self.resync_at <= now {
            self.resync_at = now + self.settings.resync;
            self.index.resync(self.crds_watched);
        }
        self.held.retain(|name, at| {
            let due = *at <= now;
            if due {
                self.index.conditions.insert(name.clone());
            }
            !due
        });
    }

    fn has_work(&self) -> bool {
        let PolicyIndex { listed, gone, changed, conditions, .. } = &self.index;
        let write = !conditions.is_empty() && self.write_at <= Instant::now();
        *listed && (!self.index.is_idle() || *gone || *changed || self.unpublished || write)
    }
}

/// What a watch tells, without the begin of a listing: the backoff would take it for a success, and never grow.
fn changes<K>(api: Api<K>) -> impl Stream<Item = Result<Event<K>, watcher::Error>> + Send
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let events = watcher(api, watcher::Config::default().page_size(PAGE));
    events.try_filter(|event| future::ready(!matches!(event, Event::Init))).default_backoff()
}

/// Changes of policies, from their listing after this time on.
fn policy_changes(client: Client, wait: Duration) -> BoxStream<'static, Result<Event<DynamicObject>, watcher::Error>> {
    let policies = Api::all_with(client, &ApiResource::erase::<StatusPolicy>(&()));
    let changes = changes(policies);
    stream::once(tokio::time::sleep(wait)).flat_map(|()| stream::empty()).chain(changes).boxed()
}

/// Changes of CRDs, as far as they show in their metadata: schemas may be large.
fn crd_changes(client: Client) -> impl Stream<Item = Result<Event<ObjectMeta>, watcher::Error>> {
    changes(Api::<PartialObjectMeta<CustomResourceDefinition>>::all(client)).map(|event| {
        let metadata = |object: PartialObjectMeta<CustomResourceDefinition>| object.metadata;
        Ok(match event? {
            Event::Init => Event::Init,
            Event::InitApply(object) => Event::InitApply(metadata(object)),
            Event::InitDone => Event::InitDone,
            Event::Apply(object) => Event::Apply(metadata(object)),
            Event::Delete(object) => Event::Delete(metadata(object)),
        })
    })
}
