//! What a change of the folder does, and what is said of it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use statusguard_edge::Health;

use crate::guard::log::capture;
use crate::guard::policy_file::PolicySource;

use super::*;

/// A policy of a resource that guards a field.
fn policy(resource: &str, field: &str) -> String {
    format!(
        "apiVersion: statusguard.dev/v1alpha1\nkind: StatusPolicy\nmetadata: {{name: {resource}.example.org}}\n\
         spec:\n  target: {{group: example.org, version: v1, resource: {resource}}}\n  \
         monotone: [{{path: .status.{field}}}]\n"
    )
}

fn write(folder: &Path, file: &str, text: &str) {
    fs::write(folder.join(file), text).unwrap();
}

/// The resources with a policy in force.
fn guarded(store: &PolicyStore) -> Vec<&'static str> {
    let resources = ["jobs", "tasks", "others"];
    resources.into_iter().filter(|resource| store.get("example.org", resource).is_some()).collect()
}

/// The field that a resource's policy guards.
fn field(store: &PolicyStore, resource: &str) -> String {
    store.get("example.org", resource).unwrap().policy.spec().monotone[0].path.clone()
}

/// What a look at the folder logs.
fn look(store: &PolicyStore) -> String {
    capture(|| drop(store.refresh()))
}

#[test]
fn the_last_good_version_stays() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "jobs.yaml", &policy("jobs", "n"));
    write(folder.path(), "broken.yaml", "kind: [");
    let store = PolicyStore::open(folder.path().into(), EntriesKeptBy::Administrator).unwrap();
    assert_eq!((guarded(&store), store.metrics.broken.get()), (vec!["jobs"], 1));

    write(folder.path(), "jobs.yaml", &policy("jobs", "n").replace("monotone", "monotony"));
    store.refresh().unwrap();
    assert_eq!((guarded(&store), store.metrics.broken.get()), (vec!["jobs"], 2), "a broken version replaces nothing");
    // Half written.
    write(folder.path(), "jobs.yaml", "\n");
    store.refresh().unwrap();
    assert_eq!((guarded(&store), store.metrics.broken.get()), (vec!["jobs"], 2), "nor does an empty file");

    fs::remove_file(folder.path().join("jobs.yaml")).unwrap();
    store.refresh().unwrap();
    assert_eq!((guarded(&store), store.metrics.loaded.get()), (vec![], 0), "a removed policy is gone");
}

#[test]
fn a_file_that_changes_between_the_start_and_the_first_look_is_not_missed() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "jobs.yaml", &policy("jobs", "n"));
    let store = PolicyStore::open(folder.path().into(), EntriesKeptBy::Administrator).unwrap();
    assert_eq!(store.metrics.reloads.get(), 0);
    // Of the same length, and with the old time: neither size nor time tells.
    let file = folder.path().join("jobs.yaml");
    let time = fs::metadata(&file).unwrap().modified().unwrap();
    write(folder.path(), "jobs.yaml", &policy("jobs", "m"));
    fs::File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
    store.refresh().unwrap();
    assert_eq!((field(&store, "jobs").as_str(), store.metrics.reloads.get()), (".status.m", 1));
    store.refresh().unwrap();
    assert_eq!(store.metrics.reloads.get(), 1);
}

