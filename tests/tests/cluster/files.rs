//! Certificates that are brought: two guards whose mounts change at different times, and what makes one unready.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use k8s_openapi::ByteString;
use kube::api::{DynamicObject, PostParams};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use statusguard_tests::tls::{Authority, TestLeaf};
use statusguard_tests::{User, WebhookService, eventually, parcels, plain_answer, unique};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::{Serving, Stage};

const SERVICE: &str = "statusguard";
/// Where authorities that will go are recorded.
const ENDS: &str = "statusguard.dev/authorities";
/// The guards' `--spread`.
const SPREAD: Duration = Duration::from_secs(1);
/// How often a writer writes, and how many there are.
const PERIOD: Duration = Duration::from_millis(50);
const WRITERS: usize = 6;

/// A guard and the Secret that is mounted in its pod.
struct FileReplica {
    serving: Serving,
    secret: MountedSecret,
}

/// Where a replica is asked.
#[derive(Clone, Copy)]
struct ReplicaAddress {
    admission: SocketAddr,
    plain: SocketAddr,
}

/// A folder that is changed as a kubelet changes it.
struct MountedSecret {
    folder: PathBuf,
    version: u32,
}

impl MountedSecret {
    fn new(folder: PathBuf, authority: &Authority, leaf: &TestLeaf) -> Self {
        std::fs::create_dir_all(&folder).unwrap();
        let mut secret = Self { folder, version: 0 };
        secret.update(&authority.pem(), leaf);
        for name in ["ca.crt", "tls.crt", "tls.key"] {
            symlink(format!("..data/{name}"), secret.folder.join(name)).unwrap();
        }
        secret
    }

    fn update(&mut self, authority: &str, leaf: &TestLeaf) {
        let before = std::fs::read_link(self.folder.join("..data")).ok();
        self.version += 1;
        let name = format!("..2026_12_01_{}", self.version);
        let folder = self.folder.join(&name);
        leaf.write(&folder).unwrap();
        std::fs::write(folder.join("ca.crt"), authority).unwrap();
        symlink(&name, self.folder.join("..data_tmp")).unwrap();
        std::fs::rename(self.folder.join("..data_tmp"), self.folder.join("..data")).unwrap();
        if let Some(before) = before {
            std::fs::remove_dir_all(self.folder.join(before)).unwrap();
        }
    }

    /// As a guard is told.
    fn flags(&self) -> Vec<String> {
        let flag = |(flag, name): (&str, &str)| format!("--{flag}={}", self.folder.join(name).display());
        let files = [("tls-cert", "tls.crt"), ("tls-key", "tls.key"), ("tls-ca", "ca.crt")].map(flag);
        // Two times this and ten times --spread are 22 s.
        files.into_iter().chain(["--clock-skew=1s".to_owned(), "--reload-interval=1h".to_owned()]).collect()
    }
}

impl Stage {
    fn leaf(&self, authority: &Authority) -> TestLeaf {
        authority.leaf([self.dns_name()]).unwrap()
    }

    fn dns_name(&self) -> String {
        format!("{SERVICE}.{}.svc", self.home)
    }

    fn secret(&self, authority: &Authority) -> MountedSecret {
        let folder = self.plane.folder().join(unique("mount"));
        MountedSecret::new(folder, authority, &self.leaf(authority))
    }

    /// A guard with a certificate of this authority, which the API server reaches at `port`.
    async fn replica(&self, authority: &Authority, port: u16) -> FileReplica {
        let secret = self.secret(authority);
        let listen = format!("{}:0", self.plane.webhook_listen_address());
        let serving = self
            .try_guard((SERVICE, port), listen, &self.plane.kubeconfig(User::Admin), &secret.flags())
            .await
            .unwrap();
        FileReplica { serving, secret }
    }

    /// The certificates of every entry; all hold the same.
    async fn authorities(&self) -> BTreeSet<Vec<u8>> {
        let object = self.configurations().get(&self.configuration).await.unwrap();
        let bundle = |text: ByteString| -> BTreeSet<Vec<u8>> {
            CertificateDer::pem_slice_iter(&text.0).map(|certificate| certificate.unwrap().to_vec()).collect()
        };
        let bundles = object.webhooks.unwrap_or_default().into_iter().map(|entry| entry.client_config.ca_bundle);
        let bundles: BTreeSet<_> = bundles.map(|text| bundle(text.unwrap_or_default())).collect();
        assert!(bundles.len() <= 1, "entries differ");
        bundles.into_iter().next().unwrap_or_default()
    }

