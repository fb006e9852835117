//! The guard's clock and the API server's differ.

use statusguard_tests::{Fault, eventually};

use crate::log::CapturedLog;
use crate::site::{LONG, Site};

const HOUR: i64 = 3600;

#[tokio::test]
async fn an_hour_makes_no_difference() {
    for apart in [HOUR, -HOUR] {
        let (site, log) = (Site::new().await, CapturedLog::start());
        site.proxy.set_faults(move |_| Fault::MoveDate(apart));
        let replica = [site.proxied(LONG)];
        site.is_stable(&replica).await;
        site.overwrite_a_bundle().await;
        site.is_stable(&replica).await;
        assert_eq!(replica[0].failures("clock"), 0, "{}", log.text());
    }
}

#[tokio::test]
async fn three_hours_stop_the_steps_and_not_the_serving() {
    for (apart, side) in [(3 * HOUR, "behind"), (-3 * HOUR, "ahead of")] {
        let (site, log) = (Site::new().await, CapturedLog::start());
        let replica = [site.proxied(LONG)];
        site.is_stable(&replica).await;
        let (secret, leaf) = (site.secret().await, replica[0].leaf());
        site.proxy.set_faults(move |_| Fault::MoveDate(apart));
        site.overwrite_a_bundle().await;
        let bundles = site.our_bundles().await;
        replica[0].fails("clock", 3).await;
        assert_eq!((site.secret().await, site.our_bundles().await), (secret, bundles));
        assert_eq!((replica[0].leaf(), replica[0].status.borrow().serves), (leaf, true));
        log.says_once(&[&format!("this machine's clock is {side} the API server's by 1"), "correct the clock"]);
        site.proxy.set_faults(|_| Fault::Pass);
        site.is_stable(&replica).await;
        let over = async || Ok(log.text().contains("the last problem is over"));
        eventually("the log says that the problem is over", over).await.unwrap();
    }
}

#[tokio::test]
async fn with_three_hours_at_the_start_nothing_is_made() {
    let (site, log) = (Site::new().await, CapturedLog::start());
    site.proxy.set_faults(|_| Fault::MoveDate(-3 * HOUR));
    let replica = [site.proxied(LONG)];
    replica[0].fails("clock", 3).await;
    let counts = site.proxy.counts();
    assert_eq!((counts.verb("POST"), counts.verb("PUT"), replica[0].leaf()), (0, 0, None), "{counts}");
    log.says_once(&["nothing is written until then"]);
    site.proxy.set_faults(|_| Fault::Pass);
    site.is_stable(&replica).await;
}
