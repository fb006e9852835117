//! The head of a document: version, kind, name and target.

use serde_json::Value as Json;

use super::compiler::Compiler;
use super::crd::plural;
use crate::near::meant;
use crate::rules::is_core;
use crate::shown::cut;
use crate::spec::{self, StatusPolicySpec};

/// Bytes of a name that a message shows.
const SHOWN_NAME: usize = 64;

impl Compiler<'_> {
    /// Whether the document may be a policy; else what it is has been reported.
    pub(super) fn may_be_policy(&mut self, document: &Json) -> bool {
        if !document.is_object() {
            self.error("", "the document is not an object", "write a StatusPolicy");
            return false;
        }
        let foreign = foreign(document);
        if let Some((what, hint)) = &foreign {
            self.error("kind", format!("this is {what}, not a StatusPolicy"), *hint);
        }
        foreign.is_none()
    }

    /// Reports what is wrong in the head of a document.
    pub(super) fn header(&mut self, document: &Json) {
        let expected = format!("{}/{}", spec::GROUP, spec::VERSION);
        if document["apiVersion"] != *expected {
            self.error("apiVersion", format!("expected `{expected}`"), "this is the only version of the language");
        }
        if document["kind"] != spec::KIND {
            self.error("kind", format!("expected `{}`", spec::KIND), "one policy per document");
        }
        let known = ["apiVersion", "kind", "metadata", "spec", "status"];
        let keys = document.as_object().into_iter().flat_map(|members| members.keys());
        for key in keys.filter(|key| !known.contains(&key.as_str())) {
            let hint = meant(key, known, || "remove it, or move it below `spec`".into());
            self.key_error(key, "unknown key", hint);
        }
    }

    pub(super) fn target(&mut self, name: &str, spec: &StatusPolicySpec, crd: Option<&Json>) {
        let target = &spec.target;
        if target.group == spec::GROUP && !self.own {
            self.error("spec.target.group", "the guard does not guard itself", "name another group");
        }
        if !is_one_name(&target.version) {
            let message = format!("`{}` is not a version", target.version);
            self.error("spec.target.version", message, "name exactly one, in lower case");
        }
        let resource = self.resource(target, crd);
        if !["", "status"].contains(&target.subresource.as_str()) {
            self.error(
                "spec.target.subresource",
                format!("`{}` does not hold a status", target.subresource),
                "say `status`, or `\"\"` for a kind that keeps its status in the main resource",
            );
        }
        let group = !self.unread("spec.target.group");
        let expected = resource.map(|resource| match target.group.as_str() {
            "" => resource.to_owned(),
            group => format!("{resource}.{group}"),
        });
        if let Some(expected) = expected.filter(|expected| group && name != *expected) {
            self.error(
                "metadata.name",
                format!("`{name}` does not match the target"),
                format!("call it `{expected}`, so that there is one policy per resource"),
            );
        }
        for name in spec.mode_in.keys().filter(|name| !may_name_namespaces(name)) {
            self.key_error(
                format!("spec.modeIn.{name}"),
                format!("`{name}` cannot name a namespace"),
                "write a name, or its beginning and one `*`",
            );
        }
        if group && is_core(&target.group) && !target.core {
            self.warning(
                "spec.target.core",
                "this is one of Kubernetes' own kinds: judged by check, lint and test, but not enforced in a cluster",
                "say `core: true` to enforce it (always with failurePolicy Ignore)",
            );
        }
    }

    /// The resource that is meant; a name that is not a plural is reported.
    fn resource<'n>(&mut self, target: &'n spec::Target, crd: Option<&'n Json>) -> Option<&'n str> {
        let written = target.resource.as_str();
        if let Some(plural) = crd.and_then(|crd| plural(target, crd)) {
            let hint = format!("write `{plural}`: resources are called by their lower-case plural");
            self.error("spec.target.resource", format!("`{written}` is not the plural of the CRD's kind"), hint);
            return Some(plural);
        }
        if is_one_name(written) {
            return Some(written);
        }
        let lower = written.to_ascii_lowercase();
        let hint = match is_one_name(&lower) {
            true => format!("resources are lower-case plurals: did you mean `{lower}{}`?", plural_end(&lower)),
            false => "name exactly one, in lower case".into(),
        };
        self.error("spec.target.resource", format!("`{written}` is not a resource"), hint);
        None
    }
}

/// What the plural of most kinds adds to their name.
fn plural_end(name: &str) -> &'static str {
    match name {
        name if name.ends_with("ss") || name.ends_with('x') || name.ends_with("ch") => "es",
        name if name.ends_with('s') => "",
        _ => "s",
    }
}

/// What a document is that has nothing of a policy, and what to do with it.
fn foreign(document: &Json) -> Option<(String, &'static str)> {
    let text = |key: &str| document[key].as_str().unwrap_or_default();
    let (kind, version) = (text("kind"), text("apiVersion"));
    let group = version.split_once('/').map_or("", |(group, _)| group);
    if kind == spec::KIND || group == spec::GROUP {
        return None;
    }
    let is_list = document["items"].is_array();
    let hint = match kind {
        "" if document["cases"].is_array() => {
            return Some(("a policy test file".into(), "run it with `statusguard policy test`"));
        }
        "" => return None,
        "CustomResourceDefinition" => {
            "give it with --crd; `statusguard policy init --crd FILE` writes a first policy from it"
        }
        _ if is_list => "make each policy a document of its own, with `---` between them",
        _ => "name the file of a policy; `statusguard policy init --crd FILE` writes a first one",
    };
    Some((format!("a {} ({})", cut(kind, SHOWN_NAME), cut(version, SHOWN_NAME)), hint))
}

/// Whether this is a namespace, the beginning of some and `*`, or empty for cluster-scoped objects.
fn may_name_namespaces(text: &str) -> bool {
    let name = text.strip_suffix('*').unwrap_or(text);
    name.len() <= 63 && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

/// Whether this can be a version or resource, and only one.
fn is_one_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.'))
}
