//! How much a model usually answers.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::route::Target;

/// What is taken to be usual before a model has answered once, in tokens.
const FIRST_GUESS: u64 = 1024;

/// How much each new answer counts: an eighth, as round-trip times are smoothed in TCP (RFC 6298).
const SHARE: u64 = 8;

/// The usual output of each configured model, in tokens, as an exponentially weighted mean.
#[derive(Debug, Default)]
pub struct Usual(Mutex<HashMap<Arc<str>, u64>>);

impl Usual {
    /// The usual output of a target.
    pub fn of(&self, target: &Target) -> u64 {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&target.name).copied().unwrap_or(FIRST_GUESS)
    }

    /// A target has answered with so many tokens. Models that clients only named are not remembered: there is no end
    /// of them.
    pub fn saw(&self, target: &Target, output: u64) {
        if !target.configured {
            return;
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let usual = known.entry(Arc::clone(&target.name)).or_insert(output);
        *usual = (*usual * (SHARE - 1) + output).div_ceil(SHARE);
    }
}
