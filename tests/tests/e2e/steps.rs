//! From an empty cluster to an empty cluster, one step after another.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Parser as _;
use kube::api::DeleteParams;
use serde_json::json;
use statusguard::{Args, Command as SubCommand, DoctorReport, FindingStatus};
use statusguard_tests::{eventually, parcels};
use tokio::process::Command;

use crate::cluster::{SHOP, TestedCluster};
use crate::load::{Load, LoadResult};
use crate::rights;

const GUARD: &str = "manifests/rendered/guard";
const DEPLOYMENT: &str = "deployment/statusguard";

/// A step that says how long it took.
macro_rules! step {
    ($name:literal, $step:expr) => {{
        let begun = Instant::now();
        $step.await.context($name)?;
        println!("e2e: {:5.1} s  {}", begun.elapsed().as_secs_f64(), $name);
    }};
}

pub async fn all(cluster: &TestedCluster) -> anyhow::Result<()> {
    step!("the image is loaded", image(cluster));
    step!("from `kubectl apply -k` to the first stale write that is refused", install(cluster));
    step!("a policy is added, changed, broken and removed", policies(cluster));
    step!("metrics and the canary", metrics(cluster));
    step!("`statusguard doctor` finds nothing", doctor(cluster));
    step!("what the guard fills in is not drift", no_drift(cluster));
    cluster.guard("Fail", &json!({ "monotone": [{ "path": ".status.scans" }] })).await?;
    eventually("the entry is Fail", async || Ok(entry_policy(cluster).await? == "Fail")).await?;
    step!("a rolling restart under 200 writes in a second", rolling_restart(cluster));
    step!("an upgrade under load", upgrade(cluster));
    step!("the authority is deleted under load", new_authority(cluster));
    step!("no replica is left", no_replica(cluster));
    step!("without each right in turn something fails", rights::each_is_needed(cluster));
    step!("removal", removal(cluster));
    Ok(())
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Builds the image, unless one is named.
async fn image(cluster: &TestedCluster) -> anyhow::Result<()> {
    let archive = match std::env::var("STATUSGUARD_E2E_IMAGE") {
        Ok(archive) => archive,
        Err(_) => {
            let archive = Path::new(env!("CARGO_TARGET_TMPDIR")).join("statusguard.tar").display().to_string();
            let mut build = Command::new(env!("CARGO"));
            build.args([
                "run",
                "--quiet",
                "--locked",
                "-p",
                "statusguard-manifests",
                "--",
                "image",
                "--output",
                &archive,
            ]);
            let built = build.current_dir(root()).stdin(Stdio::null()).status().await?;
            ensure!(built.success(), "the image could not be built");
            archive
        }
    };
    cluster.load(&archive).await
}

async fn install(cluster: &TestedCluster) -> anyhow::Result<()> {
    let folder = root().join(GUARD);
    cluster.kubectl(&["apply", "-k", &folder.display().to_string()]).await?;
    cluster.apply(parcels::CRD).await?;
    cluster
        .apply(&format!("{{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{{\"name\":\"{SHOP}\"}}}}"))
        .await?;
    // The CRDs may not be served yet.
    eventually("the policy is taken", async || {
        cluster.guard("Ignore", &json!({ "monotone": [{ "path": ".status.scans" }] })).await?;
        Ok(true)
    })
    .await?;
    eventually("parcels are served", async || Ok(cluster.parcel("first").await.is_ok())).await?;
    eventually("a stale write is refused", async || cluster.refuses("first").await).await?;
    cluster.rolled_out().await
}

async fn policies(cluster: &TestedCluster) -> anyhow::Result<()> {
    cluster.is("Enforced", "True", "Enforced").await?;
    cluster.guard("Ignore", &json!({ "mode": "Audit", "monotone": [{ "path": ".status.scans" }] })).await?;
    eventually("the changed policy is in force", async || Ok(!cluster.refuses("first").await?)).await?;
    // Broken: the last good one stays.
    cluster.guard("Ignore", &json!({ "monotone": [{ "path": ".status.scan" }] })).await?;
    cluster.is("Compiled", "False", "Invalid").await?;
    ensure!(!cluster.refuses("first").await?, "a policy that does not compile replaced a good one");
    cluster.policies().delete(parcels::POLICY, &DeleteParams::default()).await?;
    eventually("its entry is gone", async || Ok(entry_policy(cluster).await?.is_empty())).await?;
    cluster.guard("Ignore", &json!({ "monotone": [{ "path": ".status.scans" }] })).await?;
    eventually("a stale write is refused again", async || cluster.refuses("first").await).await
}

async fn metrics(cluster: &TestedCluster) -> anyhow::Result<()> {
    let pods = cluster.ready_pods().await?;
    ensure!(pods.len() == 2, "two replicas: {pods:?}");
    let mut refused = 0.0;
    for pod in &pods {
        ensure!(cluster.metric(pod, "statusguard_policies_loaded").await? == 1.0, "{pod} has one policy");
        let series = format!(
            "statusguard_admission_requests_total{{policy=\"{}\",outcome=\"Denied\",class=\"Stale\"}}",
            parcels::POLICY
        );
        refused += cluster.metric(pod, &series).await?;
        ensure!(cluster.page(pod, "/readyz").await.is_ok());
    }
    ensure!(refused >= 2.0, "refusals are counted: {refused}");
    // It is made once a minute.
    let canary = "statusguard_canary_success_timestamp_seconds";
    for _ in 0..3 {
        let waited =
            eventually("the canary is refused", async || Ok(cluster.metric(&pods[0], canary).await? > 0.0)).await;
        if waited.is_ok() {
            return Ok(());
        }
    }
    anyhow::bail!("the canary was not refused in three minutes")
}

async fn doctor(cluster: &TestedCluster) -> anyhow::Result<()> {
    let kubeconfig = format!("--kubeconfig={}", cluster.kubeconfig.display());
    let args = Args::try_parse_from(["statusguard", "doctor", &kubeconfig, "--namespace=statusguard"])?;
    let SubCommand::Doctor(args) = args.command else { unreachable!("the command") };
    let report = DoctorReport::gather(&args).await?;
    ensure!(report.findings.iter().all(|finding| finding.status == FindingStatus::Good), "{}", report.text());
    Ok(())
}

async fn no_drift(cluster: &TestedCluster) -> anyhow::Result<()> {
    let folder = root().join(GUARD).display().to_string();
    let (same, difference) = cluster.try_kubectl(&["diff", "-k", &folder], "").await?;
    ensure!(same, "{difference}");
    Ok(())
}

/// The failure policy of the entry for parcels; empty without an entry.
async fn entry_policy(cluster: &TestedCluster) -> anyhow::Result<String> {
    let path = format!("jsonpath={{.webhooks[?(@.name==\"{}.statusguard.dev\")].failurePolicy}}", parcels::POLICY);
    cluster.kubectl(&["get", "validatingwebhookconfiguration", "statusguard", "-o", &path]).await
}

fn nothing_failed(result: &LoadResult) -> anyhow::Result<()> {
    println!("e2e:          {} writes, {} failed", result.writes, result.failures.len());
    ensure!(result.failures.is_empty(), "the first of them: {}", result.failures[0]);
    Ok(())
}

async fn rolling_restart(cluster: &TestedCluster) -> anyhow::Result<()> {
    let load = Load::start(cluster, "restart").await?;
    cluster.kubectl(&["-n", "statusguard", "rollout", "restart", DEPLOYMENT]).await?;
    cluster.rolled_out().await?;
    // Those that were replaced drain meanwhile.
    eventually("two replicas are left", async || Ok(pods(cluster).await? == 2)).await?;
    nothing_failed(&load.end().await)
}

/// All pods, also those that end.
async fn pods(cluster: &TestedCluster) -> anyhow::Result<usize> {
    Ok(cluster.kubectl(&["-n", "statusguard", "get", "pods", "-o", "name"]).await?.lines().count())
}

/// To another version of the manifests: here, with another flag.
async fn upgrade(cluster: &TestedCluster) -> anyhow::Result<()> {
    let load = Load::start(cluster, "upgrade").await?;
    let patch =
        json!([{ "op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": "--repeat-limit=10" }]);
    cluster.kubectl(&["-n", "statusguard", "patch", DEPLOYMENT, "--type=json", "-p", &patch.to_string()]).await?;
    cluster.rolled_out().await?;
    eventually("two replicas are left", async || Ok(pods(cluster).await? == 2)).await?;
    nothing_failed(&load.end().await)
}

async fn new_authority(cluster: &TestedCluster) -> anyhow::Result<()> {
    let load = Load::start(cluster, "authority").await?;
    cluster.kubectl(&["-n", "statusguard", "delete", "secret", "statusguard-authority"]).await?;
    eventually("another authority is there", async || {
        let (there, _) =
            cluster.try_kubectl(&["-n", "statusguard", "get", "secret", "statusguard-authority"], "").await?;
        Ok(there)
    })
    .await?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    nothing_failed(&load.end().await)
}

/// Under `Fail` writes are refused, but not those that bring the guard back; under `Ignore` none is.
async fn no_replica(cluster: &TestedCluster) -> anyhow::Result<()> {
    let scale = async |replicas: &str| {
        cluster.kubectl(&["-n", "statusguard", "scale", DEPLOYMENT, &format!("--replicas={replicas}")]).await
    };
    scale("0").await?;
    eventually("no replica is left", async || Ok(pods(cluster).await? == 0)).await?;
    let failed = cluster.scan("first", 100).await;
    ensure!(matches!(&failed, Err(kube::Error::Api(status)) if status.code == 500), "{failed:?}");
    scale("2").await?;
    cluster.rolled_out().await?;
    eventually("writes go on", async || Ok(cluster.scan("first", 100).await.is_ok())).await?;
    eventually("a stale write is refused", async || cluster.refuses("first").await).await?;
    cluster.guard("Ignore", &json!({ "monotone": [{ "path": ".status.scans" }] })).await?;
    eventually("the entry is Ignore", async || Ok(entry_policy(cluster).await? == "Ignore")).await?;
    scale("0").await?;
    eventually("no replica is left", async || Ok(pods(cluster).await? == 0)).await?;
    cluster.scan("first", 1).await.context("a write under Ignore")?;
    scale("2").await?;
    cluster.rolled_out().await?;
    eventually("a stale write is refused", async || cluster.refuses("first").await).await
}

async fn removal(cluster: &TestedCluster) -> anyhow::Result<()> {
    cluster.guard("Fail", &json!({ "monotone": [{ "path": ".status.scans" }] })).await?;
    eventually("the entry is Fail", async || Ok(entry_policy(cluster).await? == "Fail")).await?;
    let folder = root().join(GUARD).display().to_string();
    let load = Load::start(cluster, "removal").await?;
    cluster.kubectl(&["delete", "-k", &folder, "--wait=true"]).await?;
    nothing_failed(&load.end().await)?;
    cluster.scan("first", 1).await.context("a stale write after the removal")?;
    cluster.kubectl(&["delete", "crd", parcels::POLICY]).await?;
    cluster.kubectl(&["delete", "namespace", SHOP]).await?;
    let (there, left) = cluster.try_kubectl(&["get", "clusterroles,clusterrolebindings", "-o", "name"], "").await?;
    ensure!(there && !left.contains("statusguard"), "{left}");
    Ok(())
}
