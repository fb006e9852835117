//! `webhook-config`: what it prints is what the guard would keep in its cluster, and it can be read back.

use serde_json::{Value, json};
use statusguard::document;

use crate::{Folder, Ran, run, run_with};

const POLICY: &str = "apiVersion: statusguard.dev/v1alpha1
kind: StatusPolicy
metadata: { name: jobs.example.org }
spec:
  target: { group: example.org, version: v1, resource: jobs }
  failurePolicy: Fail
  monotone: [{ path: .status.attempts }]
";

fn authority() -> (String, String) {
    let mut parameters = rcgen::CertificateParams::new([]).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    (parameters.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

/// A folder with a policy and an authority.
struct Given {
    policies: Folder,
    files: Folder,
    ca: String,
    pem: String,
}

impl Given {
    fn new() -> Self {
        let (policies, files, (pem, _)) = (Folder::new(), Folder::new(), authority());
        policies.write("jobs.yaml", POLICY);
        let ca = files.write("ca.crt", &pem);
        Self { policies, files, ca, pem }
    }

    fn config(&self, more: &[&str]) -> Ran {
        let folder = self.policies.0.path().to_str().unwrap();
        run(&[&["webhook-config", "--policy-dir", folder, "--ca", &self.ca], more].concat())
    }

    /// The object that is printed.
    fn printed(&self, more: &[&str]) -> Value {
        let ran = self.config(more);
        assert_eq!(ran.code, 0, "{}", ran.err);
        let documents = document::parse(&ran.out).unwrap();
        assert_eq!(documents.len(), 1, "{}", ran.out);
        document::json(&documents[0]).unwrap()
    }
}

#[test]
fn the_whole_configuration_is_printed() {
    let given = Given::new();
    let mut object = given.printed(&[]);
    let bundle = object["webhooks"][0]["clientConfig"].as_object_mut().unwrap().remove("caBundle").unwrap();
    assert_eq!(
        object,
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": { "name": "statusguard", "labels": { "admissions.enforcer/disabled": "true" } },
            "webhooks": [{
                "name": "jobs.example.org.statusguard.dev",
                "admissionReviewVersions": ["v1"],
                "clientConfig": { "service": {
                    "namespace": "statusguard", "name": "statusguard", "path": "/admit/example.org/jobs", "port": 443,
                } },
                "failurePolicy": "Fail",
                "matchConditions": [
                    { "name": "status-changed", "expression": "object.?status != oldObject.?status" },
                ],
                "matchPolicy": "Equivalent",
                "namespaceSelector": { "matchExpressions": [{
                    "key": "kubernetes.io/metadata.name", "operator": "NotIn",
                    "values": ["statusguard", "kube-system", "kube-node-lease"],
                }] },
                "rules": [{
                    "apiGroups": ["example.org"], "apiVersions": ["v1"], "operations": ["UPDATE"],
                    "resources": ["jobs/status"], "scope": "*",
                }],
                "sideEffects": "NoneOnDryRun",
                "timeoutSeconds": 5,
            }],
        })
    );
    // As the API server reads it: k8s-openapi decodes the Base64 of a bundle.
    let bundle: k8s_openapi::ByteString = serde_json::from_value(bundle).unwrap();
    assert_eq!(String::from_utf8(bundle.0).unwrap(), given.pem);
}

#[test]
fn yaml_and_json_say_the_same() {
    let given = Given::new();
    // Texts that YAML would read as something else if they were not quoted.
    let odd = POLICY.replace(
        "resource: jobs }",
        r#"resource: jobs, objectSelector: { matchLabels: {
      a: "true", b: "1e3", c: "null", d: "", e: "on", f: "y", g: "012", h: "No" } } }"#,
    );
    given.policies.write("jobs.yaml", &odd);
    let json = given.config(&["-o", "json"]);
    let json: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(given.printed(&[]), json);
    // kubectl reads YAML 1.1, where these are not texts either.
    let yaml = given.config(&[]).out;
    assert!(yaml.contains("e: \"on\"") && yaml.contains("g: \"012\""), "{yaml}");
    let labels = json!({
        "a": "true", "b": "1e3", "c": "null", "d": "", "e": "on", "f": "y", "g": "012", "h": "No",
    });
    assert_eq!(json["webhooks"][0]["objectSelector"]["matchLabels"], labels);
}

