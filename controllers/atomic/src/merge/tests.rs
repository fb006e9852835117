use proptest::prelude::*;
use serde_json::json;

use super::*;

/// `raw` after a change from `before` to `after`.
#[track_caller]
fn check(raw: Value, before: Value, after: Value, expected: Value) {
    let mut merged = raw;
    apply(&mut merged, &before, &after);
    assert_eq!(merged, expected);
}

#[test]
fn unknown_members_survive_at_every_depth() {
    check(
        json!({"phase": "A", "new": 1, "sub": {"x": 1, "new": 2}}),
        json!({"phase": "A", "sub": {"x": 1}}),
        json!({"phase": "B", "sub": {"x": 2}}),
        json!({"phase": "B", "new": 1, "sub": {"x": 2, "new": 2}}),
    );
}

#[test]
fn defaults_of_the_type_are_not_written_until_they_change() {
    let raw = json!({"phase": "A"});
    let before = json!({"phase": "A", "count": 0, "list": [], "none": null});
    check(raw.clone(), before.clone(), before.clone(), raw.clone());
    check(
        raw.clone(),
        before.clone(),
        json!({"phase": "B", "count": 0, "list": [], "none": null}),
        json!({"phase": "B"}),
    );
    check(
        raw,
        before,
        json!({"phase": "A", "count": 1, "list": [1], "none": null}),
        json!({"phase": "A", "count": 1, "list": [1]}),
    );
}

#[test]
fn a_member_that_the_type_skips_when_empty_keeps_what_the_type_cannot_see() {
    check(
        json!({"sub": {"new": 1}, "list": [{"new": 1}]}),
        json!({}),
        json!({"sub": {"x": 1}, "list": [{"x": 1}]}),
        json!({"sub": {"new": 1, "x": 1}, "list": [{"new": 1}, {"x": 1}]}),
    );
}

#[test]
fn removed_members_go_and_only_they() {
    check(
        json!({"a": 1, "b": {"x": 1, "new": 1}, "new": 1}),
        json!({"a": 1, "b": {"x": 1}}),
        json!({"a": 1}),
        json!({"a": 1, "new": 1}),
    );
}

#[test]
fn values_the_type_normalises_are_left_as_they_were_written() {
    check(
        json!({"at": "2024-01-01T00:00:00.000000Z", "n": 1}),
        json!({"at": "2024-01-01T00:00:00Z", "n": 1}),
        json!({"at": "2024-01-01T00:00:00Z", "n": 2}),
        json!({"at": "2024-01-01T00:00:00.000000Z", "n": 2}),
    );
}

#[test]
fn appending_and_prepending_leave_the_other_entries_whole() {
    let raw = json!([{"n": 1, "new": "a"}, {"n": 2, "new": "b"}]);
    let before = json!([{"n": 1}, {"n": 2}]);
    check(
        raw.clone(),
        before.clone(),
        json!([{"n": 1}, {"n": 2}, {"n": 3}]),
        json!([{"n": 1, "new": "a"}, {"n": 2, "new": "b"}, {"n": 3}]),
    );
    check(
        raw,
        before,
        json!([{"n": 0}, {"n": 1}, {"n": 2}]),
        json!([{"n": 0}, {"n": 1, "new": "a"}, {"n": 2, "new": "b"}]),
    );
}

#[test]
fn an_entry_that_goes_takes_its_unknown_fields_along() {
    check(
        json!([{"n": 1, "new": "a"}, {"n": 2, "new": "b"}, {"n": 3, "new": "c"}]),
        json!([{"n": 1}, {"n": 2}, {"n": 3}]),
        json!([{"n": 1}, {"n": 3}, {"n": 4}]),
        json!([{"n": 1, "new": "a"}, {"n": 3, "new": "c"}, {"n": 4}]),
    );
}

#[test]
fn entries_with_a_name_are_followed_by_it() {
    let raw = json!([{"type": "A", "status": "False", "new": 1}, {"type": "B", "status": "True", "new": 2}]);
    let before = json!([{"type": "A", "status": "False"}, {"type": "B", "status": "True"}]);
    // Edited, reordered, and one replaced by another at once.
    check(
        raw.clone(),
        before.clone(),
        json!([{"type": "B", "status": "False"}, {"type": "A", "status": "True"}]),
        json!([{"type": "B", "status": "False", "new": 2}, {"type": "A", "status": "True", "new": 1}]),
    );
    check(
        raw,
        before,
        json!([{"type": "B", "status": "True"}, {"type": "C", "status": "True"}]),
        json!([{"type": "B", "status": "True", "new": 2}, {"type": "C", "status": "True"}]),
    );
}

