//! What people put into the Secret.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, PostParams};
use rcgen::{KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};
use serde_json::{Value, json};
use statusguard_tests::{Fault, User, eventually, unique};

use crate::log::CapturedLog;
use crate::site::{CertificateReplica, LONG, SECRET, Site};

impl Site {
    /// Changes the Secret's data; until another authority signs. What is served is so all the time.
    async fn heals_from(&self, replica: &CertificateReplica, data: Value) {
        let before = replica.signer().unwrap();
        self.merge_secret(json!({ "data": data })).await;
        let mut looks = 0;
        eventually(&format!("another authority is made in place of {data}"), async || {
            looks += 1;
            assert!(replica.status.borrow().serves, "after {looks} looks at {data}");
            Ok(replica.signer() != Some(before))
        })
        .await
        .unwrap();
        self.has_another_authority(replica, before).await;
    }

    async fn is_readable(&self) {
        eventually("the Secret has a state again", async || {
            let secret = self.secrets().get_opt(SECRET).await?;
            let data = secret.and_then(|secret| secret.data).unwrap_or_default();
            Ok(data.get("rotation.json").is_some_and(|state| state.0.starts_with(b"{")))
        })
        .await
        .unwrap();
    }
}

/// What is around a text that should not be there.
fn around(text: &str, found: &str) -> String {
    text.lines().find(|line| line.contains(found)).unwrap_or_default().chars().take(600).collect()
}

fn base64(bytes: impl Into<Vec<u8>>) -> Value {
    serde_json::to_value(ByteString(bytes.into())).unwrap()
}

#[tokio::test]
async fn a_state_that_cannot_be_used_heals() {
    let (site, log) = (Site::new().await, CapturedLog::start());
    let replica = [site.replica(LONG)];
    site.is_stable(&replica).await;
    let other = |change: &dyn Fn(&mut Value), state: &[u8]| {
        let mut state: Value = serde_json::from_slice(state).unwrap();
        change(&mut state);
        base64(state.to_string())
    };
    let state = async || site.secret().await.data.unwrap()["rotation.json"].0.clone();
    site.heals_from(&replica[0], json!({ "rotation.json": base64("hello") })).await;
    site.heals_from(&replica[0], json!({ "rotation.json": base64([0xff, 0xfe]) })).await;
    site.heals_from(&replica[0], json!({ "rotation.json": base64("") })).await;
    let none = other(&|state| state["authorities"] = json!([]), &state().await);
    site.heals_from(&replica[0], json!({ "rotation.json": none })).await;
    let longer = |state: &mut Value| {
        for authority in state["authorities"].as_array_mut().unwrap() {
            authority["notAfter"] = json!(authority["notAfter"].as_i64().unwrap() + 1);
        }
    };
    let longer = other(&longer, &state().await);
    site.heals_from(&replica[0], json!({ "rotation.json": longer })).await;
    let said = log.problems();
    assert_eq!(said.len(), 5, "{said:#?}");
    assert!(said.iter().all(|line| line.contains("secret_garbage")), "{said:#?}");
}

