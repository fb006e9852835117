//! The cluster, kubectl, and what is guarded in it.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, bail, ensure};
use kube::api::{Api, DynamicObject, ObjectMeta, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use statusguard_policy::StatusPolicy;
use statusguard_tests::{eventually, parcels};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// Of the guarded objects.
pub const SHOP: &str = "statusguard-e2e";

pub struct TestedCluster {
    pub client: Client,
    pub kubeconfig: PathBuf,
}

impl TestedCluster {
    pub async fn connect() -> anyhow::Result<Self> {
        // Another provider installed earlier serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let kubeconfig =
            PathBuf::from(std::env::var("STATUSGUARD_E2E_KUBECONFIG").context("STATUSGUARD_E2E_KUBECONFIG")?);
        let read = Kubeconfig::read_from(&kubeconfig)?;
        let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await?;
        Ok(Self { client: Client::try_from(config)?, kubeconfig })
    }

    /// What kubectl prints, both streams together, and whether it succeeded.
    pub async fn try_kubectl(&self, args: &[&str], input: &str) -> anyhow::Result<(bool, String)> {
        let program = std::env::var_os("KUBECTL").unwrap_or_else(|| "kubectl".into());
        let mut kubectl = Command::new(program);
        kubectl.args(args).env("KUBECONFIG", &self.kubeconfig).kill_on_drop(true);
        let mut running = kubectl
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("starting kubectl")?;
        let mut stdin = running.stdin.take().context("kubectl reads")?;
        stdin.write_all(input.as_bytes()).await?;
        drop(stdin);
        let ended = running.wait_with_output().await?;
        let text = [ended.stdout, ended.stderr].concat();
        Ok((ended.status.success(), String::from_utf8_lossy(&text).into_owned()))
    }

    pub async fn kubectl(&self, args: &[&str]) -> anyhow::Result<String> {
        let (succeeded, text) = self.try_kubectl(args, "").await?;
        ensure!(succeeded, "kubectl {}: {text}", args.join(" "));
        Ok(text)
    }

    pub async fn apply(&self, document: &str) -> anyhow::Result<()> {
        let (succeeded, text) = self.try_kubectl(&["apply", "-f", "-"], document).await?;
        ensure!(succeeded, "kubectl apply: {text}");
        Ok(())
    }

    /// Loads an image archive as the user says.
    pub async fn load(&self, archive: &str) -> anyhow::Result<()> {
        let command =
            std::env::var("STATUSGUARD_E2E_LOAD").context("STATUSGUARD_E2E_LOAD")?.replace("{archive}", archive);
        let ended = Command::new("sh").args(["-c", &command]).env("KUBECONFIG", &self.kubeconfig).output().await?;
        let text = String::from_utf8_lossy(&ended.stderr).into_owned();
        ensure!(ended.status.success(), "{command}: {text}");
        Ok(())
    }

    pub async fn rolled_out(&self) -> anyhow::Result<()> {
        self.kubectl(&["-n", "statusguard", "rollout", "status", "deployment/statusguard", "--timeout=120s"])
            .await
            .map(drop)
    }

    pub fn policies(&self) -> Api<StatusPolicy> {
        Api::all(self.client.clone())
    }

    pub fn parcels(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), SHOP, &parcels::resource())
    }

    pub async fn parcel(&self, name: &str) -> anyhow::Result<()> {
        let object = DynamicObject {
            metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
            ..DynamicObject::new(name, &parcels::resource())
        };
        self.parcels().create(&PostParams::default(), &object).await.map(drop).context("creating a parcel")
    }

    pub async fn scan(&self, name: &str, scans: u64) -> Result<DynamicObject, kube::Error> {
        let patch = Patch::Merge(json!({ "status": { "scans": scans } }));
        self.parcels().patch_status(name, &PatchParams::default(), &patch).await
    }

    /// Whether a stale write of this parcel is refused by the guard.
    pub async fn refuses(&self, name: &str) -> anyhow::Result<bool> {
        let now = self.parcels().get(name).await?.data["status"]["scans"].as_u64().unwrap_or_default();
        if now < 2 {
            self.scan(name, 2).await?;
        }
        match self.scan(name, now.max(2) - 1).await {
            Ok(_) => Ok(false),
            Err(kube::Error::Api(status)) if status.code == 409 && status.message.contains("stale status write") => {
                Ok(true)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Applies the policy of the parcels, with this failure policy and these rules.
    pub async fn guard(&self, failure_policy: &str, rules: &Value) -> anyhow::Result<()> {
        let mut policy = json!({
            "apiVersion": "statusguard.dev/v1alpha1", "kind": "StatusPolicy",
            "metadata": { "name": parcels::POLICY },
            "spec": {
                "target": { "group": "shop.example.org", "version": "v1", "resource": "parcels" },
                "failurePolicy": failure_policy,
            },
        });
        for (key, value) in rules.as_object().into_iter().flatten() {
            policy["spec"][key] = value.clone();
        }
        self.apply(&policy.to_string()).await
    }

    /// Status and reason of a condition of that policy.
    pub async fn condition(&self, kind: &str) -> anyhow::Result<(String, String)> {
        let conditions = self.policies().get(parcels::POLICY).await?.status.unwrap_or_default().conditions;
        let condition = conditions.into_iter().find(|condition| condition["type"] == kind).unwrap_or_default();
        let text = |key: &str| condition[key].as_str().unwrap_or_default().to_owned();
        Ok((text("status"), text("reason")))
    }

    pub async fn is(&self, kind: &str, status: &str, reason: &str) -> anyhow::Result<()> {
        eventually(&format!("the policy is {kind}={status}, {reason}"), async || {
            Ok(self.condition(kind).await? == (status.to_owned(), reason.to_owned()))
        })
        .await
    }

    /// Names of the guard's pods that are ready.
    pub async fn ready_pods(&self) -> anyhow::Result<Vec<String>> {
        let pods = self.kubectl(&["-n", "statusguard", "get", "pods", "-o", "json"]).await?;
        let pods: Value = serde_json::from_str(&pods)?;
        let ready = |pod: &&Value| {
            let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
            pod["metadata"]["deletionTimestamp"].is_null()
                && conditions.into_iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
        };
        let pods = pods["items"].as_array().into_iter().flatten().filter(ready);
        Ok(pods.filter_map(|pod| pod["metadata"]["name"].as_str().map(str::to_owned)).collect())
    }

    /// A page of the plain port of a pod.
    pub async fn page(&self, pod: &str, path: &str) -> anyhow::Result<String> {
        self.kubectl(&["get", "--raw", &format!("/api/v1/namespaces/statusguard/pods/{pod}:8080/proxy{path}")]).await
    }

    pub async fn metric(&self, pod: &str, series: &str) -> anyhow::Result<f64> {
        let metrics = self.page(pod, "/metrics").await?;
        match metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')) {
            Some(value) => Ok(value.parse()?),
            None => bail!("no {series}"),
        }
    }

    /// What an engineer would look at.
    pub async fn diagnosis(&self) -> String {
        let mut all = String::new();
        for args in [
            &["-n", "statusguard", "get", "pods,deployments,endpointslices", "-o", "wide"][..],
            &["get", "statuspolicies", "-o", "yaml"],
            &["get", "validatingwebhookconfiguration", "statusguard", "-o", "yaml"],
            &["-n", "statusguard", "get", "events", "--sort-by=.lastTimestamp"],
            &["-n", "statusguard", "logs", "-l", "app.kubernetes.io/name=statusguard", "--tail=100", "--prefix"],
        ] {
            let text = self.try_kubectl(args, "").await.map_or_else(|error| format!("{error:#}"), |(_, text)| text);
            all.push_str(&format!("== kubectl {}\n{text}\n", args.join(" ")));
        }
        all
    }
}
