//! A new entry is `Ignore` until calls are known to arrive: under `Fail`, an entry that leads nowhere stops all writes.
//!
//! | state | in the object | desired | next |
//! |---|---|---|---|
//! | any | no entry | `Ignore` | waiting |
//! | waiting | `Ignore` | `Ignore` | on trial since now |
//! | on trial | `Ignore` | `Ignore`; `Fail` once a call arrived or the time is over | |
//! | passed | `Ignore` | `Fail`: somebody has changed it | |
//! | any | `Fail` | `Fail` | passed |

use std::time::{Duration, Instant};

use super::entry::{FAIL, IGNORE};

/// How far an entry is on its way to `Fail`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EntryTrial {
    /// Not seen in the object yet.
    #[default]
    Waiting,
    /// Seen there as `Ignore`.
    Running {
        /// When that was first seen.
        since: Instant,
    },
    /// It was `Fail`, or was written so.
    Passed,
}

/// What to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrialVerdict {
    /// The failure policy to have.
    pub failure_policy: &'static str,
    /// Whether the trial has just ended well.
    pub promoted: bool,
    /// When time alone will change it.
    pub until: Option<Instant>,
}

impl EntryTrial {
    /// The failure policy of an entry that is to become `Fail`. `current` is that in the object, if there is an entry.
    pub fn next(&mut self, now: Instant, current: Option<&str>, arrived: bool, length: Duration) -> TrialVerdict {
        *self = match (current, *self) {
            (None, _) => Self::Waiting,
            (Some(FAIL), _) => Self::Passed,
            (Some(_), Self::Waiting) => Self::Running { since: now },
            (Some(_), state) => state,
        };
        match *self {
            Self::Waiting => TrialVerdict { failure_policy: IGNORE, promoted: false, until: None },
            Self::Passed => TrialVerdict { failure_policy: FAIL, promoted: false, until: None },
            Self::Running { since } if arrived || now >= since + length => {
                TrialVerdict { failure_policy: FAIL, promoted: true, until: None }
            }
            Self::Running { since } => {
                TrialVerdict { failure_policy: IGNORE, promoted: false, until: Some(since + length) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_secs(10);

    /// Every state against every observation.
    #[test]
    fn trials() {
        let start = Instant::now();
        let on_trial = EntryTrial::Running { since: start };
        let (early, late) = (start + LENGTH / 2, start + LENGTH);
        let (waiting, passed) = (EntryTrial::Waiting, EntryTrial::Passed);
        // state, then the failure policy in the object, whether a call arrived, the time; next state, desired, promoted
        for (state, current, arrived, now, next, desired, promoted) in [
            (waiting, None, false, late, waiting, IGNORE, false),
            (waiting, None, true, early, waiting, IGNORE, false),
            (waiting, Some(IGNORE), false, start, on_trial, IGNORE, false),
            (waiting, Some(IGNORE), true, start, on_trial, FAIL, true),
            (waiting, Some(FAIL), false, start, passed, FAIL, false),
            (on_trial, None, false, early, waiting, IGNORE, false),
            (on_trial, None, true, late, waiting, IGNORE, false),
            (on_trial, Some(IGNORE), false, early, on_trial, IGNORE, false),
            (on_trial, Some(IGNORE), true, early, on_trial, FAIL, true),
            (on_trial, Some(IGNORE), false, late, on_trial, FAIL, true),
            (on_trial, Some(FAIL), false, early, passed, FAIL, false),
            (passed, None, true, late, waiting, IGNORE, false),
            (passed, Some(IGNORE), false, early, passed, FAIL, false),
            (passed, Some(FAIL), true, late, passed, FAIL, false),
        ] {
            let mut trial = state;
            let verdict = trial.next(now, current, arrived, LENGTH);
            let case = format!("{state:?} {current:?} arrived: {arrived}");
            assert_eq!((trial, verdict.failure_policy, verdict.promoted), (next, desired, promoted), "{case}");
            let waits = next == on_trial && desired == IGNORE;
            assert_eq!(verdict.until, waits.then_some(start + LENGTH), "{case}");
        }
    }
}