#[test]
fn flags_say_where_the_guard_is() {
    let given = Given::new();
    let more = ["--name=guard", "-n", "watch", "--service=hook", "--service-port=8443"];
    let object = given.printed(&more);
    assert_eq!(object["metadata"]["name"], "guard");
    let service = json!({ "namespace": "watch", "name": "hook", "path": "/admit/example.org/jobs", "port": 8443 });
    assert_eq!(object["webhooks"][0]["clientConfig"]["service"], service);
    let excluded = &object["webhooks"][0]["namespaceSelector"]["matchExpressions"][0]["values"];
    assert_eq!(*excluded, json!(["watch", "kube-system", "kube-node-lease"]));
    assert_eq!(given.config(&["--service-port=0"]).code, 2);
}

#[test]
fn policies_are_in_the_order_of_their_names_without_those_that_are_off() {
    let given = Given::new();
    given.policies.write("a.yaml", &POLICY.replace("jobs", "runs"));
    let off = POLICY.replace("jobs", "plans").replace("failurePolicy: Fail", "mode: \"Off\"");
    given.policies.write("b.json", &document::parse(&off).unwrap()[0].to_string());
    let ran = given.config(&["-o", "json"]);
    let object: Value = serde_json::from_str(&ran.out).unwrap();
    let names: Vec<&Value> = object["webhooks"].as_array().unwrap().iter().map(|entry| &entry["name"]).collect();
    assert_eq!(names, ["jobs.example.org.statusguard.dev", "runs.example.org.statusguard.dev"]);
    assert!(ran.err.contains("plans.example.org has no entry: spec.mode is Off"), "{}", ran.err);
}

#[test]
fn a_folder_that_holds_only_comments_gives_no_entries() {
    let given = Given::new();
    given.policies.write("jobs.yaml", "# none\n");
    assert_eq!(given.printed(&[])["webhooks"], json!([]));
}

#[test]
fn what_is_wrong_is_named_and_nothing_is_printed() {
    let problem = |given: &Given, more: &[&str], parts: &[&str]| {
        let ran = given.config(more);
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{}", ran.err);
        for part in parts {
            assert!(ran.err.contains(part), "does not say {part:?}: {}", ran.err);
        }
    };
    let given = Given::new();
    given.policies.write("typo.yaml", &POLICY.replace("jobs", "runs").replace("monotone", "monotune"));
    given.policies.write("broken.yaml", "a: [1");
    given.policies.write("twice.yaml", POLICY);
    problem(
        &given,
        &[],
        &["typo.yaml: error: spec.monotune", "broken.yaml", "a second policy is called jobs.example.org"],
    );
    problem(&given, &[], &["because of 3 problems"]);

    let given = Given::new();
    let key = given.files.write("both.pem", &format!("{}{}", given.pem, authority().1));
    let text = given.files.write("text.pem", "hello");
    for (file, said) in [(&*key, "private key"), (&*text, "no certificate"), ("nowhere.pem", "cannot read nowhere.pem")]
    {
        let folder = given.policies.0.path().to_str().unwrap();
        let ran = run(&["webhook-config", "--policy-dir", folder, "--ca", file]);
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{}", ran.err);
        assert!(ran.err.contains(said), "does not say {said:?}: {}", ran.err);
    }
    std::fs::remove_file(given.policies.0.path().join("jobs.yaml")).unwrap();
    problem(&given, &[], &["holds no policy file"]);
    given.policies.write(
        "jobs.yaml",
        &POLICY.replace("resource: jobs }", "resource: jobs, objectSelector: { matchLabels: [a] } }"),
    );
    problem(&given, &[], &["objectSelector"]);
}

#[test]
fn the_authority_may_come_by_a_pipe() {
    let given = Given::new();
    let folder = given.policies.0.path().to_str().unwrap();
    let ran = run_with(&["webhook-config", "--policy-dir", folder, "--ca", "-", "-o", "json"], &given.pem);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(serde_json::from_str::<Value>(&ran.out).unwrap(), given.printed(&[]));
}
