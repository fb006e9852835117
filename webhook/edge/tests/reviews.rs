//! What is read of real reviews, and of reviews no API server would send.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

mod common;

use common::{pretty_review, review};
use serde_json::Value;
use statusguard_edge::{MalformedReason, Review, ReviewObject, ReviewOperation};

const REAL: [&str; 20] = [
    "create-with-status",
    "delete-main",
    "dry-run-merge-patch",
    "first-status-merge-patch",
    "json-patch",
    "kubectl-apply-ssa",
    "kubectl-patch-json",
    "kubectl-patch-merge",
    "kubectl-replace",
    "main-resource-merge-patch",
    "merge-patch-by-alice",
    "merge-patch",
    "no-op-put",
    "patch-only-metadata-on-status",
    "put-with-metadata-and-spec-changes",
    "put-without-status",
    "put",
    "remove-last-finalizer",
    "ssa-apply",
    "status-write-while-deleting",
];

/// Everything read of a real review is what a full parse finds, as captured and without white space.
#[test]
fn real_reviews_are_read_as_a_full_parse_reads_them() {
    for name in REAL {
        for body in [review(name), pretty_review(name)] {
            let full: Value = serde_json::from_slice(&body).unwrap();
            let request = &full["request"];
            let read = Review::read(&body).unwrap();
            assert_eq!(read.uid, text(&request["uid"]), "{name}");
            assert_eq!(read.operation.as_str(), text(&request["operation"]), "{name}");
            assert_eq!(read.kind.group, text(&request["kind"]["group"]), "{name}");
            assert_eq!(read.kind.version, text(&request["kind"]["version"]), "{name}");
            assert_eq!(read.kind.name, text(&request["kind"]["kind"]), "{name}");
            assert_eq!(read.resource.name, text(&request["resource"]["resource"]), "{name}");
            assert_eq!(read.sub_resource, text(&request["subResource"]), "{name}");
            assert_eq!(read.name, text(&request["name"]), "{name}");
            assert_eq!(read.namespace, text(&request["namespace"]), "{name}");
            assert_eq!(read.dry_run, request["dryRun"] == Value::Bool(true), "{name}");
            assert_eq!(read.user, text(&request["userInfo"]["username"]), "{name}");
            assert_eq!(serde_json::json!(read.groups()), request["userInfo"]["groups"], "{name}");
            let manager = &request["options"]["fieldManager"];
            assert_eq!(read.field_manager.as_deref(), manager.as_str(), "{name}");
            same_object(name, read.object.as_ref(), &request["object"]);
            same_object(name, read.old_object.as_ref(), &request["oldObject"]);
            let unchanged = request["object"].get("status") == request["oldObject"].get("status");
            assert_eq!(read.status_unchanged(), unchanged, "{name}");
        }
    }
}

