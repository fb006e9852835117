//! Readiness as a set of gates: ready when every gate is open.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What `/readyz` answers. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Mutex<Vec<Named>>>);

/// A gate's name and whether it is open.
type Named = (&'static str, Arc<AtomicBool>);

/// One component's say in readiness. Not ready until [`ReadinessGate::ready`]; dropped while not ready, or
/// dropped at all, it keeps the server unready: a component that ended is not ready.
#[derive(Debug)]
pub struct ReadinessGate(Arc<AtomicBool>);

impl Health {
    /// Without gates: ready.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a gate that is closed. All gates are added before the server starts, so that it is
    /// never ready too early.
    #[must_use]
    pub fn gate(&self, name: &'static str) -> ReadinessGate {
        let ready = Arc::new(AtomicBool::new(false));
        self.gates().push((name, Arc::clone(&ready)));
        ReadinessGate(ready)
    }

    /// The names of what keeps the server unready; empty when it is ready.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        self.gates().iter().filter(|(_, ready)| !ready.load(Ordering::Acquire)).map(|(name, _)| *name).collect()
    }

    fn gates(&self) -> MutexGuard<'_, Vec<Named>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReadinessGate {
    /// The component is ready.
    pub fn ready(&self) {
        self.set(true);
    }

    /// The component is not ready any more.
    pub fn unready(&self) {
        self.set(false);
    }

    /// Whether the component is ready.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }
}

impl Drop for ReadinessGate {
    fn drop(&mut self) {
        self.unready();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_only_while_all_gates_are() {
        let health = Health::new();
        assert!(health.missing().is_empty());
        let policies = health.gate("policies");
        let listener = health.gate("listener");
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
