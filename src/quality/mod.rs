//! Whether an answer is one: pure checks of what a model says, with what they come to over time.

mod findings;
mod rating;
mod refusal;
mod rolling;
mod schema;
mod want;

pub use findings::{Checks, Findings};
pub use rating::rating;
pub use rolling::{Mean, Rolling};
pub(crate) use schema::is_misfit;
pub use want::Want;
