//! The least that a webhook can do on this stack: read the whole body, find the review's uid, answer Allow.

use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;

/// What stands before the uid's text. The API server writes the review's uid before any other.
const UID: &[u8] = b"\"uid\":\"";

/// The routes of the server.
pub fn routes() -> Router {
    Router::new().route("/admit/{group}/{resource}", post(allow)).layer(DefaultBodyLimit::max(super::server::BODY))
}

async fn allow(body: Bytes) -> Response {
    let Some(uid) = uid(&body) else { return StatusCode::BAD_REQUEST.into_response() };
    let reply = format!(
        r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{{"uid":"{uid}","allowed":true}}}}"#
    );
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], reply).into_response()
}

fn uid(body: &[u8]) -> Option<&str> {
    let start = body.windows(UID.len()).position(|window| window == UID)? + UID.len();
    let rest = body.get(start..)?;
    let end = rest.iter().position(|byte| *byte == b'"')?;
    std::str::from_utf8(rest.get(..end)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_uid_is_found() {
        assert_eq!(uid(br#"{"request":{"uid":"a-1","name":"uid"}}"#), Some("a-1"));
        assert_eq!(uid(br#"{"request":{"uid":"a-1"#), None);
        assert_eq!(uid(b"{}"), None);
    }
}
