//! What `policy test` prints.

use std::fmt::Write as _;

use serde::Serialize;

use crate::args::TestOutput;
use crate::output::{FAIL, PASS, painted};

/// The results of all cases, in the order in which they ran.
#[derive(Default)]
pub(super) struct TestReport {
    pub(super) cases: Vec<CaseResult>,
}

/// The result of one case.
#[derive(Serialize)]
pub(super) struct CaseResult {
    pub(super) file: String,
    pub(super) case: String,
    /// None if it passed.
    #[serde(flatten)]
    pub(super) failure: Option<Failure>,
}

/// Why a case failed.
#[derive(Serialize)]
pub(super) struct Failure {
    pub(super) expected: String,
    pub(super) got: String,
    pub(super) findings: Vec<String>,
}

impl TestReport {
    pub(super) fn failed(&self) -> usize {
        self.failures().count()
    }

    fn failures(&self) -> impl Iterator<Item = &CaseResult> {
        self.cases.iter().filter(|case| case.failure.is_some())
    }

    /// The report in one of its forms.
    pub(super) fn text(&self, form: TestOutput, verbose: bool) -> anyhow::Result<String> {
        Ok(match form {
            TestOutput::Table => self.table(verbose),
            TestOutput::Json => self.json(verbose)? + "\n",
            TestOutput::Junit => self.junit(),
        })
    }

    fn table(&self, verbose: bool) -> String {
        let mut text = String::new();
        // Writing to a `String` cannot fail.
        for CaseResult { file, case, failure } in &self.cases {
            match failure {
                Some(Failure { expected, got, findings }) => {
                    let fail = painted(FAIL, "FAIL");
                    let _ = writeln!(text, "{fail} {file}: {case}\n  expected  {expected}\n  got       {got}");
                    findings.iter().for_each(|finding| text.push_str(&format!("  {finding}\n")));
                }
                None if verbose => {
                    let _ = writeln!(text, "{} {file}: {case}", painted(PASS, "PASS"));
                }
                None => {}
            }
        }
        let failed = self.failed();
        let _ = writeln!(text, "{} passed, {failed} failed", self.cases.len() - failed);
        text
    }

    fn json(&self, verbose: bool) -> serde_json::Result<String> {
        let (failed, failures): (usize, Vec<_>) = (self.failed(), self.failures().collect());
        let mut report =
            serde_json::json!({ "passed": self.cases.len() - failed, "failed": failed, "failures": failures });
        if verbose {
            let passed = self.cases.iter().filter(|case| case.failure.is_none()).collect::<Vec<_>>();
            report["passes"] = serde_json::to_value(passed)?;
        }
        serde_json::to_string(&report)
    }

    /// One test suite for each file, in the form that JUnit's Ant task introduced and CI systems read.
    fn junit(&self) -> String {
        let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        let _ = writeln!(
            text,
            "<testsuites name=\"statusguard policy test\" tests=\"{}\" failures=\"{}\">",
            self.cases.len(),
            self.failed()
        );
        for suite in self.cases.chunk_by(|one, next| one.file == next.file) {
            let file = xml(&suite[0].file);
            let failed = suite.iter().filter(|case| case.failure.is_some()).count();
            let _ = writeln!(text, "  <testsuite name=\"{file}\" tests=\"{}\" failures=\"{failed}\">", suite.len());
            for CaseResult { case, failure, .. } in suite {
                let _ = write!(text, "    <testcase name=\"{}\" classname=\"{file}\"", xml(case));
                let Some(Failure { expected, got, findings }) = failure else {
                    text.push_str("/>\n");
                    continue;
                };
                let message = format!("expected {expected}, got {got}");
                let _ = writeln!(
                    text,
                    ">\n      <failure message=\"{}\">{}</failure>\n    </testcase>",
                    xml(&message),
                    xml(&findings.join("\n"))
                );
            }
            text.push_str("  </testsuite>\n");
        }
        text.push_str("</testsuites>\n");
        text
    }
}

/// Text for an attribute or an element. Characters that XML 1.0 does not have are replaced.
fn xml(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push_str("&#10;"),
            '\t' => escaped.push_str("&#9;"),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            char => escaped.push(char),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_any_kind_is_xml() {
        assert_eq!(xml("a<b> & \"c\"\n\u{1b}\u{fffe}é"), "a&lt;b&gt; &amp; &quot;c&quot;&#10;\u{fffd}\u{fffd}é");
    }
}
