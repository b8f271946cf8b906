//! From examples to a model.

use weir::classify::{
    curve::Dice,
    fit::{
        linear::{self, Problem, Row},
        trees::{self, Growth},
    },
    model::{GRAMS, LEVELS, Model},
};

use crate::examples::Example;

/// How strongly weights of words are drawn to zero.
const RIDGE: f64 = 0.1;

/// Folds of cross-validation.
pub const FOLDS: u64 = 5;

/// Learns from some examples.
pub fn model(examples: &[&Example]) -> Model {
    let examples: Vec<_> = examples.iter().filter(|example| example.importance > 0.0).collect();
    let targets: Vec<f64> = examples.iter().map(|example| example.target).collect();
    let importance: Vec<f64> = examples.iter().map(|example| example.importance).collect();
    let rows: Vec<&Row> = examples.iter().map(|example| &example.sample.grams).collect();
    let line = linear::fit(&Problem {
        rows: &rows,
        targets: &targets,
        importance: &importance,
        columns: GRAMS,
        ridge: RIDGE,
    });
    let features: Vec<&[f32]> = examples.iter().map(|example| example.sample.features.as_slice()).collect();
    let boosted = trees::fit(&features, &targets, &importance, &Growth::default());
    Model::made_of(&line, &boosted)
}

/// The score of each example by a model that saw none of the prompts with the same question.
pub fn unseen(examples: &[Example], seed: u64) -> Vec<f64> {
    let fold = |example: &Example| Dice(example.question ^ seed).roll() % FOLDS;
    let mut scores = vec![0.0; examples.len()];
    for held in 0..FOLDS {
        let seen: Vec<_> = examples.iter().filter(|example| fold(example) != held).collect();
        let model = model(&seen);
        for (score, example) in scores.iter_mut().zip(examples) {
            if fold(example) == held {
                *score = model.score(&example.text).0;
            }
        }
    }
    scores
}

/// The scores that part all examples into ten levels of equal importance, each benchmark counting the same.
pub fn edges(examples: &[Example], scores: &[f64]) -> [f32; LEVELS - 1] {
    let mut sizes = std::collections::BTreeMap::<usize, f64>::new();
    for example in examples.iter().filter(|example| example.importance > 0.0) {
        *sizes.entry(example.benchmark).or_default() += 1.0;
    }
    let mut all: Vec<_> = examples
        .iter()
        .zip(scores)
        .filter_map(|(example, score)| Some((*score, 1.0 / sizes.get(&example.benchmark)?)))
        .filter(|(_, share)| share.is_finite())
        .collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let total: f64 = all.iter().map(|(_, share)| share).sum();
    let mut edges = [0.0; LEVELS - 1];
    let (mut level, mut sum) = (0, 0.0);
    for (score, share) in all {
        sum += share;
        while level < edges.len() && sum >= total * (level + 1) as f64 / LEVELS as f64 {
            edges[level] = score as f32;
            level += 1;
        }
    }
    edges
}
