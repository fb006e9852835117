//! What a policy's conditions say, exactly, and how kubectl shows them.

use serde_json::{Value, json};
use statusguard::cluster::configuration::Published;
use statusguard_tests::User;

use crate::stage::{Stage, guards};

#[tokio::test]
async fn conditions_follow_the_configuration_and_calls_and_keep_their_times() {
    let stage = Stage::new().await;
    stage.apply_crd(&stage.crd("jobs", &["v1"], &["a", "b"])).await;
    stage.guard("jobs", "a").await;
    let _watching = stage.watch();
    stage.says("jobs", "Enforced", "Unknown", "ConfigurationUnknown").await;
    stage.published.send_replace(Published::Absent);
    stage.says("jobs", "Enforced", "False", "ConfigurationAbsent").await;
    stage.configure(&[]);
    stage.says("jobs", "Enforced", "False", "NotInConfiguration").await;
    stage.configure(&["jobs"]);
    stage.says("jobs", "Enforced", "Unknown", "WaitingForFirstCall").await;
    stage.call_arrives("jobs");
    stage.says("jobs", "Enforced", "True", "Enforced").await;

    let status = async || stage.policies().get(&stage.name("jobs")).await.unwrap().data["status"].clone();
    let first = status().await;
    let time = |status: &Value, index: usize| status["conditions"][index]["lastTransitionTime"].clone();
    let expected = |status: &Value, generation: u32| {
        json!({
            "observedGeneration": generation,
            "conditions": [
                {
                    "type": "Compiled", "status": "True", "reason": "Compiled", "observedGeneration": generation,
                    "message": "the policy compiles, and the API server serves its target",
                    "lastTransitionTime": time(status, 0),
                },
                {
                    "type": "Enforced", "status": "True", "reason": "Enforced", "observedGeneration": generation,
                    "message": "the webhook configuration has its entry, and a call has arrived",
                    "lastTransitionTime": time(status, 1),
                },
            ],
        })
    };
    assert_eq!(first, expected(&first, 1));
    // Another version of the policy is not a transition.
    stage.guard("jobs", "b").await;
    stage.says("jobs", "Enforced", "True", "Enforced").await;
    assert_eq!(status().await, expected(&first, 2));
    stage.apply(&stage.policy("jobs", &json!({ "mode": "Off" }))).await;
    let message = stage.says("jobs", "Compiled", "True", "CompiledWithWarnings").await;
    assert!(message.starts_with("warning: spec: there is no rule"), "{message}");
    stage.says("jobs", "Enforced", "False", "ModeOff").await;
    assert_eq!(time(&status().await, 0), time(&first, 0));
    // The guard's field manager wrote it, and nothing else.
    let policy = stage.policies().get(&stage.name("jobs")).await.unwrap();
    let managers = policy.metadata.managed_fields.unwrap();
    let ours = managers.iter().find(|managed| managed.subresource.as_deref() == Some("status")).unwrap();
    assert_eq!(ours.manager.as_deref(), Some("statusguard"));
    assert!(ours.fields_v1.as_ref().unwrap().0.as_object().unwrap().keys().eq(["f:status"]), "{ours:?}");
}

#[tokio::test]
async fn kubernetes_own_kinds_are_looked_up_by_discovery() {
    let stage = Stage::new().await;
    let policy = |name: &str, group: &str, version: &str, core: bool| {
        let resource = name.split('.').next().unwrap();
        let target = json!({ "group": group, "version": version, "resource": resource, "core": core });
        let mut policy = stage.policy(resource, &guards("a"));
        policy["metadata"]["name"] = name.into();
        policy["spec"]["target"] = target;
        policy
    };
    let all = [
        (policy("pods", "", "v1", true), "True", "Compiled", "ConfigurationUnknown"),
        (policy("nodes", "", "v2", true), "False", "VersionNotServed", "NotCompiled"),
        (policy("nobodies.apps", "apps", "v1", true), "False", "ResourceNotServed", "NotCompiled"),
        (policy("deployments.apps", "apps", "v1", false), "True", "CompiledWithWarnings", "CoreNotConfirmed"),
        (
            policy("roles.rbac.authorization.k8s.io", "rbac.authorization.k8s.io", "v1", true),
            "False",
            "SubresourceNotServed",
            "NotCompiled",
        ),
    ];
    let mut watching = stage.watch();
    for (policy, ..) in &all {
        stage.apply(policy).await;
    }
    for (policy, status, reason, enforced) in &all {
        let name = policy["metadata"]["name"].as_str().unwrap();
        let what = format!("{name}: {reason}, {enforced}");
        let seen = statusguard_tests::eventually(&what, async || {
            let found = stage.policies().get(name).await?.data["status"]["conditions"].clone();
            let is = (&found[0]["status"], &found[0]["reason"], &found[1]["reason"]);
            Ok(is == (&json!(status), &json!(reason), &json!(enforced)))
        })
        .await;
        let stored = stage.policies().get(name).await.unwrap().data["status"].clone();
        assert!(seen.is_ok(), "{what}: {stored}");
    }
    let served = watching.served.wait_for(|served| {
        let served = served.iter().flat_map(|served| served.iter());
        let mut served = served.map(|served| (served.policy.name, served.namespaced));
        served.any(|found| found == ("pods", Some(true)))
    });
    assert!(
        served
            .await
            .unwrap()
            .iter()
            .flat_map(|served| served.iter())
            .all(|served| served.policy.name != "deployments.apps")
    );
    for (policy, ..) in &all {
        let name = policy["metadata"]["name"].as_str().unwrap();
        stage.policies().delete(name, &Default::default()).await.unwrap();
    }
}

#[tokio::test]
async fn kubectl_shows_what_matters() {
    let stage = Stage::new().await;
    stage.apply_crd(&stage.crd("jobs", &["v1"], &["a"])).await;
    stage.guard("jobs", "a").await;
    stage.guard("tasks", "a").await;
    let _watching = stage.watch();
    stage.configure(&["jobs"]);
    stage.call_arrives("jobs");
    stage.says("jobs", "Enforced", "True", "Enforced").await;
    stage.says("tasks", "Enforced", "False", "NotCompiled").await;
    let names = ["jobs", "tasks"].map(|resource| stage.name(resource));
    let rows = async |wide: bool| {
        let mut kubectl = tokio::process::Command::from(stage.plane.kubectl(User::Admin));
        kubectl.args(["get", "spol"]).args(&names);
        if wide {
            kubectl.args(["-o", "wide"]);
        }
        let output = kubectl.output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        println!("{text}");
        // Words of one column are one space apart.
        let row =
            |line: &str| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect();
        text.lines().map(row).collect::<Vec<Vec<String>>>()
    };
    let [head, jobs, tasks] = &rows(false).await[..] else { panic!("three lines") };
    assert_eq!(head[..], ["NAME", "VERSION", "MODE", "COMPILED", "ENFORCED", "REASON", "AGE"]);
    assert_eq!(jobs[..6], [&names[0], "v1", "Enforce", "True", "True", "Enforced"]);
    assert_eq!(tasks[..6], [&names[1], "v1", "Enforce", "False", "False", "NotCompiled"]);
    let [head, jobs, tasks] = &rows(true).await[..] else { panic!("three lines") };
    assert_eq!(head[7..], ["FAILURE POLICY", "MESSAGE"]);
    assert_eq!(jobs[7..], ["Ignore", "the policy compiles, and the API server serves its target"]);
    assert!(tasks[8].starts_with("the API server does not serve tasks."), "{tasks:?}");
}