#[test]
fn entries_without_a_name_are_edited_if_half_of_them_stayed() {
    let raw = json!([{"channel": "a", "attempt": 1, "result": "?", "new": 1}]);
    let before = json!([{"channel": "a", "attempt": 1, "result": "?"}]);
    check(
        raw.clone(),
        before.clone(),
        json!([{"channel": "a", "attempt": 1, "result": "ok"}]),
        json!([{"channel": "a", "attempt": 1, "result": "ok", "new": 1}]),
    );
    check(
        raw,
        before,
        json!([{"channel": "b", "attempt": 2, "result": "?"}]),
        json!([{"channel": "b", "attempt": 2, "result": "?"}]),
    );
}

#[test]
fn entries_the_type_cannot_see_stay_behind_the_one_they_followed() {
    let raw = json!([{"odd": 0}, {"n": 1, "k": 5, "new": 1}, {"odd": 1}, {"n": 2, "k": 5}]);
    let before = json!([{"n": 1, "k": 5}, {"n": 2, "k": 5}]);
    check(
        raw.clone(),
        before.clone(),
        json!([{"n": 1, "k": 5}, {"n": 2, "k": 5}, {"n": 3, "k": 5}]),
        json!([{"odd": 0}, {"n": 1, "k": 5, "new": 1}, {"odd": 1}, {"n": 2, "k": 5}, {"n": 3, "k": 5}]),
    );
    check(
        raw.clone(),
        before.clone(),
        json!([{"n": 1, "k": 6}, {"n": 2, "k": 5}]),
        json!([{"odd": 0}, {"n": 1, "k": 6, "new": 1}, {"odd": 1}, {"n": 2, "k": 5}]),
    );
    check(raw.clone(), before.clone(), json!([{"n": 2, "k": 5}]), json!([{"odd": 0}, {"n": 2, "k": 5}, {"odd": 1}]));
    check(raw, before, json!([]), json!([{"odd": 0}, {"odd": 1}]));
}

#[test]
fn an_entry_is_the_reading_of_the_one_it_has_most_in_common_with() {
    // With a default filled in that no entry has.
    let raw = json!([{"odd": 0}, {"n": 1, "k": 5}]);
    check(
        raw,
        json!([{"n": 1, "k": 5, "z": 0}]),
        json!([{"n": 1, "k": 6, "z": 0}]),
        json!([{"odd": 0}, {"n": 1, "k": 6}]),
    );
    // Sorted, where the longer one would do for the shorter reading as well.
    check(
        json!([{"a": 1, "x": 1}, {"a": 1}]),
        json!([{"a": 1}, {"a": 1, "x": 1}]),
        json!([{"a": 2}, {"a": 1, "x": 1}]),
        json!([{"a": 2}, {"a": 1, "x": 1}]),
    );
    // A default makes two readings equal: each stays with its own.
    check(
        json!([{"a": 1, "new": 1}, {"a": 1, "x": 0}]),
        json!([{"a": 1, "x": 0}, {"a": 1, "x": 0}]),
        json!([{"a": 1, "x": 0}, {"a": 1, "x": 0}, {"a": 2, "x": 0}]),
        json!([{"a": 1, "new": 1}, {"a": 1, "x": 0}, {"a": 2, "x": 0}]),
    );
    // Nothing in common but the position.
    check(
        json!([{"at": "1Z", "new": 1}, {"at": "2Z"}]),
        json!([{"at": "1"}, {"at": "2"}]),
        json!([{"at": "1"}, {"at": "2"}, {"at": "3"}]),
        json!([{"at": "1Z", "new": 1}, {"at": "2Z"}, {"at": "3"}]),
    );
}

