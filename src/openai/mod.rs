//! The wire format that clients speak; no I/O.

pub mod answer;
pub mod ask;
pub mod bounds;
pub mod chat;
mod check;
pub mod chunk;
mod contents;
mod count;
pub mod edit;
pub mod error;
pub mod estimate;
pub mod fields;
mod fold;
pub mod foreign_error;
pub mod limit;
pub mod models;
mod needs;
pub mod produced;
pub mod question;
pub mod repair;
mod said;
pub mod sse;
mod talk;
mod texts;
mod unescape;
pub mod usage;
pub mod write;

pub use ask::{Ask, BadField, Endpoint, Rewrite};
pub use bounds::{Attachment, Bounds};
pub use error::{AttemptNote, ErrorBody};
pub use needs::Needs;
pub use produced::{Produced, count_answer};
pub use said::{Finish, Said};
pub use talk::Talk;
pub use usage::Usage;
