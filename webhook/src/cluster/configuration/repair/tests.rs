use proptest::prelude::*;
use serde_json::json;

use super::*;

const JOBS: &str = "jobs.example.org.statusguard.dev";
const TASKS: &str = "tasks.example.org.statusguard.dev";

/// An entry as it is desired.
fn entry(name: &str, bundle: &str) -> Json {
    json!({
        "name": name,
        "admissionReviewVersions": ["v1"],
        "clientConfig": {
            "caBundle": bundle,
            "service": { "name": "statusguard", "namespace": "statusguard", "path": "/admit/x", "port": 443 },
        },
        "failurePolicy": "Fail",
        "matchConditions": [{ "name": "status-changed", "expression": "object.?status != oldObject.?status" }],
        "matchPolicy": "Equivalent",
        "namespaceSelector": { "matchExpressions": [excluded()] },
        "objectSelector": {},
        "rules": [{
            "apiGroups": ["example.org"], "apiVersions": ["v1"], "operations": ["UPDATE"],
            "resources": ["jobs/status"], "scope": "Namespaced",
        }],
        "sideEffects": "NoneOnDryRun",
        "timeoutSeconds": 5,
    })
}

fn excluded() -> Json {
    json!({ "key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["statusguard", "kube-system"] })
}

fn foreign() -> Json {
    json!({
        "name": "webhook.example.org",
        "clientConfig": { "url": "https://example.org" },
        "rules": [],
        "ofANewerVersion": { "of": "Kubernetes" },
    })
}

/// An object as the manifests make it.
fn empty() -> Json {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {
            "name": "statusguard", "resourceVersion": "7", "uid": "u",
            "labels": { "app": "statusguard" },
            "annotations": { "of": "others" },
        },
    })
}

/// `current` after a repair that must be one.
fn after(current: &Json, desired: &[Json]) -> (Json, Vec<EntryChange>) {
    let Repair { object, changes } = repaired(current, desired).expect("something to repair");
    (object, changes)
}

/// What the API server has once the guard has written `desired` into an empty object.
fn filled(desired: &[Json]) -> Json {
    after(&empty(), desired).0
}

#[test]
fn an_object_without_webhooks_is_filled_in_and_keeps_all_else() {
    for webhooks in [None, Some(Json::Null), Some(json!([]))] {
        let mut current = empty();
        if let Some(webhooks) = webhooks {
            current["webhooks"] = webhooks;
        }
        let (object, changes) = after(&current, &[entry(JOBS, "QQ=="), entry(TASKS, "QQ==")]);
        assert_eq!(object["webhooks"], json!([entry(JOBS, "QQ=="), entry(TASKS, "QQ==")]));
        assert_eq!(changes, [EntryChange::Added(JOBS.into()), EntryChange::Added(TASKS.into())]);
        let metadata = &object["metadata"];
        assert_eq!(metadata["labels"], json!({ "app": "statusguard" }));
        assert_eq!(metadata["annotations"]["of"], "others");
        assert_eq!((&metadata["resourceVersion"], &metadata["uid"]), (&json!("7"), &json!("u")));
    }
}

#[test]
fn nothing_wanted_and_nothing_there_is_no_change() {
    assert_eq!(repaired(&empty(), &[]), None);
    let mut current = empty();
    current["webhooks"] = json!([foreign()]);
    assert_eq!(repaired(&current, &[]), None);
}

#[test]
fn the_same_desired_state_is_no_change() {
    let desired = [entry(JOBS, "QQ=="), entry(TASKS, "QQ==")];
    assert_eq!(repaired(&filled(&desired), &desired), None);
}

#[test]
fn what_the_api_server_and_newer_versions_of_it_fill_in_is_no_change() {
    let desired = [entry(JOBS, "QQ==")];
    let mut current = filled(&desired);
    current["webhooks"][0]["ofANewerVersion"] = json!("default");
    current["webhooks"][0]["rules"][0]["ofANewerVersion"] = json!("default");
    current["webhooks"][0]["clientConfig"]["service"]["ofANewerVersion"] = json!("default");
    assert_eq!(repaired(&current, &desired), None);
}

