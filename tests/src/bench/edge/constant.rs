//! The constant reply, the least that a webhook can do on this stack: read the whole body, find the review's uid by the guard's own
//! scan, answer Allow.

use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use statusguard_edge::Review;

/// The routes of the server.
pub fn routes() -> Router {
    Router::new().route("/admit/{group}/{resource}", post(allow)).layer(DefaultBodyLimit::max(super::server::BODY))
}

async fn allow(body: Bytes) -> Response {
    let Ok(review) = Review::read(&body) else { return StatusCode::BAD_REQUEST.into_response() };
    let uid = review.uid;
    let reply = format!(
        r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{{"uid":"{uid}","allowed":true}}}}"#
    );
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], reply).into_response()
}
