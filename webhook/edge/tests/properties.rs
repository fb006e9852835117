//! The scanner against a full parse: random reviews, random damage, random bytes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use statusguard_edge::{MalformedReview, Review, ReviewObject};

/// Text with what the scanner could stumble over.
fn text() -> BoxedStrategy<String> {
    let char = prop_oneof![
        3 => proptest::char::range('a', 'e'),
        2 => proptest::sample::select("\"\\{}[],:/\n\t\u{0}\u{7f}é\u{2028}😀".chars().collect::<Vec<_>>()),
        1 => any::<char>(),
    ];
    proptest::collection::vec(char, 0..24).prop_map(|chars| chars.into_iter().collect()).boxed()
}

/// Keys, those that are read somewhere among them.
fn key() -> impl Strategy<Value = String> {
    let known = [
        "status",
        "metadata",
        "uid",
        "name",
        "namespace",
        "generation",
        "deletionTimestamp",
        "resourceVersion",
        "managedFields",
        "object",
        "oldObject",
        "request",
        "spec",
        "kind",
    ];
    prop_oneof![
        2 => proptest::sample::select(known.map(str::to_owned).to_vec()),
        1 => text(),
    ]
}

fn value() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e9..1e9_f64).prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::vec((key(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
    .boxed()
}

fn optional<T: Into<Value> + std::fmt::Debug + 'static>(
    inner: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<Option<Value>> {
    prop_oneof![
        4 => inner.prop_map(|value| Some(value.into())),
        1 => Just(None),
        1 => Just(Some(Value::Null)),
    ]
    .boxed()
}

fn object_of(members: Vec<(&str, Option<Value>)>, others: Map<String, Value>) -> Value {
    let mut object = others;
    for (key, value) in members {
        object.remove(key);
        if let Some(value) = value {
            object.insert(key.to_owned(), value);
        }
    }
    Value::Object(object)
}

fn others() -> BoxedStrategy<Map<String, Value>> {
    proptest::collection::vec((key(), value()), 0..5).prop_map(|members| members.into_iter().collect()).boxed()
}

prop_compose! {
    fn metadata()(
        name in optional(text()),
        namespace in optional(text()),
        uid in optional(text()),
        version in optional(text()),
        generation in optional(any::<u32>()),
        deleted in optional(text()),
        managed in optional(value()),
        others in others(),
    ) -> Value {
        object_of(vec![
            ("name", name), ("namespace", namespace), ("uid", uid), ("resourceVersion", version),
            ("generation", generation), ("deletionTimestamp", deleted), ("managedFields", managed),
        ], others)
    }
}

prop_compose! {
    fn object()(
        metadata in optional(metadata().boxed()),
        status in optional(value()),
        others in others(),
    ) -> Value {
        object_of(vec![("metadata", metadata), ("status", status)], others)
    }
}

prop_compose! {
    /// Two objects that share some members, like those of an update.
    fn pair()(one in object().boxed(), two in object().boxed(), shared in any::<u8>()) -> (Value, Value) {
        let mut two = two;
        for (bit, key) in ["status", "metadata", "spec"].iter().enumerate() {
            if shared & (1 << bit) == 0 {
                continue;
            }
            match one.get(key) {
                Some(value) => two[*key] = value.clone(),
                None => { two.as_object_mut().unwrap().remove(*key); }
            }
        }
        if shared & 8 != 0
            && let Some(metadata) = one.get("metadata").and_then(Value::as_object)
            && let Some(other) = two.get_mut("metadata").and_then(Value::as_object_mut)
        {
            other.extend(metadata.clone());
        }
        (one, two)
    }
}

prop_compose! {
    fn review()(
        uid in "[a-f0-9-]{1,36}",
        operation in proptest::sample::select(vec!["CREATE", "UPDATE", "DELETE", "CONNECT"]),
        names in (text(), text(), text()),
        sub_resource in optional(text()),
        name in optional(text()),
        namespace in optional(text()),
        dry_run in optional(any::<bool>()),
        user in optional(text()),
        groups in proptest::collection::vec(text(), 0..4),
        manager in optional(text()),
        (one, two) in pair().boxed(),
        present in any::<(bool, bool)>(),
        extra in others(),
    ) -> Value {
        let mut request = object_of(vec![
            ("uid", Some(json!(uid))),
            ("operation", Some(json!(operation))),
            ("kind", Some(json!({ "group": names.0, "version": names.1, "kind": names.2 }))),
            ("resource", Some(json!({ "group": names.0, "version": names.1, "resource": names.2 }))),
            ("subResource", sub_resource),
            ("name", name),
            ("namespace", namespace),
            ("dryRun", dry_run),
            ("options", Some(object_of(vec![("fieldManager", manager)], extra.clone()))),
        ], extra.clone());
        request["userInfo"] =
            object_of(vec![("username", user), ("groups", Some(json!(groups)))], extra.clone());
        request["object"] = if present.0 { one } else { Value::Null };
        request["oldObject"] = if present.1 { two } else { Value::Null };
        let mut whole = extra;
        whole.insert("kind".to_owned(), json!("AdmissionReview"));
        whole.insert("apiVersion".to_owned(), json!("admission.k8s.io/v1"));
        whole.insert("request".to_owned(), request);
        Value::Object(whole)
    }
}

/// Writes JSON in a manner that `noise` decides: order of keys, white space, escapes.
struct JsonWriter<'a> {
    out: Vec<u8>,
    noise: std::iter::Cycle<std::slice::Iter<'a, u8>>,
}

impl JsonWriter<'_> {
    fn noise(&mut self) -> u8 {
        *self.noise.next().unwrap()
    }

    fn space(&mut self) {
        let spaces = [&b""[..], b"", b"", b" ", b"\n", b"\r\n\t", b"        "];
        let index = usize::from(self.noise()) % spaces.len();
        self.out.extend_from_slice(spaces[index]);
    }

    fn string(&mut self, text: &str) {
        self.out.push(b'"');
        for char in text.chars() {
            let noise = self.noise();
            if noise & 15 == 0 {
                for unit in char.encode_utf16(&mut [0; 2]) {
                    self.out.extend_from_slice(format!("\\u{unit:04X}").as_bytes());
                }
            } else {
                let quoted = serde_json::to_string(&char).unwrap();
                self.out.extend_from_slice(&quoted.as_bytes()[1..quoted.len() - 1]);
            }
        }
        self.out.push(b'"');
    }

    fn value(&mut self, value: &Value) {
        self.space();
        match value {
            Value::Object(members) => {
                let mut members: Vec<_> = members.iter().collect();
                let turn = usize::from(self.noise()) % members.len().max(1);
                members.rotate_left(turn);
                if self.noise() & 1 == 1 {
                    members.reverse();
                }
                self.out.push(b'{');
                for (index, (key, value)) in members.into_iter().enumerate() {
                    if index > 0 {
                        self.out.push(b',');
                    }
                    self.space();
                    self.string(key);
                    self.space();
                    self.out.push(b':');
                    self.value(value);
                }
                self.space();
                self.out.push(b'}');
            }
            Value::Array(items) => {
                self.out.push(b'[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        self.out.push(b',');
                    }
                    self.value(item);
                }
                self.space();
                self.out.push(b']');
            }
            Value::String(text) => self.string(text),
            other => self.out.extend_from_slice(other.to_string().as_bytes()),
        }
        self.space();
    }
}

