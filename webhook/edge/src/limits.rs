//! Every bound of the edge, each with unit, range and default.

use std::time::Duration;

use clap::{Args, FromArgMatches};
use jiff::SignedDuration;

use crate::error::Error;

/// The API server accepts no longer `timeoutSeconds`.
const LONGEST_DEADLINE: Duration = Duration::from_secs(30);

/// The last part of a drain, in which calls end and idle connections are closed.
const LONGEST_CLOSING: Duration = Duration::from_secs(5);

/// Bounds of the edge. What an operator turns is a flag; the rest is fixed, and a field so that a test can exceed it.
///
/// [`Limits::default`] is what no flags give.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    /// Longest request body in bytes, 1 KiB to 1 GiB. The default, 8 MiB, is more than twice what two objects at etcd's limit of
    /// 1.5 MiB need. A longer one gets HTTP 413.
    #[arg(long, value_name = "BYTES", default_value_t = 8 << 20)]
    pub max_body: usize,
    /// Request bodies held at a time, in bytes over all connections; at least --max-body. Half of it is
    /// open to bodies over 64 KiB on connections that have not sent a review that a policy judged, three quarters to
    /// smaller ones on these, seven eighths to large ones on others; a body of --max-body always fits. Past it a call gets
    /// HTTP 503 with `Retry-After: 1`, and the API server tries again by itself.
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 20)]
    pub max_bodies: usize,
    /// Memory for judging statuses of more than 64 KiB and bodies of more than 1 MiB, in bytes over all connections; at least
    /// 1 MiB. Each judgement is given six
    /// times its body, at least 4 MiB, and no more than all of it. It waits for that as long as its call may take, then the
    /// call gets HTTP 503 with `Retry-After: 1`. A judgement that needs more than it was given fails, with HTTP 500. Reviews
    /// take no more than --max-bodies and --max-judging together.
    #[arg(long, value_name = "BYTES", default_value_t = 96 << 20)]
    pub max_judging: usize,
    /// Open connections on the admission port. For one more, the oldest is closed that has not sent a review that a
    /// policy judged, else the one that has been idle for longest, at least 1 s. Where all are in use, each call of 64
    /// more gets HTTP 503 with `Retry-After: 1` and ends its connection; past those, a connection is closed when it is
    /// opened. Lowered with a warning where the limit of open files is lower.
    #[arg(long, value_name = "N", default_value_t = 1024)]
    pub max_connections: usize,
    /// From accepting a connection to the end of the TLS handshake. Over it: closed.
    #[arg(skip = Duration::from_secs(5))]
    pub handshake: Duration,
    /// From the first byte of a request (or the handshake) to the end of its header, and for a peer to take a reply.
    /// Over it: closed.
    #[arg(skip = Duration::from_secs(5))]
    pub header: Duration,
    /// A kept-alive connection without a request. The API server closes its own idle connections after 90 s, and
    /// closing first could cut a call. One that has not sent a review that was judged gets the time of a header. Over
    /// it: closed.
    #[arg(skip = Duration::from_secs(120))]
    pub idle: Duration,
    /// For 16 KiB of a body to arrive, or its end. Over it: HTTP 408, then closed.
    #[arg(skip = Duration::from_secs(5))]
    pub body_stall: Duration,
    /// For a call without `?timeout=`: the API server's own default. Over it: HTTP 408 while the body is being read.
    #[arg(skip = Duration::from_secs(10))]
    pub deadline: Duration,
    /// How long before the caller's time-out an answer goes out; never more than half of the time-out.
    #[arg(skip = Duration::from_millis(200))]
    pub margin: Duration,
    /// A judge that does not know a resource's policy yet is waited for. Over it: the judge is asked all the same.
    #[arg(skip = Duration::from_millis(500))]
    pub policy_wait: Duration,
    /// A reply waits for its record. Over it: the reply goes out, the record follows, and
    /// `statusguard_records_late_total` counts it.
    #[arg(skip = Duration::from_millis(500))]
    pub record_wait: Duration,
    /// Records being written at a time, late ones included. Over it: a new record is dropped and counted in
    /// `statusguard_records_dropped_total`.
    #[arg(skip = 1024_usize)]
    pub records: usize,
    /// At shutdown, how long new connections are accepted at least, until no endpoint leads here any more. It ends before
    /// the last part of --drain-timeout.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub min_drain: Duration,
    /// At shutdown, when the last connection is dropped, whatever it is doing. Until shortly before, connections end by
    /// themselves, each with its next reply; in the last 5 s (or the second half, if that is shorter), idle ones are
    /// closed.
    #[arg(long, value_name = "DURATION", default_value = "20s", value_parser = duration)]
    pub drain_timeout: Duration,
    /// In that last part of a shutdown, how long a connection must have been idle to be closed; at most half of it.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration)]
    pub idle_close_after: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let flags = Self::augment_args(clap::Command::new("limits").no_binary_name(true));
        Self::from_arg_matches(&flags.get_matches_from(None::<&str>)).expect("every flag has a default")
    }
}

impl Limits {
    /// Connections past [`Limits::max_connections`] that are told that the guard is busy.
    pub const BUSY_CONNECTIONS: usize = 64;

