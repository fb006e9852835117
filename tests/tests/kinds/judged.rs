//! Every case of the six policies, by every verb, through the API server and the guard.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use clap::Parser as _;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::Client;
use kube::api::ObjectMeta;
use serde_json::{Value, json};
use statusguard::cluster::configuration::{Backend, TargetScope, entry};
use statusguard::{Args, Command, Guard, Refusals};
use statusguard_policy::Policy;
use statusguard_tests::{Authority, User, WebhookService};

use crate::cases::{self, POLICIES};
use crate::expectation::Observed;
use crate::kind::{self, Kind};
use crate::promises::PROMISES;
use crate::server::{self, ApiResponse};
use crate::stage::{Stage, Trial, stage, trials};
use crate::verb::VERBS;

/// The cases that no write through the API server can be: the schema refuses one of their statuses before the guard
/// is asked, or the operation is never judged. Nothing else may be.
const NOT_EXPRESSIBLE: [(&str, &str); 9] = [
    ("aianalyses", "an unknown phase"),
    ("notificationrequests", "a malformed phase"),
    ("notificationrequests", "a new object is never judged"),
    ("notificationrequests", "an unknown phase"),
    ("remediationapprovalrequests", "a malformed decision"),
    ("remediationapprovalrequests", "an unknown decision"),
    ("remediationrequests", "an unknown phase"),
    ("signalprocessings", "an unknown phase"),
    ("workflowexecutions", "an unknown phase"),
];

/// How many refused cases of each kind have to be possible by each verb, at least.
const REFUSED: [(&str, usize); 6] = [
    ("aianalyses", 20),
    ("notificationrequests", 20),
    // Its policy is small: there are no more.
    ("remediationapprovalrequests", 15),
    ("remediationrequests", 20),
    ("signalprocessings", 20),
    ("workflowexecutions", 20),
];

/// How a write ended, if it was possible.
enum Ending {
    Answered(Box<ApiResponse>),
    NotExpressible(String),
}

