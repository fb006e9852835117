//! The guard is gone: what becomes of a write is the policy's choice, `failurePolicy`.

use std::net::SocketAddr;

use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::net::TcpSocket;

use crate::common::{Guarded, Setup, WEBHOOK_NAME};
use crate::object::{pending, refusal, sending, status_of};

/// Ends the guard, as a crash would. The socket keeps its port from others and accepts nothing.
async fn end(guarded: &mut Guarded<'_>) -> TcpSocket {
    guarded.guard.shutdown.request();
    guarded.guard.shutdown.request();
    (&mut guarded.guard.task).await.unwrap().unwrap();
    let socket = match guarded.guard.address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    };
    let socket = socket.unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(guarded.guard.address).unwrap();
    socket
}

#[tokio::test]
async fn under_ignore_a_write_goes_through_unjudged() {
    let mut guarded = Setup::new().spec("failurePolicy", json!("Ignore")).start().await;
    guarded.object("open", &[pending(), sending(1), sending(2)]).await;
    let stale = Patch::Merge(json!({ "status": sending(1) }));
    let status = refusal(guarded.api().patch_status("open", &PatchParams::default(), &stale).await);
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"), "{status:?}");

    let failed_open = async || {
        let metrics = guarded.plane.metrics(0).await.unwrap();
        let series =
            format!("apiserver_admission_webhook_fail_open_count{{name=\"{WEBHOOK_NAME}\",type=\"validating\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&series)?.parse::<f64>().ok()).unwrap_or_default()
    };
    let before = failed_open().await;
    let _port = end(&mut guarded).await;
    let written = guarded.api().patch_status("open", &PatchParams::default(), &stale).await.unwrap();
    assert_eq!(status_of(&written)["totalAttempts"], 1, "the update is lost: that is what Ignore means");
    // The one trace of it, besides the audit log.
    assert_eq!(failed_open().await, before + 1.0);
}

#[tokio::test]
async fn under_fail_a_write_is_refused_as_an_internal_error() {
    let mut guarded = Setup::new().start().await;
    let object = guarded.object("closed", &[pending(), sending(1)]).await;
    let _port = end(&mut guarded).await;
    let legal = Patch::Merge(json!({ "status": sending(2) }));
    let status = refusal(guarded.api().patch_status("closed", &PatchParams::default(), &legal).await);
    assert_eq!((status.code, status.reason.as_str()), (500, "InternalError"), "{status:?}");
    assert!(status.message.contains(&format!("failed calling webhook \"{WEBHOOK_NAME}\"")), "{status:?}");
    assert!(status.message.contains("connection refused"), "{status:?}");
    assert!(!status.is_conflict());

    // What does not touch the status is not held up.
    let label = Patch::Merge(json!({ "metadata": { "labels": { "team": "a" } } }));
    guarded.api().patch("closed", &PatchParams::default(), &label).await.unwrap();
    let stored = guarded.api().get("closed").await.unwrap();
    assert_eq!(stored.status, object.status);
}
