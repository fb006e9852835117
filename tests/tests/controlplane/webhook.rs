//! A webhook in the test's own process is called as a production webhook is.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Request, Response, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};
use statusguard_tests::{Authority, ControlPlane, TestLeaf, User, WebhookService};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::{code, config_map};

/// A webhook that refuses everything with 409 and counts its HTTP/1.1 calls.
struct Refuser {
    address: SocketAddr,
    calls: Arc<AtomicUsize>,
    _server: JoinSet<()>,
}

impl Refuser {
    async fn start(plane: &ControlPlane, leaf: &TestLeaf) -> Self {
        let tls = TlsAcceptor::from(leaf.server_config(&["h2", "http/1.1"]).unwrap());
        let listener = TcpListener::bind((plane.webhook_listen_address(), 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let calls = Arc::new(AtomicUsize::new(0));
        let mut server = JoinSet::new();
        let counter = Arc::clone(&calls);
        server.spawn(async move {
            loop {
                let connection = tls.accept(listener.accept().await.unwrap().0).await.unwrap();
                let counter = Arc::clone(&counter);
                let service = service_fn(move |request| refuse(request, Arc::clone(&counter)));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(connection), service));
            }
        });
        Self { address, calls, _server: server }
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

async fn refuse(request: Request<Incoming>, calls: Arc<AtomicUsize>) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_eq!(request.version(), Version::HTTP_11);
    assert_eq!(request.uri().path(), "/admit/configmaps");
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let review: Value = serde_json::from_slice(&body).unwrap();
    calls.fetch_add(1, Ordering::SeqCst);
    let answer = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {
            "uid": review["request"]["uid"],
            "allowed": false,
            "status": {"code": 409, "reason": "Conflict", "message": "refused by the test"},
        },
    });
    Ok(Response::new(Full::from(answer.to_string())))
}

#[tokio::test]
async fn a_registered_webhook_is_called_until_it_is_removed() {
    let plane = ControlPlane::shared().await;
    let _logs = plane.logs_on_failure();
    let namespace = plane.namespace("webhook").await;
    let authority = Authority::new("test webhook").unwrap();
    let mut service = WebhookService { namespace: namespace.clone(), name: "guard".to_owned(), port: 0 };
    let webhook = Refuser::start(plane, &authority.leaf([service.dns_name()]).unwrap()).await;
    service.port = webhook.address.port();

    let name = format!("{namespace}.harness.test");
    let configuration: ValidatingWebhookConfiguration = serde_json::from_value(json!({
        "metadata": {"name": name},
        "webhooks": [{
            "name": "refuser.harness.test",
            "clientConfig": {
                "caBundle": k8s_openapi::ByteString(authority.pem().into_bytes()),
                "service": {"namespace": "ignored", "name": "ignored", "path": "/admit/configmaps"},
            },
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "timeoutSeconds": 5,
        }],
    }))
    .unwrap();
    let api = Api::<ConfigMap>::namespaced(plane.client(User::Admin), &namespace);
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    let is_refused = async || match api.create(&dry_run, &config_map("probe", "1")).await {
        Ok(_) => Ok(false),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(true),
        Err(error) => Err(error.into()),
    };

    plane.register_webhook(&service, configuration, is_refused).await.unwrap();
    let before = webhook.calls();
    let refused = api.create(&PostParams::default(), &config_map("a", "1")).await;
    assert!(refused.as_ref().unwrap_err().to_string().contains("refused by the test"), "{refused:?}");
    assert_eq!(code(refused), 409);
    assert_eq!(webhook.calls(), before + 1);

    plane.remove_webhook(&name, async || is_refused().await.map(|refused| !refused)).await.unwrap();
    let before = webhook.calls();
    api.create(&PostParams::default(), &config_map("a", "1")).await.unwrap();
    assert_eq!(webhook.calls(), before);
}
