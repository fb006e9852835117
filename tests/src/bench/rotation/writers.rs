//! Writers at a fixed rate, and who is to blame for each write that fails.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::{Client, Config};
use serde_json::json;
use statusguard_tests::{parcels, unique};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

/// How many writers, each with an object and a connection of its own.
const WRITERS: usize = 4;
/// Between two writes of one writer.
const PERIOD: Duration = Duration::from_millis(100);
/// Every so many-th write is stale and must be refused: a guard that is not asked fails nothing.
const STALE_EVERY: u64 = 5;

/// Writers at work. They end with this value.
pub struct Writers {
    stop: watch::Sender<bool>,
    tasks: JoinSet<anyhow::Result<WriteCounts>>,
}

/// What became of the writes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WriteCounts {
    /// All that were sent.
    pub writes: u64,
    /// Correct ones that failed because of the guard.
    pub failed_by_guard: u64,
    /// Those that the API server failed by itself.
    pub failed_by_apiserver: u64,
    /// Stale ones that were not refused.
    pub unguarded: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Culprit {
    Guard,
    ApiServer,
}

impl Writers {
    /// Creates the objects and begins to write.
    ///
    /// # Errors
    /// When an object cannot be created.
    pub async fn start(config: &Config, namespace: &str) -> anyhow::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for _ in 0..WRITERS {
            // Every failure is counted, none is repeated away.
            let mut config = config.clone();
            config.default_retry = false;
            let client = Client::try_from(config).context("making a client")?;
            let objects: Api<DynamicObject> = Api::namespaced_with(client, namespace, &parcels::resource());
            let name = unique("parcel");
            let object = DynamicObject::new(&name, &parcels::resource());
            objects.create(&PostParams::default(), &object).await.with_context(|| format!("creating {name}"))?;
            tasks.spawn(write(objects, name, stopped.clone()));
        }
        Ok(Self { stop, tasks })
    }

    /// Lets them end, and adds up.
    ///
    /// # Errors
    /// When one has panicked.
    pub async fn stop(mut self) -> anyhow::Result<WriteCounts> {
        self.stop.send_replace(true);
        let mut all = WriteCounts::default();
        while let Some(counts) = self.tasks.join_next().await {
            let counts = counts.context("a writer panicked")??;
            all.writes += counts.writes;
            all.failed_by_guard += counts.failed_by_guard;
            all.failed_by_apiserver += counts.failed_by_apiserver;
            all.unguarded += counts.unguarded;
        }
        Ok(all)
    }
}

async fn write(
    objects: Api<DynamicObject>,
    name: String,
    stopped: watch::Receiver<bool>,
) -> anyhow::Result<WriteCounts> {
    let (mut counts, begun) = (WriteCounts::default(), Instant::now());
    let (mut next, mut stored) = (1_u64, 0_u64);
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while !*stopped.borrow() {
        ticks.tick().await;
        counts.writes += 1;
        let stale = counts.writes.is_multiple_of(STALE_EVERY) && stored >= 2;
        let scans = if stale { stored - 1 } else { next };
        let patch = Patch::Merge(json!({ "status": { "scans": scans } }));
        let answer = objects.patch_status(&name, &PatchParams::default(), &patch).await;
        match answer {
            Ok(_) if stale => {
                counts.unguarded += 1;
                eprintln!("{name}, {:.2} s: a stale write was not refused", begun.elapsed().as_secs_f64());
            }
            Ok(_) => (stored, next) = (next, next + 1),
            Err(error) if stale && is_refusal(&error) => {}
            Err(error) => {
                // What is stored is unknown: the next one is higher.
                next += 1;
                let culprit = culprit(&error);
                match culprit {
                    Culprit::Guard => counts.failed_by_guard += 1,
                    Culprit::ApiServer => counts.failed_by_apiserver += 1,
                }
                eprintln!("{name}, {:.2} s, {culprit:?}: {error}", begun.elapsed().as_secs_f64());
            }
        }
    }
    Ok(counts)
}

/// Whether the guard was asked and said no.
fn is_refusal(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status)
        if [409, 422].contains(&status.code) && status.message.contains("denied the request"))
}

/// Whose failure it is that a correct write was not stored.
fn culprit(error: &kube::Error) -> Culprit {
    let is_called = |message: &str| message.contains("failed calling webhook");
    match error {
        kube::Error::Api(status) if is_called(&status.message) || status.message.contains("denied the request") => {
            Culprit::Guard
        }
        _ => Culprit::ApiServer,
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn refused(code: u16, message: &str) -> kube::Error {
        kube::Error::Api(Box::new(Status { code, message: message.to_owned(), ..Status::default() }))
    }

    #[test]
    fn calls_that_fail_and_refusals_are_the_guards() {
        let call = "Internal error occurred: failed calling webhook \"a.statusguard.dev\": failed to call webhook: EOF";
        assert_eq!(culprit(&refused(500, call)), Culprit::Guard);
        let denial = "admission webhook \"a.statusguard.dev\" denied the request: stale";
        assert_eq!(culprit(&refused(409, denial)), Culprit::Guard);
        assert!(is_refusal(&refused(409, denial)) && is_refusal(&refused(422, denial)));
        assert!(!is_refusal(&refused(500, call)));
    }

    #[test]
    fn what_the_api_server_fails_by_itself_is_not() {
        assert_eq!(culprit(&refused(500, "etcdserver: leader changed")), Culprit::ApiServer);
        assert_eq!(culprit(&refused(409, "the object has been modified")), Culprit::ApiServer);
        let cut = kube::Error::Service(Box::new(std::io::Error::from(std::io::ErrorKind::ConnectionRefused)));
        assert_eq!(culprit(&cut), Culprit::ApiServer);
    }
}
