//! The wire format that clients speak; no I/O.

pub mod ask;
mod check;
pub mod edit;
mod fields;

pub use ask::{Ask, BadField, Endpoint, Rewrite};
