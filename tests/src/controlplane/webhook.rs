//! Registers a webhook that runs in the test's own process, through a Service as in production.
//!
//! The API server speaks HTTP/1.1 to every Service, but HTTP/2 to a loopback URL. A Service of type
//! ExternalName `localhost` gets the transport that production has.

use std::env;
use std::net::IpAddr;

use anyhow::Context as _;
use k8s_openapi::api::admissionregistration::v1::{ServiceReference, ValidatingWebhookConfiguration};
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, ObjectMeta, Patch, PatchParams};

use super::objects::FIELD_MANAGER;
use super::{ControlPlane, User, eventually};

/// The Service under which the API server finds a webhook of this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookService {
    /// Its namespace, which must exist.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The port that this process listens on, at [`ControlPlane::webhook_listen_address`].
    pub port: u16,
}

/// Where a cluster that was not started here reaches this process: a host name or an IP address.
const HOST_VARIABLE: &str = "STATUSGUARD_WEBHOOK_HOST";

impl WebhookService {
    /// The name that the API server asks for by SNI and expects in the certificate.
    #[must_use]
    pub fn dns_name(&self) -> String {
        format!("{}.{}.svc", self.name, self.namespace)
    }
}

impl ControlPlane {
    /// Applies the Service and `configuration` and waits until `in_force` returns true: a probe that sees the
    /// webhook at work, such as a dry-run write that is refused or a call that was counted. With nothing to
    /// probe, `async || Ok(true)`.
    ///
    /// Every webhook of the configuration is pointed to the Service; of its `clientConfig` the path and the
    /// `caBundle` are kept.
    ///
    /// # Errors
    /// When an object is refused, when the probe never returns true, and on an external cluster when
    /// `STATUSGUARD_WEBHOOK_HOST` does not say how it reaches this process.
    pub async fn register_webhook(
        &self,
        service: &WebhookService,
        mut configuration: ValidatingWebhookConfiguration,
        in_force: impl AsyncFnMut() -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        self.apply_webhook_service(service).await?;
        for webhook in configuration.webhooks.iter_mut().flatten() {
            let client = &mut webhook.client_config;
            client.url = None;
            let path = client.service.take().and_then(|reference| reference.path);
            client.service = Some(ServiceReference {
                namespace: service.namespace.clone(),
                name: service.name.clone(),
                path,
                port: Some(service.port.into()),
            });
        }
        let name = configuration.name_any();
        Api::<ValidatingWebhookConfiguration>::all(self.client(User::Admin))
            .patch(&name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(&configuration))
            .await
            .with_context(|| format!("applying ValidatingWebhookConfiguration {name}"))?;
        eventually(&format!("webhook {name} is in force"), in_force).await
    }

    /// Deletes a ValidatingWebhookConfiguration and waits until `gone` returns true: a probe that sees a write
    /// pass without it. With nothing to probe, `async || Ok(true)`.
    ///
    /// # Errors
    /// When there is no such configuration, or the probe never returns true.
    pub async fn remove_webhook(
        &self,
        name: &str,
        gone: impl AsyncFnMut() -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        Api::<ValidatingWebhookConfiguration>::all(self.client(User::Admin))
            .delete(name, &DeleteParams::default())
            .await
            .with_context(|| format!("deleting ValidatingWebhookConfiguration {name}"))?;
        eventually(&format!("webhook {name} is gone"), gone).await
    }

    /// Applies only the Service, for configurations that the program under test writes itself.
    ///
    /// # Errors
    /// As [`Self::register_webhook`].
    pub async fn apply_webhook_service(&self, service: &WebhookService) -> anyhow::Result<()> {
        let host = self.webhook_host()?;
        let metadata = ObjectMeta {
            name: Some(service.name.clone()),
            namespace: Some(service.namespace.clone()),
            ..ObjectMeta::default()
        };
        let port = i32::from(service.port);
        let address: Option<IpAddr> = host.parse().ok();
        let spec = match address {
            None => ServiceSpec {
                type_: Some("ExternalName".to_owned()),
                external_name: Some(host),
                ..ServiceSpec::default()
            },
            Some(_) => ServiceSpec {
                ports: Some(vec![ServicePort { port, ..ServicePort::default() }]),
                ..ServiceSpec::default()
            },
        };
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let object = Service { metadata: metadata.clone(), spec: Some(spec), ..Service::default() };
        Api::<Service>::namespaced(self.client(User::Admin), &service.namespace)
            .patch(&service.name, &parameters, &Patch::Apply(&object))
            .await
            .with_context(|| format!("applying Service {}/{}", service.namespace, service.name))?;
        if let Some(address) = address {
            let slice = endpoint_slice(metadata, service, address);
            Api::<EndpointSlice>::namespaced(self.client(User::Admin), &service.namespace)
                .patch(&service.name, &parameters, &Patch::Apply(&slice))
                .await
                .with_context(|| format!("applying EndpointSlice {}/{}", service.namespace, service.name))?;
        }
        Ok(())
    }

    fn webhook_host(&self) -> anyhow::Result<String> {
        if !self.is_external() {
            return Ok("localhost".to_owned());
        }
        env::var(HOST_VARIABLE).ok().filter(|host| !host.is_empty()).with_context(|| {
            format!(
                "STATUSGUARD_USE_CLUSTER is set, and this test runs a webhook in its own process: set \
                 {HOST_VARIABLE} to the host name or IP address under which the cluster's API server reaches it"
            )
        })
    }
}

/// Leads a Service without a selector to an address outside the cluster.
fn endpoint_slice(mut metadata: ObjectMeta, service: &WebhookService, address: IpAddr) -> EndpointSlice {
    metadata.labels = Some([("kubernetes.io/service-name".to_owned(), service.name.clone())].into());
    EndpointSlice {
        metadata,
        address_type: if address.is_ipv4() { "IPv4" } else { "IPv6" }.to_owned(),
        endpoints: vec![Endpoint {
            addresses: vec![address.to_string()],
            conditions: Some(EndpointConditions { ready: Some(true), ..EndpointConditions::default() }),
            ..Endpoint::default()
        }],
        ports: Some(vec![EndpointPort { port: Some(service.port.into()), ..EndpointPort::default() }]),
    }
}
