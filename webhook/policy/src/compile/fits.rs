//! Rules beside the schema of what they judge.

use std::collections::BTreeMap;

use super::compiler::{Compiler, RuleScope};
use super::schema::{DeadEnd, Schema, SchemaType};
use crate::near::{meant, nearest};
use crate::path::Path;
use crate::shown::cut;
use crate::spec;

/// Characters of a list of names that a hint shows.
const SHOWN_NAMES: usize = 160;

impl<'c> Compiler<'c> {
    /// What the schema says of the value at a path; of one that the schema cannot hold nothing more is said.
    pub(super) fn schema_at(&self, scope: RuleScope<'c>, path: Option<&Path>) -> Schema<'c> {
        path.and_then(|path| scope.schema.at(path.names()).ok()).unwrap_or(Schema::Open)
    }

    /// Reports a path that the schema cannot hold.
    pub(super) fn held(&mut self, scope: RuleScope<'c>, path: &Path, at: &str) {
        let Err(DeadEnd { known, schema }) = scope.schema.at(path.names()) else { return };
        let shown = scope.shown(path.names());
        let parent = scope.shown(&path.names()[..known]);
        let kind = schema.kind();
        if kind != SchemaType::Object {
            let hint = match kind {
                SchemaType::List => "guard its entries with `each` in a rule of `collections`",
                _ => "end the path there, or name another field",
            };
            self.error(at, format!("`{parent}` is {}: `{shown}` is never set", kind.shown()), hint);
            return;
        }
        let corrected = scope.schema.corrected(path.names());
        let last = path.names().last();
        let elsewhere = || {
            let path = scope.schema.only_path_to(last?)?;
            Some(path.into_iter().map(String::from).collect::<Vec<_>>())
        };
        let hint = match corrected.or_else(elsewhere) {
            Some(names) => format!("did you mean `{}`?", scope.shown(&names)),
            None if schema.members().next().is_none() => {
                format!("`{parent}` has no members there, and the API server removes unknown ones")
            }
            None => format!("the members of `{parent}` are {}", joined(schema.members())),
        };
        self.error(at, format!("the CRD's schema has no `{shown}`"), hint);
    }

    pub(super) fn monotone_fits(&mut self, scope: RuleScope<'c>, path: Option<&Path>, at: &str) {
        let schema = self.schema_at(scope, path);
        let shown = scope.shown_path(path);
        let wrong = match schema.kind() {
            SchemaType::Object => "name a number or a time inside it, or guard it with `setOnce` or `collections`",
            SchemaType::List => "guard it with `collections`",
            SchemaType::Boolean => "guard it with `setOnce`",
            SchemaType::Text if !schema.is_time() => return self.text_rises(schema, &shown, at),
            _ => return,
        };
        self.error(at, format!("`{shown}` is {}, which cannot rise or fall", schema.kind().shown()), wrong);
    }

    /// Warns of a string that may be neither digits nor a time.
    fn text_rises(&mut self, schema: Schema<'c>, shown: &str, at: &str) {
        let is_word = |text: &str| !text.starts_with(|first: char| first.is_ascii_digit());
        match schema.texts().filter(|texts| !texts.is_empty() && texts.iter().all(|text| is_word(text))) {
            Some(texts) => self.warning(
                at,
                format!("`{shown}` is one of {}: neither numbers nor times", joined(texts)),
                "make it a machine in `phases`: as `monotone` every value is refused as malformed",
            ),
            None => self.warning(
                at,
                format!("`{shown}` is a string without `format: date-time`"),
                "make sure that it only ever holds digits or RFC 3339 times: any other text is refused as malformed",
            ),
        }
    }

    pub(super) fn machine_fits(&mut self, scope: RuleScope<'c>, machine: &spec::Phase, path: Option<&Path>, at: &str) {
        let schema = self.schema_at(scope, path);
        let shown = scope.shown_path(path);
        let kind = schema.kind();
        if !machine.states.is_empty() {
            return self.states_fit(schema, machine, &shown, at);
        }
        if schema.is(&[SchemaType::Text, SchemaType::NumberOrText]) {
            return self.phases_fit(schema, machine, &shown, at);
        }
        let hint = match kind {
            SchemaType::List => "say in `states` which conditions are which phases, or name a string",
            _ => "name a string",
        };
        self.error(format!("{at}.path"), format!("`{shown}` is {}, and a phase is a string", kind.shown()), hint);
    }

    /// Compares the names of phases with the values that the schema lists.
    fn phases_fit(&mut self, schema: Schema<'c>, machine: &spec::Phase, shown: &str, at: &str) {
        let Some(values) = schema.texts() else { return };
        let names = names(machine);
        let mut meant_values = Vec::new();
        for (name, place) in names.iter().filter(|(name, _)| !values.contains(name)) {
            let unused = || values.iter().copied().filter(|value| !names.contains_key(value));
            let near = nearest(name, unused()).or_else(|| nearest(name, values.iter().copied()));
            meant_values.extend(near);
            let hint = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!(
                    "the enum of `{shown}` has {}",
                    joined(values.iter().copied().filter(|value| !value.is_empty()))
                ),
            };
            self.warning(format!("{at}.{place}"), format!("the CRD's schema does not allow the phase `{name}`"), hint);
        }
        let any = machine.transitions.iter().any(|transition| transition.to.iter().any(|name| name == "*"));
        let unknown = |value: &&str| !value.is_empty() && !names.contains_key(value) && !meant_values.contains(value);
        let unknown: Vec<&str> = values.into_iter().filter(unknown).collect();
        if !any && !unknown.is_empty() && !self.unread_machine(at) {
            self.warning(
                format!("{at}.path"),
                format!("the enum of `{shown}` has phases that no transition names: {}", joined(unknown)),
                "add their transitions, unless the controller never writes them: a write of an unknown phase is refused",
            );
        }
    }

