//! The head of a document: version, kind, name and target.

use serde_json::Value as Json;

use super::compiler::Compiler;
use crate::rules::is_core;
use crate::spec::{self, StatusPolicySpec};

impl Compiler {
    pub(super) fn header(&mut self, document: &Json) {
        let Json::Object(members) = document else {
            self.error("", "the document is not an object", "write a StatusPolicy");
            return;
        };
        let expected = format!("{}/{}", spec::GROUP, spec::VERSION);
        if document["apiVersion"] != *expected {
            self.error("apiVersion", format!("expected `{expected}`"), "this is the only version of the language");
        }
        if document["kind"] != spec::KIND {
            self.error("kind", format!("expected `{}`", spec::KIND), "one policy per document");
        }
        for key in members.keys() {
            if !["apiVersion", "kind", "metadata", "spec", "status"].contains(&key.as_str()) {
                self.error(key, "unknown key", "remove it, or move it below `spec`");
            }
        }
    }

    pub(super) fn target(&mut self, name: &str, spec: &StatusPolicySpec) {
        let target = &spec.target;
        if target.group == spec::GROUP {
            self.error("spec.target.group", "the guard does not guard itself", "name another group");
        }
        for (field, value) in [("version", &target.version), ("resource", &target.resource)] {
            if !is_one_name(value) {
                self.error(
                    format!("spec.target.{field}"),
                    format!("`{value}` is not a {field}"),
                    "name exactly one, in lower case",
                );
            }
        }
        if !["", "status"].contains(&target.subresource.as_str()) {
            self.error(
                "spec.target.subresource",
                format!("`{}` does not hold a status", target.subresource),
                "say `status`, or `\"\"` for a kind that keeps its status in the main resource",
            );
        }
        let (group, resource) = (!self.unread("spec.target.group"), is_one_name(&target.resource));
        let expected = match target.group.as_str() {
            "" => target.resource.clone(),
            group => format!("{}.{group}", target.resource),
        };
        if group && resource && name != expected {
            self.error(
                "metadata.name",
                format!("`{name}` does not match the target"),
                format!("call it `{expected}`, so that there is one policy per resource"),
            );
        }
        for name in spec.mode_in.keys().filter(|name| !may_name_namespaces(name)) {
            self.error(
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
}

/// Whether this is a namespace, the beginning of some and `*`, or empty for cluster-scoped objects.
fn may_name_namespaces(text: &str) -> bool {
    let name = text.strip_suffix('*').unwrap_or(text);
    name.len() <= 63 && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

/// Whether this can be a version or resource, and only one.
fn is_one_name(text: &str) -> bool {
    !text.is_empty() && !text.contains(['*', '/'])
}
