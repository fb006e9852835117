//! Whether a review is one that its policy can judge.

use statusguard_edge::{ApiType, Review, ReviewObject, shown};
use statusguard_policy::spec::Target;

/// Why a review cannot be judged by its policy.
#[derive(Debug, thiserror::Error)]
pub enum Misfit {
    /// An update without one of its two objects. No API server sends this.
    #[error("{0} is missing from an UPDATE")]
    Missing(&'static str),
    /// The rules speak of other paths than the objects have.
    #[error(
        "the webhook's rules and the policy's target do not fit: the review is of {review}, the target is {target}; \
         name the target's version and subresource in the webhook's rules, with matchPolicy: Equivalent"
    )]
    Target {
        /// What the review is of, with its kind.
        review: String,
        /// The policy's target.
        target: String,
    },
}

impl Misfit {
    /// A name for labels of metrics.
    pub fn category(&self) -> &'static str {
        match self {
            Misfit::Missing(_) => "missing",
            Misfit::Target { .. } => "target",
        }
    }
}

/// The old and the new object of an update.
pub fn objects<'r, 'b>(review: &'r Review<'b>) -> Result<(&'r ReviewObject<'b>, &'r ReviewObject<'b>), Misfit> {
    let old = review.old_object.as_ref().ok_or(Misfit::Missing("request.oldObject"))?;
    let new = review.object.as_ref().ok_or(Misfit::Missing("request.object"))?;
    Ok((old, new))
}

/// Whether the objects have the shape that the policy's paths are written for.
///
/// A policy does not name its kind: only the kind's group and version are compared. For a status, or the main resource,
/// they are those of the resource. Group and resource themselves are how the policy was found.
pub fn target(target: &Target, review: &Review<'_>) -> Result<(), Misfit> {
    let ApiType { group, version, .. } = &review.kind;
    let fits = *review.resource.version == *target.version
        && *review.sub_resource == *target.subresource
        && (&**group, &**version) == (&*target.group, &*target.version);
    if fits {
        return Ok(());
    }
    let of = described(&review.resource.group, &review.resource.version, &review.resource.name, &review.sub_resource);
    let kind = described(group, version, &review.kind.name, "");
    Err(Misfit::Target {
        review: format!("{of} (kind {kind})"),
        target: described(&target.group, &target.version, &target.resource, &target.subresource),
    })
}

/// `jobs/status in batch/v1`.
pub fn described(group: &str, version: &str, name: &str, subresource: &str) -> String {
    let [group, version, name, subresource] = [group, version, name, subresource].map(shown);
    let group = if group.is_empty() { group } else { group + "/" };
    let subresource = if subresource.is_empty() { String::new() } else { format!("/{subresource}") };
    format!("{name}{subresource} in {group}{version}")
}