fn written(value: &Value, noise: &[u8]) -> Vec<u8> {
    let mut writer = JsonWriter { out: Vec::new(), noise: noise.iter().cycle() };
    writer.value(value);
    writer.out
}

/// Every field read is what the full parse holds.
fn agrees(read: &Review<'_>, full: &Value) -> Result<(), TestCaseError> {
    let request = &full["request"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    prop_assert_eq!(&*read.uid, text(&request["uid"]));
    prop_assert_eq!(read.operation.as_str(), text(&request["operation"]));
    for (names, full, name) in
        [(&read.kind, &request["kind"], "kind"), (&read.resource, &request["resource"], "resource")]
    {
        prop_assert_eq!(&*names.group, text(&full["group"]));
        prop_assert_eq!(&*names.version, text(&full["version"]));
        prop_assert_eq!(&*names.name, text(&full[name]));
    }
    prop_assert_eq!(&*read.sub_resource, text(&request["subResource"]));
    prop_assert_eq!(&*read.name, text(&request["name"]));
    prop_assert_eq!(&*read.namespace, text(&request["namespace"]));
    prop_assert_eq!(read.dry_run, request["dryRun"] == Value::Bool(true));
    prop_assert_eq!(&*read.user, text(&request["userInfo"]["username"]));
    let groups: Vec<String> = serde_json::from_value(request["userInfo"]["groups"].clone()).unwrap_or_default();
    prop_assert_eq!(read.groups(), groups);
    let manager = request["options"]["fieldManager"].as_str();
    prop_assert_eq!(read.field_manager.as_deref(), manager);
    object_agrees(read.object.as_ref(), &request["object"])?;
    object_agrees(read.old_object.as_ref(), &request["oldObject"])?;
    if read.status_unchanged() {
        prop_assert_eq!(request["object"].get("status"), request["oldObject"].get("status"));
    }
    Ok(())
}

fn object_agrees(read: Option<&ReviewObject<'_>>, full: &Value) -> Result<(), TestCaseError> {
    prop_assert_eq!(read.is_none(), full.is_null());
    let Some(read) = read else { return Ok(()) };
    let raw = |raw: Option<&[u8]>| raw.map(|raw| serde_json::from_slice::<Value>(raw).unwrap());
    let (status, metadata) = (full.get("status"), &full["metadata"]);
    prop_assert_eq!(raw(read.status), status.cloned());
    prop_assert_eq!(raw(read.metadata.generation), metadata.get("generation").cloned());
    let deleted = metadata.get("deletionTimestamp").filter(|value| !value.is_null());
    prop_assert_eq!(raw(read.metadata.deletion_timestamp), deleted.cloned());
    prop_assert_eq!(raw(read.metadata.managed_fields), metadata.get("managedFields").cloned());
    prop_assert_eq!(read.metadata.name.as_deref(), metadata["name"].as_str());
    prop_assert_eq!(read.metadata.namespace.as_deref(), metadata["namespace"].as_str());
    prop_assert_eq!(read.metadata.uid.as_deref(), metadata["uid"].as_str());
    let version = metadata["resourceVersion"].as_str();
    prop_assert_eq!(read.metadata.resource_version.as_deref(), version);
    Ok(())
}

fn noise() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 1..64)
}

