//! The three requests of the protocol, and what their answers mean.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use http::StatusCode;
use http::header::RETRY_AFTER;
use http_body_util::BodyExt;
use kube::Client;
use kube::core::params::{GetParams, PostParams, WatchParams};
use kube::core::{Request, Status, WatchEvent};
use serde_json::Value;

use crate::body::{SendGuard, SingleUseBody};
use crate::error::{Error, RefusalCause, RetryReason};
use crate::metrics::{Instruments, Verb};

/// Part of a request's time-out that a watch gets: what it waits for is there already, and one that hangs must not use
/// up the time for settling a doubt.
const WATCH_SHARE: u32 = 4;

/// What became of a PUT.
#[derive(Debug)]
pub(crate) enum Put {
    Written(Value),
    Conflict,
    Refused(Error),
    Missing,
    /// With the rest that the API server asked for, here and below.
    NotApplied(RetryReason, Option<Duration>),
    Unknown(RetryReason, Option<Duration>),
    Fatal(RetryReason, Arc<kube::Error>),
}

/// What a live read showed.
#[derive(Debug)]
pub(crate) enum Get {
    Found(Value),
    Missing,
    Fault(RetryReason, Option<Duration>),
    Fatal(Arc<kube::Error>),
}

/// What came first after a version.
#[derive(Debug)]
pub(crate) enum First {
    Version(Value),
    Deletion,
    HistoryGone,
    Fault(RetryReason),
}

/// The requests about one object.
pub(crate) struct Wire {
    client: Client,
    once: SingleUseBody,
    collection: Request,
    object: Addressee,
    manager: String,
    subresource: bool,
    timeout: Duration,
    metrics: Instruments,
}

/// The object that requests are about, which an answer has to show.
pub(crate) struct Addressee {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) uid: String,
}

/// What all objects of a writer have in common.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) client: Client,
    pub(crate) once: SingleUseBody,
    pub(crate) manager: String,
    pub(crate) subresource: bool,
    pub(crate) timeout: Duration,
    pub(crate) metrics: Instruments,
}

impl Wire {
    pub(crate) fn new(endpoint: &Endpoint, collection: String, object: Addressee) -> Self {
        let Endpoint { client, once, manager, subresource, timeout, metrics } = endpoint.clone();
        Self { client, once, collection: Request::new(collection), object, manager, subresource, timeout, metrics }
    }

    pub(crate) async fn put(&self, body: Bytes) -> Put {
        self.metrics.request(Verb::Put);
        let guard = SendGuard::default();
        let reason = match tokio::time::timeout(self.timeout, self.exchange_put(body, &guard)).await {
            Ok(Ok(answer)) => return self.read_put(answer),
            Ok(Err(error)) => RetryReason::Connection(Arc::new(error)),
            Err(_) => RetryReason::Timeout,
        };
        // What was never read here did not arrive there: it had no connection.
        if guard.revoke() { Put::NotApplied(reason, None) } else { Put::Unknown(reason, None) }
    }

    /// A live read: no resource version is given, so that no cache answers.
    pub(crate) async fn get(&self) -> Get {
        self.metrics.request(Verb::Get);
        match tokio::time::timeout(self.timeout, self.exchange_get()).await {
            Err(_) => Get::Fault(RetryReason::Timeout, None),
            Ok(Err(error)) => Get::Fault(RetryReason::Connection(Arc::new(error)), None),
            Ok(Ok(answer)) => self.read_get(answer),
        }
    }

    /// The first thing that happened to the object after `version`.
    pub(crate) async fn first_after(&self, version: &str) -> First {
        self.metrics.request(Verb::Watch);
        let patience = self.timeout / WATCH_SHARE;
        match tokio::time::timeout(patience, self.exchange_watch(version, patience)).await {
            Err(_) => First::Fault(RetryReason::Timeout),
            Ok(first) => first,
        }
    }

    async fn exchange_put(&self, body: Bytes, guard: &SendGuard) -> Result<Answer, kube::Error> {
        let params = PostParams { dry_run: false, field_manager: Some(self.manager.clone()) };
        let request = if self.subresource {
            self.collection.replace_subresource("status", &self.object.name, &params, Vec::new())
        } else {
            self.collection.replace(&self.object.name, &params, Vec::new())
        };
        let (parts, _) = request.map_err(kube::Error::BuildRequest)?.into_parts();
        let request = http::Request::from_parts(parts, self.once.body(body, guard).await?);
        Answer::of(self.client.send(request).await?).await
    }

    async fn exchange_get(&self) -> Result<Answer, kube::Error> {
        let request =
            self.collection.get(&self.object.name, &GetParams::default()).map_err(kube::Error::BuildRequest)?;
        Answer::of(self.client.send(request.map(kube::client::Body::from)).await?).await
    }

    async fn exchange_watch(&self, version: &str, patience: Duration) -> First {
        let params = WatchParams {
            field_selector: Some(format!("metadata.name={}", self.object.name)),
            timeout: u32::try_from(patience.as_secs() + 1).ok(),
            bookmarks: false,
            ..WatchParams::default()
        };
        let first = async {
            let request = self.collection.watch(&params, version).map_err(kube::Error::BuildRequest)?;
            let events = self.client.request_events::<Value>(request).await?;
            std::pin::pin!(events).try_next().await
        };
        match first.await {
            Ok(Some(WatchEvent::Added(object) | WatchEvent::Modified(object))) if self.object.is_shown_by(&object) => {
                First::Version(object)
            }
            Ok(Some(WatchEvent::Added(_) | WatchEvent::Modified(_))) => First::Fault(not_the_object()),
            Ok(Some(WatchEvent::Deleted(_))) => First::Deletion,
            Ok(Some(WatchEvent::Error(status))) => no_history(*status),
            Err(kube::Error::Api(status)) => no_history(*status),
            Ok(Some(WatchEvent::Bookmark(_)) | None) => First::Fault(RetryReason::Timeout),
            Err(error) => First::Fault(RetryReason::Connection(Arc::new(error))),
        }
    }

