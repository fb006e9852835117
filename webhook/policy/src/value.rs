//! JSON values as the policy language reads them: numbers keep their text, nothing is rounded.

mod data;
mod equality;
mod parse;
mod shared;
mod string;
mod text;

pub(crate) use data::ABSENT;
pub use data::Value;
pub use parse::{MAX_DEPTH, ParseError};
pub use string::Text;
pub(crate) use text::{quoted, write};
