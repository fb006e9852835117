//! Calls for policies that are not known yet. Another replica may have seen a policy a moment earlier and made its entry, so
//! that calls for it come before this replica's watch tells of it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use statusguard_edge::GroupResource;
use tokio::time::{Instant, timeout_at};

use super::store::PolicyStore;

/// Resources that are waited for at a time: anybody may call for any.
const MOST: usize = 100;
/// For so long, a policy that did not come is not waited for again.
const IN_VAIN: Duration = Duration::from_secs(600);

/// Who waits, and since when.
pub struct PolicyWait {
    longest: Duration,
    /// When the first call for a resource came.
    begun: Mutex<HashMap<(String, String), Instant>>,
}

impl PolicyWait {
    /// All calls for one resource together wait for this time at most.
    pub fn new(longest: Duration) -> Self {
        Self { longest, begun: Mutex::default() }
    }

    /// Until there is a policy for the resource, or there was one, or it was waited for long enough.
    pub async fn wait(&self, store: &PolicyStore, GroupResource { group, resource }: GroupResource<'_>) {
        if store.knows(group, resource) {
            return;
        }
        let Some(until) = self.until((group.to_owned(), resource.to_owned()), Instant::now()) else { return };
        let mut policies = store.in_force();
        let known = policies.wait_for(|_| store.knows(group, resource));
        // It is judged in either case.
        drop(timeout_at(until, known).await);
    }

    fn until(&self, name: (String, String), now: Instant) -> Option<Instant> {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        if !begun.contains_key(&name) {
            if begun.len() >= MOST {
                begun.retain(|_, since| now < *since + IN_VAIN);
            }
            if begun.len() >= MOST {
                return None;
            }
        }
        let since = begun.entry(name).or_insert(now);
        if now >= *since + IN_VAIN {
            *since = now;
        }
        Some(*since + self.longest).filter(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_millis(500);

    #[test]
    fn all_calls_for_a_resource_share_the_time() {
        let (wait, start) = (PolicyWait::new(LONGEST), Instant::now());
        let until = |resource: &str, after: Duration| wait.until((String::new(), resource.to_owned()), start + after);
        assert_eq!(until("jobs", Duration::ZERO), Some(start + LONGEST));
        assert_eq!(until("jobs", LONGEST / 2), Some(start + LONGEST));
        assert_eq!(until("jobs", LONGEST), None);
        assert_eq!(until("tasks", LONGEST), Some(start + LONGEST * 2), "another one");
        assert_eq!(until("jobs", IN_VAIN - LONGEST), None);
        assert_eq!(until("jobs", IN_VAIN), Some(start + IN_VAIN + LONGEST));
    }

    #[test]
    fn no_more_are_waited_for_than_the_bound() {
        let (wait, start) = (PolicyWait::new(LONGEST), Instant::now());
        let until = |at: usize, after: Duration| wait.until((String::new(), format!("r{at}")), start + after);
        assert!((0..MOST).all(|at| until(at, Duration::ZERO).is_some()));
        assert_eq!(until(MOST, Duration::ZERO), None);
        assert!(until(MOST, IN_VAIN).is_some(), "those from before are forgotten");
    }
}
