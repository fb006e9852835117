//! The objects that a rotation reads and writes: the Secret, and the managed `caBundle`s.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use http_body_util::BodyExt as _;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{GetParams, PostParams};
use kube::client::Body;
use kube::core::ObjectMeta;
use kube::core::request::Request as ObjectRequest;
use kube::{Client, Resource};
use serde::Deserialize as _;
use serde_json::Value as Json;
use statusguard_rotation::{Bundle, UnixTime};

use crate::bundle::CaBundle;

/// Time for one request, so that a connection that hangs holds up nothing for long.
const REQUEST: Duration = Duration::from_secs(10);
/// Largest answer that is read: what the API server stores of one object, and some.
const LARGEST: usize = 8 << 20;

/// Where the objects are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// The guard's namespace, which holds the Secret.
    pub namespace: String,
    /// The Secret's name.
    pub secret: String,
    /// The `ValidatingWebhookConfiguration` that is managed.
    pub configuration: String,
    /// The names of our entries in it end so; others are left alone.
    pub entry_suffix: String,
    /// Who writes, for `managedFields`.
    pub field_manager: String,
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum RequestFailure {
    /// Somebody else has written meanwhile: all is read again.
    #[error("somebody else has written meanwhile")]
    Conflict,
    /// The API server refused.
    #[error("cannot {verb} {what}: {message}")]
    Refused {
        /// What was to be done.
        verb: &'static str,
        /// To what.
        what: String,
        /// The HTTP status.
        code: u16,
        /// The API server's words.
        message: String,
        /// What the guard's administrator can do about it, where that is known.
        cure: Option<String>,
    },
    /// No answer, or none that can be read.
    #[error("cannot {verb} {what}")]
    Unanswered {
        /// What was to be done.
        verb: &'static str,
        /// To what.
        what: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// An answer that is not what was asked for. It is never quoted: it may hold a key.
#[derive(Debug, thiserror::Error)]
#[error("the answer is not the object that was asked for")]
struct OtherAnswer;

/// One of the objects, in the words of a role.
pub(crate) struct ObjectPlace {
    /// Kind in lower case, with the namespace and the name.
    pub(crate) what: String,
    pub(crate) name: String,
    /// The collection that it is in.
    path: String,
    group: Cow<'static, str>,
    resource: Cow<'static, str>,
    namespace: Option<String>,
}

/// Which rule of a role the guard's service account lacks.
#[must_use]
pub fn missing_right(verb: &str, resource: &str, group: &str, name: Option<&str>) -> String {
    let group = if group.is_empty() { "\"\"" } else { group };
    // A role cannot limit the creation of objects to names.
    let name = name.filter(|_| verb != "create").map(|name| format!(", resourceNames: [{name}]")).unwrap_or_default();
    format!("give the guard's service account the verb {verb} on {resource} (apiGroups: [{group}]{name}) by a role")
}

impl ObjectPlace {
    fn of<K: Resource<DynamicType = ()>>(what: String, namespace: Option<String>, name: String) -> Self {
        let path = K::url_path(&(), namespace.as_deref());
        Self { what, name, path, group: K::group(&()), resource: K::plural(&()), namespace }
    }

    fn missing_right(&self, verb: &str) -> String {
        let right = missing_right(verb, &self.resource, &self.group, Some(&self.name));
        let namespace = self.namespace.as_ref().map(|namespace| format!(" in namespace {namespace}"));
        right + &namespace.unwrap_or_default()
    }

    pub(crate) fn unanswered(
        &self,
        verb: &'static str,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> RequestFailure {
        RequestFailure::Unanswered { verb, what: self.what.clone(), source: Box::new(source) }
    }

    pub(crate) fn refused(&self, verb: &'static str, code: u16, message: &str) -> RequestFailure {
        let cure = match code {
            401 => Some("give the guard credentials that are valid".to_owned()),
            // Other refusals are 403 as well, such as that of a namespace that is being deleted.
            403 if message.contains(&format!("cannot {verb} resource")) => Some(self.missing_right(verb)),
            404 if verb == "create" => Some("create the namespace, or name another one with --namespace".to_owned()),
            _ => None,
        };
        RequestFailure::Refused { verb, what: self.what.clone(), code, message: message.to_owned(), cure }
    }
}

impl RequestFailure {
    /// For metrics.
    pub(crate) fn cause(&self) -> &'static str {
        match self {
            RequestFailure::Conflict => "conflict",
            RequestFailure::Refused { .. } => "refused",
            RequestFailure::Unanswered { .. } => "unanswered",
        }
    }

    /// The same for failures that are one and the same to whoever reads the log.
    pub(crate) fn topic(&self) -> String {
        match self {
            RequestFailure::Refused { verb, what, code, .. } => format!("{code} {verb} {what}"),
            other => other.cause().to_owned(),
        }
    }

    /// What to do about it.
    pub(crate) fn cure(&self) -> String {
        match self {
            RequestFailure::Refused { cure: Some(cure), .. } => cure.clone(),
            RequestFailure::Refused { .. } => "see the API server's message; it is tried again".to_owned(),
            _ => "none needed if the API server comes back; it is tried again".to_owned(),
        }
    }
}

/// The managed configuration as it was read.
pub(crate) struct Managed {
    object: Json,
    /// Our entries: the place in `webhooks`, and the bundle.
    entries: Vec<(usize, CaBundle)>,
}

impl Managed {
    pub(crate) fn bundles(&self) -> impl Iterator<Item = &CaBundle> {
        self.entries.iter().map(|(_, bundle)| bundle)
    }

    /// The bundles with their entries' names.
    pub(crate) fn named(&self) -> impl Iterator<Item = (&str, &CaBundle)> {
        let name = |place: usize| self.object["webhooks"][place]["name"].as_str().unwrap_or_default();
        self.entries.iter().map(move |(place, bundle)| (name(*place), bundle))
    }

    fn read(object: Json, suffix: &str) -> Self {
        let webhooks = object["webhooks"].as_array().into_iter().flatten().enumerate();
        let ours = webhooks.filter(|(_, entry)| entry["name"].as_str().is_some_and(|name| name.ends_with(suffix)));
        let entries = ours.map(|(place, entry)| {
            let bundle = match &entry["clientConfig"]["caBundle"] {
                Json::Null => CaBundle::read(&[]),
                encoded => match ByteString::deserialize(encoded) {
                    Ok(ByteString(text)) => CaBundle::read(&text),
                    Err(_) => CaBundle { facts: Bundle::Unreadable, certificates: Default::default() },
                },
            };
            (place, bundle)
        });
        Self { entries: entries.collect(), object }
    }
}

/// What one look at the objects has found, in the order that the rotation asks for: Secret, configuration, Secret.
pub(crate) struct ReadObjects {
    /// This machine's clock before.
    pub(crate) asked_at: UnixTime,
    /// The Secret as it was in the end, and the API server's clock.
    pub(crate) secret: Result<(Option<Secret>, Option<SystemTime>), RequestFailure>,
    /// The managed configuration; `None` while it does not exist.
    pub(crate) managed: Result<Option<Managed>, RequestFailure>,
    /// Whether the Secret was the same before and after the configuration was read, as far as it could be read.
    pub(crate) same: bool,
    /// This machine's clock afterwards.
    pub(crate) read_at: UnixTime,
}

/// Access to the objects.
pub(crate) struct Objects {
    pub(crate) client: Client,
    pub(crate) places: Places,
}

impl Objects {
    pub(crate) fn new(client: Client, places: Places) -> Self {
        Self { client, places }
    }

    pub(crate) fn secret_place(&self) -> ObjectPlace {
        let Places { namespace, secret: name, .. } = self.places.clone();
        ObjectPlace::of::<Secret>(format!("secret {namespace}/{name}"), Some(namespace), name)
    }

    pub(crate) fn configuration_place(&self) -> ObjectPlace {
        let name = self.places.configuration.clone();
        let what = format!("validatingwebhookconfiguration {name}");
        ObjectPlace::of::<ValidatingWebhookConfiguration>(what, None, name)
    }

    /// Reads all. One object that cannot be read does not keep the other from being read.
    pub(crate) async fn read(&self) -> ReadObjects {
        let asked_at = UnixTime::from(SystemTime::now());
        let before = self.secret().await;
        let managed = self.managed().await;
        let (same, secret) = match before {
            Err(failure) => (true, Err(failure)),
            Ok((before, _)) => {
                let secret = self.secret().await;
                (secret.as_ref().map_or(true, |(secret, _)| version(&before) == version(secret)), secret)
            }
        };
        ReadObjects { asked_at, secret, managed, same, read_at: UnixTime::from(SystemTime::now()) }
    }

    /// The Secret, and the API server's clock.
    async fn secret(&self) -> Result<(Option<Secret>, Option<SystemTime>), RequestFailure> {
        let place = self.secret_place();
        let (found, date) = self.get(&place).await?;
        let secret = found.map(serde_json::from_value).transpose();
        Ok((secret.map_err(|_| place.unanswered("get", OtherAnswer))?, date))
    }

    /// The managed configuration; `None` while it does not exist.
    async fn managed(&self) -> Result<Option<Managed>, RequestFailure> {
        let (found, _) = self.get(&self.configuration_place()).await?;
        Ok(found.map(|object| Managed::read(object, &self.places.entry_suffix)))
    }

    /// An object, and the API server's clock; `None` while it does not exist.
    async fn get(&self, place: &ObjectPlace) -> Result<(Option<Json>, Option<SystemTime>), RequestFailure> {
        let request = ObjectRequest::new(place.path.as_str()).get(&place.name, &GetParams::default());
        match self.send("get", place, request).await? {
            ObjectAnswer { code: 200..300, object, date } => Ok((Some(object), date)),
            ObjectAnswer { code: 404, object, date } if object["reason"] == "NotFound" => Ok((None, date)),
            ObjectAnswer { code, object, .. } => Err(place.refused("get", code, message(&object))),
        }
    }

    /// Writes the Secret's data, on exactly what was read; without a Secret it is made.
    pub(crate) async fn write_secret(&self, before: Option<Secret>, data: Data) -> Result<(), RequestFailure> {
        let (place, params) = (self.secret_place(), self.write_params());
        let Some(before) = before else {
            let metadata = ObjectMeta { name: Some(self.places.secret.clone()), ..ObjectMeta::default() };
            let secret = Secret { metadata, data: Some(data), ..Secret::default() };
            let body = serde_json::to_vec(&secret).map_err(|error| place.unanswered("create", error))?;
            return self.write("create", &place, ObjectRequest::new(place.path.as_str()).create(&params, body)).await;
        };
        let immutable = before.immutable == Some(true);
        // Its version goes along with it.
        let secret = Secret { data: Some(data), ..before };
        let body = serde_json::to_vec(&secret).map_err(|error| place.unanswered("update", error))?;
        let request = ObjectRequest::new(place.path.as_str()).replace(&place.name, &params, body);
        self.write("update", &place, request).await.map_err(|failure| match failure {
            RequestFailure::Refused { verb, what, code: code @ (413 | 422), message, .. } => {
                let cure = match immutable {
                    true => "it is immutable: delete it, and the guard makes another one",
                    false => "remove what the guard has not put into it, or delete it, and the guard makes another one",
                };
                RequestFailure::Refused { verb, what, code, message, cure: Some(cure.into()) }
            }
            other => other,
        })
    }

    /// Writes a bundle into some of the entries, on exactly what was read.
    pub(crate) async fn publish(&self, managed: &Managed, to: &[usize], text: String) -> Result<(), RequestFailure> {
        let place = self.configuration_place();
        let bundle = serde_json::to_value(ByteString(text.into_bytes()));
        let bundle = bundle.map_err(|error| place.unanswered("update", error))?;
        let mut object = managed.object.clone();
        for index in to {
            if let Some((place, _)) = managed.entries.get(*index) {
                object["webhooks"][*place]["clientConfig"]["caBundle"] = bundle.clone();
            }
        }
        let body = object.to_string().into_bytes();
        let request = ObjectRequest::new(place.path.as_str()).replace(&place.name, &self.write_params(), body);
        self.write("update", &place, request).await
    }

    fn write_params(&self) -> PostParams {
        PostParams { field_manager: Some(self.places.field_manager.clone()), ..PostParams::default() }
    }

    async fn write(
        &self,
        verb: &'static str,
        place: &ObjectPlace,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<(), RequestFailure> {
        match self.send(verb, place, request).await? {
            ObjectAnswer { code: 200..300, .. } => Ok(()),
            // Also a Secret that somebody else has made.
            ObjectAnswer { code: 409, .. } => Err(RequestFailure::Conflict),
            // It is gone. What cannot be created for that reason lacks its namespace.
            ObjectAnswer { code: 404, object, .. } if verb != "create" && object["reason"] == "NotFound" => {
                Err(RequestFailure::Conflict)
            }
            ObjectAnswer { code, object, .. } => Err(place.refused(verb, code, message(&object))),
        }
    }

    /// Sends a request and reads its answer. Not with kube's own ways to decode an answer: they log one that they cannot read,
    /// and that of a Secret holds keys.
    async fn send(
        &self,
        verb: &'static str,
        place: &ObjectPlace,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<ObjectAnswer, RequestFailure> {
        let request = request.map_err(|error| place.unanswered(verb, error))?;
        let answer = async {
            let answer =
                self.client.send(request.map(Body::from)).await.map_err(|error| place.unanswered(verb, error))?;
            let (head, body) = answer.into_parts();
            let body = http_body_util::Limited::new(body, LARGEST).collect().await;
            let body = body.map_err(|source| RequestFailure::Unanswered { verb, what: place.what.clone(), source })?;
            Ok((head, body.to_bytes()))
        };
        let answer = tokio::time::timeout(REQUEST, answer).await.map_err(|error| place.unanswered(verb, error))?;
        let (head, body) = answer?;
        let date = head.headers.get(http::header::DATE).and_then(|date| date.to_str().ok());
        let date = date.and_then(|date| httpdate::parse_http_date(date).ok());
        let object: Json = serde_json::from_slice(&body).unwrap_or_default();
        let code = head.status.as_u16();
        let metadata = &object["metadata"];
        if head.status.is_success() && !(metadata["name"] == *place.name && metadata["resourceVersion"].is_string()) {
            return Err(place.unanswered(verb, OtherAnswer));
        }
        Ok(ObjectAnswer { code, object, date })
    }
}

/// What the API server answers.
struct ObjectAnswer {
    code: u16,
    /// The object; where the code is not that of a success, the `Status`, or `Null` from others than the API server.
    object: Json,
    /// Its clock.
    date: Option<SystemTime>,
}

/// The API server's words.
fn message(status: &Json) -> &str {
    status["message"].as_str().unwrap_or("no message")
}

/// The data of a Secret.
pub(crate) type Data = BTreeMap<String, ByteString>;

fn version(secret: &Option<Secret>) -> Option<(&Option<String>, &Option<String>)> {
    secret.as_ref().map(|secret| (&secret.metadata.uid, &secret.metadata.resource_version))
}
