//! What installs the guard: its namespace, rights, Deployment, Service and the configuration that it fills in.
//!
//! Written as JSON and read by the types of the API, so that a misspelt field is an error and not a field that is missing.

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::image::USER;

/// The guard's namespace, and the name of most of its objects.
pub const NAME: &str = "statusguard";
/// The Secret of the guard's authority.
pub const AUTHORITY: &str = "statusguard-authority";
/// The image, with the version of this code as its tag. Who has a registry names it in a kustomization of their own.
pub const IMAGE: &str = concat!("localhost/statusguard:", env!("CARGO_PKG_VERSION"));

/// Ports of the guard's container.
const ADMISSION_PORT: u16 = 8443;
const PLAIN_PORT: u16 = 8080;
/// Seconds; 10 s more than `--drain-timeout`.
const GRACE_SECONDS: u32 = 30;
const REPLICAS: u32 = 2;
/// Where client libraries look for a service account.
const ACCOUNT_MOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// An object, and the file that it stands in.
pub struct Manifest {
    /// Without its ending.
    pub file: &'static str,
    /// The object.
    pub object: Value,
}

/// The objects of an installation but for the configuration, in the order in which they are applied and deleted.
#[must_use]
pub fn objects() -> Vec<Manifest> {
    vec![
        manifest::<Namespace>("namespace", namespace()),
        manifest::<ServiceAccount>("service-account", service_account()),
        manifest::<ClusterRole>("cluster-role", cluster_role()),
        manifest::<ClusterRoleBinding>("cluster-role-binding", binding("ClusterRoleBinding", "ClusterRole", None)),
        manifest::<Role>("role", role(NAME, secret_rules())),
        manifest::<RoleBinding>("role-binding", binding("RoleBinding", "Role", Some(NAME))),
        manifest::<Role>("event-role", role("default", event_rules())),
        manifest::<RoleBinding>("event-role-binding", binding("RoleBinding", "Role", Some("default"))),
        manifest::<Service>("service", service()),
        manifest::<Deployment>("deployment", deployment()),
        manifest::<PodDisruptionBudget>("pod-disruption-budget", disruption_budget()),
    ]
}

/// Closes all ports of the guard but its two, which are open to everybody, because the API server's addresses are not known
/// here, and lets it reach the usual ports of API servers alone. Not every cluster has a network plugin that enforces it.
#[must_use]
pub fn network_policy() -> Manifest {
    manifest::<NetworkPolicy>(
        "network-policy",
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata(Some(NAME)),
            "spec": {
                "podSelector": { "matchLabels": selector() },
                "policyTypes": ["Ingress", "Egress"],
                "ingress": [{ "ports": [port(ADMISSION_PORT), port(PLAIN_PORT)] }],
                // The API server, by its Service or as that is translated.
                "egress": [{ "ports": [port(443), port(6443)] }],
            },
        }),
    )
}

/// # Panics
/// When the object has a field that its type lacks, or lacks one that it needs: the code is wrong then.
fn manifest<T: DeserializeOwned + Serialize>(file: &'static str, object: Value) -> Manifest {
    let typed: T = serde_json::from_value(object.clone()).unwrap_or_else(|error| unreachable!("{file}: {error}"));
    let kept = serde_json::to_value(&typed).unwrap_or_default();
    assert_eq!(kept, object, "{file} has a field that its type lacks");
    Manifest { file, object }
}

/// Labels of every object.
pub fn labels() -> Value {
    json!({ "app.kubernetes.io/name": NAME, "app.kubernetes.io/component": "guard", "app.kubernetes.io/part-of": NAME })
}

/// Labels of the guard's pods; it never changes, because a Deployment's cannot.
pub fn selector() -> Value {
    json!({ "app.kubernetes.io/name": NAME, "app.kubernetes.io/component": "guard" })
}

fn metadata(namespace: Option<&str>) -> Value {
    let mut metadata = json!({ "name": NAME, "labels": labels() });
    if let Some(namespace) = namespace {
        metadata["namespace"] = namespace.into();
    }
    metadata
}

fn port(port: u16) -> Value {
    json!({ "port": port, "protocol": "TCP" })
}

fn namespace() -> Value {
    let mut metadata = metadata(None);
    for mode in ["audit", "enforce", "warn"] {
        metadata["labels"][format!("pod-security.kubernetes.io/{mode}")] = "restricted".into();
    }
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": metadata })
}

fn service_account() -> Value {
    json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata(Some(NAME)),
        "automountServiceAccountToken": false,
    })
}