#[test]
fn what_the_captured_requests_were() {
    let body = review("kubectl-apply-ssa");
    assert_eq!(Review::read(&body).unwrap().field_manager.unwrap(), "kubectl");
    let body = review("dry-run-merge-patch");
    assert!(Review::read(&body).unwrap().dry_run);
    let body = review("no-op-put");
    assert!(Review::read(&body).unwrap().status_unchanged());
    let body = review("put-without-status");
    let read = Review::read(&body).unwrap();
    assert_eq!(read.object.unwrap().status, None);
    assert!(read.old_object.unwrap().status.is_some());
    let body = review("status-write-while-deleting");
    let object = Review::read(&body).unwrap().object.unwrap();
    assert!(object.metadata.deletion_timestamp.is_some());
    let body = review("delete-main");
    let read = Review::read(&body).unwrap();
    assert_eq!((read.operation, read.object.is_none()), (ReviewOperation::Delete, true));
    assert!(read.old_object.is_some());
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn same_object(name: &str, read: Option<&ReviewObject<'_>>, full: &Value) {
    let Some(read) = read else {
        assert!(full.is_null(), "{name}");
        return;
    };
    let raw = |raw: Option<&[u8]>| raw.map(|raw| serde_json::from_slice::<Value>(raw).unwrap());
    assert_eq!(raw(read.status).as_ref(), full.get("status"), "{name}");
    let metadata = &full["metadata"];
    assert_eq!(raw(read.metadata.generation).as_ref(), metadata.get("generation"), "{name}");
    let deleted = metadata.get("deletionTimestamp");
    assert_eq!(raw(read.metadata.deletion_timestamp).as_ref(), deleted, "{name}");
    let managed = metadata.get("managedFields");
    assert_eq!(raw(read.metadata.managed_fields).as_ref(), managed, "{name}");
    assert_eq!(read.metadata.name.as_deref(), metadata["name"].as_str(), "{name}");
    assert_eq!(read.metadata.namespace.as_deref(), metadata["namespace"].as_str(), "{name}");
    assert_eq!(read.metadata.uid.as_deref(), metadata["uid"].as_str(), "{name}");
    let version = metadata["resourceVersion"].as_str();
    assert_eq!(read.metadata.resource_version.as_deref(), version, "{name}");
}

/// A review with these members of `request` besides the necessary ones.
fn with(request: &str) -> String {
    format!(
        r#"{{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{{"uid":"u",
        "kind":{{"group":"g","version":"v1","kind":"K"}},
        "resource":{{"group":"g","version":"v1","resource":"ks"}},
        "operation":"UPDATE"{}{request}}}}}"#,
        if request.is_empty() { "" } else { "," }
    )
}

/// How a test finds a text in what was read.
type TextOf = for<'r> fn(&'r Review<'_>) -> &'r str;

