//! The rendered manifests at a real API server: they are taken as they are, and give the guard just what it needs.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;

use clap::Parser as _;
use serde_json::Value;
use statusguard::{Args, Command, DoctorReport, FindingStatus, Guard};
use statusguard_policy::StatusPolicy;
use statusguard_tests::{ControlPlane, Options, User, eventually, parcels, plain_answer};

const ACCOUNT: &str = "system:serviceaccount:statusguard:statusguard";

fn folder(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/rendered").join(name).display().to_string()
}

async fn kubectl(plane: &ControlPlane, args: &[&str]) -> String {
    let mut kubectl = tokio::process::Command::from(plane.kubectl(User::Admin));
    let ran = kubectl.args(args).output().await.unwrap();
    let text = String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap();
    assert!(ran.status.success(), "kubectl {}: {text}", args.join(" "));
    text
}

/// What `statusguard doctor` finds.
async fn diagnosis(plane: &ControlPlane) -> Vec<(&'static str, FindingStatus)> {
    let kubeconfig = format!("--kubeconfig={}", plane.kubeconfig(User::Admin).display());
    let args = Args::try_parse_from(["statusguard", "doctor", &kubeconfig, "--namespace=statusguard"]);
    let Command::Doctor(args) = args.unwrap().command else { unreachable!("the command") };
    let report = DoctorReport::gather(&args).await.unwrap();
    println!("{}", report.text());
    report.findings.iter().map(|finding| (finding.check, finding.status)).collect()
}

/// The metrics that alerts speak of.
fn alerted() -> Vec<String> {
    let rules = std::fs::read_to_string(Path::new(&folder("monitoring")).join("prometheus-rule.yaml")).unwrap();
    let rules: Value = serde_saphyr::from_str(&rules).unwrap();
    let rules = rules["spec"]["groups"][0]["rules"].as_array().unwrap();
    let words = |rule: &Value| {
        let text = rule["expr"].as_str().unwrap().to_owned();
        let name = |word: &str| word.starts_with("statusguard_").then(|| word.to_owned());
        let is_name = |char: char| char.is_ascii_alphanumeric() || char == '_';
        text.split(|char| !is_name(char)).filter_map(name).collect::<Vec<_>>()
    };
    let series: Vec<String> = rules.iter().flat_map(words).collect();
    assert!(series.len() >= 7, "{series:?}");
    series
}

/// The runbook has a heading for each alert, to which the alert leads.
#[test]
fn every_alert_is_explained() {
    let rules = std::fs::read_to_string(Path::new(&folder("monitoring")).join("prometheus-rule.yaml")).unwrap();
    let runbook = include_str!("../../manifests/RUNBOOK.md");
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim_start().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() >= 8, "{alerts:?}");
    for alert in alerts {
        assert!(runbook.lines().any(|line| line == format!("## {alert}")), "{alert}");
    }
}

