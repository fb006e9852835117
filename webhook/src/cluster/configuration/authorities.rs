//! Which authorities are published for certificates that users bring, and until when: a pure function.
//!
//! Replicas see a changed Secret up to minutes apart. What one of them has mounted is published, and what was published
//! before stays beside it for a while, so that each may serve its own meanwhile. An annotation records until when:
//!
//! - A replica that has not mounted a published authority records an end for it, if there is none.
//! - One that has mounted it takes the end away before it comes near; one that has not records a later one.
//! - An authority that has reached its end goes, unless it is mounted.
//!
//! No rule of one replica undoes what a rule of another has just done, and where all have mounted the same nothing is
//! left to write.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value as Json, json};
use statusguard_certs::{AuthorityId, CaBundle, UnixTime, from_rfc3339, rfc3339};

use super::entry::bundle_of;
use super::repair::{self, EntryChange, Repair};

/// Authorities by fingerprint (SHA-256), with the time (RFC 3339) at which each goes unless a replica has mounted it.
pub const ENDS: &str = "statusguard.dev/authorities";

/// How many are published beside those that are mounted. Replicas that are some renewals apart, each with a list of
/// authorities, stay far below.
const MOST: usize = 32;

/// What the entries are to hold.
#[derive(Debug, PartialEq, Eq)]
pub struct AuthorityPlan {
    mounted: BTreeSet<AuthorityId>,
    all: BTreeSet<AuthorityId>,
    ends: BTreeMap<AuthorityId, UnixTime>,
    /// Whether the annotation says that already.
    is_recorded: bool,
    /// What an entry gets that holds something else.
    text: Vec<u8>,
    /// When to look again.
    pub until: Option<UnixTime>,
}

impl AuthorityPlan {
    /// For a configuration as it is, authorities as they are mounted, and the time for which others stay.
    pub fn new(object: &Json, mounted_text: &[u8], now: UnixTime, retention: Duration) -> Self {
        let mounted = CaBundle::read(mounted_text);
        let texts: BTreeSet<Vec<u8>> = repair::our_entries(object).map(|(_, entry)| bundle_of(entry)).collect();
        let published: Vec<CaBundle> = texts.iter().map(|text| CaBundle::read(text)).collect();
        let recorded = recorded(object);
        let mounted_ids: BTreeSet<AuthorityId> = mounted.authorities().map(|(id, _)| id).collect();
        let (half, farthest) = (now.after(retention / 2), now.after(retention.saturating_mul(2)));

        let mut others = BTreeMap::new();
        for (id, _) in published.iter().flat_map(CaBundle::authorities) {
            // One that is farther away than any replica would record it is somebody's mistake.
            let end = recorded.get(&id).copied().filter(|end| *end <= farthest).unwrap_or(now.after(retention));
            // Also one that has ended: who has mounted it would put it back.
            if !mounted_ids.contains(&id) && now < end {
                others.insert(id, end);
            }
        }
        while others.len() > MOST {
            let first = others.iter().min_by_key(|(id, end)| (**end, **id)).map(|(id, _)| *id);
            first.and_then(|id| others.remove(&id));
        }
        let kept = recorded
            .clone()
            .into_iter()
            .filter(|(id, end)| mounted_ids.contains(id) && half < *end && *end <= farthest);
        let mut ends: BTreeMap<AuthorityId, UnixTime> = kept.collect();
        let taken_away = ends.values().map(|end| end.before(retention / 2));
        let until = taken_away.chain(others.values().copied()).min();

        let mut text = mounted_text.to_vec();
        for id in others.keys() {
            if !text.ends_with(b"\n") {
                text.push(b'\n');
            }
            let pem = published.iter().find_map(|bundle| bundle.pem(*id)).unwrap_or_default();
            text.extend_from_slice(pem.as_bytes());
        }
        let all = mounted_ids.iter().chain(others.keys()).copied().collect();
        ends.extend(others);
        let is_recorded = recorded == ends && (!ends.is_empty() || annotation(object).is_null());
        Self { mounted: mounted_ids, all, ends, is_recorded, text, until }
    }

    /// The bundle of an entry that holds this one now. It stays as it is written, if it holds the right certificates.
    pub fn bundle(&self, current: Vec<u8>) -> Vec<u8> {
        match !self.all.is_empty() && ids(&current) == self.all {
            true => current,
            false => self.text.clone(),
        }
    }

    /// Whether nothing mounted is missing in an entry.
    pub fn covers(&self, entry: &Json) -> bool {
        !self.mounted.is_empty() && self.mounted.is_subset(&ids(&bundle_of(entry)))
    }

    /// The repair with the record of ends; one of that alone, if only that differs.
    pub fn recorded(&self, object: &Json, repair: Option<Repair>) -> Option<Repair> {
        if self.is_recorded {
            return repair;
        }
        let Repair { mut object, mut changes } =
            repair.unwrap_or_else(|| Repair { object: object.clone(), changes: Vec::new() });
        let ends: BTreeMap<String, String> =
            self.ends.iter().map(|(id, end)| (id.to_string(), rfc3339(*end))).collect();
        let text = (!ends.is_empty()).then(|| json!(ends).to_string());
        repair::annotate(&mut object, ENDS, text);
        changes.push(EntryChange::Authorities);
        Some(Repair { object, changes })
    }
}

fn ids(text: &[u8]) -> BTreeSet<AuthorityId> {
    CaBundle::read(text).authorities().map(|(id, _)| id).collect()
}

fn annotation(object: &Json) -> &Json {
    &object["metadata"]["annotations"][ENDS]
}

/// What is recorded; nothing unless it can be read as a whole.
fn recorded(object: &Json) -> BTreeMap<AuthorityId, UnixTime> {
    let read = || -> Option<BTreeMap<AuthorityId, UnixTime>> {
        let ends: BTreeMap<String, String> = serde_json::from_str(annotation(object).as_str()?).ok()?;
        ends.into_iter().map(|(id, end)| Some((AuthorityId::try_from(id).ok()?, from_rfc3339(&end)?))).collect()
    };
    read().unwrap_or_default()
}

#[cfg(test)]
mod tests;
