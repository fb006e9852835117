//! Objects that every test begins with: a namespace, a served CRD, an object that a server has cached.

use anyhow::{Context as _, bail, ensure};
use http::Request;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionSpec,
};
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Client, Resource, ResourceExt as _};
use serde_json::Value;

use super::{ControlPlane, User, eventually, get_text, unique};

/// The field manager of everything that the harness itself applies.
pub(super) const FIELD_MANAGER: &str = "statusguard-tests";

/// On every namespace made here, so that they can be found on a cluster that stays.
const TEST_LABEL: (&str, &str) = ("statusguard.dev/test", "true");

impl ControlPlane {
    /// Creates a namespace of its own for a test: `<prefix>-<random>-<number>`.
    ///
    /// # Panics
    /// When the API server refuses it, as for a prefix that is not a DNS label.
    pub async fn namespace(&self, prefix: &str) -> String {
        self.create_namespace(prefix).await.expect("the admin can create a namespace")
    }

    async fn create_namespace(&self, prefix: &str) -> anyhow::Result<String> {
        let name = unique(prefix);
        let (label, value) = TEST_LABEL;
        let namespace = Namespace {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                labels: Some([(label.to_owned(), value.to_owned())].into()),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        Api::all(self.client(User::Admin))
            .create(&PostParams::default(), &namespace)
            .await
            .with_context(|| format!("creating namespace {name}"))?;
        // The other servers may not know it yet: let no test stumble over that.
        for server in 1..self.api_servers() {
            let client = self.client_of(server, User::Admin);
            eventually(&format!("API server {server} knows namespace {name}"), async || {
                Ok(Api::<Namespace>::all(client.clone()).get_opt(&name).await?.is_some())
            })
            .await?;
        }
        Ok(name)
    }

    /// Applies a CRD (server-side) and waits until it is Established and every API server serves all its
    /// served versions and lists them in its discovery. For a CRD that was there before, that says nothing about a
    /// changed schema.
    ///
    /// # Errors
    /// When the CRD is refused, with the API server's words, or does not come up.
    pub async fn apply_crd(&self, crd: &CustomResourceDefinition) -> anyhow::Result<()> {
        let document = serde_json::to_value(crd).context("writing a CRD as JSON")?;
        self.apply_crd_document(&crd.name_any(), &document).await
    }

    /// [`Self::apply_crd`] for a CRD as it was written: fields that this program does not know reach the API server, too.
    ///
    /// # Errors
    /// As [`Self::apply_crd`].
    pub async fn apply_crd_document(&self, name: &str, document: &Value) -> anyhow::Result<()> {
        let api = Api::<CustomResourceDefinition>::all(self.client(User::Admin));
        let crd = api
            .patch(name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(document))
            .await
            .with_context(|| format!("applying CRD {name}"))?;
        eventually(&format!("CRD {name} is Established"), async || is_established(&api.get(name).await?)).await?;
        let CustomResourceDefinitionSpec { group, names, versions, .. } = &crd.spec;
        let plural = &names.plural;
        for version in versions.iter().filter(|version| version.served) {
            let version = format!("{group}/{}", version.name);
            let path = format!("/apis/{version}/{plural}?limit=1");
            for server in 0..self.api_servers() {
                let client = self.client_of(server, User::Admin);
                eventually(&format!("API server {server} serves {path}"), async || {
                    get_text(&client, &path).await.map(|_| true)
                })
                .await?;
                eventually(&format!("API server {server} lists {plural} of {version}"), async || {
                    let listed = client.list_api_group_resources(&version).await?;
                    Ok(listed.resources.iter().any(|resource| resource.name == *plural))
                })
                .await?;
            }
        }
        Ok(())
    }

    /// [`Self::apply_crd`] for every document of a YAML text.
    ///
    /// # Errors
    /// When a document is not a CRD, when there is none, and as [`Self::apply_crd`].
    pub async fn apply_crd_yaml(&self, yaml: &str) -> anyhow::Result<()> {
        let crds: Vec<CustomResourceDefinition> =
            serde_saphyr::from_multiple(yaml).context("parsing the YAML of a CRD")?;
        ensure!(!crds.is_empty(), "there is no CRD in the YAML");
        for crd in &crds {
            self.apply_crd(crd).await?;
        }
        Ok(())
    }

    /// Waits until the watch cache of API server `server` holds `object` in its resource version or a newer one.
    ///
    /// # Errors
    /// When it does not within a minute, as while the server is frozen.
    pub async fn wait_cached<K>(&self, server: usize, object: &K) -> anyhow::Result<()>
    where
        K: Resource<DynamicType: Default>,
    {
        let wanted = version_number(object.meta().resource_version.as_deref())?;
        let (client, name) = (self.client_of(server, User::Admin), object.name_any());
        eventually(&format!("the cache of API server {server} has {name} at {wanted}"), async || {
            let cached = self::cached(&client, object).await?;
            let cached = cached["metadata"]["resourceVersion"].as_str();
            Ok(version_number(cached)? >= wanted)
        })
        .await
    }

    /// `object` as the watch cache of API server `server` has it (`resourceVersion=0`).
    ///
    /// # Errors
    /// When the API server refuses, as with 404 for an object that is not in the cache.
    pub async fn cached<K>(&self, server: usize, object: &K) -> anyhow::Result<K>
    where
        K: Resource<DynamicType: Default> + serde::de::DeserializeOwned,
    {
        let value = cached(&self.client_of(server, User::Admin), object).await?;
        K::deserialize(value).context("parsing a cached object")
    }
}

async fn cached<K: Resource<DynamicType: Default>>(client: &Client, object: &K) -> anyhow::Result<Value> {
    let collection = K::url_path(&K::DynamicType::default(), object.meta().namespace.as_deref());
    let path = format!("{collection}/{}?resourceVersion=0", object.name_any());
    let request = Request::get(&path).body(Vec::new()).with_context(|| format!("asking for {path}"))?;
    client.request(request).await.with_context(|| format!("asking for {path}"))
}

/// Resource versions of objects kept in etcd are decimal numbers that grow (promised since Kubernetes 1.35).
fn version_number(version: Option<&str>) -> anyhow::Result<u64> {
    let version = version.context("the object has no resourceVersion")?;
    version.parse().with_context(|| format!("{version:?} is not a resourceVersion of this kind of API server"))
}

/// # Errors
/// When the names are taken: it will not be established then.
fn is_established(crd: &CustomResourceDefinition) -> anyhow::Result<bool> {
    let conditions = || crd.status.iter().flat_map(|status| status.conditions.iter().flatten());
    if let Some(refused) = conditions().find(|it| it.type_ == "NamesAccepted" && it.status == "False") {
        bail!("its names are not accepted: {}", refused.message.as_deref().unwrap_or_default());
    }
    Ok(conditions().any(|condition| condition.type_ == "Established" && condition.status == "True"))
}
