//! The wire format that clients speak; no I/O.

pub mod answer;
pub mod ask;
pub mod chat;
mod check;
pub mod chunk;
pub mod edit;
pub mod error;
mod fields;
mod fold;
pub mod foreign_error;
pub mod models;
mod needs;
pub mod repair;
pub mod sse;
pub mod usage;
pub mod write;

pub use ask::{Ask, BadField, Endpoint, Rewrite};
pub use error::{AttemptNote, ErrorBody};
pub use needs::Needs;
pub use usage::Usage;
