//! Reads and runs the tables of cases written by hand.

use super::fast;
use super::judge::{Case, Judgement, judge};
use super::value::Val;

/// What a row expects: the verdict, then each reason with its class and, where given, field.
struct Expected {
    verdict: String,
    reasons: Vec<(String, Option<String>)>,
}

/// Runs the rows on the model and on the implementation; says what differs, and how many rows there are.
pub(crate) fn run(text: &str) -> (usize, Vec<String>) {
    let (mut count, mut wrong) = (0, Vec::new());
    let mut policy = Val::Null;
    for line in text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
        if let Some(rules) = line.strip_prefix("policy ") {
            policy = document(Val::parse(rules));
            continue;
        }
        let columns: Vec<&str> = line.split(" | ").collect();
        assert_eq!(columns.len(), 4, "not four columns: {line}");
        let (old, new) = (object(columns[1]), object(columns[2]));
        let expected = expected(columns[3]);
        let case = Case { operation: "UPDATE", old: &old, new: &new };
        let answers = [("model", Ok(judge(&policy, &case))), ("implementation", fast::judge(&policy, &case))];
        for (who, answer) in answers {
            match answer {
                Ok(judgement) if matches(&expected, &judgement) => {}
                answer => wrong.push(format!("{line}\n    {who}: {}", shown(&answer))),
            }
        }
        count += 1;
    }
    (count, wrong)
}

/// A whole policy around a rule set.
pub(crate) fn document(mut rules: Val) -> Val {
    rules.set("target", Val::parse("{group: example.org, version: v1, resource: examples}"));
    Val::map(vec![
        ("apiVersion", Val::str("statusguard.dev/v1alpha1")),
        ("kind", Val::str("StatusPolicy")),
        ("metadata", Val::parse("{name: examples.example.org}")),
        ("spec", rules),
    ])
}

fn object(column: &str) -> Val {
    let mut object = Val::parse("{apiVersion: example.org/v1, kind: Example, metadata: {name: x}}");
    let status = match column.strip_prefix('@').and_then(|rest| rest.split_once(' ')) {
        Some((generation, status)) => {
            object.set("metadata", Val::parse(&format!("{{name: x, generation: {generation}}}")));
            status
        }
        None => column,
    };
    object.set("status", Val::parse(status));
    object
}

fn expected(column: &str) -> Expected {
    let mut words = column.split(' ');
    let verdict = words.next().unwrap_or_default().to_owned();
    let reasons = words
        .map(|word| match word.split_once('@') {
            Some((reason, field)) => (reason.to_owned(), Some(field.to_owned())),
            None => (word.to_owned(), None),
        })
        .collect();
    Expected { verdict, reasons }
}

/// Findings and waivers as the tables write them.
pub(crate) fn reasons(judgement: &Judgement) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = judgement
        .findings
        .iter()
        .map(|f| (format!("{}/{}", f.reason, &format!("{:?}", f.class)[..1]), f.field.clone()))
        .collect();
    all.extend(judgement.waivers.iter().map(|(reason, field)| (format!("{reason}/W"), field.clone())));
    all
}

fn matches(expected: &Expected, judgement: &Judgement) -> bool {
    let got = reasons(judgement);
    format!("{:?}", judgement.verdict) == expected.verdict
        && got.iter().all(|(reason, _)| expected.reasons.iter().any(|(r, _)| r == reason))
        && expected
            .reasons
            .iter()
            .all(|(reason, field)| got.iter().any(|(r, f)| r == reason && field.as_ref().is_none_or(|x| x == f)))
}

fn shown(answer: &Result<Judgement, String>) -> String {
    match answer {
        Ok(judgement) => format!("{:?} {:?}", judgement.verdict, reasons(judgement)),
        Err(problem) => problem.clone(),
    }
}
