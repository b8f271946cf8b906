//! Fitting the model to labelled prompts of one's own, with what that is worth.

use serde::Serialize;

use super::{
    curve::{Curve, Dice, Figures, Outcome, Stakes, drawn, interval, middle},
    fit::{
        linear::{self, Line, Problem, Row},
        sample::{Sample, Target},
        trees::{self, Boosted, Growth},
    },
    forest::Tree,
    model::{GRAMS, LEVELS, Model},
};

/// A prompt of which it is known how good both models are.
#[derive(Clone, Debug)]
pub struct Labelled {
    /// The prompt.
    pub text: String,
    /// How good both models are on it, 0 to 1.
    pub outcome: Outcome,
}

/// Fewer prompts than these cannot be halved.
pub const FEWEST: usize = 20;

/// Samples for an interval.
const DRAWS: usize = 1000;

/// Parts of the prompts that are left out in turn to see what holds.
const FOLDS: usize = 5;

/// How strongly weights of words are drawn to zero: prompts of one's own are few.
const RIDGE: f64 = 0.1;

/// The trees that are added to those of the base.
const GROWTH: Growth =
    Growth { trees: 100, rate: 0.05, least: 20, ridge: 10.0, features: 0.5, rows: 0.7, seed: 1 };

/// What a calibration is worth.
#[derive(Clone, Debug, Serialize)]
pub struct Worth {
    /// How many prompts were given.
    pub prompts: usize,
    /// How many of them were held back: all figures are of these.
    pub held_back: usize,
    /// The model that ships.
    pub shipped: Measured,
    /// The model fitted to the prompts that were not held back.
    pub fitted: Measured,
    /// How much more APGR the fitted one has.
    pub gain: Interval,
    /// The gain's interval is above 0: it is not chance.
    pub proven: bool,
    /// What the levels of complexity mean, 1 first.
    pub levels: Vec<Level>,
}

/// A figure with the interval in which it lies with 95 % probability.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// The figure.
    pub value: f64,
    /// Where the interval begins.
    pub low: f64,
    /// Where it ends.
    pub high: f64,
}

/// The figures of a model, with where their intervals begin and end.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Measured {
    /// The figures.
    pub value: Figures,
    /// Where their intervals begin.
    pub low: Figures,
    /// Where they end.
    pub high: Figures,
}

/// A level of complexity.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Level {
    /// 1 to 10.
    pub complexity: u8,
    /// Prompts that were held back with this complexity.
    pub prompts: usize,
    /// How much better the strong model was on them, on average; `None` where there are none.
    pub gap: Option<f64>,
}

/// Why nothing can be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// There are too few prompts.
    TooFew,
    /// Both models are equally good on the prompts that were held back.
    NoGap,
}

/// What learners know of prompts.
struct Lesson {
    samples: Vec<Sample>,
    /// What the base says.
    scores: Vec<f64>,
    /// What is to be told.
    targets: Vec<f64>,
}

/// What is learned beside the base, from what it does not tell.
struct More {
    /// What stands before the score of the base.
    slope: f64,
    /// What is added to it.
    shift: f64,
    line: Line,
    grown: Boosted,
}

impl Lesson {
    fn of(base: &Model, prompts: &[&Labelled]) -> Self {
        let outcomes: Vec<Outcome> = prompts.iter().map(|prompt| prompt.outcome).collect();
        let strong =
            outcomes.iter().map(|outcome| outcome.strong).sum::<f64>() / outcomes.len().max(1) as f64;
        let target = Target::new(&outcomes);
        Self {
            samples: prompts.iter().map(|prompt| Sample::of(&prompt.text)).collect(),
            scores: prompts.iter().map(|prompt| base.score(&prompt.text).0).collect(),
            targets: outcomes.iter().map(|outcome| target.of(outcome, strong)).collect(),
        }
    }

    /// Learns from those prompts whose place is wanted.
    fn learn(&self, wanted: impl Fn(usize) -> bool) -> More {
        let places: Vec<usize> = (0..self.scores.len()).filter(|at| wanted(*at)).collect();
        let scores: Vec<f64> = places.iter().map(|at| self.scores[*at]).collect();
        let targets: Vec<f64> = places.iter().map(|at| self.targets[*at]).collect();
        let (slope, shift) = straight(&scores, &targets);
        let left: Vec<f64> =
            targets.iter().zip(&scores).map(|(target, score)| target - shift - slope * score).collect();
        let importance = vec![1.0; left.len()];
        let rows: Vec<&Row> = places.iter().map(|at| &self.samples[*at].grams).collect();
        let line = linear::fit(&Problem {
            rows: &rows,
            targets: &left,
            importance: &importance,
            columns: GRAMS,
            ridge: RIDGE,
        });
        let features: Vec<&[f32]> = places.iter().map(|at| self.samples[*at].features.as_slice()).collect();
        let grown = trees::fit(&features, &left, &importance, &GROWTH);
        More { slope, shift, line, grown }
    }