    async fn ends(&self) -> Option<String> {
        let object = self.configurations().get(&self.configuration).await.unwrap();
        object.metadata.annotations.unwrap_or_default().remove(ENDS)
    }

    async fn version(&self) -> Option<String> {
        self.configurations().get(&self.configuration).await.unwrap().metadata.resource_version
    }

    async fn overwrite_bundle(&self, authority: &Authority) {
        loop {
            let mut object = self.configurations().get(&self.configuration).await.unwrap();
            let entries = object.webhooks.iter_mut().flatten();
            entries.for_each(|entry| entry.client_config.ca_bundle = Some(ByteString(authority.pem().into_bytes())));
            let parameters = PostParams { field_manager: Some("meddler".to_owned()), ..PostParams::default() };
            match self.configurations().replace(&self.configuration, &parameters, &object).await {
                Ok(_) => return,
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

impl ReplicaAddress {
    /// The leaf that a client is shown that trusts these authorities, and asks for the Service.
    async fn shows(&self, name: &str, authorities: &BTreeSet<Vec<u8>>) -> Result<CertificateDer<'static>, String> {
        let mut roots = RootCertStore::empty();
        authorities.iter().for_each(|authority| roots.add(authority.clone().into()).unwrap());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(roots).with_no_client_auth();
        let stream = TcpStream::connect(self.admission).await.map_err(|error| error.to_string())?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let stream =
            TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|error| error.to_string())?;
        let leaf = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()).unwrap();
        Ok(leaf.clone().into_owned())
    }
}

impl FileReplica {
    fn serving_at(&self) -> ReplicaAddress {
        ReplicaAddress { admission: self.serving.admission, plain: self.serving.plain }
    }

    /// The leaf that it serves, which is covered.
    async fn shown(&self, stage: &Stage) -> CertificateDer<'static> {
        self.serving_at().shows(&stage.dns_name(), &stage.authorities().await).await.unwrap()
    }

    async fn serves(&self, stage: &Stage, leaf: &TestLeaf) -> bool {
        self.shown(stage).await == CertificateDer::from_pem_slice(leaf.certificate_pem().as_bytes()).unwrap()
    }

    /// The metric of ends, by kind.
    async fn shown_ends(&self, kind: &str) -> usize {
        let series = format!("statusguard_certificate_not_after_seconds{{kind=\"{kind}\"");
        self.serving.get("/metrics").await.lines().filter(|line| line.starts_with(&series)).count()
    }
}

/// Two guards behind one port, each new connection to the other one.
async fn in_turn(listener: TcpListener, guards: [SocketAddr; 2]) {
    let mut connections = JoinSet::new();
    for turn in 0.. {
        let (mut client, _) = listener.accept().await.unwrap();
        connections.spawn(async move {
            let mut guard = TcpStream::connect(guards[turn % 2]).await.unwrap();
            _ = (client.set_nodelay(true), guard.set_nodelay(true));
            _ = tokio::io::copy_bidirectional(&mut client, &mut guard).await;
        });
    }
}

