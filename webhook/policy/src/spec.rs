//! The `StatusPolicy` resource: the types of the YAML document, which are also the CRD.
//!
//! The API server keeps unknown fields below `.spec`, so that the compiler can report a misspelt key instead of the
//! server dropping it.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// API group of the policies.
pub const GROUP: &str = "statusguard.dev";
/// Version of the policy resource.
pub const VERSION: &str = "v1alpha1";
/// Kind of the policy resource.
pub const KIND: &str = "StatusPolicy";

/// What the status of one resource may do from one write to the next.
#[derive(CustomResource, Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[kube(
    group = "statusguard.dev",
    version = "v1alpha1",
    kind = "StatusPolicy",
    plural = "statuspolicies",
    shortname = "spol",
    category = "statusguard",
    status = "StatusPolicyStatus",
    doc = "What the status of one resource may do from one write to the next.",
    printcolumn = r#"{"name":"Version","type":"string","jsonPath":".spec.target.version"}"#,
    printcolumn = r#"{"name":"Mode","type":"string","jsonPath":".spec.mode"}"#,
    printcolumn = r#"{"name":"Compiled","type":"string","jsonPath":".status.conditions[?(@.type==\"Compiled\")].status"}"#,
    printcolumn = r#"{"name":"Enforced","type":"string","jsonPath":".status.conditions[?(@.type==\"Enforced\")].status"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.conditions[?(@.type==\"Enforced\")].reason"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name":"Failure Policy","type":"string","jsonPath":".spec.failurePolicy","priority":1}"#,
    printcolumn = r#"{"name":"Message","type":"string","jsonPath":".status.conditions[?(@.type==\"Compiled\")].message","priority":1}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = keep_unknown_fields)]
pub struct StatusPolicySpec {
    /// The resource whose status is guarded.
    pub target: Target,
    /// What happens to a write that violates a rule. Default: Enforce.
    #[serde(default)]
    pub mode: Mode,
    /// The mode by namespace, for a rollout in steps: the name of a namespace, or its beginning and `*`. The longest
    /// match wins; where nothing matches, and without an entry `*` or an empty one for cluster-scoped objects, `mode` holds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub mode_in: BTreeMap<String, Mode>,
    /// What the API server does when the guard cannot be reached. Default: Ignore;
    /// Choose Fail when the guard runs with several replicas.
    #[serde(default)]
    pub failure_policy: FailurePolicy,
    /// Writers whose writes are never refused, such as restore tools and break-glass groups. Their writes
    /// are allowed and recorded as Bypassed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exempt: Option<Exempt>,
    /// Paths whose values never leave the guard: they appear neither in messages nor in records nor in logs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redact: Vec<String>,
    /// Phase machines; several may stand side by side, each judged alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<Phase>,
    /// Numbers, strings of digits and times that never decrease.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub monotone: Vec<Monotone>,
    /// Fields that do not change once they are set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set_once: Vec<SetOnce>,
    /// Lists and maps whose entries stay.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub collections: Vec<Collection>,
    /// Sums that are equal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub equal: Vec<Equal>,
}

impl StatusPolicySpec {
    /// The rules for the whole object.
    #[must_use]
    pub fn rules(&self) -> RuleSet {
        RuleSet {
            phases: self.phases.clone(),
            monotone: self.monotone.clone(),
            set_once: self.set_once.clone(),
            collections: self.collections.clone(),
            equal: self.equal.clone(),
        }
    }
}

impl RuleSet {
    /// Whether there is no rule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { phases, monotone, set_once, collections, equal } = self;
        phases.is_empty() && monotone.is_empty() && set_once.is_empty() && collections.is_empty() && equal.is_empty()
    }
}

impl Resets {
    /// Whether they say nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { from, to, with, within } = self;
        [from, to, with, within].into_iter().all(Option::is_none)
    }
}

/// The resource whose status is guarded.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// API group; empty for the core group.
    pub group: String,
    /// The version in which the rules' paths are written; the API server converts writes in other versions to it.
    pub version: String,
    /// Plural name of the resource.
    pub resource: String,
    /// `status`, or empty for a kind without a status subresource. Default: status.
    #[serde(default = "status_subresource")]
    pub subresource: String,
    /// Must be true to guard one of Kubernetes' own kinds, whose failure policy is always Ignore.
    #[serde(default)]
    pub core: bool,
    /// Selects the namespaces whose objects are guarded; copied to the webhook configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "label_selector")]
    pub namespace_selector: Option<serde_json::Value>,
    /// Selects the objects that are guarded; copied to the webhook configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "label_selector")]
    pub object_selector: Option<serde_json::Value>,
}

fn status_subresource() -> String {
    "status".into()
}

/// What happens to a write that violates a rule.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Mode {
    /// The write is refused.
    #[default]
    Enforce,
    /// The write is allowed and recorded, and the client gets a warning.
    Warn,
    /// The write is allowed and recorded.
    Audit,
    /// The policy is compiled but not enforced.
    Off,
}

/// What the API server does when the guard cannot be reached.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum FailurePolicy {
    /// The write is stored without having been judged.
    #[default]
    Ignore,
    /// The write fails.
    Fail,
}

/// Writers whose writes are never refused.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct Exempt {
    /// User names as the API server knows them, e.g. `system:serviceaccount:velero:velero`.
    #[serde(default)]
    pub users: Vec<String>,
    /// Group names.
    #[serde(default)]
    pub groups: Vec<String>,
}

/// The rules for one entry of a collection, with paths relative to the entry.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleSet {
    /// The phase machines of the entry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<Phase>,
    /// Numbers, strings of digits and times that never decrease.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub monotone: Vec<Monotone>,
    /// Fields that do not change once they are set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set_once: Vec<SetOnce>,
    /// Lists and maps inside the item.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub collections: Vec<Collection>,
    /// Sums that are equal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub equal: Vec<Equal>,
}

