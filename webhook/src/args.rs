//! The command line.

mod operator;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::error::ErrorKind;
use clap::{Args as Group, ColorChoice, CommandFactory as _, Parser, Subcommand, ValueEnum};
use statusguard_edge::{Limits, duration};

use crate::address::listen_address;
use crate::cluster::ClusterArgs;

pub use self::operator::{CertsCommand, CertsStatusArgs, DoctorArgs, ManifestFormat, UninstallArgs, WebhookConfigArgs};

/// Refuses status writes that only a stale reader could make.
///
/// Exit codes: 0 done or allowed, 1 failures, 2 wrong usage, 3 stale, 4 invalid.
#[derive(Debug, Parser)]
#[command(name = "statusguard", version, about, max_term_width = 100)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Colours in results and errors; `auto`: on a terminal, unless NO_COLOR is set.
    #[arg(long, value_name = "WHEN", global = true, default_value = "auto")]
    pub color: ColorChoice,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the validating admission webhook.
    Webhook(Box<WebhookArgs>),
    /// Judge one write offline, as the guard would.
    Check(CheckArgs),
    /// Work on policies.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Print the ValidatingWebhookConfiguration for a folder of policies, for `--static-config` and for trying by hand.
    WebhookConfig(WebhookConfigArgs),
    /// Look after the guard's certificates.
    #[command(subcommand)]
    Certs(CertsCommand),
    /// Look at an installation as a whole, and say what is wrong with it and what to do.
    ///
    /// Makes one stale write itself, as a dry run. Exit code 0: no problem was found.
    Doctor(DoctorArgs),
    /// Switch the guard off, and remove its certificate authority.
    ///
    /// Deletes the ValidatingWebhookConfiguration, then the Secret of the authority, and says what else there is to
    /// remove.
    Uninstall(UninstallArgs),
    /// Print a completion script for a shell.
    Completion {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Write the man pages of all commands into a folder.
    Man {
        /// The folder, which must be there.
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
}

/// The objects that the guard keeps in its cluster.
#[derive(Clone, Debug, Group)]
pub struct ObjectArgs {
    /// ValidatingWebhookConfiguration of the guard, which fills it in and never creates it.
    #[arg(long, value_name = "NAME", default_value = "statusguard", help_heading = "Cluster")]
    pub configuration: String,
    /// Secret of the guard's own certificate authority.
    #[arg(long, value_name = "NAME", default_value = "statusguard-authority", help_heading = "Cluster")]
    pub authority_secret: String,
}

/// Without what kube says of each attempt.
const LOG_FILTER: &str = "info,kube_runtime=error,kube_client::client::builder=off";

/// Arguments of the server.
#[derive(Debug, Group)]
pub struct WebhookArgs {
    /// Folder of StatusPolicy documents (*.yaml, *.yml, *.json), read again when a file changes.
    #[arg(long, value_name = "DIR")]
    pub policy_dir: Option<PathBuf>,
    /// Serving certificate chain in PEM, leaf first. Its folder is watched, like those of the key and of `--tls-ca`, and all
    /// are read again on SIGHUP, too. Default: a certificate of the guard's own authority.
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// Private key in PEM.
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Certificates in PEM that `--tls-cert` is signed by, which the guard publishes in its webhook configuration.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_ca: Option<PathBuf>,
    /// Certificates in PEM of the authorities that sign the API server's client certificate, without which no connection
    /// is served. Read again when the file changes and on SIGHUP. Default: no client certificate is asked for.
    #[arg(long, value_name = "FILE")]
    pub client_ca: Option<PathBuf>,
    /// Name that the client certificate has to have, as common name or DNS name; may be repeated: one of them. Default:
    /// every certificate of the authorities is accepted.
    #[arg(long, value_name = "NAME", requires = "client_ca", value_parser = NonEmptyStringValueParser::new())]
    pub client_name: Vec<String>,
    /// Stay away from the cluster: policies, certificate and webhook configuration are the administrator's.
    #[arg(long, requires_all = ["policy_dir", "tls_cert", "tls_key"])]
    pub static_config: bool,
    /// The cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Service by which the API server finds the guard.
    #[arg(long, value_name = "NAME", default_value = "statusguard", help_heading = "Cluster")]
    pub service: String,
    /// Port of that Service.
    #[arg(long, value_name = "PORT", default_value_t = 443, help_heading = "Cluster")]
    pub service_port: u16,
    /// The guard's objects.
    #[command(flatten)]
    pub objects: ObjectArgs,
    /// Address of the admission port (HTTPS). `:8443` is port 8443 of all addresses.
    #[arg(long, value_name = "ADDR", default_value = ":8443", value_parser = listen_address)]
    pub listen: SocketAddr,
    /// Address of the plain port: /livez, /readyz, /metrics.
    #[arg(long, value_name = "ADDR", default_value = ":8080", value_parser = listen_address)]
    pub plain_listen: SocketAddr,
    /// How often the policy folder and the files of certificates are read.
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration)]
    pub reload_interval: Duration,
    /// Times one writer may repeat the same stale write before it gets 422 in place of 409; 0: without limit.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub repeat_limit: u32,
    /// How long an authority of the guard's own lasts; it is renewed at two thirds of that.
    #[arg(long, value_name = "DURATION", default_value = "8760h", value_parser = duration, help_heading = "Certificates")]
    pub authority_life: Duration,
    /// How long a serving certificate lasts at most; the same for all replicas.
    #[arg(long, value_name = "DURATION", default_value = "168h", value_parser = duration, help_heading = "Certificates")]
    pub leaf_life: Duration,
    /// How long a new authority is published before certificates of it are served.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration, help_heading = "Certificates", hide_short_help = true)]
    pub spread: Duration,
    /// How far the clocks of two machines may be apart.
    #[arg(long, value_name = "DURATION", default_value = "2h", value_parser = duration, help_heading = "Certificates", hide_short_help = true)]
    pub clock_skew: Duration,
    /// How often certificates are looked at, though nothing was heard of a change.
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = duration, help_heading = "Certificates", hide_short_help = true)]
    pub certificate_tick: Duration,
    /// How often the guard makes a stale write itself, as a dry run, to see that it is refused; 0s: never.
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = duration, help_heading = "Cluster")]
    pub canary_interval: Duration,
    /// Log lines as text or as JSON.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// What to log, as `level` or `target=level,...`. The guard says once what fails at the API server; kube would say it at
    /// each attempt.
    #[arg(long, value_name = "FILTER", default_value = LOG_FILTER, env = "STATUSGUARD_LOG")]
    pub log: String,
    /// Bounds of the server.
    #[command(flatten)]
    pub limits: Limits,
}

