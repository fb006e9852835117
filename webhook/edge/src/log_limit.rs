//! Keeps one kind of event from filling the log: a few lines a second of each cause, the rest counted.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const WINDOW: Duration = Duration::from_secs(1);
/// Lines of one cause in a window.
const LINES: u32 = 10;

/// What was logged of each cause. Causes come from a bounded set.
#[derive(Default)]
pub(crate) struct LogLimit(Mutex<BTreeMap<&'static str, CauseWindow>>);

struct CauseWindow {
    begun: Instant,
    lines: u32,
    left_out: u64,
}

impl LogLimit {
    /// Whether an event of this cause is to be logged now; then with the number of those that were left out before it.
    pub(crate) fn admit(&self, cause: &'static str, now: Instant) -> Option<u64> {
        let mut causes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let window = causes.entry(cause).or_insert(CauseWindow { begun: now, lines: 0, left_out: 0 });
        if now.duration_since(window.begun) >= WINDOW {
            (window.begun, window.lines) = (now, 0);
        }
        if window.lines >= LINES {
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
    fn a_few_lines_a_second_of_each_cause() {
        let limit = LogLimit::default();
        let start = Instant::now();
        let logged = |cause, now| (0..1000).filter_map(|_| limit.admit(cause, now)).collect::<Vec<_>>();
        assert_eq!(logged("NotFound", start), [0; LINES as usize]);
        assert_eq!(logged("NotFound", start + WINDOW / 2), [0; 0]);
        assert_eq!(logged("BadRequest", start), [0; LINES as usize], "another cause");
        let later = logged("NotFound", start + WINDOW);
        assert_eq!((later.len(), later.iter().sum::<u64>()), (LINES as usize, 2000 - u64::from(LINES)));
    }
}
