//! The four edits of a status that controllers keep writing by hand.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

/// A counter of a status: an integer, or one that is absent until first counted.
pub trait Counter {
    /// Adds `by`, stopping at the largest value of the type.
    fn add(&mut self, by: u32);
}

macro_rules! counter {
    ($($integer:ty),*) => {$(
        impl Counter for $integer {
            fn add(&mut self, by: u32) {
                *self = self.saturating_add(<$integer>::try_from(by).unwrap_or(<$integer>::MAX));
            }
        }
    )*};
}
counter!(i32, i64, u32, u64);

impl<C: Counter + Default> Counter for Option<C> {
    fn add(&mut self, by: u32) {
        self.get_or_insert_with(C::default).add(by);
    }
}

/// A field that may be set once held another value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the field is set to another value and may be set only once")]
pub struct AlreadySet;

/// Counts one up.
///
/// ```
/// let mut attempts: Option<i64> = None;
/// atomic_status::increment(&mut attempts);
/// assert_eq!(attempts, Some(1));
/// ```
pub fn increment(counter: &mut impl Counter) {
    counter.add(1);
}

/// Sets a field that is never changed afterwards; setting the same value again is not a change.
///
/// # Errors
/// [`AlreadySet`] when the field holds another value.
///
/// ```
/// let mut started = None;
/// assert_eq!(atomic_status::set_once(&mut started, "10:00"), Ok(true));
/// assert_eq!(atomic_status::set_once(&mut started, "10:00"), Ok(false));
/// assert!(atomic_status::set_once(&mut started, "10:01").is_err());
/// ```
pub fn set_once<T: PartialEq>(field: &mut Option<T>, value: T) -> Result<bool, AlreadySet> {
    match field {
        Some(held) if *held == value => Ok(false),
        Some(_) => Err(AlreadySet),
        None => {
            *field = Some(value);
            Ok(true)
        }
    }
}

/// Appends an entry unless one with its identity is there; says whether it did.
///
/// ```
/// let mut attempts = vec![(1, "sent")];
/// assert!(!atomic_status::append_once(&mut attempts, (1, "again"), |entry| entry.0));
/// assert!(atomic_status::append_once(&mut attempts, (2, "sent"), |entry| entry.0));
/// ```
pub fn append_once<T, I: PartialEq>(list: &mut Vec<T>, entry: T, identity: impl Fn(&T) -> I) -> bool {
    let name = identity(&entry);
    let fresh = !list.iter().any(|held| identity(held) == name);
    if fresh {
        list.push(entry);
    }
    fresh
}

/// Sets the condition of its type; says whether anything changed.
///
/// `lastTransitionTime` of `condition` is the present time as the caller sees it. It is taken over
/// only if `status` flips or the condition is new; reason, message and `observedGeneration` are
/// always taken over.
///
/// ```
/// use atomic_status::set_condition;
/// use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
///
/// # fn doc(conditions: &mut Vec<Condition>, now: Time, generation: Option<i64>) {
/// set_condition(conditions, Condition {
///     type_: "Ready".into(),
///     status: "True".into(),
///     reason: "Delivered".into(),
///     message: "all channels answered".into(),
///     observed_generation: generation,
///     last_transition_time: now,
/// });
/// # }
/// ```
pub fn set_condition(conditions: &mut Vec<Condition>, mut condition: Condition) -> bool {
    let Some(held) = conditions.iter_mut().find(|held| held.type_ == condition.type_) else {
        conditions.push(condition);
        return true;
    };
    if held.status == condition.status {
        condition.last_transition_time = held.last_transition_time.clone();
    }
    let changed = *held != condition;
    *held = condition;
    changed
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use k8s_openapi::jiff::Timestamp;

    use super::*;

    fn ready(status: &str, message: &str, second: i64) -> Condition {
        Condition {
            type_: "Ready".into(),
            status: status.into(),
            reason: "Tested".into(),
            message: message.into(),
            observed_generation: Some(second),
            last_transition_time: Time(Timestamp::from_second(second).unwrap()),
        }
    }

    #[test]
    fn transition_time_moves_only_when_the_status_flips() {
        let mut conditions = Vec::new();
        assert!(set_condition(&mut conditions, ready("False", "a", 1)));
        assert!(set_condition(&mut conditions, ready("False", "b", 2)));
        assert_eq!(conditions[0].message, "b");
        assert_eq!(conditions[0].observed_generation, Some(2));
        assert_eq!(conditions[0].last_transition_time, ready("", "", 1).last_transition_time);

        assert!(set_condition(&mut conditions, ready("True", "b", 3)));
        assert_eq!(conditions[0].last_transition_time, ready("", "", 3).last_transition_time);
        assert!(!set_condition(&mut conditions, Condition { observed_generation: Some(3), ..ready("True", "b", 9) }));
        assert_eq!(conditions.len(), 1);
    }

    #[test]
    fn counters_start_at_nothing_and_stop_at_their_largest_value() {
        let mut absent: Option<u32> = None;
        increment(&mut absent);
        assert_eq!(absent, Some(1));
        let mut full = i32::MAX;
        increment(&mut full);
        assert_eq!(full, i32::MAX);
    }
}
