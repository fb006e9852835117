//! The policy test files of the six kinds, read as they are.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;

/// The folder of the six policies.
pub const POLICIES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests/policies/kubernaut");

/// A policy test file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    policy: String,
    cases: Vec<KindCase>,
}

/// One write and its verdict. Whole objects (`old`, `new`) are not used for these kinds.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KindCase {
    pub name: String,
    pub old_status: Value,
    pub new_status: Value,
    #[serde(default = "one")]
    pub generation: u64,
    #[serde(default)]
    pub deleting: bool,
    #[serde(default)]
    pub operation: Option<String>,
    pub expect: Expect,
    /// Of findings and waivers.
    #[serde(default)]
    pub reasons: Option<BTreeSet<String>>,
}

/// The verdict that a case expects.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub enum Expect {
    Allow,
    Repair,
    Stale,
    Invalid,
}

impl KindCase {
    /// Whether the write is to be refused.
    pub fn refused(&self) -> bool {
        matches!(self.expect, Expect::Stale | Expect::Invalid)
    }
}

/// The policy's document and the cases of a kind; their names are unique.
pub fn read(plural: &str) -> (Value, Vec<KindCase>) {
    let folder = PathBuf::from(POLICIES);
    let read = |path: PathBuf| std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    let name = format!("{plural}.yaml");
    let file: File = serde_saphyr::from_str(&read(folder.join("tests").join(&name))).unwrap();
    assert_eq!(file.policy, format!("../{name}"));
    let names: BTreeSet<_> = file.cases.iter().map(|case| &case.name).collect();
    assert_eq!(names.len(), file.cases.len(), "two cases of {plural} have one name");
    (serde_saphyr::from_str(&read(folder.join(name))).unwrap(), file.cases)
}

fn one() -> u64 {
    1
}
