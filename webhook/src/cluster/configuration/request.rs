//! Requests for the one object, as raw JSON, and what can become of them.

use std::fmt;
use std::time::Duration;

use kube::Client;
use kube::api::{GetParams, PostParams, Request};
use kube::core::Status;
use kube::runtime::watcher;
use serde_json::Value as Json;

/// What the guard asks of the API server, as roles name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestVerb {
    /// Read the object.
    Get,
    /// Begin to watch it.
    List,
    /// Watch it.
    Watch,
    /// Write it.
    Update,
    /// Create an Event.
    Create,
}

/// Why a request failed.
#[derive(Debug)]
pub enum RequestError {
    /// There is no such object.
    Absent,
    /// The object has changed since it was read.
    Conflict,
    /// The right is missing.
    Forbidden(String),
    /// What was written is not valid: the API server's words, and the fields that it names.
    Invalid(String, Vec<String>),
    /// Everything else that the API server refuses.
    Refused(u16, String),
    /// There was no answer, or none that could be read.
    Unreachable(String),
}

/// The collection that the object is in.
const PATH: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";

/// The object at the API server.
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
        let request = Request::new(PATH).get(&self.name, &GetParams::default());
        self.send(request.map_err(|error| RequestError::Unreachable(error.to_string()))?).await
    }

    /// Writes the object in place of the version that it was made from.
    pub async fn put(&self, object: &Json) -> Result<Json, RequestError> {
        let request = Request::new(PATH).replace(&self.name, &self.parameters, object.to_string().into_bytes());
        self.send(request.map_err(|error| RequestError::Unreachable(error.to_string()))?).await
    }

    async fn send(&self, request: http::Request<Vec<u8>>) -> Result<Json, RequestError> {
        let answer: Json = match tokio::time::timeout(self.time, self.client.request(request)).await {
            Ok(answer) => answer?,
            Err(_) => return Err(RequestError::Unreachable(format!("no answer within {:?}", self.time))),
        };
        match answer["metadata"]["resourceVersion"].is_string() && answer["metadata"]["name"] == self.name.as_str() {
            true => Ok(answer),
            false => Err(RequestError::Unreachable("the answer is not the object that was asked for".to_owned())),
        }
    }
}

impl RequestVerb {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Get, Self::List, Self::Watch, Self::Update, Self::Create];

    /// As roles name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Update => "update",
            Self::Create => "create",
        }
    }
}

impl RequestError {
    /// Errors that are one and the same to whoever reads the log.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Conflict => "conflict",
            Self::Forbidden(_) => "forbidden",
            Self::Invalid(..) => "invalid",
            Self::Refused(..) => "refused",
            Self::Unreachable(_) => "unreachable",
        }
    }

    /// The verb that a watch failed at, and why.
    pub fn of_watch(error: watcher::Error) -> (RequestVerb, Self) {
        match error {
            watcher::Error::InitialListFailed(error) => (RequestVerb::List, error.into()),
            watcher::Error::WatchStartFailed(error) | watcher::Error::WatchFailed(error) => {
                (RequestVerb::Watch, error.into())
            }
            watcher::Error::WatchError(status) => (RequestVerb::Watch, (*status).into()),
            other => (RequestVerb::List, Self::Unreachable(other.to_string())),
        }
    }
}

impl From<Status> for RequestError {
    fn from(status: Status) -> Self {
        let Status { code, message, details, .. } = status;
        match code {
            404 => Self::Absent,
            409 => Self::Conflict,
            401 | 403 => Self::Forbidden(message),
            422 => {
                let causes = details.map(|details| details.causes).unwrap_or_default();
                Self::Invalid(message, causes.into_iter().map(|cause| cause.field).collect())
            }
            code => Self::Refused(code, message),
        }
    }
}

impl From<kube::Error> for RequestError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => (*status).into(),
            other => Self::Unreachable(with_sources(&other)),
        }
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("there is no such object"),
            Self::Conflict => f.write_str("the object has changed"),
            Self::Refused(code, message) => write!(f, "HTTP {code}: {message}"),
            Self::Forbidden(message) | Self::Invalid(message, _) | Self::Unreachable(message) => f.write_str(message),
        }
    }
}

/// An error with what caused it, unless it says that itself.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        source = error.source();
    }
    text
}
