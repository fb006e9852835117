//! Keeps records before their replies, within a budget.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::judge::Recorder;
use crate::metrics::EdgeMetrics;
use crate::panic::{Panicked, caught};

/// The recorder, and the records it is working on. Each has a task, so that neither a reply that
/// does not wait any longer nor a client that goes away ends it.
pub(crate) struct Records<C> {
    recorder: Arc<C>,
    running: Mutex<JoinSet<()>>,
    most: usize,
    metrics: EdgeMetrics,
}

impl<C> Records<C> {
    pub(crate) fn new(recorder: Arc<C>, most: usize, metrics: EdgeMetrics) -> Self {
        Self { recorder, running: Mutex::new(JoinSet::new()), most, metrics }
    }

    /// Hands over a record and waits until it is durable, but not past `until`.
    pub(crate) async fn keep<R: Send + 'static>(&self, record: R, until: Instant)
    where
        C: Recorder<R>,
    {
        if self.busy() {
            self.metrics.records_dropped.inc();
            tracing::warn!(limit = self.most, "record dropped: too many are being written");
            return;
        }
        let recorder = Arc::clone(&self.recorder);
        let mut work = Box::pin(caught(async move { recorder.record(record).await }));
        // A recorder that is done at once needs no task.
        let outcome = match poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => match timeout_at(until, self.start(work)).await {
                Ok(outcome) => outcome.unwrap_or(Err(Panicked)),
                Err(_) => {
                    self.metrics.records_late.inc();
                    tracing::warn!("reply sent before its record is durable");
                    return;
                }
            },
        };
        if outcome.is_err() {
            self.metrics.panicked("record");
            self.metrics.records_dropped.inc();
            tracing::error!("record dropped: the recorder panicked");
        }
    }

    /// Whether as many records as may be are being written.
    fn busy(&self) -> bool {
        let mut running = self.running();
        while running.try_join_next().is_some() {}
        running.len() >= self.most
    }

    /// Gives work a task of its own.
    fn start(&self, work: impl Future<Output = RecordResult> + Send + 'static) -> oneshot::Receiver<RecordResult> {
        let (done, durable) = oneshot::channel();
        self.running().spawn(async move {
            // The call may have stopped waiting.
            let _ = done.send(work.await);
        });
        durable
    }

    /// Waits for what is running, then drops the rest and returns how many they were.
    pub(crate) async fn finish(&self, give_up: impl Future<Output = ()>) -> u64 {
        let mut running = std::mem::take(&mut *self.running());
        tokio::select! {
            () = async { while running.join_next().await.is_some() {} } => {}
            () = give_up => {}
        }
        let dropped = running.len() as u64;
        self.metrics.records_dropped.inc_by(dropped);
        running.shutdown().await;
        dropped
    }

    fn running(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a record was kept.
type RecordResult = Result<(), Panicked>;

/// Records that are still being written when the last connection has ended get this much more.
pub(crate) const LAST_RECORDS: Duration = Duration::from_secs(2);
