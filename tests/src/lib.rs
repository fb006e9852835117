//! Real control plane harness, integration tests, demo and benches.
