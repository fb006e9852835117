//! What goes wrong: crashes, people, clocks.

use std::collections::BTreeMap;
use std::time::Duration;

use statusguard_rotation::{AuthorityId, Bundle, SecretContent, Unusable, Validity};

use super::world::{DAY, HOUR, Look, World};

/// What a person makes of a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Edit {
    Garbage,
    Empty,
    /// Only a foreign authority.
    Foreign,
    /// Foreign ones in addition.
    Extra,
    /// Only the oldest of what was in it, as an old manifest says.
    Old,
    /// The configuration is deleted.
    Deleted,
}

pub const EDITS: [Edit; 6] = [Edit::Garbage, Edit::Empty, Edit::Foreign, Edit::Extra, Edit::Old, Edit::Deleted];

/// What a clock does, on every machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Jump {
    Days400,
    HourBack,
    /// A clock that was wrong is right again.
    Days400Back,
}

const TEN_YEARS: Duration = Duration::from_secs(3650 * DAY);

/// Ids of foreign authorities begin with these bytes.
const FOREIGN: [u8; 2] = [0xf0, 0xf1];

pub fn is_foreign(id: AuthorityId) -> bool {
    FOREIGN.iter().any(|byte| id == AuthorityId::from([*byte; 32]))
}

impl World {
    pub fn crash(&mut self, replica: usize) {
        self.replicas[replica].look = Look::Idle;
        self.replicas[replica].leaf = None;
    }

    pub fn edit(&mut self, index: usize, edit: Edit) {
        let validity = Validity { not_before: self.now.before(TEN_YEARS), not_after: self.now.after(TEN_YEARS) };
        let foreign = FOREIGN.map(|byte| (AuthorityId::from([byte; 32]), validity));
        self.authorities.extend(foreign);
        let held = match &self.bundles[index] {
            Bundle::Holds(authorities) => authorities.clone(),
            Bundle::Absent | Bundle::Unreadable => BTreeMap::new(),
        };
        self.bundles[index] = match edit {
            Edit::Garbage => Bundle::Unreadable,
            Edit::Empty => Bundle::Holds(BTreeMap::new()),
            Edit::Foreign => Bundle::Holds(foreign.into_iter().take(1).collect()),
            Edit::Extra => Bundle::Holds(held.into_iter().chain(foreign).collect()),
            Edit::Old => {
                Bundle::Holds(held.into_iter().min_by_key(|(_, validity)| validity.not_before).into_iter().collect())
            }
            Edit::Deleted => Bundle::Absent,
        };
        self.touch_bundle(index);
        self.each_fresh(|fresh| fresh.aware = false);
        self.replicas.iter_mut().for_each(|replica| replica.unaware = true);
    }

    /// Deletes the Secret, or makes it unusable.
    pub fn lose_secret(&mut self, unusable: Option<Unusable>) {
        let mut published: Vec<AuthorityId> = Vec::new();
        for bundle in &self.bundles {
            if let Bundle::Holds(authorities) = bundle {
                published.extend(authorities.keys());
            }
        }
        published.sort_unstable();
        published.dedup();
        // There is room for two that may have signed, and for the new one.
        self.beyond_promise |= published.len() > 2;
        self.secret = unusable.map_or(SecretContent::Absent, SecretContent::Unusable);
        self.touch_secret();
    }

    /// Takes a copy of the Secret, or puts the copy back.
    pub fn keep_or_restore_secret(&mut self) {
        match self.backup.take() {
            None => self.backup = Some(self.secret.clone()),
            Some(earlier) => {
                self.beyond_promise = true;
                self.secret = earlier;
                self.touch_secret();
            }
        }
    }

    pub fn jump(&mut self, jump: Jump) {
        let (day, hour) = (i64::try_from(DAY).unwrap(), i64::try_from(HOUR).unwrap());
        match jump {
            Jump::Days400 => self.advance(400 * day),
            Jump::HourBack => self.advance(-hour),
            Jump::Days400Back => {
                self.beyond_promise = true;
                self.advance(-400 * day);
            }
        }
    }
}
