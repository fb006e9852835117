//! A slow model of the policy language, written from its text alone, and what is tested with it.

pub(crate) mod broken;
pub(crate) mod choices;
pub(crate) mod compare;
pub(crate) mod decimal;
pub(crate) mod fast;
pub(crate) mod gen_policy;
pub(crate) mod gen_state;
pub(crate) mod gen_value;
pub(crate) mod graph;
pub(crate) mod history;
pub(crate) mod judge;
pub(crate) mod lists;
pub(crate) mod reading;
pub(crate) mod runner;
pub(crate) mod shrink;
mod soundness;
pub(crate) mod table;
pub(crate) mod table_lists;
pub(crate) mod table_machines;
pub(crate) mod table_phase;
pub(crate) mod table_values;
pub(crate) mod time;
pub(crate) mod value;