    /// Checks the ranges.
    ///
    /// # Errors
    /// [`Error::Limit`] names the first that is out of range, by its flag.
    pub fn check(&self) -> Result<(), Error> {
        let Self { max_body, max_bodies, max_judging, max_connections, min_drain, drain_timeout, .. } = self;
        let out = |flag, problem: String| Err(Error::Limit { flag, problem });
        if !(1 << 10..=1 << 30).contains(max_body) {
            return out("--max-body", format!("{max_body} bytes is not from 1 KiB to 1 GiB"));
        }
        if max_bodies < max_body {
            return out("--max-bodies", format!("{max_bodies} bytes is less than one body may have, {max_body}"));
        }
        if *max_judging < 1 << 20 {
            return out("--max-judging", format!("{max_judging} bytes is less than 1 MiB"));
        }
        if *max_connections == 0 {
            return out("--max-connections", "must be at least 1".into());
        }
        let latest = *drain_timeout - self.closing();
        if *min_drain > latest {
            let problem = format!(
                "{min_drain:?} is more than {latest:?}, which --drain-timeout ({drain_timeout:?}) leaves before idle \
                 connections are closed"
            );
            return out("--min-drain", problem);
        }
        if self.idle_close_after.is_zero() {
            return out("--idle-close-after", "must be longer than zero".into());
        }
        Ok(())
    }

    /// When a drain begins to close idle connections, counted from when it was asked for.
    pub(crate) fn closing_at(&self) -> Duration {
        self.drain_timeout - self.closing()
    }

    fn closing(&self) -> Duration {
        LONGEST_CLOSING.min(self.drain_timeout / 2)
    }

    /// How long a connection must have been idle to be closed at the end of a drain: early enough for that.
    pub(crate) fn idle_close(&self) -> Duration {
        self.idle_close_after.min(self.closing() / 2)
    }

    /// How long a call may take here, from its `timeout` in the query (`10s`).
    pub(crate) fn budget(&self, query: Option<&str>) -> Result<Duration, BadTimeout> {
        let asked = query.unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("timeout="));
        let whole = match asked {
            Some(text) => duration(text).ok().filter(|timeout| !timeout.is_zero()).ok_or(BadTimeout)?,
            None => self.deadline,
        };
        let whole = whole.min(LONGEST_DEADLINE);
        Ok(whole - self.margin.min(whole / 2))
    }
}

/// A `?timeout=` that is not a duration, or zero.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadTimeout;

/// Reads a duration as Kubernetes users write it: `500ms`, `2s`, `1m30s`, `1.5s`.
///
/// # Errors
/// What is wrong with it.
pub fn duration(text: &str) -> Result<Duration, String> {
    let duration: SignedDuration = text.parse().map_err(|_| "not a duration like 500ms, 2s or 1m30s".to_owned())?;
    duration.try_into().map_err(|_| "less than zero".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        let ms = |millis| Ok(Duration::from_millis(millis));
        for (text, expected) in [
            ("10s", ms(10_000)),
            ("1m30s", ms(90_000)),
            ("1.5s", ms(1_500)),
            ("250ms", ms(250)),
            ("1h", ms(3_600_000)),
            ("5000us", ms(5)),
            ("5000µs", ms(5)),
            ("3000000ns", ms(3)),
            ("0s", ms(0)),
            ("-1s", Err("less than zero".to_owned())),
        ] {
            assert_eq!(duration(text), expected, "{text}");
        }
        for text in ["", "10", "s", "1.2.3s", "1d", "1e3s", "1m-5s", "99999999999999999999999h"] {
            assert_eq!(duration(text), Err("not a duration like 500ms, 2s or 1m30s".to_owned()), "{text}");
        }
    }

    #[test]
    fn the_budget_is_the_callers_time_out_less_a_margin() {
        let limits = Limits::default();
        for (query, millis) in [
            (None, 9_800),
            (Some(""), 9_800),
            (Some("timeout=5s"), 4_800),
            (Some("a=b&timeout=1s"), 800),
            (Some("timeout=100ms"), 50),
            (Some("timeout=1h"), 29_800),
        ] {
            assert_eq!(limits.budget(query), Ok(Duration::from_millis(millis)), "{query:?}");
        }
        for query in ["timeout=soon", "timeout=0s", "timeout=-1s", "timeout="] {
            assert_eq!(limits.budget(Some(query)), Err(BadTimeout), "{query}");
        }
    }

    #[test]
    fn limits_out_of_range_are_named() {
        Limits::default().check().unwrap();
        let with = |change: fn(&mut Limits)| {
            let mut limits = Limits::default();
            change(&mut limits);
            limits.check().unwrap_err().to_string()
        };
        for (problem, expected) in [
            (with(|limits| limits.max_body = 1), "--max-body: 1 bytes"),
            (with(|limits| limits.max_bodies = 1), "--max-bodies: 1 bytes is less"),
            (with(|limits| limits.max_judging = 1), "--max-judging: 1 bytes is less than 1 MiB"),
            (with(|limits| limits.max_connections = 0), "--max-connections: must be"),
            (with(|limits| limits.drain_timeout = Duration::from_secs(9)), "--min-drain: 5s is more than 4.5s"),
            (with(|limits| limits.idle_close_after = Duration::ZERO), "--idle-close-after: must be"),
        ] {
            assert!(problem.contains(expected), "{problem}");
        }
    }
}
