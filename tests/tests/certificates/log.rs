//! What is logged during a test.

use std::io::Write;
use std::sync::{Arc, Mutex};

use tracing::subscriber::DefaultGuard;
use tracing_subscriber::EnvFilter;

/// Everything that is logged on this thread: a test that has one runs on a runtime of one thread.
pub struct CapturedLog {
    lines: CapturedLines,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct CapturedLines(Arc<Mutex<Vec<u8>>>);

impl Write for CapturedLines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl CapturedLog {
    /// What the keeper of certificates says.
    pub fn start() -> Self {
        Self::with("statusguard_certs=info")
    }

    pub fn with(filter: &str) -> Self {
        let lines = CapturedLines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_env_filter(EnvFilter::new(filter));
        let guard = tracing::subscriber::set_default(subscriber.with_writer(move || writer.clone()).finish());
        Self { lines, _guard: guard }
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.lines.0.lock().unwrap().clone()).unwrap()
    }

    /// The lines that warn of something or tell of an error.
    pub fn problems(&self) -> Vec<String> {
        let is_problem = |line: &&str| [" WARN ", " ERROR "].iter().any(|level| line.contains(level));
        self.text().lines().filter(is_problem).map(str::to_owned).collect()
    }

    /// The one problem, which says all of this.
    pub fn says_once(&self, parts: &[&str]) {
        let problems = self.problems();
        let [line] = &*problems else { panic!("one problem: {problems:#?}") };
        for part in parts {
            assert!(line.contains(part), "{part}: {line}");
        }
    }

    pub fn says_that_it_is_over(&self) {
        let text = self.text();
        assert_eq!(text.matches("the last problem is over").count(), 1, "{text}");
    }
}
