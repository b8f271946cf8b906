//! Counts of what the demo's clients met.

use std::{collections::BTreeMap, time::Duration};

use super::client::Met;

/// The counts.
#[derive(Debug, Default)]
pub struct Tally {
    /// Questions that were asked.
    pub asked: u64,
    /// Those that were answered.
    pub answered: u64,
    /// Those that ended in an error.
    pub problems: u64,
    /// Answers that were kept from before.
    pub kept: u64,
    /// Answers that took more than one try.
    pub rescued: u64,
    /// Who answered since the chapter began.
    pub chapter: BTreeMap<String, u64>,
    /// Errors since the chapter began.
    pub chapter_problems: u64,
    /// Times to the first content since it was last looked at.
    firsts: Vec<Duration>,
}

impl Tally {
    /// Counts what a client met.
    pub fn add(&mut self, met: &Met) {
        if met.problem.is_some() {
            self.problems += 1;
            self.chapter_problems += 1;
            return;
        }
        self.answered += 1;
        self.rescued += u64::from(met.attempts > 1);
        let who = if met.cache == "hit" { "the cache" } else { &met.model };
        self.kept += u64::from(met.cache == "hit");
        *self.chapter.entry(who.to_owned()).or_default() += 1;
        self.firsts.push(met.first);
    }

    /// A chapter begins.
    pub fn turn(&mut self) {
        self.chapter.clear();
        self.chapter_problems = 0;
    }

    /// The median and the 95th percentile of the times to the first content since the last call; `None`: there was none.
    pub fn firsts(&mut self) -> Option<[Duration; 2]> {
        let mut firsts = std::mem::take(&mut self.firsts);
        firsts.sort_unstable();
        let at = |share: usize| firsts.get(((firsts.len() * share).div_ceil(100)).saturating_sub(1)).copied();
        Some([at(50)?, at(95)?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_met_is_counted() {
        let mut tally = Tally::default();
        assert_eq!(tally.firsts(), None);
        for ms in 1..=20 {
            let first = Duration::from_millis(ms);
            let cache = if ms == 1 { "hit" } else { "miss" }.to_owned();
            tally.add(&Met {
                model: "m".into(),
                attempts: 1 + u32::from(ms == 7),
                first,
                cache,
                ..Met::default()
            });
        }
        tally.add(&Met { problem: Some("500: no".into()), ..Met::default() });
        assert_eq!((tally.answered, tally.problems, tally.kept, tally.rescued), (20, 1, 1, 1));
        assert_eq!(tally.chapter, BTreeMap::from([("m".to_owned(), 19), ("the cache".to_owned(), 1)]));
        assert_eq!(tally.firsts(), Some([Duration::from_millis(10), Duration::from_millis(19)]));
        tally.turn();
        assert!(tally.chapter.is_empty() && tally.firsts().is_none() && tally.chapter_problems == 0);
    }
}
