//! What is asked of the API server beside the watches.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use http::Request;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{APIGroup, APIResourceList};
use kube::Client;
use kube::core::Status;
use kube::runtime::watcher;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

use super::target::ServedTarget;
use super::trouble::{PolicyRequest, Troubles};

const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const POLICIES: &str = "/apis/statusguard.dev/v1alpha1/statuspolicies";

/// Why a request failed.
#[derive(Debug)]
pub enum PolicyRequestError {
    /// There is no such thing.
    Absent,
    /// The object has changed since it was read.
    Conflict,
    /// The right is missing.
    Forbidden(String),
    /// Everything else that the API server refuses.
    Refused(u16, String),
    /// There was no answer, or none that could be read.
    Unreachable(String),
}

/// Asks the API server.
pub struct PolicyRequests {
    client: Client,
    field_manager: String,
    time: Duration,
}

/// Which resource is asked for, and in which versions.
#[derive(Debug)]
pub struct TargetQuery {
    pub group: String,
    pub resource: String,
    pub versions: BTreeSet<String>,
}

impl PolicyRequests {
    pub fn new(client: Client, field_manager: &str, time: Duration) -> Self {
        Self { client, field_manager: field_manager.to_owned(), time }
    }

    /// What is served of a target: from its CRD, which comes along, or from discovery.
    ///
    /// # Errors
    /// Why it is not known, and how long to wait before it is asked again.
    pub async fn target(
        &self,
        query: &TargetQuery,
        troubles: &mut Troubles,
    ) -> Result<(ServedTarget, Option<Json>), (PolicyRequestError, Duration)> {
        let crd = match self.crd(query).await {
            Ok(crd) => {
                troubles.succeeded(PolicyRequest::GetCrd);
                crd
            }
            // Discovery is open to everybody.
            Err(error @ PolicyRequestError::Forbidden(_)) => {
                troubles.failed(PolicyRequest::GetCrd, &error);
                None
            }
            Err(error) => {
                let delay = troubles.failed(PolicyRequest::GetCrd, &error);
                return Err((error, delay));
            }
        };
        if let Some(crd) = crd {
            return Ok((ServedTarget::of_crd(&crd), Some(crd)));
        }
        match self.discovered(query).await {
            Ok(served) => {
                troubles.succeeded(PolicyRequest::Discover);
                Ok((served, None))
            }
            Err(error) => {
                let delay = troubles.failed(PolicyRequest::Discover, &error);
                Err((error, delay))
            }
        }
    }

    async fn crd(&self, query: &TargetQuery) -> Result<Option<Json>, PolicyRequestError> {
        let TargetQuery { group, resource, .. } = query;
        if group.is_empty() {
            return Ok(None);
        }
        let crd: Json = match self.get(&format!("{CRDS}/{resource}.{group}")).await {
            Ok(crd) => crd,
            Err(PolicyRequestError::Absent) => return Ok(None),
            Err(error) => return Err(error),
        };
        // A proxy in between may answer anything.
        match crd["spec"]["versions"].is_array() {
            true => Ok(Some(crd)),
            false => Err(PolicyRequestError::Unreachable("the answer is not the CRD that was asked for".to_owned())),
        }
    }

    async fn discovered(&self, query: &TargetQuery) -> Result<ServedTarget, PolicyRequestError> {
        let TargetQuery { group, resource, versions } = query;
        let mut served = ServedTarget::default();
        for version in versions {
            let path = match group.as_str() {
                "" => format!("/api/{version}"),
                group => format!("/apis/{group}/{version}"),
            };
            match self.get::<APIResourceList>(&path).await {
                Ok(list) => served.add_version(version, resource, &list),
                Err(PolicyRequestError::Absent) => served.add_group(self.group_versions(group).await?),
                Err(error) => return Err(error),
            }
        }
        Ok(served)
    }

    async fn group_versions(&self, group: &str) -> Result<Vec<String>, PolicyRequestError> {
        if group.is_empty() {
            return Ok(vec!["v1".to_owned()]);
        }
        match self.get::<APIGroup>(&format!("/apis/{group}")).await {
            Ok(found) => Ok(found.versions.into_iter().map(|version| version.version).collect()),
            Err(PolicyRequestError::Absent) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Writes a status in place of the one of this version of the policy. Returns the policy's new version.
    pub async fn write_status(
        &self,
        name: &str,
        uid: &str,
        version: &str,
        status: &Json,
    ) -> Result<String, PolicyRequestError> {
        let body = json!({ "metadata": { "uid": uid, "resourceVersion": version }, "status": status });
        let uri = format!("{POLICIES}/{name}/status?fieldManager={}", self.field_manager);
        let request = Request::patch(uri).header("Content-Type", "application/merge-patch+json");
        let written: Json = self.send(request.body(body.to_string().into_bytes())).await?;
        match written["metadata"]["resourceVersion"].as_str() {
            Some(version) => Ok(version.to_owned()),
            None => Err(PolicyRequestError::Unreachable("the answer is not the policy that was written".to_owned())),
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, PolicyRequestError> {
        self.send(Request::get(path).body(Vec::new())).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        request: Result<Request<Vec<u8>>, http::Error>,
    ) -> Result<T, PolicyRequestError> {
        let request = request.map_err(|error| PolicyRequestError::Unreachable(error.to_string()))?;
        match tokio::time::timeout(self.time, self.client.request(request)).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(PolicyRequestError::Unreachable(format!("no answer within {:?}", self.time))),
        }
    }
}

impl PolicyRequestError {
    /// Errors that are one and the same to whoever reads the log.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Conflict => "conflict",
            Self::Forbidden(_) => "forbidden",
            Self::Refused(..) => "refused",
            Self::Unreachable(_) => "unreachable",
        }
    }

    /// Whether a watch failed at its beginning, and why.
    pub fn of_watch(error: watcher::Error) -> (bool, Self) {
        match error {
            watcher::Error::InitialListFailed(error) => (true, error.into()),
            watcher::Error::WatchStartFailed(error) | watcher::Error::WatchFailed(error) => (false, error.into()),
            watcher::Error::WatchError(status) => (false, (*status).into()),
            other => (true, Self::Unreachable(other.to_string())),
        }
    }
}

impl From<Status> for PolicyRequestError {
    fn from(status: Status) -> Self {
        let Status { code, message, .. } = status;
        match code {
            404 => Self::Absent,
            409 => Self::Conflict,
            401 | 403 => Self::Forbidden(message),
            code => Self::Refused(code, message),
        }
    }
}

impl From<kube::Error> for PolicyRequestError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => (*status).into(),
            other => {
                let error = anyhow::Error::from(other);
                Self::Unreachable(format!("{error:#}"))
            }
        }
    }
}

impl fmt::Display for PolicyRequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("the API server has no such resource"),
            Self::Conflict => f.write_str("the object has changed"),
            Self::Refused(code, message) => write!(f, "HTTP {code}: {message}"),
            Self::Forbidden(message) | Self::Unreachable(message) => f.write_str(message),
        }
    }
}