#[tokio::test]
async fn a_key_that_cannot_be_used_heals() {
    let (site, log) = (Site::new().await, CapturedLog::start());
    let replica = [site.replica(LONG)];
    site.is_stable(&replica).await;
    let others = [
        "hello".to_owned(),
        String::new(),
        KeyPair::generate().unwrap().serialize_pem(),
        KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap().serialize_pem(),
        KeyPair::generate_for(&PKCS_ED25519).unwrap().serialize_pem(),
    ];
    for key in others {
        let (name, _) = site.key().await;
        site.heals_from(&replica[0], json!({ name: base64(key) })).await;
    }
    let said = log.problems();
    assert_eq!(said.iter().filter(|line| line.contains("secret_garbage")).count(), 4, "{said:#?}");
    assert_eq!(said.iter().filter(|line| line.contains("secret_key_mismatch")).count(), 1, "{said:#?}");
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_heals() {
    let site = Site::new().await;
    let replica = [site.replica(LONG)];
    site.is_stable(&replica).await;
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem();
    for certificate in ["hello".to_owned(), other] {
        let name = site.key().await.0.replace(".key", ".crt");
        site.heals_from(&replica[0], json!({ name: base64(certificate) })).await;
    }
    let name = site.key().await.0.replace(".key", ".crt");
    site.heals_from(&replica[0], json!({ name: null })).await;
}

#[tokio::test]
async fn an_immutable_secret_is_to_be_deleted() {
    let (site, log) = (Site::new().await, CapturedLog::start());
    let replica = [site.proxied(LONG)];
    site.is_stable(&replica).await;
    let (leaf, before) = (replica[0].leaf(), replica[0].signer().unwrap());
    site.merge_secret(json!({ "immutable": true, "stringData": { "rotation.json": "hello" } })).await;
    replica[0].fails("refused", 3).await;
    let said = log.problems();
    let told: Vec<_> = said.iter().filter(|line| line.contains("ERROR")).collect();
    assert_eq!(told.len(), 1, "{said:#?}");
    assert!(told[0].contains("it is immutable: delete it, and the guard makes another one"), "{said:#?}");
    assert_eq!((replica[0].leaf(), replica[0].status.borrow().serves), (leaf, true));
    site.delete_secret().await;
    site.has_another_authority(&replica[0], before).await;
}

#[tokio::test]
async fn a_secret_that_is_full_is_to_be_emptied() {
    let (site, log) = (Site::new().await, CapturedLog::start());
    let replica = [site.proxied(LONG)];
    site.is_stable(&replica).await;
    let (leaf, before) = (replica[0].leaf(), replica[0].signer().unwrap());
    // The API server stores a mebibyte.
    let held: usize = site.secret().await.data.unwrap().values().map(|value| value.0.len()).sum();
    let blob = base64(vec![b'x'; (1 << 20) - held]);
    site.merge_secret(json!({ "data": { "blob": blob, "rotation.json": base64("hello") } })).await;
    replica[0].fails("refused", 3).await;
    let said = log.problems();
    let told: Vec<_> = said.iter().filter(|line| line.contains("ERROR")).collect();
    assert_eq!(told.len(), 1, "{said:#?}");
    assert!(told[0].contains("remove what the guard has not put into it"), "{said:#?}");
    assert_eq!((replica[0].leaf(), replica[0].status.borrow().serves), (leaf, true));
    site.merge_secret(json!({ "data": { "blob": null } })).await;
    site.has_another_authority(&replica[0], before).await;
}

#[tokio::test]
async fn a_secret_of_another_type_is_used_as_it_is() {
    let site = Site::new().await;
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let data = [("tls.crt", pair.cert.pem()), ("tls.key", pair.signing_key.serialize_pem())];
    let secret = Secret {
        metadata: ObjectMeta { name: Some(SECRET.into()), ..ObjectMeta::default() },
        type_: Some("kubernetes.io/tls".into()),
        string_data: Some(data.iter().map(|(name, text)| ((*name).to_owned(), text.clone())).collect()),
        ..Secret::default()
    };
    site.secrets().create(&PostParams::default(), &secret).await.unwrap();
    let replica = [site.replica(LONG)];
    site.is_stable(&replica).await;
    let stored = site.secret().await.data.unwrap();
    assert!(data.iter().all(|(name, text)| stored[*name].0 == text.as_bytes()), "{:?}", stored.keys());
}

#[tokio::test]
async fn what_a_later_release_has_written_is_left_alone() {
    let (site, log) = (Site::new().await, CapturedLog::start());
    let replica = [site.proxied(LONG)];
    site.is_stable(&replica).await;
    let (leaf, before) = (replica[0].leaf(), replica[0].signer().unwrap());
    site.merge_secret(json!({ "stringData": { "rotation.json": r#"{"version":2}"# } })).await;
    let secret = site.secret().await;
    replica[0].fails("version", 3).await;
    log.says_once(&[
        &format!("a later release of the guard has written secret {}/{SECRET}", site.namespace),
        "to stay with this one, delete the Secret",
    ]);
    assert_eq!((site.secret().await, replica[0].leaf()), (secret, leaf));
    site.delete_secret().await;
    site.has_another_authority(&replica[0], before).await;
}

#[tokio::test]
async fn a_namespace_that_is_not_there_is_named_and_waited_for() {
    let log = CapturedLog::start();
    let namespace = unique("absent");
    let site = Site::without_objects(namespace.clone()).await;
    site.configurations().create(&PostParams::default(), &site.object()).await.unwrap();
    let replica = [site.proxied(LONG)];
    replica[0].fails("refused", 3).await;
    log.says_once(&[&format!("cannot create secret {namespace}/{SECRET}"), "create the namespace"]);
    assert_eq!(site.proxy.counts().verb("POST"), replica[0].failures("refused"));
    let metadata = ObjectMeta { name: Some(namespace), ..ObjectMeta::default() };
    let object = k8s_openapi::api::core::v1::Namespace { metadata, ..Default::default() };
    let namespaces = kube::Api::all(site.plane.client(User::Admin));
    namespaces.create(&PostParams::default(), &object).await.unwrap();
    site.is_stable(&replica).await;
}

/// Whatever happens, at the most detailed level, on both sides of the API server.
#[tokio::test]
async fn keys_are_never_logged_or_shown() {
    const MARKER: &str = "MHcCAQEEIMarkerOfAKey";
    let log = CapturedLog::with("trace");
    let site = Site::new().await;
    let replica = [site.proxied(LONG)];
    site.is_stable(&replica).await;
    let mut keys = vec![site.key().await];
    let before = replica[0].signer().unwrap();
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{MARKER}\n-----END PRIVATE KEY-----\n");
    let patch =
        json!({ "data": { &*keys[0].0: base64(pem), "rotation.json": base64(MARKER), MARKER: base64(MARKER) } });
    site.merge_secret(patch).await;
    site.has_another_authority(&replica[0], before).await;
    keys.push(site.key().await);
    // Answers that are almost what was asked for.
    const PAGES: [&str; 4] = [
        r#"{"kind":"Secret","metadata":{"name":"statusguard-authority","resourceVersion":"1"},"data":"MHcCAQEEIMarkerOfAKey"}"#,
        r#"{"kind":"Secret","metadata":{"name":"statusguard-authority","resourceVersion":"1"},"data":{"a":"MHcCAQEEIMarkerOfAKey"}}"#,
        r#"{"kind":"Secret","metadata":{"name":"statusguard-authority"},"data":{"a":["MHcCAQEEIMarkerOfAKey"]}"#,
        r#"{"kind":["MHcCAQEEIMarkerOfAKey"],"metadata":{"name":"statusguard-authority"}}"#,
    ];
    for method in ["GET", "PUT", "POST"] {
        for page in PAGES {
            let before = site.proxy.counts().verb(method);
            site.proxy.set_faults(move |parts| {
                let path = parts.uri.path();
                let hit = path.ends_with(SECRET) || (method == "POST" && path.ends_with("/secrets"));
                if hit && parts.method == method { Fault::Page(page) } else { Fault::Pass }
            });
            // Something is to be written.
            match method {
                "POST" => site.delete_secret().await,
                _ => site.merge_secret(json!({ "data": { "rotation.json": base64("hello") } })).await,
            }
            let answered = async || Ok(site.proxy.counts().verb(method) > before + 2);
            eventually("the answer is read", answered).await.unwrap();
            site.proxy.set_faults(|_| Fault::Pass);
            site.is_readable().await;
            keys.push(site.key().await);
        }
    }
    let shown = [log.text(), replica[0].metrics(), format!("{:?}", replica[0].serving)];
    assert!(shown[0].contains("TRACE"), "all is captured");
    for text in shown {
        assert!(!text.contains(MARKER), "{}", around(&text, MARKER));
        for (_, key) in &keys {
            // In PEM, and in the JSON of a Secret.
            let line = key.lines().nth(1).unwrap();
            let encoded = base64(key.as_bytes());
            for secret in [line, &encoded.as_str().unwrap()[40..80]] {
                assert!(!text.contains(secret), "{}", around(&text, secret));
            }
        }
    }
}
