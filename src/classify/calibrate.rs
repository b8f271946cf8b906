//! Fitting the model to labelled prompts of one's own, with what that is worth.

use serde::Serialize;

use super::{
    Builtin, Prompt,
    curve::{Curve, Dice, Figures, Outcome, Stakes, drawn_together, interval, middle},
    fit::{
        linear::{self, Line, Problem, Row},
        sample::{Sample, Target},
        trees::{self, Boosted, Growth},
    },
    forest::Tree,
    groups::{self, groups},
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

/// Fewer different prompts than these cannot be halved.
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
    /// How many of them are different: those with the same letters and digits are in the same half.
    pub different: usize,
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
    /// What the levels of complexity mean by which `auto` routes, 1 first.
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
    /// There are too few prompts: only so many different ones.
    TooFew(usize),
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
    /// Which of them say the same.
    groups: Vec<usize>,
}

/// How prompts fare that were not learned from.
struct Unseen {
    /// How much of what is learned holds for them, 0 to 1.
    holds: f64,
    /// Their scores.
    scores: Vec<f64>,
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
            groups: groups(prompts.iter().map(|prompt| prompt.text.as_str())),
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

    /// What is said of each prompt by who has learned from others; those that say the same are left out together.
    fn unseen(&self) -> Unseen {
        let (mut both, mut own) = (0.0, 0.0);
        let mut parts = vec![(0.0, 0.0); self.scores.len()];
        for fold in 0..FOLDS {
            let more = self.learn(|at| self.groups[at] % FOLDS != fold);
            for at in (0..parts.len()).filter(|at| self.groups[*at] % FOLDS == fold) {
                let base = more.shift + more.slope * self.scores[at];
                let told = more.line.at(&self.samples[at].grams) + more.grown.at(&self.samples[at].features);
                both += (self.targets[at] - base) * told;
                own += told * told;
                parts[at] = (base, told);
            }
        }
        let holds = if own > 0.0 { (both / own).clamp(0.0, 1.0) } else { 0.0 };
        Unseen { holds, scores: parts.into_iter().map(|(base, told)| base + holds * told).collect() }
    }
}

/// Fits the base to labelled prompts: what it does not tell of them is told by a line over their words, by trees, as far
/// as that holds for others.
pub fn fit(base: &Model, prompts: &[&Labelled]) -> Model {
    let lesson = Lesson::of(base, prompts);
    let Unseen { holds, scores } = lesson.unseen();
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
    // Scores of prompts that it has learned from lie farther apart than those of others, which the levels are for.
    model.edges = levels(scores);
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
    let groups = groups(prompts.iter().map(|prompt| prompt.text.as_str()));
    let different = groups::count(&groups);
    if different < FEWEST {
        return Err(Unfit::TooFew(different));
    }
    let mut order: Vec<Vec<&Labelled>> = vec![Vec::new(); different];
    for (group, prompt) in groups.iter().zip(prompts) {
        order[*group].push(prompt);
    }
    let mut dice = Dice(1);
    for at in (1..order.len()).rev() {
        order.swap(at, dice.below(at + 1));
    }
    let (seen, held) = order.split_at(order.len() / 2);
    let fitted = fit(base, &seen.concat());
    let worth = compare(base, &fitted, &held.concat(), stakes)?;
    Ok(Worth { prompts: prompts.len(), different, ..worth })
}

/// Measures two models on prompts that the second has not seen; only these are counted.
///
/// # Errors
/// Nothing can be said.
pub fn compare(base: &Model, fitted: &Model, held: &[&Labelled], stakes: &Stakes) -> Result<Worth, Unfit> {
    let outcomes: Vec<Outcome> = held.iter().map(|prompt| prompt.outcome).collect();
    let scores =
        |model: &Model| -> Vec<f64> { held.iter().map(|prompt| model.score(&prompt.text).0).collect() };
    let groups = groups(held.iter().map(|prompt| prompt.text.as_str()));
    let before = Curve::new(&scores(base), &outcomes);
    let after = Curve::new(&scores(fitted), &outcomes);
    let shipped = measured(&before, stakes, &groups)?;
    let value = measured(&after, stakes, &groups)?;
    let mut dice = Dice(2);
    let gains: Vec<f64> = (0..DRAWS)
        .filter_map(|_| {
            let times = drawn_together(&groups, &mut dice);
            let apgr = |curve: &Curve<'_>| Some(curve.counted(stakes, |row| times[row])?.apgr);
            Some(apgr(&after)? - apgr(&before)?)
        })
        .collect();
    let (low, high) = middle(gains);
    let gain = Interval { value: value.value.apgr - shipped.value.apgr, low, high };
    Ok(Worth {
        prompts: held.len(),
        different: groups::count(&groups),
        held_back: held.len(),
        shipped,
        fitted: value,
        gain,
        proven: low > 0.0,
        levels: meaning(fitted, held),
    })
}

