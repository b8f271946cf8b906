//! What learners see of a prompt, what they are to tell of it.

use std::collections::BTreeMap;

use super::linear::Row;
use crate::classify::{
    curve::Outcome,
    features,
    model::{FEW, gram},
    scan::{Scan, Sink},
};

/// What learners see of a prompt.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The numbers of its scan.
    pub features: Vec<f32>,
    /// Its words, over their number.
    pub grams: Row,
}

struct Grams(BTreeMap<u32, f32>);

impl Sink for Grams {
    fn gram(&mut self, hash: u64) {
        *self.0.entry(gram(hash) as u32).or_default() += 1.0;
    }
}

impl Sample {
    /// Reads a prompt.
    pub fn of(text: &str) -> Self {
        let mut grams = Grams(BTreeMap::new());
        let scan = Scan::of(text, &mut grams);
        let words = scan.tokens() as f32 + FEW as f32;
        let grams = grams.0.into_iter().map(|(gram, count)| (gram, count / words)).collect();
        Self { features: features::of(&scan).to_vec(), grams }
    }
}

/// Mean and standard deviation.
#[derive(Clone, Copy, Debug)]
struct Moments {
    mean: f64,
    deviation: f64,
}

impl Moments {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let values: Vec<f64> = values.collect();
        let n = (values.len() as f64).max(1.0);
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / n;
        // Where all are the same there is nothing to tell.
        Self { mean, deviation: if variance > 0.0 { variance.sqrt() } else { 1.0 } }
    }

    fn standard(&self, value: f64) -> f64 {
        (value - self.mean) / self.deviation
    }
}

/// What learners are to tell of the outcomes of one pair of models: the gap between strong and weak, in standard
/// deviations. Where the strong model hardly ever fails, a failure of the weak one says the same with less noise, so it
/// is added; where both fail often it says little of the gap, which is then largest on prompts of middle difficulty.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    gaps: Moments,
    failures: Moments,
}

impl Target {
    /// For a pair of models with these outcomes, each from 0 to 1.
    pub fn new(outcomes: &[Outcome]) -> Self {
        let gaps = Moments::of(outcomes.iter().map(|outcome| outcome.strong - outcome.weak));
        Self { gaps, failures: Moments::of(outcomes.iter().map(|outcome| 1.0 - outcome.weak)) }
    }

    /// What is to be told of an outcome, among others where the strong model has `strong` on average.
    pub fn of(&self, outcome: &Outcome, strong: f64) -> f64 {
        let trust = ((strong - 0.6) / 0.3).clamp(0.0, 1.0);
        self.gaps.standard(outcome.strong - outcome.weak) + trust * self.failures.standard(1.0 - outcome.weak)
    }
}
