//! What the API server has of the guard's entries.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::entry::{SUFFIX, bundle_of};
use super::repair::our_entries;

/// The configuration as it was last read. While the API server cannot be reached, the last reading stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Published {
    /// Not read yet.
    #[default]
    Unknown,
    /// There is no such object: the guard is switched off.
    Absent,
    /// It is there.
    Present {
        /// The bundle of each of the guard's entries, by policy. Empty where there is none.
        bundles: BTreeMap<String, Vec<u8>>,
        /// Whether everything was in it that was wanted then.
        in_sync: bool,
    },
}

impl Published {
    pub(super) fn read(object: &Json, in_sync: bool) -> Self {
        let policy = |name: &str| name.strip_suffix(SUFFIX).unwrap_or(name).to_owned();
        let bundles = our_entries(object).map(|(name, entry)| (policy(name), bundle_of(entry))).collect();
        Self::Present { bundles, in_sync }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_bundles_of_the_guards_entries_are_published() {
        let object = json!({ "webhooks": [
            { "name": "jobs.example.org.statusguard.dev", "clientConfig": { "caBundle": "Q0E=" } },
            { "name": "bare.statusguard.dev", "clientConfig": {} },
            { "name": "garbage.statusguard.dev", "clientConfig": { "caBundle": "?" } },
            { "name": "webhook.example.org", "clientConfig": { "caBundle": "Q0E=" } },
        ] });
        let bundles = [("bare", ""), ("garbage", ""), ("jobs.example.org", "CA")];
        let bundles = bundles.map(|(policy, bundle)| (policy.to_owned(), bundle.as_bytes().to_vec())).into();
        assert_eq!(Published::read(&object, true), Published::Present { bundles, in_sync: true });
    }
}
