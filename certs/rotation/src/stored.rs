//! The stored form of the state: JSON in the Secret, beside certificates and keys.
//!
//! Fields that this release does not know are kept when it writes the state again, so that a later release may add
//! fields that can be ignored. A change that must not be ignored raises `version`; a release that does not know the
//! version changes nothing.

use serde::{Deserialize, Serialize};

use crate::state::{AuthorityId, AuthorityRecord, Role, RotationState, UnknownFields};
use crate::time::{UnixTime, Validity};

/// The version that this release writes, and the only one that it reads.
const VERSION: u64 = 1;

/// Why text is not a state.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It is not JSON, or not of this form.
    #[error("the stored rotation state cannot be read")]
    Parse(#[source] serde_json::Error),
    /// It is of this form, but no step makes it.
    #[error("the stored rotation state is contradictory: {0}")]
    Contradictory(&'static str),
    /// Another release wrote it. To go back to this release for good, delete the Secret: it is made again.
    #[error("the stored rotation state has version {0}, but this release knows only version {VERSION}")]
    UnknownVersion(u64),
}

impl StateError {
    /// A name for labels of metrics.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            StateError::Parse(_) => "state_unreadable",
            StateError::Contradictory(_) => "state_contradictory",
            StateError::UnknownVersion(_) => "state_version",
        }
    }
}

#[derive(Deserialize)]
struct VersionOnly {
    version: u64,
}

/// The whole JSON object.
#[derive(Serialize, Deserialize)]
struct StoredState {
    /// 1.
    version: u64,
    /// One to three, in no particular order.
    authorities: Vec<StoredAuthority>,
    #[serde(flatten)]
    unknown: UnknownFields,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredAuthority {
    /// SHA-256 of the certificate's DER form, 64 lower-case hexadecimal digits.
    id: AuthorityId,
    /// The certificate's notBefore, seconds since 1970.
    not_before: UnixTime,
    /// The certificate's notAfter, seconds since 1970.
    not_after: UnixTime,
    role: StoredRole,
    /// Of `Next`: when every managed bundle was seen to hold it, seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    published_at: Option<UnixTime>,
    /// Of `Retired`: the latest end of a leaf that it may have signed, seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    leaves_end: Option<UnixTime>,
    #[serde(flatten)]
    unknown: UnknownFields,
}

#[derive(Serialize, Deserialize)]
enum StoredRole {
    Next,
    Current,
    Retired,
}

impl From<StoredAuthority> for AuthorityRecord {
    fn from(stored: StoredAuthority) -> AuthorityRecord {
        AuthorityRecord {
            id: stored.id,
            validity: Validity { not_before: stored.not_before, not_after: stored.not_after },
            role: match stored.role {
                StoredRole::Next => Role::Next { published_at: stored.published_at },
                StoredRole::Current => Role::Current,
                StoredRole::Retired => Role::Retired { leaves_end: stored.leaves_end },
            },
            unknown: stored.unknown,
        }
    }
}

impl From<&AuthorityRecord> for StoredAuthority {
    fn from(authority: &AuthorityRecord) -> StoredAuthority {
        let (role, published_at, leaves_end) = match authority.role {
            Role::Next { published_at } => (StoredRole::Next, published_at, None),
            Role::Current => (StoredRole::Current, None, None),
            Role::Retired { leaves_end } => (StoredRole::Retired, None, leaves_end),
        };
        StoredAuthority {
            id: authority.id,
            not_before: authority.validity.not_before,
            not_after: authority.validity.not_after,
            role,
            published_at,
            leaves_end,
            unknown: authority.unknown.clone(),
        }
    }
}

impl RotationState {
    /// Reads the stored form.
    ///
    /// # Errors
    /// [`StateError`]: the text is not of the stored form, is contradictory, or has another version.
    pub fn from_json(text: &[u8]) -> Result<RotationState, StateError> {
        let VersionOnly { version } = serde_json::from_slice(text).map_err(StateError::Parse)?;
        match version {
            VERSION => {}
            0 => return Err(StateError::Contradictory("versions begin with 1")),
            later => return Err(StateError::UnknownVersion(later)),
        }
        let stored: StoredState = serde_json::from_slice(text).map_err(StateError::Parse)?;
        let authorities = stored.authorities.into_iter().map(AuthorityRecord::from).collect();
        let state = RotationState { authorities, unknown: stored.unknown };
        match state.problem() {
            Some(problem) => Err(StateError::Contradictory(problem)),
            None => Ok(state),
        }
    }

