//! `check` judges what the guard would judge, and nothing else.

use serde_json::{Value, json};

use crate::{Folder, POLICY, Ran, run};

fn object(change: Value) -> Value {
    let mut object = json!({
        "apiVersion": "example.org/v1", "kind": "Job",
        "metadata": { "name": "j1", "namespace": "web", "uid": "u1" }, "status": { "attempts": 2 },
    });
    merge(&mut object, change);
    object
}

fn merge(into: &mut Value, change: Value) {
    match (into, change) {
        (Value::Object(members), Value::Object(changes)) => {
            changes.into_iter().for_each(|(name, change)| merge(members.entry(name).or_insert(Value::Null), change));
        }
        (into, change) => *into = change,
    }
}

fn check_by(policy: &str, old: &Value, new: &Value) -> Ran {
    let folder = Folder::new();
    let (old, new) = (folder.write("old.json", &old.to_string()), folder.write("new.json", &new.to_string()));
    run(&["check", "--policy", policy, "--old", &old, "--new", &new])
}

#[test]
fn what_is_not_one_write_is_not_judged() {
    let old = object(json!({}));
    for (change, said) in [
        (
            json!({ "metadata": { "name": "j2" } }),
            "the two are not one object: metadata.name is j1 before and j2 after the write",
        ),
        (json!({ "metadata": { "namespace": "db" } }), "metadata.namespace is web before and db after"),
        (json!({ "metadata": { "uid": "u2" } }), "metadata.uid is u1 before and u2 after"),
        (json!({ "kind": "CronJob" }), "kind is Job before and CronJob after"),
        (json!({ "apiVersion": "example.org/v2" }), "apiVersion is example.org/v1 before and example.org/v2 after"),
    ] {
        let ran = check_by(POLICY, &old, &object(change));
        assert!(ran.code == 2 && ran.out.is_empty() && ran.err.contains(said), "{said}: {}{}", ran.out, ran.err);
    }
    // Nor are two values that have no status at all.
    let ran = check_by(POLICY, &json!({ "attempts": 3 }), &json!({ "attempts": 2 }));
    assert!(ran.code == 2 && ran.err.contains("these are not Kubernetes objects"), "{}{}", ran.out, ran.err);
    // What is not said differs from nothing.
    let silent = json!({ "status": { "attempts": 3 } });
    assert_eq!(check_by(POLICY, &old, &silent).code, 0);
}

#[test]
fn objects_of_another_kind_are_not_judged() {
    for (change, said) in [
        (
            json!({ "kind": "Order" }),
            "the policy jobs.example.org guards jobs/status in example.org/v1, but the objects are of kind Order;",
        ),
        (
            json!({ "apiVersion": "example.org/v2" }),
            "but the objects are of apiVersion example.org/v2; give objects as `kubectl get jobs.v1.example.org NAME -o yaml` prints them",
        ),
        (json!({ "apiVersion": "v1" }), "of apiVersion v1;"),
    ] {
        let object = object(change);
        let ran = check_by(POLICY, &object, &object);
        assert!(ran.code == 2 && ran.out.is_empty() && ran.err.contains(said), "{said}: {}{}", ran.out, ran.err);
    }
    let folder = Folder::new();
    let policy = |resource: &str, group: &str| {
        let text = std::fs::read_to_string(POLICY).unwrap().replace("example.org", group);
        let text = text.replace("resource: jobs", &format!("resource: {resource}"));
        folder.write("policy.yaml", &text.replace(&format!("name: jobs.{group}"), &format!("name: {resource}.{group}")))
    };
    for (kind, resource) in [
        ("Gateway", "gateways"),
        ("Policy", "policies"),
        ("Ingress", "ingresses"),
        ("Endpoints", "endpoints"),
        ("NetworkAttachmentDefinition", "network-attachment-definitions"),
    ] {
        let object = object(json!({ "kind": kind }));
        assert_eq!(check_by(&policy(resource, "example.org"), &object, &object).code, 0, "{kind}");
    }
}