/// A phase machine.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Phase {
    /// Where the phase is: a string or, with `states`, a list of conditions.
    pub path: String,
    /// For phases that are kept in a list of conditions: name of the phase to `Type=Status`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub states: BTreeMap<String, String>,
    /// Phases that an object without a phase may enter, also after a reset. Omitted: every phase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial: Option<Vec<String>>,
    /// The transitions between phases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transitions: Vec<Transition>,
    /// Phases that are left only by a transition that names them.
    #[serde(default, rename = "final", skip_serializing_if = "Vec::is_empty")]
    pub final_phases: Vec<String>,
    /// Phases that one write may pass through without storing them; `["*"]`: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skip: Vec<String>,
    /// When the old phase is not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resets: Option<Resets>,
}

/// Transitions from each phase of `from` to each phase of `to`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct Transition {
    /// Names of phases; `"*"`: every phase that is not final; `""`: no phase.
    pub from: Vec<String>,
    /// Names of phases; `"*"`: every phase, also unknown ones; `""`: no phase.
    pub to: Vec<String>,
}

/// When a rule does not compare with the old value.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct Resets {
    /// The old phase is one of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Vec<String>>,
    /// The new phase is one of these, even if the phase did not change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Vec<String>>,
    /// One of these witnesses advanced: it became set, or its number, time or list length increased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with: Option<Vec<String>>,
    /// Inside `each`: one of these witnesses of the entry itself advanced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Vec<String>>,
}

/// A number, string of digits or time that never decreases.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Monotone {
    /// Path of the field.
    pub path: String,
    /// Whether any write may set it to zero.
    #[serde(default)]
    pub to_zero: bool,
    /// Upper bound; only `.metadata.generation` is possible.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<String>,
    /// When the old value is not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resets: Option<Resets>,
}

/// A field that does not change once it is set.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SetOnce {
    /// Path of the field.
    pub path: String,
    /// Phases in which it must be set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub required_in: Vec<String>,
    /// When the old value is not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resets: Option<Resets>,
}

/// A list or map whose entries stay.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct Collection {
    /// Path of the field.
    pub path: String,
    /// Names of the members that identify an entry of a list. Omitted: the whole entry is its identity.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key: Vec<String>,
    /// Where new entries are added. Default: Append; maps are always Any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// How many entries stay: All, or at least the N newest; 0: entries may be removed. Default: All.
    #[serde(default)]
    #[schemars(schema_with = "keep_schema")]
    pub keep: Keep,
    /// Rules for each entry. Omitted: entries do not change; `{}`: their content is not guarded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "free_object")]
    pub each: Option<RuleSet>,
    /// When the old entries are not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resets: Option<Resets>,
}

/// Where new entries of a list are added.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Order {
    /// At the end.
    #[default]
    Append,
    /// At the beginning.
    Prepend,
    /// Anywhere.
    Any,
}

/// How many entries of a collection stay.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Keep {
    /// All of them.
    #[default]
    All,
    /// At least this many of the newest; 0: entries may be removed.
    Newest(u32),
}

impl Serialize for Keep {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Keep::All => serializer.serialize_str("All"),
            Keep::Newest(count) => serializer.serialize_u32(*count),
        }
    }
}

impl<'de> Deserialize<'de> for Keep {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let error = || serde::de::Error::custom("expected `All` or a whole number of entries, 0 or more");
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) if text == "All" => Ok(Keep::All),
            serde_json::Value::Number(number) => {
                number.as_u64().and_then(|count| u32::try_from(count).ok()).map(Keep::Newest).ok_or_else(error)
            }
            _ => Err(error()),
        }
    }
}

/// Two sums that are equal. A term is the path of a number, or `len(path)`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct Equal {
    /// The terms of one side.
    pub left: Vec<String>,
    /// The terms of the other side.
    pub right: Vec<String>,
}

/// What the guard observed of a policy.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusPolicyStatus {
    /// The generation of the policy that the conditions describe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Compiled`: the document is a policy and the API server serves its target.
    /// `Enforced`: the webhook configuration contains it and a call has arrived.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<serde_json::Value>,
}

fn label_selector(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "description": "A label selector (metav1.LabelSelector).",
        "x-kubernetes-preserve-unknown-fields": true,
    })
}

fn keep_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "x-kubernetes-int-or-string": true })
}

fn free_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "nullable": true, "x-kubernetes-preserve-unknown-fields": true })
}

fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["type", "status", "lastTransitionTime", "reason", "message"],
            "properties": {
                "type": { "type": "string", "maxLength": 316 },
                "status": { "type": "string", "enum": ["True", "False", "Unknown"] },
                "observedGeneration": { "type": "integer", "format": "int64", "minimum": 0 },
                "lastTransitionTime": { "type": "string", "format": "date-time" },
                "reason": { "type": "string", "minLength": 1, "maxLength": 1024 },
                "message": { "type": "string", "maxLength": 32768 },
            },
        },
    })
}

/// Marks every object with properties, so that the API server prunes nothing below `.spec`.
fn keep_unknown_fields(schema: &mut Schema) {
    if let Some(object) = schema.as_object_mut() {
        mark(object);
    }
}

fn mark(schema: &mut serde_json::Map<String, serde_json::Value>) {
    if schema.contains_key("properties") {
        schema.insert("x-kubernetes-preserve-unknown-fields".into(), true.into());
    }
    for value in schema.values_mut() {
        match value {
            serde_json::Value::Object(object) => mark(object),
            serde_json::Value::Array(list) => {
                list.iter_mut().filter_map(serde_json::Value::as_object_mut).for_each(mark);
            }
            _ => {}
        }
    }
}
