//! A policy object of the cluster: what it says, and what has become of it.

use std::sync::Arc;

use kube::api::DynamicObject;
use serde_json::{Value as Json, json};

use super::compiled::CompiledVersion;
use super::status_write::StatusWrites;
use crate::guard::policy_file::ActivePolicy;
use crate::guard::store_metrics::PolicyState;

/// One object.
#[derive(Debug)]
pub struct PolicyRecord {
    pub uid: String,
    pub version: String,
    pub generation: i64,
    /// What is compiled: the object without its status and metadata.
    pub document: Json,
    /// Its status as it was last seen, or written.
    pub status: Json,
    /// What `document` came to; nothing before it was compiled.
    pub compiled: Option<CompiledVersion>,
    pub writes: StatusWrites,
    in_force: Option<Arc<ActivePolicy>>,
    /// What is in force was compiled without knowing the target, because nothing better was there.
    provisional: bool,
    /// Of the CRD that `document` was compiled beside.
    crd_version: Option<String>,
}

impl PolicyRecord {
    pub fn new(name: &str, object: DynamicObject) -> Self {
        let DynamicObject { types, metadata, mut data } = object;
        let status = data.as_object_mut().and_then(|data| data.remove("status")).unwrap_or_default();
        if let Some(types) = types {
            data["apiVersion"] = types.api_version.into();
            data["kind"] = types.kind.into();
        }
        // The members of a list need not say what they are.
        for (key, value) in [("apiVersion", "statusguard.dev/v1alpha1"), ("kind", statusguard_policy::spec::KIND)] {
            if data[key].is_null() {
                data[key] = value.into();
            }
        }
        data["metadata"] = json!({ "name": name });
        Self {
            uid: metadata.uid.unwrap_or_default(),
            version: metadata.resource_version.unwrap_or_default(),
            generation: metadata.generation.unwrap_or_default(),
            document: data,
            status,
            compiled: None,
            writes: StatusWrites::default(),
            in_force: None,
            provisional: false,
            crd_version: None,
        }
    }

    /// Takes over what a newer version of the object says. Whether it has to be compiled again.
    pub fn update(&mut self, newer: Self) -> bool {
        if newer.uid != self.uid {
            // It was deleted and made anew: nothing of the old one stays.
            *self = newer;
            return true;
        }
        if newer.version != self.version {
            self.writes.object_changed();
        }
        (self.version, self.generation, self.status) = (newer.version, newer.generation, newer.status);
        let changed = self.document != newer.document;
        if changed {
            (self.document, self.compiled) = (newer.document, None);
        }
        changed
    }

    /// What judges writes: the last version that compiled.
    pub fn in_force(&self) -> Option<&Arc<ActivePolicy>> {
        self.in_force.as_ref()
    }

    /// Whether the document was compiled beside this version of its CRD, and came to something that is known.
    pub fn is_compiled_with(&self, crd_version: Option<&str>) -> bool {
        let known = self.compiled.as_ref().is_some_and(|compiled| compiled.state != PolicyState::Unknown);
        known && crd_version.is_some() && self.crd_version.as_deref() == crd_version
    }

    /// Notes what the document came to.
    pub fn set_compiled(&mut self, compiled: CompiledVersion, crd_version: Option<String>) {
        match (compiled.state, &compiled.policy) {
            (PolicyState::Unknown, policy) => {
                if self.in_force.is_none() {
                    (self.in_force, self.provisional) = (policy.clone(), true);
                }
            }
            (_, Some(policy)) => (self.in_force, self.provisional) = (Some(Arc::clone(policy)), false),
            (_, None) => {
                if self.provisional {
                    (self.in_force, self.provisional) = (None, false);
                }
            }
        }
        (self.compiled, self.crd_version) = (Some(compiled), crd_version);
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::histogram::Histogram;

    use super::*;
    use crate::cluster::policies::compiled::KnownTarget;
    use crate::cluster::policies::target::ServedTarget;

    const NAME: &str = "jobs.example.org";

    fn object(uid: &str, version: &str, rules: &Json) -> PolicyRecord {
        let mut spec = json!({ "target": { "group": "example.org", "version": "v1", "resource": "jobs" } });
        for (key, value) in rules.as_object().unwrap() {
            spec[key] = value.clone();
        }
        let object = json!({
            "metadata": { "name": NAME, "uid": uid, "resourceVersion": version, "labels": { "a": "b" } },
            "spec": spec, "status": { "observedGeneration": 1 },
        });
        PolicyRecord::new(NAME, serde_json::from_value(object).unwrap())
    }

    fn compile(record: &mut PolicyRecord, target: &KnownTarget) {
        let compiled = CompiledVersion::of(record.document.clone(), target, &Histogram::new([1.0]));
        record.set_compiled(compiled, Some("7".into()));
    }

    fn told() -> KnownTarget {
        let crd = json!({
            "spec": { "versions": [{ "name": "v1", "served": true, "subresources": { "status": {} } }] },
            "status": { "conditions": [{ "type": "Established", "status": "True" }] },
        });
        KnownTarget::Told(ServedTarget::of_crd(&crd), None)
    }

    fn paths(record: &PolicyRecord) -> Option<&str> {
        Some(&record.in_force()?.policy.spec().monotone[0].path)
    }

    #[test]
    fn the_last_good_version_stays_and_a_new_object_has_none() {
        let good = |path: &str| json!({ "monotone": [{ "path": path }] });
        let mut record = object("u1", "1", &good(".status.a"));
        compile(&mut record, &told());
        assert_eq!(paths(&record), Some(".status.a"));
        assert!(
            !record.update(object("u1", "2", &good(".status.a"))),
            "other labels or another status do not make it another document"
        );
        assert!(record.update(object("u1", "3", &json!({ "monotony": [] }))));
        compile(&mut record, &told());
        assert_eq!((paths(&record), record.compiled.as_ref().unwrap().reason), (Some(".status.a"), "Invalid"));
        assert!(record.update(object("u1", "4", &good(".status.b"))));
        compile(&mut record, &KnownTarget::Told(ServedTarget::default(), None));
        assert_eq!(paths(&record), Some(".status.a"), "not served is not good");
        compile(&mut record, &told());
        assert_eq!(paths(&record), Some(".status.b"));
        assert!(record.update(object("u2", "5", &json!({ "monotony": [] }))));
        compile(&mut record, &told());
        assert_eq!(paths(&record), None, "another object");
    }

    #[test]
    fn a_version_whose_target_is_unknown_is_in_force_only_while_there_is_nothing_better() {
        let away = || KnownTarget::Unknown("away".into());
        let good = |path: &str| json!({ "monotone": [{ "path": path }] });
        let mut record = object("u1", "1", &good(".status.a"));
        compile(&mut record, &away());
        assert_eq!(paths(&record), Some(".status.a"));
        assert!(!record.is_compiled_with(Some("7")), "it is to be looked up again");
        compile(&mut record, &KnownTarget::Told(ServedTarget::default(), None));
        assert_eq!(paths(&record), None);
        compile(&mut record, &told());
        assert!(record.is_compiled_with(Some("7")) && !record.is_compiled_with(Some("8")));
        record.update(object("u1", "2", &good(".status.b")));
        compile(&mut record, &away());
        assert_eq!(paths(&record), Some(".status.a"));
    }
}