/// As the service account of the manifests, with the flags of their Deployment.
#[tokio::test(flavor = "multi_thread")]
async fn a_guard_has_the_rights_that_it_needs_and_what_it_writes_is_not_drift() {
    let plane = ControlPlane::start(Options::default()).await.unwrap();
    let guard = folder("guard");
    kubectl(&plane, &["apply", "-k", &guard]).await;
    let args = [
        "statusguard".to_owned(),
        "webhook".to_owned(),
        format!("--kubeconfig={}", plane.kubeconfig(User::Named(ACCOUNT.to_owned())).display()),
        "--namespace=statusguard".to_owned(),
        "--listen=127.0.0.1:0".to_owned(),
        "--plain-listen=127.0.0.1:0".to_owned(),
        "--spread=1s".to_owned(),
        "--min-drain=0s".to_owned(),
        "--drain-timeout=1s".to_owned(),
    ];
    let Command::Webhook(args) = Args::try_parse_from(args).unwrap().command else { unreachable!("a server") };
    let served = Guard::bind(*args).await.unwrap();
    let (plain, shutdown) = (served.plain_address().unwrap(), served.shutdown());
    let serving = tokio::spawn(served.serve());

    plane.apply_crd_yaml(parcels::CRD).await.unwrap();
    plane.apply_crd(&<StatusPolicy as kube::CustomResourceExt>::crd()).await.unwrap();
    parcels::guard(&plane, "default", "Fail").await.unwrap();
    let entries =
        ["get", "validatingwebhookconfiguration", "statusguard", "-o", "jsonpath={.webhooks[*].failurePolicy}"];
    // A new entry is `Ignore`, and becomes `Fail` after 10 s. That of the canary stays.
    eventually("the entry is Fail", async || Ok(kubectl(&plane, &entries).await == "Fail Ignore")).await.unwrap();
    eventually("it is ready", async || Ok(plain_answer(plain, "/readyz").await?.starts_with("HTTP/1.1 200")))
        .await
        .unwrap();
    let conditions = ["get", "statuspolicy", parcels::POLICY, "-o", "jsonpath={.status.conditions[*].reason}"];
    eventually("its conditions are written", async || {
        Ok(kubectl(&plane, &conditions).await == "Compiled WaitingForFirstCall")
    })
    .await
    .unwrap();

    let metrics = plain_answer(plain, "/metrics").await.unwrap();
    let failed = |line: &&str| {
        let (series, value) = line.rsplit_once(' ').unwrap_or_default();
        let counts = series.contains("_errors_total{") || series.contains("rotation_failures_total{");
        // Races are how replicas agree, and there is no other one.
        counts && value != "0"
    };
    let failed: Vec<&str> = metrics.lines().filter(failed).collect();
    assert!(failed.is_empty(), "{failed:#?}");

    for series in alerted() {
        assert!(metrics.lines().any(|line| line.starts_with(&series)), "{series} is not served");
    }

    // No controller makes EndpointSlices here, so that the API server does not reach the Service.
    assert_eq!(
        diagnosis(&plane).await,
        [
            ("configuration", FindingStatus::Good),
            ("policies", FindingStatus::Good),
            ("policies", FindingStatus::Good),
            ("replicas", FindingStatus::Problem),
            ("certificates", FindingStatus::Good),
            ("canary", FindingStatus::Problem),
            ("rights", FindingStatus::Good),
        ]
    );

    kubectl(&plane, &["diff", "-k", &guard]).await;
    kubectl(&plane, &["delete", "clusterrole", "statusguard"]).await;
    eventually("missing rights are seen", async || {
        Ok(diagnosis(&plane).await.last() == Some(&("rights", FindingStatus::Problem)))
    })
    .await
    .unwrap();
    shutdown.request();
    serving.await.unwrap().unwrap();
    // Nobody answers now, and the entry is `Fail`: who removes the installation switches the guard off first.
    kubectl(&plane, &["delete", "-k", &guard, "--wait=false", "--ignore-not-found"]).await;
    let parcel = "{\"apiVersion\":\"shop.example.org/v1\",\"kind\":\"Parcel\",\"metadata\":{\"name\":\"p1\",\"namespace\":\"default\"}}";
    let file = plane.folder().join("parcel.json");
    std::fs::write(&file, parcel).unwrap();
    kubectl(&plane, &["create", "-f", &file.display().to_string()]).await;
    let patch = ["patch", "parcel", "p1", "--subresource=status", "--type=merge", "-p", "{\"status\":{\"scans\":1}}"];
    eventually("a status can be written", async || {
        let mut kubectl = tokio::process::Command::from(plane.kubectl(User::Admin));
        Ok(kubectl.args(patch).output().await?.status.success())
    })
    .await
    .unwrap();
}

/// Those that need nothing else in the cluster are tried by the API server, the others are put together.
#[tokio::test]
async fn every_overlay_is_taken() {
    let plane = ControlPlane::start(Options::default()).await.unwrap();
    kubectl(&plane, &["apply", "-k", &folder("guard")]).await;
    for overlay in ["network-policy", "host-network", "kubernaut-crds"] {
        kubectl(&plane, &["apply", "--dry-run=server", "-k", &folder(overlay)]).await;
    }
    let text = kubectl(&plane, &["kustomize", &folder("cert-manager")]).await;
    assert!(text.contains("--tls-ca=/etc/statusguard/tls/ca.crt") && text.contains("kind: Issuer"), "{text}");
}
