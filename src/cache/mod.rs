//! Answers that exist already: under what they are kept, where, how they are told.

pub mod answer;
pub mod epoch;
mod fold;
pub mod key;
pub mod store;
mod unfold;