/// The enforcer of AKS adds these to every webhook, and adds them again whenever they are removed.
#[test]
fn terms_that_others_add_to_the_selectors_are_no_change() {
    let desired = [entry(JOBS, "QQ==")];
    let mut current = filled(&desired);
    current["webhooks"][0]["namespaceSelector"]["matchExpressions"] = json!([
        { "key": "control-plane", "operator": "DoesNotExist" },
        excluded(),
        { "key": "kubernetes.azure.com/managedby", "operator": "DoesNotExist" },
    ]);
    current["webhooks"][0]["objectSelector"] = json!({ "matchLabels": { "added": "too" } });
    assert_eq!(repaired(&current, &desired), None);

    // They stay in a write that something else makes necessary.
    let (object, changes) = after(&current, &[entry(JOBS, "Qg==")]);
    assert_eq!(changes, [EntryChange::Changed(JOBS.into(), vec!["caBundle".into()])]);
    for selector in SELECTORS {
        assert_eq!(object["webhooks"][0][selector], current["webhooks"][0][selector]);
    }
}

#[test]
fn every_field_of_an_entry_is_repaired() {
    let desired = [entry(JOBS, "QQ==")];
    let fields = [
        ("/clientConfig/caBundle", "caBundle"),
        ("/clientConfig/service", "service"),
        ("/clientConfig/service/port", "service"),
        ("/clientConfig", "clientConfig"),
        ("/rules", "rules"),
        ("/rules/0/scope", "rules"),
        ("/rules/0/operations", "rules"),
        ("/failurePolicy", "failurePolicy"),
        ("/matchPolicy", "matchPolicy"),
        ("/matchConditions", "matchConditions"),
        ("/namespaceSelector", "namespaceSelector"),
        ("/sideEffects", "sideEffects"),
        ("/timeoutSeconds", "timeoutSeconds"),
        ("/admissionReviewVersions", "admissionReviewVersions"),
    ];
    for (pointer, part) in fields {
        for garbage in [Json::Null, json!([]), json!("other"), json!({})] {
            let mut current = filled(&desired);
            *current["webhooks"][0].pointer_mut(pointer).unwrap() = garbage.clone();
            let (object, changes) = after(&current, &desired);
            assert_eq!(object["webhooks"], json!(desired), "{pointer} was {garbage}");
            let [EntryChange::Changed(name, parts)] = &*changes else { unreachable!("{pointer}: {changes:?}") };
            assert_eq!(name, JOBS);
            if part == "clientConfig" {
                assert!(parts.contains(&"caBundle".to_owned()), "{parts:?}");
            } else {
                assert_eq!(parts, &[part], "{pointer} was {garbage}");
            }
        }
    }
}

#[test]
fn what_others_add_to_a_list_that_is_the_guards_is_removed() {
    let desired = [entry(JOBS, "QQ==")];
    let mut current = filled(&desired);
    let entry = &mut current["webhooks"][0];
    entry["rules"].as_array_mut().unwrap().push(json!({ "operations": ["*"] }));
    entry["matchConditions"].as_array_mut().unwrap().push(json!({ "name": "never", "expression": "false" }));
    let (object, changes) = after(&current, &desired);
    assert_eq!(object["webhooks"], json!(desired));
    assert_eq!(changes, [EntryChange::Changed(JOBS.into(), vec!["matchConditions".into(), "rules".into()])]);
}

/// Both at once would be refused.
#[test]
fn a_url_gives_way_to_the_service() {
    let desired = [entry(JOBS, "QQ==")];
    let mut current = filled(&desired);
    current["webhooks"][0]["clientConfig"] = json!({ "url": "https://elsewhere.example.org" });
    assert_eq!(after(&current, &desired).0["webhooks"], json!(desired));
}

#[test]
fn entries_of_others_keep_their_place_and_every_field() {
    let desired = [entry(JOBS, "QQ=="), entry(TASKS, "QQ==")];
    let mut current = filled(&desired);
    let webhooks = json!([foreign(), entry(TASKS, "old"), { "without": "a name" }, entry(JOBS, "old"), foreign()]);
    current["webhooks"] = webhooks;
    let (object, _) = after(&current, &desired);
    let expected = json!([foreign(), entry(TASKS, "QQ=="), { "without": "a name" }, entry(JOBS, "QQ=="), foreign()]);
    assert_eq!(object["webhooks"], expected);
}

