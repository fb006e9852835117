//! Who changed what is to be repaired, as far as `metadata.managedFields` say.

use serde_json::Value as Json;

use super::repair::{self, EntryChange};

/// Who is behind a difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeAuthor {
    /// Another replica of the guard: the differing fields were last written under the guard's own field manager.
    Peer,
    /// Another field manager.
    Other(String),
}

/// When nobody owns what differs: a removed entry leaves no owner.
pub const UNKNOWN: &str = "unknown";

/// Who made `object` differ by `changes` from what the field manager `ours` wants. One change of another is enough.
pub fn author(object: &Json, changes: &[EntryChange], ours: &str) -> ChangeAuthor {
    let mut found = ChangeAuthor::Peer;
    for change in changes {
        match author_of(object, change, ours) {
            ChangeAuthor::Peer => {}
            ChangeAuthor::Other(name) if name == UNKNOWN => found = ChangeAuthor::Other(name),
            other => return other,
        }
    }
    found
}

fn author_of(object: &Json, change: &EntryChange, ours: &str) -> ChangeAuthor {
    let owner = match change {
        EntryChange::Changed(entry, parts) => {
            // Several may own a field; the last to write is the one who changed it.
            let owns = |owned: &Json| parts.iter().any(|part| owns_part(owned, entry, part));
            newest(object, owns)
        }
        EntryChange::Removed(entry) => newest(object, |owned| !owned_entry(owned, entry).is_null()),
        // A replica that removes an entry takes it out of the record; others do not know the record.
        EntryChange::Added(entry) => match repair::record(object) {
            Some(record) if !record.contains_key(entry) => return ChangeAuthor::Peer,
            _ => None,
        },
        EntryChange::Record => None,
        EntryChange::Authorities => return ChangeAuthor::Peer,
    };
    match owner {
        Some(owner) if owner == ours => ChangeAuthor::Peer,
        Some(owner) => ChangeAuthor::Other(owner.to_owned()),
        None => ChangeAuthor::Other(UNKNOWN.to_owned()),
    }
}

/// The manager of the newest set of owned fields that `owns` accepts.
fn newest(object: &Json, owns: impl Fn(&Json) -> bool) -> Option<&str> {
    let sets = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    // RFC 3339 in UTC with whole seconds, as the API server writes it: the order of texts is that of times.
    let owning = sets.filter(|set| owns(&set["fieldsV1"])).max_by_key(|set| set["time"].as_str());
    owning?["manager"].as_str().filter(|name| !name.is_empty())
}

fn owned_entry<'o>(owned: &'o Json, entry: &str) -> &'o Json {
    &owned["f:webhooks"][format!("k:{}", serde_json::json!({ "name": entry }))]
}

/// Whether the set has a field of an entry, of its `clientConfig`, or the whole that holds it.
fn owns_part(owned: &Json, entry: &str, part: &str) -> bool {
    let (entry, field) = (owned_entry(owned, entry), format!("f:{part}"));
    !entry[&field].is_null() || !entry["f:clientConfig"][&field].is_null()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ENTRY: &str = "jobs.example.org.statusguard.dev";

    fn owned(manager: &str, time: &str, fields: Json) -> Json {
        let fields = json!({ "f:webhooks": { format!("k:{{\"name\":\"{ENTRY}\"}}"): fields } });
        json!({ "manager": manager, "operation": "Update", "time": time, "fieldsV1": fields })
    }

    fn object(record: Option<&str>, sets: Vec<Json>) -> Json {
        let mut object = json!({ "metadata": { "managedFields": sets } });
        if let Some(record) = record {
            object["metadata"]["annotations"] = json!({ repair::RECORD: record });
        }
        object
    }

    fn other(name: &str) -> ChangeAuthor {
        ChangeAuthor::Other(name.to_owned())
    }

    fn changed(part: &str) -> EntryChange {
        EntryChange::Changed(ENTRY.into(), vec![part.into()])
    }

    #[test]
    fn a_changed_field_has_the_author_that_owns_it() {
        let sets = vec![
            owned("statusguard", "2026-01-01T00:00:09Z", json!({ ".": {}, "f:rules": {}, "f:timeoutSeconds": {} })),
            owned("injector", "2026-01-01T00:00:05Z", json!({ "f:clientConfig": { "f:caBundle": {} } })),
            owned("kubectl-edit", "2026-01-01T00:00:05Z", json!({ "f:rules": {} })),
        ];
        let object = object(None, sets);
        assert_eq!(author(&object, &[changed("timeoutSeconds")], "statusguard"), ChangeAuthor::Peer);
        assert_eq!(author(&object, &[changed("caBundle")], "statusguard"), other("injector"));
        assert_eq!(author(&object, &[changed("rules")], "statusguard"), ChangeAuthor::Peer, "the last to write");
        assert_eq!(
            author(&object, &[changed("timeoutSeconds"), changed("caBundle")], "statusguard"),
            other("injector")
        );
    }

    #[test]
    fn an_entry_too_many_has_the_author_that_owns_it() {
        let object = object(None, vec![owned("statusguard", "2026-01-01T00:00:09Z", json!({ ".": {} }))]);
        assert_eq!(author(&object, &[EntryChange::Removed(ENTRY.into())], "statusguard"), ChangeAuthor::Peer);
        assert_eq!(
            author(&object, &[EntryChange::Removed("other.statusguard.dev".into())], "statusguard"),
            other(UNKNOWN)
        );
    }

    #[test]
    fn a_missing_entry_was_removed_by_a_peer_only_if_the_record_misses_it_too() {
        let missing = [EntryChange::Added(ENTRY.into())];
        let recorded = format!("{{\"{ENTRY}\":{{}}}}");
        for (record, expected) in
            [(None, other(UNKNOWN)), (Some(&*recorded), other(UNKNOWN)), (Some("{\"others\":{}}"), ChangeAuthor::Peer)]
        {
            assert_eq!(author(&object(record, vec![]), &missing, "statusguard"), expected, "{record:?}");
        }
    }

    #[test]
    fn a_name_is_told_rather_than_that_it_is_unknown() {
        let object = object(None, vec![owned("injector", "2026-01-01T00:00:05Z", json!({ "f:rules": {} }))]);
        let changes = [EntryChange::Added("other.statusguard.dev".into()), changed("rules"), EntryChange::Record];
        assert_eq!(author(&object, &changes, "statusguard"), other("injector"));
    }
}
