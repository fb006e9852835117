//! Calls for policies that are not known yet.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::*;
use crate::guard::policy_wait::PolicyWait;
use crate::guard::store::ClusterPolicies;

/// The policy of jobs, as if it were of the cluster.
fn of_cluster() -> ClusterPolicies {
    let document = policy(&json!({}));
    let entry = ActivePolicy::new(Policy::compile(&document).unwrap(), document, crate::PolicySource::Cluster);
    ClusterPolicies { policies: [(entry.name, Arc::new(entry))].into(), ..ClusterPolicies::default() }
}

fn waiting(longest: Duration) -> PolicyJudge {
    let store = Arc::new(PolicyStore::without_folder());
    PolicyJudge::new(store, 0, Some(PolicyWait::new(longest)), tokio::sync::watch::Sender::default())
}

fn is_over(waiting: impl Future<Output = ()>) -> bool {
    pin!(waiting).poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(())
}

#[tokio::test]
async fn a_policy_that_comes_in_time_judges_the_call() {
    let judge = waiting(Duration::from_secs(60));
    let mut waits = pin!(judge.wait_ready(RESOURCE));
    assert!(!is_over(waits.as_mut()));
    judge.store.set_cluster(of_cluster());
    waits.await;
    assert_eq!(answer(&judge, &stale()).labels.outcome, "Denied");
    assert!(is_over(judge.wait_ready(RESOURCE)));
}

#[tokio::test]
async fn one_that_does_not_come_is_waited_for_once() {
    let judge = waiting(Duration::from_millis(20));
    judge.wait_ready(RESOURCE).await;
    assert!(answer(&judge, &stale()).unknown_policy);
    assert!(is_over(judge.wait_ready(RESOURCE)));
    // Without a cluster there is nothing that could tell of it.
    let judge = PolicyJudge::new(Arc::clone(&judge.store), 0, None, tokio::sync::watch::Sender::default());
    assert!(is_over(judge.wait_ready(RESOURCE)));
}

#[tokio::test]
async fn one_that_was_made_again_is_waited_for() {
    let judge = waiting(Duration::from_secs(60));
    judge.store.set_cluster(of_cluster());
    judge.store.set_cluster(ClusterPolicies::default());
    let mut waits = pin!(judge.wait_ready(RESOURCE));
    assert!(!is_over(waits.as_mut()));
    judge.store.set_cluster(of_cluster());
    waits.await;
    assert_eq!(answer(&judge, &stale()).labels.outcome, "Denied");
}
