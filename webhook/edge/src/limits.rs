//! Every bound of the edge, each with unit, range and default.

use std::time::Duration;

use crate::error::Error;

/// The API server accepts no longer `timeoutSeconds`.
const LONGEST_DEADLINE: Duration = Duration::from_secs(30);

/// Bounds of the edge. [`Limits::default`] is for production; a test sets the one it exceeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Longest request body, in bytes, 1 KiB to 1 GiB. Default 8 MiB: two objects at etcd's limit
    /// of 1.5 MiB and the same again. Over it: HTTP 413.
    pub body: usize,
    /// Request bodies held at a time, bytes over all connections, at least `body`. Default 64 MiB.
    /// Over it: HTTP 503 with `Retry-After: 1`, which the API server retries by itself.
    pub bodies: usize,
    /// Open connections on the admission port, at least 1. Default 1024. Over it: HTTP 503 with
    /// `Retry-After: 1` to each call of 64 more, which are closed then; past those, closed at once.
    pub connections: usize,
    /// From accepting a connection to the end of the TLS handshake. Default 5 s. Over it: closed.
    pub handshake: Duration,
    /// From the first byte of a request (or the handshake) to the end of its header, and for a peer
    /// to take a reply. Default 5 s. Over it: closed.
    pub header: Duration,
    /// A kept-alive connection without a request. Default 120 s; the API server closes its own idle
    /// connections after 90 s, and whoever closes first can cut a call. Over it: closed.
    pub idle: Duration,
    /// For a call without `?timeout=`. Default 10 s, the API server's own; at most 30 s, as is a
    /// `?timeout=`. Over it: HTTP 408 while the body is being read.
    pub deadline: Duration,
    /// How long before the caller's time-out an answer goes out. Default 200 ms; never more than
    /// half of the time-out.
    pub margin: Duration,
    /// A judge that does not know a target's policy yet is waited for. Default 500 ms. Over it: the
    /// judge is asked all the same.
    pub policy_wait: Duration,
    /// A reply waits for its record. Default 500 ms. Over it: the reply goes out, the record
    /// follows, and `statusguard_records_late_total` counts it.
    pub record_wait: Duration,
    /// Records being written at a time, late ones included. Default 1024. Over it: a new record is
    /// dropped and counted in `statusguard_records_dropped_total`.
    pub records: usize,
    /// Shutdown: at least so long new connections are accepted, until no endpoint leads here any
    /// more. Default 5 s, at most `drain_timeout`.
    pub min_drain: Duration,
    /// Shutdown: at most so long replies ask their connections to end. Default 20 s. Over it: what
    /// is idle is closed.
    pub drain_timeout: Duration,
    /// Shutdown, past `drain_timeout`: how long a connection must have been idle to be closed. Default 1 s.
    pub idle_close_after: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 8 << 20,
            bodies: 64 << 20,
            connections: 1024,
            handshake: Duration::from_secs(5),
            header: Duration::from_secs(5),
            idle: Duration::from_secs(120),
            deadline: Duration::from_secs(10),
            margin: Duration::from_millis(200),
            policy_wait: Duration::from_millis(500),
            record_wait: Duration::from_millis(500),
            records: 1024,
            min_drain: Duration::from_secs(5),
            drain_timeout: Duration::from_secs(20),
            idle_close_after: Duration::from_secs(1),
        }
    }
}

impl Limits {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`Error::Limit`] names the first that is out of range.
    pub fn check(&self) -> Result<(), Error> {
        let out = |limit, problem: String| Err(Error::Limit { limit, problem });
        let positive = [
            ("handshake", self.handshake),
            ("header", self.header),
            ("idle", self.idle),
            ("deadline", self.deadline),
            ("idle_close_after", self.idle_close_after),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, value)| value.is_zero()) {
            return out(name, "must be longer than zero".into());
        }
        if !(1 << 10..=1 << 30).contains(&self.body) {
            return out("body", format!("{} bytes is not from 1 KiB to 1 GiB", self.body));
        }
        if self.bodies < self.body {
            return out("bodies", format!("{} bytes is less than one body may have, {}", self.bodies, self.body));
        }
        if self.connections == 0 {
            return out("connections", "must be at least 1".into());
        }
        if self.deadline > LONGEST_DEADLINE {
            return out("deadline", format!("{:?} is more than {LONGEST_DEADLINE:?}", self.deadline));
        }
        if self.min_drain > self.drain_timeout {
            return out(
                "min_drain",
                format!("{:?} is more than the whole drain time-out, {:?}", self.min_drain, self.drain_timeout),
            );
        }
        Ok(())
    }

    /// How long a call may take here, from its `timeout` in the query (`10s`).
    pub(crate) fn budget(&self, query: Option<&str>) -> Result<Duration, BadTimeout> {
        let asked = query.unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("timeout="));
        let whole = match asked {
            Some(text) => go_duration(text).ok_or(BadTimeout)?,
            None => self.deadline,
        };
        let whole = whole.min(LONGEST_DEADLINE);
        Ok(whole - self.margin.min(whole / 2))
    }
}

/// A `?timeout=` that is no duration.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadTimeout;

/// A duration as Go writes it (`1m30s`, `1.5s`, `250ms`); `None` for zero, negative and others.
fn go_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut sum = 0.0_f64;
    while !rest.is_empty() {
        let number = rest.find(|char: char| !char.is_ascii_digit() && char != '.')?;
        let (value, tail) = rest.split_at(number);
        let unit = tail.find(|char: char| char.is_ascii_digit() || char == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let scale = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" | "μs" | "%C2%B5s" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        sum += value.parse::<f64>().ok()? * scale;
        rest = tail;
    }
    Duration::try_from_secs_f64(sum).ok().filter(|duration| !duration.is_zero())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

    use super::*;

    #[test]
    fn durations_of_go() {
        let ms = |millis| Some(Duration::from_millis(millis));
        for (text, expected) in [
            ("10s", ms(10_000)),
            ("1m30s", ms(90_000)),
            ("1.5s", ms(1_500)),
            ("250ms", ms(250)),
            ("1h", ms(3_600_000)),
            ("5000us", ms(5)),
            ("5000µs", ms(5)),
            ("3000000ns", ms(3)),
            ("", None),
            ("0s", None),
            ("-1s", None),
            ("10", None),
            ("s", None),
            ("1.2.3s", None),
            ("10 s", None),
            ("1d", None),
            ("99999999999999999999999h", None),
        ] {
            assert_eq!(go_duration(text), expected, "{text}");
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
        assert_eq!(limits.budget(Some("timeout=soon")), Err(BadTimeout));
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
            (with(|limits| limits.body = 1), "body: 1 bytes"),
            (with(|limits| limits.bodies = 1), "bodies: 1 bytes is less"),
            (with(|limits| limits.connections = 0), "connections: must be"),
            (with(|limits| limits.header = Duration::ZERO), "header: must be longer"),
            (with(|limits| limits.deadline = Duration::from_secs(31)), "deadline: 31s is more than 30s"),
            (with(|limits| limits.drain_timeout = Duration::ZERO), "min_drain: 5s is more than"),
        ] {
            assert!(problem.contains(expected), "{problem}");
        }
    }
}
