//! The objects that a rotation reads and writes: the Secret, and the managed `caBundle`s.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use http_body_util::BodyExt as _;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, GetParams, PostParams};
use kube::client::Body;
use kube::core::ObjectMeta;
use kube::core::request::Request as ObjectRequest;
use serde::Deserialize as _;
use serde_json::Value as Json;
use statusguard_rotation::{Bundle, UnixTime};

use crate::bundle::CaBundle;

/// Time for one request, so that a connection that hangs holds up nothing for long.
const REQUEST: Duration = Duration::from_secs(10);
/// Largest answer that is read: what the API server stores of one object, and some.
const LARGEST: usize = 8 << 20;
const CONFIGURATIONS: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";

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
    #[error("cannot {verb} {what}: {message}{}", cure(*code, verb, what))]
    Refused {
        /// What was to be done.
        verb: &'static str,
        /// To what.
        what: String,
        /// The HTTP status.
        code: u16,
        /// The API server's words.
        message: String,
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

/// What to do about a refusal.
fn cure(code: u16, verb: &str, what: &str) -> String {
    match code {
        401 => "; the credentials are not valid any more".into(),
        403 => format!("; allow `{verb}` on {what} to the guard's service account"),
        _ => String::new(),
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
    secrets: Api<Secret>,
}

impl Objects {
    pub(crate) fn new(client: Client, places: Places) -> Self {
        let secrets = Api::namespaced(client.clone(), &places.namespace);
        Self { client, places, secrets }
    }

    fn secret_name(&self) -> String {
        format!("secret {}/{}", self.places.namespace, self.places.secret)
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
        let (verb, what) = ("get", self.secret_name());
        let path = format!("/api/v1/namespaces/{}/secrets", self.places.namespace);
        let request = ObjectRequest::new(path).get(&self.places.secret, &GetParams::default());
        let (found, date) = self.get(verb, &what, request).await?;
        let secret = found.map(serde_json::from_value).transpose();
        let secret = secret.map_err(|error| unanswered(verb, &what, error))?;
        Ok((secret, date))
    }

    /// The managed configuration; `None` while it does not exist.
    async fn managed(&self) -> Result<Option<Managed>, RequestFailure> {
        let what = format!("validatingwebhookconfiguration {}", self.places.configuration);
        let request = ObjectRequest::new(CONFIGURATIONS).get(&self.places.configuration, &GetParams::default());
        let (found, _) = self.get("get", &what, request).await?;
        Ok(found.map(|object| Managed::read(object, &self.places.entry_suffix)))
    }

    async fn get(
        &self,
        verb: &'static str,
        what: &str,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<(Option<Json>, Option<SystemTime>), RequestFailure> {
        let request = request.map_err(|error| unanswered(verb, what, error))?;
        let answer = async {
            let answer =
                self.client.send(request.map(Body::from)).await.map_err(|error| unanswered(verb, what, error))?;
            let (head, body) = answer.into_parts();
            let body = http_body_util::Limited::new(body, LARGEST).collect().await;
            let body = body.map_err(|error| RequestFailure::Unanswered { verb, what: what.into(), source: error })?;
            Ok((head, body.to_bytes()))
        };
        let answer = tokio::time::timeout(REQUEST, answer).await.map_err(|error| unanswered(verb, what, error))?;
        let (head, body) = answer?;
        let date = head.headers.get(http::header::DATE).and_then(|date| date.to_str().ok());
        let date = date.and_then(|date| httpdate::parse_http_date(date).ok());
        let json: Json = serde_json::from_slice(&body).unwrap_or_default();
        match head.status.as_u16() {
            200..300 => Ok((Some(json), date)),
            404 if json["reason"] == "NotFound" => Ok((None, date)),
            code => {
                let message = json["message"].as_str().unwrap_or("no message").to_owned();
                Err(RequestFailure::Refused { verb, what: what.into(), code, message })
            }
        }
    }

    /// Writes the Secret's data, on exactly what was read; without a Secret it is made.
    pub(crate) async fn write_secret(&self, before: Option<Secret>, data: Data) -> Result<(), RequestFailure> {
        let params = PostParams { field_manager: Some(self.places.field_manager.clone()), ..PostParams::default() };
        let (verb, written) = match before {
            None => {
                let metadata = ObjectMeta { name: Some(self.places.secret.clone()), ..ObjectMeta::default() };
                let secret = Secret { metadata, data: Some(data), ..Secret::default() };
                ("create", self.within(self.secrets.create(&params, &secret)).await)
            }
            // Its version goes along with it.
            Some(before) => {
                let secret = Secret { data: Some(data), ..before };
                ("update", self.within(self.secrets.replace(&self.places.secret, &params, &secret)).await)
            }
        };
        written.map(|_| ()).map_err(|error| failure(verb, self.secret_name(), error))
    }

    /// Writes a bundle into some of the entries, on exactly what was read.
    pub(crate) async fn publish(&self, managed: &Managed, to: &[usize], text: String) -> Result<(), RequestFailure> {
        let (verb, what) = ("update", format!("validatingwebhookconfiguration {}", self.places.configuration));
        let bundle =
            serde_json::to_value(ByteString(text.into_bytes())).map_err(|error| unanswered(verb, &what, error))?;
        let mut object = managed.object.clone();
        for index in to {
            if let Some((place, _)) = managed.entries.get(*index) {
                object["webhooks"][*place]["clientConfig"]["caBundle"] = bundle.clone();
            }
        }
        let params = PostParams { field_manager: Some(self.places.field_manager.clone()), ..PostParams::default() };
        let body = serde_json::to_vec(&object).map_err(|error| unanswered(verb, &what, error))?;
        let request = ObjectRequest::new(CONFIGURATIONS).replace(&self.places.configuration, &params, body);
        let request = request.map_err(|error| unanswered(verb, &what, error))?;
        let written = self.within(self.client.request::<Json>(request)).await;
        written.map(|_| ()).map_err(|error| failure(verb, what, error))
    }

    async fn within<T>(&self, request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, kube::Error> {
        match tokio::time::timeout(REQUEST, request).await {
            Ok(answer) => answer,
            Err(elapsed) => Err(kube::Error::Service(Box::new(elapsed))),
        }
    }
}

/// The data of a Secret.
pub(crate) type Data = BTreeMap<String, ByteString>;

fn version(secret: &Option<Secret>) -> Option<(&Option<String>, &Option<String>)> {
    secret.as_ref().map(|secret| (&secret.metadata.uid, &secret.metadata.resource_version))
}

fn unanswered(
    verb: &'static str,
    what: &str,
    source: impl std::error::Error + Send + Sync + 'static,
) -> RequestFailure {
    RequestFailure::Unanswered { verb, what: what.into(), source: Box::new(source) }
}

fn failure(verb: &'static str, what: String, error: kube::Error) -> RequestFailure {
    match error {
        // Also a Secret that somebody else made, or that is gone.
        kube::Error::Api(status) if [404, 409].contains(&status.code) => RequestFailure::Conflict,
        kube::Error::Api(status) => {
            RequestFailure::Refused { verb, what, code: status.code, message: status.message.clone() }
        }
        error => RequestFailure::Unanswered { verb, what, source: Box::new(error) },
    }
}