    /// Compares `states` with the items of a list of conditions.
    fn states_fit(&mut self, schema: Schema<'c>, machine: &spec::Phase, shown: &str, at: &str) {
        if !schema.is(&[SchemaType::List]) {
            let hint = "remove `states`, or name a list of conditions";
            self.error(
                format!("{at}.path"),
                format!("`{shown}` is {}, and `states` are read from a list of conditions", schema.kind().shown()),
                hint,
            );
            return;
        }
        let [types, statuses] = ["type", "status"].map(|name| {
            let member = schema.entry().member(name);
            member.filter(|member| member.is(&[SchemaType::Text, SchemaType::NumberOrText]))
        });
        let (Some(types), Some(statuses)) = (types, statuses) else {
            let hint = "`states` are read from objects whose `type` and `status` are strings";
            self.error(format!("{at}.path"), format!("the items of `{shown}` are not conditions"), hint);
            return;
        };
        for (state, condition) in &machine.states {
            let Some((kind, status)) = condition.split_once('=') else { continue };
            for (name, schema, member) in [(kind, types, "type"), (status, statuses, "status")] {
                let Some(values) = schema.texts().filter(|values| !values.contains(&name)) else { continue };
                let hint = meant(name, values.iter().copied(), || format!("its enum has {}", joined(values.clone())));
                let message = format!("the CRD's schema does not allow `{name}` as the `{member}` of a condition");
                self.warning(format!("{at}.states.{state}"), message, hint);
            }
        }
    }

    pub(super) fn collection_fits(
        &mut self,
        scope: RuleScope<'c>,
        rule: &spec::Collection,
        path: Option<&Path>,
        at: &str,
    ) {
        let schema = self.schema_at(scope, path);
        let shown = scope.shown_path(path);
        if !schema.is(&[SchemaType::List, SchemaType::Object]) {
            let message = format!("`{shown}` is {}, and a collection is a list or a map", schema.kind().shown());
            self.error(format!("{at}.path"), message, "name a list or a map, or guard it with `monotone` or `setOnce`");
        }
        if schema.kind() != SchemaType::List {
            return;
        }
        let items = schema.entry();
        let mut all = true;
        for (index, name) in rule.key.iter().enumerate().filter(|(_, name)| items.member(name).is_none()) {
            all = false;
            let (message, hint) = match items.kind() {
                SchemaType::Object => (
                    format!("the items of `{shown}` have no `{name}`"),
                    meant(name, items.members(), || format!("their members are {}", joined(items.members()))),
                ),
                kind => (
                    format!("the items of `{shown}` are not objects: each is {}", kind.shown()),
                    "remove `key`: without it each item is its own identity".into(),
                ),
            };
            self.error(format!("{at}.key[{index}]"), message, hint);
        }
        let Some(keys) = schema.list_keys().filter(|_| all && !self.unread_below(&format!("{at}.key"))) else { return };
        let same = keys.len() == rule.key.len() && keys.iter().all(|key| rule.key.iter().any(|own| own == key));
        if !same {
            let at = format!("{at}.{}", if rule.key.is_empty() { "path" } else { "key" });
            self.warning(
                at,
                format!(
                    "the CRD's schema tells the items of `{shown}` apart by other members: {}",
                    joined(keys.clone())
                ),
                format!(
                    "say `key: [{}]`, unless one of these items may stand for several entries in turn",
                    keys.join(", ")
                ),
            );
        }
    }

    pub(super) fn number_fits(&mut self, scope: RuleScope<'c>, path: &Path, at: &str) {
        let schema = self.schema_at(scope, Some(path));
        let shown = scope.shown(path.names());
        let (what, hint) = match schema.kind() {
            SchemaType::List | SchemaType::Object => (schema.kind().shown(), format!("did you mean `len({shown})`?")),
            SchemaType::Boolean => ("a boolean", "name a number".into()),
            SchemaType::Text if schema.is_time() => ("a time", "name a number".into()),
            _ => return,
        };
        self.error(at, format!("`{shown}` is {what}, which counts 0 in a sum"), hint);
    }

    pub(super) fn length_fits(&mut self, scope: RuleScope<'c>, path: &Path, at: &str) {
        let schema = self.schema_at(scope, Some(path));
        let shown = scope.shown(path.names());
        if !schema.is(&[SchemaType::List, SchemaType::Object]) {
            let hint = match schema.kind() {
                SchemaType::Number | SchemaType::NumberOrText => format!("did you mean `{shown}`, its value?"),
                _ => "name a list or a map".into(),
            };
            self.error(at, format!("`{shown}` is {}, which has no length", schema.kind().shown()), hint);
        }
    }
}

/// The phases that a machine names, each with the first place where it does.
fn names(machine: &spec::Phase) -> BTreeMap<&str, String> {
    let transitions = machine.transitions.iter().enumerate().flat_map(|(index, transition)| {
        let at = format!("transitions[{index}]");
        [(&transition.from, format!("{at}.from")), (&transition.to, format!("{at}.to"))]
    });
    let initial = machine.initial.iter().map(|names| (names, String::from("initial")));
    let mut names = BTreeMap::new();
    for (list, place) in initial.chain(transitions).chain([(&machine.final_phases, "final".into())]) {
        for (index, name) in list.iter().enumerate().filter(|(_, name)| !["", "*"].contains(&name.as_str())) {
            names.entry(name.as_str()).or_insert_with(|| format!("{place}[{index}]"));
        }
    }
    names
}

/// Names as a list in a sentence, cut if they are many.
fn joined<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    cut(&names.into_iter().collect::<Vec<_>>().join(", "), SHOWN_NAMES).into_owned()
}