#[test]
fn in_a_list_in_order_each_reading_keeps_its_place_whatever_it_made_of_the_value() {
    // A variant that the type does not know reads as another entry says.
    check(
        json!([{"channel": "slack", "state": "Throttled"}, {"channel": "slack", "state": "Unknown"}]),
        json!([{"channel": "slack", "state": "Unknown"}, {"channel": "slack", "state": "Unknown"}]),
        json!([{"channel": "slack", "state": "Unknown"}, {"channel": "slack", "state": "Done"}]),
        json!([{"channel": "slack", "state": "Throttled"}, {"channel": "slack", "state": "Done"}]),
    );
    check(
        json!(["NewReason", "Unknown"]),
        json!(["Unknown", "Unknown"]),
        json!(["Unknown", "Unknown", "X"]),
        json!(["NewReason", "Unknown", "X"]),
    );
    // A time loses its fraction, and then is that of the next entry.
    check(
        json!([{"at": "1.5Z", "n": 1, "new": "a"}, {"at": "1Z", "n": 1, "new": "b"}]),
        json!([{"at": "1Z", "n": 1}, {"at": "1Z", "n": 1}]),
        json!([{"at": "1Z", "n": 2}, {"at": "1Z", "n": 1}]),
        json!([{"at": "1.5Z", "n": 2, "new": "a"}, {"at": "1Z", "n": 1, "new": "b"}]),
    );
    // A third that agrees with everything.
    check(
        json!([{"at": "1.5Z", "n": 1}, {"at": "1Z", "n": 1}, {"n": 1}]),
        json!([{"at": "1Z", "n": 1}, {"at": "1Z", "n": 1}, {"n": 1}]),
        json!([{"at": "1Z", "n": 2}, {"at": "1Z", "n": 1}, {"n": 1}]),
        json!([{"at": "1.5Z", "n": 2}, {"at": "1Z", "n": 1}, {"n": 1}]),
    );
}

#[test]
fn a_list_the_type_sorts_and_normalises_is_matched_by_name() {
    let before = json!([{"type": "A", "at": "1Z"}, {"type": "B", "at": "2Z"}]);
    let after = json!([{"type": "A", "at": "3Z"}, {"type": "B", "at": "2Z"}]);
    check(
        json!([{"type": "B", "at": "2.5Z", "new": "b"}, {"type": "A", "at": "1.5Z", "new": "a"}]),
        before.clone(),
        after.clone(),
        json!([{"type": "A", "at": "3Z", "new": "a"}, {"type": "B", "at": "2.5Z", "new": "b"}]),
    );
    // Beside one without a name, which the type leaves out.
    check(
        json!([{"odd": 0}, {"type": "B", "at": "2.5Z", "new": "b"}, {"type": "A", "at": "1.5Z", "new": "a"}]),
        before,
        after,
        json!([{"odd": 0}, {"type": "A", "at": "3Z", "new": "a"}, {"type": "B", "at": "2.5Z", "new": "b"}]),
    );
}

#[test]
fn of_a_set_that_was_sorted_the_member_the_type_does_not_know_is_the_one_left_over() {
    check(json!(["b", "New"]), json!(["Unknown", "b"]), json!(["Unknown"]), json!(["New"]));
}

#[test]
fn a_set_the_type_sorts_is_matched_by_value() {
    check(
        json!([{"name": "b", "new": "b"}, {"name": "a", "new": "a"}]),
        json!([{"name": "a"}, {"name": "b"}]),
        json!([{"name": "a"}, {"name": "b"}, {"name": "c"}]),
        json!([{"name": "a", "new": "a"}, {"name": "b", "new": "b"}, {"name": "c"}]),
    );
}

#[test]
fn a_value_that_changes_its_kind_is_replaced() {
    check(json!({"v": {"x": 1, "new": 1}}), json!({"v": {"x": 1}}), json!({"v": "text"}), json!({"v": "text"}));
    check(json!({"v": "text"}), json!({"v": "text"}), json!({"v": [1]}), json!({"v": [1]}));
}

