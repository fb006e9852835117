//! The demo: a lost update, and the same update refused. Each step is checked.

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use super::cluster::DemoCluster;
use super::guard::RunningGuard;
use crate::User;

/// One delivery attempt as the demo's controllers record it.
fn attempt(channel: &str, number: u32, second: u32) -> Value {
    json!({
        "channel": channel, "attempt": number, "status": "failed", "error": "connection timed out",
        "timestamp": format!("2026-01-05T03:00:{second:02}.000Z"), "durationSeconds": 5.0,
    })
}

fn attempts(list: &[Value]) -> Value {
    json!({ "totalAttempts": list.len(), "deliveryAttempts": list })
}

fn recorded(status: &Value) -> Vec<Value> {
    status["deliveryAttempts"].as_array().cloned().unwrap_or_default()
}

fn names(status: &Value) -> String {
    let attempts = recorded(status);
    let names = attempts.iter().map(|a| format!("{}#{}", a["channel"].as_str().unwrap_or("?"), a["attempt"]));
    names.collect::<Vec<_>>().join(", ")
}

/// Runs the demo; fails when a step does not go as expected.
pub async fn demo() -> anyhow::Result<()> {
    let cluster = DemoCluster::start().await?;
    println!("\nA real kube-apiserver and etcd are running. Two replicas of a notification controller, alice and bob,");
    println!("record delivery attempts in the status of the same NotificationRequest.\n");

    println!("1. Without the guard");
    let lost = lost_update(&cluster).await?;
    println!("    Lost, and nobody was told: {lost}.\n");

    println!("2. With the guard");
    let guard = cluster.guard().await?;
    println!("    statusguard serves the policy notificationrequests.kubernaut.ai; the API server calls it over TLS.");
    let stale = start(&cluster, "n2").await?;
    println!("    n2: bob still sees one attempt, adds email#1 to it and patches, with kubectl:");
    refused(&cluster, &stale)?;
    let kept = cluster.status("n2").await?;
    ensure!(recorded(&kept).len() == 3, "the refused write changed something: {kept}");
    println!("    Nothing was lost: {}.\n", names(&kept));

    println!(
        "3. Bob's client retries on conflict, as client-go's RetryOnConflict does: read again, decide again, write"
    );
    let tries = retry(&cluster, &stale).await?;
    let all = cluster.status("n2").await?;
    ensure!(all["totalAttempts"] == 4 && recorded(&all).len() == 4, "an attempt is missing: {all}");
    println!("    Accepted after {tries} tries; all attempts are there: {}.\n", names(&all));

    println!("4. A jump that no older state explains is not a conflict but invalid: a retry would not help");
    never_legal(&cluster).await?;

    println!("5. What the guard refused");
    let refused = list(&guard);
    ensure!(
        refused == [("n2", "Stale"), ("n2", "Stale"), ("n3", "Invalid")].map(|(n, c)| (n.into(), c.into())),
        "unexpected list of refused writes: {refused:?}"
    );
    guard.end().await?;
    println!("\nEvery step went as expected.");
    Ok(())
}

/// Records three attempts on a new object; returns the status as it was after the first.
async fn start(cluster: &DemoCluster, name: &str) -> anyhow::Result<Value> {
    cluster.create(name).await?;
    cluster.patch(User::Alice, name, json!({ "phase": "Pending", "queuedAt": "2026-01-05T03:00:00Z" })).await?;
    cluster
        .patch(User::Alice, name, json!({ "phase": "Sending", "processingStartedAt": "2026-01-05T03:00:00Z" }))
        .await?;
    let first = [attempt("slack:oncall", 1, 1)];
    let read_by_bob = cluster.patch(User::Alice, name, attempts(&first)).await?.data["status"].clone();
    println!("    {name}: alice records attempt slack:oncall#1. Bob reads the object.");
    let three = [first[0].clone(), attempt("pagerduty", 1, 7), attempt("slack:oncall", 2, 31)];
    cluster.patch(User::Alice, name, attempts(&three)).await?;
    println!("    {name}: alice records pagerduty#1 and slack:oncall#2; totalAttempts is 3.");
    Ok(read_by_bob)
}

