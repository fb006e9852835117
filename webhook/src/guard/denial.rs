//! What the client of a refused write is told.

use std::borrow::Cow;

use statusguard_edge::{Cause, Denial};
use statusguard_policy::{Class, Judgement};

/// The reason of the cause that names the judged version.
const JUDGED_VERSION: &str = "JudgedVersion";

/// A refused write.
pub struct Refused<'j> {
    /// The object, as [`Judgement::summary`] names it.
    pub object: &'j str,
    /// The policy's name.
    pub policy: &'j str,
    pub judgement: &'j Judgement,
    /// The class of the verdict.
    pub class: Class,
    /// The same stale write came too often.
    pub repeated: bool,
}

impl Refused<'_> {
    /// The class that the client is answered with.
    pub fn answered(&self) -> Class {
        if self.repeated { Class::Invalid } else { self.class }
    }

    /// The answer. A conflict names the version that the write was judged on: a client that reads from a cache waits
    /// for it. Nothing is to be waited for after an invalid write.
    pub fn denial(&self, version: Option<Cow<'_, str>>) -> Denial {
        let Self { object, policy, judgement, class, repeated } = *self;
        let answered = self.answered();
        let mut message = judgement.summary(object, policy);
        if repeated {
            message.push_str(
                " The same write was repeated too often without reading the object again, so it is answered as invalid.",
            );
        }
        let version = version.filter(|_| answered == Class::Stale).map(|version| Cause {
            reason: Cow::Borrowed(JUDGED_VERSION),
            message: version.into_owned(),
            field: "metadata.resourceVersion".to_owned(),
        });
        let findings = judgement.findings.iter().map(|finding| Cause {
            reason: Cow::Borrowed(finding.reason.as_str()),
            message: finding.refusal(policy, class, repeated),
            field: finding.field.clone(),
        });
        let causes = version.into_iter().chain(findings).collect();
        Denial { code: answered.code(), reason: answered.status_reason(), message, causes }
    }
}
