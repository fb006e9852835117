//! `statusguard-local up` as its users run it: this test's executable, started again as the program.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::api::Api;
use rustix::process::{Pid, Signal, kill_process};
use statusguard_tests::{ControlPlane, User, local};
use tempfile::TempDir;

/// Tells [`program`] its arguments, as a JSON list.
const ARGUMENTS: &str = "STATUSGUARD_TEST_PLAYGROUND";

/// What the test harness prints first, with `--quiet`.
const HARNESS: &str = "\nrunning 1 test\n";

/// The files of `tests/playground`.
const FILES: [(&str, &str); 6] = [
    ("widgets.crd.yaml", include_str!("playground/widgets.crd.yaml")),
    ("gadgets.crd.yaml", include_str!("playground/gadgets.crd.yaml")),
    ("widgets.policy.yaml", include_str!("playground/widgets.policy.yaml")),
    ("gadgets.policy.yaml", include_str!("playground/gadgets.policy.yaml")),
    ("deployments.policy.yaml", include_str!("playground/deployments.policy.yaml")),
    ("user.sh", include_str!("playground/user.sh")),
];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "other tests start it in a process of its own"]
async fn program() {
    let Ok(arguments) = env::var(ARGUMENTS) else { return };
    let arguments: Vec<OsString> =
        serde_json::from_str::<Vec<String>>(&arguments).unwrap().into_iter().map(Into::into).collect();
    let code = local::run(arguments).await;
    std::process::exit(code.into());
}

/// `statusguard-local up` with a control plane of its own.
fn up(arguments: &[&str]) -> Command {
    let arguments: Vec<&str> = ["statusguard-local", "up"].into_iter().chain(arguments.iter().copied()).collect();
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--ignored", "--exact", "--nocapture", "--quiet", "program"])
        .env(ARGUMENTS, serde_json::to_string(&arguments).unwrap())
        .env_remove("STATUSGUARD_USE_CLUSTER")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// The same on a cluster that is there.
fn up_on(plane: &ControlPlane, arguments: &[&str]) -> Command {
    let mut command = up(arguments);
    command
        .env("STATUSGUARD_USE_CLUSTER", "1")
        .env("STATUSGUARD_WEBHOOK_HOST", "localhost")
        .env("KUBECONFIG", plane.kubeconfig(User::Admin));
    command
}

/// Code, standard output without the harness' own, and standard error.
fn parts(output: Output) -> (i32, String, String) {
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stdout = stdout.strip_prefix(HARNESS).unwrap_or_else(|| panic!("{stdout}")).to_owned();
    (output.status.code().unwrap(), stdout, String::from_utf8(output.stderr).unwrap())
}

/// A folder with all files, of which those of widgets, and the policy of gadgets, are where they are followed.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for place in ["crds", "policies"] {
        fs::create_dir(folder.path().join(place)).unwrap();
    }
    for (name, content) in FILES {
        let place = match name {
            "widgets.crd.yaml" => "crds",
            "widgets.policy.yaml" | "gadgets.policy.yaml" => "policies",
            _ => "",
        };
        fs::write(folder.path().join(place).join(name), content).unwrap();
    }
    folder
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test]
async fn own_kinds_and_policies_are_guarded_and_followed_until_the_command_ends() {
    let kubectl = ControlPlane::shared().await.kubectl(User::Admin);
    let folder = folder();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (crds, policies, script) = (path("crds"), path("policies"), path("user.sh"));
    let output = up(&["--crds", &crds, "--policies", &policies, "--", "sh", &script, text(folder.path())]).output();
    let (code, stdout, stderr) = parts(output.unwrap());
    let kubectl_log = fs::read_to_string(folder.path().join("kubectl.log")).unwrap();
    let seen: Vec<&str> = stdout.lines().collect();
    assert_eq!(
        seen,
        [
            kubectl.get_program().to_str().unwrap(),
            "alice writes: 0",
            "bob writes what is stale: 1",
            "the entries have followed",
            "deployments are guarded",
            "deployments are guarded otherwise",
            "gadgets are guarded",
            "yes",
        ],
        "{stderr}\n{kubectl_log}"
    );
    assert_eq!(code, 7, "{stderr}");
    assert!(kubectl_log.contains("status.attempts fell from 3 to 2"), "{kubectl_log}");

    // The playground speaks to standard error only, and of each thing once.
    for (said, times) in [
        ("In force: StatusPolicy widgets.example.org", 1),
        ("Not in force yet: StatusPolicy gadgets.example.org", 1),
        ("does not serve gadgets in example.org/v1: give the CRD with --crds", 1),
        ("In force, changed: StatusPolicy deployments.apps", 1),
        ("policies/gadgets.policy.yaml: ", 1),
        ("The last good version of each policy stays in force", 1),
        ("Applied CRD gadgets.example.org from", 1),
        ("In force: StatusPolicy deployments.apps", 1),
        ("No longer in force: StatusPolicy widgets.example.org", 1),
        ("Denied Stale  bob  widgets.example.org default/a", 1),
    ] {
        let lines = stderr.lines().filter(|line| line.starts_with("statusguard-local: "));
        assert_eq!(lines.filter(|line| line.contains(said)).count(), times, "{said}: {stderr}");
    }
}

