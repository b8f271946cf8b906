//! Answers that exist already: under what they are kept, how they are told.

pub mod answer;
pub mod epoch;
mod fold;
pub mod key;
mod unfold;