fn rule(group: &str, resource: &str, names: &[&str], verbs: &[&str]) -> Value {
    let mut rule = json!({ "apiGroups": [group], "resources": [resource], "verbs": verbs });
    if !names.is_empty() {
        rule["resourceNames"] = json!(names);
    }
    rule
}

/// Never `create` or `delete` of the configuration: its absence is the off switch.
fn cluster_role() -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": metadata(None),
        "rules": [
            rule("statusguard.dev", "statuspolicies", &[], &["list", "watch"]),
            rule("statusguard.dev", "statuspolicies/status", &[], &["patch"]),
            rule("apiextensions.k8s.io", "customresourcedefinitions", &[], &["get", "list", "watch"]),
            rule(
                "admissionregistration.k8s.io",
                "validatingwebhookconfigurations",
                &[NAME],
                &["get", "list", "watch", "update"],
            ),
        ],
    })
}

/// A name cannot be demanded of what is created.
fn secret_rules() -> Value {
    json!([
        rule("", "secrets", &[AUTHORITY], &["get", "list", "watch", "update"]),
        rule("", "secrets", &[], &["create"]),
    ])
}

/// Events about cluster-scoped objects stand in the namespace `default`.
fn event_rules() -> Value {
    json!([rule("events.k8s.io", "events", &[], &["create"])])
}

fn role(namespace: &str, rules: Value) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata(Some(namespace)),
        "rules": rules,
    })
}

fn binding(kind: &str, role: &str, namespace: Option<&str>) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata(namespace),
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": NAME },
        "subjects": [{ "kind": "ServiceAccount", "name": NAME, "namespace": NAME }],
    })
}

fn service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": metadata(Some(NAME)),
        "spec": {
            "selector": selector(),
            "ports": [{ "name": "admission", "port": 443, "protocol": "TCP", "targetPort": "admission" }],
        },
    })
}

fn disruption_budget() -> Value {
    json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata(Some(NAME)),
        "spec": {
            "maxUnavailable": 1,
            "selector": { "matchLabels": selector() },
            // A guard that is not ready guards nothing, and must not keep a node from being drained.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    })
}

/// Without entries, which are the guard's: nothing that is applied again takes them away.
#[must_use]
pub fn configuration() -> Manifest {
    let mut metadata = metadata(None);
    // The admissions enforcer of AKS would change the selectors of the entries.
    metadata["labels"]["admissions.enforcer/disabled"] = "true".into();
    let object = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration", "metadata": metadata,
    });
    manifest::<ValidatingWebhookConfiguration>("webhook-configuration", object)
}

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata(Some(NAME)),
        "spec": {
            "replicas": REPLICAS,
            "selector": { "matchLabels": selector() },
            "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 0 } },
            "template": { "metadata": { "labels": labels() }, "spec": pod() },
        },
    })
}

fn pod() -> Value {
    json!({
        "serviceAccountName": NAME,
        "automountServiceAccountToken": false,
        "priorityClassName": "system-cluster-critical",
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": {
            "runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER,
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        "topologySpreadConstraints": [{
            "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": { "matchLabels": selector() },
        }],
        "containers": [{
            "name": "guard",
            "image": IMAGE,
            "imagePullPolicy": "IfNotPresent",
            "args": ["webhook", "--log-format=json"],
            "ports": [
                { "name": "admission", "containerPort": ADMISSION_PORT, "protocol": "TCP" },
                { "name": "plain", "containerPort": PLAIN_PORT, "protocol": "TCP" },
            ],
            "readinessProbe": probe("/readyz", 5),
            "livenessProbe": probe("/livez", 10),
            // Measured: 25 MiB when busy, up to 200 MiB with huge reviews. A limit of CPU would delay every write.
            "resources": {
                "requests": { "cpu": "50m", "memory": "64Mi", "ephemeral-storage": "64Mi" },
                "limits": { "memory": "384Mi", "ephemeral-storage": "256Mi" },
            },
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "capabilities": { "drop": ["ALL"] },
                "readOnlyRootFilesystem": true,
            },
            "volumeMounts": [{ "name": "service-account", "mountPath": ACCOUNT_MOUNT, "readOnly": true }],
        }],
        "volumes": [{
            "name": "service-account",
            "projected": { "sources": [
                { "serviceAccountToken": { "path": "token", "expirationSeconds": 3600 } },
                { "configMap": { "name": "kube-root-ca.crt", "items": [{ "key": "ca.crt", "path": "ca.crt" }] } },
                { "downwardAPI": { "items": [
                    { "path": "namespace", "fieldRef": { "apiVersion": "v1", "fieldPath": "metadata.namespace" } },
                ] } },
            ] },
        }],
    })
}

