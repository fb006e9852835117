//! Keeps one kind of event from filling the log: a few lines of each cause in a window of time, the rest counted.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What was logged of each cause. Causes come from a bounded set.
pub(crate) struct LogLimit {
    lines: u32,
    window: Duration,
    causes: Mutex<BTreeMap<&'static str, CauseWindow>>,
}

struct CauseWindow {
    begun: Instant,
    lines: u32,
    left_out: u64,
}

impl LogLimit {
    /// So many lines of one cause in a window.
    pub(crate) fn new(lines: u32, window: Duration) -> Self {
        Self { lines, window, causes: Mutex::default() }
    }

    /// Whether an event of this cause is to be logged now; then with the number of those that were left out before it.
    pub(crate) fn admit(&self, cause: &'static str, now: Instant) -> Option<u64> {
        let mut causes = self.causes.lock().unwrap_or_else(PoisonError::into_inner);
        let window = causes.entry(cause).or_insert(CauseWindow { begun: now, lines: 0, left_out: 0 });
        if now.duration_since(window.begun) >= self.window {
            (window.begun, window.lines) = (now, 0);
        }
        if window.lines >= self.lines {
            window.left_out += 1;
            return None;
        }
        window.lines += 1;
        Some(std::mem::take(&mut window.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_lines_of_each_cause_in_a_window() {
        const LINES: u32 = 10;
        const WINDOW: Duration = Duration::from_secs(1);
        let limit = LogLimit::new(LINES, WINDOW);
        let start = Instant::now();
        let logged = |cause, now| (0..1000).filter_map(|_| limit.admit(cause, now)).collect::<Vec<_>>();
        assert_eq!(logged("NotFound", start), [0; LINES as usize]);
        assert_eq!(logged("NotFound", start + WINDOW / 2), [0; 0]);
        assert_eq!(logged("BadRequest", start), [0; LINES as usize], "another cause");
        let later = logged("NotFound", start + WINDOW);
        assert_eq!((later.len(), later.iter().sum::<u64>()), (LINES as usize, 2000 - u64::from(LINES)));
    }
}
