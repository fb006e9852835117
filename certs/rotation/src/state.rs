//! What the Secret remembers: the authorities, and how far each has come.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::time::{UnixTime, Validity};

/// The most authorities that a state, and thus a bundle, holds.
pub const MAX_AUTHORITIES: usize = 3;

/// The SHA-256 fingerprint of an authority's certificate (of its DER form). In text, 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AuthorityId([u8; 32]);

impl From<[u8; 32]> for AuthorityId {
    fn from(sha256: [u8; 32]) -> AuthorityId {
        AuthorityId(sha256)
    }
}

impl TryFrom<String> for AuthorityId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<AuthorityId, &'static str> {
        const WRONG: &str = "an authority's id has 64 lower-case hexadecimal digits";
        let mut bytes = [0; 32];
        let digits = text.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c));
        if !digits || text.len() != 2 * bytes.len() {
            return Err(WRONG);
        }
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).map_err(|_| WRONG)?;
        }
        Ok(AuthorityId(bytes))
    }
}

impl From<AuthorityId> for String {
    fn from(id: AuthorityId) -> String {
        id.to_string()
    }
}

impl fmt::Display for AuthorityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for AuthorityId {
    /// The first eight digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What an authority is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// In the bundle, but does not sign yet.
    Next {
        /// When every managed bundle was seen to hold it; `None` until then.
        published_at: Option<UnixTime>,
    },
    /// Signs leaves.
    Current,
    /// Does not sign any more, but is in the bundle until its last leaf has ended. Its key is not needed.
    Retired {
        /// The latest end of a leaf that it may have signed; `None` until it was seen to be retired, because a leaf
        /// may be signed until the moment at which the API server stores the retirement.
        leaves_end: Option<UnixTime>,
    },
}

/// One authority of the state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AuthorityRecord {
    /// Its certificate's fingerprint.
    pub id: AuthorityId,
    /// Its certificate's validity.
    pub validity: Validity,
    /// What it is for.
    pub role: Role,
    pub(crate) unknown: UnknownFields,
}

impl AuthorityRecord {
    pub(crate) fn new(id: AuthorityId, validity: Validity, role: Role) -> AuthorityRecord {
        AuthorityRecord { id, validity, role, unknown: UnknownFields::new() }
    }

    pub(crate) fn retired(self) -> AuthorityRecord {
        AuthorityRecord { role: Role::Retired { leaves_end: None }, ..self }
    }

    pub(crate) fn is_next(&self) -> bool {
        matches!(self.role, Role::Next { .. })
    }

    pub(crate) fn is_retired(&self) -> bool {
        matches!(self.role, Role::Retired { .. })
    }
}

/// Fields of the stored form that this release does not know, kept as they are.
pub(crate) type UnknownFields = std::collections::BTreeMap<String, serde_json::Value>;

/// The authorities of the Secret: one to three, at most one `Next` and one `Current`, and at least one of these two.
///
/// States are read with [`RotationState::from_json`] and made by steps, never by hand.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RotationState {
    pub(crate) authorities: Vec<AuthorityRecord>,
    pub(crate) unknown: UnknownFields,
}

impl RotationState {
    /// All authorities. The Secret must hold the certificate of each.
    #[must_use]
    pub fn authorities(&self) -> &[AuthorityRecord] {
        &self.authorities
    }

    /// What every managed `caBundle` has to hold: these authorities and nothing else.
    #[must_use]
    pub fn bundle(&self) -> BTreeSet<AuthorityId> {
        self.authorities.iter().map(|authority| authority.id).collect()
    }

    /// The authority that signs leaves, unless the last one was lost and its successor is not published yet.
    #[must_use]
    pub fn current(&self) -> Option<&AuthorityRecord> {
        self.authorities.iter().find(|authority| authority.role == Role::Current)
    }

    /// The authority that will sign leaves.
    #[must_use]
    pub fn next(&self) -> Option<&AuthorityRecord> {
        self.authorities.iter().find(|authority| authority.is_next())
    }

    /// The authorities that wait for their last leaves to end.
    pub fn retired(&self) -> impl Iterator<Item = &AuthorityRecord> {
        self.authorities.iter().filter(|authority| authority.is_retired())
    }

    /// The authorities whose keys the Secret must hold, `Current` and `Next`; every other key should be erased.
    #[must_use]
    pub fn needs_key(&self) -> BTreeSet<AuthorityId> {
        let signing = self.authorities.iter().filter(|authority| !authority.is_retired());
        signing.map(|authority| authority.id).collect()
    }

    /// What is wrong with it, if anything.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        let all = &self.authorities;
        let current = all.iter().filter(|authority| authority.role == Role::Current).count();
        let next = all.iter().filter(|authority| authority.is_next()).count();
        let empty = |authority: &AuthorityRecord| authority.validity.not_before >= authority.validity.not_after;
        match () {
            () if all.len() > MAX_AUTHORITIES => Some("more than three authorities"),
            () if self.bundle().len() != all.len() => Some("an authority stands in it twice"),
            () if current > 1 || next > 1 => Some("two authorities have the same role"),
            () if current + next == 0 => Some("no authority is Current or Next"),
            () if all.iter().any(empty) => Some("an authority ends before it begins"),
            () => None,
        }
    }

    /// The same with other authorities.
    pub(crate) fn with(&self, authorities: Vec<AuthorityRecord>) -> RotationState {
        RotationState { authorities, unknown: self.unknown.clone() }
    }

    /// The same with each authority changed.
    pub(crate) fn map(&self, change: impl FnMut(AuthorityRecord) -> AuthorityRecord) -> RotationState {
        self.with(self.authorities.iter().cloned().map(change).collect())
    }
}
