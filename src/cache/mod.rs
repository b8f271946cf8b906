//! Answers that exist already: under what they are kept, where, how questions under way are shared.

pub mod answer;
pub mod complete;
pub mod epoch;
pub mod flight;
mod fold;
pub mod key;
pub mod store;
mod unfold;
