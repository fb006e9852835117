//! `statusguard policy init`: a commented first policy from a CRD's schema.
//!
//! Field names tell what a field most likely is; whatever is not certain is written as a
//! comment, and the policy starts in mode Audit, so that a wrong guess refuses nothing.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value as Json;
use statusguard_policy::is_core;

use super::crd::{Crds, names, text, versions};
use crate::document::Error;

/// What a policy says for one of Kubernetes' own groups.
const CORE: &str =
    "    # The group is one of Kubernetes' own: without this line the policy is not enforced in a cluster. Its
    # failurePolicy is always Ignore, so writes go through unguarded while the guard cannot be reached.
    core: true
";

/// One version of a CRD.
struct CrdVersion {
    group: String,
    resource: String,
    kind: String,
    version: String,
    subresource: bool,
    schema: Json,
}

/// What a field is taken for.
enum Guess {
    Phase(Vec<String>),
    Generation,
    Counter,
    Time,
    Conditions,
    Entries { key: Vec<String> },
    Unknown,
}

/// The text of a first policy.
pub fn first_policy(file: &Path, kind: Option<&str>, version: Option<&str>) -> Result<String, Error> {
    let crd = crd_version(file, kind, version)?;
    let Some(status) = crd.schema["properties"]["status"]["properties"].as_object() else {
        let reason = format!("{} {} has no `.status` with properties in its schema", crd.kind, crd.version);
        return Err(Error::unfit(file, reason, "write the policy by hand; `statusguard policy lint` helps"));
    };
    let fields: Vec<(&str, Guess)> = status.iter().map(|(name, schema)| (name.as_str(), guess(name, schema))).collect();
    Ok(write(&crd, &fields))
}

fn crd_version(file: &Path, kind: Option<&str>, version: Option<&str>) -> Result<CrdVersion, Error> {
    let crd = Crds::read(file)?.one(kind)?;
    let chosen = versions(&crd).iter().find(|candidate| match version {
        Some(version) => candidate["name"] == version,
        None => candidate["storage"] == true,
    });
    let Some(chosen) = chosen else {
        let reason = format!("no version {}", version.unwrap_or("that is stored"));
        return Err(Error::unfit(file, reason, format!("choose with --version: {}", names(versions(&crd)))));
    };
    Ok(CrdVersion {
        group: text(&crd["spec"]["group"]),
        resource: text(&crd["spec"]["names"]["plural"]),
        kind: text(&crd["spec"]["names"]["kind"]),
        version: text(&chosen["name"]),
        subresource: !chosen["subresources"]["status"].is_null(),
        schema: chosen["schema"]["openAPIV3Schema"].clone(),
    })
}

fn guess(name: &str, schema: &Json) -> Guess {
    let lower = name.to_ascii_lowercase();
    let ends = |ends: &[&str]| ends.iter().any(|end| lower.ends_with(end));
    let holds = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if !is_plain(name) {
        return Guess::Unknown;
    }
    match schema["type"].as_str() {
        Some("string") if ends(&["phase", "state"]) => {
            let names = schema["enum"].as_array().into_iter().flatten().filter_map(Json::as_str);
            Guess::Phase(names.filter(|name| !name.is_empty()).map(str::to_owned).collect())
        }
        Some("integer") if lower == "observedgeneration" => Guess::Generation,
        Some("integer") if holds(&["attempt", "retr", "restart", "failurecount", "revision"]) => Guess::Counter,
        Some("string") if schema["format"] == "date-time" => {
            match holds(&["last", "next", "renew", "heartbeat", "update", "check"]) {
                true => Guess::Unknown,
                false => Guess::Time,
            }
        }
        Some("array") if lower == "conditions" => Guess::Conditions,
        Some("array") if holds(&["history", "attempt", "event", "log"]) => {
            let keys = schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten();
            let key: Vec<String> = keys.filter_map(Json::as_str).map(str::to_owned).collect();
            if key.iter().all(|name| is_plain(name)) { Guess::Entries { key } } else { Guess::Unknown }
        }
        _ => Guess::Unknown,
    }
}

/// Whether the language has paths with this name.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// Text as one YAML scalar on one line, quoted where YAML 1.1 or 1.2 would read something else: JSON is YAML.
fn scalar(text: &str) -> String {
    let is_word = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word));
    let plain = text.starts_with(|first: char| first.is_ascii_alphabetic()) && text.split('.').all(is_plain);
    if plain && !is_word { text.to_owned() } else { Json::from(text).to_string() }
}

/// Texts as a YAML list on one line.
fn list<'t>(texts: impl IntoIterator<Item = &'t String>) -> String {
    texts.into_iter().map(|text| scalar(text)).collect::<Vec<_>>().join(", ")
}

/// Phases that nothing follows, by their usual names.
fn is_final(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    [
        "succeeded",
        "failed",
        "completed",
        "complete",
        "done",
        "error",
        "cancelled",
        "canceled",
        "aborted",
        "skipped",
        "timedout",
        "expired",
        "sent",
        "finished",
    ]
    .contains(&lower.as_str())
}

