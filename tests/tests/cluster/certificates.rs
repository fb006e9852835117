//! `statusguard certs status`: what it says of a guard that serves, and of what can be wrong.

use std::net::SocketAddr;
use std::sync::Arc;

use clap::Parser as _;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use statusguard::{Args, CertificateReport, CertsCommand, CertsStatusArgs, Command};
use statusguard_tests::tls::Authority;
use statusguard_tests::{Scope, User, eventually, parcels, unique};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{Serving, Stage};

impl Stage {
    fn status(&self, user: &User, addresses: &[&str]) -> CertsStatusArgs {
        let mut args = vec![
            "statusguard".to_owned(),
            "certs".to_owned(),
            "status".to_owned(),
            format!("--kubeconfig={}", self.plane.kubeconfig(user.clone()).display()),
            format!("--namespace={}", self.home),
            format!("--configuration={}", self.configuration),
        ];
        args.extend(addresses.iter().map(|address| format!("--address={address}")));
        let Command::Certs(CertsCommand::Status(args)) = Args::try_parse_from(args).unwrap().command else {
            unreachable!("the command")
        };
        args
    }

    async fn report(&self, user: &User, addresses: &[&str]) -> CertificateReport {
        CertificateReport::gather(&self.status(user, addresses)).await.unwrap()
    }

    /// A guard whose policy is enforced, and where it listens.
    async fn enforcing(&self) -> (Serving, String) {
        self.enforcing_with(&[]).await
    }

    /// As [`Stage::enforcing`], with more flags.
    async fn enforcing_with(&self, more: &[&str]) -> (Serving, String) {
        self.policy("Fail").await;
        let guard = self.guard_as(&self.plane.kubeconfig(User::Admin), more).await;
        eventually("the guard is ready", async || Ok(guard.ready().await)).await.unwrap();
        eventually("there is an entry", async || Ok(!self.entry().await.is_null())).await.unwrap();
        let port = self.entry().await["clientConfig"]["service"]["port"].clone();
        (guard, format!("127.0.0.1:{port}"))
    }

    /// Once the rotation is stable.
    async fn stable(&self, address: &str) -> CertificateReport {
        eventually("the certificates are as they should be", async || {
            Ok(self.report(&User::Admin, &[address]).await.healthy)
        })
        .await
        .unwrap();
        self.report(&User::Admin, &[address]).await
    }

    async fn without_policy(&self) {
        self.policies().delete(parcels::POLICY, &DeleteParams::default()).await.unwrap();
    }

    /// Rights to read, of a user that has no others.
    async fn may_get(&self, group: &str, resource: &str) -> User {
        let user = User::Named(unique("reader"));
        let rule = PolicyRule {
            api_groups: Some(vec![group.to_owned()]),
            resources: Some(vec![resource.to_owned()]),
            verbs: vec!["get".to_owned()],
            ..PolicyRule::default()
        };
        self.plane.grant(&user, Scope::Cluster, vec![rule]).await.unwrap();
        user
    }
}

