//! The steps of a rotation, and which is next.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::heal::kept;
use crate::observation::{Observation, SecretContent, Unusable};
use crate::state::{AuthorityId, AuthorityRecord, Role, RotationState};
use crate::time::{UnixTime, Validity};
use crate::timing::{BadTiming, Timing};

/// The part of an authority's life after which its successor is made.
const RENEW_AFTER: f64 = 2.0 / 3.0;

/// What to do. Each step is one write or none; the caller makes it and then observes anew.
///
/// Steps may be repeated, lost, or taken by several replicas at once: every write carries the version that was read
/// (`resourceVersion`; a missing Secret is created), so that at most one of them succeeds on what all of them have seen.
/// After a conflict, any other error, or a crash there is nothing to undo: observe anew and ask again. A step is
/// taken on the observation that led to it or not at all.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Make an authority, and write it into the Secret together with the state that [`Addition::with`] returns.
    Add(Addition),
    /// Write this state into the Secret.
    Write {
        /// The whole new state.
        state: RotationState,
        /// What is new in it, for logs and metrics.
        change: StateChange,
    },
    /// Write this bundle into some configurations. Their certificates are in the Secret.
    Publish {
        /// What each is to hold, all of it: never empty, at most three.
        bundle: BTreeSet<AuthorityId>,
        /// Indices into [`Observation::bundles`].
        to: Vec<usize>,
    },
    /// There is nothing to do; observe anew at this time by the wall clock, or when something changes.
    Wait {
        /// At most one tick ahead.
        until: UnixTime,
        /// What is waited for.
        reason: WaitReason,
    },
}

/// An authority to be made.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Addition {
    /// The validity that its certificate must have.
    pub validity: Validity,
    /// Why it is made.
    pub cause: AddCause,
    base: RotationState,
}

impl Addition {
    /// The authorities that stay. The Secret must hold their certificates, too: those that it does not have are in the
    /// observed bundles.
    #[must_use]
    pub fn kept(&self) -> &[AuthorityRecord] {
        self.base.authorities()
    }

    /// The state to write, once the new authority has an id.
    #[must_use]
    pub fn with(self, id: AuthorityId) -> RotationState {
        let mut state = self.base;
        state.authorities.retain(|authority| authority.id != id);
        state.authorities.push(AuthorityRecord::new(id, self.validity, Role::Next { published_at: None }));
        state
    }
}

/// Why an authority is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AddCause {
    /// There is no Secret: the first start, or somebody deleted it.
    NoSecret,
    /// The Secret cannot be used.
    Unusable,
    /// Two thirds of the current authority's life have passed.
    Due,
    /// No authority is valid now: they have ended, or the clock went back to before they begin.
    NoneValid,
    /// The clock says that the next authority is not valid.
    NextInvalid,
}

/// What is new in a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StateChange {
    /// Every bundle holds the next authority: its spreading begins.
    Published,
    /// A bundle does not hold the next authority any more: its spreading has to begin again.
    PublicationLost,
    /// The next authority is the current one.
    Promoted,
    /// It is known when the last leaves of the retired authorities end.
    LeavesBounded,
    /// Retired authorities whose leaves have ended are gone.
    Dropped,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WaitReason {
    /// Two thirds of the current authority's life.
    Renewal,
    /// All API servers to know the published bundle.
    Spread,
    /// The last leaves of retired authorities to end.
    Leaves,
    /// A replica of the release that wrote the Secret. If there is none any more, delete the Secret.
    LaterRelease,
}

/// The state machine of authorities and leaves, with its timing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotation {
    pub(crate) timing: Timing,
}

impl Rotation {
    /// With that timing; [`Rotation::default`] has the timing for production.
    ///
    /// # Errors
    /// [`BadTiming`]: the durations do not fit together.
    pub fn new(timing: Timing) -> Result<Rotation, BadTiming> {
        timing.check().map(|()| Rotation { timing })
    }

    /// The next step. `now` is the wall clock after the reads of the observation.
    #[must_use]
    pub fn next_step(&self, now: UnixTime, observation: &Observation) -> Step {
        let state = match &observation.secret {
            SecretContent::Absent => return self.rebuild(now, observation, AddCause::NoSecret),
            SecretContent::Unusable(Unusable::UnknownVersion) => {
                return self.wait(now, now.after(self.timing.tick), WaitReason::LaterRelease);
            }
            SecretContent::Unusable(_) => return self.rebuild(now, observation, AddCause::Unusable),
            SecretContent::Readable(state) => state,
        };
        // Repairs come first, since calls fail meanwhile.
        publish(observation, state)
            .or_else(|| self.tend_retired(now, state))
            .unwrap_or_else(|| self.tend_signing(now, observation, state))
    }

    /// Records when the leaves of retired authorities end, and drops authorities whose leaves have ended.
    fn tend_retired(&self, now: UnixTime, state: &RotationState) -> Option<Step> {
        let bound = now.after(self.timing.leaf_life);
        // A bound that lies further ahead was recorded by a clock that has gone back since.
        let unbounded =
            |role: &Role| matches!(role, Role::Retired { leaves_end } if leaves_end.is_none_or(|end| end > bound));
        if state.authorities.iter().any(|authority| unbounded(&authority.role)) {
            let state = state.map(|mut authority| {
                if unbounded(&authority.role) {
                    authority.role = Role::Retired { leaves_end: Some(bound.min(authority.validity.not_after)) };
                }
                authority
            });
            return Some(Step::Write { state, change: StateChange::LeavesBounded });
        }
        let over = |authority: &AuthorityRecord| self.drop_at(authority).is_some_and(|time| time <= now);
        if state.authorities.iter().any(over) {
            let left = state.authorities.iter().filter(|authority| !over(authority)).cloned().collect();
            return Some(Step::Write { state: state.with(left), change: StateChange::Dropped });
        }
        None
    }