fn probe(path: &str, seconds: u32) -> Value {
    json!({
        "httpGet": { "path": path, "port": "plain" },
        "periodSeconds": seconds, "timeoutSeconds": 3, "failureThreshold": 3,
    })
}

/// For clusters whose API server does not reach pods: the guard listens on the ports of its node, which have to be free
/// there. Other ports are set here and in the Service alike.
#[must_use]
pub fn host_network() -> Vec<Value> {
    const HOST_ADMISSION_PORT: u16 = 18443;
    const HOST_PLAIN_PORT: u16 = 18080;
    let container = json!({
        "name": "guard",
        "args": [
            "webhook", "--log-format=json",
            format!("--listen=:{HOST_ADMISSION_PORT}"), format!("--plain-listen=:{HOST_PLAIN_PORT}"),
        ],
        "ports": [
            { "$patch": "replace" },
            { "name": "admission", "containerPort": HOST_ADMISSION_PORT, "protocol": "TCP" },
            { "name": "plain", "containerPort": HOST_PLAIN_PORT, "protocol": "TCP" },
        ],
    });
    // Two guards cannot have one port: they are on different nodes, and one goes before its successor comes.
    let spread = json!({
        "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": { "matchLabels": selector() },
    });
    let privileged: serde_json::Map<String, Value> = ["audit", "enforce", "warn"]
        .iter()
        .map(|mode| (format!("pod-security.kubernetes.io/{mode}"), "privileged".into()))
        .collect();
    vec![
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAME, "labels": privileged } }),
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": NAME, "namespace": NAME },
            "spec": {
                "strategy": { "rollingUpdate": { "maxSurge": 0, "maxUnavailable": 1 } },
                "template": { "spec": {
                    "hostNetwork": true,
                    "topologySpreadConstraints": [spread],
                    "containers": [container],
                } },
            },
        }),
    ]
}

/// What cert-manager makes the guard's certificate from: an authority of its own, in the guard's namespace.
#[must_use]
pub fn issued_by_cert_manager() -> Vec<Manifest> {
    let object = |kind: &str, name: &str, spec: Value| {
        json!({
            "apiVersion": "cert-manager.io/v1", "kind": kind,
            "metadata": { "name": name, "namespace": NAME, "labels": labels() }, "spec": spec,
        })
    };
    let certificate = |name: &str, issuer: &str, spec: Value| {
        let mut all = json!({
            "secretName": name, "issuerRef": { "kind": "Issuer", "name": issuer },
            "privateKey": { "algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always" },
        });
        for (field, value) in spec.as_object().into_iter().flatten() {
            all[field] = value.clone();
        }
        object("Certificate", name, all)
    };
    let names = json!([format!("{NAME}.{NAME}.svc")]);
    [
        ("self-signed-issuer", object("Issuer", "statusguard-self-signed", json!({ "selfSigned": {} }))),
        (
            "authority",
            certificate(
                "statusguard-issuer",
                "statusguard-self-signed",
                json!({ "isCA": true, "commonName": "statusguard", "duration": "8760h" }),
            ),
        ),
        ("issuer", object("Issuer", "statusguard", json!({ "ca": { "secretName": "statusguard-issuer" } }))),
        (
            "certificate",
            certificate(
                CERTIFICATE,
                "statusguard",
                json!({ "dnsNames": names, "duration": "168h", "usages": ["server auth"] }),
            ),
        ),
    ]
    .map(|(file, object)| Manifest { file, object })
    .into()
}

/// The Secret of a certificate that somebody else makes.
const CERTIFICATE: &str = "statusguard-certificate";

/// The Deployment with a certificate that is mounted.
#[must_use]
pub fn with_mounted_certificate() -> Value {
    const FOLDER: &str = "/etc/statusguard/tls";
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": NAME, "namespace": NAME },
        "spec": { "template": { "spec": {
            "containers": [{
                "name": "guard",
                "args": [
                    "webhook", "--log-format=json", format!("--tls-cert={FOLDER}/tls.crt"),
                    format!("--tls-key={FOLDER}/tls.key"), format!("--tls-ca={FOLDER}/ca.crt"),
                ],
                "volumeMounts": [{ "name": "certificate", "mountPath": FOLDER, "readOnly": true }],
            }],
            "volumes": [{ "name": "certificate", "secret": { "secretName": CERTIFICATE } }],
        } } },
    })
}
