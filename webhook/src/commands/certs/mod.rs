//! `statusguard certs status`: where the rotation is, and which certificate each replica really presents.

mod handshake;
pub(super) mod replicas;
mod report;

use std::collections::BTreeMap;

use kube::Client;
use rustls::pki_types::ServerName;
use statusguard_certs::{CertificateInspection, RequestFailure, RotationPhase, SecretContent, with_sources};

pub use self::report::{AuthorityReport, CertificateReport, EntryReport, ReplicaReport};

use self::replicas::GuardReplica;
use crate::args::{CertsStatusArgs, ObjectArgs, OutputFormat};
use crate::cluster::{ClusterConnection, places};
use crate::exit::Exit;
use crate::output;

/// Prints what there is.
pub async fn status(args: &CertsStatusArgs) -> anyhow::Result<Exit> {
    let report = CertificateReport::gather(args).await?;
    match args.output {
        OutputFormat::Json => output::print_json(&report)?,
        OutputFormat::Table => {
            output::print(&report.text())?;
            report.problems.iter().for_each(|problem| output::remark(problem));
        }
    }
    Ok(if report.healthy { Exit::Success } else { Exit::Failure })
}

/// What a user has to do about a request that failed.
pub(super) fn failure(failure: &RequestFailure) -> String {
    match failure {
        RequestFailure::Refused { verb, what, code: 403, message, .. } => {
            format!(
                "cannot {verb} {what}: {message}; what follows from it is not shown; you need the right to `{verb}` it"
            )
        }
        RequestFailure::Refused { verb, what, message, .. } => format!("cannot {verb} {what}: {message}"),
        failure => with_sources(failure),
    }
}

impl CertificateReport {
    /// Reads Secret and configuration, and asks every replica for its certificate. What cannot be read stands among the
    /// problems; the rest is shown.
    ///
    /// # Errors
    /// When there is no cluster to ask, or the Service has a name that no certificate can have.
    pub async fn gather(args: &CertsStatusArgs) -> anyhow::Result<Self> {
        let CertsStatusArgs { cluster, objects, service, address, output: _ } = args;
        let ObjectArgs { configuration, authority_secret } = objects;
        let ClusterConnection { client, namespace } = cluster.connect().await?;
        let name = format!("{service}.{namespace}.svc");
        let server = ServerName::try_from(name.clone()).map_err(|_| {
            anyhow::anyhow!("`{name}` cannot be the name of a server; correct --service or --namespace")
        })?;
        let seen =
            statusguard_certs::inspect(client.clone(), places(&namespace, authority_secret, configuration)).await;
        let mut problems = problems(&seen, &namespace, authority_secret, configuration);
        let replicas = replicas(&client, &namespace, service, address, &mut problems).await;
        let asked = replicas.iter().map(|replica| handshake::presented(&replica.address, &server));
        let chains = futures::future::join_all(asked).await;
        let mut reports = Vec::new();
        for (replica, chain) in replicas.into_iter().zip(chains) {
            let presented = chain.and_then(|chain| {
                seen.presented(&chain, &server).map_err(|error| format!("the certificate it presents: {error}"))
            });
            reports.push(ReplicaReport::new(replica, presented, &seen));
        }
        let phase = seen.phase();
        let served = !reports.is_empty() && reports.iter().all(ReplicaReport::healthy);
        Ok(Self {
            healthy: phase == Some(RotationPhase::Stable) && served,
            phase: phase.map(RotationPhase::name),
            authorities: authorities(&seen),
            entries: entries(&seen),
            replicas: reports,
            problems,
            read_at: seen.read_at,
        })
    }
}

/// What keeps the report from being whole, or from being good.
fn problems(seen: &CertificateInspection, namespace: &str, secret: &str, configuration: &str) -> Vec<String> {
    let of_secret = match &seen.secret {
        Err(error) => Some(failure(error)),
        Ok(SecretContent::Readable(_)) => None,
        Ok(SecretContent::Absent) => Some(format!(
            "there is no secret {namespace}/{secret} with an authority: a guard makes it, unless given --tls-cert"
        )),
        Ok(SecretContent::Unusable(unusable)) => Some(format!(
            "secret {namespace}/{secret} cannot be used ({}): a guard of its release mends it",
            unusable.category()
        )),
    };
    let of_configuration = match &seen.entries {
        Err(error) => Some(failure(error)),
        Ok(None) => Some(format!("there is no validatingwebhookconfiguration {configuration}: nothing is guarded")),
        Ok(Some(_)) => None,
    };
    of_secret.into_iter().chain(of_configuration).collect()
}

/// Those that are named, else those of the Service.
async fn replicas(
    client: &Client,
    namespace: &str,
    service: &str,
    addresses: &[String],
    problems: &mut Vec<String>,
) -> Vec<GuardReplica> {
    if !addresses.is_empty() {
        let named = |address: &String| GuardReplica { address: address.clone(), pod: None, ready: true };
        return addresses.iter().map(named).collect();
    }
    match replicas::of_service(client, namespace, service).await {
        Ok(replicas) => {
            if replicas.is_empty() {
                problems.push(format!("service {namespace}/{service} has no replicas; name some by --address"));
            }
            replicas
        }
        Err(error) => {
            problems.push(format!("{error:#}; name the replicas by --address"));
            Vec::new()
        }
    }
}

fn authorities(seen: &CertificateInspection) -> Vec<AuthorityReport> {
    let Ok(SecretContent::Readable(state)) = &seen.secret else { return Vec::new() };
    state.authorities().iter().map(AuthorityReport::from).collect()
}

fn entries(seen: &CertificateInspection) -> Vec<EntryReport> {
    seen.entries.iter().flatten().flatten().map(|entry| EntryReport::new(entry, seen.in_sync(entry))).collect()
}

/// Reasons by entry as one text: those of a bundle that several entries have are said once.
fn reasons(uncovered: &BTreeMap<String, String>) -> Option<String> {
    let (entry, why) = uncovered.first_key_value()?;
    let more = match uncovered.len() - 1 {
        0 => String::new(),
        more => format!(" and {}", output::counted(more, "other", "others")),
    };
    Some(format!("not trusted by the bundle of {entry}{more}: {why}"))
}
