//! An API server that is away or slow, a proxy in its place, and answers that are lost.

use std::collections::HashSet;
use std::sync::Mutex;
use std::time::Duration;

use futures::future::join_all;
use http::request::Parts;
use statusguard_tests::{Fault, eventually};

use crate::log::CapturedLog;
use crate::site::{CertificateReplica, LONG, SECRET, Site, seconds};

/// Nothing of this length passes during a test.
const NEVER: Duration = seconds(3600);

/// The first write of each kind gets this fault, the others pass.
fn first_writes(fault: Fault) -> impl Fn(&Parts) -> Fault + Send + Sync + 'static {
    let seen = Mutex::new(HashSet::new());
    move |parts| {
        let first = || seen.lock().unwrap().insert((parts.method.clone(), parts.uri.path().to_owned()));
        if parts.method != "GET" && first() { fault } else { Fault::Pass }
    }
}

impl Site {
    /// One authority was made, and what was written once was not written again.
    async fn has_one_authority(&self, replica: CertificateReplica) {
        self.is_stable(&[replica]).await;
        let data = self.secret().await.data.unwrap();
        assert_eq!(data.keys().filter(|name| name.ends_with(".crt")).count(), 1, "{:?}", data.keys());
    }
}

#[tokio::test]
async fn an_api_server_that_is_away_at_the_start_is_waited_for() {
    let log = CapturedLog::start();
    join_all(Fault::AWAY.map(async |fault| {
        let site = Site::new().await;
        site.proxy.set_faults(move |_| fault);
        let replica = site.proxied(LONG);
        let cause = if matches!(fault, Fault::Status { .. }) { "refused" } else { "unanswered" };
        replica.fails(cause, 6).await;
        assert!(replica.leaf().is_none(), "{fault:?}");
        let said = log.problems();
        let secret = format!("secret {}/{SECRET}: ", site.namespace);
        let configuration = format!("validatingwebhookconfiguration {}: ", site.configuration);
        for what in [format!("get {secret}"), format!("list {secret}"), format!("list {configuration}")] {
            let lines = said.iter().filter(|line| line.contains(&format!("cannot {what}")));
            assert_eq!(lines.count(), 1, "{fault:?}, {what}: {said:#?}");
        }
        let counts = site.proxy.counts();
        assert_eq!((counts.verb("POST"), counts.verb("PUT")), (0, 0), "{fault:?}");
        site.proxy.set_faults(|_| Fault::Pass);
        site.has_one_authority(replica).await;
    }))
    .await;
}

#[tokio::test]
async fn while_the_api_server_is_away_the_last_state_stays() {
    join_all(Fault::AWAY.map(async |fault| {
        let site = Site::new().await;
        let replica = [site.proxied(LONG)];
        site.is_stable(&replica).await;
        let (leaf, steps) = (replica[0].leaf(), replica[0].steps("issue_leaf"));
        let failures = |replica: &CertificateReplica| replica.failures("unanswered") + replica.failures("refused");
        site.proxy.set_faults(move |_| fault);
        site.proxy.sever();
        site.overwrite_a_bundle().await;
        eventually("it was tried again", async || Ok(failures(&replica[0]) >= 5)).await.unwrap();
        assert_eq!((replica[0].leaf(), replica[0].steps("issue_leaf")), (leaf, steps), "{fault:?}");
        assert!(replica[0].status.borrow().serves, "{fault:?}");
        site.proxy.set_faults(|_| Fault::Pass);
        // The bundle is mended.
        site.is_stable(&replica).await;
        assert_eq!(replica[0].steps("add_authority"), 1, "{fault:?}");
    }))
    .await;
}

/// What is not the configuration is not taken for one without entries, which would make every authority published.
#[tokio::test]
async fn nothing_follows_from_an_answer_in_place_of_the_configuration() {
    join_all(["{}", "<html>log in first</html>", r#"{"kind":"Status","status":"Success"}"#].map(async |page| {
        let site = Site::new().await;
        let name = site.configuration.clone();
        site.proxy.set_faults(move |parts| match parts.uri.path().ends_with(&name) {
            true => Fault::Page(page),
            false => Fault::Pass,
        });
        let replica = site.proxied(LONG);
        replica.fails("unanswered", 3).await;
        assert!(site.secrets().get_opt(SECRET).await.unwrap().is_none(), "{page}");
        site.proxy.set_faults(|_| Fault::Pass);
        site.has_one_authority(replica).await;
    }))
    .await;
}

