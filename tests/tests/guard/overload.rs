//! The guard's limits as the API server meets them: asked to come back, or told why not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::api::{Patch, PatchParams};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use statusguard_tests::eventually;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::common::{Guarded, Setup, WEBHOOK_NAME};
use crate::object::{pending, refusal, sending, status_of};

/// Longest body, and all bodies together.
const MOST: usize = 64 << 10;

/// A caller that sends all of the longest body but its last byte: as long as it lives, no other body has room.
async fn hog(guarded: &Guarded<'_>) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(guarded.site.authority.der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
    let stream = TcpStream::connect(guarded.guard.address).await.unwrap();
    let name = ServerName::try_from(guarded.site.service.dns_name()).unwrap();
    let mut stream = TlsConnector::from(config).connect(name, stream).await.unwrap();
    let header = format!(
        "POST /admit/kubernaut.ai/notificationrequests?timeout=30s HTTP/1.1\r\nHost: guard\r\n\
         Content-Type: application/json\r\nContent-Length: {MOST}\r\n\r\n"
    );
    stream.write_all(header.as_bytes()).await.unwrap();
    stream.write_all(&vec![b' '; MOST - 1]).await.unwrap();
    stream.flush().await.unwrap();
    let held = async || Ok(guarded.guard.metric("statusguard_body_bytes", &[]).await as usize == MOST - 1);
    eventually("the body is held", held).await.unwrap();
    stream
}

#[tokio::test]
async fn a_busy_guard_is_asked_again_by_the_api_server_itself() {
    let limits = [format!("--max-body={MOST}"), format!("--max-bodies={MOST}")];
    let guarded = Setup::new().flag(&limits[0]).flag(&limits[1]).start().await;
    guarded.object("patient", &[pending(), sending(1)]).await;
    let hog = hog(&guarded).await;
    let begun = Instant::now();
    let turned_away = async || guarded.guard.metric("statusguard_shed_total", &[("cause", "bodies")]).await;
    let patch = Patch::Merge(json!({ "status": sending(2) }));
    let (api, params) = (guarded.api(), PatchParams::default());
    let write = api.patch_status("patient", &params, &patch);
    let room = async {
        eventually("the guard turns the call away", async || Ok(turned_away().await > 0.0)).await.unwrap();
        drop(hog);
    };
    let (written, ()) = tokio::join!(write, room);
    assert_eq!(status_of(&written.unwrap())["totalAttempts"], 2);
    // The time that the guard asked for.
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_review_over_the_limit_fails_with_the_guards_own_words() {
    let guarded = Setup::new().flag(&format!("--max-body={MOST}")).start().await;
    guarded.object("long", &[pending(), sending(1)]).await;
    let patch = Patch::Merge(json!({ "status": { "message": "x".repeat(MOST) } }));
    let status = refusal(guarded.api().patch_status("long", &PatchParams::default(), &patch).await);
    assert_eq!((status.code, status.reason.as_str()), (500, "InternalError"), "{status:?}");
    assert!(status.message.contains(&format!("failed calling webhook \"{WEBHOOK_NAME}\"")), "{status:?}");
    assert!(status.message.contains(&format!("the body has more than {MOST} bytes")), "{status:?}");
    let shed = guarded.guard.metric("statusguard_shed_total", &[("cause", "body_size")]).await;
    assert_eq!(shed, 1.0);

    // The next call on the same connection is answered as if nothing had been.
    guarded.write("long", &sending(2)).await;
}