/// A user's name has no limit, so that no writer can fail for it.
#[test]
fn texts_of_any_length_are_read_whole() {
    let fields: [(&str, TextOf); 8] = [
        (r#""name":"TEXT""#, |review| &review.name),
        (r#""namespace":"TEXT""#, |review| &review.namespace),
        (r#""subResource":"TEXT""#, |review| &review.sub_resource),
        (r#""userInfo":{"username":"TEXT"}"#, |review| &review.user),
        (r#""options":{"fieldManager":"TEXT"}"#, |review| review.field_manager.as_deref().unwrap()),
        (r#""object":{"metadata":{"name":"TEXT"}}"#, |review| metadata(review).name.as_deref().unwrap()),
        (r#""object":{"metadata":{"uid":"TEXT"}}"#, |review| metadata(review).uid.as_deref().unwrap()),
        (r#""oldObject":{"metadata":{"resourceVersion":"TEXT"}}"#, |review| {
            metadata(review).resource_version.as_deref().unwrap()
        }),
    ];
    for (field, text_of) in fields {
        for length in [5 << 10, 1 << 20] {
            // Borrowed from the body, and with an escape.
            for escaped in ["x", "\\u0078"] {
                let text = "x".repeat(length);
                let body = with(&field.replace("TEXT", &text.replacen('x', escaped, 1)));
                assert!(text_of(&Review::read(body.as_bytes()).unwrap()) == text, "{field} {length} {escaped}");
            }
        }
    }
}

fn metadata<'r, 'b>(review: &'r Review<'b>) -> &'r statusguard_edge::Metadata<'b> {
    &review.subject().unwrap().metadata
}

/// It has to be echoed whole.
#[test]
fn a_uid_that_no_api_server_sends_is_malformed() {
    let of_length = |length: usize| with("").replace(r#""uid":"u""#, &format!(r#""uid":"{}""#, "x".repeat(length)));
    assert_eq!(Review::read(of_length(4096).as_bytes()).unwrap().uid, "x".repeat(4096));
    let malformed = Review::read(of_length(4097).as_bytes()).unwrap_err();
    assert_eq!(malformed.reason, MalformedReason::TooLong { field: "request.uid", limit: 4096 });
    assert_eq!((malformed.uid.as_deref(), malformed.category()), (None, "length"), "it is not echoed");
}

#[test]
fn unusual_but_good() {
    let both = r#""object":{"st\u0061tus":{"a":1},"metadata":{"n\u0061me":"\u0061\ud83d\ude00"}}"#;
    let body = with(both);
    let read = Review::read(body.as_bytes()).unwrap();
    let object = read.object.unwrap();
    assert_eq!(object.status.unwrap(), br#"{"a":1}"#);
    assert_eq!(object.metadata.name.unwrap(), "a😀");

    // What is optional may be absent or null.
    let nulls = r#""object":null,"oldObject":null,"dryRun":null,"userInfo":null,"options":null,
        "name":null,"namespace":null,"subResource":null"#;
    let body = with(nulls);
    let read = Review::read(body.as_bytes()).unwrap();
    assert_eq!((read.object, read.old_object, read.dry_run), (None, None, false));
    let body = with("");
    assert_eq!(Review::read(body.as_bytes()).unwrap().groups(), Vec::<String>::new());

    // An object of core has no group.
    let body = with("").replace(r#""group":"g","#, "");
    assert_eq!(Review::read(body.as_bytes()).unwrap().resource.group, "");

    // A status of null stands there; it is not absent.
    let body = with(r#""object":{"status":null},"oldObject":{}"#);
    let read = Review::read(body.as_bytes()).unwrap();
    assert!(!read.status_unchanged());
    assert_eq!(read.object.unwrap().status.unwrap(), b"null");

    // What nobody reads may stand there twice.
    let body = with(r#""object":{"x":1,"x":2}"#);
    assert!(Review::read(body.as_bytes()).is_ok());
}

#[test]
fn the_second_object_is_read_in_full_where_it_differs() {
    // A value that begins like the one seen before but goes on; other order; members gone and new.
    let body = with(
        r#""oldObject":{"status":"ab","a":[1],"b":"x","c":1,"metadata":{"uid":"1","z":[1]}},
           "object":{"c":12,"metadata":{"z":[1,2],"uid":"12"},"status":"ab","b":"xy","d":[1]}"#,
    );
    let read = Review::read(body.as_bytes()).unwrap();
    assert!(read.status_unchanged());
    assert_eq!(read.object.unwrap().metadata.uid.unwrap(), "12");
    assert_eq!(read.old_object.unwrap().metadata.uid.unwrap(), "1");

    // More members than are kept for comparison.
    let many: Vec<String> = (0..60).map(|n| format!(r#""k{n}":"v{n}""#)).collect();
    let many = many.join(",");
    let body = with(&format!(r#""object":{{{many},"status":{{"n":1}}}},"oldObject":{{{many},"status":{{"n":2}}}}"#));
    let read = Review::read(body.as_bytes()).unwrap();
    assert_eq!(read.object.unwrap().status.unwrap(), br#"{"n":1}"#);
    assert_eq!(read.old_object.unwrap().status.unwrap(), br#"{"n":2}"#);
}

#[test]
fn malformed_of_every_kind() {
    let body = with("");
    let twice = |field: &str| {
        let member = &format!("\"{field}\":");
        body.replace(member, &format!("{member}\"CREATE\",{member}"))
    };
    let cases: Vec<(String, &str, Option<&str>)> = vec![
        (String::new(), "the body ends before its JSON does", None),
        ("null".into(), "the body is missing", None),
        ("[]".into(), "the body is not an object", None),
        ("{".into(), "the body ends before its JSON does", None),
        ("{}".into(), "not an AdmissionReview", None),
        ("{,}".into(), "should begin a key", None),
        (r#"{"kind" 1}"#.into(), "should begin a colon", None),
        (r#"{"kind":}"#.into(), "should begin a value", None),
        (r#"{"kind":"a" "b":1}"#.into(), "should begin a comma", None),
        (r#"{"kind":"a",}"#.into(), "should begin a key", None),
        (r#"{"k\x":1}"#.into(), "a key with an escape", None),
        (r#"{"kind":"\ud800"}"#.into(), "kind is not a valid string", None),
        (format!("{body}x"), "goes on after the review", Some("u")),
        (format!("{body}{body}"), "goes on after the review", Some("u")),
        (body[..body.len() - 1].into(), "the body ends before", Some("u")),
        (body.replace("v1\",\"req", "v1beta1\",\"req"), "admissionReviewVersions", Some("u")),
        (body.replace("AdmissionReview", "Review"), "not an AdmissionReview", Some("u")),
        (body.replace("\"request\"", "\"response\""), "request is missing", None),
        (body.replace("\"uid\":\"u\"", "\"uid\":7"), "request.uid is not a string", None),
        (body.replace("\"uid\":\"u\"", "\"uid\":\"\""), "request.uid is missing", None),
        (body.replace("\"uid\":\"u\"", "\"uid\":null"), "request.uid is missing", None),
        (body.replace("\"uid\":\"u\"", "\"id\":\"u\""), "request.uid is missing", None),
        (body.replace("UPDATE", "PATCH"), "request.operation is not", Some("u")),
        (body.replace("operation", "op"), "request.operation is missing", Some("u")),
        (body.replace("\"kind\":{", "\"k\":{"), "request.kind is missing", Some("u")),
        (body.replace("\"kind\":\"K\"", "\"k\":1"), "request.kind is missing", Some("u")),
        (body.replace("\"resource\":{", "\"r\":{"), "request.resource is missing", Some("u")),
        (with(r#""object":5"#), "request.object is not an object", Some("u")),
        (with(r#""object":[]"#), "request.object is not an object", Some("u")),
        (with(r#""object":{"metadata":"m"}"#), "metadata of an object is not", Some("u")),
        (with(r#""object":{"metadata":{"uid":1}}"#), "metadata.uid is not a string", Some("u")),
        (with(r#""dryRun":"yes""#), "request.dryRun is not true or false", Some("u")),
        (with(r#""name":[]"#), "request.name is not a string", Some("u")),
        (with(r#""userInfo":[]"#), "request.userInfo is not an object", Some("u")),
        (twice("uid"), "request.uid is given twice", Some("CREATE")),
        (twice("operation"), "request.operation is given twice", Some("u")),
        (with(r#""object":{"status":1,"status":2}"#), "status of an object is given", Some("u")),
        (with(r#""object":{"status":1,"st\u0061tus":2}"#), "status of an object is", Some("u")),
        (with(r#""object":{"metadata":{},"metadata":{}}"#), "metadata of an object", Some("u")),
        (with(r#""object":{},"object":{}"#), "request.object is given twice", Some("u")),
        (with(r#""dryRun":true,"dryRun":false"#), "request.dryRun is given twice", Some("u")),
        (with(r#""object":{"status":{"a":"}}"#), "the body ends before", Some("u")),
    ];
    for (body, message, uid) in cases {
        let malformed = Review::read(body.as_bytes()).unwrap_err();
        assert!(malformed.to_string().contains(message), "{body}: {malformed}");
        assert_eq!(malformed.uid.as_deref(), uid, "{body}");
    }
    let invalid_utf8 = with("\"name\":\"N\"").replace('N', "\u{0}").into_bytes();
    let invalid_utf8: Vec<u8> = invalid_utf8.iter().map(|byte| if *byte == 0 { 0xff } else { *byte }).collect();
    let malformed = Review::read(&invalid_utf8).unwrap_err();
    assert!(matches!(malformed.reason, MalformedReason::Text { .. }), "{malformed}");
}

/// No byte sequence of the review may be missing from its end.
#[test]
fn every_truncation_of_a_real_review_is_malformed() {
    let body = review("kubectl-apply-ssa");
    for length in 0..body.len() {
        assert!(Review::read(&body[..length]).is_err(), "cut at {length}");
    }
}

/// As deep as a body can be, in both objects, without recursion.
#[test]
fn any_depth() {
    let deep = |closing: &str| {
        let nested = "[".repeat(1 << 20) + &closing.repeat(1 << 20);
        with(&format!(r#""object":{{"spec":{nested},"status":1}},"oldObject":{{"x":{nested}}}"#))
    };
    let body = deep("]");
    assert_eq!(Review::read(body.as_bytes()).unwrap().object.unwrap().status.unwrap(), b"1");
    let body = deep("");
    assert!(Review::read(body.as_bytes()).is_err());
}
