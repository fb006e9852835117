//! `statusguard check`: one write, judged offline as the guard would judge it.

mod report;
mod write;

use statusguard_policy::{Budget, Class, Object, Policy, Value};

use self::report::CheckReport;
use self::write::Write;
use crate::args::{CheckArgs, OutputFormat};
use crate::exit::Exit;
use crate::guard::fit::described;
use crate::{output, policies};

/// Judges one write and prints the result.
pub fn run(check: &CheckArgs) -> anyhow::Result<Exit> {
    let policy = policies::load_one(&check.policy)?;
    let write = Write::read(check)?;
    let misfits = write.misfits(&policy);
    if !misfits.is_empty() {
        misfits.iter().for_each(|misfit| output::remark(misfit));
        return Ok(Exit::Usage);
    }
    let (old, new) = (Object::of(&write.old), Object::of(&write.new));
    let judgement = policy.judge(write.operation, &old, &new, &Budget::unlimited())?;
    let report = CheckReport::new(&policy, &write, &judgement);
    match check.output {
        OutputFormat::Json => output::print_json(&report)?,
        OutputFormat::Table => output::print(&report.table(&policy, &judgement))?,
    }
    Ok(match judgement.refusal() {
        None => Exit::Success,
        Some(Class::Stale) => Exit::Stale,
        Some(Class::Invalid) => Exit::Invalid,
    })
}

/// What an object, or the object of a review, says of itself.
fn text(object: &Value<'_>, path: &[&str]) -> String {
    let value = path.iter().fold(object, |value, name| value.get(name));
    match value {
        Value::String(text) => text.to_string(),
        _ => String::new(),
    }
}

/// A policy's target as messages name it.
fn target(policy: &Policy) -> String {
    let target = &policy.spec().target;
    described(&target.group, &target.version, &target.resource, &target.subresource)
}