    fn read_put(&self, answer: Answer) -> Put {
        if answer.code.is_success() {
            let object = answer.json().filter(|object| self.object.is_shown_by(object));
            return match object.filter(|object| object["metadata"]["uid"] == self.object.uid.as_str()) {
                Some(object) => Put::Written(object),
                None => Put::Unknown(not_the_object(), None),
            };
        }
        let status = answer.status();
        match answer.code.as_u16() {
            _ if is_denial(&status) => Put::Refused(refusal(answer.code, status)),
            404 if names(&status, &self.object.name) => Put::Missing,
            429 => Put::NotApplied(answer.reason(), answer.retry_after),
            // Admission comes before storage: what it failed on is not applied.
            500 if status.message.contains("failed calling webhook") => Put::NotApplied(answer.reason(), None),
            // The API server could not read the resourceVersion that it was sent, which comes before storage, too.
            500 if status.message.starts_with("strconv.ParseUint: ") => {
                Put::Fatal(answer.reason(), Arc::new(kube::Error::Api(status.boxed())))
            }
            408 | 500.. => Put::Unknown(answer.reason(), answer.retry_after),
            409 if is_refusal(&status) => Put::Refused(refusal(answer.code, status)),
            409 if status.reason == "Conflict" && causes(&status).is_empty() => Put::Conflict,
            422 => Put::Refused(refusal(answer.code, status)),
            400 | 401 | 403 | 413 if is_refusal(&status) => Put::Refused(refusal(answer.code, status)),
            _ => Put::Fatal(answer.reason(), Arc::new(kube::Error::Api(status.boxed()))),
        }
    }

    fn read_get(&self, answer: Answer) -> Get {
        if answer.code.is_success() {
            return match answer.json().filter(|object| self.object.is_shown_by(object)) {
                Some(object) => Get::Found(object),
                None => Get::Fault(not_the_object(), None),
            };
        }
        let status = answer.status();
        match answer.code.as_u16() {
            404 if names(&status, &self.object.name) => Get::Missing,
            408 | 429 | 500.. => Get::Fault(answer.reason(), answer.retry_after),
            _ => Get::Fatal(Arc::new(kube::Error::Api(status.boxed()))),
        }
    }
}

impl Addressee {
    /// Whether `answer` is an object of this name and kind, in some version. A proxy may answer with a page of its own.
    fn is_shown_by(&self, answer: &Value) -> bool {
        let metadata = &answer["metadata"];
        let says_something = |member: &str| metadata[member].as_str().is_some_and(|text| !text.is_empty());
        answer["apiVersion"] == self.api_version.as_str()
            && answer["kind"] == self.kind.as_str()
            && metadata["name"] == self.name.as_str()
            && says_something("uid")
            && says_something("resourceVersion")
    }
}

/// Why an answer with 200 does not count.
fn not_the_object() -> RetryReason {
    RetryReason::Answer { code: 200, reason: String::new(), message: "the answer is not the object".to_owned() }
}

/// A complete HTTP answer.
struct Answer {
    code: StatusCode,
    retry_after: Option<Duration>,
    body: Bytes,
}

impl Answer {
    async fn of(response: http::Response<kube::client::Body>) -> Result<Self, kube::Error> {
        let code = response.status();
        let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let body = response.into_body().collect().await?.to_bytes();
        Ok(Self { code, retry_after: seconds.map(Duration::from_secs), body })
    }

    fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The `Status` that the answer carries, or one made of what a proxy said.
    fn status(&self) -> Status {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| Status::failure(&String::from_utf8_lossy(&self.body), "").with_code(self.code.as_u16()))
    }

    fn reason(&self) -> RetryReason {
        let Status { reason, message, .. } = self.status();
        RetryReason::Answer { code: self.code.as_u16(), reason, message }
    }
}

fn causes(status: &Status) -> &[kube::core::response::StatusCause] {
    status.details.as_ref().map_or(&[], |details| &details.causes)
}

/// Whether the object itself is missing, and not the path to it.
fn names(status: &Status, name: &str) -> bool {
    status.details.as_ref().is_some_and(|details| details.name == name)
}

/// Whether a webhook denied it. The API server passes on whatever code the webhook chose (controller-runtime's
/// is 500 for an error of the webhook's own), and puts these words before its message.
fn is_denial(status: &Status) -> bool {
    status.message.starts_with("admission webhook \"") && status.message.contains("denied the request")
}

/// A refusal by others than webhooks is told from a version conflict by its causes, never by its code.
fn is_refusal(status: &Status) -> bool {
    let causes = causes(status);
    !causes.is_empty() && causes.iter().all(|cause| cause.reason != "FieldManagerConflict")
}

fn refusal(code: StatusCode, status: Status) -> Error {
    let causes = causes(&status).iter().map(|cause| RefusalCause {
        reason: cause.reason.clone(),
        field: cause.field.clone(),
        message: cause.message.clone(),
    });
    Error::Refused { code: code.as_u16(), causes: causes.collect(), reason: status.reason, message: status.message }
}

/// 410: compacted or restarted; 400, 403, 404, 405: the watch is not to be had at all.
fn no_history(status: Status) -> First {
    if status.code == 408 || status.code == 429 || status.code >= 500 {
        let Status { code, reason, message, .. } = status;
        return First::Fault(RetryReason::Answer { code, reason, message });
    }
    First::HistoryGone
}
