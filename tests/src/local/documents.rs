//! CRDs and policies out of the user's files: values in, values out.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value as Json, json};
use statusguard::policies::Content;
use statusguard::{document, policies};
use statusguard_policy::Policy;

use super::sources::{Snapshot, Sources};

/// A CRD as it is applied.
#[derive(Clone, PartialEq)]
pub struct CrdDocument {
    pub file: PathBuf,
    pub name: String,
    pub document: Json,
}

/// A policy that compiles.
#[derive(Clone)]
pub struct PolicyDocument {
    pub file: PathBuf,
    pub document: Json,
    pub policy: Arc<Policy>,
}

/// What was found in some files.
#[derive(Clone)]
pub struct ReadDocuments<T> {
    pub documents: Vec<T>,
    /// What cannot be used, each with its file.
    pub problems: Vec<String>,
    /// What the user should know all the same.
    pub remarks: Vec<String>,
}

impl<T> Default for ReadDocuments<T> {
    fn default() -> Self {
        Self { documents: Vec::new(), problems: Vec::new(), remarks: Vec::new() }
    }
}

/// What the API server itself writes into an object. An apply must not name it.
const SERVER_FIELDS: [&str; 6] =
    ["creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid"];

/// The CRDs of all files, those of lists included.
pub fn crds(sources: &Sources, snapshot: &Snapshot) -> ReadDocuments<CrdDocument> {
    let mut found = ReadDocuments::default();
    for (file, content) in snapshot {
        let before = (found.documents.len(), found.problems.len());
        match read(file, content) {
            Err(problem) => found.problems.push(problem),
            Ok(documents) => {
                for document in documents.into_iter().flat_map(items) {
                    if document["kind"] == "CustomResourceDefinition" {
                        add_crd(&mut found, file, document);
                    }
                }
                if sources.names(file) && (found.documents.len(), found.problems.len()) == before {
                    found.problems.push(format!("{}: no CustomResourceDefinition in it", file.display()));
                }
            }
        }
    }
    found
}

fn add_crd(found: &mut ReadDocuments<CrdDocument>, file: &Path, mut document: Json) {
    let shown = file.display();
    let name = document["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    if name.is_empty() {
        found.problems.push(format!("{shown}: a CustomResourceDefinition without metadata.name"));
        return;
    }
    let version = document["apiVersion"].as_str().unwrap_or_default();
    if version != "apiextensions.k8s.io/v1" {
        found.problems.push(format!(
            "{shown}: CRD {name} is of {version:?}, which is not served any more: write it as apiextensions.k8s.io/v1"
        ));
        return;
    }
    if let Some(first) = found.documents.iter().find(|crd| crd.name == name) {
        found.problems.push(format!("{shown}: CRD {name} is in {}, too: remove one", first.file.display()));
        return;
    }
    if let Some(metadata) = document["metadata"].as_object_mut() {
        metadata.retain(|key, _| !SERVER_FIELDS.contains(&key.as_str()));
    }
    if let Some(members) = document.as_object_mut() {
        members.remove("status");
    }
    if document["spec"]["conversion"]["strategy"] == "Webhook" {
        // Nobody serves it here. Without it, all versions have the same content.
        document["spec"]["conversion"] = json!({ "strategy": "None" });
        found.remarks.push(format!("{shown}: CRD {name} is applied without its conversion webhook"));
    }
    found.documents.push(CrdDocument { file: file.to_owned(), name, document });
}

/// The policies of all files. Of a file with a problem, the policies that it held `before` stay.
pub fn policies_of(sources: &Sources, snapshot: &Snapshot, before: &[PolicyDocument]) -> ReadDocuments<PolicyDocument> {
    let mut found = ReadDocuments::default();
    for (file, content) in snapshot {
        let problems = found.problems.len();
        add_policies(&mut found, sources, file, content);
        if found.problems.len() > problems {
            for last in before.iter().filter(|policy| policy.file == *file) {
                if found.documents.iter().all(|policy| policy.policy.name() != last.policy.name()) {
                    found.documents.push(last.clone());
                }
            }
        }
    }
    found
}

fn add_policies(found: &mut ReadDocuments<PolicyDocument>, sources: &Sources, file: &Path, content: &[u8]) {
    let shown = file.display();
    let parsed = document::documents(file, content);
    match Content::of(&parsed) {
        Content::Policies => {}
        _ if sources.names(file) => {
            found.problems.push(format!("{shown}: no StatusPolicy in it"));
            return;
        }
        Content::Tests => return,
        Content::Other => {
            found.remarks.push(format!("{shown}: no StatusPolicy in it; skipped"));
            return;
        }
    }
    let documents = match parsed.and_then(|documents| policies::to_json(file, &documents)) {
        Ok(documents) => documents,
        Err(error) => {
            found.problems.push(whole(error));
            return;
        }
    };
    for document in documents {
        let policy = match Policy::compile(&document) {
            Ok(policy) => policy,
            Err(problems) => {
                found.problems.extend(problems.iter().map(|problem| format!("{shown}: {problem}")));
                continue;
            }
        };
        found.remarks.extend(policy.warnings().iter().map(|problem| format!("{shown}: {problem}")));
        match found.documents.iter().find(|other| other.policy.name() == policy.name()) {
            Some(first) => found.problems.push(format!(
                "{shown}: StatusPolicy {} is in {}, too: remove one",
                policy.name(),
                first.file.display()
            )),
            None => found.documents.push(PolicyDocument { file: file.to_owned(), document, policy: Arc::new(policy) }),
        }
    }
}

fn read(file: &Path, content: &[u8]) -> Result<Vec<Json>, String> {
    let documents = document::documents(file, content).map_err(whole)?;
    let json = documents.iter().map(document::json).collect::<Result<_, _>>();
    json.map_err(|error| format!("{}: {error}", file.display()))
}

/// The objects of a list, or the object itself.
fn items(mut document: Json) -> Vec<Json> {
    match document.get_mut("items").map(Json::take) {
        Some(Json::Array(items)) => items,
        _ => vec![document],
    }
}

/// An error with all its causes.
fn whole(error: document::Error) -> String {
    format!("{:#}", anyhow::Error::from(error))
}

/// Lines that were not there before.
pub fn news<'l>(lines: &'l [String], before: &'l [String]) -> impl Iterator<Item = &'l String> {
    lines.iter().filter(|line| !before.contains(line))
}
