//! Each right of the manifests is needed: without it, something that the guard does is counted as failed.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use statusguard_tests::eventually;

use crate::cluster::TestedCluster;

/// The roles of the manifests, as kubectl names them.
const ROLES: [&[&str]; 3] = [
    &["clusterrole", "statusguard"],
    &["role", "statusguard", "-n", "statusguard"],
    &["role", "statusguard", "-n", "default"],
];

pub async fn each_is_needed(cluster: &TestedCluster) -> anyhow::Result<()> {
    begin_anew(cluster, "Fail").await?;
    cluster.rolled_out().await?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    ensure!(failures(cluster).await? == 0.0, "requests fail although no right is missing");
    let mut tried = 0;
    for role in ROLES {
        let text = cluster.kubectl(&[&["get"], role, &["-o", "json"]].concat()).await?;
        let rules: Value = serde_json::from_str::<Value>(&text)?["rules"].clone();
        for (rule, verb) in verbs(&rules) {
            let mut fewer = rules.clone();
            fewer[rule]["verbs"].as_array_mut().context("verbs")?.retain(|other| *other != *verb);
            let what = format!("{} {} without {verb} of {}", role[0], role[1], rules[rule]["resources"]);
            set_rules(cluster, role, &fewer).await?;
            begin_anew(cluster, if tried % 2 == 0 { "Ignore" } else { "Fail" }).await?;
            let failed = eventually(&what, async || {
                meddle(cluster).await?;
                Ok(failures(cluster).await? > 0.0)
            });
            failed.await?;
            set_rules(cluster, role, &rules).await?;
            tried += 1;
        }
    }
    println!("e2e:          {tried} rights, each missed");
    begin_anew(cluster, "Fail").await?;
    cluster.rolled_out().await
}

fn verbs(rules: &Value) -> Vec<(usize, String)> {
    let rules = rules.as_array().into_iter().flatten().enumerate();
    let of = |(rule, value): (usize, &Value)| {
        let verbs = value["verbs"].as_array().cloned().unwrap_or_default();
        verbs.into_iter().filter_map(move |verb| Some((rule, verb.as_str()?.to_owned()))).collect::<Vec<_>>()
    };
    rules.flat_map(of).collect()
}

async fn set_rules(cluster: &TestedCluster, role: &[&str], rules: &Value) -> anyhow::Result<()> {
    // An empty list of verbs is not one.
    let rules: Vec<&Value> = rules.as_array().into_iter().flatten().filter(|rule| rule["verbs"] != json!([])).collect();
    let patch = json!([{ "op": "replace", "path": "/rules", "value": rules }]).to_string();
    cluster.kubectl(&[&["patch"], role, &["--type=json", "-p", &patch]].concat()).await.map(drop)
}

/// Makes everything that is written be written again: other pods, another authority, another policy.
async fn begin_anew(cluster: &TestedCluster, failure_policy: &str) -> anyhow::Result<()> {
    cluster.try_kubectl(&["-n", "statusguard", "delete", "secret", "statusguard-authority"], "").await?;
    cluster.kubectl(&["-n", "statusguard", "delete", "pods", "--all", "--grace-period=1"]).await?;
    cluster.guard(failure_policy, &json!({ "monotone": [{ "path": ".status.scans" }] })).await
}

/// Somebody changes an entry: it is repaired, and an Event says so.
async fn meddle(cluster: &TestedCluster) -> anyhow::Result<()> {
    let patch = json!([{ "op": "replace", "path": "/webhooks/0/timeoutSeconds", "value": 7 }]).to_string();
    let args = ["patch", "validatingwebhookconfiguration", "statusguard", "--type=json", "-p", &patch];
    // There may be no entry.
    cluster.try_kubectl(&args, "").await.map(drop)
}

/// Requests of all pods that failed, but for races of the two.
async fn failures(cluster: &TestedCluster) -> anyhow::Result<f64> {
    let pods =
        cluster.kubectl(&["-n", "statusguard", "get", "pods", "-o", "jsonpath={.items[*].metadata.name}"]).await?;
    let mut failed = 0.0;
    for pod in pods.split_whitespace() {
        // It may not serve yet.
        let metrics = cluster.page(pod, "/metrics").await.unwrap_or_default();
        for line in metrics.lines() {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let counts = series.contains("_errors_total{") || series.contains("rotation_failures_total{");
            if counts && !series.contains("\"conflict\"") {
                failed += value.parse::<f64>()?;
            }
        }
    }
    Ok(failed)
}
