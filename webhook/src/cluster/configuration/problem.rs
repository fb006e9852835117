//! A request that fails again and again: said once, tried ever more rarely.

use std::time::Duration;

use super::metrics::ConfigurationMetrics;
use super::request::{RequestError, RequestVerb};
use super::settings::KeeperTiming;

/// The failures of one verb, one after another.
pub struct RequestProblem {
    verb: RequestVerb,
    /// Plural and group, and which object, as roles name them.
    resource: &'static str,
    name: String,
    metrics: ConfigurationMetrics,
    /// What was said, and the wait that followed.
    said: Option<(String, Duration)>,
}

impl RequestProblem {
    pub fn new(verb: RequestVerb, resource: &'static str, name: &str, metrics: ConfigurationMetrics) -> Self {
        Self { verb, resource, name: name.to_owned(), metrics, said: None }
    }

    /// Says what failed unless that was the last thing said. Returns the time until the next attempt.
    pub fn failed(&mut self, error: &RequestError, timing: &KeeperTiming) -> Duration {
        self.metrics.failed(self.verb);
        let said = match error {
            RequestError::Invalid(message, _) => message.clone(),
            error => error.category().to_owned(),
        };
        let delay = match (&self.said, error) {
            (_, RequestError::Forbidden(_)) => timing.slowest_retry,
            (Some((_, delay)), _) => (*delay * 2).min(timing.slowest_retry),
            (None, _) => timing.first_retry,
        };
        if self.said.as_ref().is_none_or(|(before, _)| *before != said) {
            self.say(error);
        }
        self.said = Some((said, delay));
        delay
    }

    /// It works, or works again.
    pub fn succeeded(&mut self) {
        if self.said.take().is_some() {
            tracing::info!(verb = self.verb.name(), resource = self.resource, name = self.name, "works again");
        }
    }

    fn say(&self, error: &RequestError) {
        let (verb, resource, name) = (self.verb.name(), self.resource, &*self.name);
        let (consequence, cure) = (self.consequence(), self.cure(error));
        tracing::error!(verb, resource, name, %error, consequence, cure, "request failed");
    }

    /// What does not work now.
    fn consequence(&self) -> &'static str {
        match self.verb {
            RequestVerb::Get => {
                "the webhook configuration stays as it is: changed policies and certificates do not reach it"
            }
            RequestVerb::List | RequestVerb::Watch => "changes of the webhook configuration by others are noticed late",
            RequestVerb::Update => {
                "the webhook configuration stays as it is: changed policies and certificates do not reach it"
            }
            RequestVerb::Create => "no Event tells of repairs; the log and the metrics do",
        }
    }

    fn cure(&self, error: &RequestError) -> String {
        match error {
            RequestError::Forbidden(_) => {
                let (resource, group) = self.resource.split_once('.').unwrap_or((self.resource, ""));
                format!(
                    "give the guard's service account the verb {} on {resource} (apiGroups: [{group}]{}) by a role",
                    self.verb.name(),
                    if self.verb == RequestVerb::Create {
                        String::new()
                    } else {
                        format!(", resourceNames: [{}]", self.name)
                    },
                )
            }
            RequestError::Unreachable(_) => "none needed if the API server comes back; it is tried again".to_owned(),
            _ => "see the API server's message; it is tried again".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    fn problem(verb: RequestVerb) -> RequestProblem {
        RequestProblem::new(
            verb,
            "validatingwebhookconfigurations.admissionregistration.k8s.io",
            "guard",
            Default::default(),
        )
    }

    #[test]
    fn a_missing_right_is_named_with_its_cure() {
        let cure = problem(RequestVerb::Update).cure(&RequestError::Forbidden(String::new()));
        assert_eq!(
            cure,
            "give the guard's service account the verb update on validatingwebhookconfigurations \
             (apiGroups: [admissionregistration.k8s.io], resourceNames: [guard]) by a role"
        );
    }

    /// What is written to the log meanwhile.
    fn logged(work: impl FnOnce()) -> String {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let writer = Arc::clone(&lines);
        let log = tracing_subscriber::fmt().with_ansi(false).with_writer(move || Lines(Arc::clone(&writer))).finish();
        tracing::subscriber::with_default(log, work);
        String::from_utf8(lines.lock().unwrap().clone()).unwrap()
    }

    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn each_failure_is_said_once_until_it_is_another() {
        let timing = KeeperTiming::default();
        let mut problem = problem(RequestVerb::Update);
        let forbidden = || RequestError::Forbidden("alice cannot update".into());
        let log = logged(|| {
            for number in 0..5 {
                problem.failed(&forbidden(), &timing);
                problem.failed(&forbidden(), &timing);
                problem.failed(&RequestError::Unreachable(format!("port {number}")), &timing);
                problem.failed(&RequestError::Unreachable(format!("port {number} again")), &timing);
            }
            problem.succeeded();
            problem.succeeded();
        });
        assert_eq!(log.matches("alice cannot update").count(), 5, "{log}");
        assert_eq!(log.matches("request failed").count(), 10, "{log}");
        assert_eq!(log.matches("works again").count(), 1, "{log}");
    }

    #[test]
    fn attempts_grow_rare_and_begin_anew_after_a_success() {
        let timing = KeeperTiming::default();
        let mut problem = problem(RequestVerb::Get);
        let away = RequestError::Unreachable("away".into());
        let mut waits: Vec<u64> = (0..8).map(|_| problem.failed(&away, &timing).as_secs()).collect();
        problem.succeeded();
        waits.push(problem.failed(&away, &timing).as_secs());
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 1]);
        assert_eq!(problem.failed(&RequestError::Forbidden(String::new()), &timing), timing.slowest_retry);
    }
}
