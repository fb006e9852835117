//! The Secret that holds the authorities: what is read from it, and what is written into it.
//!
//! | key | value |
//! |---|---|
//! | `rotation.json` | the state of the rotation, as `statusguard_rotation` writes it |
//! | `<id>.crt` | the certificate of an authority in PEM; `<id>` is its SHA-256 fingerprint |
//! | `<id>.key` | its key in PKCS #8 PEM, as long as it signs or will sign |
//!
//! Other keys are left alone.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use statusguard_rotation::{AuthorityId, RotationState, SecretContent, Unusable};
use zeroize::Zeroizing;

use crate::authority::{SigningAuthority, fingerprint};
use crate::error::CertificateError;
use crate::pem;

const STATE: &str = "rotation.json";
const CERTIFICATE: &str = ".crt";
const KEY: &str = ".key";

/// What the Secret holds.
pub(crate) struct AuthoritySecret {
    /// What the rotation knows of it.
    pub(crate) content: SecretContent,
    /// The authorities that can sign.
    pub(crate) authorities: BTreeMap<AuthorityId, SigningAuthority>,
    /// All certificates as PEM.
    pub(crate) certificates: BTreeMap<AuthorityId, String>,
}

impl AuthoritySecret {
    /// Reads it; `None`: there is no Secret.
    pub(crate) fn read(secret: Option<&Secret>) -> Self {
        let empty = BTreeMap::new();
        let data = secret.and_then(|secret| secret.data.as_ref()).unwrap_or(&empty);
        let certificates = certificates(data);
        let mut authorities = BTreeMap::new();
        let content = match data.get(STATE) {
            None if !data.keys().any(|key| id_of(key).is_some()) => SecretContent::Absent,
            None => SecretContent::Unusable(Unusable::HalfPair),
            Some(state) => match RotationState::from_json(&state.0) {
                Err(error) => SecretContent::Unusable(Unusable::from(&error)),
                Ok(state) => match pairs(&state, data, &certificates) {
                    Err(unusable) => SecretContent::Unusable(unusable),
                    Ok(pairs) => {
                        authorities = pairs;
                        SecretContent::Readable(state)
                    }
                },
            },
        };
        Self { content, authorities, certificates }
    }
}

/// The Secret's data for a state: `certificates` are those that are known, `keys` those that can sign.
pub(crate) fn written(
    before: Option<&Secret>,
    state: &RotationState,
    certificates: &BTreeMap<AuthorityId, String>,
    keys: &BTreeMap<AuthorityId, Zeroizing<String>>,
) -> BTreeMap<String, ByteString> {
    let mut data = before.and_then(|secret| secret.data.clone()).unwrap_or_default();
    data.retain(|key, _| id_of(key).is_none() && key != STATE);
    data.insert(STATE.into(), ByteString(state.to_json().into_bytes()));
    let needed = state.needs_key();
    for authority in state.authorities() {
        let id = authority.id;
        if let Some(certificate) = certificates.get(&id) {
            data.insert(format!("{id}{CERTIFICATE}"), ByteString(certificate.clone().into_bytes()));
        }
        if let Some(key) = keys.get(&id).filter(|_| needed.contains(&id)) {
            data.insert(format!("{id}{KEY}"), ByteString(key.as_bytes().to_vec()));
        }
    }
    data
}

/// The authority that a key of the data is about.
fn id_of(key: &str) -> Option<AuthorityId> {
    let id = key.strip_suffix(CERTIFICATE).or_else(|| key.strip_suffix(KEY))?;
    AuthorityId::try_from(id.to_owned()).ok()
}

/// Every certificate that is what its name says, also where the rest cannot be used.
fn certificates(data: &BTreeMap<String, ByteString>) -> BTreeMap<AuthorityId, String> {
    let named = data.iter().filter(|(key, _)| key.ends_with(CERTIFICATE));
    let read = named.filter_map(|(key, value)| {
        let id = id_of(key)?;
        let certificate = CertificateDer::from_pem_slice(&value.0).ok()?;
        (fingerprint(&certificate) == id).then(|| (id, pem::encode("CERTIFICATE", &certificate)))
    });
    read.collect()
}