#[test]
fn the_entry_of_a_removed_policy_goes_even_without_a_record() {
    let mut current = filled(&[entry(JOBS, "QQ=="), entry(TASKS, "QQ==")]);
    let (object, changes) = after(&current, &[entry(TASKS, "QQ==")]);
    assert_eq!(object["webhooks"], json!([entry(TASKS, "QQ==")]));
    assert_eq!(changes, [EntryChange::Removed(JOBS.into())]);
    assert!(!record(&object).unwrap().contains_key(JOBS));

    current["metadata"]["annotations"] = Json::Null;
    assert_eq!(after(&current, &[]).0["webhooks"], json!([]));
}

#[test]
fn a_second_entry_of_one_name_goes() {
    let desired = [entry(JOBS, "QQ==")];
    let mut current = filled(&desired);
    current["webhooks"] = json!([entry(JOBS, "QQ=="), foreign(), entry(JOBS, "QQ==")]);
    let (object, changes) = after(&current, &desired);
    assert_eq!(object["webhooks"], json!([entry(JOBS, "QQ=="), foreign()]));
    assert_eq!(changes, [EntryChange::Removed(JOBS.into())]);
}

#[test]
fn a_term_that_the_policy_has_no_more_goes_and_those_of_others_stay() {
    let mut before = entry(JOBS, "QQ==");
    before["namespaceSelector"]["matchLabels"] = json!({ "team": "a" });
    before["objectSelector"] = json!({ "matchExpressions": [{ "key": "guarded", "operator": "Exists" }] });
    let mut current = filled(&[before]);
    let added = json!({ "key": "control-plane", "operator": "DoesNotExist" });
    for selector in SELECTORS {
        let terms = current["webhooks"][0][selector]["matchExpressions"].as_array_mut().unwrap();
        terms.insert(0, added.clone());
    }
    let (object, changes) = after(&current, &[entry(JOBS, "QQ==")]);
    assert_eq!(object["webhooks"][0]["namespaceSelector"], json!({ "matchExpressions": [added, excluded()] }));
    assert_eq!(object["webhooks"][0]["objectSelector"], json!({ "matchExpressions": [added] }));
    assert_eq!(changes, [EntryChange::Changed(JOBS.into(), vec!["namespaceSelector".into(), "objectSelector".into()])]);
    assert_eq!(repaired(&object, &[entry(JOBS, "QQ==")]), None);
}

#[test]
fn a_record_that_was_taken_away_or_broken_is_written_again() {
    let desired = [entry(JOBS, "QQ==")];
    let current = filled(&desired);
    for garbage in [Json::Null, json!("{"), json!("[]"), json!("{}"), json!(7)] {
        let mut broken = current.clone();
        broken["metadata"]["annotations"][RECORD] = garbage.clone();
        assert_eq!(after(&broken, &desired), (current.clone(), vec![EntryChange::Record]), "{garbage}");
    }
}

#[test]
fn a_record_too_long_for_an_annotation_is_left_out() {
    let mut huge = entry(JOBS, "QQ==");
    huge["objectSelector"] = json!({ "matchLabels": { "key": "x".repeat(MAX_RECORD) } });
    let object = filled(&[huge.clone()]);
    assert_eq!(record(&object), None);
    assert_eq!(repaired(&object, &[huge]), None);
}

#[test]
fn an_entry_of_which_only_the_client_is_desired_keeps_all_else() {
    let current = filled(&[entry(JOBS, "QQ==")]);
    let desired = json!({ "name": JOBS, "clientConfig": { "caBundle": "Qg==" } });
    let (object, changes) = after(&current, std::slice::from_ref(&desired));
    assert_eq!(object["webhooks"], json!([entry(JOBS, "Qg==")]));
    assert_eq!(changes, [EntryChange::Changed(JOBS.into(), vec!["caBundle".into()])]);
    assert_eq!(record(&object), record(&current));
}

#[test]
fn odd_shapes_are_replaced_and_never_panic() {
    let desired = [entry(JOBS, "QQ==")];
    for odd in
        [Json::Null, json!([]), json!("x"), json!({ "webhooks": {}, "metadata": [] }), json!({ "webhooks": [7] })]
    {
        let (object, _) = after(&odd, &desired);
        assert_eq!(repaired(&object, &desired), None, "{odd}");
    }
}

