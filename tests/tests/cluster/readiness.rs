//! Each gate of readiness is kept shut by what really happens, and nothing else is named.

use std::path::PathBuf;

use clap::Parser as _;
use k8s_openapi::ByteString;
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use statusguard::{Args, Command, Guard};
use statusguard_tests::{Authority, Fault, FaultProxy, Scope, User, eventually, parcels, unique};

use super::{Serving, Stage};

const POLICIES: &str = "policies of the cluster";
const FOLDER: &str = "policies of the folder";
const CERTIFICATE: &str = "serving certificate";

/// Lifetimes of seconds.
const SHORT: [&str; 4] = ["--authority-life=51s", "--leaf-life=6s", "--clock-skew=1s", "--certificate-tick=1s"];

impl Stage {
    async fn proxy(&self) -> (FaultProxy, PathBuf) {
        let proxy = FaultProxy::start(self.plane.config(User::Admin)).await.unwrap();
        let admin = std::fs::read_to_string(self.plane.kubeconfig(User::Admin)).unwrap();
        let mut kubeconfig: Value = serde_saphyr::from_str(&admin).unwrap();
        let config = proxy.config();
        let base64 = |bytes: Vec<u8>| serde_json::to_value(ByteString(bytes)).unwrap();
        let der = base64(config.root_cert.unwrap().remove(0));
        let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", der.as_str().unwrap());
        let url = config.cluster_url.to_string();
        kubeconfig["clusters"][0]["cluster"] =
            json!({ "server": url, "certificate-authority-data": base64(pem.into_bytes()) });
        let path = self.plane.folder().join(unique("proxied"));
        std::fs::write(&path, kubeconfig.to_string()).unwrap();
        (proxy, path)
    }

    async fn overwrite_the_bundle(&self, bundle: &[u8]) {
        let patch = json!([{
            "op": "replace", "path": "/webhooks/0/clientConfig/caBundle", "value": ByteString(bundle.to_vec()),
        }]);
        let patch = Patch::<()>::Json(serde_json::from_value(patch).unwrap());
        self.configurations().patch(&self.configuration, &PatchParams::default(), &patch).await.unwrap();
    }
}

impl Serving {
    /// Until exactly this keeps it from being ready. It is alive all the time.
    async fn lacks(&self, gate: &str) {
        let said = format!("\r\n\r\nnot ready: {gate}");
        eventually(&format!("`{gate}` alone is named"), async || {
            self.is_alive().await;
            let answer = self.get("/readyz").await;
            Ok(answer.starts_with("HTTP/1.1 503") && answer.ends_with(&said))
        })
        .await
        .unwrap();
    }

    async fn becomes_ready(&self) {
        eventually("it is ready", async || {
            self.is_alive().await;
            Ok(self.ready().await)
        })
        .await
        .unwrap();
    }