impl WebhookArgs {
    /// Lifetimes of the guard's own certificates.
    #[must_use]
    pub fn timing(&self) -> statusguard_certs::Timing {
        let Self { authority_life, leaf_life, spread, clock_skew, certificate_tick, .. } = self;
        statusguard_certs::Timing {
            authority_life: *authority_life,
            leaf_life: *leaf_life,
            spread: *spread,
            skew: *clock_skew,
            tick: *certificate_tick,
        }
    }

    /// How long an authority of files is published that no replica has mounted any more. Of two clocks that are as far
    /// apart as they may be, the faster one still leaves the time in which a Secret's change reaches all kubelets: two
    /// minutes, of which ten times `--spread` is more than twice.
    #[must_use]
    pub fn retention(&self) -> Duration {
        self.clock_skew.saturating_add(self.spread.saturating_mul(10)).saturating_mul(2)
    }

    /// Checks the limits' ranges.
    ///
    /// # Errors
    /// Names the flag whose value is out of its range.
    pub fn check(&self) -> Result<(), clap::Error> {
        let files = [&self.tls_cert, &self.tls_key, &self.tls_ca];
        if !self.static_config && files.iter().any(|file| file.is_some()) && files.iter().any(|file| file.is_none()) {
            let problem = "a certificate of one's own needs --tls-cert, --tls-key and --tls-ca, which is published; with \
                           --static-config the first two";
            return Err(Args::command().error(ErrorKind::MissingRequiredArgument, problem));
        }
        if !self.canary_interval.is_zero() && self.canary_interval < Duration::from_millis(100) {
            let problem = "--canary-interval: each replica writes that often; give 100ms or more, or 0s for never";
            return Err(Args::command().error(ErrorKind::ValueValidation, problem));
        }
        self.limits.check().map_err(|error| Args::command().error(ErrorKind::ValueValidation, error))
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LogFormat {
    /// One readable line each.
    Text,
    /// One JSON object each.
    Json,
}

/// How results look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

/// Arguments of `policy lint`.
#[derive(Debug, Group)]
pub struct LintArgs {
    /// Policy files or folders; `-` reads standard input.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// CustomResourceDefinitions, to compare each policy with that of its target: a file or a folder of them; may be
    /// repeated.
    #[arg(long, value_name = "FILE")]
    pub crd: Vec<PathBuf>,
    /// Fail on warnings, too.
    #[arg(long)]
    pub strict: bool,
    /// Table, JSON, or annotations of a pull request in GitHub Actions.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: LintFormat,
}

/// How the problems of policies look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LintFormat {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
    /// Workflow commands of GitHub Actions, which annotate the lines of a pull request.
    Github,
}

/// Arguments of `check`.
#[derive(Debug, Group)]
#[command(group(clap::ArgGroup::new("write").args(["old", "review"]).required(true)))]
pub struct CheckArgs {
    /// The policy; `-` reads standard input.
    #[arg(long, value_name = "FILE")]
    pub policy: PathBuf,
    /// The object before the write, YAML or JSON.
    #[arg(long, value_name = "FILE", requires = "new")]
    pub old: Option<PathBuf>,
    /// The object after the write.
    #[arg(long, value_name = "FILE", requires = "old")]
    pub new: Option<PathBuf>,
    /// An AdmissionReview (admission.k8s.io/v1) in place of the two objects.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["old", "new"])]
    pub review: Option<PathBuf>,
    /// Table or JSON.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: OutputFormat,
}

/// What to do with policies.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Compile policies and name every problem.
    Lint(LintArgs),
    /// Draw the phase machines of a policy.
    Graph {
        /// The policy.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The drawing's language.
        #[arg(long, value_enum, default_value_t)]
        format: GraphFormat,
    },
    /// Say a policy in plain sentences.
    Explain {
        /// The policy.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Run policy test files.
    Test(TestArgs),
    /// Write a commented first policy from a CRD's schema.
    Init {
        /// The CustomResourceDefinition, YAML or JSON; `-` reads standard input.
        #[arg(long, value_name = "FILE")]
        crd: PathBuf,
        /// The kind, or `<plural>.<group>`, when the file holds several.
        #[arg(long)]
        kind: Option<String>,
        /// The version; default: the stored one, if it is served.
        #[arg(long)]
        version: Option<String>,
    },
}

/// Arguments of `policy test`.
#[derive(Debug, Group)]
pub struct TestArgs {
    /// Test files or folders of them.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Judge with this policy in place of the one that each file names.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Run only the cases with this text in their names.
    #[arg(long, value_name = "TEXT")]
    pub filter: Option<String>,
    /// List the cases that pass, too.
    #[arg(short, long)]
    pub verbose: bool,
    /// Table, JSON or JUnit's XML.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: TestOutput,
}

/// How the results of tests look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TestOutput {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
    /// For CI systems.
    Junit,
}

