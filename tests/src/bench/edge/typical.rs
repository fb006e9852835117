//! A typical webhook written with kube: the review parsed whole into its types, the rules of the policy
//! `notificationrequests.kubernaut.ai` written by hand.

use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use kube::core::DynamicObject;
use kube::core::admission::{AdmissionRequest, AdmissionResponse, AdmissionReview};
use serde_json::Value;

/// The routes of the server.
pub fn routes() -> Router {
    Router::new().route("/admit/{group}/{resource}", post(admit)).layer(DefaultBodyLimit::max(super::server::BODY))
}

async fn admit(body: Bytes) -> Response {
    let review: Result<AdmissionReview<DynamicObject>, _> = serde_json::from_slice(&body);
    let request: Option<AdmissionRequest<DynamicObject>> = review.ok().and_then(|review| review.try_into().ok());
    let Some(request) = request else { return StatusCode::BAD_REQUEST.into_response() };
    let mut response = AdmissionResponse::from(&request);
    if let (Some(old), Some(new)) = (&request.old_object, &request.object) {
        let problems = problems(&old.data["status"], &new.data["status"], new.metadata.generation.unwrap_or_default());
        if !problems.is_empty() {
            tracing::info!(name = request.name, problems = problems.join(","), "write refused");
            response =
                response.deny(format!("{} {}: {}", request.resource.resource, request.name, problems.join("; ")));
            response.result.code = 409;
            response.result.reason = "Conflict".to_owned();
        }
    }
    match serde_json::to_vec(&response.into_review()) {
        Ok(reply) => ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], reply).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Why the write must be refused.
fn problems(old: &Value, new: &Value, generation: i64) -> Vec<String> {
    let mut problems = Vec::new();
    if old == new {
        return problems;
    }
    let (was, is) = (phase(old), phase(new));
    if was != is && !legal(was, is) {
        problems.push(format!("phase: {was} -> {is}"));
    }
    for counter in ["totalAttempts", "successfulDeliveries", "observedGeneration"] {
        if number(new, counter) < number(old, counter) {
            problems.push(format!("{counter} fell"));
        }
    }
    if number(new, "observedGeneration") > generation.max(number(old, "observedGeneration")) {
        problems.push("observedGeneration is above the generation".to_owned());
    }
    for time in ["queuedAt", "processingStartedAt", "completionTime"] {
        if !is_unset(&old[time]) && old[time] != new[time] {
            problems.push(format!("{time} was set before"));
        }
    }
    if is_final(is) && was != is && is_unset(&new["completionTime"]) {
        problems.push("completionTime is missing".to_owned());
    }
    if is_final(was) {
        let frozen =
            ["reason", "message", "totalAttempts", "successfulDeliveries", "failedDeliveries", "deliveryAttempts"];
        for field in frozen {
            if !is_unset(&old[field]) && old[field] != new[field] {
                problems.push(format!("{field} changed after the end"));
            }
        }
    }
    let (before, after) = (attempts(old), attempts(new));
    if !after.starts_with(before) {
        problems.push("deliveryAttempts lost or changed an entry".to_owned());
    }
    let key = |entry: &Value| (entry["channel"].clone(), entry["attempt"].clone());
    let doubled =
        after.iter().enumerate().any(|(index, entry)| after[..index].iter().any(|other| key(other) == key(entry)));
    if doubled {
        problems.push("deliveryAttempts has an entry twice".to_owned());
    }
    if after.len() as i64 != number(new, "totalAttempts") {
        problems.push("totalAttempts is not the number of deliveryAttempts".to_owned());
    }
    problems
}

fn phase(status: &Value) -> &str {
    status["phase"].as_str().unwrap_or_default()
}

fn legal(from: &str, to: &str) -> bool {
    match from {
        "" => to == "Pending",
        "Pending" => matches!(to, "Sending" | "Failed"),
        "Sending" => matches!(to, "Sent" | "Retrying" | "PartiallySent" | "Failed"),
        "Retrying" => matches!(to, "Sent" | "PartiallySent" | "Failed"),
        _ => false,
    }
}

fn is_final(phase: &str) -> bool {
    matches!(phase, "Sent" | "PartiallySent" | "Failed")
}

fn number(status: &Value, field: &str) -> i64 {
    status[field].as_i64().unwrap_or_default()
}

fn attempts(status: &Value) -> &[Value] {
    status["deliveryAttempts"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn is_unset(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Array(items) => items.is_empty(),
        Value::Bool(_) | Value::Object(_) => false,
    }
}
