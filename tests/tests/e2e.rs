//! The guard as it is installed: image, manifests, Service and rights, on a cluster with nodes.
//!
//! `STATUSGUARD_E2E_KUBECONFIG` names an admin of the cluster, `STATUSGUARD_E2E_LOAD` a command that loads an image archive
//! into its nodes; `{archive}` in it stands for the file. Everything is made and removed again: the namespace `statusguard`,
//! the CRD of policies and the webhook configuration must not be there before.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "e2e/cluster.rs"]
mod cluster;
#[path = "e2e/load.rs"]
mod load;
#[path = "e2e/rights.rs"]
mod rights;
#[path = "e2e/steps.rs"]
mod steps;

use std::time::Instant;

use cluster::TestedCluster;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster with nodes: STATUSGUARD_E2E_KUBECONFIG and STATUSGUARD_E2E_LOAD"]
async fn a_guard_is_installed_used_and_removed() {
    let cluster = TestedCluster::connect().await.unwrap();
    let begun = Instant::now();
    let done = steps::all(&cluster).await;
    println!("e2e: {:.0} s in all", begun.elapsed().as_secs_f64());
    if let Err(error) = done {
        println!("{}", cluster.diagnosis().await);
        panic!("{error:#}");
    }
}