    /// How much of what is learned holds for prompts that it was not learned from, 0 to 1.
    fn holds(&self) -> f64 {
        let (mut both, mut own) = (0.0, 0.0);
        for fold in 0..FOLDS {
            let more = self.learn(|at| at % FOLDS != fold);
            for at in (fold..self.scores.len()).step_by(FOLDS) {
                let left = self.targets[at] - more.shift - more.slope * self.scores[at];
                let told = more.line.at(&self.samples[at].grams) + more.grown.at(&self.samples[at].features);
                both += left * told;
                own += told * told;
            }
        }
        if own > 0.0 { (both / own).clamp(0.0, 1.0) } else { 0.0 }
    }
}

/// Fits the base to labelled prompts: what it does not tell of them is told by a line over their words, by trees, as far
/// as that holds for others.
pub fn fit(base: &Model, prompts: &[&Labelled]) -> Model {
    let lesson = Lesson::of(base, prompts);
    let holds = lesson.holds();
    let More { slope, shift, line: more, grown } = lesson.learn(|_| true);
    let (mut line, mut boosted) = base.parted();
    for (weight, more) in line.weights.iter_mut().zip(&more.weights) {
        *weight = slope * *weight + holds * more;
    }
    line.bias = slope * line.bias + shift + holds * (more.bias + grown.bias);
    let scaled = |tree: &Tree, by: f64| Tree {
        leaves: tree.leaves.map(|leaf| (by * f64::from(leaf)) as f32),
        ..tree.clone()
    };
    boosted.trees = boosted
        .trees
        .iter()
        .map(|tree| scaled(tree, slope))
        .chain(grown.trees.iter().map(|tree| scaled(tree, holds)))
        .collect();
    let mut model = Model::made_of(&line, &boosted);
    model.edges = levels(prompts.iter().map(|prompt| model.score(&prompt.text).0).collect());
    model.header =
        format!("Weir's prompt classifier, fitted to {} prompts by weir calibrate.\n", prompts.len());
    model
}

/// The line through points that misses them least. It does not fall: the base is not turned round.
fn straight(xs: &[f64], ys: &[f64]) -> (f64, f64) {
    let n = (xs.len() as f64).max(1.0);
    let (x, y) = (xs.iter().sum::<f64>() / n, ys.iter().sum::<f64>() / n);
    let spread: f64 = xs.iter().map(|value| (value - x) * (value - x)).sum();
    let common: f64 = xs.iter().zip(ys).map(|(a, b)| (a - x) * (b - y)).sum();
    let slope = if spread > 0.0 { (common / spread).max(0.0) } else { 0.0 };
    (slope, y - slope * x)
}

/// The scores that part all prompts into ten equal parts.
fn levels(mut scores: Vec<f64>) -> [f32; LEVELS - 1] {
    scores.sort_by(f64::total_cmp);
    let mut edges = [0.0; LEVELS - 1];
    for (at, edge) in edges.iter_mut().enumerate() {
        let place = (at + 1) * scores.len() / LEVELS;
        *edge = scores.get(place).copied().unwrap_or_default() as f32;
    }
    edges
}

/// What a fit to these prompts is worth: one half is fitted to, the other measured.
///
/// # Errors
/// Nothing can be said.
pub fn worth(base: &Model, prompts: &[Labelled], stakes: &Stakes) -> Result<Worth, Unfit> {
    if prompts.len() < FEWEST {
        return Err(Unfit::TooFew);
    }
    let mut order: Vec<&Labelled> = prompts.iter().collect();
    let mut dice = Dice(1);
    for at in (1..order.len()).rev() {
        order.swap(at, dice.below(at + 1));
    }
    let (seen, held) = order.split_at(order.len() / 2);
    let fitted = fit(base, seen);
    compare(base, &fitted, held, stakes, prompts.len())
}

