//! Label selectors that several writers share: which terms are the guard's, and which stay.
//!
//! A selector is a conjunction. A term of another writer can only narrow it, and stays. What makes a term the guard's is
//! that the desired selector has it, or that the record says that the guard wrote it.

use serde_json::{Map, Value as Json};

const LABELS: &str = "matchLabels";
const EXPRESSIONS: &str = "matchExpressions";

/// `current` with all terms of `desired`, and without those that were `written` and are desired no more.
pub fn merged(current: &Json, desired: &Json, written: &Json) -> Json {
    let mut selector = current.as_object().cloned().unwrap_or_default();
    merge_labels(&mut selector, &desired[LABELS], &written[LABELS]);
    merge_expressions(&mut selector, &desired[EXPRESSIONS], &written[EXPRESSIONS]);
    Json::Object(selector)
}

/// A label is a term; a key of the desired selector has the desired value.
fn merge_labels(selector: &mut Map<String, Json>, desired: &Json, written: &Json) {
    let mut labels = selector.get(LABELS).and_then(Json::as_object).cloned().unwrap_or_default();
    let before = labels.clone();
    for (key, value) in written.as_object().into_iter().flatten() {
        if labels.get(key) == Some(value) {
            labels.remove(key);
        }
    }
    labels.extend(desired.as_object().cloned().unwrap_or_default());
    if labels != before {
        put(selector, LABELS, labels.is_empty(), Json::Object(labels));
    }
}

fn merge_expressions(selector: &mut Map<String, Json>, desired: &Json, written: &Json) {
    let before = list(selector.get(EXPRESSIONS).unwrap_or(&Json::Null));
    let (desired, written) = (list(desired), list(written));
    let has = |terms: &[Json], term: &Json| terms.iter().any(|other| same_term(other, term));
    let mut terms: Vec<Json> =
        before.iter().filter(|term| has(desired, term) || !has(written, term)).cloned().collect();
    for term in desired {
        if !has(&terms, term) {
            terms.push(term.clone());
        }
    }
    if terms != before {
        put(selector, EXPRESSIONS, terms.is_empty(), Json::Array(terms));
    }
}

/// An empty part is left out, as the API server leaves it out.
fn put(selector: &mut Map<String, Json>, part: &str, empty: bool, value: Json) {
    if empty {
        selector.remove(part);
    } else {
        selector.insert(part.to_owned(), value);
    }
}

fn list(value: &Json) -> &[Json] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Whether two expressions select the same. The order of values means nothing.
fn same_term(left: &Json, right: &Json) -> bool {
    let values = |term: &Json| {
        let mut values: Vec<String> = list(&term["values"]).iter().map(Json::to_string).collect();
        values.sort_unstable();
        values.dedup();
        values
    };
    left["key"] == right["key"] && left["operator"] == right["operator"] && values(left) == values(right)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn excluded() -> Json {
        json!({ "key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["statusguard", "kube-system"] })
    }

    fn foreign() -> Json {
        json!({ "key": "control-plane", "operator": "DoesNotExist" })
    }

    #[test]
    fn terms_of_others_stay_where_they_are() {
        let desired = json!({ "matchLabels": { "team": "a" }, "matchExpressions": [excluded()] });
        let current = json!({
            "matchLabels": { "added": "by another", "team": "a" },
            "matchExpressions": [foreign(), excluded()],
        });
        assert_eq!(merged(&current, &desired, &desired), current);
        assert_eq!(merged(&current, &desired, &Json::Null), current);
    }

    #[test]
    fn missing_terms_are_added_behind_those_of_others() {
        let desired = json!({ "matchLabels": { "team": "a" }, "matchExpressions": [excluded()] });
        let current = json!({ "matchExpressions": [foreign()] });
        let expected = json!({ "matchLabels": { "team": "a" }, "matchExpressions": [foreign(), excluded()] });
        assert_eq!(merged(&current, &desired, &Json::Null), expected);
        for empty in [Json::Null, json!({}), json!("garbage"), json!({ "matchExpressions": 7, "matchLabels": [] })] {
            assert_eq!(merged(&empty, &desired, &Json::Null), desired, "{empty}");
        }
    }

    #[test]
    fn terms_that_were_written_and_are_desired_no_more_go() {
        let written = json!({ "matchLabels": { "team": "a", "tier": "1" }, "matchExpressions": [excluded()] });
        let current = json!({
            "matchLabels": { "team": "a", "tier": "changed by another" },
            "matchExpressions": [foreign(), excluded()],
        });
        let expected = json!({
            "matchLabels": { "tier": "changed by another" },
            "matchExpressions": [foreign()],
        });
        assert_eq!(merged(&current, &json!({}), &written), expected);
        assert_eq!(merged(&written, &json!({}), &written), json!({}));
    }

    #[test]
    fn a_label_that_another_changed_is_changed_back() {
        let desired = json!({ "matchLabels": { "team": "a" } });
        assert_eq!(merged(&json!({ "matchLabels": { "team": "b" } }), &desired, &desired), desired);
    }

    #[test]
    fn the_order_of_values_is_not_a_difference() {
        let desired = json!({ "matchExpressions": [excluded()] });
        let mut current = desired.clone();
        current["matchExpressions"][0]["values"] = json!(["kube-system", "statusguard"]);
        assert_eq!(merged(&current, &desired, &Json::Null), current);
    }
}
