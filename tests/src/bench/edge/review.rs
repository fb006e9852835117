//! Reviews of any size, as the API server writes them: two whole objects with their managed fields.

use anyhow::{Context as _, ensure};
use hyper::body::Bytes;
use serde_json::{Value, json};

/// What a write does to the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusChange {
    /// Nothing.
    Unchanged,
    /// One step on.
    Legal,
    /// What a writer with a stale base puts.
    Refused,
}

/// One request body.
#[derive(Debug, Clone)]
pub struct RequestBody {
    /// The review's uid, another one in each body.
    pub uid: String,
    /// The review.
    pub bytes: Bytes,
}

/// From this size on the status is about 2 KiB long; below it there is no room.
const LONG_STATUS: usize = 16 << 10;

/// What a label adds to one object, with its line in the managed fields.
const LABEL_BYTES: usize = 82;

/// A log, which is what fills big objects; quotes and newlines are escaped in JSON.
const LOG: &str =
    "2026-03-01T10:00:02.117Z level=warn msg=\"no space left on device\" node=worker-2 device=/dev/nvme0n1 used=97%\n";

impl StatusChange {
    /// Its name in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Legal => "legal",
            Self::Refused => "refused",
        }
    }

    /// Old and new status.
    fn statuses(self, size: usize) -> (Value, Value) {
        if size < LONG_STATUS {
            let pending = json!({ "phase": "Pending", "queuedAt": "2026-03-01T10:00:00Z" });
            let sending = json!({ "phase": "Sending", "queuedAt": "2026-03-01T10:00:00Z" });
            return match self {
                Self::Unchanged => (sending.clone(), sending),
                Self::Legal => (pending, sending),
                Self::Refused => (sending, pending),
            };
        }
        let old = delivering(&attempts(10, "slack:oncall"));
        let new = match self {
            Self::Unchanged => old.clone(),
            Self::Legal => delivering(&attempts(11, "slack:oncall")),
            // Nine attempts read, one made: the tenth, of another writer, is gone.
            Self::Refused => delivering(&[attempts(9, "slack:oncall"), attempts(1, "email:team-storage")].concat()),
        };
        (old, new)
    }
}

/// `count` request bodies of `size` bytes each (or one less) that differ in nothing but their uids.
///
/// # Errors
/// When there is no room for a review in so few bytes.
pub fn bodies(size: usize, write: StatusChange, count: usize) -> anyhow::Result<Vec<RequestBody>> {
    let (old, new) = write.statuses(size);
    let bare = review(0, &[], "", write, &old, &new);
    let room = size.checked_sub(bare.len()).with_context(|| format!("a bare review has {} bytes", bare.len()))?;
    // Six tenths of the filling are labels, the rest is text.
    let labels: Vec<String> =
        (0..room / 2 * 6 / 10 / LABEL_BYTES).map(|n| format!("remediation.example.org/label-{n:05}")).collect();
    let room = (size - review(0, &labels, "", write, &old, &new).len()) / 2;
    let text = text(room);
    (0..count)
        .map(|number| {
            let text = review(number, &labels, &text, write, &old, &new);
            ensure!(size - text.len() <= 1, "a review of {size} bytes has {}", text.len());
            Ok(RequestBody { uid: uid(number), bytes: text.into() })
        })
        .collect()
}

/// The review as the API server writes it: fields of the review in the order of Go's types, those of objects sorted.
fn review(number: usize, labels: &[String], text: &str, write: StatusChange, old: &Value, new: &Value) -> String {
    let kind = r#"{"group":"kubernaut.ai","version":"v1alpha1","kind":"NotificationRequest"}"#;
    let resource = r#"{"group":"kubernaut.ai","version":"v1alpha1","resource":"notificationrequests"}"#;
    let user = r#"{"username":"ctl","groups":["system:authenticated"]}"#;
    let later = if write == StatusChange::Unchanged { "2026-03-01T10:00:04Z" } else { "2026-03-01T10:00:05Z" };
    let old = object(labels, text, old, "2026-03-01T10:00:04Z");
    let new = object(labels, text, new, later);
    let uid = uid(number);
    format!(
        r#"{{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{{"uid":"{uid}","kind":{kind},"resource":{resource},"subResource":"status","requestKind":{kind},"requestResource":{resource},"requestSubResource":"status","name":"n1","namespace":"web","operation":"UPDATE","userInfo":{user},"object":{new},"oldObject":{old},"dryRun":false,"options":{{"kind":"UpdateOptions","apiVersion":"meta.k8s.io/v1"}}}}}}"#
    )
}

