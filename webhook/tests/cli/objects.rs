//! What is judged is one object, or said not to be.

use serde_json::{Value, json};

use crate::{Folder, POLICY, run};

#[test]
fn check_judges_objects_only() {
    let folder = Folder::new();
    let good = folder.object("good.json", json!({ "attempts": 1 }));
    let list = "apiVersion: v1\nkind: List\nitems: [{ kind: Job, status: { attempts: 3 } }]\n";
    for (name, text, said) in [
        ("text.json", "\"hello\"", "text.json: not an object; give one Kubernetes object"),
        ("list.json", "[1, 2]", "list.json: not an object; give one Kubernetes object"),
        ("list.yaml", list, "list.yaml: a list of objects; name one object: `kubectl get KIND NAME -o yaml`"),
        ("jobs.yaml", &list.replace("List", "JobList"), "jobs.yaml: a list of objects; name one object"),
    ] {
        let bad = folder.write(name, text);
        for (old, new) in [(&bad, &good), (&good, &bad)] {
            let ran = run(&["check", "--policy", POLICY, "--old", old, "--new", new]);
            assert!(ran.code == 1 && ran.out.is_empty() && ran.err.contains(said), "{name}: {}{}", ran.out, ran.err);
        }
    }
    // A kind may be called a list without being one.
    let named = folder.write("named.yaml", "kind: AllowList\nstatus: { attempts: 1 }\n");
    let ran = run(&["check", "--policy", POLICY, "--old", &named, "--new", &named]);
    assert!(ran.code == 2 && ran.err.contains("the objects are of kind AllowList"), "{}", ran.err);
}

#[test]
fn reviews_hold_the_objects_of_their_operation() {
    let folder = Folder::new();
    let object = json!({ "status": { "attempts": 1 } });
    let review = |operation: &str, old: Value, new: Value| {
        let request = json!({ "operation": operation, "oldObject": old, "object": new });
        let file = folder.write("review.json", &json!({ "request": request }).to_string());
        run(&["check", "--policy", POLICY, "--review", &file])
    };
    for (operation, old, new) in [
        ("UPDATE", object.clone(), object.clone()),
        ("CREATE", Value::Null, object.clone()),
        ("DELETE", object.clone(), Value::Null),
        ("CONNECT", Value::Null, Value::Null),
    ] {
        let ran = review(operation, old, new);
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (0, "Verdict   Allow\nOutcome   Allowed\n"),
            "{operation}: {}",
            ran.err
        );
    }
    for (operation, old, new, said) in [
        ("UPDATE", Value::Null, object.clone(), "`request.oldObject` is missing; give the whole AdmissionReview"),
        ("UPDATE", object.clone(), Value::Null, "`request.object` is missing"),
        ("UPDATE", json!("hello"), object.clone(), "`request.oldObject` is not an object"),
        ("UPDATE", object.clone(), json!([1]), "`request.object` is not an object"),
        ("CREATE", Value::Null, Value::Null, "`request.object` is missing"),
        ("DELETE", json!(5), Value::Null, "`request.oldObject` is not an object"),
    ] {
        let ran = review(operation, old, new);
        assert!(ran.code == 1 && ran.err.contains(said), "{operation} {said}: {}{}", ran.out, ran.err);
        assert!(ran.err.contains("review.json"), "{}", ran.err);
    }
}
