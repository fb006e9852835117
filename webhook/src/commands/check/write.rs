//! The write that is judged: two objects, or those of an AdmissionReview.

use std::path::Path;

use anyhow::Context as _;
use kube::core::{ApiResource, GroupVersionKind};
use statusguard_policy::{Operation, Policy, Value};

use super::{target, text};
use crate::args::CheckArgs;
use crate::document;
use crate::guard::fit::described;

/// A write, and what is known of it.
pub(super) struct Write {
    pub(super) operation: Operation,
    pub(super) old: Value<'static>,
    pub(super) new: Value<'static>,
    /// The review's request.
    request: Option<Value<'static>>,
}

impl Write {
    pub(super) fn read(check: &CheckArgs) -> anyhow::Result<Self> {
        match (&check.review, &check.old, &check.new) {
            (Some(review), _, _) => Self::of_review(review),
            (None, Some(old), Some(new)) => {
                let (old, new) = (document::read_object(old)?, document::read_object(new)?);
                Ok(Self { operation: Operation::Update, old, new, request: None })
            }
            _ => anyhow::bail!("name --old and --new, or --review"),
        }
    }

    /// The write that an AdmissionReview asks about.
    fn of_review(file: &Path) -> anyhow::Result<Self> {
        let review = document::read_one(file)?;
        let unfit = |reason: String, hint| document::Error::unfit(file, reason, hint);
        let request = review.get("request");
        let Value::Object(_) = request else {
            return Err(unfit("`request` is missing".into(), "give an AdmissionReview request").into());
        };
        let operation = match request.get("operation") {
            Value::String(text) => text.parse().with_context(|| format!("{}: request.operation", file.display()))?,
            _ => {
                let reason = "`request.operation` is missing, or is not a string".into();
                return Err(unfit(reason, "give an AdmissionReview request").into());
            }
        };
        let has_old = operation == Operation::Update;
        let has_new = has_old || operation == Operation::Create;
        let object = |name: &str, needed: bool| {
            let reason = match (request.get(name), document::not_an_object(request.get(name))) {
                (object, None) => return Ok(object.clone()),
                (Value::Null, _) if !needed => return Ok(Value::Null),
                (Value::Null, _) => format!("`request.{name}` is missing"),
                (_, Some((reason, _))) => format!("`request.{name}` is {reason}"),
            };
            Err(unfit(reason, "give the whole AdmissionReview; an UPDATE has both objects"))
        };
        let (old, new) = (object("oldObject", has_old)?, object("object", has_new)?);
        Ok(Self { operation, old, new, request: Some(request.clone()) })
    }

    /// The namespace, `""` of a cluster-scoped object.
    pub(super) fn namespace(&self) -> String {
        self.said("namespace")
    }

    pub(super) fn name(&self) -> String {
        self.said("name")
    }

    /// What the request says, else the objects.
    fn said(&self, member: &str) -> String {
        let request = self.request.iter().map(|request| text(request, &[member]));
        let objects = [&self.new, &self.old].map(|object| text(object, &["metadata", member]));
        request.chain(objects).find(|said| !said.is_empty()).unwrap_or_default()
    }

    /// Who writes, where a review says it.
    pub(super) fn writer(&self) -> (String, Vec<String>) {
        let Some(user) = self.request.as_ref().map(|request| request.get("userInfo")) else {
            return Default::default();
        };
        let groups = match user.get("groups") {
            Value::List(groups) => groups.iter(),
            _ => [].iter(),
        };
        let groups = groups.filter_map(|group| match group {
            Value::String(group) => Some(group.to_string()),
            _ => None,
        });
        (text(user, &["username"]), groups.collect())
    }

