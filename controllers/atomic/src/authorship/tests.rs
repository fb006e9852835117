use serde_json::{Map, json};

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
    json!({
        "apiVersion": "example.org/v1", "status": status,
        "metadata": {"resourceVersion": version, "managedFields": entries},
    })
}

fn lost<'a>(base: &'a Value, sent: &'a Value) -> Lost<'a> {
    Lost { base, sent, manager: US, unresolved: false, append_only: &[] }
}

/// The list `log`, of which it is known that identities are stored as they are sent.
fn log() -> AppendOnly {
    let list = AppendOnly::new("/log".to_owned(), "id".to_owned());
    let sent = json!({"log": [{"id": "earlier"}]});
    list.learn(&json!({}), &sent, &json!({"status": sent}));
    list
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
    let lists = [log()];
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
    let lists = [log()];
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
    let lists = [log()];
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

/// A base that both of us wrote in second 0, and a next version with these entries of second 0, so that only fields tell.
fn same_second(base: Value, sent: &Value, next: Value, ours: Value, theirs: Value) -> (Author, Author) {
    let everything =
        json!({".": {}, "f:n": {}, "f:x": {}, "f:log": {}, "f:tags": {"v:1": {}}, "f:m": {}, "f:sub": {"f:a": {}}});
    let base = object("1", base, &[entry(US, 0, everything.clone()), entry("other", 0, everything)]);
    let next = object("2", next, &[entry(US, 0, ours), entry("other", 0, theirs)]);
    (of_next(&lost(&base, sent), &next), of_later(&lost(&base, sent), &next))
}

#[test]
fn who_holds_what_is_around_a_field_does_not_hold_the_field() {
    // An applier gave it up, and a default took its place: the very value that was sent.
    let sent = json!({"x": 1, "n": 1});
    let next = same_second(json!({"x": 1, "n": 0}), &sent, sent.clone(), json!({".": {}, "f:x": {}}), json!({}));
    assert_eq!(next, (Author::Other, Author::Unclear), "a write that sets a field holds it");
    // A write that also removes something may have left nothing that is ours.
    let removing = json!({"n": 1});
    let next = same_second(json!({"x": 1, "n": 0}), &removing, sent, json!({".": {}, "f:x": {}}), json!({}));
    assert_eq!(next, (Author::Unclear, Author::Unclear));
    // Who has emptied a map holds it, and not what is in it later.
    let sent = json!({"m": {"a": 1}});
    let next = same_second(json!({"m": {}}), &sent, sent.clone(), json!({"f:m": {}}), json!({}));
    assert_eq!(next, (Author::Unclear, Author::Unclear));
    // That others held a part of it in the base shows that it is not held as a whole.
    let (before, sent) = (json!({"sub": {"a": 0}}), json!({"sub": {"a": 1}}));
    let next = same_second(before, &sent, sent.clone(), json!({"f:sub": {}}), json!({}));
    assert_eq!(next, (Author::Other, Author::Unclear));
}

#[test]
fn members_and_keys_are_compared_as_json() {
    let sent = json!({"tags": ["<a>", 2.0], "log": [{"b": "&", "a": 1.0, "n": 1}]});
    let next = json!({"tags": ["<a>", 2], "log": [{"b": "&", "a": 1, "n": 1}]});
    let member = json!({"f:tags": {"v:\"\\u003ca\\u003e\"": {}, "v:2": {}}});
    let keyed = json!({"f:log": {"k:{\"a\":1,\"b\":\"\\u0026\"}": {".": {}, "f:a": {}, "f:b": {}, "f:n": {}}}});
    for ours in [&member, &keyed] {
        let base = object("1", json!({}), &[]);
        let next = object("2", next.clone(), &[entry(US, 0, ours.clone())]);
        assert_eq!(of_next(&lost(&base, &sent), &next), Author::Ours);
        let theirs = object("2", next["status"].clone(), &[entry("other", 0, ours.clone())]);
        assert_eq!(of_next(&lost(&base, &sent), &theirs), Author::Other);
    }
}

#[test]
fn entries_of_another_version_of_the_api_name_other_fields() {
    let mut other = entry("other", 0, json!({"f:n": {}}));
    other["apiVersion"] = "example.org/v2".into();
    let mut ours = entry(US, 0, json!({"f:n": {}}));
    ours["apiVersion"] = "example.org/v2".into();
    let base = object("1", json!({"n": 1}), &[other.clone(), ours.clone()]);
    let sent = json!({"n": 2});
    let next = object("2", sent.clone(), &[other, ours]);
    assert_eq!(of_later(&lost(&base, &sent), &next), Author::Unclear);
}

#[test]
fn the_only_entry_that_is_new_moved_or_grown_made_the_next_version() {
    let base = json!({"n": 1});
    let sent = json!({"n": 2});
    let before = |manager| entry(manager, 0, json!({"f:n": {}}));
    let judge = |ours: Option<Value>, theirs: Option<Value>| {
        let base = object("1", base.clone(), &[before(US), before("other"), entry("third", 0, json!({"f:q": {}}))]);
        let entries: Vec<Value> = ours.into_iter().chain(theirs).collect();
        // A value that nobody sent, or holds.
        of_next(&lost(&base, &sent), &object("2", json!({"n": 9}), &entries))
    };
    let is_quiet = |manager| Some(entry(manager, 0, json!({})));
    assert_eq!(judge(Some(entry(US, 1, json!({}))), is_quiet("other")), Author::Ours);
    assert_eq!(judge(Some(entry(US, 0, json!({"f:n": {}, "f:x": {}}))), is_quiet("other")), Author::Ours);
    assert_eq!(judge(is_quiet(US), Some(entry("other", 1, json!({})))), Author::Other);
    assert_eq!(judge(is_quiet(US), Some(entry("other", 0, json!({"f:x": {}})))), Author::Other);
    assert_eq!(judge(is_quiet(US), Some(entry("new", 0, json!({})))), Author::Other);
    // What is folded was written by anybody, at any time.
    assert_eq!(judge(Some(entry(US, 0, json!({"f:n": {}}))), Some(entry(FOLDED, 1, json!({})))), Author::Ours);
    // Two at once cannot be, so neither counts.
    assert_eq!(judge(Some(entry(US, 1, json!({}))), Some(entry("other", 1, json!({"f:n": {}})))), Author::Other);
}

#[test]
fn ours_in_another_form_counts_unless_something_belongs_to_others_alone() {
    let (base, sent) = (json!({"n": 1, "log": [{"id": 1}]}), json!({"n": 2, "log": [{"id": 1}]}));
    let normalised = json!({"n": "two", "log": [{"id": 1}]});
    let next = same_second(base.clone(), &sent, normalised.clone(), json!({"f:n": {}, "f:log": {}}), json!({}));
    assert_eq!(next, (Author::Ours, Author::Unclear));
    // A default that is new in the entries of an atomic list of ours, shown by a write of somebody else.
    let default = json!({"n": 2, "log": [{"id": 1, "mode": "fast"}]});
    let next = same_second(base, &sent, default, json!({"f:log": {}}), json!({"f:n": {}}));
    assert_eq!(next, (Author::Unclear, Author::Unclear));
    // Of a base without entries, only what was sent counts.
    let bare = object("1", json!({"n": 1}), &[]);
    let next = object("2", normalised, &[entry(US, 0, json!({"f:n": {}}))]);
    assert_eq!(of_next(&lost(&bare, &sent), &next), Author::Unclear);
}

#[test]
fn an_absent_identity_proves_nothing_where_it_may_have_been_changed() {
    let base = object("1", json!({"log": [{"id": "a"}]}), &[]);
    let sent = |id: Value| json!({"log": [{"id": "a"}, {"id": id}]});
    let later = object("9", json!({"log": [{"id": "a"}, {"id": "x"}]}), &[]);
    let judge = |list: &AppendOnly, id: Value, later: &Value| {
        let sent = sent(id);
        of_later(&Lost { append_only: std::slice::from_ref(list), ..lost(&base, &sent) }, later)
    };
    assert_eq!(judge(&log(), json!("b"), &later), Author::Other);
    // Not known yet, known to be changed, and a number that may be rounded.
    let unknown = AppendOnly::new("/log".to_owned(), "id".to_owned());
    assert_eq!(judge(&unknown, json!("b"), &later), Author::Unclear);
    let changed = log();
    let twice = json!({"log": [{"id": "B"}]});
    changed.learn(&json!({}), &twice, &json!({"status": {"log": [{"id": "b"}]}}));
    changed.learn(&json!({}), &twice, &json!({"status": twice}));
    assert_eq!(judge(&changed, json!("b"), &later), Author::Unclear);
    assert_eq!(judge(&log(), json!(u64::MAX), &later), Author::Unclear);
    assert_eq!(judge(&log(), json!(1), &later), Author::Other);
    // Where no entry was added, ours was not.
    assert_eq!(judge(&unknown, json!("b"), &object("9", json!({"log": [{"id": "a"}]}), &[])), Author::Other);
    // Owners rank above identities.
    let base = object("1", json!({"log": []}), &[entry("other", 0, json!({"f:x": {}}))]);
    let (list, sent) = (log(), json!({"log": [{"id": "B"}]}));
    let landed = object("2", json!({"log": [{"id": "b"}]}), &[entry(US, 1, json!({"f:log": {}}))]);
    let lost = Lost { append_only: std::slice::from_ref(&list), ..lost(&base, &sent) };
    assert_eq!((of_next(&lost, &landed), of_later(&lost, &landed)), (Author::Ours, Author::Ours));
}
