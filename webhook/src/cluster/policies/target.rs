//! What the API server serves of a policy's target.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIResourceList;
use serde_json::Value as Json;
use statusguard_policy::spec::Target;

/// A resource as its CRD or discovery describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServedTarget {
    namespaced: bool,
    /// Whether it has a CRD.
    of_crd: bool,
    /// Whether each version that is served has a status subresource.
    versions: BTreeMap<String, bool>,
    /// The versions of the group, where the version that was asked for is none of them.
    group_versions: Vec<String>,
    /// Why a CRD is not served, if there is one that is not.
    not_established: Option<String>,
}

/// Why a target cannot be guarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotServed {
    /// As conditions give it.
    pub reason: &'static str,
    /// What is not there, and what to do.
    pub message: String,
}

impl ServedTarget {
    /// From a CustomResourceDefinition.
    pub fn of_crd(crd: &Json) -> Self {
        let spec = &crd["spec"];
        let served = spec["versions"].as_array().into_iter().flatten().filter(|version| version["served"] == true);
        let has_status = |version: &Json| version["subresources"].get("status").is_some_and(|status| !status.is_null());
        let versions = served.filter_map(|version| Some((version["name"].as_str()?.to_owned(), has_status(version))));
        Self {
            namespaced: spec["scope"] == "Namespaced",
            of_crd: true,
            versions: versions.collect(),
            group_versions: Vec::new(),
            not_established: not_established(crd),
        }
    }

    /// Whether it has a CRD, and was not found by discovery.
    pub fn is_of_crd(&self) -> bool {
        self.of_crd
    }

    /// Adds what discovery lists of a version.
    pub fn add_version(&mut self, version: &str, resource: &str, list: &APIResourceList) {
        let named = |name: &str| list.resources.iter().find(|listed| listed.name == name);
        if let Some(found) = named(resource) {
            self.namespaced = found.namespaced;
            self.versions.insert(version.to_owned(), named(&format!("{resource}/status")).is_some());
        }
    }

    /// Adds that the group has no such version, but these.
    pub fn add_group(&mut self, versions: Vec<String>) {
        self.group_versions = versions;
    }

    /// Whether the target of a policy is in a namespace.
    ///
    /// # Errors
    /// When it is not served.
    pub fn namespaced(&self, target: &Target) -> Result<bool, NotServed> {
        let Target { group, version, resource, subresource, .. } = target;
        let kind = if group.is_empty() { resource.clone() } else { format!("{resource}.{group}") };
        let not_served = |reason, message| Err(NotServed { reason, message });
        if let Some(why) = &self.not_established {
            return not_served("ResourceNotServed", format!("the CRD {kind} is not established: {why}"));
        }
        match self.versions.get(version) {
            Some(false) if subresource == "status" => not_served(
                "SubresourceNotServed",
                format!(
                    "{kind} has no status subresource in version `{version}`; say `subresource: \"\"` to guard writes to \
                     the object itself, or add the subresource to its CRD"
                ),
            ),
            Some(_) => Ok(self.namespaced),
            None => {
                let versions = match self.versions.is_empty() {
                    true => self.group_versions.join(", "),
                    false => self.versions.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
                };
                if versions.is_empty() {
                    let cure = "correct spec.target; the policy is compiled again as soon as it is served";
                    return not_served("ResourceNotServed", format!("the API server does not serve {kind}; {cure}"));
                }
                let message =
                    format!("the API server does not serve version `{version}` of {kind}; name one of {versions}");
                not_served("VersionNotServed", message)
            }
        }
    }
}

/// Why a CRD is not served, if it is not.
fn not_established(crd: &Json) -> Option<String> {
    let conditions = || crd["status"]["conditions"].as_array().into_iter().flatten();
    let is = |type_: &str, status: &str| {
        conditions().find(|condition| condition["type"] == type_ && condition["status"] == status)
    };
    if is("Established", "True").is_some() {
        return None;
    }
    let refused = is("NamesAccepted", "False").and_then(|condition| condition["message"].as_str());
    Some(refused.unwrap_or("the API server has not begun to serve it yet").to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn target(group: &str, version: &str, subresource: &str) -> Target {
        Target {
            group: group.into(),
            version: version.into(),
            resource: "jobs".into(),
            subresource: subresource.into(),
            ..Target::default()
        }
    }

    fn crd() -> Json {
        json!({
            "spec": { "scope": "Namespaced", "versions": [
                { "name": "v1", "served": true, "subresources": { "status": {} } },
                { "name": "v2", "served": true },
                { "name": "v3", "served": false, "subresources": { "status": {} } },
            ] },
            "status": { "conditions": [{ "type": "Established", "status": "True" }] },
        })
    }

    #[test]
    fn what_a_crd_serves() {
        let served = ServedTarget::of_crd(&crd());
        let reason = |version: &str, subresource: &str| {
            served.namespaced(&target("example.org", version, subresource)).map_err(|error| error.reason)
        };
        assert_eq!(reason("v1", "status"), Ok(true));
        assert_eq!(reason("v2", ""), Ok(true));
        assert_eq!(reason("v2", "status"), Err("SubresourceNotServed"));
        for version in ["v3", "v4"] {
            assert_eq!(reason(version, "status"), Err("VersionNotServed"), "{version}");
        }
        let error = served.namespaced(&target("example.org", "v4", "status")).unwrap_err();
        assert_eq!(error.message, "the API server does not serve version `v4` of jobs.example.org; name one of v1, v2");
    }

    #[test]
    fn a_crd_that_is_not_established_is_not_served() {
        let mut crd = crd();
        crd["status"]["conditions"] =
            json!([{ "type": "NamesAccepted", "status": "False", "message": "\"Job\" is already in use" }]);
        let error = ServedTarget::of_crd(&crd).namespaced(&target("example.org", "v1", "status")).unwrap_err();
        let message = "the CRD jobs.example.org is not established: \"Job\" is already in use";
        assert_eq!((error.reason, error.message.as_str()), ("ResourceNotServed", message));
        crd["status"] = Json::Null;
        assert!(ServedTarget::of_crd(&crd).namespaced(&target("example.org", "v1", "status")).is_err());
    }

    #[test]
    fn what_discovery_serves() {
        let list: APIResourceList = serde_json::from_value(json!({ "groupVersion": "batch/v1", "resources": [
            { "name": "jobs", "singularName": "", "namespaced": true, "kind": "Job", "verbs": [] },
            { "name": "jobs/status", "singularName": "", "namespaced": true, "kind": "Job", "verbs": [] },
        ] }))
        .unwrap();
        let mut served = ServedTarget::default();
        let absent = served.namespaced(&target("batch", "v1", "status")).unwrap_err();
        assert_eq!(absent.reason, "ResourceNotServed");
        served.add_version("v1", "jobs", &list);
        served.add_version("v1", "tasks", &list);
        assert_eq!(served.namespaced(&target("batch", "v1", "status")), Ok(true));
        let mut other = ServedTarget::default();
        other.add_group(vec!["v1".into()]);
        let error = other.namespaced(&target("batch", "v2", "status")).unwrap_err();
        assert_eq!(error.reason, "VersionNotServed");
        assert!(error.message.ends_with("name one of v1"), "{}", error.message);
    }
}
