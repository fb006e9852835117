//! The API server and the guard show each other certificates: what becomes of calls when one does not trust the other.

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::CustomResourceExt as _;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kubernaut_api::NotificationRequest;
use serde_json::{Value, json};
use statusguard_tests::controlplane::Options;
use statusguard_tests::{Authority, ControlPlane, User, eventually};

use crate::common::{Guarded, Setup, WEBHOOK_NAME};
use crate::object::{pending, refusal, sending};

const FAILURES: &str = "statusguard_handshake_failures_total";

/// A write, as it is answered.
async fn write(guarded: &Guarded<'_>, status: Value) -> Result<NotificationRequest, kube::Error> {
    let patch = Patch::Merge(json!({ "status": status }));
    guarded.api().patch_status("n1", &PatchParams::default(), &patch).await
}

/// Until a legal write fails because the guard could not be called; what the client is told.
async fn calls_fail(guarded: &Guarded<'_>) -> String {
    let mut told = String::new();
    eventually("calls fail", async || match write(guarded, sending(3)).await {
        Err(kube::Error::Api(status)) if status.code == 500 => {
            told = status.message;
            Ok(true)
        }
        _ => Ok(false),
    })
    .await
    .unwrap();
    assert!(told.contains(&format!("failed calling webhook \"{WEBHOOK_NAME}\"")), "{told}");
    told
}

/// Until a handshake has failed for this cause, and none for another.
async fn is_counted(guarded: &Guarded<'_>, cause: &str) {
    let failures = async |labels: &[(&str, &str)]| guarded.guard.metric(FAILURES, labels).await;
    eventually("it is counted", async || Ok(failures(&[("cause", cause)]).await >= 1.0)).await.unwrap();
    assert_eq!(failures(&[("cause", cause)]).await, failures(&[]).await);
}

/// The whole way of the documentation: an API server that presents a certificate, and a guard that asks for it.
#[tokio::test]
async fn the_api_server_presents_a_client_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, other) = (Authority::new("clients").unwrap(), Authority::new("others").unwrap());
    let client = authority.client_leaf("kube-apiserver").unwrap().write(folder.path()).unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config",
        "users": [{ "name": "*", "user": { "client-certificate": client.certificate, "client-key": client.key } }],
    });
    let admission = json!({
        "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration",
        "plugins": [{
            "name": "ValidatingAdmissionWebhook",
            "configuration": {
                "apiVersion": "apiserver.config.k8s.io/v1", "kind": "WebhookAdmissionConfiguration",
                "kubeConfigFile": file("kubeconfig.json", &kubeconfig.to_string()),
            },
        }],
    });
    let flag = format!("--admission-control-config-file={}", file("admission.json", &admission.to_string()));
    let plane = ControlPlane::start(Options { arguments: vec![flag], ..Options::default() }).await.unwrap();
    plane.apply_crd(&NotificationRequest::crd()).await.unwrap();

    let trusted = file("client-ca.crt", &authority.pem());
    let setup = Setup::new().flag(&format!("--client-ca={trusted}")).flag("--client-name=kube-apiserver");
    let guarded = setup.start_on(&plane, async |address| address.port()).await;
    guarded.object("n1", &[pending(), sending(1), sending(2)]).await;
    let status = refusal(write(&guarded, sending(1)).await);
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"), "{status:?}");
    assert_eq!(guarded.guard.metric(FAILURES, &[]).await, 0.0);

    // Connections that are open stay; those of an API server that starts again are new.
    file("client-ca.crt", &other.pem());
    plane.restart_api_server(0).await.unwrap();
    let told = calls_fail(&guarded).await;
    assert!(told.contains("remote error: tls"), "{told}");
    is_counted(&guarded, "client_certificate_refused").await;

    file("client-ca.crt", &authority.pem());
    eventually("calls are answered", async || Ok(write(&guarded, sending(3)).await.is_ok())).await.unwrap();
    assert_eq!(refusal(write(&guarded, sending(1)).await).code, 409);
}

#[tokio::test]
async fn a_broken_bundle_is_counted_as_untrusted() {
    let guarded = Setup::new().start().await;
    guarded.object("n1", &[pending(), sending(1)]).await;
    assert_eq!(guarded.guard.metric(FAILURES, &[]).await, 0.0);
    let configurations = Api::<ValidatingWebhookConfiguration>::all(guarded.plane.client(User::Admin));
    let mut object = configurations.get(&guarded.namespace).await.unwrap();
    let foreign = Authority::new("another").unwrap();
    object.webhooks.as_mut().unwrap()[0].client_config.ca_bundle = Some(ByteString(foreign.pem().into_bytes()));
    configurations.replace(&guarded.namespace, &PostParams::default(), &object).await.unwrap();
    let told = calls_fail(&guarded).await;
    assert!(told.contains("x509"), "{told}");
    is_counted(&guarded, "untrusted").await;
}
