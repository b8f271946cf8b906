//! Boosted regression trees that ask all their leaves the same questions.

use crate::classify::{
    curve::Dice,
    forest::{DEPTH, LEAVES, Tree},
};

/// How trees are grown.
#[derive(Clone, Copy, Debug)]
pub struct Growth {
    /// How many.
    pub trees: usize,
    /// How much of what a tree says is believed.
    pub rate: f64,
    /// The least number of examples on each side of a question.
    pub least: usize,
    /// How strongly leaves are drawn to zero, in examples.
    pub ridge: f64,
    /// The share of the features that a tree may ask about.
    pub features: f64,
    /// The share of the examples that a tree sees.
    pub rows: f64,
    /// Where chance begins.
    pub seed: u64,
}

impl Default for Growth {
    fn default() -> Self {
        Self { trees: 120, rate: 0.1, least: 40, ridge: 5.0, features: 0.5, rows: 0.7, seed: 1 }
    }
}

/// The most steps of a feature between which a tree may cut.
const STEPS: usize = 64;

/// Features cut into steps.
struct Steps {
    /// Above each of these begins the next step.
    edges: Vec<Vec<f32>>,
    /// For each feature, the step of each example.
    of: Vec<Vec<u8>>,
}

impl Steps {
    fn new(rows: &[&[f32]]) -> Self {
        let width = rows.first().map_or(0, |row| row.len());
        let mut steps = Self { edges: Vec::new(), of: Vec::new() };
        for feature in 0..width {
            let mut values: Vec<f32> = rows.iter().map(|row| row[feature]).collect();
            values.sort_by(f32::total_cmp);
            let mut edges = Vec::new();
            for step in 1..STEPS {
                let at = step * values.len() / STEPS;
                let (below, above) = (values[at.saturating_sub(1)], values[at]);
                let edge = below + (above - below) / 2.0;
                // Between equal values there is nothing to cut; a common value is cut off on both its sides.
                let next = values[values.partition_point(|value| *value <= above)..].first();
                let edge =
                    if below < above { Some(edge) } else { next.map(|next| above + (next - above) / 2.0) };
                edges.extend(edge.filter(|edge| edges.last().is_none_or(|last| last < edge)));
            }
            let of =
                rows.iter().map(|row| edges.partition_point(|edge| *edge < row[feature]) as u8).collect();
            steps.edges.push(edges);
            steps.of.push(of);
        }
        steps
    }
}

/// What is known of the examples in a node, or in a step of it.
#[derive(Clone, Copy, Default)]
struct Sum {
    target: f64,
    importance: f64,
    count: usize,
}

impl Sum {
    fn add(&mut self, other: &Self) {
        self.target += other.target;
        self.importance += other.importance;
        self.count += other.count;
    }

    fn without(&self, other: &Self) -> Self {
        Self {
            target: self.target - other.target,
            importance: self.importance - other.importance,
            count: self.count - other.count,
        }
    }

    fn gain(&self, ridge: f64) -> f64 {
        self.target * self.target / (self.importance + ridge)
    }
}

/// What boosted trees add up to: `bias` and the sum of the trees.
#[derive(Clone, Debug)]
pub struct Boosted {
    /// What is said where the trees say nothing.
    pub bias: f64,
    /// The trees.
    pub trees: Vec<Tree>,
}

impl Boosted {
    /// The value of an example.
    pub fn at(&self, row: &[f32]) -> f64 {
        self.bias + self.trees.iter().map(|tree| f64::from(tree.leaf(row))).sum::<f64>()
    }
}

/// Grows trees on what is left of `targets` by those before.
pub fn fit(rows: &[&[f32]], targets: &[f64], importance: &[f64], growth: &Growth) -> Boosted {
    let steps = Steps::new(rows);
    let total: f64 = importance.iter().sum();
    let bias = targets.iter().zip(importance).map(|(target, importance)| target * importance).sum::<f64>()
        / total.max(f64::MIN_POSITIVE);
    let mut left: Vec<f64> = targets.iter().map(|target| target - bias).collect();
    let mut dice = Dice(growth.seed);
    let mut trees = Vec::with_capacity(growth.trees);
    for _ in 0..growth.trees {
        let features: Vec<usize> = (0..steps.of.len()).filter(|_| dice.share() < growth.features).collect();
        let seen: Vec<usize> = (0..rows.len()).filter(|_| dice.share() < growth.rows).collect();
        let grower = Grower { steps: &steps, left: &left, importance, growth };
        let tree = grower.grow(&features, &seen);
        for (left, row) in left.iter_mut().zip(rows) {
            *left -= f64::from(tree.leaf(row));
        }
        trees.push(tree);
    }
    Boosted { bias, trees }
}

