//! A webhook that changes statuses: while they are written, or between two versions of a CRD.

use std::convert::Infallible;
use std::sync::Arc;

use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};
use statusguard_tests::{Authority, ControlPlane, User, WebhookService, eventually};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::own_kind::OwnKind;

/// Changes a status, given as it was and as it is to be; a conversion has no status as it was, and is given the
/// version wanted.
pub type Change = dyn Fn(&Value, &mut Value, &str) + Send + Sync;

/// The server, which lives as long as the value.
pub struct StatusHook {
    service: WebhookService,
    authority: Authority,
    _server: JoinSet<()>,
}

impl StatusHook {
    pub async fn start(
        plane: &ControlPlane,
        change: impl Fn(&Value, &mut Value, &str) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((plane.webhook_listen_address(), 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let service = WebhookService { namespace: plane.namespace("hook").await, name: "hook".to_owned(), port };
        plane.apply_webhook_service(&service).await.unwrap();
        let authority = Authority::new("status hook").unwrap();
        let leaf = authority.leaf([service.dns_name()]).unwrap();
        let tls = TlsAcceptor::from(leaf.server_config(&["http/1.1"]).unwrap());
        let change: Arc<Change> = Arc::new(change);
        let mut server = JoinSet::new();
        server.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (tls, change) = (tls.clone(), change.clone());
                tokio::spawn(async move {
                    let Ok(stream) = tls.accept(stream).await else { return };
                    let service = service_fn(move |request| answer(request, change.clone()));
                    // The API server closes it when it likes.
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { service, authority, _server: server }
    }

    fn client_config(&self) -> Value {
        let WebhookService { namespace, name, port } = &self.service;
        json!({
            "caBundle": ByteString(self.authority.pem().into_bytes()),
            "service": {"namespace": namespace, "name": name, "port": port},
        })
    }

    /// As the conversion of a CRD.
    pub fn conversion(&self) -> Value {
        json!({
            "strategy": "Webhook",
            "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": self.client_config()},
        })
    }

    /// Puts it in front of every write of a status of a kind, and waits until `probe`, merged into the status of the
    /// object that is there, comes back as `expected`.
    pub async fn mutate(&self, own: &OwnKind<'_>, probe: Value, expected: Value) {
        let configuration: MutatingWebhookConfiguration = serde_json::from_value(json!({
            "metadata": {"name": own.group()},
            "webhooks": [{
                "name": format!("hook.{}", own.group()), "clientConfig": self.client_config(),
                "rules": [{
                    "apiGroups": [own.group()], "apiVersions": ["*"],
                    "operations": ["UPDATE"], "resources": ["things/status"],
                }],
                "sideEffects": "None", "admissionReviewVersions": ["v1"],
            }],
        }))
        .unwrap();
        let api = Api::<MutatingWebhookConfiguration>::all(own.plane.client(User::Admin));
        api.create(&PostParams::default(), &configuration).await.unwrap();
        let params = PostParams { dry_run: true, ..PostParams::default() };
        eventually("the webhook changes statuses", async || {
            let object = own.api("v1").get("thing").await?;
            let mut wanted = serde_json::to_value(&object)?;
            wanted["status"] = probe.clone();
            let answer = own.api("v1").replace_status("thing", &params, &serde_json::from_value(wanted)?).await?;
            Ok(answer.status_as_sent() == Some(&expected))
        })
        .await
        .unwrap();
    }
}

async fn answer(request: Request<Incoming>, change: Arc<Change>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let mut review: Value = serde_json::from_slice(&body).unwrap();
    let request = review["request"].take();
    let uid = &request["uid"];
    let response = if review["kind"] == "ConversionReview" {
        let wanted = request["desiredAPIVersion"].as_str().unwrap();
        let mut objects = request["objects"].clone();
        for object in objects.as_array_mut().unwrap() {
            object["apiVersion"] = wanted.into();
            if let Some(status) = object.get_mut("status") {
                change(&Value::Null, status, wanted);
            }
        }
        json!({"uid": uid, "result": {"status": "Success"}, "convertedObjects": objects})
    } else {
        let mut status = request["object"]["status"].clone();
        change(&request["oldObject"]["status"], &mut status, "");
        let patch = json!([{"op": "add", "path": "/status", "value": status}]).to_string();
        json!({"uid": uid, "allowed": true, "patchType": "JSONPatch", "patch": ByteString(patch.into_bytes())})
    };
    let review = json!({"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response});
    Ok(Response::new(Full::from(review.to_string())))
}
