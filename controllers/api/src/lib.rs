//! Rust types of the kubernaut.ai/v1alpha1 resources.
