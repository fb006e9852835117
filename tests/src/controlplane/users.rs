//! Who calls the API server: users, their credentials, and the rights a test gives them.

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, RoleBinding, RoleRef, Subject};
use kube::api::{Api, ObjectMeta, PostParams};
use kube::config::AuthInfo;
use serde_json::{Value, json};

use anyhow::Context as _;

use super::{ControlPlane, eventually, unique};

/// A user of the control plane. Only [`User::Admin`] has rights from the start.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum User {
    /// Member of `system:masters`: may do everything.
    Admin,
    /// `alice`, with a token of her own.
    Alice,
    /// `bob`, with a token of his own.
    Bob,
    /// Anybody else, impersonated by the admin: admission, RBAC and audit see this name.
    /// A service account is `system:serviceaccount:<namespace>:<name>` and is given its groups.
    Named(String),
}

/// Where a grant holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope<'a> {
    /// In all namespaces and for what has none.
    Cluster,
    /// In this namespace.
    Namespace(&'a str),
}

impl User {
    /// The name that the API server knows the user by.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Admin => "admin",
            Self::Alice => "alice",
            Self::Bob => "bob",
            Self::Named(name) => name,
        }
    }

    /// The line of the API server's token file, for users that have a token.
    fn token_line(&self) -> Option<String> {
        let groups = match self {
            Self::Admin => "system:masters",
            Self::Alice | Self::Bob => "statusguard:testers",
            Self::Named(_) => return None,
        };
        let name = self.name();
        Some(format!("{},{name},{name},\"{groups}\"\n", self.token()))
    }

    /// The bearer token that the user presents. Not a secret: the API server listens on the loopback and
    /// lives as long as the tests.
    fn token(&self) -> String {
        match self {
            Self::Admin | Self::Named(_) => "admin-token".to_owned(),
            Self::Alice | Self::Bob => format!("{}-token", self.name()),
        }
    }

    /// The `user` entry of a kubeconfig for a control plane that was started here.
    pub(super) fn credentials(&self) -> Value {
        match self {
            Self::Named(name) => json!({ "token": self.token(), "as": name }),
            _ => json!({ "token": self.token() }),
        }
    }

    /// The same for a client.
    pub(super) fn auth_info(&self) -> AuthInfo {
        serde_json::from_value(self.credentials()).expect("the entry is made of fields that AuthInfo has")
    }

    /// The name as part of a file name.
    pub(super) fn file_stem(&self) -> String {
        self.name().replace(|c: char| !c.is_ascii_alphanumeric(), "-")
    }

    fn subject(&self) -> Subject {
        Subject {
            kind: "User".to_owned(),
            name: self.name().to_owned(),
            api_group: Some("rbac.authorization.k8s.io".to_owned()),
            namespace: None,
        }
    }
}

/// The API server's token file.
pub(super) fn token_file() -> String {
    [User::Admin, User::Alice, User::Bob].iter().filter_map(User::token_line).collect()
}

impl ControlPlane {
    /// Gives `user` what `rules` say, by a ClusterRole of its own, and returns once every API server grants it.
    ///
    /// # Errors
    /// When the role or its binding cannot be made, or does not come into force.
    pub async fn grant(&self, user: &User, scope: Scope<'_>, rules: Vec<PolicyRule>) -> anyhow::Result<()> {
        let role = ClusterRole {
            metadata: ObjectMeta { name: Some(unique("test-role")), ..ObjectMeta::default() },
            rules: Some(rules),
            ..ClusterRole::default()
        };
        let role = Api::all(self.client(User::Admin))
            .create(&PostParams::default(), &role)
            .await
            .context("creating a ClusterRole")?;
        self.bind(user, scope, &role).await
    }

    /// Binds an existing ClusterRole and returns once every API server grants all of it.
    ///
    /// `admin`, `edit` and `view` are empty here: the controller that fills them in does not run.
    /// `cluster-admin` and the `system:` roles are as everywhere.
    ///
    /// # Errors
    /// When there is no such role, or the binding cannot be made or does not come into force.
    pub async fn bind_cluster_role(&self, user: &User, scope: Scope<'_>, role: &str) -> anyhow::Result<()> {
        let role = Api::<ClusterRole>::all(self.client(User::Admin))
            .get(role)
            .await
            .with_context(|| format!("reading ClusterRole {role}"))?;
        self.bind(user, scope, &role).await
    }

    async fn bind(&self, user: &User, scope: Scope<'_>, role: &ClusterRole) -> anyhow::Result<()> {
        let client = self.client(User::Admin);
        let metadata = ObjectMeta { name: Some(unique("test-binding")), ..ObjectMeta::default() };
        let subjects = Some(vec![user.subject()]);
        let role_ref = RoleRef {
            api_group: "rbac.authorization.k8s.io".to_owned(),
            kind: "ClusterRole".to_owned(),
            name: role.metadata.name.clone().unwrap_or_default(),
        };
        match scope {
            Scope::Cluster => {
                let binding = ClusterRoleBinding { metadata, role_ref, subjects };
                Api::all(client).create(&PostParams::default(), &binding).await.map(drop)
            }
            Scope::Namespace(namespace) => {
                let binding = RoleBinding { metadata, role_ref, subjects };
                Api::namespaced(client, namespace).create(&PostParams::default(), &binding).await.map(drop)
            }
        }
        .context("creating a role binding")?;

        let reviews = role.rules.iter().flatten().flat_map(|rule| reviews(user, scope, rule));
        for review in reviews {
            for server in 0..self.api_servers() {
                let api = Api::<SubjectAccessReview>::all(self.client_of(server, User::Admin));
                eventually(&format!("{} is granted {:?}", user.name(), review.spec), async || {
                    let answer = api.create(&PostParams::default(), &review).await?;
                    Ok(answer.status.is_some_and(|status| status.allowed))
                })
                .await?;
            }
        }
        Ok(())
    }
}

/// Questions whose answers are all yes only when the rule is in force.
fn reviews(user: &User, scope: Scope<'_>, rule: &PolicyRule) -> Vec<SubjectAccessReview> {
    let namespace = match scope {
        Scope::Cluster => None,
        Scope::Namespace(namespace) => Some(namespace.to_owned()),
    };
    let mut reviews = Vec::new();
    for group in rule.api_groups.iter().flatten() {
        for resource in rule.resources.iter().flatten() {
            for verb in &rule.verbs {
                let (resource, subresource) = match resource.split_once('/') {
                    Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
                    None => (resource.as_str(), None),
                };
                let attributes = ResourceAttributes {
                    group: Some(group.clone()),
                    resource: Some(resource.to_owned()),
                    subresource,
                    verb: Some(verb.clone()),
                    name: rule.resource_names.iter().flatten().next().cloned(),
                    namespace: namespace.clone(),
                    ..ResourceAttributes::default()
                };
                reviews.push(SubjectAccessReview {
                    spec: SubjectAccessReviewSpec {
                        user: Some(user.name().to_owned()),
                        resource_attributes: Some(attributes),
                        ..SubjectAccessReviewSpec::default()
                    },
                    ..SubjectAccessReview::default()
                });
            }
        }
    }
    reviews
}
