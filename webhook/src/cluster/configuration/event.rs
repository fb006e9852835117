//! An Event on the configuration for each repair; they are as rare as repairs.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use serde_json::Value as Json;

use super::metrics::ConfigurationMetrics;
use super::repair::EntryChange;
use super::settings::ConfigurationSettings;
use super::verb::RequestVerb;
use crate::cluster::problem::RequestProblem;
use crate::cluster::request::RequestError;

/// The API server takes 1 kB.
const MAX_NOTE: usize = 1000;

/// Nobody waits for an Event longer than this.
const PATIENCE: Duration = Duration::from_secs(2);

/// Tells of repairs.
pub struct RepairEvents {
    client: Client,
    reporter: Reporter,
    problem: RequestProblem,
}

impl RepairEvents {
    pub fn new(client: Client, settings: &ConfigurationSettings, metrics: &ConfigurationMetrics) -> Self {
        let controller = settings.field_manager.clone();
        Self {
            client,
            reporter: Reporter { instance: settings.instance.clone(), controller },
            problem: RequestVerb::Create.problem(settings, metrics),
        }
    }

    /// Tells of the repair of `object`, which `manager` had changed.
    pub async fn tell(&mut self, object: &Json, manager: &str, changes: &[EntryChange], next: Duration) {
        let changes: Vec<String> = changes.iter().map(EntryChange::to_string).collect();
        let mut note = format!(
            "undid what field manager {manager} had changed: {}; the next repair waits at least {next:?}",
            changes.join("; ")
        );
        while note.len() > MAX_NOTE {
            note.pop();
        }
        let event = Event {
            type_: EventType::Warning,
            reason: "ConfigurationRepaired".to_owned(),
            note: Some(note),
            action: "Repair".to_owned(),
            secondary: None,
        };
        // A recorder that knew the last Event would count this one with its text.
        let recorder = Recorder::new(self.client.clone(), self.reporter.clone());
        let published = tokio::time::timeout(PATIENCE, recorder.publish(&event, &reference(object))).await;
        let error = match published {
            Ok(Ok(())) => return self.problem.succeeded(),
            Ok(Err(error)) => error.into(),
            Err(_) => RequestError::no_answer(PATIENCE),
        };
        self.problem.failed(&error);
    }
}

fn reference(object: &Json) -> ObjectReference {
    let text = |value: &Json| value.as_str().map(str::to_owned);
    ObjectReference {
        api_version: text(&object["apiVersion"]),
        kind: text(&object["kind"]),
        name: text(&object["metadata"]["name"]),
        uid: text(&object["metadata"]["uid"]),
        ..ObjectReference::default()
    }
}
