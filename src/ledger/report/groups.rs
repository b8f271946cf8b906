//! Groups of rows by number, of which only so many are kept: clients can make up names without end.

use std::{cmp::Reverse, collections::HashMap};

use serde::Serialize;

use super::{figures::Figures, row::Row};

/// How many groups are kept at most while rows are read.
const KEPT: usize = 16_384;

/// How many groups are shown at most.
pub const SHOWN: usize = 1_000;

/// Figures by number.
#[derive(Debug, Default)]
pub struct Groups {
    groups: HashMap<i64, Figures>,
    /// What was pushed out, with how often that happened.
    rest: Rest,
}

/// The groups that are not shown one by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rest {
    /// How many; one that was pushed out, came again and was pushed out again counts twice.
    pub groups: u64,
    /// What they come to.
    #[serde(flatten)]
    pub figures: Figures,
}

impl Rest {
    /// Puts a group to the rest.
    pub fn take(&mut self, figures: &Figures) {
        self.groups += 1;
        self.figures.merge(figures);
    }
}

impl Groups {
    /// Counts a row in a group.
    pub fn add(&mut self, group: i64, row: &Row) {
        self.at(group).add(row);
    }

    /// Adds other groups.
    pub fn merge(&mut self, other: Self) {
        for (group, figures) in other.groups {
            self.at(group).merge(&figures);
        }
        self.rest.groups += other.rest.groups;
        self.rest.figures.merge(&other.rest.figures);
    }

    fn at(&mut self, group: i64) -> &mut Figures {
        if self.groups.len() >= KEPT && !self.groups.contains_key(&group) {
            self.push_out();
        }
        self.groups.entry(group).or_default()
    }

    /// Pushes the lighter half out; done at once so that the sorting is paid seldom.
    fn push_out(&mut self) {
        let all: Vec<(i64, Figures)> = self.groups.drain().collect();
        let (heavy, light) = heaviest(all, KEPT / 2);
        light.iter().for_each(|(_, figures)| self.rest.take(figures));
        self.groups.extend(heavy);
    }

    /// All groups in no order, with what was pushed out.
    pub fn finish(self) -> (Vec<(i64, Figures)>, Rest) {
        (self.groups.into_iter().collect(), self.rest)
    }
}

/// Groups with their names or numbers.
type Named<K> = Vec<(K, Figures)>;

/// The `count` heaviest groups, the heaviest first, and the others. Equal ones stand in the order of their names.
pub fn heaviest<K: Ord>(mut groups: Named<K>, count: usize) -> (Named<K>, Named<K>) {
    groups.sort_by(|(a, left), (b, right)| {
        Reverse(left.weight()).cmp(&Reverse(right.weight())).then_with(|| a.cmp(b))
    });
    let others = groups.split_off(count.min(groups.len()));
    (groups, others)
}
