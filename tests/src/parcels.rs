//! A cluster with a kind whose counter is guarded, in one namespace: what an administrator makes for a guard.

use anyhow::Context as _;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::CustomResourceExt as _;
use kube::api::{Api, ApiResource, ObjectMeta, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use serde_json::json;
use statusguard_policy::StatusPolicy;

use crate::controlplane::{ControlPlane, User};

/// The policy's name.
pub const POLICY: &str = "parcels.shop.example.org";

/// Its CRD, as YAML.
pub const CRD: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: { name: parcels.shop.example.org }
spec:
  group: shop.example.org
  names: { kind: Parcel, plural: parcels, singular: parcel }
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      subresources: { status: {} }
      schema:
        openAPIV3Schema:
          type: object
          properties:
            status: { type: object, properties: { scans: { type: integer } } }
";

/// The kind.
#[must_use]
pub fn resource() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("shop.example.org", "v1", "Parcel"))
}

/// Makes the CRDs, that of the policies included, and an empty configuration of this name.
///
/// # Errors
/// What the API server says.
pub async fn prepare(plane: &ControlPlane, configuration: &str) -> anyhow::Result<()> {
    plane.apply_crd(&StatusPolicy::crd()).await?;
    plane.apply_crd_yaml(CRD).await?;
    let metadata = ObjectMeta { name: Some(configuration.to_owned()), ..ObjectMeta::default() };
    let empty = ValidatingWebhookConfiguration { metadata, webhooks: None };
    let configurations = Api::all(plane.client(User::Admin));
    configurations.create(&PostParams::default(), &empty).await.context("creating the configuration")?;
    Ok(())
}

/// Applies the policy: `status.scans` never falls in this namespace.
///
/// # Errors
/// What the API server says.
pub async fn guard(plane: &ControlPlane, namespace: &str, failure_policy: &str) -> anyhow::Result<()> {
    let policy = json!({
        "apiVersion": "statusguard.dev/v1alpha1", "kind": "StatusPolicy",
        "metadata": { "name": POLICY },
        "spec": {
            "target": {
                "group": "shop.example.org", "version": "v1", "resource": "parcels",
                "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": namespace } },
            },
            "failurePolicy": failure_policy,
            "monotone": [{ "path": ".status.scans" }],
        },
    });
    let params = PatchParams::apply("test").force();
    let policies: Api<StatusPolicy> = Api::all(plane.client(User::Admin));
    policies.patch(POLICY, &params, &Patch::Apply(&policy)).await.context("applying the policy")?;
    Ok(())
}