#[test]
fn a_folder_that_vanishes_or_is_empty_keeps_what_was_loaded() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage, &str); 5] = [
        ("gone", |folder| fs::remove_dir_all(folder).unwrap(), "No such file or directory"),
        ("empty", |folder| fs::remove_file(folder.join("jobs.yaml")).unwrap(), "holds no policy file"),
        (
            "a file in its place",
            |folder| {
                fs::remove_dir_all(folder).unwrap();
                fs::write(folder, policy("tasks", "n")).unwrap();
            },
            "Not a directory",
        ),
        (
            "a mount without its data",
            |folder| {
                fs::remove_file(folder.join("jobs.yaml")).unwrap();
                symlink("..data/jobs.yaml", folder.join("jobs.yaml")).unwrap();
                fs::write(folder.join("tasks.yaml"), policy("tasks", "n")).unwrap();
            },
            "jobs.yaml: No such file or directory",
        ),
        (
            "a folder for a file",
            |folder| {
                fs::remove_file(folder.join("jobs.yaml")).unwrap();
                fs::create_dir(folder.join("jobs.yaml")).unwrap();
            },
            "holds no policy file",
        ),
    ];
    for (what, damage, error) in damages {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("policies");
        fs::create_dir(&folder).unwrap();
        write(&folder, "jobs.yaml", &policy("jobs", "n"));
        let store = PolicyStore::open(folder.clone(), EntriesKeptBy::Administrator).unwrap();
        assert_eq!(store.metrics.usable.get(), 1);

        damage(&folder);
        let said = look(&store);
        let loud = "ERROR statusguard::guard::store: the policy folder cannot be used; still in force: 1 policy";
        assert!(said.contains(loud) && said.contains(error) && said.lines().count() == 1, "{what}: {said}");
        assert_eq!(
            (guarded(&store), store.metrics.loaded.get(), store.metrics.usable.get()),
            (vec!["jobs"], 1, 0),
            "{what}"
        );
        assert_eq!(look(&store), "", "{what}: it is not said at each look");

        drop((fs::remove_dir_all(&folder), fs::remove_file(&folder)));
        fs::create_dir(&folder).unwrap();
        write(&folder, "jobs.yaml", &policy("jobs", "m"));
        let said = look(&store);
        assert!(said.contains("the policy folder can be used again"), "{what}: {said}");
        assert_eq!((field(&store, "jobs").as_str(), store.metrics.usable.get()), (".status.m", 1), "{what}");
    }
}

#[test]
fn the_last_policy_goes_when_a_file_without_policies_is_left() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "jobs.yaml", &policy("jobs", "n"));
    let store = PolicyStore::open(folder.path().into(), EntriesKeptBy::Administrator).unwrap();
    write(folder.path(), "jobs.yaml", "# no policy, for now\n");
    let said = look(&store);
    assert!(
        said.contains("WARN") && said.contains("0 policies in force") && said.contains("jobs.example.org"),
        "{said}"
    );
    assert_eq!((guarded(&store), store.metrics.broken.get(), store.metrics.usable.get()), (vec![], 0, 1));
}

#[test]
fn a_guard_is_not_ready_before_its_folder_held_a_policy_file() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("policies");
    fs::create_dir(&folder).unwrap();
    let health = Health::new();
    let said = capture(|| {
        let store = PolicyStore::open(folder.clone(), EntriesKeptBy::Administrator).unwrap();
        store.announce(health.gate("policies"));
        assert_eq!((guarded(&store), store.metrics.usable.get(), health.missing()), (vec![], 0, vec!["policies"]));
        write(&folder, "jobs.yaml", &policy("jobs", "n"));
        store.refresh().unwrap();
        assert_eq!((guarded(&store), store.metrics.usable.get(), health.missing()), (vec!["jobs"], 1, vec![]));
        fs::remove_dir_all(&folder).unwrap();
        assert!(store.refresh().is_err());
        assert_eq!(health.missing(), [""; 0], "it stays ready");
    });
    assert!(said.contains("ERROR") && said.contains("the policy folder cannot be used; nothing is guarded"), "{said}");
    // One that has its files when it starts.
    fs::create_dir(&folder).unwrap();
    write(&folder, "jobs.yaml", &policy("jobs", "n"));
    let store = PolicyStore::open(folder, EntriesKeptBy::Administrator).unwrap();
    let health = Health::new();
    store.announce(health.gate("policies"));
    assert_eq!(health.missing(), [""; 0]);
}