    /// The stored form, one line.
    #[must_use]
    pub fn to_json(&self) -> String {
        let stored = StoredState {
            version: VERSION,
            authorities: self.authorities.iter().map(StoredAuthority::from).collect(),
            unknown: self.unknown.clone(),
        };
        serde_json::to_string(&stored).expect("all keys are strings, and no number is a float of ours")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(digit: char) -> String {
        digit.to_string().repeat(64)
    }

    fn authority(digit: char, role: &str) -> String {
        format!(r#"{{"id":"{}","notBefore":10,"notAfter":20,"role":{role}}}"#, id(digit))
    }

    fn state(authorities: &[String]) -> String {
        format!(r#"{{"version":1,"authorities":[{}]}}"#, authorities.join(","))
    }

    fn refused(text: &str) -> String {
        let error = RotationState::from_json(text.as_bytes()).unwrap_err();
        format!("{}: {error}", error.category())
    }

    #[test]
    fn what_is_written_is_read_again_with_fields_of_later_releases() {
        let text = state(&[
            authority('a', r#""Next","publishedAt":15"#),
            authority('b', r#""Current","colour":{"new":[1,2]}"#),
            authority('c', r#""Retired","leavesEnd":17"#),
        ]);
        let text = text.replace(r#""version":1"#, r#""version":1,"hint":"later""#);
        let read = RotationState::from_json(text.as_bytes()).unwrap();
        assert_eq!(read.next().unwrap().role, Role::Next { published_at: Some(UnixTime::from_seconds(15)) });
        assert_eq!(read.current().unwrap().id.to_string(), id('b'));
        let written: serde_json::Value = serde_json::from_str(&read.to_json()).unwrap();
        assert_eq!(written, serde_json::from_str::<serde_json::Value>(&text).unwrap());
    }

    #[test]
    fn what_is_not_of_the_form_is_refused() {
        for text in ["", "{}", "[]", "\u{0}", r#"{"version":"1"}"#, r#"{"version":1}"#] {
            assert!(refused(text).starts_with("state_unreadable"), "{text}");
        }
        let wrong = [
            state(&[authority('a', r#""Current""#)]).replace("aa", "aA"),
            state(&[authority('a', r#""Current""#)]).replace("aa", "a"),
            state(&[authority('a', r#""Current""#)]).replace("aaaa", "éé"),
            state(&[authority('a', r#""Boss""#)]),
            state(&[authority('a', r#""Next","publishedAt":"soon""#)]),
        ];
        for text in wrong {
            assert!(refused(&text).starts_with("state_unreadable"), "{text}");
        }
    }

    #[test]
    fn contradictions_are_refused() {
        let current = |digit| authority(digit, r#""Current""#);
        let retired = |digit| authority(digit, r#""Retired""#);
        let rows = [
            (vec![], "no authority is Current or Next"),
            (vec![retired('a')], "no authority is Current or Next"),
            (vec![current('a'), current('b')], "two authorities have the same role"),
            (vec![current('a'), retired('a')], "an authority stands in it twice"),
            (vec![current('a'), retired('b'), retired('c'), retired('d')], "more than three authorities"),
            (vec![current('a').replace("20", "10")], "an authority ends before it begins"),
        ];
        for (authorities, problem) in rows {
            let said = refused(&state(&authorities));
            assert_eq!(said, format!("state_contradictory: the stored rotation state is contradictory: {problem}"));
        }
    }

    #[test]
    fn another_version_is_told_from_garbage_whatever_its_form() {
        let said = "state_version: the stored rotation state has version 2, but this release knows only version 1";
        assert_eq!(refused(r#"{"version":2,"authorities":"elsewhere"}"#), said);
    }
}