    /// Why this is not a write that the policy can judge, in sentences.
    pub(super) fn misfits(&self, policy: &Policy) -> Vec<String> {
        let mut misfits = self.of_two_objects();
        let bare = |object: &Value<'_>| {
            ["apiVersion", "kind", "metadata", "status"].iter().all(|member| *object.get(member) == Value::Null)
        };
        if self.request.is_none() && bare(&self.old) && bare(&self.new) {
            misfits.push(format!(
                "these are not Kubernetes objects: they have neither `kind` nor `metadata` nor `status`; give whole objects, as `kubectl get {} -o yaml` prints them",
                kubectl_name(policy)
            ));
        }
        match &self.request {
            Some(request) => misfits.extend(of_another_resource(request, policy)),
            None => misfits.extend(self.of_another_kind(policy)),
        }
        misfits
    }

    /// An update has one object before and after.
    fn of_two_objects(&self) -> Vec<String> {
        let members: [&[&str]; 5] =
            [&["apiVersion"], &["kind"], &["metadata", "name"], &["metadata", "namespace"], &["metadata", "uid"]];
        let differ = |path: &&[&str]| {
            let (old, new) = (text(&self.old, path), text(&self.new, path));
            let said = !old.is_empty() && !new.is_empty() && old != new;
            said.then(|| {
                format!("the two are not one object: {} is {old} before and {new} after the write", path.join("."))
            })
        };
        members.iter().filter_map(differ).collect()
    }

    fn of_another_kind(&self, policy: &Policy) -> Option<String> {
        let spec = &policy.spec().target;
        let said =
            |member| [&self.new, &self.old].map(|object| text(object, &[member])).into_iter().find(|s| !s.is_empty());
        let (version, kind) = (said("apiVersion"), said("kind"));
        if let Some(version) = &version {
            let expected =
                if spec.group.is_empty() { spec.version.clone() } else { format!("{}/{}", spec.group, spec.version) };
            if *version != expected {
                return Some(format!(
                    "the policy {} guards {}, but the objects are of apiVersion {version}; give objects as `kubectl get {} -o yaml` prints them",
                    policy.name(),
                    target(policy),
                    kubectl_name(policy),
                ));
            }
        }
        let kind = kind?;
        // Plurals are chosen freely; hyphens and a missing ending are all that real ones were seen to differ in.
        let letters = |name: &str| name.replace('-', "");
        let plural = ApiResource::from_gvk(&GroupVersionKind::gvk(&spec.group, &spec.version, &kind)).plural;
        let resource = letters(&spec.resource);
        (resource != plural && resource != kind.to_lowercase()).then(|| {
            format!(
                "the policy {} guards {}, but the objects are of kind {kind}; if that is the kind of {}, give an AdmissionReview with --review, which names the resource",
                policy.name(),
                target(policy),
                spec.resource,
            )
        })
    }
}

/// The same check as the server's, in the same words.
fn of_another_resource(request: &Value<'_>, policy: &Policy) -> Option<String> {
    let spec = &policy.spec().target;
    let part = |member: &str, part: &str| text(request.get(member), &[part]);
    let resource = [part("resource", "group"), part("resource", "version"), part("resource", "resource")];
    let subresource = text(request, &["subResource"]);
    let kind = [part("kind", "group"), part("kind", "version"), part("kind", "kind")];
    // A request that was cut down to what is judged does not say all.
    let is_said = |parts: &[String]| parts.iter().any(|part| !part.is_empty());
    let of_resource = is_said(&resource)
        && (resource != [&*spec.group, &*spec.version, &*spec.resource] || subresource != spec.subresource);
    let of_kind = is_said(&kind) && kind[..2] != [&*spec.group, &*spec.version];
    let what = match (of_resource, of_kind) {
        (false, false) => return None,
        (true, _) => described(&resource[0], &resource[1], &resource[2], &subresource),
        (false, true) => format!("kind {}", described(&kind[0], &kind[1], &kind[2], "")),
    };
    Some(format!("the review is of {what}, but the policy {} guards {}", policy.name(), target(policy)))
}

/// A resource as kubectl takes it when the version matters.
fn kubectl_name(policy: &Policy) -> String {
    let spec = &policy.spec().target;
    match spec.group.is_empty() {
        true => format!("{} NAME", spec.resource),
        false => format!("{}.{}.{} NAME", spec.resource, spec.version, spec.group),
    }
}
