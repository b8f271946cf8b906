//! The API keys of a provider, which take turns.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::base::secret::Secret;

/// Several keys that take turns; a provider that needs none has none.
#[derive(Debug)]
pub struct Credentials {
    keys: Vec<Secret>,
    turn: AtomicUsize,
}

impl Credentials {
    /// Keys in the order in which they take turns.
    pub fn new(keys: Vec<Secret>) -> Self {
        Self { keys, turn: AtomicUsize::new(0) }
    }

    /// All keys, each once, beginning with the one whose turn it is; a single `None` where no key is needed.
    pub fn in_turn(&self) -> impl Iterator<Item = Option<&Secret>> {
        let n = self.keys.len();
        let first = if n > 1 { self.turn.fetch_add(1, Ordering::Relaxed) % n } else { 0 };
        let none = (n == 0).then_some(None);
        none.into_iter().chain((0..n).map(move |i| Some(&self.keys[(first + i) % n])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_its_turn() {
        let keys = Credentials::new(["a", "b", "c"].map(Secret::new).to_vec());
        let round = || keys.in_turn().map(|key| key.unwrap().expose().to_owned()).collect::<String>();
        assert_eq!([round(), round(), round(), round()], ["abc", "bca", "cab", "abc"]);
        assert_eq!(Credentials::new(Vec::new()).in_turn().count(), 1);
    }
}
