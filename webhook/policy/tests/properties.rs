//! The policy language against an independent model, case by case and at random.
//!
//! `PROPTEST_CASES` sets the number of cases of every property and draws them anew; without it
//! the cases are the same on every run.
#![allow(clippy::panic, reason = "a test ends by a panic")]

mod model;

use model::gen_state::Maker;
use model::judge::Case;
use model::tape::Tape;
use model::{compare, fast, gen_policy, table, table_lists, table_phase, table_values};
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};

#[test]
fn cases_by_hand() {
    let mut rows = 0;
    let mut wrong = Vec::new();
    for text in [table_phase::CASES, table_values::CASES, table_lists::CASES] {
        let (count, differences) = table::run(text);
        rows += count;
        wrong.extend(differences);
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
    assert!(rows >= 300, "only {rows} rows were read");
}

/// Runs a property on many tapes; it answers with what is wrong.
fn property(cases: u32, size: usize, holds: impl Fn(&mut Tape) -> Result<(), String>) {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    let config = Config {
        cases: asked.unwrap_or(cases),
        failure_persistence: None,
        max_shrink_iters: 0,
        rng_seed: if asked.is_some() { RngSeed::Random } else { RngSeed::Fixed(1) },
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&vec(any::<u32>(), size..=size), |numbers| {
        holds(&mut Tape::new(numbers)).map_err(TestCaseError::fail)
    });
    if let Err(error) = outcome {
        let text = error.to_string();
        panic!("{}", text.split("minimal failing input").next().unwrap_or_default());
    }
}

#[test]
fn implementation_equals_model() {
    property(10_000, 700, |tape| {
        let policy = gen_policy::policy(tape);
        fast::compile(&policy).map_err(|problem| format!("{problem}\n{}", policy.json()))?;
        let mut maker = Maker { junk: true, made: 0 };
        let mut old = maker.object(&policy, tape);
        for _ in 0..4 {
            let mut new = old.clone();
            if tape.percent(10) {
                maker.generation(&mut new, tape);
            }
            maker.edit(policy.at("spec"), &mut new, tape);
            let operation = *tape.pick(&["UPDATE", "UPDATE", "UPDATE", "UPDATE", "UPDATE", "UPDATE", "CREATE", "DELETE"]);
            let case = Case { operation, old: &old, new: &new };
            if compare::difference(&policy, &case).is_some() {
                return Err(compare::report(&policy, operation, &old, &new));
            }
            old = new;
        }
        Ok(())
    });
}
