//! Whether the API server serves the resource of a policy, and if not, what to do.

use kube::Client;
use statusguard_policy::spec::Target;

/// What keeps a policy from being in force, with a cure; nothing if nothing does.
///
/// # Errors
/// When the API server does not answer.
pub async fn obstacle(client: &Client, target: &Target) -> Result<Option<String>, kube::Error> {
    let Target { group, version, resource, subresource, .. } = target;
    let listed = match group.as_str() {
        "" => client.list_core_api_resources(version).await,
        _ => client.list_api_group_resources(&format!("{group}/{version}")).await,
    };
    let listed = match listed {
        Ok(listed) => listed.resources,
        Err(kube::Error::Api(status)) if status.code == 404 => {
            return versions(client, group).await.map(|versions| Some(not_served(target, &versions)));
        }
        Err(error) => return Err(error),
    };
    let has = |name: &str| listed.iter().any(|listed| listed.name == name);
    if !has(resource) {
        let same = listed.iter().find(|listed| listed.kind == *resource || listed.singular_name == *resource);
        return Ok(Some(match same {
            Some(same) => format!("target.resource is the plural: write {}", same.name),
            None => format!(
                "the API server does not serve {resource} in {}: give the CRD with --crds",
                joined(group, version)
            ),
        }));
    }
    if !subresource.is_empty() && !has(&format!("{resource}/{subresource}")) {
        let cure = if target.core { "" } else { "add it to the CRD, or " };
        return Ok(Some(format!(
            "{resource} in {} has no subresource {subresource}: {cure}write `subresource: \"\"` in the target",
            joined(group, version)
        )));
    }
    Ok(None)
}

/// The versions of a group that are served.
async fn versions(client: &Client, group: &str) -> Result<Vec<String>, kube::Error> {
    if group.is_empty() {
        return Ok(client.list_core_api_versions().await?.versions);
    }
    let groups = client.list_api_groups().await?.groups;
    let found = groups.into_iter().find(|found| found.name == group);
    Ok(found.into_iter().flat_map(|found| found.versions).map(|version| version.version).collect())
}

fn not_served(target: &Target, versions: &[String]) -> String {
    let Target { group, version, resource, .. } = target;
    if versions.is_empty() {
        return format!("the API server does not serve {resource}.{group}: give the CRD with --crds");
    }
    format!(
        "the API server does not serve version {version} of {group}, but {}: name one of them in the target, or give \
         the CRD with --crds",
        versions.join(", ")
    )
}

fn joined(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}
