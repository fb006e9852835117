//! Requests to the API server: sent within a time, and what can become of them.

use std::fmt;
use std::time::Duration;

use kube::Client;
use kube::core::Status;
use kube::runtime::watcher;
use serde::de::DeserializeOwned;
use statusguard_certs::with_sources;

/// Why a request failed.
#[derive(Debug)]
pub enum RequestError {
    /// There is no such object, or the API server does not serve its resource.
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

/// Sends a request and reads its answer, both within `time`.
pub async fn send<T: DeserializeOwned>(
    client: &Client,
    time: Duration,
    request: Result<http::Request<Vec<u8>>, impl fmt::Display>,
) -> Result<T, RequestError> {
    let request = request.map_err(|error| RequestError::Unreachable(error.to_string()))?;
    match tokio::time::timeout(time, client.request(request)).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(RequestError::no_answer(time)),
    }
}

impl RequestError {
    /// No answer came within this time.
    pub fn no_answer(time: Duration) -> Self {
        Self::Unreachable(format!("no answer within {time:?}"))
    }

    /// Whether a watch failed at its listing, and why.
    pub fn of_watch(error: watcher::Error) -> (bool, Self) {
        match error {
            watcher::Error::InitialListFailed(error) => (true, error.into()),
            watcher::Error::WatchStartFailed(error) | watcher::Error::WatchFailed(error) => (false, error.into()),
            watcher::Error::WatchError(status) => (false, (*status).into()),
            other => (true, Self::Unreachable(other.to_string())),
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
            Self::Absent => f.write_str("the API server has no such object or resource"),
            Self::Conflict => f.write_str("the object has changed"),
            Self::Refused(code, message) => write!(f, "HTTP {code}: {message}"),
            Self::Forbidden(message) | Self::Invalid(message, _) | Self::Unreachable(message) => f.write_str(message),
        }
    }
}