fn uid(number: usize) -> String {
    format!("2a2a4e17-838d-4367-ad15-{number:012x}")
}

fn object(labels: &[String], text: &str, status: &Value, written: &str) -> String {
    let value = |label: &String| (label.clone(), json!("storage, tier 2"));
    let field = |label: &String| (format!("f:{label}"), json!({}));
    let mut spec = json!({ "body": format!("Disk full.{text}"), "subject": "Disk", "type": "Simple" });
    let mut fields = json!({ "f:body": {}, "f:subject": {}, "f:type": {} });
    if !labels.is_empty() {
        spec["extensions"] = Value::Object(labels.iter().map(value).collect());
        fields["f:extensions"] = Value::Object(labels.iter().map(field).collect());
        fields["f:extensions"]["."] = json!({});
    }
    let members = status.as_object().into_iter().flatten();
    let written_fields = Value::Object(members.map(|(name, _)| (format!("f:{name}"), json!({}))).collect());
    let managed = |subresource: Option<&str>, fields: Value, time: &str| {
        let mut entry = json!({
            "apiVersion": "kubernaut.ai/v1alpha1", "fieldsType": "FieldsV1", "fieldsV1": fields,
            "manager": "ctl", "operation": "Update", "time": time,
        });
        if let Some(subresource) = subresource {
            entry["subresource"] = json!(subresource);
        }
        entry
    };
    let mut managed_fields = vec![managed(Some("status"), json!({ "f:status": written_fields }), written)];
    if !labels.is_empty() {
        // The smallest review has no room for a second writer.
        managed_fields.insert(0, managed(None, json!({ "f:spec": fields }), "2026-03-01T10:00:00Z"));
    }
    json!({
        "apiVersion": "kubernaut.ai/v1alpha1",
        "kind": "NotificationRequest",
        "metadata": {
            "creationTimestamp": "2026-03-01T10:00:00Z",
            "generation": 1,
            "managedFields": managed_fields,
            "name": "n1",
            "namespace": "web",
            "resourceVersion": "2833",
            "uid": "067d8e11-3eee-45f8-b7b6-6016915d1a5e",
        },
        "spec": spec,
        "status": status,
    })
    .to_string()
}

/// Text that has `room` bytes in JSON.
fn text(room: usize) -> String {
    let mut text = String::with_capacity(room);
    let mut left = room;
    for character in LOG.chars().cycle() {
        let bytes = if matches!(character, '"' | '\n') { 2 } else { 1 };
        match left {
            0 => break,
            left_over if left_over < bytes => {
                text.push('.');
                break;
            }
            _ => text.push(character),
        }
        left -= bytes;
    }
    text
}

fn attempts(count: usize, channel: &str) -> Vec<Value> {
    (1..=count)
        .map(|attempt| {
            json!({
                "attempt": attempt,
                "channel": channel,
                "durationSeconds": 1.25,
                "error": "HTTP 503 Service Unavailable: upstream connect error",
                "status": "failed",
                "timestamp": format!("2026-03-01T10:00:{attempt:02}.100000Z"),
            })
        })
        .collect()
}

fn delivering(attempts: &[Value]) -> Value {
    json!({
        "deliveryAttempts": attempts,
        "failedDeliveries": 1,
        "message": "no channel accepted the message yet",
        "observedGeneration": 1,
        "phase": "Sending",
        "processingStartedAt": "2026-03-01T10:00:01Z",
        "queuedAt": "2026-03-01T10:00:00Z",
        "reason": "AllDeliveriesFailed",
        "totalAttempts": attempts.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reviews_have_their_size_and_are_json() {
        for size in [2 << 10, 16 << 10, 256 << 10] {
            for write in [StatusChange::Unchanged, StatusChange::Legal, StatusChange::Refused] {
                let bodies = bodies(size, write, 2).unwrap();
                assert_ne!(bodies[0].uid, bodies[1].uid);
                for body in bodies {
                    assert!(size - body.bytes.len() <= 1);
                    let review: Value = serde_json::from_slice(&body.bytes).unwrap();
                    assert_eq!(review["request"]["uid"], *body.uid);
                    let (old, new) = (&review["request"]["oldObject"], &review["request"]["object"]);
                    assert_eq!(old["spec"], new["spec"]);
                    assert_eq!(old == new, write == StatusChange::Unchanged);
                    let status = old["status"].to_string().len();
                    assert_eq!((1900..2200).contains(&status), size >= LONG_STATUS, "{status}");
                }
            }
        }
    }
}