proptest! {
    #[test]
    fn random_reviews_are_read_as_a_full_parse_reads_them(review in review().boxed(), noise in noise()) {
        let body = written(&review, &noise);
        let read = Review::read(&body).map_err(|error| TestCaseError::fail(error.to_string()))?;
        agrees(&read, &serde_json::from_slice(&body).unwrap())?;
    }

    /// Whatever stands around it, an unchanged status needs no parsing.
    #[test]
    fn equal_status_shows(one in object().boxed(), others in others(), other_metadata in metadata().boxed()) {
        let mut two = object_of(vec![("metadata", Some(other_metadata))], others);
        match one.get("status") {
            Some(status) => two["status"] = status.clone(),
            None => { two.as_object_mut().unwrap().remove("status"); }
        }
        let name = json!({ "group": "g", "version": "v1", "kind": "K", "resource": "ks" });
        let body = serde_json::to_vec(&json!({
            "kind": "AdmissionReview",
            "apiVersion": "admission.k8s.io/v1",
            "request": {
                "uid": "u", "operation": "UPDATE", "kind": name, "resource": name,
                "object": one, "oldObject": two,
            }
        })).unwrap();
        prop_assert!(Review::read(&body).unwrap().status_unchanged());
    }

    /// A damaged review that is still JSON is read right or refused for what it says, never for its
    /// form; one that is not JSON any more may be read where the damage is in what nobody reads.
    #[test]
    fn damaged_reviews(
        review in review().boxed(),
        noise in noise(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), 0..4_u8, any::<u8>()), 1..4),
    ) {
        let mut body = written(&review, &noise);
        for (place, how, byte) in damage {
            if body.is_empty() {
                break;
            }
            let at = place.index(body.len());
            let structural = b"{}[]\",:\\ 0anut";
            let byte = if byte & 3 == 0 { byte } else { structural[usize::from(byte >> 2) % structural.len()] };
            match how {
                0 => body[at] = byte,
                1 => body.insert(at, byte),
                2 => { body.remove(at); }
                _ => body.truncate(at),
            }
        }
        let full = serde_json::from_slice::<Value>(&body);
        match (Review::read(&body), full) {
            (Ok(read), Ok(full)) => agrees(&read, &full)?,
            (Err(malformed), Ok(_)) => prop_assert!(!is_syntax(&malformed), "{}", malformed),
            (_, Err(_)) => {}
        }
    }

    #[test]
    fn every_beginning_of_a_review_is_malformed(review in review().boxed(), at in any::<prop::sample::Index>()) {
        let body = serde_json::to_vec(&review).unwrap();
        let at = at.index(body.len());
        prop_assert!(Review::read(&body[..at]).is_err());
    }

    #[test]
    fn random_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Review::read(&bytes).is_err());
    }

    #[test]
    fn random_tokens(tokens in proptest::collection::vec(proptest::sample::select(vec![
        "{", "}", "[", "]", "\"", ":", ",", "\\", " ", "null", "true", "1", "\"a\"", "\"request\":",
        "\"object\":", "\"metadata\":", "\"status\":", "\"uid\":", "\"\\u0061\"", "\"kind\":", "{}",
    ]), 0..60)) {
        let bytes = tokens.concat();
        prop_assert!(Review::read(bytes.as_bytes()).is_err());
        // The same as a request: goes deeper.
        let inside = format!(
            "{{\"kind\":\"AdmissionReview\",\"apiVersion\":\"admission.k8s.io/v1\",\"request\":{{{bytes}}}}}"
        );
        if let (Err(malformed), Ok(_)) =
            (Review::read(inside.as_bytes()), serde_json::from_str::<Value>(&inside))
        {
            prop_assert!(!is_syntax(&malformed), "{}", malformed);
        }
    }
}

fn is_syntax(malformed: &MalformedReview) -> bool {
    malformed.category() == "syntax"
}
