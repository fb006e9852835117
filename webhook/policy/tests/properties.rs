//! The policy language against an independent model, case by case and at random.
//!
//! `PROPTEST_CASES` sets the number of cases of every property and draws them anew; without it
//! the cases are the same on every run.
#![allow(clippy::panic, reason = "a test ends by a panic")]

mod model;

use std::cell::RefCell;
use std::collections::BTreeMap;

use model::compare::{self, verdict};
use model::gen_state::Maker;
use model::gen_value::{any, respell, set_path};
use model::judge::{Case, Verdict, judge};
use model::runner::property;
use model::value::Val;
use model::{broken, fast, gen_policy, table, table_lists, table_machines, table_phase, table_values};

#[test]
fn cases_by_hand() {
    let mut rows = 0;
    let mut wrong = Vec::new();
    for text in [table_phase::CASES, table_values::CASES, table_lists::CASES, table_machines::CASES] {
        let (count, differences) = table::run(text);
        rows += count;
        wrong.extend(differences);
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
    assert!(rows >= 300, "only {rows} rows were read");
}

#[test]
fn implementation_equals_model() {
    let seen: RefCell<BTreeMap<String, usize>> = RefCell::default();
    let cases = property(6_000, 700, |choices| {
        let policy = gen_policy::policy(choices);
        fast::compile(&policy).map_err(|problem| format!("{problem}\n{}", policy.json()))?;
        let mut maker = Maker { junk: true, made: 0 };
        let mut old = maker.object(&policy, choices);
        for _ in 0..4 {
            let mut new = old.clone();
            if choices.percent(10) {
                maker.generation(&mut new, choices);
            }
            if choices.percent(5) {
                let time = any(choices, 0);
                set_path(&mut new, ".metadata.deletionTimestamp", time);
            }
            maker.edit(policy.at("spec"), &mut new, choices);
            let operation =
                *choices.pick(&["UPDATE", "UPDATE", "UPDATE", "UPDATE", "UPDATE", "UPDATE", "CREATE", "DELETE"]);
            let case = Case { operation, old: &old, new: &new };
            if compare::difference(&policy, &case).is_some() {
                return Err(compare::report(&policy, operation, &old, &new));
            }
            let judgement = judge(&policy, &case);
            if !judgement.waivers.is_empty() && broken::broken(&policy, &old).is_empty() {
                return Err(format!(
                    "waived without need\npolicy {}\nold {}\nnew {}\n",
                    policy.json(),
                    old.json(),
                    new.json()
                ));
            }
            for reason in table::reasons(&judgement) {
                *seen.borrow_mut().entry(reason.0).or_default() += 1;
            }
            old = new;
        }
        Ok(())
    });
    let seen = seen.into_inner();
    let rare: Vec<&str> = EVERY_REASON.into_iter().filter(|r| seen.get(*r).is_none_or(|n| *n < 3)).collect();
    assert!(cases < 6_000 || rare.is_empty(), "hardly tested: {rare:?} of {seen:?}");
}

/// Every reason in every way that the rules give it.
const EVERY_REASON: [&str; 26] = [
    "AboveBound/I",
    "AboveBound/W",
    "CountMismatch/I",
    "CountMismatch/S",
    "CountMismatch/W",
    "CounterRegression/S",
    "FieldMissing/I",
    "FieldMissing/S",
    "FieldMissing/W",
    "HistoryDuplicate/I",
    "HistoryDuplicate/S",
    "HistoryDuplicate/W",
    "HistoryRewritten/I",
    "HistoryRewritten/S",
    "HistoryTruncated/I",
    "HistoryTruncated/S",
    "Malformed/I",
    "Malformed/S",
    "Malformed/W",
    "PhaseAmbiguous/I",
    "PhaseAmbiguous/S",
    "PhaseAmbiguous/W",
    "PhaseRegression/S",
    "PhaseSkipped/I",
    "PhaseUnknown/I",
    "PhaseUnknown/W",
];

#[test]
fn allowed_junk_breaks_nothing() {
    property(4_000, 1_500, |choices| {
        let policy = gen_policy::policy(choices);
        let compiled = fast::compile(&policy)?;
        let mut maker = Maker { junk: true, made: 0 };
        let mut generation = 1;
        let mut old = Val::parse("{metadata: {name: x, generation: 1}}");
        for _ in 0..12 {
            let mut new = old.clone();
            maker.edit(policy.at("spec"), &mut new, choices);
            if choices.percent(10) {
                generation += 1;
                set_path(&mut new, ".metadata.generation", Val::int(generation));
            }
            let fast = fast::judge_json(&compiled, "UPDATE", &old.json(), &new.json())?.verdict;
            let model = judge(&policy, &Case { operation: "UPDATE", old: &old, new: &new }).verdict;
            let say =
                |what: &str| Err(format!("{what}\npolicy {}\nold {}\nnew {}\n", policy.json(), old.json(), new.json()));
            if fast != model {
                return Err(compare::report(&policy, "UPDATE", &old, &new));
            }
            if !fast.allows() {
                continue;
            }
            let broken = broken::broken(&policy, &new);
            if fast != Verdict::Allow || !broken.is_empty() {
                return say(&format!("{fast:?} leads to {broken:?}"));
            }
            let mut unrelated = new.clone();
            set_path(&mut unrelated, ".status.unrelated", Val::int(1));
            set_path(&mut unrelated, ".spec.size", Val::int(2));
            if verdict(&policy, &new, &unrelated)? != Verdict::Allow {
                return say("an unrelated change is refused after this");
            }
            old = new;
        }
        Ok(())
    });
}

#[test]
fn a_state_over_itself_is_allowed() {
    property(2_000, 500, |choices| {
        let policy = gen_policy::policy(choices);
        let object = Maker { junk: true, made: 0 }.object(&policy, choices);
        let mut other = object.clone();
        other.set("status", respell(object.at("status"), choices));
        for new in [&object, &other] {
            if verdict(&policy, &object, new)? != Verdict::Allow {
                return Err(compare::report(&policy, "UPDATE", &object, new));
            }
        }
        Ok(())
    });
}

#[test]
fn resets_only_widen() {
    property(4_000, 700, |choices| {
        let policy = gen_policy::policy(choices);
        let mut maker = Maker { junk: true, made: 0 };
        let old = maker.object(&policy, choices);
        let mut new = old.clone();
        maker.edit(policy.at("spec"), &mut new, choices);
        set_path(&mut new, ".status.fires", Val::int(1));
        let mut wide = policy.clone();
        let rules = add_resets(policy.at("spec"));
        wide.set("spec", rules);
        let (narrow, wider) = (verdict(&policy, &old, &new)?, verdict(&wide, &old, &new)?);
        if narrow.allows() && !wider.allows() {
            return Err(format!(
                "policy {}\nold {}\nnew {}\n{narrow:?} becomes {wider:?}\n",
                policy.json(),
                old.json(),
                new.json()
            ));
        }
        Ok(())
    });
}

/// The rule set with one more witness for the resets of every rule, also below.
fn add_resets(rules: &Val) -> Val {
    let add = |rule: &Val| {
        let mut rule = rule.clone();
        let mut with = rule.at("resets").at("with").words();
        with.push(".status.fires".to_owned());
        set_path(&mut rule, "resets.with", Val::strs(&with));
        if rule.has("each") {
            rule.set("each", add_resets(rule.at("each")));
        }
        rule
    };
    let mut all = rules.clone();
    for kind in ["phases", "monotone", "setOnce", "collections"] {
        if rules.has(kind) {
            all.set(kind, Val::List(rules.at(kind).items().iter().map(add).collect()));
        }
    }
    all
}

#[test]
fn nothing_else_in_the_object_matters() {
    property(4_000, 800, |choices| {
        let policy = gen_policy::policy(choices);
        let compiled = fast::compile(&policy)?;
        let mut maker = Maker { junk: true, made: 0 };
        let old = maker.object(&policy, choices);
        let mut new = old.clone();
        maker.edit(policy.at("spec"), &mut new, choices);
        let plain = fast::judge_json(&compiled, "UPDATE", &old.json(), &new.json())?;
        let mut texts = Vec::new();
        let mut others = Vec::new();
        for object in [&old, &new] {
            let mut other = object.clone();
            for path in
                [".spec.size", ".metadata.labels", ".metadata.name", ".kind", ".data", ".metadata.resourceVersion"]
            {
                if choices.percent(50) {
                    let value = any(choices, 2);
                    set_path(&mut other, path, value);
                }
            }
            let mut text = String::new();
            other.write(&mut text, &mut |names| choices.shuffle(names));
            texts.push(text);
            others.push(other);
        }
        let shuffled = fast::judge_json(&compiled, "UPDATE", &texts[0], &texts[1])?;
        let model = judge(&policy, &Case { operation: "UPDATE", old: &others[0], new: &others[1] });
        let all = [plain, shuffled, model].map(|j| compare::fixed(&j));
        if all[0] != all[1] || all[0] != all[2] {
            return Err(format!("policy {}\nold {}\nnew {}\n{all:?}\n", policy.json(), texts[0], texts[1]));
        }
        Ok(())
    });
}