/// What became of all trials.
#[derive(Default)]
struct Tally {
    failures: Vec<String>,
    /// Case by kind → why, and by how many verbs.
    not_expressible: BTreeMap<(&'static str, String), Vec<String>>,
    /// Cases whose write was refused as it should be, by kind → by how many verbs.
    refused: BTreeMap<(&'static str, String), usize>,
    /// How many writes were compared, by kind.
    writes: BTreeMap<&'static str, usize>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_case_holds_by_every_verb() {
    let stage = stage().await;
    let _logs = stage.plane.logs_on_failure();
    let begun = Instant::now();
    let refusals = start_guard(stage).await;
    let client = stage.plane.client(User::Admin);
    let mut tally = Tally::default();
    for kind in kind::all() {
        let (_, cases) = cases::read(kind.plural);
        let before = objects(&client, &kind, &stage.namespace).await;
        let ended = server::side_by_side(trials(&kind, &cases), async |trial| {
            let ending = end(&client, stage, &trial).await;
            (trial, ending)
        });
        let ended = ended.await;
        let after = objects(&client, &kind, &stage.namespace).await;
        let recorded = refusals.list();
        for (trial, ending) in ended {
            let name = trial.name();
            let key = (kind.plural, trial.case.name.clone());
            let answer = match ending {
                Ending::Answered(answer) => answer,
                Ending::NotExpressible(why) => {
                    tally.not_expressible.entry(key).or_default().push(why);
                    continue;
                }
            };
            let recorded: Vec<_> = recorded.iter().filter(|record| record.name == name).cloned().collect();
            let observed =
                Observed { answer: &answer, before: &before[&name], after: &after[&name], recorded: &recorded };
            match trial.check(&observed) {
                Ok(()) if trial.case.refused() => *tally.refused.entry(key).or_default() += 1,
                Ok(()) => {}
                Err(how) => tally.failures.push(format!("{name} ({}): {how}", trial.case.name)),
            }
            *tally.writes.entry(kind.plural).or_default() += 1;
        }
    }
    tally.print();
    println!("written and compared in {:.1} s", begun.elapsed().as_secs_f64());
    tally.check();
}

/// Writes, unless the case cannot be.
async fn end(client: &Client, stage: &Stage, trial: &Trial<'_>) -> Ending {
    let (name, case) = (trial.name(), trial.case);
    if let Some(why) = stage.impossible.get(&name) {
        return Ending::NotExpressible(why.clone());
    }
    let statuses = (&case.old_status, &case.new_status);
    let answer = trial.verb.write(client, trial.kind, &stage.namespace, &name, statuses).await;
    if answer.is_of_the_schema() {
        return Ending::NotExpressible(format!("the schema refuses the new status: {}", answer.message()));
    }
    Ending::Answered(Box::new(answer))
}

/// All objects of a kind by their names.
async fn objects(client: &Client, kind: &Kind, namespace: &str) -> BTreeMap<String, Value> {
    let mut list = server::get(client, &kind.path(namespace)).await.object("the list");
    let Value::Array(items) = list["items"].take() else { panic!("no list of {}", kind.plural) };
    items.into_iter().map(|object| (object["metadata"]["name"].as_str().unwrap().to_owned(), object)).collect()
}

impl Tally {
    fn print(&self) {
        for (plural, writes) in &self.writes {
            let refused = self.refused.keys().filter(|(kind, _)| kind == plural).count();
            println!("{plural}: {writes} writes, {refused} refused cases");
        }
        println!("not expressible:");
        for ((plural, case), reasons) in &self.not_expressible {
            let first: String = reasons[0].chars().take(160).collect();
            println!("  {plural}: {case} ({} verbs): {first}", reasons.len());
        }
    }

    fn check(&self) {
        let Self { failures, not_expressible, refused, .. } = self;
        assert!(failures.is_empty(), "{} writes went otherwise:\n{}", failures.len(), failures.join("\n"));

        let found: BTreeSet<_> = not_expressible.keys().map(|(plural, case)| (*plural, case.as_str())).collect();
        assert_eq!(found, BTreeSet::from(NOT_EXPRESSIBLE));
        let by_all = |verbs: usize| verbs == VERBS.len();
        assert!(not_expressible.values().all(|reasons| by_all(reasons.len())), "{not_expressible:?}");
        assert!(refused.values().all(|verbs| by_all(*verbs)), "{refused:?}");

        for (plural, least) in REFUSED {
            let count = refused.keys().filter(|(kind, _)| *kind == plural).count();
            assert!(count >= least, "{plural}: {count} refused cases, expected {least}");
        }
        let unkept: Vec<_> = PROMISES
            .iter()
            .flat_map(|(plural, promise, cases)| cases.iter().map(move |case| (*plural, *promise, *case)))
            .filter(|(plural, _, case)| !refused.contains_key(&(*plural, (*case).to_owned())))
            .collect();
        assert!(unkept.is_empty(), "promises without a refused write: {unkept:#?}");
    }
}

/// Starts the guard with the installed policies in this process and registers it for the stage's namespace. It ends
/// with the test's runtime.
async fn start_guard(stage: &Stage) -> Refusals {
    let plane = stage.plane;
    let mut service =
        WebhookService { namespace: plane.namespace("guard").await, name: "statusguard".to_owned(), port: 0 };
    let authority = Authority::new("guard of the six kinds").unwrap();
    let folder = plane.folder().join(&service.namespace);
    std::fs::create_dir_all(&folder).unwrap();
    let leaf = authority.leaf([service.dns_name()]).unwrap().write(&folder).unwrap();
    let args = [
        "statusguard".to_owned(),
        "webhook".to_owned(),
        format!("--policy-dir={POLICIES}"),
        format!("--tls-cert={}", leaf.certificate.display()),
        format!("--tls-key={}", leaf.key.display()),
        "--static-config".to_owned(),
        format!("--listen={}:0", plane.webhook_listen_address()),
        "--plain-listen=127.0.0.1:0".to_owned(),
    ];
    let Command::Webhook(args) = Args::try_parse_from(args).unwrap().command else { unreachable!("a server") };
    let guard = Guard::bind(*args).await.unwrap();
    service.port = guard.address().unwrap().port();
    let refusals = guard.refusals();
    tokio::spawn(guard.serve());
    let backend = Backend { namespace: service.namespace.clone(), service: service.name.clone(), port: service.port };
    let bundle = authority.pem().into_bytes();
    let webhooks = kind::all().map(|kind| {
        let (mut policy, _) = cases::read(kind.plural);
        // No call may get lost unseen.
        policy["spec"]["failurePolicy"] = json!("Fail");
        policy["spec"]["target"]["namespaceSelector"] =
            json!({ "matchLabels": { "kubernetes.io/metadata.name": stage.namespace } });
        entry(&Policy::compile(&policy).unwrap(), TargetScope::Namespaced, &backend, &bundle).unwrap()
    });
    let configuration = ValidatingWebhookConfiguration {
        metadata: ObjectMeta { name: Some(service.namespace.clone()), ..ObjectMeta::default() },
        webhooks: Some(webhooks.into()),
    };
    let client = plane.client(User::Admin);
    let mut probes = Vec::new();
    for kind in kind::all() {
        server::post(&client, &kind.path(&stage.namespace), &kind.object("in-force")).await.object("a probe");
        probes.push(format!("{}/in-force/status?dryRun=All", kind.path(&stage.namespace)));
    }
    let in_force = async || {
        for probe in &probes {
            // Above the generation: refused by every policy, accepted by every schema.
            let mut change = json!({ "status": { "observedGeneration": 9 } });
            if probe.contains("/aianalyses/") {
                change["status"]["phase"] = json!("Pending");
            }
            if server::merge_patch(&client, probe, &change).await.code != 422 {
                return Ok(false);
            }
        }
        Ok(true)
    };
    plane.register_webhook(&service, configuration, in_force).await.unwrap();
    refusals
}
