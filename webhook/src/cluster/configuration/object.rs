//! The one object at the API server, as raw JSON.

use std::fmt;
use std::time::Duration;

use kube::Client;
use kube::api::{GetParams, PostParams, Request};
use serde_json::Value as Json;

use crate::cluster::request::{RequestError, send};

/// The collection that the object is in.
const PATH: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";

/// Reads and writes the object.
pub struct ObjectRequests {
    client: Client,
    name: String,
    parameters: PostParams,
    time: Duration,
}

impl ObjectRequests {
    pub fn new(client: Client, name: &str, field_manager: &str, time: Duration) -> Self {
        let parameters = PostParams { field_manager: Some(field_manager.to_owned()), ..PostParams::default() };
        Self { client, name: name.to_owned(), parameters, time }
    }

    /// Reads the object, never from a cache.
    pub async fn get(&self) -> Result<Json, RequestError> {
        self.send(Request::new(PATH).get(&self.name, &GetParams::default())).await
    }

    /// Writes the object in place of the version that it was made from.
    pub async fn put(&self, object: &Json) -> Result<Json, RequestError> {
        self.send(Request::new(PATH).replace(&self.name, &self.parameters, object.to_string().into_bytes())).await
    }

    async fn send(&self, request: Result<http::Request<Vec<u8>>, impl fmt::Display>) -> Result<Json, RequestError> {
        let answer: Json = send(&self.client, self.time, request).await?;
        match answer["metadata"]["resourceVersion"].is_string() && answer["metadata"]["name"] == self.name.as_str() {
            true => Ok(answer),
            false => Err(RequestError::Unreachable("the answer is not the object that was asked for".to_owned())),
        }
    }
}
