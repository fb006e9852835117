//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args as Group, CommandFactory as _, Parser, Subcommand, ValueEnum};
use statusguard_edge::Limits;

/// Refuses status writes that only a stale reader could make.
///
/// Exit codes: 0 done or allowed, 1 failures, 2 wrong usage, 3 stale, 4 invalid.
#[derive(Debug, Parser)]
#[command(name = "statusguard", version, about, max_term_width = 100)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
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
    /// Print a completion script for a shell.
    Completion {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Arguments of the server.
#[derive(Debug, Group)]
pub struct WebhookArgs {
    /// Folder of StatusPolicy documents (*.yaml, *.yml, *.json), read again when a file changes.
    #[arg(long, value_name = "DIR")]
    pub policy_dir: PathBuf,
    /// Serving certificate chain in PEM, leaf first.
    #[arg(long, value_name = "FILE")]
    pub tls_cert: PathBuf,
    /// Private key in PEM.
    #[arg(long, value_name = "FILE")]
    pub tls_key: PathBuf,
    /// Address of the admission port (HTTPS).
    #[arg(long, value_name = "ADDR", default_value = "[::]:8443")]
    pub listen: SocketAddr,
    /// Address of the plain port: /livez, /readyz, /metrics.
    #[arg(long, value_name = "ADDR", default_value = "[::]:8080")]
    pub plain_listen: SocketAddr,
    /// How often the policy folder is looked at.
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration)]
    pub reload_interval: Duration,
    /// Times one writer may repeat the same stale write before it gets 422 in place of 409; 0: without limit.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub repeat_limit: u32,
    /// Log lines as text or as JSON.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// What to log, as `level` or `target=level,...`.
    #[arg(long, value_name = "FILTER", default_value = "info", env = "STATUSGUARD_LOG")]
    pub log: String,
    /// Bounds of the server.
    #[command(flatten)]
    pub bounds: Bounds,
}

/// Bounds of the server; what happens past each is said in the edge's documentation.
#[derive(Debug, Group)]
#[command(next_help_heading = "Limits")]
pub struct Bounds {
    /// Longest request body in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().body)]
    pub max_body: usize,
    /// Request bodies held at a time, in bytes over all connections.
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().bodies)]
    pub max_bodies: usize,
    /// Open connections on the admission port.
    #[arg(long, value_name = "N", default_value_t = Limits::default().connections)]
    pub max_connections: usize,
    /// Time for the TLS handshake.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub handshake_timeout: Duration,
    /// Time for a request's header.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub header_timeout: Duration,
    /// Time a connection may stay open without a request.
    #[arg(long, value_name = "DURATION", default_value = "120s", value_parser = duration)]
    pub idle_timeout: Duration,
    /// Deadline of a call that names none.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub deadline: Duration,
    /// How long before a call's deadline the answer goes out.
    #[arg(long, value_name = "DURATION", default_value = "200ms", value_parser = duration)]
    pub deadline_margin: Duration,
    /// Time a call waits for a policy that is not known yet.
    #[arg(long, value_name = "DURATION", default_value = "500ms", value_parser = duration)]
    pub policy_wait: Duration,
    /// Time a reply waits for the record of a refused write.
    #[arg(long, value_name = "DURATION", default_value = "500ms", value_parser = duration)]
    pub record_wait: Duration,
    /// Records being written at a time.
    #[arg(long, value_name = "N", default_value_t = Limits::default().records)]
    pub max_records: usize,
    /// Shutdown: how long new connections are still accepted at least.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub min_drain: Duration,
    /// Shutdown: how long connections may take to end by themselves.
    #[arg(long, value_name = "DURATION", default_value = "20s", value_parser = duration)]
    pub drain_timeout: Duration,
    /// Shutdown, past that: how long a connection must have been idle to be closed.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration)]
    pub idle_close_after: Duration,
}

impl Bounds {
    /// The edge's form.
    ///
    /// # Errors
    /// Names the flag whose value is out of its range.
    pub fn limits(&self) -> Result<Limits, clap::Error> {
        let Self {
            max_body,
            max_bodies,
            max_connections,
            handshake_timeout,
            header_timeout,
            idle_timeout,
            deadline,
            deadline_margin,
            policy_wait,
            record_wait,
            max_records,
            min_drain,
            drain_timeout,
            idle_close_after,
        } = self;
        let limits = Limits {
            body: *max_body,
            bodies: *max_bodies,
            connections: *max_connections,
            handshake: *handshake_timeout,
            header: *header_timeout,
            idle: *idle_timeout,
            deadline: *deadline,
            margin: *deadline_margin,
            policy_wait: *policy_wait,
            record_wait: *record_wait,
            records: *max_records,
            min_drain: *min_drain,
            drain_timeout: *drain_timeout,
            idle_close_after: *idle_close_after,
        };
        let usage = |problem: String| Args::command().error(ErrorKind::ValueValidation, problem);
        limits.check().map(|()| limits).map_err(|error| match error {
            statusguard_edge::Error::Limit { limit, problem } => usage(format!("{}: {problem}", flag(limit))),
            other => usage(other.to_string()),
        })
    }
}

