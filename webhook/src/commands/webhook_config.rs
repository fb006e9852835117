//! `statusguard webhook-config`: the whole ValidatingWebhookConfiguration for a folder of policies and an authority.
//!
//! Its entries are made by the same code as those that a guard keeps in its cluster. Only the scope is not exact,
//! because no API server is asked: an entry matches its resource with and without a namespace.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail};
use k8s_openapi::api::admissionregistration::v1::{ValidatingWebhook, ValidatingWebhookConfiguration};
use kube::core::ObjectMeta;
use statusguard_certs::with_sources;
use statusguard_policy::Policy;

use crate::args::{ManifestFormat, WebhookConfigArgs};
use crate::cluster::configuration::{Backend, TargetScope, check_bundle, entry};
use crate::cluster::policies::switched_off;
use crate::exit::Exit;
use crate::guard::policy_folder;
use crate::{document, output, policies};

/// Keeps the admissions enforcer of AKS from adding terms to the entries' selectors.
const ENFORCER_DISABLED: (&str, &str) = ("admissions.enforcer/disabled", "true");

/// Prints the configuration, or names all that is wrong and prints nothing.
pub fn run(args: &WebhookConfigArgs) -> anyhow::Result<Exit> {
    let WebhookConfigArgs { policy_dir, ca, name, namespace, service, service_port, output } = args;
    let bundle = bundle(ca)?;
    let policies = compiled(policy_dir)?;
    let backend = Backend { namespace: namespace.clone(), service: service.clone(), port: *service_port };
    let configuration = ValidatingWebhookConfiguration {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            labels: Some([ENFORCER_DISABLED].map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
            ..ObjectMeta::default()
        },
        webhooks: Some(entries(&policies, &backend, &bundle)?),
    };
    // By way of a value, so that keys are sorted.
    let value = serde_json::to_value(&configuration)?;
    output::print(&match output {
        ManifestFormat::Yaml => yaml(&value)?,
        ManifestFormat::Json => format!("{}\n", serde_json::to_string_pretty(&value)?),
    })?;
    Ok(Exit::Success)
}

/// One document. Long texts, such as a bundle, stay on their line.
fn yaml(value: &serde_json::Value) -> anyhow::Result<String> {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    serde_saphyr::to_string_with_options(value, options).context("writing YAML")
}

fn bundle(file: &Path) -> anyhow::Result<Vec<u8>> {
    let content = document::content(file)?;
    if let Err(problem) = check_bundle(&content) {
        bail!("--ca {}: {problem}; name a file of CA certificates in PEM", file.display());
    }
    Ok(content)
}

/// The policies of a folder by their names.
fn compiled(folder: &Path) -> anyhow::Result<BTreeMap<String, Policy>> {
    let (mut found, mut problems) = (BTreeMap::new(), Vec::new());
    let files =
        policy_folder::read(folder).map_err(|error| anyhow::anyhow!("--policy-dir: {}", with_sources(&error)))?;
    for (file, content) in files {
        let documents = document::documents(&file, &content).and_then(|documents| match &*documents {
            // A file of comments, which is how a folder without policies looks.
            [] => Ok(Vec::new()),
            documents => policies::to_json(&file, documents),
        });
        match documents {
            Err(error) => problems.push(format!("{:#}", anyhow::Error::from(error))),
            Ok(documents) => {
                for document in &documents {
                    match Policy::compile(document) {
                        Ok(policy) if found.contains_key(policy.name()) => {
                            let name = policy.name();
                            problems.push(format!("{}: a second policy is called {name}; remove one", file.display()));
                        }
                        Ok(policy) => _ = found.insert(policy.name().to_owned(), policy),
                        Err(found) => {
                            problems.extend(found.iter().map(|problem| format!("{}: {problem}", file.display())));
                        }
                    }
                }
            }
        }
    }
    if problems.is_empty() {
        return Ok(found);
    }
    problems.iter().for_each(|problem| output::remark(problem));
    let count = output::counted(problems.len(), "problem", "problems");
    bail!("nothing is printed because of {count}; `statusguard policy lint` says more");
}

/// The entries of all policies that a guard would be asked about.
fn entries(
    policies: &BTreeMap<String, Policy>,
    backend: &Backend,
    bundle: &[u8],
) -> anyhow::Result<Vec<ValidatingWebhook>> {
    let mut entries = Vec::new();
    for (name, policy) in policies {
        if let Some((_, why)) = switched_off(policy) {
            output::remark(&format!("{name} has no entry: {why}"));
            continue;
        }
        let entry = entry(policy, TargetScope::Any, backend, bundle);
        entries.push(entry.with_context(|| format!("making the entry of {name}"))?);
    }
    Ok(entries)
}
