//! A request that fails again and again: said once, tried ever more rarely.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use statusguard_certs::missing_right;

use super::request::RequestError;

/// What is asked of the API server, in the words of a role, and what its failure means.
#[derive(Clone, Debug)]
pub struct RequestKind {
    /// The verb.
    pub verb: &'static str,
    /// Plural of the resource, with its subresource.
    pub resource: &'static str,
    /// API group.
    pub group: &'static str,
    /// The object, if it is always the same; for Events the one that they are about.
    pub name: Option<String>,
    /// What does not work meanwhile.
    pub consequence: &'static str,
    /// What to do about it, where that is not what one would do about any request.
    pub cure: fn(&RequestError) -> Option<&'static str>,
}

/// How long there is between two attempts.
#[derive(Clone, Copy, Debug)]
pub struct RetryTiming {
    /// After the first failure; doubled from failure to failure.
    pub first: Duration,
    /// The most, and the time after a missing right.
    pub slowest: Duration,
}

/// The failures of one kind of request, one after another.
pub struct RequestProblem {
    kind: RequestKind,
    timing: RetryTiming,
    errors: Counter,
    /// What was said, and the wait that followed.
    said: Option<(String, Duration)>,
}

impl RequestProblem {
    /// Nothing has failed yet; `errors` counts what does.
    pub fn new(kind: RequestKind, timing: RetryTiming, errors: Counter) -> Self {
        Self { kind, timing, errors, said: None }
    }

    /// Says what failed unless that was the last thing said. Returns the time until the next attempt.
    pub fn failed(&mut self, error: &RequestError) -> Duration {
        self.errors.inc();
        let RetryTiming { first, slowest } = self.timing;
        let said = topic(error);
        let delay = match (&self.said, error) {
            (_, RequestError::Forbidden(_)) => slowest,
            (Some((_, delay)), _) => (*delay * 2).min(slowest),
            (None, _) => first,
        };
        if self.said.as_ref().is_none_or(|(before, _)| *before != said) {
            let RequestKind { verb, resource, group, name, consequence, .. } = &self.kind;
            let cure = self.cure(error);
            tracing::error!(verb, resource, group, name, %error, consequence, cure, "request failed");
        }
        self.said = Some((said, delay));
        delay
    }

    /// It works, or works again.
    pub fn succeeded(&mut self) {
        if self.said.take().is_some() {
            let RequestKind { verb, resource, group, name, .. } = &self.kind;
            tracing::info!(verb, resource, group, name, "works again");
        }
    }

    fn cure(&self, error: &RequestError) -> String {
        let RequestKind { verb, resource, group, name, cure, .. } = &self.kind;
        match (cure(error), error) {
            (Some(cure), _) => cure.to_owned(),
            (None, RequestError::Forbidden(_)) => missing_right(verb, resource, group, name.as_deref()),
            (None, RequestError::Unreachable(_)) => {
                "none needed if the API server comes back; it is tried again".to_owned()
            }
            _ => "see the API server's message; it is tried again".to_owned(),
        }
    }
}

/// The same for errors that are one and the same to whoever reads the log.
fn topic(error: &RequestError) -> String {
    match error {
        RequestError::Absent => "absent".to_owned(),
        RequestError::Conflict => "conflict".to_owned(),
        RequestError::Forbidden(_) => "forbidden".to_owned(),
        RequestError::Invalid(_, fields) => format!("invalid {}", fields.join(" ")),
        RequestError::Refused(..) => "refused".to_owned(),
        RequestError::Unreachable(_) => "unreachable".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::log::capture;

    fn problem(verb: &'static str) -> RequestProblem {
        let kind = RequestKind {
            verb,
            resource: "validatingwebhookconfigurations",
            group: "admissionregistration.k8s.io",
            name: Some("guard".to_owned()),
            consequence: "nothing is kept",
            cure: |error| matches!(error, RequestError::Absent).then_some("apply it"),
        };
        let timing = RetryTiming { first: Duration::from_secs(1), slowest: Duration::from_secs(60) };
        RequestProblem::new(kind, timing, Counter::default())
    }

    #[test]
    fn a_missing_right_is_named_with_its_cure() {
        let forbidden = RequestError::Forbidden(String::new());
        assert_eq!(
            problem("update").cure(&forbidden),
            "give the guard's service account the verb update on validatingwebhookconfigurations \
             (apiGroups: [admissionregistration.k8s.io], resourceNames: [guard]) by a role"
        );
        assert_eq!(
            problem("create").cure(&forbidden),
            "give the guard's service account the verb create on validatingwebhookconfigurations \
             (apiGroups: [admissionregistration.k8s.io]) by a role"
        );
        assert_eq!(problem("get").cure(&RequestError::Absent), "apply it");
    }

    #[test]
    fn each_failure_is_said_once_until_it_is_another() {
        let mut problem = problem("update");
        let forbidden = || RequestError::Forbidden("alice cannot update".into());
        let log = capture(|| {
            for number in 0..5 {
                problem.failed(&forbidden());
                problem.failed(&forbidden());
                problem.failed(&RequestError::Unreachable(format!("port {number}")));
                problem.failed(&RequestError::Unreachable(format!("port {number} again")));
            }
            problem.succeeded();
            problem.succeeded();
        });
        assert_eq!(log.matches("alice cannot update").count(), 5, "{log}");
        assert_eq!(log.matches("request failed").count(), 10, "{log}");
        assert_eq!(log.matches("works again").count(), 1, "{log}");
        assert_eq!(problem.errors.get(), 20);
    }

    #[test]
    fn other_fields_that_are_not_valid_are_said_again() {
        let mut problem = problem("update");
        let invalid = |message: &str, field: &str| RequestError::Invalid(message.into(), vec![field.into()]);
        let log = capture(|| {
            problem.failed(&invalid("one", "webhooks[0].rules"));
            problem.failed(&invalid("the same of another object", "webhooks[0].rules"));
            problem.failed(&invalid("two", "webhooks[0].name"));
        });
        assert_eq!(log.matches("request failed").count(), 2, "{log}");
    }

    #[test]
    fn attempts_grow_rare_and_begin_anew_after_a_success() {
        let mut problem = problem("get");
        let away = RequestError::Unreachable("away".into());
        let mut waits: Vec<u64> = (0..8).map(|_| problem.failed(&away).as_secs()).collect();
        problem.succeeded();
        waits.push(problem.failed(&away).as_secs());
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 1]);
        assert_eq!(problem.failed(&RequestError::Forbidden(String::new())), Duration::from_secs(60));
    }
}
