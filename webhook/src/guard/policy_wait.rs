//! Calls for policies that are not known yet. Another replica may have seen a policy a moment earlier and made its entry, so
//! that calls for it come before this replica's watch tells of it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use statusguard_edge::GroupResource;
use tokio::time::{Instant, timeout_at};

use super::store::PolicyStore;

/// Resources that are remembered: anybody may call for any.
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

    /// Until there is a policy for the resource, or it was waited for long enough.
    pub async fn wait(&self, store: &PolicyStore, GroupResource { group, resource }: GroupResource<'_>) {
        if store.get(group, resource).is_some() {
            return;
        }
        let until = self.until((group.to_owned(), resource.to_owned()), Instant::now());
        let mut policies = store.in_force();
        let known = policies.wait_for(|_| store.get(group, resource).is_some());
        // It is judged in either case.
        drop(timeout_at(until, known).await);
    }

    /// When a call that has come now is not to wait any more. The oldest is forgotten for a new one.
    fn until(&self, name: (String, String), now: Instant) -> Instant {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        if begun.len() >= MOST
            && !begun.contains_key(&name)
            && let Some(oldest) = begun.iter().min_by_key(|(_, since)| **since).map(|(name, _)| name.clone())
        {
            begun.remove(&oldest);
        }
        let since = begun.entry(name).or_insert(now);
        if now >= *since + IN_VAIN {
            *since = now;
        }
        *since + self.longest
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
        assert_eq!(until("jobs", Duration::ZERO), start + LONGEST);
        assert_eq!(until("jobs", LONGEST / 2), start + LONGEST);
        assert_eq!(until("jobs", LONGEST * 2), start + LONGEST, "it is over");
        assert_eq!(until("tasks", LONGEST), start + LONGEST * 2, "another one");
        assert_eq!(until("jobs", IN_VAIN - LONGEST), start + LONGEST);
        assert_eq!(until("jobs", IN_VAIN), start + IN_VAIN + LONGEST);
    }

    #[test]
    fn no_more_are_remembered_than_the_bound() {
        let (wait, start) = (PolicyWait::new(LONGEST), Instant::now());
        let until = |at: usize, after: Duration| wait.until((String::new(), format!("r{at}")), start + after);
        let after = |at: usize| Duration::from_millis(at as u64);
        (0..=MOST).for_each(|at| assert_eq!(until(at, after(at)), start + after(at) + LONGEST));
        assert_eq!(wait.begun.lock().unwrap().len(), MOST);
        assert_eq!(until(1, after(MOST)), start + after(1) + LONGEST);
        assert_eq!(until(0, after(MOST)), start + after(MOST) + LONGEST, "the oldest was forgotten");
    }
}
