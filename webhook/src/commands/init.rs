//! `statusguard policy init`: a commented first policy from a CRD's schema.
//!
//! A schema says which fields exist, not what their writers guarantee. Only what the conventions of the Kubernetes
//! API say of a field, or a counter's name, becomes an active rule. Everything else is a rule that is switched off,
//! with the condition under which it holds, or a field that is named as not guarded, with the reason.
//!
//! ```text
//! file ─ version ─▶ schema ─ survey, lists (guess, words) ─▶ draft ─ text (scalar) ─▶ YAML
//! ```

mod draft;
mod guess;
mod lists;
mod remark;
mod scalar;
mod survey;
mod text;
mod version;
mod words;

use std::path::Path;

use statusguard_policy::spec::GROUP;

use crate::document::Error;
use version::CrdVersion;

/// The text of a first policy.
pub fn first_policy(file: &Path, kind: Option<&str>, version: Option<&str>) -> Result<String, Error> {
    let crd = CrdVersion::read(file, kind, version)?;
    if crd.group == GROUP {
        return Err(Error::unfit(file, "the guard does not guard itself", "give the CRD of another kind"));
    }
    if crd.status()["properties"].as_object().is_none_or(serde_json::Map::is_empty) {
        let reason = format!("the schema of {} {} does not describe the fields of `.status`", crd.kind, crd.version);
        return Err(Error::unfit(file, reason, "write the policy by hand; `statusguard policy lint` checks it"));
    }
    Ok(text::write(&crd, &survey::draft(&crd)))
}