/// Values of no meaning.
fn anything() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![Just(Json::Null), any::<bool>().prop_map(Json::from), "[a-z]{0,3}".prop_map(Json::from)];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Json::from),
            prop::collection::btree_map("[a-z]{1,3}", inner, 0..3).prop_map(|map| json!(map)),
        ]
    })
}

/// Terms of another writer, none of which the guard uses.
fn foreign_selector() -> impl Strategy<Value = Json> {
    let term = "[a-c]".prop_map(|key| json!({ "key": format!("foreign/{key}"), "operator": "DoesNotExist" }));
    let labels = prop::collection::btree_map("foreign-[a-c]", "[a-c]", 1..3);
    (prop::collection::vec(term, 1..3), labels)
        .prop_map(|(terms, labels)| json!({ "matchExpressions": terms, "matchLabels": labels }))
}

/// Entries that are desired, some with terms of a policy.
fn desired() -> impl Strategy<Value = Vec<Json>> {
    let one = ("[a-d]", "[A-D]{4}", any::<bool>(), any::<bool>()).prop_map(|(name, bundle, labels, objects)| {
        let mut one = entry(&format!("{name}.example.org.statusguard.dev"), &bundle);
        if labels {
            one["namespaceSelector"]["matchLabels"] = json!({ "team": name });
        }
        if objects {
            one["objectSelector"] = json!({ "matchExpressions": [{ "key": name, "operator": "Exists" }] });
        }
        one
    });
    prop::collection::vec(one, 0..4).prop_map(|mut all| {
        let mut seen = BTreeSet::new();
        all.retain(|one| seen.insert(name(one).to_owned()));
        all
    })
}

/// One thing that somebody does to a configuration.
#[derive(Clone, Debug)]
enum Meddling {
    ForeignEntry(usize, Json),
    Label(String),
    Annotation(String),
    UnknownField(Json),
    Terms(usize, usize, Json),
    OurField(usize, usize, Json),
    RemoveEntry(usize),
    Reverse,
}

fn meddling() -> impl Strategy<Value = Meddling> {
    let at = 0..8_usize;
    prop_oneof![
        (at.clone(), anything()).prop_map(|(at, extra)| Meddling::ForeignEntry(at, extra)),
        "[a-z]{1,3}".prop_map(Meddling::Label),
        "[a-z]{1,3}".prop_map(Meddling::Annotation),
        anything().prop_map(Meddling::UnknownField),
        (at.clone(), 0..2_usize, foreign_selector()).prop_map(|(at, which, terms)| Meddling::Terms(at, which, terms)),
        (at.clone(), 0..9_usize, anything()).prop_map(|(at, field, value)| Meddling::OurField(at, field, value)),
        at.prop_map(Meddling::RemoveEntry),
        Just(Meddling::Reverse),
    ]
}

const FIELDS: [&str; 9] = [
    "clientConfig",
    "rules",
    "failurePolicy",
    "matchPolicy",
    "matchConditions",
    "sideEffects",
    "timeoutSeconds",
    "admissionReviewVersions",
    "unknownToTheGuard",
];

fn meddle(object: &mut Json, meddling: &Meddling) {
    let entries = object["webhooks"].as_array_mut().unwrap();
    let count = entries.len();
    match meddling {
        Meddling::ForeignEntry(at, extra) => {
            let name = format!("hook-{count}.example.org");
            entries.insert(at % (count + 1), json!({ "name": name, "extra": extra, "webhooks": [extra] }));
        }
        Meddling::Label(key) => object["metadata"]["labels"][format!("foreign-{key}")] = json!("x"),
        Meddling::Annotation(key) => object["metadata"]["annotations"][format!("foreign-{key}")] = json!("x"),
        Meddling::UnknownField(value) => object["unknown"] = value.clone(),
        Meddling::Reverse => entries.reverse(),
        _ if count == 0 => {}
        Meddling::RemoveEntry(at) => drop(entries.remove(at % count)),
        Meddling::OurField(at, field, value) => entries[at % count][FIELDS[*field]] = value.clone(),
        Meddling::Terms(at, which, terms) => {
            let selector = &mut entries[at % count][SELECTORS[*which]];
            for term in terms["matchExpressions"].as_array().unwrap() {
                match selector["matchExpressions"].as_array_mut() {
                    Some(all) => all.insert(0, term.clone()),
                    None => selector["matchExpressions"] = json!([term]),
                }
            }
            for (key, value) in terms["matchLabels"].as_object().unwrap() {
                selector["matchLabels"][key] = value.clone();
            }
        }
    }
}

