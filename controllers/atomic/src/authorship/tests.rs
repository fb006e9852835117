#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::json;

use super::*;

const US: &str = "courier/1";

/// One entry of `managedFields`, as the API server writes it.
fn entry(manager: &str, second: u8, status: Value) -> Value {
    json!({
        "manager": manager, "operation": "Update", "subresource": "status", "apiVersion": "example.org/v1",
        "time": format!("2026-01-01T00:00:{second:02}Z"), "fieldsType": "FieldsV1", "fieldsV1": {"f:status": status},
    })
}

fn object(version: &str, status: Value, entries: &[Value]) -> Value {
    json!({"metadata": {"resourceVersion": version, "managedFields": entries}, "status": status})
}

fn lost<'a>(base: &'a Value, sent: &'a Value) -> Lost<'a> {
    Lost { base, sent, manager: US, unresolved: false, append_only: &[] }
}

#[test]
fn the_owner_of_a_changed_field_wrote_the_next_version() {
    let base = object(
        "1",
        json!({"n": 1, "x": 1}),
        &[entry(US, 0, json!({"f:x": {}})), entry("other", 0, json!({"f:n": {}}))],
    );
    let sent = json!({"n": 2, "x": 1});
    let ours = object("2", sent.clone(), &[entry(US, 1, json!({"f:n": {}, "f:x": {}}))]);
    assert_eq!(of_next(&lost(&base, &sent), &ours), Author::Ours);
    // The same content, from somebody else, although an unchanged field is ours.
    let theirs = object("2", sent.clone(), &[entry(US, 0, json!({"f:x": {}})), entry("other", 1, json!({"f:n": {}}))]);
    assert_eq!(of_next(&lost(&base, &sent), &theirs), Author::Other);
    // A version that left the status alone is nobody's status write.
    let spec = object("2", json!({"n": 1, "x": 1}), &[entry(US, 0, json!({"f:x": {}}))]);
    assert_eq!(of_next(&lost(&base, &sent), &spec), Author::Other);
}

#[test]
fn an_entry_of_a_keyed_list_belongs_to_who_changed_it() {
    let conditions =
        |ready: &str| json!({"conditions": [{"type": "Ready", "status": ready}, {"type": "Sent", "status": "True"}]});
    let key = |kind: &str, fields: Value| (format!("k:{{\"type\":\"{kind}\"}}"), fields);
    let tree = |entries: Vec<(String, Value)>| json!({"f:conditions": entries.into_iter().collect::<Map<_, _>>()});
    let all = json!({".": {}, "f:status": {}, "f:type": {}});
    let base = object(
        "1",
        conditions("False"),
        &[entry("other", 0, tree(vec![key("Ready", all.clone()), key("Sent", all.clone())]))],
    );
    let sent = conditions("True");
    let ours = object(
        "2",
        conditions("True"),
        &[
            entry(US, 1, tree(vec![key("Ready", json!({"f:status": {}}))])),
            entry("other", 0, tree(vec![key("Ready", json!({".": {}, "f:type": {}})), key("Sent", all.clone())])),
        ],
    );
    assert_eq!(of_next(&lost(&base, &sent), &ours), Author::Ours);
    let theirs =
        object("2", conditions("True"), &[entry("other", 1, tree(vec![key("Ready", all.clone()), key("Sent", all)]))]);
    assert_eq!(of_next(&lost(&base, &sent), &theirs), Author::Other);
}

#[test]
fn what_is_nested_in_ours_is_not_ours_when_somebody_nearer_owns_it() {
    let base = object("1", json!({"map": {}}), &[entry(US, 0, json!({"f:map": {}}))]);
    let sent = json!({"map": {"a": 1}});
    let theirs = object(
        "2",
        json!({"map": {"a": 1}}),
        &[entry(US, 0, json!({"f:map": {}})), entry("other", 1, json!({"f:map": {"f:a": {}}}))],
    );
    assert_eq!(of_next(&lost(&base, &sent), &theirs), Author::Other);
    assert_eq!(of_later(&lost(&base, &sent), &theirs), Author::Unclear);
}

#[test]
fn a_removal_has_no_owner() {
    let base = object("1", json!({"a": 1, "b": 1}), &[entry(US, 0, json!({"f:a": {}, "f:b": {}}))]);
    let sent = json!({"a": 1});
    let next = object("2", json!({"a": 1}), &[entry(US, 0, json!({"f:a": {}}))]);
    assert_eq!(of_next(&lost(&base, &sent), &next), Author::Unclear);
    // Nor has what was emptied.
    let base = object("1", json!({"list": [1]}), &[entry(US, 0, json!({"f:list": {}}))]);
    let sent = json!({"list": []});
    let next = object("2", json!({"list": []}), &[entry(US, 0, json!({"f:list": {}}))]);
    assert_eq!(of_next(&lost(&base, &sent), &next), Author::Unclear);
}

