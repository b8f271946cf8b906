//! The prompts that were seen before, for what providers cache of them.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use super::dice::Dice;

/// How many prompts are remembered before all are forgotten.
const MOST: usize = 10_000;

/// The beginnings of prompts that were cached.
#[derive(Default)]
pub(crate) struct Prefixes(Mutex<HashSet<u64>>);

impl Prefixes {
    /// Whether this beginning was here before; from now on it was.
    pub(crate) fn seen(&self, model: &str, text: &str) -> bool {
        let mark = Dice::of(0, &[b"prefix", model.as_bytes(), text.as_bytes()]).bits();
        let mut marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if marks.len() >= MOST {
            marks.clear();
        }
        !marks.insert(mark)
    }

    /// Forgets all.
    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