/// Cert-manager renews the authority, and the kubelets of two nodes bring it to two replicas seconds apart.
#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_reaches_replicas_at_different_times_fails_no_call() {
    let stage = Stage::new().await;
    let listener = TcpListener::bind((stage.plane.webhook_listen_address(), 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let reached = WebhookService { namespace: stage.home.clone(), name: SERVICE.to_owned(), port };
    stage.plane.apply_webhook_service(&reached).await.unwrap();
    stage.policy("Fail").await;
    let authorities = ["first", "second", "third"].map(|name| Authority::new(name).unwrap());
    let mut replicas = [stage.replica(&authorities[0], port).await, stage.replica(&authorities[0], port).await];
    let turns = tokio::spawn(in_turn(listener, [replicas[0].serving.admission, replicas[1].serving.admission]));
    for replica in &replicas {
        eventually("the guard is ready", async || Ok(replica.serving.ready().await)).await.unwrap();
    }
    eventually("the entry is Fail", async || Ok(stage.entry().await["failurePolicy"] == "Fail")).await.unwrap();

    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = JoinSet::new();
    for _ in 0..WRITERS {
        let (parcels, name, stop) = (stage.parcels(), unique("parcel"), Arc::clone(&stop));
        parcels.create(&PostParams::default(), &DynamicObject::new(&name, &parcels::resource())).await.unwrap();
        writers.spawn(async move {
            let mut ticks = tokio::time::interval(PERIOD);
            for scans in 1_u64.. {
                if stop.load(Ordering::Relaxed) {
                    return scans - 1;
                }
                ticks.tick().await;
                let patch = kube::api::Patch::Merge(serde_json::json!({ "status": { "scans": scans } }));
                let written = parcels.patch_status(&name, &Default::default(), &patch).await;
                written.unwrap_or_else(|error| panic!("write {scans} of {name}: {error}"));
            }
            0
        });
    }

    let looked = AtomicU64::new(0);
    let looking = looks(&stage, [0, 1].map(|replica| replicas[replica].serving_at()), &looked);
    let rotations = async {
        // The order of the replicas changes from one rotation to the next.
        for (next, [early, late]) in [(1, [0, 1]), (2, [1, 0])] {
            let [old, new] = [next - 1, next].map(|index| authorities[index].der().to_vec());
            let leaves = [(); 2].map(|()| stage.leaf(&authorities[next]));
            let before = replicas[late].shown(&stage).await;
            let begun = Instant::now();
            replicas[early].secret.update(&authorities[next].pem(), &leaves[0]);
            let both = BTreeSet::from([old.clone(), new.clone()]);
            eventually("both are published", async || Ok(stage.authorities().await.is_superset(&both))).await.unwrap();
            eventually("the new leaf is served", async || Ok(replicas[early].serves(&stage, &leaves[0]).await))
                .await
                .unwrap();
            assert!(begun.elapsed() > SPREAD, "served {:?} after the Secret had changed", begun.elapsed());
            assert!(stage.ends().await.is_some());
            // The other replica learns of it later, and goes on with what it has.
            tokio::time::sleep(Duration::from_secs(3)).await;
            assert_eq!(replicas[late].shown(&stage).await, before);
            replicas[late].secret.update(&authorities[next].pem(), &leaves[1]);
            eventually("the new leaf is served", async || Ok(replicas[late].serves(&stage, &leaves[1]).await))
                .await
                .unwrap();
            assert!(stage.authorities().await.is_superset(&both));
            for replica in &replicas {
                assert_eq!(replica.shown_ends("leaf").await, 1);
                eventually("the published ones are shown", async || {
                    Ok(replica.shown_ends("bundle").await == stage.authorities().await.len())
                })
                .await
                .unwrap();
            }
        }
        let last = BTreeSet::from([authorities[2].der().to_vec()]);
        eventually("the old ones are gone", async || Ok(stage.authorities().await == last)).await.unwrap();
        eventually("nothing is recorded", async || Ok(stage.ends().await.is_none())).await.unwrap();
    };
    tokio::select! {
        () = looking => {}
        () = rotations => {}
    }
    stop.store(true, Ordering::Relaxed);
    let written: u64 = writers.join_all().await.into_iter().sum();
    let looked = looked.into_inner();
    println!("{written} writes, {looked} looks");
    assert!(written > 100 && looked > 10, "{written} writes, {looked} looks");

    // Replicas that agree do not write.
    let before = stage.version().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(stage.version().await, before);
    for replica in &replicas {
        let repairs = replica.serving.get("/metrics").await;
        let repairs = repairs.lines().filter(|line| line.starts_with("statusguard_configuration_repairs_total{"));
        assert!(repairs.clone().all(|line| line.ends_with(" 0")), "{:?}", repairs.collect::<Vec<_>>());
    }
    stage.policies().delete(parcels::POLICY, &Default::default()).await.unwrap();
    turns.abort();
    for replica in replicas {
        replica.serving.end().await;
    }
}

/// Looks for ever at what each guard serves: it is covered by what was published a moment before, and the guard is ready.
async fn looks(stage: &Stage, replicas: [ReplicaAddress; 2], looked: &AtomicU64) {
    let name = stage.dns_name();
    loop {
        let look = looked.fetch_add(1, Ordering::Relaxed);
        let published = stage.authorities().await;
        for replica in &replicas {
            let shown = replica.shows(&name, &published).await;
            assert!(shown.is_ok(), "look {look}: {shown:?}");
            let answer = plain_answer(replica.plain, "/readyz").await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 200"), "look {look}: {answer}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_whose_authority_is_not_published_is_not_ready_and_serves_nothing() {
    let stage = Stage::new().await;
    stage.policy("Ignore").await;
    let [own, other] = ["own", "other"].map(|name| Authority::new(name).unwrap());
    let mut replica = stage.replica(&own, 443).await;
    eventually("the guard is ready", async || Ok(replica.serving.ready().await)).await.unwrap();
    eventually("there is an entry", async || Ok(!stage.entry().await.is_null())).await.unwrap();

    // Repairs are rare when somebody undoes them again and again.
    let ours = BTreeSet::from([own.der().to_vec()]);
    for _ in 0..4 {
        eventually("it is covered", async || Ok(stage.authorities().await.is_superset(&ours))).await.unwrap();
        stage.overwrite_bundle(&other).await;
    }
    eventually("the guard is not ready", async || Ok(!replica.serving.ready().await)).await.unwrap();
    let answer = replica.serving.get("/readyz").await;
    assert!(answer.contains("published authority"), "{answer}");
    assert!(replica.serving.get("/livez").await.starts_with("HTTP/1.1 200"));
    let refused = async || replica.serving_at().shows(&stage.dns_name(), &ours).await.is_err();
    eventually("what nobody trusts is not served", async || Ok(refused().await)).await.unwrap();
    eventually("the guard is ready again", async || Ok(replica.serving.ready().await)).await.unwrap();
    assert!(replica.serving_at().shows(&stage.dns_name(), &ours).await.is_ok());

    // An authority alone does not make its certificates known: the leaf of another one is refused with it.
    let before = replica.shown(&stage).await;
    replica.secret.update(&own.pem(), &stage.leaf(&other));
    let series = "statusguard_certificate_files_last_read_successful 0";
    eventually("it is refused", async || Ok(replica.serving.get("/metrics").await.contains(series))).await.unwrap();
    assert_eq!(replica.shown(&stage).await, before);
    assert!(replica.serving.ready().await && !stage.authorities().await.is_empty());
    // One of the same authority is served.
    let leaf = stage.leaf(&own);
    replica.secret.update(&own.pem(), &leaf);
    eventually("the new leaf is served", async || Ok(replica.serves(&stage, &leaf).await)).await.unwrap();
    stage.policies().delete(parcels::POLICY, &Default::default()).await.unwrap();
    replica.serving.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_the_api_server_would_not_trust_is_refused_at_the_start() {
    let stage = Stage::new().await;
    let [own, other] = ["own", "other"].map(|name| Authority::new(name).unwrap());
    let listen = format!("{}:0", stage.plane.webhook_listen_address());
    for (authority, leaf, says) in [
        (own.pem(), own.leaf(["elsewhere.home.svc"]).unwrap(), "add that to its dnsNames".to_owned()),
        (other.pem(), stage.leaf(&own), "it must hold the authority that signed the certificate".to_owned()),
        ("hello".to_owned(), stage.leaf(&own), "it must hold certificates in PEM and nothing else".to_owned()),
        (format!("{}{}", own.pem(), stage.leaf(&own).key_pem()), stage.leaf(&own), "must not be published".to_owned()),
    ] {
        let mut secret = stage.secret(&own);
        secret.update(&authority, &leaf);
        let refused = stage
            .try_guard((SERVICE, 443), listen.clone(), &stage.plane.kubeconfig(User::Admin), &secret.flags())
            .await;
        let Err(error) = refused else { panic!("started: {says}") };
        let error = format!("{error:#}");
        let flag = if says.contains("dnsNames") { "--tls-cert" } else { "--tls-ca" };
        assert!(error.contains(&says) && error.contains(flag), "{error}");
        assert!(error.contains(&secret.folder.display().to_string()), "{error}");
    }
}