struct Grower<'a> {
    steps: &'a Steps,
    left: &'a [f64],
    importance: &'a [f64],
    growth: &'a Growth,
}

/// A cut: which feature, above which step.
#[derive(Clone, Copy)]
struct Cut {
    feature: usize,
    step: u8,
    gain: f64,
}

impl Grower<'_> {
    /// Each question is the one that tells most over all leaves so far, so that few examples cannot ask their own.
    fn grow(&self, features: &[usize], seen: &[usize]) -> Tree {
        let mut tree = Tree { features: [0; DEPTH], cuts: [f32::INFINITY; DEPTH], leaves: [0.0; LEAVES] };
        let mut leaf_of = vec![0_u8; seen.len()];
        for bit in 0..DEPTH {
            let Some(cut) = self.cut(features, seen, &leaf_of, 1 << bit) else { break };
            tree.features[bit] = cut.feature as u8;
            tree.cuts[bit] = self.steps.edges[cut.feature][usize::from(cut.step)];
            let of = &self.steps.of[cut.feature];
            for (leaf, row) in leaf_of.iter_mut().zip(seen) {
                *leaf |= u8::from(of[*row] > cut.step) << bit;
            }
        }
        let mut sums = [Sum::default(); LEAVES];
        for (leaf, row) in leaf_of.iter().zip(seen) {
            sums[usize::from(*leaf)].add(&self.one(*row));
        }
        let value = |sum: Sum| (self.growth.rate * sum.target / (sum.importance + self.growth.ridge)) as f32;
        tree.leaves = sums.map(value);
        tree
    }

    fn one(&self, row: usize) -> Sum {
        let importance = self.importance[row];
        Sum { target: importance * self.left[row], importance, count: 1 }
    }

    /// The best cut of all leaves at once, if any leaves enough examples on both its sides.
    fn cut(&self, features: &[usize], seen: &[usize], leaf_of: &[u8], leaves: usize) -> Option<Cut> {
        let ridge = self.growth.ridge;
        let mut best: Option<Cut> = None;
        for feature in features {
            let of = &self.steps.of[*feature];
            let mut sums = [[Sum::default(); STEPS]; LEAVES];
            for (row, leaf) in seen.iter().zip(leaf_of) {
                sums[usize::from(*leaf)][usize::from(of[*row])].add(&self.one(*row));
            }
            let steps = self.steps.edges[*feature].len();
            let mut gains = vec![(0.0, 0, 0); steps];
            for sums in sums.iter().take(leaves) {
                let mut all = Sum::default();
                sums.iter().for_each(|sum| all.add(sum));
                let mut low = Sum::default();
                for (step, (gain, below, above)) in gains.iter_mut().enumerate() {
                    low.add(&sums[step]);
                    let high = all.without(&low);
                    *gain += low.gain(ridge) + high.gain(ridge) - all.gain(ridge);
                    *below += low.count;
                    *above += high.count;
                }
            }
            for (step, (gain, below, above)) in gains.into_iter().enumerate() {
                let enough = below >= self.growth.least && above >= self.growth.least;
                if enough && gain > best.map_or(1e-9, |best| best.gain) {
                    best = Some(Cut { feature: *feature, step: step as u8, gain });
                }
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_find_what_depends_on_two_features_together() {
        let mut dice = Dice(3);
        let rows: Vec<Vec<f32>> = (0..2000).map(|_| (0..4).map(|_| dice.share() as f32).collect()).collect();
        let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        let target = |row: &[f32]| f64::from(u8::from((row[0] > 0.5) != (row[1] > 0.3)));
        let targets: Vec<f64> = rows.iter().map(|row| target(row)).collect();
        let boosted =
            fit(&rows, &targets, &vec![1.0; rows.len()], &Growth { features: 1.0, ..Growth::default() });
        let off: f64 = rows.iter().map(|row| (boosted.at(row) - target(row)).abs()).sum::<f64>() / 2000.0;
        assert!(off < 0.1, "{off}");
    }

    #[test]
    fn few_examples_give_trees_that_say_nothing() {
        let rows: Vec<&[f32]> = vec![&[1.0, 2.0]; 3];
        let boosted = fit(&rows, &[1.0, 2.0, 3.0], &[1.0; 3], &Growth::default());
        assert!((boosted.at(&[5.0, 5.0]) - 2.0).abs() < 0.5);
        assert!(fit(&[], &[], &[], &Growth::default()).at(&[]).is_finite());
    }
}
