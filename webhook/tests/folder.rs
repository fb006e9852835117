//! The policy folder under a server that serves.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{GuardProcess, PATH, stale_review};
use serde_json::json;

const USABLE: &str = "statusguard_policy_folder_last_read_successful";
const LOADED: &str = "statusguard_policies_loaded";

/// Whether a stale write is refused.
fn guards(server: &GuardProcess) -> bool {
    server.admit(PATH, &stale_review())["allowed"] == false
}

#[test]
fn a_folder_that_vanishes_is_said_loudly_and_changes_nothing() {
    let server = GuardProcess::start(&["--reload-interval=20ms"]);
    let loaded = server.metric(LOADED);
    assert!(loaded > 1.0 && server.metric(USABLE) == 1.0 && guards(&server));

    let away = server.files.policies.with_extension("away");
    std::fs::rename(&server.files.policies, &away).unwrap();
    server.wait("said by the metric", |server| server.metric(USABLE) == 0.0);
    let loud = server.log_line_that("the folder is gone", |fields| fields["error"].is_string());
    let message = loud["message"].as_str().unwrap();
    let says = format!("the policy folder cannot be used; still in force: {loaded} policies");
    assert_eq!(message, says, "{loud}");
    assert!(loud["error"].as_str().unwrap().contains("No such file or directory"), "{loud}");
    assert_eq!(server.log_level(message), "ERROR");
    assert!(server.ready() && guards(&server) && server.metric(LOADED) == loaded);

    // Back, and without any file.
    std::fs::create_dir(&server.files.policies).unwrap();
    assert!(server.metric(USABLE) == 0.0 && guards(&server));
    std::fs::remove_dir(&server.files.policies).unwrap();
    std::fs::rename(&away, &server.files.policies).unwrap();
    server.wait("readable again", |server| server.metric(USABLE) == 1.0);
    server.log_line("the policy folder can be used again");
    assert!(server.ready() && guards(&server) && server.metric(LOADED) == loaded);
    assert_eq!(server.metric("statusguard_policy_reloads_total"), 0.0, "nothing had changed");
}

#[test]
fn a_reload_names_what_was_removed() {
    let server = GuardProcess::start(&["--reload-interval=20ms"]);
    let loaded = server.metric(LOADED);
    std::fs::remove_file(server.files.policies.join("notificationrequests.yaml")).unwrap();
    let line = server.log_line_that("a policy is removed", |fields| fields["removed"].is_string());
    assert_eq!(
        line,
        json!({
            "message": format!("{} policies in force", loaded - 1.0), "policies": loaded as u64 - 1, "broken": 0,
            "removed": "notificationrequests.kubernaut.ai",
        })
    );
    server.wait("unguarded", |server| !guards(server));
}
