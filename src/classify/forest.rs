//! Regression trees, ready to be asked.

/// How many questions lead to a leaf.
pub const DEPTH: usize = 3;
/// The questions of a tree.
pub const NODES: usize = (1 << DEPTH) - 1;
/// The leaves of a tree.
pub const LEAVES: usize = 1 << DEPTH;

/// A tree of questions whether a feature is above a cut. Node `n` has the nodes `2n+1` (no) and `2n+2` (yes) below it.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    /// What each node asks about.
    pub features: [u8; NODES],
    /// Where it cuts.
    pub cuts: [f32; NODES],
    /// What is said at each leaf.
    pub leaves: [f32; LEAVES],
}

impl Tree {
    /// The value of the leaf that these features lead to. No feature above 255 is asked about; one that is not there
    /// counts as 0.
    #[inline]
    pub fn leaf(&self, features: &[f32]) -> f32 {
        let mut node = 0;
        for _ in 0..DEPTH {
            let feature = features.get(usize::from(self.features[node])).copied().unwrap_or_default();
            node = 2 * node + 1 + usize::from(feature > self.cuts[node]);
        }
        self.leaves[node - NODES]
    }
}
