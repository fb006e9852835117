//! A slow model of the policy language, written from its text alone, and what is tested with it.

pub(crate) mod broken;
pub(crate) mod decimal;
pub(crate) mod graph;
pub(crate) mod judge;
pub(crate) mod lists;
pub(crate) mod reading;
pub(crate) mod time;
pub(crate) mod value;