/// The flag of a limit.
fn flag(limit: &str) -> &str {
    match limit {
        "body" => "--max-body",
        "bodies" => "--max-bodies",
        "connections" => "--max-connections",
        "handshake" => "--handshake-timeout",
        "header" => "--header-timeout",
        "idle" => "--idle-timeout",
        "deadline" => "--deadline",
        "min_drain" => "--min-drain",
        "idle_close_after" => "--idle-close-after",
        other => other,
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
    Lint {
        /// Policy files or folders; `-` reads standard input.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// CustomResourceDefinitions, to compare each policy with the schema of its target.
        #[arg(long, value_name = "FILE")]
        crd: Option<PathBuf>,
        /// Table or JSON.
        #[arg(short, long, value_enum, default_value_t)]
        output: OutputFormat,
    },
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
    Test {
        /// Test files or folders of them.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Judge with this policy in place of the one that each file names.
        #[arg(long, value_name = "FILE")]
        policy: Option<PathBuf>,
        /// Table or JSON.
        #[arg(short, long, value_enum, default_value_t)]
        output: OutputFormat,
    },
    /// Write a commented first policy from a CRD's schema.
    Init {
        /// The CustomResourceDefinition, YAML or JSON.
        #[arg(long, value_name = "FILE")]
        crd: PathBuf,
        /// The kind, when the file holds several.
        #[arg(long)]
        kind: Option<String>,
        /// The version; default: the stored one.
        #[arg(long)]
        version: Option<String>,
    },
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

/// Reads `500ms`, `2s`, `1m30s`.
fn duration(text: &str) -> Result<Duration, String> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    if rest.is_empty() {
        return Err("empty".into());
    }
    while !rest.is_empty() {
        let digits = rest.find(|char: char| !char.is_ascii_digit()).ok_or("a duration has a unit: ms, s, m or h")?;
        let unit_end = rest[digits..].find(|char: char| char.is_ascii_digit()).map_or(rest.len(), |end| digits + end);
        let count: u64 = rest[..digits].parse().map_err(|_| format!("`{rest}` does not begin with a whole number"))?;
        let unit = match &rest[digits..unit_end] {
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" => Duration::from_secs(60),
            "h" => Duration::from_secs(3600),
            unit => return Err(format!("`{unit}` is no unit: use ms, s, m or h")),
        };
        let part = u32::try_from(count).ok().and_then(|count| unit.checked_mul(count));
        total = part.and_then(|part| total.checked_add(part)).ok_or("too long")?;
        rest = &rest[unit_end..];
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        for bad in ["", "5", "s", "1d", "-1s", "1.5s", "99999999999h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn default_flags_are_the_default_limits() {
        let args = Args::try_parse_from(["statusguard", "webhook", "--policy-dir=p", "--tls-cert=c", "--tls-key=k"]);
        let Ok(Args { command: Command::Webhook(args) }) = args else { unreachable!("parses: {args:?}") };
        assert_eq!(args.bounds.limits().ok(), Some(Limits::default()));
    }

    #[test]
    fn a_value_out_of_range_is_wrong_usage_of_its_flag() {
        for (flag, expected) in [
            ("--max-body=1", "--max-body: 1 bytes"),
            ("--max-bodies=1025", "--max-bodies: 1025 bytes"),
            ("--max-connections=0", "--max-connections: must"),
            ("--handshake-timeout=0s", "--handshake-timeout: must"),
            ("--header-timeout=0s", "--header-timeout: must"),
            ("--idle-timeout=0s", "--idle-timeout: must"),
            ("--deadline=31s", "--deadline: 31s"),
            ("--drain-timeout=2s", "--min-drain: 5s"),
            ("--idle-close-after=0s", "--idle-close-after: must"),
        ] {
            let args = ["statusguard", "webhook", "--policy-dir=p", "--tls-cert=c", "--tls-key=k", flag];
            let Ok(Args { command: Command::Webhook(args) }) = Args::try_parse_from(args) else {
                unreachable!("parses: {flag}")
            };
            let Err(error) = args.bounds.limits() else { unreachable!("out of range: {flag}") };
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