/// A server with a certificate of another authority for the same name.
async fn impostor(name: &str) -> SocketAddr {
    let config = Authority::new("another").unwrap().leaf([name]).unwrap().server_config(&[]).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let acceptor = TlsAcceptor::from(Arc::clone(&config));
        while let Ok((stream, _)) = listener.accept().await {
            let _ = acceptor.accept(stream).await;
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn what_each_replica_presents_is_compared_with_what_is_published() {
    let stage = Stage::new().await;
    let (guard, address) = stage.enforcing().await;
    let report = stage.stable(&address).await;
    let name = format!("statusguard.{}.svc", stage.home);
    let [authority] = &*report.authorities else { panic!("one authority: {report:?}") };
    let ([entry, canary], [replica]) = (&*report.entries, &*report.replicas) else { panic!("each once: {report:?}") };
    assert_eq!((report.phase, authority.role, &*report.problems), (Some("Stable"), "Current", &[] as &[String]));
    assert_eq!((&*entry.name, entry.in_sync), ("parcels.shop.example.org.statusguard.dev", Some(true)));
    assert_eq!((&*canary.name, canary.in_sync), ("statuspolicies.statusguard.dev.statusguard.dev", Some(true)));
    assert_eq!(entry.authorities.as_deref(), Some(&[authority.id.clone()][..]));
    assert_eq!((&replica.issuer, replica.covered), (&Some(authority.id.clone()), Some(true)));
    assert_eq!(replica.names, [&*name]);
    assert!(replica.not_after.as_ref().is_some_and(|end| *end <= authority.not_after), "{report:?}");
    let text = report.text();
    assert!(text.starts_with("Phase   Stable\n\nAUTHORITY   ROLE      EXPIRES IN   AGE\n"), "{text}");
    let row: Vec<&str> = text.lines().last().unwrap().split_whitespace().collect();
    assert_eq!(row, ["-", &*address, &authority.id[..8], row[3], "yes", &*name]);
    let json: Value = serde_json::to_value(&report).unwrap();
    assert_eq!(json["replicas"][0]["covered"], true);

    // Somebody else answers at the address of another replica.
    let other = impostor(&name).await.to_string();
    let report = stage.report(&User::Admin, &[&address, &other]).await;
    let [replica, impostor] = &*report.replicas else { panic!("two replicas: {report:?}") };
    assert_eq!((report.healthy, replica.covered, impostor.covered), (false, Some(true), Some(false)));
    assert_eq!((&impostor.issuer, &*impostor.names), (&None, &[name][..]));
    assert!(impostor.problem.as_ref().unwrap().contains("UnknownIssuer"), "{report:?}");

    stage.without_policy().await;
    guard.end().await;
}

/// The command has no certificate to present, and sees what is presented to it all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_asks_for_client_certificates_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("client-ca.crt");
    std::fs::write(&file, Authority::new("clients").unwrap().pem()).unwrap();
    let stage = Stage::new().await;
    let (guard, address) = stage.enforcing_with(&[&format!("--client-ca={}", file.display())]).await;
    let report = stage.stable(&address).await;
    let [replica] = &*report.replicas else { panic!("one replica: {report:?}") };
    assert_eq!((replica.covered, &replica.problem), (Some(true), &None));
    assert_eq!(replica.issuer.as_ref(), Some(&report.authorities[0].id));
    // It was asked, and had none.
    let series = "statusguard_handshake_failures_total{cause=\"client_certificate_missing\"} ";
    eventually("it is counted", async || {
        let metrics = guard.get("/metrics").await;
        let count = metrics.lines().find_map(|line| line.strip_prefix(series)).unwrap();
        Ok(count.parse::<u64>()? >= 1)
    })
    .await
    .unwrap();

    stage.without_policy().await;
    guard.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_right_is_named_and_the_rest_is_shown() {
    let stage = Stage::new().await;
    let (guard, address) = stage.enforcing().await;
    stage.stable(&address).await;

    let reader = stage.may_get("admissionregistration.k8s.io", "validatingwebhookconfigurations").await;
    let report = stage.report(&reader, &[&address]).await;
    assert_eq!((report.healthy, report.phase, report.authorities.len()), (false, None, 0));
    assert_eq!((report.entries[0].in_sync, report.replicas[0].covered), (None, Some(true)));
    // The bundle knows the authority as well.
    assert!(report.replicas[0].issuer.is_some());
    let [problem] = &*report.problems else { panic!("one problem: {report:?}") };
    let secret = format!("cannot get secret {}/statusguard-authority: ", stage.home);
    assert!(problem.starts_with(&secret) && problem.contains("you need the right to `get` it"), "{problem}");

    let reader = stage.may_get("", "secrets").await;
    let report = stage.report(&reader, &[&address]).await;
    assert_eq!((report.healthy, report.phase, report.authorities.len()), (false, None, 1));
    assert_eq!((report.entries.len(), report.replicas[0].covered), (0, None));
    assert_eq!(report.replicas[0].issuer.as_ref(), Some(&report.authorities[0].id));
    assert!(report.problems[0].contains("validatingwebhookconfiguration"), "{report:?}");
    // The replicas of the Service are not his to list either.
    let report = stage.report(&reader, &[]).await;
    assert!(report.problems[1].starts_with("cannot list endpointslices"), "{report:?}");
    assert!(report.problems[1].ends_with("name the replicas by --address"), "{report:?}");

    stage.without_policy().await;
    guard.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_guard_it_says_what_there_is_not() {
    let stage = Stage::new().await;
    let report = stage.report(&User::Admin, &[]).await;
    assert_eq!((report.healthy, report.phase, report.replicas.len()), (false, Some("Healing"), 0));
    assert!(report.problems[0].starts_with("there is no secret"), "{report:?}");
    assert!(report.problems[1].contains("has no replicas"), "{report:?}");
    // Those of the Service are found, and one that does not answer is shown.
    let slice: EndpointSlice = serde_json::from_value(json!({
        "metadata": { "name": "statusguard-1", "labels": { "kubernetes.io/service-name": "statusguard" } },
        "addressType": "IPv4", "ports": [{ "port": 8443 }],
        "endpoints": [{ "addresses": ["192.0.2.1"], "targetRef": { "kind": "Pod", "name": "statusguard-0" } }],
    }))
    .unwrap();
    let slices = Api::<EndpointSlice>::namespaced(stage.plane.client(User::Admin), &stage.home);
    slices.create(&PostParams::default(), &slice).await.unwrap();
    let report = stage.report(&User::Admin, &[]).await;
    let [replica] = &*report.replicas else { panic!("one replica: {report:?}") };
    assert_eq!((&*replica.address, replica.pod.as_deref()), ("192.0.2.1:8443", Some("statusguard-0")));
    assert!(replica.problem.as_ref().unwrap().contains("name it by --address"), "{report:?}");
    // The off switch.
    stage.configurations().delete(&stage.configuration, &DeleteParams::default()).await.unwrap();
    let report = stage.report(&User::Admin, &["127.0.0.1:1"]).await;
    assert!(report.problems[1].ends_with("nothing is guarded"), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_that_was_overwritten_is_shown() {
    let stage = Stage::new().await;
    let (guard, address) = stage.enforcing().await;
    stage.stable(&address).await;
    guard.end().await;
    let mut entry = stage.entry().await;
    let foreign = k8s_openapi::ByteString(Authority::new("another").unwrap().pem().into_bytes());
    entry["clientConfig"]["caBundle"] = serde_json::to_value(foreign).unwrap();
    let patch = Patch::Merge(json!({ "webhooks": [entry] }));
    stage.configurations().patch(&stage.configuration, &PatchParams::default(), &patch).await.unwrap();
    let report = stage.report(&User::Admin, &[&address]).await;
    assert_eq!((report.healthy, report.phase, report.entries[0].in_sync), (false, Some("Publishing"), Some(false)));
    let problem = report.replicas[0].problem.as_ref().unwrap();
    assert!(problem.starts_with("cannot connect: "), "{problem}");
    stage.without_policy().await;
}
