//! Whether an answer is one: pure checks of what a model says, with what they come to over time.

mod findings;
mod refusal;
mod rolling;
mod schema;
mod want;

pub use findings::{Checks, Findings};
pub use rolling::{Rolling, Share};
pub use want::Want;
