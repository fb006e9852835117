//! The kind that the writers of a bench contend for: a counter and a list of entries, each with an identity.

use std::collections::HashMap;

use anyhow::Context as _;
use atomic_status::{Dynamic, StatusWriter};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use kube::api::{Api, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use statusguard_tests::unique;

/// What the status of a tally says in the end.
#[derive(Debug)]
pub struct Stored {
    /// The counter.
    pub count: u64,
    /// How often each identity is in the list.
    pub entries: HashMap<String, u64>,
}

impl Stored {
    /// How many entries there are beyond the first of each identity.
    pub fn doubled(&self) -> u64 {
        self.entries.values().map(|times| times - 1).sum()
    }
}

/// Its name in the API server.
pub fn kind() -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("bench.statusguard.dev", "v1", "Tally"), "tallies")
}

/// Its definition.
///
/// # Errors
/// Never, but for a mistake in it.
pub fn definition() -> anyhow::Result<CustomResourceDefinition> {
    let entry = json!({ "type": "object", "required": ["id"], "properties": { "id": { "type": "string" } } });
    let status = json!({
        "type": "object",
        "properties": {
            "count": { "type": "integer", "format": "int64" },
            "entries": { "type": "array", "items": entry },
        },
    });
    let version = json!({
        "name": "v1", "served": true, "storage": true,
        "subresources": { "status": {} },
        "schema": { "openAPIV3Schema": { "type": "object", "properties": { "status": status } } },
    });
    serde_json::from_value(json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": "tallies.bench.statusguard.dev" },
        "spec": {
            "group": "bench.statusguard.dev",
            "scope": "Namespaced",
            "names": { "plural": "tallies", "singular": "tally", "kind": "Tally", "listKind": "TallyList" },
            "versions": [version],
        },
    }))
    .context("the definition of tallies")
}

/// All tallies of a namespace.
pub fn api(client: Client, namespace: &str) -> Api<Dynamic> {
    Api::namespaced_with(client, namespace, &kind())
}

/// A writer of tallies. Every other one has nothing but the ownership of fields to settle a lost answer by.
///
/// # Errors
/// Never, but for a mistake in its name.
pub fn writer(client: Client, number: usize) -> anyhow::Result<StatusWriter<Dynamic>> {
    let builder = StatusWriter::builder_with(client, "statusguard-bench", kind());
    let builder = if number.is_multiple_of(2) { builder.append_only("/entries", "id") } else { builder };
    Ok(builder.build()?)
}

/// Makes a tally without status. It has a label, because of an object created with nothing but a name the API server
/// tracks no field owners, then or later.
///
/// # Errors
/// What the API server says.
pub async fn create(api: &Api<Dynamic>) -> anyhow::Result<Dynamic> {
    let name = unique("tally");
    let metadata = json!({ "name": name, "labels": { "of": "updates" } });
    let fresh = json!({ "apiVersion": "bench.statusguard.dev/v1", "kind": "Tally", "metadata": metadata });
    let fresh: Dynamic = serde_json::from_value(fresh).context("a new tally")?;
    api.create(&PostParams::default(), &fresh).await.with_context(|| format!("creating {name}"))
}

/// Increments the counter and appends an entry: what every update of every benchmark does.
pub fn add(status: &mut Value, id: &str) {
    status["count"] = json!(status["count"].as_u64().unwrap_or_default() + 1);
    match status["entries"].as_array_mut() {
        Some(entries) => entries.push(json!({ "id": id })),
        None => status["entries"] = json!([{ "id": id }]),
    }
}

/// What is stored, read live.
///
/// # Errors
/// When it cannot be read, or is not what updates could have made of it.
pub async fn stored(api: &Api<Dynamic>, name: &str) -> anyhow::Result<Stored> {
    let object = api.get(name).await.with_context(|| format!("reading {name}"))?;
    let status = object.status_as_sent().unwrap_or(&Value::Null);
    let mut entries = HashMap::new();
    for entry in status["entries"].as_array().into_iter().flatten() {
        let id = entry["id"].as_str().context("an entry without identity")?;
        *entries.entry(id.to_owned()).or_default() += 1;
    }
    Ok(Stored { count: status["count"].as_u64().unwrap_or_default(), entries })
}
