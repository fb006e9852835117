//! Export of the edge's spans to a collector, as OTLP over HTTP/protobuf (`--otlp-endpoint`).
//!
//! ```text
//! a call's span ends ──> Queue ──> Export (a task) ──> collector
//!                          └─ full: dropped
//! ```
//!
//! Invariants:
//! - No call waits for the collector: a span that finds the queue full is dropped, and so is a batch that fails.
//! - Drops are counted and logged, at most once in [`SILENCE`].
//! - Only spans leave, never log events, and of a span only the fields that the edge declares; none is of a status.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, Span, SpanData, SpanExporter as _, SpanProcessor};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::registry::LookupSpan;

/// Spans that wait, and spans that are sent at a time.
const QUEUE: usize = 2048;
const BATCH: usize = 512;
/// How long a batch waits to become full.
const DELAY: Duration = Duration::from_secs(1);
/// Time for one batch, with all its tries.
const EXPORT: Duration = Duration::from_secs(3);
/// Time for what is queued when the server ends.
const FLUSH: Duration = Duration::from_secs(5);
/// Time between two log lines about dropped spans.
const SILENCE: Duration = Duration::from_secs(60);
/// Characters of a field's value: with [`QUEUE`], the bound of the memory that waits.
const VALUE: usize = 512;
/// Bytes of a collector's answer.
const ANSWER: usize = 64 << 10;

/// A running export.
pub struct Traces {
    provider: SdkTracerProvider,
    export: JoinHandle<()>,
}

/// Spans on their way to the task, until it is closed.
#[derive(Debug)]
struct Queue {
    spans: ArcSwapOption<mpsc::Sender<SpanData>>,
    dropped: Arc<AtomicU64>,
}

/// The task that sends them.
struct Export {
    queue: mpsc::Receiver<SpanData>,
    exporter: SpanExporter,
    endpoint: String,
    dropped: Arc<AtomicU64>,
    said: Option<Instant>,
}

/// The HTTP client that the guard has anyway, without TLS.
#[derive(Debug)]
struct Collector(Client<HttpConnector, Full<Bytes>>);

impl Traces {
    /// Starts the export to a collector's base URL; has to be called in a runtime.
    ///
    /// # Errors
    /// When one of OpenTelemetry's variables in the environment cannot be read.
    pub fn start(endpoint: &str) -> anyhow::Result<Self> {
        let endpoint = format!("{endpoint}/v1/traces");
        let resource = Resource::builder()
            .with_service_name("statusguard")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Collector::new())
            .with_endpoint(&endpoint)
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(EXPORT)
            .build()
            .context("setting up the export of traces")?;
        exporter.set_resource(&resource);
        let (spans, queue) = mpsc::channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let export = Export { queue, exporter, endpoint, dropped: Arc::clone(&dropped), said: None };
        let queue = Queue { spans: ArcSwapOption::from_pointee(spans), dropped };
        Ok(Self {
            provider: SdkTracerProvider::builder().with_span_processor(queue).with_resource(resource).build(),
            export: tokio::spawn(export.run()),
        })
    }

    /// Takes the edge's spans, whatever is logged.
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    {
        let spans = filter_fn(|metadata| metadata.is_span() && metadata.target().starts_with("statusguard_edge"));
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("statusguard"))
            // Nothing but the span's own fields, and nothing done when a call is polled.
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_context_activation(false)
            .with_filter(spans.with_max_level_hint(LevelFilter::DEBUG))
    }

    /// Sends what is queued, for at most [`FLUSH`].
    pub async fn flush(mut self) {
        if let Err(error) = self.provider.shutdown() {
            tracing::warn!(%error, "the export of traces did not end");
        }
        if timeout(FLUSH, &mut self.export).await.is_err() {
            self.export.abort();
            tracing::warn!("spans that were still queued are dropped");
        }
    }
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, mut span: SpanData) {
        let Some(spans) = &*self.spans.load() else { return };
        for KeyValue { value, .. } in &mut span.attributes {
            cut(value);
        }
        if spans.try_send(span).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    /// Closes the queue: the task ends once it is empty.
    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        self.spans.store(None);
        Ok(())
    }
}

impl Export {
    async fn run(mut self) {
        let mut batch = Vec::new();
        while self.fill(&mut batch).await {
            let spans = u64::try_from(batch.len()).unwrap_or(u64::MAX);
            let sent = timeout(EXPORT, self.exporter.export(std::mem::take(&mut batch))).await;
            let problem = match sent {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some(format!("no answer within {EXPORT:?}")),
            };
            if problem.is_some() {
                self.dropped.fetch_add(spans, Ordering::Relaxed);
            }
            self.say(problem.as_deref().unwrap_or("the queue was full"));
        }
    }

    /// Waits for a span and a while for more; false: the queue is closed and empty.
    async fn fill(&mut self, batch: &mut Vec<SpanData>) -> bool {
        if self.queue.recv_many(batch, BATCH).await == 0 {
            return false;
        }
        let more = async { while batch.len() < BATCH && self.queue.recv_many(batch, BATCH - batch.len()).await > 0 {} };
        // Full, closed or late: each time it is a batch.
        let _ = timeout(DELAY, more).await;
        true
    }

    fn say(&mut self, problem: &str) {
        if self.said.is_some_and(|said| said.elapsed() < SILENCE) {
            return;
        }
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            tracing::warn!(dropped, endpoint = self.endpoint, problem, "spans not exported");
            self.said = Some(Instant::now());
        }
    }
}

impl Collector {
    fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(EXPORT));
        Self(Client::builder(TokioExecutor::new()).build(connector))
    }
}

#[async_trait]
impl HttpClient for Collector {
    // Without a time-out of its own: an export has one.
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = self.0.request(request.map(Full::new)).await?.into_parts();
        let body = Limited::new(body, ANSWER).collect().await?.to_bytes();
        Ok(Response::from_parts(head, body))
    }
}

/// The edge takes names of a few kilobytes; real ones are far shorter.
fn cut(value: &mut Value) {
    if let Value::String(text) = value
        && text.as_str().len() > VALUE
    {
        *value = text.as_str().chars().take(VALUE).collect::<String>().into();
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::Tracer as _;

    use super::*;

    #[test]
    fn a_full_queue_drops_and_a_closed_one_ends() {
        let (spans, mut queue) = mpsc::channel(2);
        let dropped = Arc::new(AtomicU64::new(0));
        let sender = Queue { spans: ArcSwapOption::from_pointee(spans), dropped: Arc::clone(&dropped) };
        let provider = SdkTracerProvider::builder().with_span_processor(sender).build();
        for name in ["a", "b", "c", "d", "e"] {
            drop(provider.tracer("test").start(name));
        }
        assert_eq!(dropped.load(Ordering::Relaxed), 3);
        assert_eq!(queue.try_recv().map(|span| span.name).as_deref(), Ok("a"));
        assert!(provider.shutdown().is_ok());
        assert_eq!(queue.try_recv().map(|span| span.name).as_deref(), Ok("b"));
        assert_eq!(queue.try_recv(), Err(mpsc::error::TryRecvError::Disconnected));
    }
}
