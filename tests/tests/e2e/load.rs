//! Writers at a fixed rate, while something happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kube::api::{Api, DynamicObject, Patch, PatchParams};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::cluster::TestedCluster;

/// Writers, each with a parcel of its own, and writes of each in a second: 200 in all.
const WRITERS: u32 = 20;
const RATE: u32 = 10;

pub struct Load {
    over: Arc<AtomicBool>,
    writers: JoinSet<(u64, Vec<String>)>,
}

/// What became of the writes.
pub struct LoadResult {
    pub writes: u64,
    pub failures: Vec<String>,
}

impl Load {
    pub async fn start(cluster: &TestedCluster, name: &str) -> anyhow::Result<Self> {
        let (over, mut writers) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
        for writer in 0..WRITERS {
            let parcel = format!("{name}-{writer}");
            cluster.parcel(&parcel).await?;
            writers.spawn(write(cluster.parcels(), parcel, Arc::clone(&over)));
        }
        Ok(Self { over, writers })
    }

    pub async fn end(self) -> LoadResult {
        self.over.store(true, Ordering::Relaxed);
        let (mut writes, mut failures) = (0, Vec::new());
        for (made, failed) in self.writers.join_all().await {
            writes += made;
            failures.extend(failed);
        }
        LoadResult { writes, failures }
    }
}

/// Each write counts on from the last; one that failed is not made again.
async fn write(parcels: Api<DynamicObject>, name: String, over: Arc<AtomicBool>) -> (u64, Vec<String>) {
    let mut ticks = interval(Duration::from_secs(1) / RATE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut made, mut failures) = (0, Vec::new());
    while !over.load(Ordering::Relaxed) {
        ticks.tick().await;
        made += 1;
        let patch = Patch::Merge(json!({ "status": { "scans": made } }));
        if let Err(error) = parcels.patch_status(&name, &PatchParams::default(), &patch).await {
            failures.push(error.to_string());
        }
    }
    (made, failures)
}
