//! Which authorities stay when a new one needs room.

use std::cmp::Reverse;

use crate::observation::Observation;
use crate::state::{AuthorityRecord, MAX_AUTHORITIES, Role};
use crate::time::UnixTime;

/// The authorities that leave room for one more, of some with the number of bundles that hold them.
///
/// In a rotation without faults there is always room. Otherwise those stay whose leaves are most probably served: this
/// replica's own (all replicas move to a new authority at once), then the current one, then valid ones, those in most
/// bundles and the newest.
pub(crate) fn kept(
    now: UnixTime,
    observation: &Observation,
    mut found: Vec<(AuthorityRecord, usize)>,
) -> Vec<AuthorityRecord> {
    found.sort_by_key(|(authority, bundles)| {
        let valid = authority.validity.contains(now);
        let current = authority.role == Role::Current && valid;
        let rank = (observation.serves(authority.id), current, valid, *bundles, authority.validity.not_before);
        (Reverse(rank), authority.id)
    });
    found.truncate(MAX_AUTHORITIES - 1);
    found.into_iter().map(|(authority, _)| authority).collect()
}