    async fn is_alive(&self) {
        let answer = self.get("/livez").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

/// Nothing answers before both ports are bound.
#[tokio::test(flavor = "multi_thread")]
async fn a_guard_whose_port_is_taken_does_not_start() {
    let stage = Stage::new().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let plain = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let args = Args::try_parse_from([
        "statusguard".to_owned(),
        "webhook".to_owned(),
        format!("--kubeconfig={}", stage.plane.kubeconfig(User::Admin).display()),
        format!("--listen={}", taken.local_addr().unwrap()),
        format!("--plain-listen={plain}"),
    ]);
    let Command::Webhook(args) = args.unwrap().command else { unreachable!("a server") };
    let Err(error) = Guard::bind(*args).await else { panic!("the port is taken") };
    assert!(format!("{error:#}").starts_with("binding --listen 127.0.0.1:"), "{error:#}");
    assert!(tokio::net::TcpStream::connect(plain).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_of_the_cluster_that_cannot_be_listed() {
    let stage = Stage::new().await;
    let (proxy, kubeconfig) = stage.proxy().await;
    proxy.set_faults(|parts| match parts.uri.path().ends_with("/statuspolicies") {
        true => Fault::CutBeforeSending,
        false => Fault::Pass,
    });
    let guard = stage.guard_as(&kubeconfig, &[]).await;
    guard.lacks(POLICIES).await;
    proxy.set_faults(|_| Fault::Pass);
    guard.becomes_ready().await;
    guard.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_without_policies() {
    let stage = Stage::new().await;
    let folder = stage.plane.folder().join(unique("policies"));
    std::fs::create_dir(&folder).unwrap();
    let flags = [format!("--policy-dir={}", folder.display()), "--reload-interval=20ms".to_owned()];
    let kubeconfig = stage.plane.kubeconfig(User::Admin);
    let guard = stage.guard_as(&kubeconfig, &flags.each_ref().map(String::as_str)).await;
    guard.lacks(FOLDER).await;
    let policy = json!({
        "apiVersion": "statusguard.dev/v1alpha1", "kind": "StatusPolicy",
        "metadata": { "name": "nobody.example.org" },
        "spec": {
            "target": { "group": "example.org", "version": "v1", "resource": "nobody" },
            "monotone": [{ "path": ".status.scans" }],
        },
    });
    std::fs::write(folder.join("policy.json"), policy.to_string()).unwrap();
    guard.becomes_ready().await;
    guard.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_cannot_be_read() {
    let stage = Stage::new().await;
    let (proxy, kubeconfig) = stage.proxy().await;
    proxy.set_faults(|parts| match parts.uri.path().contains("/secrets") {
        true => Fault::CutBeforeSending,
        false => Fault::Pass,
    });
    let guard = stage.guard_as(&kubeconfig, &[]).await;
    guard.lacks(CERTIFICATE).await;
    proxy.set_faults(|_| Fault::Pass);
    guard.becomes_ready().await;
    guard.end().await;
}

/// By one who may write it, while the guard may not.
#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_that_was_overwritten_and_may_not_be_mended() {
    let stage = Stage::new().await;
    stage.policy("Ignore").await;
    let first = stage.guard("statusguard").await;
    first.becomes_ready().await;
    eventually("there is an entry with a bundle", async || {
        Ok(!stage.entry().await["clientConfig"]["caBundle"].is_null() && first.ready().await)
    })
    .await
    .unwrap();
    first.end().await;
    let user = User::Named(unique("guard"));
    let all = |groups: &[&str], verbs: &[&str]| PolicyRule {
        api_groups: Some(groups.iter().map(|group| (*group).to_owned()).collect()),
        resources: Some(vec!["*".to_owned()]),
        verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
        ..PolicyRule::default()
    };
    let rules = vec![
        all(&["", "statusguard.dev", "apiextensions.k8s.io", "events.k8s.io"], &["*"]),
        all(&["admissionregistration.k8s.io"], &["get", "list", "watch"]),
    ];
    stage.plane.grant(&user, Scope::Cluster, rules).await.unwrap();
    let guard = stage.guard_as(&stage.plane.kubeconfig(user), &[]).await;
    guard.becomes_ready().await;
    let good = stage.entry().await["clientConfig"]["caBundle"].clone();
    let ByteString(good) = serde_json::from_value(good).unwrap();
    stage.overwrite_the_bundle(Authority::new("another").unwrap().pem().as_bytes()).await;
    guard.lacks(CERTIFICATE).await;
    stage.overwrite_the_bundle(&good).await;
    guard.becomes_ready().await;
    stage.policies().delete(parcels::POLICY, &Default::default()).await.unwrap();
    guard.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaf_that_has_ended_while_the_api_server_was_away() {
    let stage = Stage::new().await;
    let (proxy, kubeconfig) = stage.proxy().await;
    let guard = stage.guard_as(&kubeconfig, &SHORT).await;
    guard.becomes_ready().await;
    // It hangs, which is what takes longest to notice.
    proxy.set_faults(|_| Fault::Delay(std::time::Duration::from_secs(3600)));
    proxy.sever();
    let begun = std::time::Instant::now();
    guard.lacks(CERTIFICATE).await;
    assert!(begun.elapsed() < std::time::Duration::from_secs(15), "{:?}", begun.elapsed());
    proxy.set_faults(|_| Fault::Pass);
    proxy.sever();
    guard.becomes_ready().await;
    guard.end().await;
}
