//! What is asked of the API server beside the watches.

use std::collections::BTreeSet;
use std::time::Duration;

use http::Request;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{APIGroup, APIResourceList};
use kube::Client;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

use super::problems::{PolicyProblems, PolicyRequest};
use super::target::ServedTarget;
use crate::cluster::request::{RequestError, send};

const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const POLICIES: &str = "/apis/statusguard.dev/v1alpha1/statuspolicies";

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
        problems: &mut PolicyProblems,
    ) -> Result<(ServedTarget, Option<Json>), (RequestError, Duration)> {
        let crd = match self.crd(query).await {
            Ok(crd) => {
                problems.succeeded(PolicyRequest::GetCrd);
                crd
            }
            // Discovery is open to everybody.
            Err(error @ RequestError::Forbidden(_)) => {
                problems.failed(PolicyRequest::GetCrd, &error);
                None
            }
            Err(error) => {
                let delay = problems.failed(PolicyRequest::GetCrd, &error);
                return Err((error, delay));
            }
        };
        if let Some(crd) = crd {
            return Ok((ServedTarget::of_crd(&crd), Some(crd)));
        }
        match self.discovered(query).await {
            Ok(served) => {
                problems.succeeded(PolicyRequest::Discover);
                Ok((served, None))
            }
            Err(error) => {
                let delay = problems.failed(PolicyRequest::Discover, &error);
                Err((error, delay))
            }
        }
    }

    async fn crd(&self, query: &TargetQuery) -> Result<Option<Json>, RequestError> {
        let TargetQuery { group, resource, .. } = query;
        if group.is_empty() {
            return Ok(None);
        }
        let crd: Json = match self.get(&format!("{CRDS}/{resource}.{group}")).await {
            Ok(crd) => crd,
            Err(RequestError::Absent) => return Ok(None),
            Err(error) => return Err(error),
        };
        // A proxy in between may answer anything.
        match crd["spec"]["versions"].is_array() {
            true => Ok(Some(crd)),
            false => Err(RequestError::Unreachable("the answer is not the CRD that was asked for".to_owned())),
        }
    }

    async fn discovered(&self, query: &TargetQuery) -> Result<ServedTarget, RequestError> {
        let TargetQuery { group, resource, versions } = query;
        let mut served = ServedTarget::default();
        for version in versions {
            let path = match group.as_str() {
                "" => format!("/api/{version}"),
                group => format!("/apis/{group}/{version}"),
            };
            match self.get::<APIResourceList>(&path).await {
                Ok(list) => served.add_version(version, resource, &list),
                Err(RequestError::Absent) => {
                    // The list of groups is older than that of resources where a CRD has just been deleted.
                    let others = self.group_versions(group).await?.into_iter().filter(|other| other != version);
                    served.add_group(others.collect());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(served)
    }

    async fn group_versions(&self, group: &str) -> Result<Vec<String>, RequestError> {
        if group.is_empty() {
            return Ok(vec!["v1".to_owned()]);
        }
        match self.get::<APIGroup>(&format!("/apis/{group}")).await {
            Ok(found) => Ok(found.versions.into_iter().map(|version| version.version).collect()),
            Err(RequestError::Absent) => Ok(Vec::new()),
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
    ) -> Result<String, RequestError> {
        let body = json!({ "metadata": { "uid": uid, "resourceVersion": version }, "status": status });
        let uri = format!("{POLICIES}/{name}/status?fieldManager={}", self.field_manager);
        let request = Request::patch(uri).header("Content-Type", "application/merge-patch+json");
        let written: Json = self.send(request.body(body.to_string().into_bytes())).await?;
        match written["metadata"]["resourceVersion"].as_str() {
            Some(version) => Ok(version.to_owned()),
            None => Err(RequestError::Unreachable("the answer is not the policy that was written".to_owned())),
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, RequestError> {
        self.send(Request::get(path).body(Vec::new())).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        request: Result<Request<Vec<u8>>, http::Error>,
    ) -> Result<T, RequestError> {
        send(&self.client, self.time, request).await
    }
}
