//! Answers that exist already: under what they are kept.

pub mod epoch;
pub mod key;