fn measured(curve: &Curve<'_>, stakes: &Stakes, groups: &[usize]) -> Result<Measured, Unfit> {
    let value = curve.figures(stakes).ok_or(Unfit::NoGap)?;
    let (low, high) = interval(curve, stakes, DRAWS, groups);
    Ok(Measured { value, low, high })
}

/// How much better the strong model is at each complexity by which `auto` routes: with the bounds set by hand.
fn meaning(model: &Model, held: &[&Labelled]) -> Vec<Level> {
    let classifier = Builtin::of(model.clone());
    let complexity = |prompt: &Labelled| classifier.classify(&Prompt::text(&prompt.text)).complexity;
    let all: Vec<(u8, f64)> =
        held.iter().map(|prompt| (complexity(prompt), prompt.outcome.strong - prompt.outcome.weak)).collect();
    let level = |complexity: u8| {
        let gaps: Vec<f64> = all.iter().filter(|(own, _)| *own == complexity).map(|(_, gap)| *gap).collect();
        let gap = (!gaps.is_empty()).then(|| gaps.iter().sum::<f64>() / gaps.len() as f64);
        Level { complexity, prompts: gaps.len(), gap }
    };
    (1..=LEVELS as u8).map(level).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(worth.different, 400);
    }

    #[test]
    fn what_is_said_again_proves_nothing() {
        let shipped = Model::read(Builtin::asset()).unwrap();
        // Of each of 40 prompts it is chance whether the weak model fails, yet always the same for its ten copies.
        const WORDS: [&str; 7] = ["river", "copper", "violin", "harbour", "tax", "planet", "wool"];
        let mut dice = Dice(3);
        let templates: Vec<(String, f64)> = (0..40)
            .map(|n| {
                let words = [n % 7, n / 7, (n * 3 + n / 7) % 7].map(|at| WORDS[at]);
                let text = format!("Say what {} has to do with {} or {}", words[0], words[1], words[2]);
                (text, f64::from(u8::from(dice.share() < 0.5)))
            })
            .collect();
        let copy = |(text, weak): &(String, f64), n: usize| {
            let text = if n.is_multiple_of(2) { format!("{text}?") } else { text.to_uppercase() };
            Labelled { text, outcome: Outcome { strong: 1.0, weak: *weak } }
        };
        let copies: Vec<Labelled> =
            templates.iter().flat_map(|template| (0..10).map(move |n| copy(template, n))).collect();
        let found = worth(&shipped, &copies, &Stakes::default()).unwrap();
        assert!(!found.proven, "{found:?}");
        assert_eq!((found.prompts, found.different, found.held_back), (400, 40, 200));
        let few = worth(&shipped, &copies[..190], &Stakes::default());
        assert_eq!(few.err(), Some(Unfit::TooFew(19)));
    }

    #[test]
    fn levels_part_prompts_that_were_not_learned_from() {
        let shipped = Model::read(Builtin::asset()).unwrap();
        // The more of its words are strange ones, the likelier the weak model fails.
        let mut dice = Dice(8);
        let all: Vec<Labelled> = (0..900)
            .map(|_| {
                let strange = dice.below(9);
                let words = (0..9).map(|at| {
                    let kind = if at < strange { "strange" } else { "plain" };
                    format!("{kind}{} ", ["a", "b", "c", "d", "e"][dice.below(5)])
                });
                let text: String = words.collect();
                let weak = f64::from(u8::from(dice.below(8) >= strange));
                Labelled { text, outcome: Outcome { strong: 1.0, weak } }
            })
            .collect();
        let (seen, fresh) = all.split_at(300);
        let fitted = fit(&shipped, &seen.iter().collect::<Vec<_>>());
        let of = |levels: std::ops::RangeInclusive<u8>| {
            let within = |prompt: &&Labelled| levels.contains(&fitted.level(fitted.score(&prompt.text).0));
            fresh.iter().filter(within).count() as f64 / fresh.len() as f64
        };
        let parts = [of(1..=2), of(3..=5), of(6..=8), of(9..=10)];
        let even = parts.iter().zip([0.2, 0.3, 0.3, 0.2]).all(|(part, due)| (part - due).abs() < 0.12);
        assert!(even, "{parts:?}");
    }

    #[test]
    fn the_levels_told_are_those_that_route() {
        let shipped = Model::read(Builtin::asset()).unwrap();
        let held: Vec<Labelled> = (0..40)
            .map(|n| {
                let weak = f64::from(n % 2);
                Labelled { text: format!("Prove fact {n}."), outcome: Outcome { strong: 1.0, weak } }
            })
            .collect();
        let held: Vec<&Labelled> = held.iter().collect();
        let worth = compare(&shipped, &shipped, &held, &Stakes::default()).unwrap();
        let below: usize = worth.levels[..5].iter().map(|level| level.prompts).sum();
        assert_eq!(below, 0, "{:?}", worth.levels);
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
        assert_eq!(of(&prompts(5, "x")), Some(Unfit::TooFew(5)));
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
