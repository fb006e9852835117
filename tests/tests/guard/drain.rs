//! Guards are replaced while twenty writers are at work: the drain loses no call.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use kube::api::{Api, Patch, PatchParams};
use kubernaut_api::NotificationRequest;
use serde_json::json;
use statusguard_tests::{ControlPlane, eventually};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::RwLock;
use tokio::task::JoinSet;

use crate::common::{Guarded, Running, Setup, shared};
use crate::object::{pending, sending};

const WRITERS: usize = 20;
/// Replacements of each kind; those that cut go on until a write fails, up to ten times as many.
const REPLACEMENTS: usize = 12;
/// Writes that are acknowledged between two replacements.
const WRITES_BETWEEN: usize = 60;

/// What a Service does for the guards behind it: new connections go to the newest, old ones stay.
struct Front {
    port: u16,
    newest: Arc<RwLock<SocketAddr>>,
    _accepting: JoinSet<()>,
}

impl Front {
    async fn start(plane: &ControlPlane, first: SocketAddr) -> Self {
        let listener = TcpListener::bind((plane.webhook_listen_address(), 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let newest = Arc::new(RwLock::new(first));
        let targets = Arc::clone(&newest);
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                // Held while connecting: once the target has changed, no connection is on its way to the old one.
                let target = targets.read().await;
                let far = TcpStream::connect(*target).await;
                drop(target);
                tokio::spawn(async move {
                    let mut far = far?;
                    near.set_nodelay(true)?;
                    far.set_nodelay(true)?;
                    copy_bidirectional(&mut near, &mut far).await
                });
            }
        });
        Self { port, newest, _accepting: accepting }
    }

    async fn lead_to(&self, guard: &Running) {
        *self.newest.write().await = guard.address;
    }
}

/// Writers that write until they are told to stop.
struct Load {
    tasks: JoinSet<()>,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
    failed: Arc<std::sync::Mutex<Vec<String>>>,
}

impl Load {
    fn start(guarded: &Guarded<'_>) -> Self {
        let mut load =
            Self { tasks: JoinSet::new(), stop: Arc::default(), acknowledged: Arc::default(), failed: Arc::default() };
        for writer in 0..WRITERS {
            let (stop, acknowledged, failed) = (load.stop.clone(), load.acknowledged.clone(), load.failed.clone());
            let api: Api<NotificationRequest> = guarded.api();
            load.tasks.spawn(async move {
                let name = format!("busy-{writer}");
                let mut number = 0;
                while !stop.load(Ordering::Relaxed) {
                    number += 1;
                    let patch = Patch::Merge(json!({ "status": { "message": format!("write {number}") } }));
                    match api.patch_status(&name, &PatchParams::default(), &patch).await {
                        Ok(_) => drop(acknowledged.fetch_add(1, Ordering::Relaxed)),
                        Err(error) => failed.lock().unwrap().push(error.to_string()),
                    }
                }
            });
        }
        load
    }

    /// Until so many more writes were acknowledged.
    async fn go_on(&self) {
        let goal = self.acknowledged.load(Ordering::Relaxed) + WRITES_BETWEEN;
        eventually("writes go on", async || Ok(self.acknowledged.load(Ordering::Relaxed) >= goal)).await.unwrap();
    }

    fn failures(&self) -> Vec<String> {
        self.failed.lock().unwrap().clone()
    }

    async fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
    }
}

/// How a guard that has been replaced comes to its end.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ending {
    /// One shutdown request, as by SIGTERM.
    Drain,
    /// A second one at once.
    Abort,
    /// Nothing is said, as by SIGKILL.
    Drop,
}

/// Ends `old` once `new` takes the connections; idle connections closed, and of these with a call on its way.
async fn replace(front: &Front, old: Running, new: &Running, ending: Ending) -> (u64, u64) {
    front.lead_to(new).await;
    match ending {
        Ending::Drain => old.shutdown.request(),
        Ending::Abort => {
            old.shutdown.request();
            old.shutdown.request();
        }
        Ending::Drop => old.task.abort(),
    }
    match old.task.await {
        Ok(drained) => drained.map(|drained| (drained.closed_idle, drained.raced)).unwrap(),
        Err(error) => {
            assert!(error.is_cancelled() && ending == Ending::Drop, "{error}");
            (0, 0)
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_drain_replaces_a_guard_without_a_failed_write() {
    let plane = shared().await;
    let mut front = None;
    let setup = Setup::new().flag("--min-drain=0s").flag("--drain-timeout=2s");
    let guarded = setup.start_on(plane, async |address| front.insert(Front::start(plane, address).await).port).await;
    let front = front.unwrap();
    for writer in 0..WRITERS {
        guarded.object(&format!("busy-{writer}"), &[pending(), sending(1)]).await;
    }
    let load = Load::start(&guarded);
    let mut serving = guarded.site.start(plane).await;
    front.lead_to(&serving).await;
    for ending in [Ending::Drain, Ending::Abort, Ending::Drop] {
        let (before, failed_before) = (load.acknowledged.load(Ordering::Relaxed), load.failures().len());
        let (mut replacements, mut closed_idle, mut raced) = (0, 0, 0);
        let begun = Instant::now();
        loop {
            load.go_on().await;
            let seen = ending == Ending::Drain || load.failures().len() > failed_before;
            let enough = replacements >= REPLACEMENTS && (seen || replacements == 10 * REPLACEMENTS);
            if enough {
                break;
            }
            let next = guarded.site.start(plane).await;
            let old = std::mem::replace(&mut serving, next);
            let (idle, lost) = replace(&front, old, &serving, ending).await;
            (replacements, closed_idle, raced) = (replacements + 1, closed_idle + idle, raced + lost);
        }
        let failures = load.failures().split_off(failed_before);
        println!(
            "{ending:?}: {replacements} replacements in {:.1} s, {} writes, {} failed, {closed_idle} idle connections \
             closed, {raced} of them with a call on its way",
            begun.elapsed().as_secs_f64(),
            load.acknowledged.load(Ordering::Relaxed) - before,
            failures.len(),
        );
        match ending {
            Ending::Drain => assert_eq!(failures, [""; 0]),
            // What the drain is for; without it this test would show nothing.
            _ => assert!(failures.iter().any(|failure| failure.contains("failed calling webhook")), "{failures:?}"),
        }
    }
    load.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_are_closed_before_the_drain_time_out() {
    let plane = shared().await;
    let mut front = None;
    let setup = Setup::new().flag("--min-drain=0s").flag("--drain-timeout=4s");
    let mut guarded =
        setup.start_on(plane, async |address| front.insert(Front::start(plane, address).await).port).await;
    let front = front.unwrap();
    for writer in 0..WRITERS {
        guarded.object(&format!("busy-{writer}"), &[pending(), sending(1)]).await;
    }
    // A burst that opens some connections, then nothing.
    let load = Load::start(&guarded);
    load.go_on().await;
    assert_eq!(load.failures(), [""; 0]);
    load.stop().await;

    let next = guarded.site.start(plane).await;
    let old = std::mem::replace(&mut guarded.guard, next);
    let open = old.metric("statusguard_connections", &[]).await as u64;
    assert!(open > 0);
    let (closed_idle, raced) = replace(&front, old, &guarded.guard, Ending::Drain).await;
    assert_eq!((closed_idle, raced), (open, 0));

    // The API server has noticed: not one call goes to a connection that is gone.
    let load = Load::start(&guarded);
    load.go_on().await;
    assert_eq!(load.failures(), [""; 0]);
    load.stop().await;
}
