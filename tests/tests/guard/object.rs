//! NotificationRequests in the states that the tests speak of, and what is read from an answer.

use http::{Method, Request, StatusCode};
use kube::Client;
use kube::api::ObjectMeta;
use kube::client::Body;
use kube::core::Status;
use kubernaut_api::{NotificationRequest, NotificationRequestSpec};
use serde_json::{Value, json};

/// An answer with its warnings, which the client library does not show.
pub struct ApiResponse {
    pub code: StatusCode,
    pub warnings: Vec<String>,
    pub body: Value,
}

/// An object without a status.
pub fn named(name: &str) -> NotificationRequest {
    let spec: NotificationRequestSpec =
        serde_json::from_value(json!({ "type": "Escalation", "subject": "disk full", "body": "worker-2" })).unwrap();
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    NotificationRequest { metadata, spec, status: None }
}

/// Seen, nothing done.
pub fn pending() -> Value {
    json!({ "phase": "Pending", "queuedAt": "2026-01-01T00:00:00Z" })
}

/// In delivery, after so many attempts.
pub fn sending(attempts: usize) -> Value {
    sending_with((1..=attempts).map(|number| attempt("console", number)).collect())
}

/// In delivery, after these attempts.
pub fn sending_with(attempts: Vec<Value>) -> Value {
    json!({
        "phase": "Sending",
        "queuedAt": "2026-01-01T00:00:00Z",
        "processingStartedAt": "2026-01-01T00:00:05Z",
        "totalAttempts": attempts.len(),
        "deliveryAttempts": attempts,
    })
}

/// Delivered with so many attempts.
pub fn sent(attempts: usize) -> Value {
    let mut status = sending(attempts);
    status["phase"] = json!("Sent");
    status["completionTime"] = json!("2026-01-01T00:01:00Z");
    status
}

/// One entry of the history.
pub fn attempt(channel: &str, number: usize) -> Value {
    json!({ "channel": channel, "attempt": number, "timestamp": "2026-01-01T00:00:10.000000Z", "status": "failed" })
}

/// Puts a whole status into an object.
pub fn with_status(mut object: NotificationRequest, status: &Value) -> NotificationRequest {
    object.status = Some(serde_json::from_value(status.clone()).unwrap());
    object
}

/// The status as JSON.
pub fn status_of(object: &NotificationRequest) -> Value {
    serde_json::to_value(object.status.as_ref().unwrap()).unwrap()
}

/// The Status with which the API server refused.
pub fn refusal<T: std::fmt::Debug>(result: kube::Result<T>) -> Status {
    match result {
        Err(kube::Error::Api(status)) => *status,
        other => panic!("no refusal of the API server: {other:?}"),
    }
}

/// The reason of the cause that names the judged version.
const JUDGED_VERSION: &str = "JudgedVersion";

/// Reason and field of every cause but the judged version, sorted.
pub fn causes(status: &Status) -> Vec<(&str, &str)> {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let mut causes: Vec<_> = causes.map(|cause| (cause.reason.as_str(), cause.field.as_str())).collect();
    causes.retain(|(reason, _)| *reason != JUDGED_VERSION);
    causes.sort_unstable();
    causes
}

/// The version that a refusal was judged on, when its first cause names it.
pub fn judged_version(status: &Status) -> Option<&str> {
    let first = status.details.as_ref()?.causes.first()?;
    let names_it = first.reason == JUDGED_VERSION && first.field == "metadata.resourceVersion";
    names_it.then_some(first.message.as_str())
}

/// The message of the cause at `field`.
pub fn cause_at<'s>(status: &'s Status, field: &str) -> &'s str {
    let mut causes = status.details.iter().flat_map(|details| &details.causes);
    let cause = causes.find(|cause| cause.field == field);
    cause.map(|cause| cause.message.as_str()).unwrap_or_else(|| panic!("no cause at {field}: {status:?}"))
}

/// Merge-patches a status and returns the whole answer.
pub async fn merge_patch(client: &Client, namespace: &str, name: &str, patch: &Value) -> ApiResponse {
    let uri = format!("/apis/kubernaut.ai/v1alpha1/namespaces/{namespace}/notificationrequests/{name}/status");
    let request = Request::builder()
        .method(Method::PATCH)
        .uri(uri)
        .header("Content-Type", "application/merge-patch+json")
        .header("Accept", "application/json")
        .body(Body::from(patch.to_string().into_bytes()))
        .unwrap();
    let response = client.send(request).await.unwrap();
    let code = response.status();
    let warnings = response.headers().get_all("warning").iter();
    let warnings = warnings.map(|value| value.to_str().unwrap().to_owned()).collect();
    let body = serde_json::from_slice(&response.into_body().collect_bytes().await.unwrap()).unwrap();
    ApiResponse { code, warnings, body }
}
