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

/// How often what was done so far.
#[derive(Debug, Default)]
pub struct Progress {
    rounds: usize,
    /// In which the last replica was killed.
    phase: Option<String>,
}

/// How long a killer waits for the next step of the rotation before it kills in the same one.
const LONGEST_PHASE: Duration = Duration::from_secs(8);

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

    /// Does it once and waits until all is well again. Returns how long that took, if there was something to heal.
    ///
    /// # Errors
    /// When it does not heal.
    pub async fn disturb(self, site: &mut Site, progress: &mut Progress) -> anyhow::Result<Option<Duration>> {
        let round = progress.rounds;
        progress.rounds += 1;
        let before = site.bundle().await?;
        if self == Self::Kill {
            at_another_step(site, progress).await;
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

/// Until the rotation is at another step than when the last replica was killed, or for a while.
async fn at_another_step(site: &Site, progress: &mut Progress) {
    let begun = Instant::now();
    while begun.elapsed() < LONGEST_PHASE {
        let phase = match site.replicas.first() {
            Some(replica) => replica.phase().await,
            None => None,
        };
        if phase.is_some() && phase != progress.phase {
            progress.phase = phase;
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    eprintln!("a replica is killed in phase {}", progress.phase.as_deref().unwrap_or("unknown"));
}
