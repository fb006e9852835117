//! Files that are not policies: the message says what each is and what to do.

use serde_json::Value;

use crate::{Folder, run};

/// The first problem of a file: its line and column, what is wrong and what to do.
fn first_problem(name: &str, content: &[u8]) -> (Value, Value, String, String) {
    let folder = Folder::new();
    let file = folder.write(name, "");
    std::fs::write(&file, content).unwrap();
    let ran = run(&["policy", "lint", "-o", "json", &file]);
    assert_eq!(ran.code, 1, "{name}");
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    let problems = report["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 1, "{name}: {problems:?}");
    let text = |key: &str| problems[0][key].as_str().unwrap().to_owned();
    (problems[0]["line"].clone(), problems[0]["column"].clone(), text("message"), text("hint"))
}

#[test]
fn other_objects_are_named() {
    for (text, what, hint) in [
        (
            "apiVersion: apps/v1\nkind: Deployment\nspec: { replicas: 1 }\n",
            "a Deployment (apps/v1)",
            "name the file of a policy; `statusguard policy init --crd FILE` writes a first one",
        ),
        (
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n",
            "a CustomResourceDefinition (apiextensions.k8s.io/v1)",
            "give it with --crd; `statusguard policy init --crd FILE` writes a first policy from it",
        ),
        (
            "apiVersion: v1\nkind: List\nitems: []\n",
            "a List (v1)",
            "make each policy a document of its own, with `---` between them",
        ),
    ] {
        let (line, column, message, hinted) = first_problem("p.yaml", text.as_bytes());
        assert_eq!((line, column), (2.into(), 7.into()));
        assert_eq!((message, &*hinted), (format!("this is {what}, not a StatusPolicy"), hint));
    }
    let (line, column, message, hint) = first_problem("p.yaml", b"policy: jobs.yaml\ncases: []\n");
    assert_eq!((line, column), (1.into(), 1.into()));
    assert_eq!(
        (&*message, &*hint),
        ("this is a policy test file, not a StatusPolicy", "run it with `statusguard policy test`")
    );
}

#[test]
fn duplicate_keys_are_errors() {
    let yaml = b"spec:\n  monotone: []\n  setOnce: []\n  monotone: []\n";
    let (line, column, message, hint) = first_problem("p.yaml", yaml);
    assert_eq!((line, column), (4.into(), 3.into()));
    assert_eq!((&*message, &*hint), ("duplicate key `monotone`, which line 2 has already", "remove one of the two"));
    let json = "{\"apiVersion\": \"statusguard.dev/v1alpha1\", \"kind\": \"StatusPolicy\", \"metadata\": {\"name\": \"jobs.example.org\"},\n\
        \"spec\": {\"target\": {\"group\": \"example.org\", \"version\": \"v1\", \"resource\": \"jobs\"},\n\
        \"setOnce\": [{\"path\": \".status.a\"}],\n\
        \"setOnce\": [{\"path\": \".status.b\"}]}}";
    let (line, column, message, hint) = first_problem("p.json", json.as_bytes());
    assert_eq!((line, column), (4.into(), 1.into()));
    assert_eq!((&*message, &*hint), ("duplicate key, which line 3 has already", "remove one of the two"));
}

#[test]
fn only_utf_8_of_a_sensible_size_is_read() {
    let utf_16: Vec<u8> = [0xff, 0xfe].into_iter().chain("kind: x".encode_utf16().flat_map(u16::to_le_bytes)).collect();
    let huge = vec![b'a'; (64 << 20) + 1];
    for (content, message, hint) in [
        (&utf_16[..], "the text is UTF-16", "save the file as UTF-8"),
        (b"kind: \xe4", "the text is not UTF-8 from byte 6 on", "save the file as UTF-8"),
        (&huge, "the file is larger than 64 MiB", "split it, or name the file that is meant"),
        (b"", "the file is empty", "write a StatusPolicy"),
    ] {
        let (line, column, said, hinted) = first_problem("p.yaml", content);
        assert_eq!((line, column, &*said, &*hinted), (Value::Null, Value::Null, message, hint));
    }
}

#[test]
fn mistakes_of_syntax_have_a_place() {
    let (line, column, message, hint) = first_problem("p.yaml", b"spec:\n  a: b: c\n");
    assert_eq!((line, column), (2.into(), 7.into()));
    assert_eq!((message.contains("mapping values"), &*hint), (true, "write YAML or JSON"), "{message}");
}

#[test]
fn misspelt_keys_and_values_are_corrected() {
    let policy = "apiVersion: statusguard.dev/v1alpha1\nkind: StatusPolicy\nmetadata: { name: jobs.example.org }\nspec:\n  \
        target: { group: example.org, version: v1, resource: jobs }\n  setOnce: [{ path: .status.a }]\n";
    for (more, line, column, message, hint) in [
        ("  monotne: [{ path: .status.b }]\n", 7, 3, "unknown key", "did you mean `monotone`?"),
        (
            "  mode: Enforced\n",
            7,
            9,
            "unknown variant `Enforced`, expected one of `Enforce`, `Warn`, `Audit`, `Off`",
            "did you mean `Enforce`?",
        ),
        ("specs: {}\n", 7, 1, "unknown key", "did you mean `spec`?"),
        (
            "  modeIn: { Team: Off }\n",
            7,
            13,
            "`Team` cannot name a namespace",
            "write a name, or its beginning and one `*`",
        ),
    ] {
        let said = first_problem("p.yaml", format!("{policy}{more}").as_bytes());
        assert_eq!(said, (line.into(), column.into(), message.into(), hint.into()), "{more}");
    }
}
