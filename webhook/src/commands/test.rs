//! `statusguard policy test`: the cases of policy test files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Serialize;
use statusguard_policy::{Budget, Judgement, Object, Operation, Policy, Value, Verdict};

use crate::args::OutputFormat;
use crate::exit::Exit;
use crate::{document, policies};

/// One case as it was written.
struct TestCase {
    name: String,
    operation: Operation,
    old: Object<'static>,
    new: Object<'static>,
    expect: String,
    reasons: Option<BTreeSet<String>>,
}

/// One case that failed.
#[derive(Serialize)]
struct FailedCase {
    file: String,
    case: String,
    expected: String,
    got: String,
    findings: Vec<String>,
}

/// Runs all cases of all files.
pub fn run(names: &[PathBuf], policy: Option<&Path>, output: OutputFormat) -> anyhow::Result<Exit> {
    let overriding = policy.map(policies::load_one).transpose()?;
    let (mut passed, mut failures) = (0, Vec::new());
    for name in names {
        let before = passed + failures.len();
        let files = document::files(name, true).unwrap_or_else(|error| {
            failures.push(FailedCase::unreadable(name, "(the folder)", error));
            Vec::new()
        });
        for file in files {
            let documents = document::read(&file);
            // A folder may hold the policies beside their tests, and other things.
            if name.is_dir() && !is_test_file(&file, &documents) {
                continue;
            }
            let ran = documents.and_then(|documents| run_file(&file, documents, overriding.as_ref()));
            match ran {
                Ok((count, mut failed)) => {
                    passed += count;
                    failures.append(&mut failed);
                }
                Err(error) => failures.push(FailedCase::unreadable(&file, "(the file)", error)),
            }
        }
        if passed + failures.len() == before {
            let got = "no policy tests in it; name a folder with test files".into();
            failures.push(FailedCase::unusable(name, "(the folder)", EXPECTED, got));
        }
    }
    match output {
        OutputFormat::Json => {
            let report = serde_json::json!({ "passed": passed, "failed": failures.len(), "failures": failures });
            println!("{}", serde_json::to_string(&report)?);
        }
        OutputFormat::Table => {
            for FailedCase { file, case, expected, got, findings } in &failures {
                println!("FAIL {file}: {case}\n  expected  {expected}\n  got       {got}");
                findings.iter().for_each(|finding| println!("  {finding}"));
            }
            println!("{passed} passed, {} failed", failures.len());
        }
    }
    Ok(if failures.is_empty() { Exit::Success } else { Exit::Failure })
}

/// Whether a file of a folder is to be run; what is neither a policy nor a test file is named.
fn is_test_file(file: &Path, documents: &Result<Vec<Value<'static>>, document::Error>) -> bool {
    match policies::Content::of(documents) {
        policies::Content::Tests => true,
        policies::Content::Policies => documents.is_err(),
        policies::Content::Other => {
            eprintln!("statusguard: {} is not a policy test file; skipped", file.display());
            false
        }
    }
}

/// What a file is expected to be.
const EXPECTED: &str = "a policy test file";

impl FailedCase {
    /// Of what could not be read.
    fn unreadable(file: &Path, case: &str, error: document::Error) -> Self {
        Self::unusable(file, case, EXPECTED, format!("{:#}", anyhow::Error::from(error)))
    }

    /// Of what could not be judged at all.
    fn unusable(file: &Path, case: &str, expected: &str, got: String) -> Self {
        Self {
            file: file.display().to_string(),
            case: case.into(),
            expected: expected.into(),
            got,
            findings: Vec::new(),
        }
    }
}

fn run_file(
    file: &Path,
    documents: Vec<Value<'static>>,
    overriding: Option<&Policy>,
) -> Result<(usize, Vec<FailedCase>), document::Error> {
    let document = document::one(file, documents)?;
    let Value::Object(members) = &document else {
        return Err(document::Error::unfit(file, "the file is not an object", "say `policy` and `cases`"));
    };
    known_keys(file, "", members.iter().map(|(key, _)| key.as_ref()), &["policy", "cases"])?;
    let own;
    let policy = match (overriding, document.get("policy")) {
        (Some(policy), _) => policy,
        (None, Value::String(path)) => {
            own = policies::load_one(&file.parent().unwrap_or(Path::new("")).join(path.as_ref()))?;
            &own
        }
        (None, other) => {
            let reason = if *other == Value::Null { "`policy` is missing" } else { "`policy` is not a string" };
            return Err(document::Error::unfit(file, reason, "name the policy's file, relative to this one"));
        }
    };
    let Value::List(cases) = document.get("cases") else {
        return Err(document::Error::unfit(file, "`cases` is missing or not a list", "list the cases"));
    };
    if cases.is_empty() {
        return Err(document::Error::unfit(file, "`cases` is empty", "write a case"));
    }
    let (mut passed, mut failures) = (0, Vec::new());
    for (index, case) in cases.iter().enumerate() {
        let case = match TestCase::read(case) {
            Ok(case) => case,
            Err((reason, hint)) => {
                let name = match case.get("name") {
                    Value::String(name) => format!("cases[{index}] {name}"),
                    _ => format!("cases[{index}]"),
                };
                failures.push(FailedCase::unusable(file, &name, "a test case", format!("{reason}; {hint}")));
                continue;
            }
        };
        let judgement = match policy.judge(case.operation, &case.old, &case.new, &Budget::unlimited()) {
            Ok(judgement) => judgement,
            Err(unfinished) => {
                failures.push(FailedCase::unusable(file, &case.name, &case.expect, unfinished.to_string()));
                continue;
            }
        };
        match case.judged(&judgement) {
            None => passed += 1,
            Some((expected, got)) => failures.push(FailedCase {
                file: file.display().to_string(),
                case: case.name,
                expected,
                got,
                findings: grounds(&judgement),
            }),
        }
    }
    Ok((passed, failures))
}