async fn lost_update(cluster: &DemoCluster) -> anyhow::Result<String> {
    let stale = start(cluster, "n1").await?;
    let mut list = recorded(&stale);
    list.push(attempt("email", 1, 12));
    cluster.patch(User::Bob, "n1", attempts(&list)).await?;
    println!("    n1: bob still sees one attempt, adds email#1 to it and patches. The API server answers 200 OK.");
    let status = cluster.status("n1").await?;
    println!("    n1: totalAttempts is {}, recorded are {}.", status["totalAttempts"], names(&status));
    ensure!(status["totalAttempts"] == 2 && names(&status) == "slack:oncall#1, email#1", "nothing was lost: {status}");
    Ok("pagerduty#1 and slack:oncall#2".into())
}

fn patch_text(list: &[Value]) -> String {
    json!({ "status": attempts(list) }).to_string()
}

fn refused(cluster: &DemoCluster, stale: &Value) -> anyhow::Result<()> {
    let mut list = recorded(stale);
    list.push(attempt("email", 1, 12));
    let patch = patch_text(&list);
    let arguments = ["patch", "notificationrequest", "n2", "--subresource=status", "--type=merge", "-p", &patch];
    let (succeeded, text) = cluster.kubectl(User::Bob, &arguments)?;
    ensure!(!succeeded, "the stale write was accepted");
    for part in [
        "(Conflict)",
        "totalAttempts fell from 3 to 2",
        "deliveryAttempts lost entry",
        "read it again and decide again",
        "the policy is at fault: StatusPolicy notificationrequests.kubernaut.ai",
    ] {
        ensure!(text.contains(part), "the refusal does not say {part:?}: {text}");
    }
    Ok(())
}

/// Bob's retry loop; the first try still uses what he read before.
async fn retry(cluster: &DemoCluster, stale: &Value) -> anyhow::Result<u32> {
    let mut status = stale.clone();
    for tries in 1..=5 {
        let mut list = recorded(&status);
        list.push(attempt("email", 1, 12));
        match cluster.patch(User::Bob, "n2", attempts(&list)).await {
            Ok(_) => return Ok(tries),
            Err(kube::Error::Api(answer)) if answer.is_conflict() => {
                println!("    Try {tries}: {} {}. Bob reads the object again.", answer.code, answer.reason);
                status = cluster.status("n2").await?;
            }
            Err(error) => return Err(error).context("bob's write"),
        }
    }
    bail!("still refused after five tries")
}

async fn never_legal(cluster: &DemoCluster) -> anyhow::Result<()> {
    cluster.create("n3").await?;
    cluster.patch(User::Alice, "n3", json!({ "phase": "Pending", "queuedAt": "2026-01-05T03:00:00Z" })).await?;
    let patch = json!({ "status": { "phase": "Sent", "completionTime": "2026-01-05T03:00:09Z" } }).to_string();
    let arguments = ["patch", "notificationrequest", "n3", "--subresource=status", "--type=merge", "-p", &patch];
    let (succeeded, text) = cluster.kubectl(User::Bob, &arguments)?;
    ensure!(!succeeded, "the jump was accepted");
    for part in [
        "is invalid",
        "status.phase: refused by StatusPolicy notificationrequests.kubernaut.ai: ",
        "from \"Pending\" to \"Sent\"",
        "can never be legal",
    ] {
        ensure!(text.contains(part), "the refusal does not say {part:?}: {text}");
    }
    println!();
    Ok(())
}

/// Prints what the guard recorded; returns names and classes.
fn list(guard: &RunningGuard) -> Vec<(String, String)> {
    let mut listed = Vec::new();
    println!("    {:8} {:6} {:9} {:8} {:35} FINDINGS", "OBJECT", "USER", "OUTCOME", "CLASS", "POLICY");
    for refusal in guard.refusals.list() {
        let class = refusal.class.map_or("", |class| class.as_str());
        let findings: Vec<String> = refusal.findings.iter().map(|f| format!("{} {}", f.reason, f.field)).collect();
        println!(
            "    {:8} {:6} {:9} {:8} {:35} {}",
            refusal.name,
            refusal.user,
            refusal.outcome,
            class,
            refusal.policy,
            findings.join(", ")
        );
        listed.push((refusal.name, class.to_owned()));
    }
    listed
}