#[test]
fn an_entry_that_replaces_a_dropped_one_inherits_nothing() {
    // Without an identity: the oldest goes and one like it is appended.
    let raw = json!([{"at": 1, "ok": true, "new": "a"}, {"at": 2, "ok": true, "new": "b"}]);
    let before = json!([{"at": 1, "ok": true}, {"at": 2, "ok": true}]);
    check(
        raw.clone(),
        before.clone(),
        json!([{"at": 2, "ok": true}, {"at": 3, "ok": true}]),
        json!([{"at": 2, "ok": true, "new": "b"}, {"at": 3, "ok": true}]),
    );
    // One that is left after the oldest went is the newest, edited.
    check(raw, before, json!([{"at": 2, "ok": false}]), json!([{"at": 2, "ok": false, "new": "b"}]));
    // Appended beside an edit of the last.
    check(
        json!([{"at": 1, "ok": true, "new": "a"}]),
        json!([{"at": 1, "ok": true}]),
        json!([{"at": 1, "ok": false}, {"at": 2, "ok": true}]),
        json!([{"at": 1, "ok": false, "new": "a"}, {"at": 2, "ok": true}]),
    );
    // What only moved keeps what is its own.
    check(
        json!([{"at": 1, "new": "a"}, {"at": 2, "new": "b"}, {"at": 3, "new": "c"}]),
        json!([{"at": 1}, {"at": 2}, {"at": 3}]),
        json!([{"at": 3}, {"at": 1}, {"at": 2}]),
        json!([{"at": 3, "new": "c"}, {"at": 1, "new": "a"}, {"at": 2, "new": "b"}]),
    );
}

#[test]
fn a_number_is_an_identity_too() {
    check(
        json!([{"id": 7, "n": 1, "m": 1, "new": "a"}, {"id": 8, "n": 1, "m": 1, "new": "b"}]),
        json!([{"id": 7, "n": 1, "m": 1}, {"id": 8, "n": 1, "m": 1}]),
        json!([{"id": 8, "n": 2, "m": 2}, {"id": 9, "n": 1, "m": 1}]),
        json!([{"id": 8, "n": 2, "m": 2, "new": "b"}, {"id": 9, "n": 1, "m": 1}]),
    );
}

#[test]
fn the_next_variant_of_a_tagged_enum_has_nothing_of_the_former() {
    // Internally, adjacently and externally tagged.
    check(
        json!({"via": {"type": "Slack", "channel": "c", "new": 1}}),
        json!({"via": {"type": "Slack", "channel": "c"}}),
        json!({"via": {"type": "Mail", "to": "t"}}),
        json!({"via": {"type": "Mail", "to": "t"}}),
    );
    check(
        json!({"via": {"kind": "Slack", "of": {"channel": "c", "new": 1}}}),
        json!({"via": {"kind": "Slack", "of": {"channel": "c"}}}),
        json!({"via": {"kind": "Mail", "of": {"to": "t"}}}),
        json!({"via": {"kind": "Mail", "of": {"to": "t"}}}),
    );
    check(
        json!({"via": {"Slack": {"channel": "c", "new": 1}}}),
        json!({"via": {"Slack": {"channel": "c"}}}),
        json!({"via": {"Mail": {"to": "t"}}}),
        json!({"via": {"Mail": {"to": "t"}}}),
    );
    // The same variant, edited, and the status itself keep what the type does not know.
    check(
        json!({"via": {"type": "Slack", "channel": "c", "new": 1}}),
        json!({"via": {"type": "Slack", "channel": "c"}}),
        json!({"via": {"type": "Slack", "channel": "d"}}),
        json!({"via": {"type": "Slack", "channel": "d", "new": 1}}),
    );
    check(
        json!({"type": "Pending", "new": 1}),
        json!({"type": "Pending"}),
        json!({"type": "Done", "at": 1}),
        json!({"type": "Done", "at": 1, "new": 1}),
    );
}

/// Four times as many entries take about four times as long, and not sixteen times, as they would if every entry were
/// compared with every other. Time of this thread alone counts, and of several runs the shortest: other work on the machine
/// only adds to it.
#[test]
fn long_lists_take_no_longer_than_their_length() {
    let list = |length: u64, edit: u64, more: bool| -> Vec<Value> {
        let entry = |n: u64| {
            let mut entry = json!({"at": n, "channel": "slack", "result": edit, "ok": true});
            if more {
                entry["new"] = n.into();
            }
            entry
        };
        (0..length).map(entry).collect()
    };
    let merge = |length: u64, reversed: bool| {
        let mut merged = list(length, 0, true);
        if reversed {
            merged.reverse();
        }
        let (mut merged, before, after) =
            (Value::from(merged), Value::from(list(length, 0, false)), Value::from(list(length, 1, false)));
        let begun = thread_time();
        apply(&mut merged, &before, &after);
        let elapsed = thread_time() - begun;
        assert_eq!(merged, Value::from(list(length, 1, true)));
        elapsed
    };
    for reversed in [false, true] {
        let shortest = |length| (0..5).map(|_| merge(length, reversed)).min().unwrap();
        let (few, many) = (shortest(2_000), shortest(8_000));
        assert!(many < few * 10, "2,000 entries: {few:?}, 8,000 entries: {many:?}");
    }
}

