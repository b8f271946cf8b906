//! Leave to spend: no attempt goes to an upstream without a hold, which is settled exactly once.

mod asking;
mod demand;
mod hold;
mod purse;
mod till;
mod unfunded;
mod usual;

pub use hold::{Hold, Posted, Spent};
pub use purse::{Purpose, Purse, Remaining};
pub use till::Till;
pub use unfunded::Unfunded;