    /// Makes, records and promotes the authority that signs next. All bundles are the state's.
    fn tend_signing(&self, now: UnixTime, observation: &Observation, state: &RotationState) -> Step {
        let usable = |authority: Option<&AuthorityRecord>| authority.is_some_and(|a| a.validity.contains(now));
        if let Some(next) = state.next() {
            if !usable(Some(next)) {
                return self.add(now, observation, state, AddCause::NextInvalid);
            }
            return self.tend_next(now, state, next);
        }
        let renew_at = state.current().map_or(now, |current| current.validity.at_part(RENEW_AFTER));
        let retired_until = state.retired().filter_map(|authority| self.drop_at(authority)).min();
        match retired_until {
            _ if !usable(state.current()) => self.add(now, observation, state, AddCause::NoneValid),
            // Not before there is room, so that the loss of the Secret never finds more than two authorities published.
            Some(until) => self.wait(now, until, WaitReason::Leaves),
            None if renew_at <= now => self.add(now, observation, state, AddCause::Due),
            None => self.wait(now, renew_at, WaitReason::Renewal),
        }
    }

    fn tend_next(&self, now: UnixTime, state: &RotationState, next: &AuthorityRecord) -> Step {
        // A time in the future was recorded by a clock that has gone back since.
        let published_at = match next.role {
            Role::Next { published_at } => published_at.filter(|time| *time <= now),
            _ => None,
        };
        let Some(published_at) = published_at else {
            return Step::Write { state: set_published(state, Some(now)), change: StateChange::Published };
        };
        let spread_at = published_at.after(self.timing.spread);
        let others = state.authorities.iter().filter(|authority| authority.id != next.id);
        let none_serves = others.filter(|authority| authority.validity.contains(now)).count() == 0;
        if spread_at <= now || none_serves {
            let state = state.map(|authority| match authority.role {
                Role::Next { .. } => AuthorityRecord { role: Role::Current, ..authority },
                Role::Current => authority.retired(),
                Role::Retired { .. } => authority,
            });
            return Step::Write { state, change: StateChange::Promoted };
        }
        self.wait(now, spread_at, WaitReason::Spread)
    }

    /// A state from what is published, for a Secret that says nothing: its authorities may have leaves that are served.
    fn rebuild(&self, now: UnixTime, observation: &Observation, cause: AddCause) -> Step {
        let ended = |validity: Validity| validity.not_after.after(self.timing.skew) <= now;
        let published = observation.published().into_iter().filter(|(_, (validity, _))| !ended(*validity));
        let found = published.map(|(id, (validity, bundles))| {
            (AuthorityRecord::new(id, validity, Role::Retired { leaves_end: None }), bundles)
        });
        let base = RotationState { authorities: kept(now, observation, found.collect()), unknown: Default::default() };
        Step::Add(Addition { validity: self.authority_validity(now), cause, base })
    }

    fn add(&self, now: UnixTime, observation: &Observation, state: &RotationState, cause: AddCause) -> Step {
        // The next authority has never signed; another takes its place.
        let others = state.authorities.iter().filter(|authority| !authority.is_next());
        let base = state.with(kept(now, observation, others.map(|authority| (authority.clone(), 0)).collect()));
        Step::Add(Addition { validity: self.authority_validity(now), cause, base })
    }

    fn authority_validity(&self, now: UnixTime) -> Validity {
        let not_before = now.before(self.timing.skew);
        Validity { not_before, not_after: not_before.after(self.timing.authority_life) }
    }

    /// When a retired authority may go, once that is known.
    fn drop_at(&self, authority: &AuthorityRecord) -> Option<UnixTime> {
        match authority.role {
            Role::Retired { leaves_end } => Some(leaves_end?.after(self.timing.skew)),
            _ => None,
        }
    }

    fn wait(&self, now: UnixTime, until: UnixTime, reason: WaitReason) -> Step {
        Step::Wait { until: self.look_again(now, until), reason }
    }

    /// That time, but at most a tick and at least a second ahead.
    pub(crate) fn look_again(&self, now: UnixTime, at: UnixTime) -> UnixTime {
        at.clamp(now.after(Duration::from_secs(1)), now.after(self.timing.tick))
    }
}

/// Makes every bundle the state's, and forgets first that the next authority was published where it is not any more.
fn publish(observation: &Observation, state: &RotationState) -> Option<Step> {
    let to = observation.outdated(state);
    if to.is_empty() {
        return None;
    }
    if let Some(next) = state.next()
        && matches!(next.role, Role::Next { published_at: Some(_) })
        && !observation.publishes(next.id)
    {
        return Some(Step::Write { state: set_published(state, None), change: StateChange::PublicationLost });
    }
    Some(Step::Publish { bundle: state.bundle(), to })
}

fn set_published(state: &RotationState, at: Option<UnixTime>) -> RotationState {
    state.map(|mut authority| {
        if authority.is_next() {
            authority.role = Role::Next { published_at: at };
        }
        authority
    })
}
