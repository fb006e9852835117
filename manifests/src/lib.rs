//! Renders CRDs and installation manifests from code.
