//! The ways to write a status, each as a writer uses it that knows the old status and wants the new one.

use kube::Client;
use serde_json::{Map, Value, json};

use crate::kind::Kind;
use crate::server::{self, ApiResponse};

/// The field manager of all applied statuses.
const MANAGER: &str = "status-writer";

/// A way to write a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WriteVerb {
    /// PUT with the newest resourceVersion.
    Put,
    /// The difference by RFC 7396.
    MergePatch,
    /// The difference by RFC 6902, member by member of the status.
    JsonPatch,
    /// Server-side apply by the manager that owns all of the old status: what it leaves out goes.
    Apply,
}

pub const VERBS: [WriteVerb; 4] = [WriteVerb::Put, WriteVerb::MergePatch, WriteVerb::JsonPatch, WriteVerb::Apply];

impl WriteVerb {
    /// A part of an object's name.
    pub fn label(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::MergePatch => "merge",
            Self::JsonPatch => "json",
            Self::Apply => "apply",
        }
    }

    /// Writes `new` over `old`, which is what the object has.
    pub async fn write(
        self,
        client: &Client,
        kind: &Kind,
        namespace: &str,
        name: &str,
        (old, new): (&Value, &Value),
    ) -> ApiResponse {
        let object = format!("{}/{name}", kind.path(namespace));
        let status = format!("{object}/status");
        match self {
            Self::Put => {
                let mut whole = server::get(client, &object).await.object("reading before PUT");
                let members = whole.as_object_mut().unwrap();
                match new {
                    Value::Null => members.remove("status"),
                    new => members.insert("status".to_owned(), new.clone()),
                };
                server::put(client, &status, &whole).await
            }
            Self::MergePatch => {
                let difference = merge_difference(old, new).unwrap_or(json!({}));
                server::merge_patch(client, &status, &json!({ "status": difference })).await
            }
            Self::JsonPatch => {
                server::patch(client, &status, "application/json-patch+json", &json_difference(old, new)).await
            }
            Self::Apply => {
                let mut applied = kind.object(name);
                applied.as_object_mut().unwrap().remove("spec");
                if !new.is_null() {
                    applied["status"] = new.clone();
                }
                let path = format!("{status}?fieldManager={MANAGER}&force=true");
                server::patch(client, &path, "application/apply-patch+yaml", &applied).await
            }
        }
    }
}

/// RFC 7396: what turns `old` into `new`; `None` if nothing has to.
fn merge_difference(old: &Value, new: &Value) -> Option<Value> {
    let (Value::Object(before), Value::Object(after)) = (old, new) else {
        return (old != new).then(|| new.clone());
    };
    let gone = before.keys().filter(|name| !after.contains_key(*name)).map(|name| (name.clone(), Value::Null));
    let changed = after.iter().filter_map(|(name, value)| {
        let old = before.get(name).unwrap_or(&Value::Null);
        Some((name.clone(), merge_difference(old, value)?))
    });
    let difference: Map<_, _> = gone.chain(changed).collect();
    (!difference.is_empty()).then_some(Value::Object(difference))
}

/// RFC 6902: the members of the status that go, come and change.
fn json_difference(old: &Value, new: &Value) -> Value {
    let (Value::Object(before), Value::Object(after)) = (old, new) else {
        return match new {
            Value::Null => json!([{ "op": "remove", "path": "/status" }]),
            new => json!([{ "op": "add", "path": "/status", "value": new }]),
        };
    };
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    let gone = gone.map(|name| json!({ "op": "remove", "path": format!("/status/{name}") }));
    let changed = after.iter().filter(|(name, value)| before.get(*name) != Some(value));
    let changed = changed.map(|(name, value)| {
        let op = if before.contains_key(name) { "replace" } else { "add" };
        json!({ "op": op, "path": format!("/status/{name}"), "value": value })
    });
    gone.chain(changed).collect()
}

#[test]
fn a_merge_difference_removes_adds_and_descends() {
    let old = json!({ "a": 1, "b": { "c": 1, "d": 2 }, "e": [1, 2], "same": { "x": 1 } });
    let new = json!({ "a": 1, "b": { "c": 3 }, "e": [2], "f": { "g": 1 }, "same": { "x": 1 } });
    let expected = json!({ "b": { "c": 3, "d": null }, "e": [2], "f": { "g": 1 } });
    assert_eq!(merge_difference(&old, &new), Some(expected));
    assert_eq!(merge_difference(&new, &new), None);
    assert_eq!(merge_difference(&old, &Value::Null), Some(Value::Null));
}

#[test]
fn a_json_difference_names_every_member_that_differs() {
    let old = json!({ "gone": 1, "kept": [1], "changed": 1 });
    let new = json!({ "kept": [1], "changed": 2, "new": 3 });
    let expected = json!([
        { "op": "remove", "path": "/status/gone" },
        { "op": "replace", "path": "/status/changed", "value": 2 },
        { "op": "add", "path": "/status/new", "value": 3 },
    ]);
    assert_eq!(json_difference(&old, &new), expected);
    assert_eq!(json_difference(&Value::Null, &new)[0]["op"], "add");
    assert_eq!(json_difference(&old, &Value::Null), json!([{ "op": "remove", "path": "/status" }]));
}
