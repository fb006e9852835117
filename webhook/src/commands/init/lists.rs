//! Lists and maps.
//!
//! `order: Any` with `keep: All` refuses a write that drops an entry, and entries of many lists come and go in correct
//! work. Conditions alone are expected to stay.

use serde_json::Value as Json;

use super::draft::{Draft, DraftCollection, DraftRule};
use super::guess;
use super::remark::{Remark, Unguarded};
use super::scalar::{is_plain, quoted};
use super::survey::{Spot, Survey, has_properties};
use super::words::{TIMES, ends, words};

impl Survey<'_> {
    pub fn list(&self, name: &str, schema: &Json, spot: &Spot) -> Draft {
        let items = &schema["items"];
        let keys = schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten();
        let keys: Vec<String> = keys.filter_map(Json::as_str).map(str::to_owned).collect();
        if !keys.iter().all(|name| is_plain(name)) {
            return Draft::unguarded(Unguarded::Unnameable, spot.whole.clone());
        }
        if guess::is_conditions(name, items) && (keys.is_empty() || keys == ["type"]) {
            return self.conditions(name, items, spot);
        }
        let likely = if keys.is_empty() { guess::key(items) } else { keys.clone() };
        if guess::is_history(name) {
            return collection(DraftCollection { appended: true, ..entries(spot, likely, None, Remark::History) });
        }
        if !keys.is_empty() {
            let each = self.object(items, &spot.entry(), &keys);
            let remark = if each.is_empty() { Remark::KeyedFree } else { Remark::Keyed };
            return collection(entries(spot, keys, Some(each), remark));
        }
        let each = self.object(items, &spot.entry(), &likely);
        if !has_properties(items) || !each.is_notable() {
            return Draft::unguarded(Unguarded::Collection, spot.whole.clone());
        }
        let remark = if likely.is_empty() { Remark::KeyUnknown } else { Remark::KeyGuessed };
        collection(entries(spot, likely, Some(each), remark))
    }

    pub fn map(&self, schema: &Json, spot: &Spot) -> Draft {
        let values = &schema["additionalProperties"];
        let each = self.object(values, &spot.entry(), &[]);
        if !has_properties(values) || !each.is_notable() {
            return Draft::unguarded(Unguarded::Collection, spot.whole.clone());
        }
        collection(entries(spot, Vec::new(), Some(each), Remark::Map))
    }

    fn conditions(&self, name: &str, items: &Json, spot: &Spot) -> Draft {
        let is_own = spot.is_top() && name.eq_ignore_ascii_case("conditions");
        let mut each = Draft::default();
        let entry = spot.entry();
        for (member, schema) in items["properties"].as_object().into_iter().flatten() {
            let names = words(member);
            let path = format!("{}.{member}", entry.whole);
            match member.as_str() {
                "type" => {}
                "status" => each.unguarded.push((Unguarded::ConditionStatus, path)),
                _ if guess::is_observed_generation(&names) && schema["type"] == "integer" => {
                    let remark = if is_own { Remark::ConditionGeneration } else { Remark::InnerGeneration };
                    let rule = DraftRule::off(&format!(".{member}"), remark);
                    each.monotone.push(DraftRule { active: is_own, bounded: true, to_zero: true, ..rule });
                }
                _ if !is_plain(member) => {
                    each.unguarded.push((Unguarded::Unnameable, format!("{}[{}]", entry.whole, quoted(member))));
                }
                _ if ends(&names, TIMES) => each.unguarded.push((Unguarded::ConditionTime, path)),
                _ if schema["type"] == "string" => each.unguarded.push((Unguarded::Text, path)),
                _ => each.unguarded.push((Unguarded::Other, path)),
            }
        }
        let remark = if is_own { Remark::Conditions } else { Remark::InnerConditions };
        let rule = entries(spot, vec!["type".into()], Some(each), remark);
        collection(DraftCollection { active: is_own, ..rule })
    }
}

/// A collection that is switched off.
fn entries(spot: &Spot, key: Vec<String>, each: Option<Draft>, remark: Remark) -> DraftCollection {
    DraftCollection { path: spot.rule.clone(), active: false, key, appended: false, each, remark }
}

/// A draft of one collection, with what has no rule in its entries.
fn collection(mut rule: DraftCollection) -> Draft {
    let unguarded = rule.each.as_mut().map(|each| std::mem::take(&mut each.unguarded)).unwrap_or_default();
    Draft { collections: vec![rule], unguarded, ..Draft::default() }
}