#[test]
fn a_reload_speaks_of_what_has_changed_only() {
    let folder = tempfile::tempdir().unwrap();
    // With a warning: entries may go and come back, so that what is said of each can be bypassed.
    let warns = |resource: &str, field: &str| {
        policy(resource, field)
            + "  collections: [{path: .status.log, key: [k], order: Any, keep: 0, each: {monotone: [{path: .n}]}}]\n"
    };
    write(folder.path(), "jobs.yaml", &warns("jobs", "n"));
    write(folder.path(), "others.yaml", "kind: [");
    let mut store = None;
    let said = capture(|| store = Some(PolicyStore::open(folder.path().into(), EntriesKeptBy::Administrator).unwrap()));
    let store = store.unwrap();
    assert!(said.contains("1 policy in force") && said.contains("added=\"jobs.example.org\""), "{said}");
    assert!(said.contains("others.yaml") && said.contains("problem="), "{said}");

    write(folder.path(), "tasks.yaml", &policy("tasks", "n"));
    let said = look(&store);
    assert!(said.contains("2 policies in force") && said.contains("added=\"tasks.example.org\""), "{said}");
    assert!(!said.contains("jobs") && !said.contains("others"), "{said}");

    // The same policy with a comment is not a change; the same warnings are not repeated.
    write(folder.path(), "jobs.yaml", &("# reviewed\n".to_owned() + &warns("jobs", "n")));
    let said = look(&store);
    assert!(said.contains("2 policies in force") && said.lines().count() == 1, "{said}");
    for word in ["added", "changed", "removed", "jobs"] {
        assert!(!said.contains(word), "{word}: {said}");
    }
    write(folder.path(), "jobs.yaml", &warns("jobs", "m"));
    let said = look(&store);
    assert!(said.contains("changed=\"jobs.example.org\"") && !said.contains("tasks"), "{said}");

    fs::remove_file(folder.path().join("tasks.yaml")).unwrap();
    let said = look(&store);
    assert!(said.contains("WARN statusguard::guard::policy_changes: 1 policy in force"), "{said}");
    assert!(said.contains("removed=\"tasks.example.org\"") && !said.contains("jobs"), "{said}");
}

#[test]
fn settings_that_nothing_here_applies_are_said_once_for_each_policy() {
    let folder = tempfile::tempdir().unwrap();
    let selects = |field: &str| {
        let selector = "resource: jobs, namespaceSelector: {matchLabels: {team: a}}, objectSelector: {}}";
        policy("jobs", field).replace("resource: jobs}", selector) + "  failurePolicy: Fail\n"
    };
    write(folder.path(), "jobs.yaml", &selects("n"));
    write(folder.path(), "tasks.yaml", &policy("tasks", "n"));
    let says = |text: &str| text.matches("the guard does not apply these settings").count();
    let mut store = None;
    let said = capture(|| store = Some(PolicyStore::open(folder.path().into(), EntriesKeptBy::Administrator).unwrap()));
    let store = store.unwrap();
    let names = "settings=\"spec.failurePolicy, spec.target.namespaceSelector, spec.target.objectSelector\"";
    assert!(says(&said) == 1 && said.contains(names) && said.contains("policy=\"jobs.example.org\""), "{said}");
    write(folder.path(), "tasks.yaml", &policy("tasks", "m"));
    assert_eq!(says(&look(&store)), 0, "another policy has changed");
    write(folder.path(), "jobs.yaml", &selects("m"));
    assert_eq!(says(&look(&store)), 1, "it has changed");
    let said = capture(|| drop(PolicyStore::open(folder.path().into(), EntriesKeptBy::Guard).unwrap()));
    assert_eq!(says(&said), 0, "the guard applies them");
}

#[test]
fn the_first_of_two_policies_of_one_name_stays_and_the_other_is_said_once() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.yaml", &policy("jobs", "n"));
    write(folder.path(), "b.yaml", &policy("jobs", "m"));
    let mut store = None;
    let said = capture(|| store = Some(PolicyStore::open(folder.path().into(), EntriesKeptBy::Administrator).unwrap()));
    let store = store.unwrap();
    assert_eq!(said.matches("two policies of one name; the first stays").count(), 1, "{said}");
    assert_eq!(field(&store, "jobs"), ".status.n");
    write(folder.path(), "tasks.yaml", &policy("tasks", "n"));
    assert!(!look(&store).contains("two policies"));
    fs::remove_file(folder.path().join("a.yaml")).unwrap();
    let said = look(&store);
    assert!(said.contains("changed=\"jobs.example.org\"") && !said.contains("removed"), "{said}");
    assert_eq!(field(&store, "jobs"), ".status.m");
}

