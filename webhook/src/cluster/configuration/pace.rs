//! How soon a repair may follow the last: at once after quiet times, then ever later while somebody undoes it.

use std::time::{Duration, Instant};

use super::settings::KeeperTiming;

/// When repairs may be written.
#[derive(Debug, Default)]
pub struct RepairPace {
    /// The last repair, and how long the next waits.
    last: Option<(Instant, Duration)>,
}

impl RepairPace {
    /// When a repair of a difference seen at `now` may be written.
    pub fn due(&self, now: Instant, timing: &KeeperTiming) -> Instant {
        match self.last {
            Some((at, delay)) if now < at + timing.quiet => now.max(at + delay),
            _ => now,
        }
    }

    /// A repair was written. Returns the least time until the next.
    pub fn repaired(&mut self, now: Instant, timing: &KeeperTiming) -> Duration {
        let delay = match self.last {
            Some((at, delay)) if now < at + timing.quiet => (delay * 2).min(timing.slowest_repair),
            _ => timing.second_repair,
        };
        self.last = Some((now, delay));
        delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often somebody is undone who undoes every repair at once.
    #[test]
    fn repairs_grow_rare_and_begin_anew_after_quiet() {
        let (start, timing) = (Instant::now(), KeeperTiming::default());
        let (mut pace, mut now, mut at) = (RepairPace::default(), start, Vec::new());
        while now < start + Duration::from_secs(3600) {
            now = pace.due(now, &timing);
            at.push((now - start).as_secs());
            pace.repaired(now, &timing);
        }
        assert_eq!(at[..9], [0, 1, 3, 7, 15, 31, 63, 123, 183]);
        assert!(at.len() < 70, "{} in an hour", at.len());
        let later = now + timing.quiet;
        assert_eq!(pace.due(later, &timing), later);
        assert_eq!(pace.repaired(later, &timing), timing.second_repair);
    }

    #[test]
    fn a_repair_long_after_the_last_but_not_after_quiet_goes_out_at_once() {
        let (start, timing) = (Instant::now(), KeeperTiming::default());
        let mut pace = RepairPace::default();
        pace.repaired(start, &timing);
        let later = start + timing.second_repair * 2;
        assert_eq!(pace.due(later, &timing), later);
        assert_eq!(pace.repaired(later, &timing), timing.second_repair * 2);
    }
}
