//! Readiness as a sum of parts: ready when every part has said so.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What `/readyz` answers. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Mutex<Vec<Named>>>);

/// A part's name and whether it is ready.
type Named = (&'static str, Arc<AtomicBool>);

/// One component's say in readiness. Not ready until [`Part::ready`]; dropped while not ready, or
/// dropped at all, it keeps the server unready: a component that ended is not ready.
#[derive(Debug)]
pub struct Part(Arc<AtomicBool>);

impl Health {
    /// Without parts: ready.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a part that is not ready. All parts are added before the server starts, so that it is
    /// never ready too early.
    #[must_use]
    pub fn part(&self, name: &'static str) -> Part {
        let ready = Arc::new(AtomicBool::new(false));
        self.parts().push((name, Arc::clone(&ready)));
        Part(ready)
    }

    /// The names of what keeps the server unready; empty when it is ready.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        self.parts().iter().filter(|(_, ready)| !ready.load(Ordering::Acquire)).map(|(name, _)| *name).collect()
    }

    fn parts(&self) -> MutexGuard<'_, Vec<Named>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Part {
    /// This part is ready.
    pub fn ready(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// This part is not ready any more.
    pub fn unready(&self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.unready();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_only_while_all_parts_are() {
        let health = Health::new();
        assert!(health.missing().is_empty());
        let policies = health.part("policies");
        let listener = health.part("listener");
        assert_eq!(health.missing(), ["policies", "listener"]);
        policies.ready();
        assert_eq!(health.missing(), ["listener"]);
        listener.ready();
        assert!(health.missing().is_empty());
        policies.unready();
        assert_eq!(health.missing(), ["policies"]);
        policies.ready();
        drop(listener);
        assert_eq!(health.missing(), ["listener"]);
    }
}
