//! The JSON that goes back: an AdmissionReview for what was judged, a Status for what was not.
//!
//! A call that fails (malformed, too large, too slow) is answered with a `v1` Status, because the
//! API server shows a Status' message to the client word for word and replaces any other body by a
//! general phrase. `details.uid` echoes the review's uid.

use std::borrow::Cow;
use std::collections::BTreeMap;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::judge::{Cause, Denial};
use crate::review::Review;
use crate::shown::shown;

/// The API server cuts warnings when they have more characters than this in all.
const WARNINGS_TOTAL: usize = 4096;
/// The characters to which it then cuts each of them.
const WARNING_CUT: usize = 256;
/// Room that is made for a reply, and for one with a denial.
const USUAL_REPLY: usize = 256;
const USUAL_DENIAL: usize = 2048;
/// Longest annotation key: the name part of a qualified name.
const KEY_LENGTH: usize = 63;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReviewBody<'a> {
    api_version: &'static str,
    kind: &'static str,
    response: ResponseBody<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResponseBody<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    audit_annotations: BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    api_version: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    status: &'static str,
    message: &'a str,
    reason: &'a str,
    code: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details<'a>>,
}

#[derive(Serialize, Default)]
struct Details<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    group: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    kind: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    uid: &'a str,
    #[serde(skip_serializing_if = "<[Cause]>::is_empty")]
    causes: &'a [Cause],
}

/// A call that was not judged.
#[derive(Debug)]
pub(crate) struct FailedCall {
    pub(crate) code: StatusCode,
    /// Kubernetes status reason.
    pub(crate) reason: &'static str,
    pub(crate) message: Cow<'static, str>,
    /// The review's uid, when it was read.
    pub(crate) uid: Option<String>,
    /// Seconds after which the API server is to ask again by itself.
    pub(crate) retry_after: Option<u16>,
    /// More of the request may come: nothing else can be read from this connection.
    pub(crate) close: bool,
}

impl FailedCall {
    pub(crate) fn new(code: StatusCode, reason: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, reason, message: message.into(), uid: None, retry_after: None, close: false }
    }

    /// Too much at a time: the API server asks again by itself.
    pub(crate) fn busy(message: &'static str) -> Self {
        Self { retry_after: Some(1), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message) }
    }

    /// The guard could not judge: `failurePolicy` decides.
    pub(crate) fn internal(message: impl Into<Cow<'static, str>>, uid: Option<&str>) -> Self {
        let code = StatusCode::INTERNAL_SERVER_ERROR;
        Self { uid: uid.map(str::to_owned), ..Self::new(code, "InternalError", message) }
    }
}

impl IntoResponse for FailedCall {
    fn into_response(self) -> Response {
        let body = json(
            &Status {
                api_version: Some("v1"),
                kind: Some("Status"),
                status: "Failure",
                message: &self.message,
                reason: self.reason,
                code: self.code.as_u16(),
                details: self.uid.as_deref().map(|uid| Details { uid, ..Details::default() }),
            },
            USUAL_REPLY,
        );
        let mut response = body.into_response();
        *response.status_mut() = self.code;
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self.code == StatusCode::METHOD_NOT_ALLOWED {
            // RFC 9110, 15.5.6.
            headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
        }
        if self.close {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// The reply to a review that was judged.
pub(crate) fn judged(
    review: &Review<'_>,
    denial: Option<&Denial>,
    warnings: Vec<String>,
    annotations: Vec<(String, String)>,
) -> Response {
    let metadata = review.subject().map(|object| &object.metadata);
    let name = shown(metadata.and_then(|metadata| metadata.name.as_deref()).unwrap_or(&review.name));
    let uid = shown(metadata.and_then(|metadata| metadata.uid.as_deref()).unwrap_or_default());
    let (group, kind) = (shown(&review.kind.group), shown(&review.kind.name));
    json(
        &ReviewBody {
            api_version: "admission.k8s.io/v1",
            kind: "AdmissionReview",
            response: ResponseBody {
                uid: &review.uid,
                allowed: denial.is_none(),
                status: denial.map(|denial| Status {
                    api_version: None,
                    kind: None,
                    status: "Failure",
                    message: &denial.message,
                    reason: denial.reason,
                    code: denial.code,
                    details: Some(Details {
                        name: &name,
                        group: &group,
                        kind: &kind,
                        uid: &uid,
                        causes: &denial.causes,
                    }),
                }),
                warnings: clean_warnings(warnings),
                audit_annotations: clean_annotations(annotations),
            },
        },
        if denial.is_some() { USUAL_DENIAL } else { USUAL_REPLY },
    )
}

fn json(body: &impl Serialize, room: usize) -> Response {
    let mut bytes = Vec::with_capacity(room);
    serde_json::to_writer(&mut bytes, body).expect("strings and numbers have a JSON form");
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], bytes).into_response()
}

/// Warnings the API server hands on as they are: one line each, no empty or repeated ones, within
/// its total. Too much: each is cut as the API server would, and a last one counts what is left out.
fn clean_warnings(warnings: Vec<String>) -> Vec<String> {
    let mut clean: Vec<String> = Vec::with_capacity(warnings.len());
    for warning in warnings {
        let line: String = warning.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
        let line = line.trim();
        if !line.is_empty() && !clean.iter().any(|known| known == line) {
            clean.push(line.to_owned());
        }
    }
    let length = |warning: &String| warning.chars().count();
    if clean.iter().map(length).sum::<usize>() <= WARNINGS_TOTAL {
        return clean;
    }
    for warning in &mut clean {
        if let Some((end, _)) = warning.char_indices().nth(WARNING_CUT) {
            warning.truncate(end);
        }
    }
    // As many as leave room for the line that counts the others.
    let mut room = WARNINGS_TOTAL - WARNING_CUT;
    let mut keep = 0;
    for used in clean.iter().map(length) {
        if used > room {
            break;
        }
        room -= used;
        keep += 1;
    }
    if keep < clean.len() {
        let left_out = clean.len() - keep;
        clean.truncate(keep);
        clean.push(format!("{left_out} more warnings"));
    }
    clean
}

/// Keys as the API server accepts them; the first of equal keys wins, as it does there.
fn clean_annotations(annotations: Vec<(String, String)>) -> BTreeMap<String, String> {
    let mut clean = BTreeMap::new();
    for (key, value) in annotations {
        let key: String = key
            .chars()
            .take(KEY_LENGTH)
            .map(|char| match char {
                'A'..='Z' | 'a'..='z' | '0'..='9' | '.' | '_' | '-' => char,
                _ => '_',
            })
            .collect();
        if !key.is_empty() {
            clean.entry(key).or_insert(value);
        }
    }
    clean
}