fn known_keys<'k>(
    file: &Path,
    at: &str,
    keys: impl Iterator<Item = &'k str>,
    known: &[&str],
) -> Result<(), document::Error> {
    for key in keys {
        if !known.contains(&key) {
            let reason = format!("unknown key `{at}{key}`");
            return Err(document::Error::unfit(file, reason, format!("the keys are {}", known.join(", "))));
        }
    }
    Ok(())
}

type Wrong = (String, String);

fn wrong(reason: impl Into<String>, hint: impl Into<String>) -> Wrong {
    (reason.into(), hint.into())
}

const KEYS: [&str; 10] =
    ["name", "oldStatus", "newStatus", "old", "new", "generation", "deleting", "operation", "expect", "reasons"];

impl TestCase {
    fn read(case: &Value<'static>) -> Result<Self, Wrong> {
        let Value::Object(members) = case else { return Err(wrong("no object", "give name, statuses and `expect`")) };
        if let Some((key, _)) = members.iter().find(|(key, _)| !KEYS.contains(&key.as_ref())) {
            return Err(wrong(format!("unknown key `{key}`"), format!("the keys are {}", KEYS.join(", "))));
        }
        let has = |key: &str| members.iter().any(|(member, _)| member == key);
        let name = match case.get("name") {
            Value::String(name) => name.to_string(),
            Value::Null => return Err(wrong("`name` is missing", "name the case")),
            _ => return Err(wrong("`name` is not a string", "name the case, in quotes if it looks like a number")),
        };
        let object = |whole: &str, status: &str| {
            match (has(whole), has(status)) {
                (true, true) => return Err(wrong(format!("both `{whole}` and `{status}`"), "give one of them")),
                (false, false) => {
                    return Err(wrong(format!("`{status}` is missing"), "write `null` if there is no status"));
                }
                _ => {}
            }
            let mut object = if has(whole) {
                match (case.get(whole), document::not_an_object(case.get(whole))) {
                    (Value::Null, _) | (_, None) => Object::of(case.get(whole)),
                    (_, Some((reason, hint))) => return Err(wrong(format!("`{whole}` is {reason}"), hint)),
                }
            } else {
                Object { status: case.get(status).clone(), ..Object::default() }
            };
            if has("generation") {
                object.generation = case.get("generation").clone();
            } else if object.generation == Value::Null {
                // Every stored object has one.
                object.generation = Value::Number("1".into());
            }
            Ok(object)
        };
        let old = object("old", "oldStatus")?;
        let mut new = object("new", "newStatus")?;
        match case.get("deleting") {
            Value::Bool(deleting) => new.deleting = *deleting,
            Value::Null => {}
            _ => return Err(wrong("`deleting` is not a boolean", "say true or false")),
        }
        let operation = match case.get("operation") {
            Value::Null => Operation::Update,
            Value::String(text) => {
                text.parse().map_err(|error| wrong(format!("`operation`: {error}"), "omit it for UPDATE"))?
            }
            _ => return Err(wrong("`operation` is not a string", "omit it for UPDATE")),
        };
        let expect = match case.get("expect") {
            Value::String(text) if ["Allow", "Repair", "Stale", "Invalid"].contains(&text.as_ref()) => text.to_string(),
            _ => return Err(wrong("`expect` is missing or unknown", "say Allow, Repair, Stale or Invalid")),
        };
        let reasons = match case.get("reasons") {
            Value::Null => None,
            Value::List(items) => Some(
                items
                    .iter()
                    .map(|item| match item {
                        Value::String(text) => Ok(text.to_string()),
                        _ => Err(wrong(
                            "`reasons` holds something else than names",
                            "list reasons of findings and waivers",
                        )),
                    })
                    .collect::<Result<_, _>>()?,
            ),
            _ => return Err(wrong("`reasons` is not a list", "list reasons of findings and waivers")),
        };
        Ok(Self { name, operation, old, new, expect, reasons })
    }

    /// Expected and got, when they differ.
    fn judged(&self, judgement: &Judgement) -> Option<(String, String)> {
        let verdict = if judgement.softened { Verdict::Allow } else { judgement.verdict }.as_str();
        let got: BTreeSet<String> = judgement.reasons.iter().map(ToString::to_string).collect();
        let same_reasons = self.reasons.as_ref().is_none_or(|reasons| *reasons == got);
        if verdict == self.expect && same_reasons {
            return None;
        }
        let show = |verdict: &str, reasons: Option<&BTreeSet<String>>| match reasons {
            None => verdict.to_owned(),
            Some(reasons) => format!("{verdict} {:?}", reasons.iter().collect::<Vec<_>>()),
        };
        Some((show(&self.expect, self.reasons.as_ref()), show(verdict, Some(&got))))
    }
}

fn grounds(judgement: &Judgement) -> Vec<String> {
    let findings = judgement.findings.iter();
    let findings = findings.map(|f| format!("{} {}: {} {}", f.class.as_str(), f.reason, f.field, f.what));
    findings.chain(judgement.waivers.iter().map(|w| format!("waived {}: {}", w.reason, w.field))).collect()
}