/// The language of a drawing.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum GraphFormat {
    /// A Mermaid state diagram.
    #[default]
    Mermaid,
    /// Graphviz.
    Dot,
    /// One line per edge.
    Text,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_cannot_be_read_is_wrong_usage_of_its_flag() {
        for flag in ["--listen", "--plain-listen"] {
            let given = format!("{flag}=localhost:8443");
            let args =
                ["statusguard", "webhook", "--policy-dir=p", "--tls-cert=c", "--tls-key=k", "--static-config", &given];
            let Err(error) = Args::try_parse_from(args) else { unreachable!("not an address: {flag}") };
            assert_eq!(error.exit_code(), 2);
            let expected =
                format!("invalid value 'localhost:8443' for '{flag} <ADDR>': an IP address and a port are expected");
            assert!(error.to_string().contains(&expected), "{error}");
        }
    }

    #[test]
    fn a_value_out_of_range_is_wrong_usage_of_its_flag() {
        for (flag, expected) in [
            ("--max-body=1", "--max-body: 1 bytes"),
            ("--max-bodies=1025", "--max-bodies: 1025 bytes"),
            ("--max-judging=1000", "--max-judging: 1000 bytes"),
            ("--max-connections=0", "--max-connections: must"),
            ("--drain-timeout=2s", "--min-drain: 5s"),
            ("--idle-close-after=0s", "--idle-close-after: must"),
        ] {
            let args =
                ["statusguard", "webhook", "--policy-dir=p", "--tls-cert=c", "--tls-key=k", "--static-config", flag];
            let Ok(Args { command: Command::Webhook(args), .. }) = Args::try_parse_from(args) else {
                unreachable!("parses: {flag}")
            };
            let Err(error) = args.check() else { unreachable!("out of range: {flag}") };
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