#[test]
fn an_interrupt_is_handed_on_and_nothing_is_left() {
    let folder = folder();
    let crds = folder.path().join("crds");
    let script = "trap 'echo interrupted; exit 3' INT; echo $KUBECONFIG; while :; do sleep 0.1; done";
    let mut running = up(&["--crds", text(&crds), "--", "sh", "-c", script]).spawn().unwrap();
    let mut stdout = BufReader::new(running.stdout.take().unwrap());
    let mut lines = stdout.by_ref().lines().map(Result::unwrap).skip(HARNESS.lines().count());
    let kubeconfig = lines.next().unwrap();
    assert!(Path::new(&kubeconfig).exists(), "{kubeconfig}");
    kill_process(Pid::from_child(&running), Signal::INT).unwrap();
    assert_eq!(lines.collect::<Vec<_>>(), ["interrupted"]);
    assert_eq!(running.wait().unwrap().code(), Some(3));
    assert!(!Path::new(&kubeconfig).parent().unwrap().exists(), "{kubeconfig}");
}

#[tokio::test]
async fn on_a_running_cluster_nothing_calls_a_guard_that_is_gone() {
    let plane = ControlPlane::shared().await;
    let folder = folder();
    let crds = folder.path().join("crds");
    let is_registered = async || {
        let api = Api::<ValidatingWebhookConfiguration>::all(plane.client(User::Admin));
        api.get_opt("statusguard-local").await.unwrap().is_some()
    };

    let policy = folder.path().join("policies/widgets.policy.yaml");
    let arguments = ["--crds", text(&crds), "--policies", text(&policy), "--", "no-such-command"];
    let (code, stdout, stderr) = parts(up_on(plane, &arguments).output().unwrap());
    assert_eq!((code, &*stdout), (127, ""), "{stderr}");
    assert!(stderr.contains("In force: StatusPolicy widgets.example.org"), "{stderr}");
    assert!(stderr.contains("cannot run no-such-command: No such file"), "{stderr}");
    assert!(!is_registered().await);

    // Without a command it says how to use it, until it is interrupted.
    let mut running = up_on(plane, &["--crds", text(&crds)]).spawn().unwrap();
    let mut said = String::new();
    let mut stdout = BufReader::new(running.stdout.take().unwrap());
    while !said.contains("Ctrl-C stops") {
        assert_ne!(stdout.read_line(&mut said).unwrap(), 0, "{said}");
    }
    for part in ["No --policies: nothing is guarded", "export KUBECONFIG=", "kubectl --as alice"] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    kill_process(Pid::from_child(&running), Signal::INT).unwrap();
    assert_eq!(running.wait().unwrap().code(), Some(0));
    assert!(!is_registered().await);

    // What the API server refuses is told in its words.
    let crd = crds.join("widgets.crd.yaml");
    let misnamed = fs::read_to_string(&crd).unwrap().replace("{ name: widgets.example.org }", "{ name: widgets }");
    fs::write(&crd, misnamed).unwrap();
    let (code, stdout, stderr) = parts(up_on(plane, &["--crds", text(&crds), "--", "true"]).output().unwrap());
    assert_eq!((code, &*stdout), (125, ""), "{stderr}");
    assert!(stderr.contains(text(&crd)) && stderr.contains("must be spec.names.plural+\".\"+spec.group"), "{stderr}");
    assert!(!is_registered().await);
}

#[test]
fn broken_documents_are_named_before_anything_starts() {
    let folder = folder();
    let (crd, policy) =
        (folder.path().join("crds/widgets.crd.yaml"), folder.path().join("policies/widgets.policy.yaml"));
    let refused = |crd: &Path, policy: &Path, command: &[&str]| {
        let arguments = [&["--crds", text(crd), "--policies", text(policy)], command].concat();
        // Without any programs: nothing could be started.
        let output = up(&arguments).env("KUBEBUILDER_ASSETS", "/nonexistent").output().unwrap();
        let (code, stdout, stderr) = parts(output);
        assert_eq!(stdout, "", "{stderr}");
        (code, stderr)
    };
    let change = |file: &Path, from: &str, to: &str| {
        let content = fs::read_to_string(file).unwrap();
        fs::write(file, content.replace(from, to)).unwrap();
    };

    let (code, stderr) = refused(&crd, &crd, &[]);
    assert_eq!(code, 1);
    assert!(stderr.contains(&format!("{}: no StatusPolicy in it", crd.display())), "{stderr}");
    let (code, stderr) = refused(&policy, &policy, &["--", "true"]);
    assert_eq!(code, 125);
    assert!(stderr.contains(&format!("{}: no CustomResourceDefinition in it", policy.display())), "{stderr}");

    change(&policy, "monotone:", "monotony:");
    change(&crd, "apiextensions.k8s.io/v1", "apiextensions.k8s.io/v1beta1");
    let (_, stderr) = refused(&crd, &policy, &[]);
    let said = |file: &Path, problem: &str| {
        let line = stderr.lines().find(|line| line.contains(text(file)));
        assert!(line.is_some_and(|line| line.contains(problem)), "{problem}: {stderr}");
    };
    said(&policy, "spec.monotony");
    said(&crd, "write it as apiextensions.k8s.io/v1");

    fs::write(&policy, "a: [").unwrap();
    let (_, stderr) = refused(&crd.with_file_name("none.yaml"), &policy, &[]);
    assert!(stderr.contains("none.yaml: No such file"), "{stderr}");
}
