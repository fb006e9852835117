//! The StatusPolicy language: types, compiled form and verdicts.