/// The authorities of a state that can sign.
fn pairs(
    state: &RotationState,
    data: &BTreeMap<String, ByteString>,
    certificates: &BTreeMap<AuthorityId, String>,
) -> Result<BTreeMap<AuthorityId, SigningAuthority>, Unusable> {
    let needed = state.needs_key();
    let mut pairs = BTreeMap::new();
    for authority in state.authorities() {
        let id = authority.id;
        let certificate = match (certificates.get(&id), data.contains_key(&format!("{id}{CERTIFICATE}"))) {
            (Some(certificate), _) => certificate,
            (None, true) => return Err(Unusable::Garbage),
            (None, false) => return Err(Unusable::HalfPair),
        };
        if !needed.contains(&id) {
            continue;
        }
        let key = data.get(&format!("{id}{KEY}")).ok_or(Unusable::HalfPair)?;
        let key = std::str::from_utf8(&key.0).map_err(|_| Unusable::Garbage)?;
        let read = SigningAuthority::read(certificate, key).map_err(|error| match error {
            CertificateError::Unpaired => Unusable::KeyMismatch,
            _ => Unusable::Garbage,
        })?;
        if read.validity() != authority.validity {
            return Err(Unusable::Garbage);
        }
        pairs.insert(id, read);
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use statusguard_rotation::{Bundle, Observation, Rotation, Step, UnixTime};

    use super::*;

    /// A Secret as it is after the first step.
    fn first() -> (Secret, SigningAuthority) {
        let now = UnixTime::from(std::time::SystemTime::now());
        let observation = Observation {
            asked_at: now,
            bundles: vec![Bundle::Holds(BTreeMap::new())],
            secret: SecretContent::Absent,
            leaf: None,
        };
        let Step::Add(addition) = Rotation::default().next_step(now, &observation) else { unreachable!() };
        let authority = SigningAuthority::create(addition.validity).unwrap();
        let id = authority.id();
        let state = addition.with(id);
        let certificates = BTreeMap::from([(id, authority.certificate_pem().to_owned())]);
        let keys = BTreeMap::from([(id, authority.key_pem())]);
        let foreign = BTreeMap::from([("note".to_owned(), ByteString(b"kept".to_vec()))]);
        let before = Secret { data: Some(foreign), ..Secret::default() };
        (Secret { data: Some(written(Some(&before), &state, &certificates, &keys)), ..before }, authority)
    }

    #[test]
    fn what_was_written_is_read() {
        let (secret, authority) = first();
        let read = AuthoritySecret::read(Some(&secret));
        assert!(matches!(read.content, SecretContent::Readable(_)));
        assert_eq!(read.authorities.keys().collect::<Vec<_>>(), [&authority.id()]);
        assert_eq!(secret.data.unwrap()["note"].0, b"kept");
        assert_eq!(AuthoritySecret::read(None).content, SecretContent::Absent);
        assert_eq!(AuthoritySecret::read(Some(&Secret::default())).content, SecretContent::Absent);
    }

    #[test]
    fn what_cannot_be_used_is_told_apart() {
        let (secret, authority) = first();
        let (id, other) = (authority.id(), SigningAuthority::create(authority.validity()).unwrap());
        let with = |change: &dyn Fn(&mut BTreeMap<String, ByteString>)| {
            let mut secret = secret.clone();
            change(secret.data.as_mut().unwrap());
            AuthoritySecret::read(Some(&secret))
        };
        let text = |text: &str| ByteString(text.as_bytes().to_vec());
        let (certificate, key) = (format!("{id}.crt"), format!("{id}.key"));
        for (changed, unusable) in [
            (with(&|data| _ = data.remove(&key)), Unusable::HalfPair),
            (with(&|data| _ = data.remove(&certificate)), Unusable::HalfPair),
            (with(&|data| _ = data.remove(STATE)), Unusable::HalfPair),
            (with(&|data| _ = data.insert(key.clone(), text(&other.key_pem()))), Unusable::KeyMismatch),
            (with(&|data| _ = data.insert(key.clone(), text("hello"))), Unusable::Garbage),
            (with(&|data| _ = data.insert(key.clone(), ByteString(vec![0xff]))), Unusable::Garbage),
            (with(&|data| _ = data.insert(certificate.clone(), text(other.certificate_pem()))), Unusable::Garbage),
            (with(&|data| _ = data.insert(STATE.into(), text("{"))), Unusable::Garbage),
        ] {
            assert_eq!(changed.content, SecretContent::Unusable(unusable));
            assert!(changed.authorities.is_empty());
        }
        // The certificate of a Secret that cannot be used is still known.
        assert!(with(&|data| _ = data.remove(&key)).certificates.contains_key(&id));
    }
}
