//! What a port serves: swapped without a lock, and never served after its end.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use statusguard_rotation::UnixTime;

use crate::leaf::SignedLeaf;

/// The leaf in force. Handshakes from now on see each change; connections that are open stay.
#[derive(Default)]
pub struct ServingLeaf(ArcSwapOption<SignedLeaf>);

impl ServingLeaf {
    /// What is served now, if anything.
    #[must_use]
    pub fn current(&self) -> Option<Arc<SignedLeaf>> {
        self.0.load_full()
    }

    pub(crate) fn set(&self, leaf: Option<SignedLeaf>) {
        self.0.store(leaf.map(Arc::new));
    }

    /// The leaf, while it holds: a process that was suspended for a year may be asked before it knows.
    fn valid(&self, now: UnixTime) -> Option<Arc<CertifiedKey>> {
        let leaf = self.0.load();
        let leaf = leaf.as_ref()?;
        leaf.facts().validity.contains(now).then(|| Arc::clone(leaf.certified()))
    }
}

impl ResolvesServerCert for ServingLeaf {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.valid(SystemTime::now().into())
    }
}

impl fmt::Debug for ServingLeaf {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("ServingLeaf").field(&self.current()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::authority::SigningAuthority;
    use crate::authority::tests::days;

    #[test]
    fn a_leaf_is_served_while_it_holds() {
        let serving = ServingLeaf::default();
        let now = UnixTime::from(SystemTime::now());
        assert!(serving.valid(now).is_none());
        let authority = SigningAuthority::create(days(9)).unwrap();
        serving.set(Some(authority.leaf(&["localhost".into()], days(1)).unwrap()));
        assert!(serving.valid(now).is_some());
        assert!(serving.valid(now.after(Duration::from_secs(2 * 86_400))).is_none());
        assert!(serving.valid(now.before(Duration::from_secs(86_400))).is_none());
        serving.set(None);
        assert!(serving.valid(now).is_none());
    }
}
