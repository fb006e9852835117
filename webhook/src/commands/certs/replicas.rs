//! The replicas behind a Service, by its EndpointSlices.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Client;
use kube::api::{Api, ListParams};

use crate::commands::request::answer;

/// A replica of the guard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardReplica {
    /// Host and port.
    pub address: String,
    /// Its pod, if that is known.
    pub pod: Option<String>,
    /// Whether the API server is led to it; of one that is named, that is not asked.
    pub ready: bool,
}

/// All replicas, also those that are not ready: these above all are asked about.
///
/// # Errors
/// When the EndpointSlices cannot be listed.
pub async fn of_service(client: &Client, namespace: &str, service: &str) -> anyhow::Result<Vec<GuardReplica>> {
    let params = ListParams::default().labels(&format!("kubernetes.io/service-name={service}"));
    let slices = Api::<EndpointSlice>::namespaced(client.clone(), namespace);
    let what = format!("endpointslices in namespace {namespace}");
    Ok(of_slices(&answer("list", &what, slices.list(&params)).await?.items))
}

/// One for each pod or address, with the port that the API server is led to. A Service may have others, for metrics.
fn of_slices(slices: &[EndpointSlice]) -> Vec<GuardReplica> {
    let mut found = BTreeMap::new();
    for slice in slices {
        let ports: Vec<(&str, u16)> = slice
            .ports
            .iter()
            .flatten()
            .filter_map(|port| Some((port.name.as_deref().unwrap_or_default(), u16::try_from(port.port?).ok()?)))
            .collect();
        let Some((_, port)) = ports.iter().find(|(name, _)| PORT_NAMES.contains(name)).or(ports.first()) else {
            continue;
        };
        for endpoint in &slice.endpoints {
            let pod = endpoint.target_ref.as_ref().filter(|target| target.kind.as_deref() == Some("Pod"));
            let pod = pod.and_then(|pod| pod.name.clone());
            // A pod with two families of addresses has an endpoint in a slice of each; all addresses of one lead to it.
            let Some(host) = endpoint.addresses.first() else { continue };
            let address = match host.parse::<IpAddr>() {
                Ok(ip) => SocketAddr::new(ip, *port).to_string(),
                Err(_) => format!("{host}:{port}"),
            };
            let key = pod.clone().unwrap_or_else(|| address.clone());
            let ready = endpoint.conditions.as_ref().is_none_or(|conditions| conditions.ready != Some(false));
            found.entry(key).or_insert(GuardReplica { address, pod, ready: false }).ready |= ready;
        }
    }
    found.into_values().collect()
}

/// Of several ports, that of the admission has one of these names.
const PORT_NAMES: [&str; 4] = ["https", "webhook", "admission", "https-webhook"];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn slices(slices: serde_json::Value) -> Vec<(Option<String>, String, bool)> {
        let slices: Vec<EndpointSlice> = serde_json::from_value(slices).unwrap();
        of_slices(&slices).into_iter().map(|replica| (replica.pod, replica.address, replica.ready)).collect()
    }

    fn pod(name: &str, addresses: &[&str], ready: bool) -> serde_json::Value {
        json!({
            "addresses": addresses, "conditions": { "ready": ready }, "targetRef": { "kind": "Pod", "name": name },
        })
    }

    #[test]
    fn every_pod_is_asked_once_ready_or_not() {
        let found = slices(json!([
            {
                "addressType": "IPv4", "metadata": {},
                "ports": [{ "port": 8080, "name": "metrics" }, { "port": 8443, "name": "https" }],
                "endpoints": [pod("b", &["10.0.0.2", "10.0.0.9"], false), pod("a", &["10.0.0.1"], true)],
            },
            {
                "addressType": "IPv6", "metadata": {}, "ports": [{ "port": 8443 }],
                "endpoints": [pod("a", &["fd00::1"], true), { "addresses": ["fd00::3"] }],
            },
            { "addressType": "IPv4", "metadata": {}, "ports": [], "endpoints": [pod("c", &["10.0.0.3"], true)] },
        ]));
        let of = |pod: Option<&str>, address: &str, ready| (pod.map(str::to_owned), address.to_owned(), ready);
        let expected = [
            of(None, "[fd00::3]:8443", true),
            of(Some("a"), "10.0.0.1:8443", true),
            of(Some("b"), "10.0.0.2:8443", false),
        ];
        assert_eq!(found, expected);
    }
}
