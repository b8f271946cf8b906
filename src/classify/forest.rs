//! Regression trees, ready to be asked.

/// How many questions a tree asks. All are asked of every prompt, so that none waits for the answer to another.
pub const DEPTH: usize = 4;
/// The leaves of a tree.
pub const LEAVES: usize = 1 << DEPTH;

/// A tree of questions whether a feature is above a cut. The answers, the first in the lowest bit, name the leaf.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    /// What each question asks about.
    pub features: [u8; DEPTH],
    /// Where it cuts.
    pub cuts: [f32; DEPTH],
    /// What is said at each leaf.
    pub leaves: [f32; LEAVES],
}

impl Tree {
    /// The value of the leaf that these features lead to. One that is not there counts as 0.
    pub fn leaf(&self, features: &[f32]) -> f32 {
        let of = |feature: &u8| features.get(usize::from(*feature)).copied().unwrap_or_default();
        let questions = self.features.iter().zip(&self.cuts).enumerate();
        self.leaves
            [questions.fold(0, |leaf, (bit, (feature, cut))| leaf | usize::from(of(feature) > *cut) << bit)]
    }
}
