//! Keeps the configuration: reads it, writes what the plan says, tells what came of it.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures::StreamExt as _;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::watch_object;
use kube::{Api, Client};
use serde_json::Value as Json;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, sleep_until};

use super::author::ChangeAuthor;
use super::entry::PolicyEntry;
use super::event::RepairEvents;
use super::inputs::KeeperInputs;
use super::metrics::ConfigurationMetrics;
use super::object::ObjectRequests;
use super::plan::{PlanStep, PlannedWrite, Planner, Wanted, WriteCause};
use super::published::Published;
use super::repair;
use super::settings::ConfigurationSettings;
use super::verb::RequestVerb;
use crate::cluster::problem::RequestProblem;
use crate::cluster::request::RequestError;

/// Writes in one round, conflicts included. Whoever changes the object faster than that is left to it for a while.
const MAX_WRITES: u32 = 8;

/// After the first conflict; doubled from one to the next.
const AFTER_CONFLICT: Duration = Duration::from_millis(10);

/// Keeps the guard's entries in one `ValidatingWebhookConfiguration`.
pub struct ConfigurationKeeper {
    client: Client,
    settings: ConfigurationSettings,
    requests: ObjectRequests,
    events: RepairEvents,
    metrics: ConfigurationMetrics,
    published: watch::Sender<Published>,
    planner: Planner,
    get: RequestProblem,
    update: RequestProblem,
    /// After a failed write.
    no_write_before: Option<Instant>,
}

/// When to look again.
enum Again {
    /// At this time, or when something changes before.
    By(Instant),
    /// Not before this time.
    NotBefore(Instant),
}

impl ConfigurationKeeper {
    /// A keeper that does nothing yet.
    #[must_use]
    pub fn new(client: Client, settings: ConfigurationSettings, metrics: ConfigurationMetrics) -> Self {
        let ConfigurationSettings { name, field_manager, timing, .. } = &settings;
        Self {
            requests: ObjectRequests::new(client.clone(), name, field_manager, timing.request),
            events: RepairEvents::new(client.clone(), &settings, &metrics),
            published: watch::Sender::default(),
            planner: Planner::new(settings.clone()),
            get: RequestVerb::Get.problem(&settings, &metrics),
            update: RequestVerb::Update.problem(&settings, &metrics),
            no_write_before: None,
            client,
            settings,
            metrics,
        }
    }

    /// What the API server has.
    #[must_use]
    pub fn published(&self) -> watch::Receiver<Published> {
        self.published.subscribe()
    }

    /// Keeps the configuration until `shutdown` ends. The object stays as it is then.
    ///
    /// Nothing is written before there are `entries` and, unless bundles are published by somebody else, a `bundle`: `None`
    /// means that they are not known yet, and an empty list that there is no policy. `arrived` has the policies for which a
    /// call has arrived.
    pub async fn run(
        mut self,
        entries: watch::Receiver<Option<Arc<[PolicyEntry]>>>,
        bundle: watch::Receiver<Option<Arc<[u8]>>>,
        arrived: watch::Receiver<HashSet<String>>,
        shutdown: impl Future<Output = ()>,
    ) {
        let (changed, published) = (Notify::new(), self.settings.bundles_are_published);
        let watching = follow(self.client.clone(), self.settings.clone(), self.metrics.clone(), &changed);
        tokio::select! {
            () = shutdown => {}
            () = watching => {}
            () = self.keep(KeeperInputs::new(entries, bundle, arrived, published), &changed) => {}
        }
    }

    async fn keep(&mut self, mut inputs: KeeperInputs, changed: &Notify) {
        loop {
            let begun = Instant::now();
            match self.round(&mut inputs).await {
                Again::NotBefore(at) => sleep_until(at.into()).await,
                Again::By(at) => tokio::select! {
                    () = changed.notified() => {}
                    () = inputs.changed() => {}
                    () = sleep_until(at.into()) => {}
                },
            }
            sleep_until((begun + self.settings.timing.between_reads).into()).await;
        }
    }

    /// Reads the object and writes it until nothing is to be written.
    async fn round(&mut self, inputs: &mut KeeperInputs) -> Again {
        let (wanted, arrived) = (inputs.wanted(), inputs.arrived());
        let mut after_conflict = AFTER_CONFLICT;
        let mut object = match self.read().await {
            Ok(object) => object,
            Err(again) => return again,
        };
        for _ in 0..MAX_WRITES {
            let Some(wanted) = &wanted else {
                self.publish(&object, false);
                return self.again(None);
            };
            let step = self.planner.plan((Instant::now(), SystemTime::now().into()), &object, wanted, &arrived);
            let write = match step {
                PlanStep::Idle { in_sync, held, until } => return self.idle(&object, in_sync, held, until),
                PlanStep::Write(write) => write,
            };
            self.publish(&object, false);
            if let Some(at) = self.no_write_before.filter(|at| *at > Instant::now()) {
                return self.again(Some(at));
            }
            object = match self.requests.put(&write.object).await {
                Ok(written) => {
                    self.update.succeeded();
                    self.written(&object, &write, wanted).await;
                    written
                }
                Err(RequestError::Conflict) => {
                    self.metrics.conflicts.inc();
                    sleep(after_conflict).await;
                    after_conflict *= 2;
                    match self.read().await {
                        Ok(object) => object,
                        Err(again) => return again,
                    }
                }
                Err(RequestError::Absent) => return self.absent(),
                Err(error) => match self.refused(&error, &write, wanted) {
                    true => object,
                    false => return self.write_failed(&error),
                },
            };
        }
        self.publish(&object, false);
        Again::NotBefore(Instant::now() + self.settings.timing.first_retry)
    }

