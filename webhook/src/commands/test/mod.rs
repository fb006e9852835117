//! `statusguard policy test`: the cases of policy test files.

mod case;
mod report;

use std::path::Path;

use statusguard_policy::{Budget, Judgement, Policy, Value};

use self::case::TestCase;
use self::report::{CaseResult, Failure, TestReport};
use crate::args::TestArgs;
use crate::exit::Exit;
use crate::{document, output, policies};

/// Runs the cases of all files.
pub fn run(args: &TestArgs) -> anyhow::Result<Exit> {
    let overriding = args.policy.as_deref().map(policies::load_one).transpose()?;
    let mut runner = Runner { overriding, filter: args.filter.as_deref(), report: TestReport::default() };
    args.files.iter().for_each(|name| runner.name(name));
    let report = runner.report;
    output::print(&report.text(args.output, args.verbose)?)?;
    if report.cases.is_empty() {
        let filter = args.filter.as_deref().unwrap_or_default();
        output::remark(&format!("no case has `{filter}` in its name"));
        return Ok(Exit::Failure);
    }
    Ok(if report.failed() == 0 { Exit::Success } else { Exit::Failure })
}

/// Cases that have run, and how to run more.
struct Runner<'a> {
    /// Judges in place of the policy that each file names.
    overriding: Option<Policy>,
    /// Only cases with this in their names.
    filter: Option<&'a str>,
    report: TestReport,
}

impl Runner<'_> {
    /// Runs a file, or all test files of a folder.
    fn name(&mut self, name: &Path) {
        let mut tests = 0;
        let files = document::files(name, true).unwrap_or_else(|error| {
            tests += 1;
            self.unusable(name, "(the folder)", EXPECTED, unreadable(error));
            Vec::new()
        });
        for file in files {
            let documents = document::read(&file);
            // A folder may hold the policies beside their tests, and other things.
            if name.is_dir() && !is_test_file(&file, &documents) {
                continue;
            }
            tests += 1;
            if let Err(error) = documents.and_then(|documents| self.file(&file, documents)) {
                self.unusable(&file, "(the file)", EXPECTED, unreadable(error));
            }
        }
        if tests == 0 {
            let got = "no policy tests in it; name a folder with test files".into();
            self.unusable(name, "(the folder)", EXPECTED, got);
        }
    }

    fn file(&mut self, file: &Path, documents: Vec<Value<'static>>) -> Result<(), document::Error> {
        let document = document::one(file, documents)?;
        let Value::Object(members) = &document else {
            return Err(document::Error::unfit(file, "the file is not an object", "say `policy` and `cases`"));
        };
        known_keys(file, members.iter().map(|(key, _)| key.as_ref()), &["policy", "cases"])?;
        let own = match (&self.overriding, document.get("policy")) {
            (Some(_), _) => None,
            (None, Value::String(path)) => {
                Some(policies::load_one(&file.parent().unwrap_or(Path::new("")).join(path.as_ref()))?)
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
        for (index, case) in cases.iter().enumerate() {
            self.case(file, index, case, own.as_ref());
        }
        Ok(())
    }

    fn case(&mut self, file: &Path, index: usize, case: &Value<'static>, own: Option<&Policy>) {
        let case = match TestCase::read(case) {
            Ok(case) => case,
            Err((reason, hint)) => {
                let name = match case.get("name") {
                    Value::String(name) => format!("cases[{index}] {name}"),
                    _ => format!("cases[{index}]"),
                };
                if self.filter.is_some_and(|filter| !name.contains(filter)) {
                    return;
                }
                return self.unusable(file, &name, "a test case", format!("{reason}; {hint}"));
            }
        };
        if self.filter.is_some_and(|filter| !case.name.contains(filter)) {
            return;
        }
        let Some(policy) = own.or(self.overriding.as_ref()) else { return };
        let judgement = match policy.judge(case.operation, &case.old, &case.new, &Budget::unlimited()) {
            Ok(judgement) => judgement,
            Err(unfinished) => return self.unusable(file, &case.name, &case.expect, unfinished.to_string()),
        };
        let failure = case.judged(&judgement).map(|(expected, got)| {
            let findings = grounds(&judgement);
            Failure { expected, got, findings }
        });
        self.report.cases.push(CaseResult { file: file.display().to_string(), case: case.name, failure });
    }

    /// What could not be judged at all.
    fn unusable(&mut self, file: &Path, case: &str, expected: &str, got: String) {
        let failure = Some(Failure { expected: expected.into(), got, findings: Vec::new() });
        self.report.cases.push(CaseResult { file: file.display().to_string(), case: case.into(), failure });
    }
}

fn unreadable(error: document::Error) -> String {
    format!("{:#}", anyhow::Error::from(error))
}

/// Whether a file of a folder is to be run; what is neither a policy nor a test file is named.
fn is_test_file(file: &Path, documents: &Result<Vec<Value<'static>>, document::Error>) -> bool {
    match policies::Content::of(documents) {
        policies::Content::Tests => true,
        policies::Content::Policies => documents.is_err(),
        policies::Content::Other => {
            output::remark(&format!("{} is not a policy test file; skipped", file.display()));
            false
        }
    }
}

/// What a file is expected to be.
const EXPECTED: &str = "a policy test file";

fn known_keys<'k>(file: &Path, keys: impl Iterator<Item = &'k str>, known: &[&str]) -> Result<(), document::Error> {
    for key in keys {
        if !known.contains(&key) {
            let reason = format!("unknown key `{key}`");
            return Err(document::Error::unfit(file, reason, format!("the keys are {}", known.join(", "))));
        }
    }
    Ok(())
}

fn grounds(judgement: &Judgement) -> Vec<String> {
    let findings = judgement.findings.iter();
    let findings = findings.map(|f| format!("{} {}: {} {}", f.class.as_str(), f.reason, f.field, f.what));
    findings.chain(judgement.waivers.iter().map(|w| format!("waived {}: {}", w.reason, w.field))).collect()
}