#[test]
fn on_a_unresolved_base_only_the_very_status_that_was_sent_is_ours() {
    let lists = [AppendOnly { list: "/log".to_owned(), identity: "id".to_owned() }];
    let base = object("1", json!({"n": 1}), &[]);
    let sent = json!({"n": 2, "log": [{"id": "b"}, {"id": "c"}]});
    let next = |status| object("2", status, &[entry(US, 1, json!({"f:n": {}, "f:log": {}}))]);
    let lost = Lost { unresolved: true, ..lost(&base, &sent) };
    let identified = Lost { append_only: &lists, ..lost };

    assert_eq!(of_next(&lost, &next(sent.clone())), Author::Ours);
    // An earlier write of ours may have landed instead, with some or all of the same identities.
    let some = next(json!({"n": 2, "log": [{"id": "b"}]}));
    let all = next(json!({"n": 2, "log": [{"id": "b"}, {"id": "c"}], "x": 1}));
    assert_eq!(of_next(&lost, &some), Author::Unclear);
    assert_eq!(of_next(&identified, &some), Author::Other);
    assert_eq!(of_later(&identified, &some), Author::Other);
    assert_eq!(of_next(&identified, &all), Author::Unclear);
    assert_eq!(of_later(&identified, &all), Author::Unclear);
    assert_eq!(of_later(&lost, &next(sent.clone())), Author::Unclear);
}

#[test]
fn an_identity_that_somebody_else_appended_as_well_does_not_make_the_version_ours() {
    let lists = [AppendOnly { list: "/log".to_owned(), identity: "id".to_owned() }];
    let base = object("1", json!({"log": []}), &[]);
    let sent = json!({"log": [{"id": "b"}, {"id": "c"}]});
    let lost = Lost { append_only: &lists, ..lost(&base, &sent) };
    let theirs = |log: Value| object("2", json!({"log": log}), &[entry("other", 1, json!({"f:log": {}}))]);
    assert_eq!(of_next(&lost, &theirs(json!([{"id": "b"}]))), Author::Other);
    assert_eq!(of_next(&lost, &theirs(json!([{"id": "b"}, {"id": "c"}]))), Author::Other);
    assert_eq!(of_later(&lost, &theirs(json!([{"id": "b"}]))), Author::Other);
}

#[test]
fn the_manager_of_folded_entries_may_be_anybody() {
    let base = object("1", json!({"n": 1}), &[]);
    let sent = json!({"n": 2});
    let next = object("2", json!({"n": 2}), &[entry(FOLDED, 1, json!({"f:n": {}}))]);
    assert_eq!(of_next(&lost(&base, &sent), &next), Author::Unclear);
}

#[test]
fn a_pruned_field_does_not_hide_our_write() {
    let base = object("1", json!({"n": 1}), &[entry("other", 0, json!({"f:n": {}}))]);
    let sent = json!({"n": 2, "unheard": 1});
    let next = object("2", json!({"n": 2}), &[entry(US, 1, json!({"f:n": {}}))]);
    assert_eq!(of_next(&lost(&base, &sent), &next), Author::Ours);
}

#[test]
fn a_later_version_proves_a_landing_and_never_the_contrary() {
    let base = object("1", json!({"n": 1, "x": 1}), &[entry("other", 0, json!({"f:n": {}, "f:x": {}}))]);
    let sent = json!({"n": 2, "x": 2});
    let overtaken = object(
        "9",
        json!({"n": 7, "x": 2}),
        &[entry("other", 5, json!({"f:n": {}})), entry(US, 1, json!({"f:x": {}}))],
    );
    assert_eq!(of_later(&lost(&base, &sent), &overtaken), Author::Ours);
    let overwritten = object("9", json!({"n": 7, "x": 7}), &[entry("other", 5, json!({"f:n": {}, "f:x": {}}))]);
    assert_eq!(of_later(&lost(&base, &sent), &overwritten), Author::Unclear);
}

#[test]
fn our_entry_is_a_mark_if_it_is_new_or_its_time_moved() {
    let sent = json!({"n": 2});
    let before = |entries: &[Value]| object("1", json!({"n": 1}), entries);
    let mark = |second| entry(US, second, json!({"f:gone": {}}));
    let other = entry("other", 0, json!({"f:n": {}}));
    let later = object("9", json!({"n": 7}), &[mark(3), other.clone()]);
    for (base, author) in [
        (before(std::slice::from_ref(&other)), Author::Ours),
        (before(&[mark(1), other.clone()]), Author::Ours),
        // The same second may hold two writes.
        (before(&[mark(3), other]), Author::Unclear),
        // A cache that strips managedFields knows nothing of what was there.
        (before(&[]), Author::Unclear),
    ] {
        assert_eq!(of_later(&lost(&base, &sent), &later), author);
    }
}

#[test]
fn an_appended_identity_decides_both_ways() {
    let lists = [AppendOnly { list: "/log".to_owned(), identity: "id".to_owned() }];
    let base = object("1", json!({"log": [{"id": "a"}]}), &[]);
    let sent = json!({"log": [{"id": "a"}, {"id": "b"}]});
    let lost = Lost { append_only: &lists, ..lost(&base, &sent) };
    let with = object("9", json!({"log": [{"id": "a"}, {"id": "b"}, {"id": "c"}]}), &[]);
    let without = object("9", json!({"log": [{"id": "a"}, {"id": "c"}]}), &[]);
    assert_eq!(of_later(&lost, &with), Author::Ours);
    assert_eq!(of_later(&lost, &without), Author::Other);
    // A write that appends nothing has no identity to look for.
    let silent = json!({"log": [{"id": "a"}], "n": 1});
    assert_eq!(of_later(&Lost { sent: &silent, ..lost }, &without), Author::Unclear);
}
