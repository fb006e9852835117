//! The policy of the guard's own kind. The guard writes against it, to see that its refusals arrive.

use serde_json::json;
use statusguard_policy::Policy;

use super::policy_file::{ActivePolicy, PolicySource};

/// Its name.
pub const OWN_POLICY: &str = "statuspolicies.statusguard.dev";
/// Of the writes that have to be refused.
pub const CANARY_MANAGER: &str = "statusguard-canary";

/// What the guard has said of a policy's generation is not said of an older one later.
pub fn own_policy() -> ActivePolicy {
    let document = json!({
        "apiVersion": "statusguard.dev/v1alpha1", "kind": "StatusPolicy",
        "metadata": { "name": OWN_POLICY },
        "spec": {
            "target": { "group": "statusguard.dev", "version": "v1alpha1", "resource": "statuspolicies" },
            "monotone": [{ "path": ".status.observedGeneration" }],
        },
    });
    let policy = Policy::compile_own(&document).expect("the guard's own policy compiles");
    ActivePolicy::new(policy, document, PolicySource::Cluster)
}
