//! Each fault is what its name says, seen from both sides: by the client and in the API server's audit log.

use std::error::Error;
use std::io;
use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use http::{Method, StatusCode};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::{Api, PostParams, WatchEvent, WatchParams};
use statusguard_tests::{ControlPlane, Fault, FaultProxy, LogsOnFailure, Options, User};
use tokio::sync::OnceCell;

use super::{code, config_map};

/// One test's namespace, through the proxy and directly.
struct Bench {
    plane: &'static ControlPlane,
    proxy: FaultProxy,
    faulty: Api<ConfigMap>,
    direct: Api<ConfigMap>,
    _logs: LogsOnFailure<'static>,
}

/// Longer than any test lasts.
const HOUR: Duration = Duration::from_secs(3600);

impl Bench {
    async fn new() -> Self {
        static AUDITED: OnceCell<ControlPlane> = OnceCell::const_new();
        let options = Options { audit: true, ..Options::default() };
        let plane = AUDITED.get_or_init(async || ControlPlane::start(options).await.unwrap()).await;
        let namespace = plane.namespace("faults").await;
        let proxy = FaultProxy::start(plane.config(User::Admin)).await.unwrap();
        let mut config = proxy.config();
        // The client must not hide what is tested.
        config.default_retry = false;
        Self {
            plane,
            faulty: Api::namespaced(Client::try_from(config).unwrap(), &namespace),
            direct: Api::namespaced(plane.client(User::Admin), &namespace),
            proxy,
            _logs: plane.logs_on_failure(),
        }
    }

    /// Every POST gets the fault.
    fn break_posts(&self, fault: Fault) {
        self.proxy.set_faults(move |parts| if parts.method == Method::POST { fault } else { Fault::Pass });
    }

    async fn create(&self, name: &str) -> kube::Result<ConfigMap> {
        self.faulty.create(&PostParams::default(), &config_map(name, "1")).await
    }

    /// How many creations of this name the API server has answered.
    fn creations_seen(&self, name: &str) -> usize {
        let uri = self.direct.resource_url();
        let events = self.plane.audit_events(0).unwrap();
        let is_creation = |event: &&serde_json::Value| {
            event["verb"] == "create"
                && event["stage"] == "ResponseComplete"
                && event["requestURI"].as_str().is_some_and(|seen| seen.starts_with(uri))
                && event["requestObject"]["metadata"]["name"] == name
        };
        events.iter().filter(is_creation).count()
    }

    async fn exists(&self, name: &str) -> bool {
        self.direct.get_opt(name).await.unwrap().is_some()
    }
}