/// What the cluster has: policies in force by resource and field, and objects by resource and state.
fn cluster(policies: &[(&str, &str)], states: &[(&str, PolicyState)]) -> ClusterPolicies {
    let compiled = |(resource, field): &(&str, &str)| {
        let documents = document::documents("cluster".as_ref(), policy(resource, field).as_bytes()).unwrap();
        let document = document::json(&documents[0]).unwrap();
        let policy = statusguard_policy::Policy::compile(&document).unwrap();
        let entry = Arc::new(ActivePolicy::new(policy, document, PolicySource::Cluster));
        (entry.name, entry)
    };
    ClusterPolicies {
        policies: policies.iter().map(compiled).collect(),
        states: states.iter().map(|(resource, state)| (format!("{resource}.example.org"), *state)).collect(),
    }
}

#[test]
fn the_folder_wins_over_the_cluster_and_says_so_once() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "jobs.yaml", &policy("jobs", "n"));
    let store = PolicyStore::open(folder.path().into(), EntriesKeptBy::Administrator).unwrap();
    let in_force = store.in_force();
    let states = [("jobs", PolicyState::InForce), ("tasks", PolicyState::InForce), ("others", PolicyState::Broken)];
    let policies = [("jobs", "m"), ("tasks", "m")];
    let said = capture(|| store.set_cluster(cluster(&policies, &states)));
    assert_eq!(said.matches("the folder and the cluster have this policy").count(), 1, "{said}");
    assert!(said.contains("2 policies in force") && said.contains("added=\"tasks.example.org\""), "{said}");
    assert_eq!(capture(|| store.set_cluster(cluster(&policies, &states))), "", "nothing is new");
    assert_eq!((field(&store, "jobs"), field(&store, "tasks")), (".status.n".into(), ".status.m".into()));
    assert!(in_force.has_changed().unwrap() && in_force.borrow().len() == 2);
    let mut registry = Registry::default();
    store.register(&mut registry);
    let metrics = || {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    };
    let text = metrics();
    for (source, state, count) in [
        ("folder", "in_force", 1),
        ("folder", "broken", 0),
        ("folder", "replaced", 0),
        ("cluster", "in_force", 1),
        ("cluster", "broken", 1),
        ("cluster", "replaced", 1),
        ("cluster", "not_served", 0),
        ("cluster", "unknown", 0),
    ] {
        let series = format!("statusguard_policies{{source=\"{source}\",state=\"{state}\"}} {count}\n");
        assert!(text.contains(&series), "{series} in\n{text}");
    }
    assert!(text.contains("statusguard_policies_loaded 2") && text.contains("statusguard_policies_broken 1"), "{text}");

    write(folder.path(), "jobs.yaml", "# none\n");
    let said = look(&store);
    assert!(said.contains("changed=\"jobs.example.org\""), "{said}");
    assert_eq!(field(&store, "jobs"), ".status.m");
    assert!(metrics().contains("{source=\"cluster\",state=\"in_force\"} 2\n"));
}

#[test]
fn a_store_without_a_folder_holds_what_the_cluster_has() {
    let store = PolicyStore::without_folder();
    store.refresh().unwrap();
    assert_eq!(guarded(&store), [""; 0]);
    store.set_cluster(cluster(&[("jobs", "n")], &[]));
    store.refresh().unwrap();
    assert_eq!(guarded(&store), ["jobs"]);
    let said = capture(|| store.set_cluster(cluster(&[], &[])));
    assert!(said.contains("WARN") && said.contains("removed=\"jobs.example.org\""), "{said}");
    assert_eq!(guarded(&store), [""; 0]);
}