/// The Secret is there, but the answer says nothing of it: it is not made anew from nothing.
#[tokio::test]
async fn nothing_follows_from_an_answer_in_place_of_the_secret() {
    let site = Site::new().await;
    site.is_stable(&[site.replica(LONG)]).await;
    let before = site.secret().await;
    site.proxy.set_faults(|parts| match parts.method == "GET" && parts.uri.path().ends_with(SECRET) {
        true => Fault::Page("{}"),
        false => Fault::Pass,
    });
    let replica = [site.proxied(LONG)];
    replica[0].fails("unanswered", 3).await;
    let counts = site.proxy.counts();
    assert_eq!((counts.verb("POST"), counts.verb("PUT")), (0, 0), "{counts}");
    site.proxy.set_faults(|_| Fault::Pass);
    site.is_stable(&replica).await;
    assert_eq!(site.secret().await, before);
}

#[tokio::test]
async fn a_slow_api_server_is_waited_for() {
    let site = Site::new().await;
    site.proxy.set_faults(|_| Fault::Delay(Duration::from_millis(300)));
    let replica = site.proxied(LONG);
    site.has_one_authority(replica).await;
}

#[tokio::test]
async fn a_request_without_an_answer_is_given_up() {
    let (site, log) = (Site::new().await, CapturedLog::start());
    let name = site.configuration.clone();
    site.proxy.set_faults(move |parts| match parts.uri.path().ends_with(&name) {
        true => Fault::Delay(NEVER),
        false => Fault::Pass,
    });
    let replica = site.proxied(LONG);
    replica.fails("unanswered", 1).await;
    log.says_once(&[&format!("cannot get validatingwebhookconfiguration {}: ", site.configuration)]);
    site.proxy.set_faults(|_| Fault::Pass);
    site.has_one_authority(replica).await;
}

/// Nobody knows whether it was stored. It was.
#[tokio::test]
async fn a_write_whose_answer_is_lost_is_not_made_twice() {
    let site = Site::new().await;
    site.proxy.set_faults(first_writes(Fault::CutAfterSending));
    site.has_one_authority(site.proxied(LONG)).await;
    let counts = site.proxy.counts();
    let secret = format!("/secrets/{SECRET}");
    assert_eq!((counts.verb("POST"), counts.of("PUT", &site.configuration)), (1, 1), "{counts}");
    // Published, and current.
    assert_eq!(counts.of("PUT", &secret), 2, "{counts}");
}

/// A page instead of the answer to a write says nothing of the write.
#[tokio::test]
async fn an_answer_of_another_to_a_write_is_not_a_success() {
    let site = Site::new().await;
    site.proxy.set_faults(first_writes(Fault::Page("<html>log in first</html>")));
    let replica = site.proxied(LONG);
    // The Secret's creation and its first update, and the configuration's.
    replica.fails("unanswered", 3).await;
    eventually("it serves", async || Ok(replica.status.borrow().serves)).await.unwrap();
    assert_eq!((replica.steps("add_authority"), replica.steps("publish")), (1, 1));
    site.has_one_authority(replica).await;
}

#[tokio::test]
async fn writes_that_land_late_change_nothing() {
    let site = Site::new().await;
    site.proxy.set_faults(first_writes(Fault::LandLate(NEVER)));
    let replica = [site.proxied(LONG)];
    site.is_stable(&replica).await;
    let (secret, bundles, leaf) = (site.secret().await, site.our_bundles().await, replica[0].leaf());
    site.proxy.release_late();
    let landed = site.proxy.landed().await;
    let codes: Vec<_> = landed.iter().map(|late| late.status.map(|status| status.as_u16())).collect();
    assert_eq!(codes, [Some(409); 3], "{landed:?}");
    assert_eq!((site.secret().await, site.our_bundles().await, replica[0].leaf()), (secret, bundles, leaf));
}
