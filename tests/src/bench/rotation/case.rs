//! What is done to the guard while others write.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use statusguard_tests::Authority;

use super::site::{REPLICAS, Site, until};

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum RotationCase {
    /// Replicas are restarted one after another with SIGTERM.
    Rolling,
    /// The bundle is overwritten by hand.
    Bundle,
    /// The API server is killed and restarted.
    Apiserver,
    /// The authority is renewed.
    Authority,
    /// A replica is killed with SIGKILL at each step of the rotation.
    Kill,
    /// The authority's Secret is deleted.
    DeleteSecret,
}

/// When a replica is killed, in turn: phases of the rotation. Their number and that of the replicas have no common
/// divisor, so that each replica is killed in each phase.
const KILLED_IN: [&str; 4] = ["Stable", "Publishing", "Retiring", "Spreading"];

/// How long a killer waits for a phase: longer than a rotation takes.
const LONGEST_WAIT: Duration = Duration::from_secs(90);

impl RotationCase {
    /// All of them. A rotation falls into the time of `authority` when each is done once.
    pub const ALL: [Self; 6] =
        [Self::Rolling, Self::Bundle, Self::Apiserver, Self::Authority, Self::Kill, Self::DeleteSecret];

    pub fn name(self) -> &'static str {
        match self {
            Self::Rolling => "rolling",
            Self::Bundle => "bundle",
            Self::Apiserver => "apiserver",
            Self::Authority => "authority",
            Self::Kill => "kill",
            Self::DeleteSecret => "delete-secret",
        }
    }

    /// Whether no write may fail because of the guard.
    pub fn fails_nothing(self) -> bool {
        match self {
            Self::Rolling | Self::Apiserver | Self::Authority => true,
            Self::Bundle | Self::Kill | Self::DeleteSecret => false,
        }
    }

    /// How often it is done at least.
    pub fn least_rounds(self) -> usize {
        match self {
            Self::Authority => 3,
            Self::Kill => KILLED_IN.len() * REPLICAS,
            Self::Rolling | Self::Bundle | Self::Apiserver | Self::DeleteSecret => 1,
        }
    }

    /// Does it once and waits until all is well again. Returns how long that took, if there was something to heal.
    ///
    /// # Errors
    /// When it does not heal.
    pub async fn disturb(self, site: &mut Site, round: usize) -> anyhow::Result<Option<Duration>> {
        let before = site.bundle().await?;
        if self == Self::Kill {
            in_phase(site, KILLED_IN[round % KILLED_IN.len()], round % REPLICAS).await?;
        }
        let begun = Instant::now();
        match self {
            Self::Authority => {
                until("the authority is renewed", async || site.is_renewed_since(&before).await).await?;
                return Ok(None);
            }
            Self::Rolling => {
                for replica in 0..REPLICAS {
                    site.replicas[replica].terminate().await?;
                    site.replicas[replica].start().await?;
                    until("a new replica is ready", async || Ok(site.replicas[replica].is_ready())).await?;
                }
            }
            Self::Kill => {
                site.replicas[round % REPLICAS].kill().await?;
                site.replicas[round % REPLICAS].start().await?;
            }
            Self::Apiserver => site.plane.restart_api_server(0).await?,
            Self::DeleteSecret => {
                site.delete_secret().await?;
                until("another authority is published alone", async || site.is_renewed_since(&before).await).await?;
            }
            Self::Bundle => {
                let foreign = Authority::new("somebody else").context("making an authority")?.pem();
                let bundle = if round.is_multiple_of(2) { foreign.as_str() } else { "hello" };
                site.overwrite_bundle(bundle).await?;
                until("the bundle is the guard's again", async || Ok(!site.bundle().await?.contains(bundle))).await?;
            }
        }
        until("all replicas are ready", async || Ok(site.is_ready())).await?;
        Ok(Some(begun.elapsed()))
    }
}

/// Until a replica sees the rotation in this phase.
async fn in_phase(site: &Site, phase: &str, replica: usize) -> anyhow::Result<()> {
    let seen = async {
        while site.replicas[replica].phase().await.as_deref() != Some(phase) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let seen = tokio::time::timeout(LONGEST_WAIT, seen).await;
    seen.with_context(|| format!("waited for phase {phase} at replica {replica}"))?;
    eprintln!("replica {replica} is killed in phase {phase}");
    Ok(())
}