    async fn read(&mut self) -> Result<Json, Again> {
        match self.requests.get().await {
            Ok(object) => {
                self.get.succeeded();
                Ok(object)
            }
            Err(RequestError::Absent) => {
                self.get.succeeded();
                Err(self.absent())
            }
            Err(error) => Err(Again::NotBefore(Instant::now() + self.get.failed(&error))),
        }
    }

    fn absent(&mut self) -> Again {
        self.planner.absent();
        if self.published.send_replace(Published::Absent) != Published::Absent {
            tracing::warn!(
                configuration = self.settings.name,
                "there is no such ValidatingWebhookConfiguration: nothing is guarded. The guard never creates it, so that \
                 deleting it switches the guard off; apply its manifest to switch it on"
            );
        }
        self.metrics.present.set(0);
        self.metrics.entries.set(0);
        self.metrics.held.set(0);
        self.again(None)
    }

    fn idle(&mut self, object: &Json, in_sync: bool, held: bool, until: Option<Instant>) -> Again {
        self.publish(object, in_sync);
        self.metrics.held.set(held.into());
        if in_sync {
            self.metrics.synced(SystemTime::now());
        }
        self.again(until)
    }

    /// At this time, but not later than the object is read in any case.
    fn again(&self, at: Option<Instant>) -> Again {
        let resync = Instant::now() + self.settings.timing.resync;
        Again::By(at.map_or(resync, |at| at.min(resync)))
    }

    fn publish(&self, object: &Json, in_sync: bool) {
        self.metrics.present.set(1);
        self.metrics.entries.set(i64::try_from(repair::our_entries(object).count()).unwrap_or(i64::MAX));
        let published = Published::read(object, in_sync);
        let before = self.published.borrow().clone();
        if before == Published::Absent {
            tracing::info!(configuration = self.settings.name, "the ValidatingWebhookConfiguration is there again");
        }
        self.published.send_if_modified(|before| {
            let modified = *before != published;
            *before = published;
            modified
        });
    }

    /// Tells of a write that went through. `before` is what it replaced.
    async fn written(&mut self, before: &Json, write: &PlannedWrite, wanted: &Wanted) {
        self.no_write_before = None;
        self.metrics.writes.inc();
        self.metrics.held.set(0);
        let next = self.planner.written(Instant::now(), write, wanted);
        let configuration = &*self.settings.name;
        for change in &write.changes {
            match &write.cause {
                WriteCause::Drift(ChangeAuthor::Other(manager)) => {
                    tracing::warn!(configuration, %change, field_manager = manager, "changed back what another changed");
                }
                WriteCause::Drift(ChangeAuthor::Peer) => {
                    tracing::warn!(configuration, %change, "changed what another replica had written");
                }
                WriteCause::Trial => {
                    tracing::info!(configuration, %change, "trial ended: the failure policy is in force")
                }
                WriteCause::Wanted | WriteCause::Authorities | WriteCause::Filled => {
                    tracing::info!(configuration, %change, "written")
                }
            }
        }
        if let WriteCause::Drift(author) = &write.cause {
            let manager = match author {
                ChangeAuthor::Other(manager) => manager,
                ChangeAuthor::Peer => &self.settings.field_manager,
            };
            self.metrics.repaired(manager);
            self.events.tell(before, manager, &write.changes, next.unwrap_or_default()).await;
        }
    }

    /// Whether the API server does not take some entries: what else is wanted is written without them.
    fn refused(&mut self, error: &RequestError, write: &PlannedWrite, wanted: &Wanted) -> bool {
        let RequestError::Invalid(message, fields) = error else { return false };
        let policies = self.planner.refuse(&write.object, fields, wanted);
        for policy in &policies {
            self.metrics.errors(RequestVerb::Update).inc();
            tracing::error!(
                policy,
                configuration = self.settings.name,
                error = message,
                "the API server does not take this policy's entry: correct the policy; the other entries are kept"
            );
        }
        !policies.is_empty()
    }

    fn write_failed(&mut self, error: &RequestError) -> Again {
        let at = Instant::now() + self.update.failed(error);
        self.no_write_before = Some(at);
        self.again(Some(at))
    }
}

/// Says when the object may have changed; never ends. Without the right to watch it, changes by others are noticed when
/// it is read for another reason.
async fn follow(client: Client, settings: ConfigurationSettings, metrics: ConfigurationMetrics, changed: &Notify) {
    let api = Api::<PartialObjectMeta<ValidatingWebhookConfiguration>>::all(client);
    let mut watch = pin!(watch_object(api, &settings.name).default_backoff());
    let [mut list, mut start] = [RequestVerb::List, RequestVerb::Watch].map(|verb| verb.problem(&settings, &metrics));
    while let Some(seen) = watch.next().await {
        match seen {
            Ok(_) => {
                list.succeeded();
                start.succeeded();
                changed.notify_one();
            }
            Err(error) => {
                let (listing, error) = RequestError::of_watch(error);
                let problem = if listing { &mut list } else { &mut start };
                problem.failed(&error);
                // Who reads the object learns whether it is there and whether the API server is.
                changed.notify_one();
            }
        }
    }
}