/// All terms of a selector, as text.
fn terms(selector: &Json) -> BTreeSet<String> {
    let labels = selector["matchLabels"].as_object().into_iter().flatten().map(|(key, value)| format!("{key}={value}"));
    let expressions = selector["matchExpressions"].as_array().into_iter().flatten().map(Json::to_string);
    labels.chain(expressions).collect()
}

fn is_foreign_term(term: &str) -> bool {
    term.contains("foreign")
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever others do between two states of the policies: one write leads to what is desired, loses nothing of
    /// theirs, and a second finds nothing to do.
    #[test]
    fn a_repair_reaches_what_is_desired_keeps_what_is_foreign_and_is_idempotent(
        before in desired(),
        meddlings in prop::collection::vec(meddling(), 0..8),
        desired in desired(),
    ) {
        let mut current = repaired(&empty(), &before).map_or_else(empty, |repair| repair.object);
        if current["webhooks"].is_null() {
            current["webhooks"] = json!([]);
        }
        for meddling in &meddlings {
            meddle(&mut current, meddling);
        }
        let after = repaired(&current, &desired).map_or_else(|| current.clone(), |repair| repair.object);
        prop_assert_eq!(repaired(&after, &desired), None);

        // Ours: exactly the desired entries, each with all its fields and terms, and no term of ours beside them.
        let ours: BTreeSet<&str> = our_entries(&after).map(|(name, _)| name).collect();
        prop_assert_eq!(our_entries(&after).count(), desired.len());
        for wanted in &desired {
            prop_assert!(ours.contains(name(wanted)));
            let (_, have) = our_entries(&after).find(|(other, _)| *other == name(wanted)).unwrap();
            for (field, value) in wanted.as_object().unwrap() {
                if SELECTORS.contains(&field.as_str()) {
                    let (have, wanted) = (terms(&have[field]), terms(value));
                    prop_assert!(have.is_superset(&wanted));
                    prop_assert!(have.difference(&wanted).all(|term| is_foreign_term(term)), "{:?}", have);
                } else {
                    prop_assert!(covers(&have[field], value), "{}: {} for {}", field, have[field], value);
                }
            }
            // Terms of others in an entry that was there stay.
            if let Some((_, had)) = our_entries(&current).find(|(other, _)| *other == name(wanted)) {
                for selector in SELECTORS {
                    let kept = terms(&have[selector]);
                    prop_assert!(terms(&had[selector]).iter().filter(|term| is_foreign_term(term)).all(|term| kept.contains(term)));
                }
                prop_assert_eq!(&have["unknownToTheGuard"], &had["unknownToTheGuard"]);
            }
        }

        // Foreign: the entries in their order, labels, annotations, and fields that nobody knows.
        let foreign = |object: &Json| -> Vec<Json> {
            object["webhooks"].as_array().unwrap().iter().filter(|entry| !is_ours(name(entry))).cloned().collect()
        };
        prop_assert_eq!(foreign(&after), foreign(&current));
        let without_ours = |object: &Json| {
            let mut object = object.clone();
            object["webhooks"].take();
            if let Some(annotations) = object["metadata"]["annotations"].as_object_mut() {
                annotations.remove(RECORD);
            }
            object
        };
        prop_assert_eq!(without_ours(&after), without_ours(&current));
    }
}

/// Whether `have` has all of `wanted`.
fn covers(have: &Json, wanted: &Json) -> bool {
    match (have, wanted) {
        (Json::Object(have), Json::Object(wanted)) => {
            wanted.iter().all(|(key, value)| have.get(key).is_some_and(|have| covers(have, value)))
        }
        (Json::Array(have), Json::Array(wanted)) => {
            have.len() == wanted.len() && have.iter().zip(wanted).all(|(have, wanted)| covers(have, wanted))
        }
        _ => have == wanted,
    }
}