fn write(crd: &CrdVersion, fields: &[(&str, Guess)]) -> String {
    let mut text = String::new();
    let out = &mut text;
    let name = if crd.group.is_empty() { crd.resource.clone() } else { format!("{}.{}", crd.resource, crd.group) };
    // Writing to a `String` cannot fail.
    let _ = write!(
        out,
        "# First policy for {kind}, guessed from the schema of its CRD. Read every rule and compare it with
# what the controller does; then run `statusguard policy lint` and write cases for `statusguard policy test`.
apiVersion: statusguard.dev/v1alpha1
kind: StatusPolicy
metadata:
  name: {name}
spec:
  target:
    group: {group}
    version: {version}
    resource: {resource}
    subresource: {subresource}
{core}  # Records what would be refused and refuses nothing. Change to Enforce when the records are as expected.
  mode: Audit
",
        kind = scalar(&crd.kind),
        name = scalar(&name),
        group = scalar(&crd.group),
        version = scalar(&crd.version),
        resource = scalar(&crd.resource),
        core = if is_core(&crd.group) { CORE } else { "" },
        subresource = if crd.subresource { "status" } else { "\"\"" },
    );
    write_phase(fields, out);
    section(
        out,
        "monotone",
        "Counters that only their controller increments. A number that is recounted does not belong here.",
        fields,
        |name, guess| match guess {
            Guess::Generation => Some(format!("    - {{ path: .status.{name}, atMost: .metadata.generation }}\n")),
            Guess::Counter => Some(format!("    - path: .status.{name}\n")),
            _ => None,
        },
    );
    section(out, "setOnce", "Fields that, once set, neither change nor go.", fields, |name, guess| match guess {
        Guess::Time => Some(format!("    - path: .status.{name}\n")),
        _ => None,
    });
    section(
        out,
        "collections",
        "Histories: entries stay as they were written, new ones come at the end.",
        fields,
        |name, guess| match guess {
            Guess::Entries { key } if key.is_empty() => Some(format!(
                "    - path: .status.{name}\n      # key: [...]           # the members that identify an entry\n"
            )),
            Guess::Entries { key } => Some(format!("    - path: .status.{name}\n      key: [{}]\n", list(key))),
            _ => None,
        },
    );
    let unknown = fields.iter().filter(|(_, guess)| matches!(guess, Guess::Unknown));
    let unknown: Vec<String> = unknown.map(|(name, _)| scalar(name)).collect();
    if !unknown.is_empty() {
        let _ = writeln!(out, "  # Not guarded, since nothing is known of them: {}.", unknown.join(", "));
    }
    text
}

fn write_phase(fields: &[(&str, Guess)], out: &mut String) {
    let phase = fields.iter().find_map(|(name, guess)| match guess {
        Guess::Phase(names) => Some((name, names)),
        _ => None,
    });
    let conditions = fields.iter().any(|(_, guess)| matches!(guess, Guess::Conditions));
    match phase {
        Some((name, names)) if !names.is_empty() => write_graph(name, names, out),
        Some((name, _)) => {
            let _ = write!(
                out,
                "  # The schema does not list the phases of .status.{name}. Fill them in:\n  # phases:\n  #   - path: .status.{name}\n  #     initial: [Pending]\n  #     transitions:\n  #       - {{ from: [Pending], to: [Running] }}\n  #     final: []\n"
            );
        }
        None if conditions => out.push_str(
            "  # The state of this kind seems to be in its conditions:\n  # phases:\n  #   - path: .status.conditions\n  #     states: { Done: Complete=True, Failed: Failed=True }\n  #     final: [Done, Failed]\n",
        ),
        None => {}
    }
}

/// A chain in the order of the enum: each phase may go to every later one, final ones end it.
fn write_graph(name: &str, names: &[String], out: &mut String) {
    let (ends, open): (Vec<&String>, Vec<&String>) = names.iter().partition(|name| is_final(name));
    let _ = write!(
        out,
        "  # The edges follow the order of the schema's enum: a guess. Remove those that never happen, add those\n  # that are missing.\n  phases:\n    - path: .status.{name}\n"
    );
    let mut final_phases = ends.clone();
    let mut edges = String::new();
    for (index, phase) in open.iter().enumerate() {
        let mut targets = open[index + 1..].to_vec();
        targets.extend(&ends);
        if targets.is_empty() {
            final_phases.push(phase);
        } else {
            let _ = writeln!(edges, "        - {{ from: [{}], to: [{}] }}", scalar(phase), list(targets));
        }
    }
    if !edges.is_empty() {
        let _ = write!(out, "      transitions:\n{edges}");
    }
    let _ = writeln!(out, "      final: [{}]", list(final_phases));
}

fn section(
    out: &mut String,
    name: &str,
    comment: &str,
    fields: &[(&str, Guess)],
    rule: impl Fn(&str, &Guess) -> Option<String>,
) {
    let rules: String = fields.iter().filter_map(|(name, guess)| rule(name, guess)).collect();
    if !rules.is_empty() {
        let _ = write!(out, "  # {comment}\n  {name}:\n{rules}");
    }
}
