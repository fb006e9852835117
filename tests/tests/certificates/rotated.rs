//! Several replicas make, publish and rotate an authority together.

use std::time::{Duration, Instant};

use k8s_openapi::ByteString;
use kube::api::{DeleteParams, PostParams};
use serde_json::json;
use statusguard_tests::eventually;

use crate::site::{CertificateReplica, FOREIGN, LONG, SCALED, SECRET, Site, seconds};

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_start_together_agree_on_one_authority() {
    let site = Site::new().await;
    let replicas = [(); 3].map(|()| site.replica(LONG));
    site.is_stable(&replicas).await;
    let bundles = site.our_bundles().await;
    assert_eq!(bundles[0], bundles[1]);
    let secret = site.secret().await;
    let keys: Vec<String> = secret.data.unwrap().into_keys().collect();
    assert_eq!(keys.iter().filter(|key| key.ends_with(".key")).count(), 1, "{keys:?}");
    // What belongs to somebody else is as it was.
    let foreign = site.bundles().await.into_iter().find(|(name, _)| name == FOREIGN);
    assert_eq!(foreign, Some((FOREIGN.into(), String::new())));
    // One more replica takes what there is.
    let later = [site.replica(LONG)];
    site.is_stable(&later).await;
    assert_eq!(site.our_bundles().await, bundles);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_destroys_heals() {
    let site = Site::new().await;
    let replicas = [(); 2].map(|()| site.replica(SCALED));
    site.is_stable(&replicas).await;
    let patch = async |data: serde_json::Value| site.merge_secret(json!({ "data": data })).await;
    // The Secret is deleted: leaves are served on, and another authority follows.
    let before = site.our_bundles().await;
    site.delete_secret().await;
    eventually("another authority is published beside the lost one", async || {
        Ok(site.our_bundles().await.iter().all(|bundle| *bundle != before[0]))
    })
    .await
    .unwrap();
    assert!(replicas.iter().all(|replica| replica.leaf().is_some()));
    site.is_stable(&replicas).await;
    // Its state is garbage, then a key is missing.
    patch(json!({ "rotation.json": "aGVsbG8=" })).await;
    eventually("the state is readable again", async || {
        let secret = site.secrets().get(SECRET).await?;
        Ok(secret.data.unwrap_or_default().get("rotation.json").is_some_and(|state| state.0 != b"hello"))
    })
    .await
    .unwrap();
    site.is_stable(&replicas).await;
    let secret = site.secret().await;
    let key = secret.data.unwrap().into_keys().find(|key| key.ends_with(".key")).unwrap();
    patch(json!({ key: null })).await;
    eventually("another authority is made", async || {
        let secret = site.secrets().get(SECRET).await?;
        Ok(secret.data.unwrap_or_default().keys().any(|other| other.ends_with(".key")))
    })
    .await
    .unwrap();
    site.is_stable(&replicas).await;
    // Somebody overwrites the bundles: one with garbage, which no call survives, one with another authority.
    let mut object = site.configurations().get(&site.configuration).await.unwrap();
    let entries = object.webhooks.as_mut().unwrap();
    entries[0].client_config.ca_bundle = Some(ByteString(b"hello".to_vec()));
    let other = statusguard_tests::Authority::new("somebody else").unwrap();
    entries[1].client_config.ca_bundle = Some(ByteString(other.pem().into_bytes()));
    site.configurations().replace(&site.configuration, &PostParams::default(), &object).await.unwrap();
    site.is_stable(&replicas).await;
    // The configuration is deleted, which switches the guard off, and comes back.
    site.configurations().delete(&site.configuration, &DeleteParams::default()).await.unwrap();
    tokio::time::sleep(seconds(2)).await;
    assert!(site.configurations().get_opt(&site.configuration).await.unwrap().is_none(), "it came back by itself");
    site.configurations().create(&PostParams::default(), &site.object()).await.unwrap();
    site.is_stable(&replicas).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_is_renewed_without_an_uncovered_leaf() {
    let site = Site::new().await;
    let replicas = [(); 3].map(|()| site.replica(SCALED));
    site.is_stable(&replicas).await;
    let first = site.our_bundles().await[0].clone();
    let (begun, mut most, mut looks, mut leaves) = (Instant::now(), 0, 0_u32, std::collections::HashSet::new());
    // Until the first authority is gone and the second one alone is published.
    loop {
        // Read before and after: a leaf that is new, or a bundle that is, may be seen on one side only.
        let before: Vec<_> = replicas.iter().map(CertificateReplica::leaf).collect();
        let bundles = site.our_bundles().await;
        for (replica, before) in replicas.iter().zip(before) {
            if before.is_some() && before == replica.leaf() {
                assert!(bundles.iter().all(|bundle| replica.is_covered(bundle)), "a served leaf is not covered");
                leaves.extend(before);
            }
        }
        let count = bundles.iter().map(|bundle| bundle.matches("BEGIN CERTIFICATE").count()).max().unwrap();
        most = most.max(count);
        looks += 1;
        if count == 1 && bundles.iter().all(|bundle| *bundle != first) {
            break;
        }
        assert!(begun.elapsed() < seconds(150), "the authority was not renewed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("renewed in {:?}: {looks} looks, {} leaves, {most} authorities at most", begun.elapsed(), leaves.len());
    assert!((2..=3).contains(&most));
    assert!(leaves.len() >= 12, "leaves of 6 s were to be renewed: {}", leaves.len());
    site.is_stable(&replicas).await;
}