#[test]
fn a_review_of_another_resource_is_not_judged() {
    let folder = Folder::new();
    let review = |change: Value| {
        let mut request = json!({
            "uid": "r", "operation": "UPDATE", "subResource": "status",
            "resource": { "group": "example.org", "version": "v1", "resource": "jobs" },
            "kind": { "group": "example.org", "version": "v1", "kind": "Job" },
            "oldObject": object(json!({})), "object": object(json!({ "status": { "attempts": 1 } })),
        });
        merge(&mut request, change);
        let file = folder.write("review.json", &json!({ "request": request }).to_string());
        run(&["check", "--policy", POLICY, "--review", &file])
    };
    assert_eq!(review(json!({})).code, 3);
    for change in [
        json!({ "resource": { "resource": "orders" } }),
        json!({ "resource": { "version": "v2" } }),
        json!({ "subResource": "" }),
        json!({ "kind": { "version": "v2" } }),
        json!({ "operation": "CREATE", "resource": { "group": "other.org" } }),
    ] {
        let ran = review(change.clone());
        let said = "but the policy jobs.example.org guards jobs/status in example.org/v1";
        assert!(ran.code == 2 && ran.out.is_empty() && ran.err.contains(said), "{change}: {}{}", ran.out, ran.err);
    }
    let ran = review(json!({ "object": { "metadata": { "name": "j2" } } }));
    assert!(ran.code == 2 && ran.err.contains("the two are not one object"), "{}", ran.err);
}

#[test]
fn the_mode_of_the_namespace_decides_the_outcome() {
    let folder = Folder::new();
    let check = |modes: &str, old: &Value, new: &Value| {
        let text = std::fs::read_to_string(POLICY).unwrap().replace("spec:\n", &format!("spec:\n  {modes}\n"));
        check_by(&folder.write("policy.yaml", &text), old, new)
    };
    let (old, new) = (object(json!({})), object(json!({ "status": { "attempts": 1 } })));
    for (modes, code, said) in [
        (
            "mode: Enforce",
            3,
            "Verdict   Stale: 409 Conflict\nOutcome   Denied\n\nstale status write to jobs.example.org web/j1 refused:",
        ),
        (
            "mode: Audit",
            3,
            "Verdict   Stale: 409 Conflict\nOutcome   Audited: mode Audit, the write is allowed and recorded\n\nstatus.attempts: would be refused by",
        ),
        ("modeIn: { web: Warn }", 3, "Outcome   Warned: mode Warn, the write is allowed and the client is warned\n"),
        ("modeIn: { db: Warn }", 3, "Outcome   Denied\n"),
        ("mode: \"Off\"", 3, "Verdict   Stale: 409 Conflict\nOutcome   Allowed: mode Off, nothing is judged\n"),
    ] {
        let ran = check(modes, &old, &new);
        assert!(ran.code == code && ran.out.contains(said), "{modes}: {} {}{}", ran.code, ran.out, ran.err);
    }
    // The writer that a review names may be exempt.
    let request = json!({
        "operation": "UPDATE", "oldObject": old, "object": new, "namespace": "web", "name": "j1",
        "userInfo": { "username": "system:serviceaccount:velero:velero", "groups": ["restore"] },
    });
    let review = folder.write("review.json", &json!({ "request": request }).to_string());
    for exempt in ["users: [\"system:serviceaccount:velero:velero\"]", "groups: [restore]"] {
        let text =
            std::fs::read_to_string(POLICY).unwrap().replace("spec:\n", &format!("spec:\n  exempt: {{ {exempt} }}\n"));
        let policy = folder.write("policy.yaml", &text);
        let ran = run(&["check", "--policy", &policy, "--review", &review]);
        assert!(
            ran.code == 3 && ran.out.contains("Outcome   Bypassed: the writer is exempt\n"),
            "{}{}",
            ran.out,
            ran.err
        );
    }
}
