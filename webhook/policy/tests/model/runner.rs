//! Runs a property on many sequences of choices.

use proptest::collection::vec;
use proptest::prelude::any;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};

use super::choices::Choices;

/// Runs a property on sequences of that many choices; the property returns what is wrong.
/// The result is the number of cases.
///
/// `PROPTEST_CASES` sets the number of cases and draws them anew; without it they are the same
/// on every run. Sequences are not shrunk: what a property reports it has made small itself.
pub(crate) fn property(cases: u32, numbers: usize, holds: impl Fn(&mut Choices) -> Result<(), String>) -> u32 {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    let cases = asked.unwrap_or(cases);
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 0,
        rng_seed: if asked.is_some() { RngSeed::Random } else { RngSeed::Fixed(1) },
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&vec(any::<u32>(), numbers..=numbers), |numbers| {
        holds(&mut Choices::new(numbers)).map_err(TestCaseError::fail)
    });
    if let Err(error) = outcome {
        let text = error.to_string();
        panic!("{}", text.split("minimal failing input").next().unwrap_or_default());
    }
    cases
}