/// Measures two models on prompts that the second has not seen.
///
/// # Errors
/// Nothing can be said.
pub fn compare(
    base: &Model,
    fitted: &Model,
    held: &[&Labelled],
    stakes: &Stakes,
    prompts: usize,
) -> Result<Worth, Unfit> {
    let outcomes: Vec<Outcome> = held.iter().map(|prompt| prompt.outcome).collect();
    let scores =
        |model: &Model| -> Vec<f64> { held.iter().map(|prompt| model.score(&prompt.text).0).collect() };
    let fitted_scores = scores(fitted);
    let before = Curve::new(&scores(base), &outcomes);
    let after = Curve::new(&fitted_scores, &outcomes);
    let shipped = measured(&before, stakes)?;
    let value = measured(&after, stakes)?;
    let mut dice = Dice(2);
    let gains: Vec<f64> = (0..DRAWS)
        .filter_map(|_| {
            let times = drawn(held.len(), &mut dice);
            let apgr = |curve: &Curve<'_>| Some(curve.counted(stakes, |row| times[row])?.apgr);
            Some(apgr(&after)? - apgr(&before)?)
        })
        .collect();
    let (low, high) = middle(gains);
    let gain = Interval { value: value.value.apgr - shipped.value.apgr, low, high };
    Ok(Worth {
        prompts,
        held_back: held.len(),
        shipped,
        fitted: value,
        gain,
        proven: low > 0.0,
        levels: meaning(fitted, &fitted_scores, &outcomes),
    })
}

fn measured(curve: &Curve<'_>, stakes: &Stakes) -> Result<Measured, Unfit> {
    let value = curve.figures(stakes).ok_or(Unfit::NoGap)?;
    let (low, high) = interval(curve, stakes, DRAWS);
    Ok(Measured { value, low, high })
}

fn meaning(model: &Model, scores: &[f64], outcomes: &[Outcome]) -> Vec<Level> {
    let level = |complexity: u8| {
        let gaps: Vec<f64> = scores
            .iter()
            .zip(outcomes)
            .filter(|(score, _)| model.level(**score) == complexity)
            .map(|(_, outcome)| outcome.strong - outcome.weak)
            .collect();
        let gap = (!gaps.is_empty()).then(|| gaps.iter().sum::<f64>() / gaps.len() as f64);
        Level { complexity, prompts: gaps.len(), gap }
    };
    (1..=LEVELS as u8).map(level).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::Builtin;

    /// Prompts of which the weak model fails at those that speak of `word`, mostly.
    fn prompts(count: usize, word: &str) -> Vec<Labelled> {
        let mut dice = Dice(11);
        (0..count)
            .map(|n| {
                let hard = dice.share() < 0.5;
                let luck = dice.share() < 0.1;
                let about = if hard { word } else { "weather" };
                let text = format!("Tell me about the {about} of place {n}, thing {}", dice.below(50));
                let weak = f64::from(u8::from(hard == luck));
                Labelled { text, outcome: Outcome { strong: 1.0, weak } }
            })
            .collect()
    }

    #[test]
    fn what_labels_tell_is_learned() {
        let shipped = Model::read(Builtin::asset()).unwrap();
        let worth = worth(&shipped, &prompts(400, "zymurgy"), &Stakes::default()).unwrap();
        assert!(worth.proven && worth.gain.value > 0.03, "{worth:?}");
        assert_eq!((worth.prompts, worth.held_back, worth.levels.len()), (400, 200, 10));
    }

    #[test]
    fn chance_is_not_taken_for_a_gain() {
        let shipped = Model::read(Builtin::asset()).unwrap();
        let mut none = prompts(50, "weather");
        let mut dice = Dice(5);
        for prompt in &mut none {
            prompt.outcome.weak = f64::from(u8::from(dice.share() < 0.5));
        }
        let worth = worth(&shipped, &none, &Stakes::default()).unwrap();
        assert!(!worth.proven && worth.gain.low <= 0.0, "{worth:?}");
    }

    #[test]
    fn what_says_nothing_is_refused() {
        let shipped = Model::read(Builtin::asset()).unwrap();
        let of = |prompts: &[Labelled]| worth(&shipped, prompts, &Stakes::default()).err();
        assert_eq!(of(&prompts(5, "x")), Some(Unfit::TooFew));
        let mut same = prompts(40, "x");
        same.iter_mut().for_each(|prompt| prompt.outcome.weak = 1.0);
        assert_eq!(of(&same), Some(Unfit::NoGap));
    }

    #[test]
    fn a_fitted_model_survives_its_file() {
        let shipped = Model::read(Builtin::asset()).unwrap();
        let all = prompts(60, "y");
        let fitted = fit(&shipped, &all.iter().collect::<Vec<_>>());
        let again = Model::read(&fitted.write()).unwrap();
        assert_eq!(again.score("Tell me").0.to_bits(), fitted.score("Tell me").0.to_bits());
        assert!(again.edges.is_sorted());
    }
}