/// Whether the connection was reset under the request.
fn is_reset<T>(result: kube::Result<T>) -> bool {
    let Err(error) = result else { return false };
    let mut source: Option<&(dyn Error + 'static)> = Some(&error);
    while let Some(error) = source {
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        if kind == Some(io::ErrorKind::ConnectionReset) {
            return true;
        }
        source = error.source();
    }
    panic!("not a reset: {error:?}")
}

#[tokio::test]
async fn pass_changes_nothing_and_is_counted() {
    let bench = Bench::new().await;
    let made = bench.create("a").await.unwrap();
    let read = bench.faulty.get("a").await.unwrap();
    assert_eq!(made, read);
    bench.faulty.replace("a", &PostParams::default(), &made).await.unwrap();

    let counts = bench.proxy.reset_counts();
    assert_eq!((counts.of("POST", "/configmaps"), counts.of("GET", "/configmaps/a")), (1, 1), "{counts}");
    assert_eq!((counts.verb("PUT"), counts.verb("PATCH"), counts.total()), (1, 0, 3), "{counts}");
    assert_eq!(bench.proxy.counts().total(), 0);
    assert_eq!(bench.creations_seen("a"), 1);
}

#[tokio::test]
async fn other_users_keep_their_rights_through_the_proxy() {
    let bench = Bench::new().await;
    let config = bench.proxy.route(bench.plane.config(User::Bob));
    let api = Api::<ConfigMap>::default_namespaced(Client::try_from(config).unwrap());
    let refused = api.get("a").await;
    assert!(refused.as_ref().unwrap_err().to_string().contains("\"bob\""), "{refused:?}");
    assert_eq!(code(refused), 403);
}

#[tokio::test]
async fn cut_before_sending_keeps_the_request_from_the_server() {
    let bench = Bench::new().await;
    bench.break_posts(Fault::CutBeforeSending);
    assert!(is_reset(bench.create("a").await));
    assert!(!bench.exists("a").await);
    // Had it been sent, it would have come before this one.
    bench.break_posts(Fault::Pass);
    bench.create("b").await.unwrap();
    assert_eq!((bench.creations_seen("a"), bench.creations_seen("b")), (0, 1));
    assert_eq!(bench.proxy.counts().verb("POST"), 2);
}

#[tokio::test]
async fn cut_after_sending_loses_only_the_answer() {
    let bench = Bench::new().await;
    bench.break_posts(Fault::CutAfterSending);
    assert!(is_reset(bench.create("a").await));
    assert!(bench.exists("a").await);
    assert_eq!(bench.creations_seen("a"), 1);
}

#[tokio::test]
async fn delay_holds_a_request_back_and_then_passes_it() {
    let bench = Bench::new().await;
    let time = Duration::from_millis(300);
    bench.break_posts(Fault::Delay(time));
    let begun = Instant::now();
    bench.create("a").await.unwrap();
    assert!(begun.elapsed() >= time);
    assert_eq!(bench.creations_seen("a"), 1);
}

#[tokio::test]
async fn a_status_comes_instead_of_forwarding_or_after_it() {
    let bench = Bench::new().await;
    for (status, after_forwarding) in [(500, false), (504, false), (429, false), (500, true), (504, true)] {
        let name = format!("answered-{status}-{after_forwarding}");
        bench.break_posts(Fault::Status { code: status, retry_after: None, after_forwarding });
        assert_eq!(code(bench.create(&name).await), status);
        assert_eq!(bench.exists(&name).await, after_forwarding, "{name}");
        assert_eq!(bench.creations_seen(&name), usize::from(after_forwarding), "{name}");
    }
    bench.break_posts(Fault::Status { code: 429, retry_after: Some(7), after_forwarding: false });
    let Err(kube::Error::Api(status)) = bench.create("a").await else { panic!("not refused") };
    assert_eq!(status.reason, "TooManyRequests");
    assert_eq!(status.details.unwrap().retry_after_seconds, 7);
}

#[tokio::test]
async fn land_late_cuts_at_once_and_forwards_when_released() {
    let bench = Bench::new().await;
    bench.break_posts(Fault::LandLate(HOUR));
    assert!(is_reset(bench.create("a").await));
    assert!(!bench.exists("a").await);
    assert_eq!(bench.creations_seen("a"), 0);

    bench.proxy.release_late();
    let landed = bench.proxy.landed().await;
    assert_eq!(landed.len(), 1);
    assert_eq!((&landed[0].method, landed[0].status), (&Method::POST, Some(StatusCode::CREATED)));
    assert!(bench.exists("a").await);
    assert_eq!(bench.creations_seen("a"), 1);
}

#[tokio::test]
async fn land_late_lands_by_itself_and_may_be_refused() {
    let bench = Bench::new().await;
    bench.break_posts(Fault::LandLate(Duration::from_millis(100)));
    assert!(is_reset(bench.create("a").await));
    bench.direct.create(&PostParams::default(), &config_map("a", "2")).await.unwrap();
    let landed = bench.proxy.landed().await;
    assert_eq!(landed.iter().map(|late| late.status).collect::<Vec<_>>(), [Some(StatusCode::CONFLICT)]);
}

#[tokio::test]
async fn watches_stream_through_until_they_are_severed() {
    let bench = Bench::new().await;
    let parameters = WatchParams::default().disable_bookmarks();
    let events = bench.faulty.watch(&parameters, "0").await.unwrap();
    let mut events = std::pin::pin!(events);
    for name in ["a", "b"] {
        bench.direct.create(&PostParams::default(), &config_map(name, "1")).await.unwrap();
        // The watch goes on: nothing but this event can end the waiting.
        match events.try_next().await.unwrap() {
            Some(WatchEvent::Added(map)) => assert_eq!(map.metadata.name.as_deref(), Some(name)),
            other => panic!("not the new object: {other:?}"),
        }
    }
    assert_eq!(bench.proxy.counts().verb("WATCH"), 1);
    assert_eq!(bench.proxy.counts().verb("GET"), 0);

    bench.proxy.sever();
    let end = events.try_next().await;
    assert!(matches!(end, Ok(None) | Err(_)), "{end:?}");
    bench.create("c").await.unwrap();
}
