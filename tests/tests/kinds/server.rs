//! Requests to the API server and their whole answers: a typed client shows neither codes of success nor warnings.

use futures::{StreamExt as _, stream};
use http::{Method, Request};
use kube::Client;
use kube::client::Body;
use serde_json::Value;

/// How many requests are on their way at a time.
const AT_A_TIME: usize = 8;

/// An answer of the API server.
#[derive(Debug)]
pub struct ApiResponse {
    pub code: u16,
    pub warnings: Vec<String>,
    /// The object, the list, or the Status that refuses.
    pub body: Value,
}

impl ApiResponse {
    /// The object of an answer that did not refuse.
    pub fn object(self, what: &str) -> Value {
        assert!(self.code < 300, "{what}: {self:?}");
        self.body
    }

    pub fn reason(&self) -> &str {
        self.body["reason"].as_str().unwrap_or_default()
    }

    pub fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }

    /// Reason and field of every cause.
    pub fn causes(&self) -> Vec<(&str, &str)> {
        let causes = self.body["details"]["causes"].as_array().into_iter().flatten();
        let texts = ["reason", "field"];
        causes.map(|cause| texts.map(|name| cause[name].as_str().unwrap_or_default()).into()).collect()
    }

    /// Whether the kind's schema refused, and nothing else.
    pub fn is_of_the_schema(&self) -> bool {
        let causes = self.causes();
        let invalid = self.code == 422
            && self.reason() == "Invalid"
            && !causes.is_empty()
            && causes.iter().all(|(reason, _)| reason.starts_with("FieldValue"));
        // A value of another type cannot be applied at all, which the API server calls an error of its own.
        let untyped = self.code == 500 && self.message().starts_with("failed to create typed patch object");
        invalid || untyped
    }
}

pub async fn get(client: &Client, path: &str) -> ApiResponse {
    send(client, Method::GET, path, None).await
}

pub async fn post(client: &Client, path: &str, body: &Value) -> ApiResponse {
    send(client, Method::POST, path, Some(("application/json", body))).await
}

pub async fn put(client: &Client, path: &str, body: &Value) -> ApiResponse {
    send(client, Method::PUT, path, Some(("application/json", body))).await
}

pub async fn delete(client: &Client, path: &str) -> ApiResponse {
    send(client, Method::DELETE, path, None).await
}

/// PATCH of the kind that the content type says.
pub async fn patch(client: &Client, path: &str, content_type: &str, body: &Value) -> ApiResponse {
    send(client, Method::PATCH, path, Some((content_type, body))).await
}

pub async fn merge_patch(client: &Client, path: &str, body: &Value) -> ApiResponse {
    patch(client, path, "application/merge-patch+json", body).await
}

async fn send(client: &Client, method: Method, path: &str, content: Option<(&str, &Value)>) -> ApiResponse {
    let mut request = Request::builder().method(method).uri(path).header("Accept", "application/json");
    let mut body = Vec::new();
    if let Some((content_type, content)) = content {
        request = request.header("Content-Type", content_type);
        body = content.to_string().into_bytes();
    }
    let response = client.send(request.body(Body::from(body)).unwrap()).await.unwrap();
    let code = response.status().as_u16();
    let warnings = response.headers().get_all("warning").iter();
    let warnings = warnings.map(|value| value.to_str().unwrap().to_owned()).collect();
    let body = response.into_body().collect_bytes().await.unwrap();
    ApiResponse { code, warnings, body: serde_json::from_slice(&body).unwrap() }
}

/// Runs the work for all items, some at a time. The order of the results is that of their ends.
pub async fn side_by_side<T, F: Future>(items: Vec<T>, work: impl FnMut(T) -> F) -> Vec<F::Output> {
    stream::iter(items).map(work).buffer_unordered(AT_A_TIME).collect().await
}