/// How long this thread has been running.
fn thread_time() -> std::time::Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    std::time::Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

/// What a type reads that knows no member starting with `u`, and no entry of which it knows nothing.
fn typed(raw: &Value) -> Value {
    match raw {
        Value::Object(members) => members
            .iter()
            .filter(|(name, _)| !name.starts_with('u'))
            .map(|(name, value)| (name.clone(), typed(value)))
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(entries) => {
            let seen = |entry: &&Value| {
                entry
                    .as_object()
                    .is_none_or(|entry| entry.is_empty() || entry.keys().any(|name| !name.starts_with('u')))
            };
            entries.iter().filter(seen).map(typed).collect()
        }
        scalar => scalar.clone(),
    }
}

/// The members a type does not know, by path; entries of lists by their `id`.
fn unknown(raw: &Value, path: &str, found: &mut Vec<(String, Value)>) {
    match raw {
        Value::Object(members) => {
            for (name, value) in members {
                let path = format!("{path}/{name}");
                if name.starts_with('u') { found.push((path, value.clone())) } else { unknown(value, &path, found) }
            }
        }
        Value::Array(entries) => {
            for entry in entries {
                unknown(entry, &format!("{path}[{}]", entry.get("id").unwrap_or(&Value::Null)), found);
            }
        }
        _ => {}
    }
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0..4_i64).prop_map(Value::from),
        "[a-c]{0,2}".prop_map(Value::from)
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[k-nu]", inner, 0..4)
                .prop_map(|map| map.into_iter().collect::<Map<_, _>>().into()),
        ]
    })
}

/// A status with members and entries that the type knows half of.
fn status() -> impl Strategy<Value = Value> {
    let entry = ((0..6_u8), (0..3_i64), (0..3_i64))
        .prop_map(|(id, known, new)| json!({"id": id.to_string(), "k": known, "u": new}));
    let unseen = prop::collection::vec((0..6_usize, 0..3_i64), 0..3);
    let list = (prop::collection::vec(entry, 0..5), unseen).prop_map(|(mut list, unseen)| {
        list.sort_by_key(|entry| entry["id"].to_string());
        list.dedup_by_key(|entry| entry["id"].to_string());
        for (at, new) in unseen {
            list.insert(at.min(list.len()), json!({"u": new}));
        }
        list
    });
    (list, 0..3_i64, 0..3_i64, json_value())
        .prop_map(|(list, known, new, map)| json!({"list": list, "k": known, "u": new, "map": {"k": known, "u": map}}))
}

proptest! {
    #[test]
    fn with_nothing_unknown_the_result_is_what_was_meant(before in json_value(), after in json_value()) {
        let mut merged = before.clone();
        apply(&mut merged, &before, &after);
        prop_assert_eq!(merged, after);
    }

    #[test]
    fn nothing_changed_changes_nothing(raw in json_value()) {
        let mut merged = raw.clone();
        apply(&mut merged, &typed(&raw), &typed(&raw));
        prop_assert_eq!(merged, raw);
    }

    #[test]
    fn the_type_reads_back_what_was_meant_and_what_it_does_not_know_stays(raw in status(), other in status()) {
        let after = typed(&other);
        let mut merged = raw.clone();
        apply(&mut merged, &typed(&raw), &after);
        prop_assert_eq!(typed(&merged), after.clone());

        // Whatever place is still there has kept its unknown members, and no place has gained any.
        let (mut before, mut now) = (Vec::new(), Vec::new());
        unknown(&raw, "", &mut before);
        unknown(&merged, "", &mut now);
        let left: Vec<String> = after["list"].as_array().unwrap().iter().map(|entry| entry["id"].to_string()).collect();
        let stays = |path: &String| match path.strip_prefix("/list[").and_then(|rest| rest.split(']').next()) {
            // Entries the type cannot see have no identity, and nothing takes them away.
            Some(id) => id == "null" || left.contains(&id.to_owned()),
            None => true,
        };
        before.retain(|(path, _)| stays(path));
        for found in [&mut before, &mut now] {
            found.sort_by_key(|(path, value)| (path.clone(), value.to_string()));
        }
        prop_assert_eq!(now, before);
    }
}
