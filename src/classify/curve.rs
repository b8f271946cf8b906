//! How well scores tell which prompts need the strong model: the curve of quality over the share that gets it.
//!
//! The measures are those of `RouteLLM` (arXiv 2406.18665, section 3). Prompts with equal scores share their part of the
//! curve, so that coarse scores are neither favoured nor punished.

use super::groups;

/// How good two models are on a prompt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// The strong model's score.
    pub strong: f64,
    /// The weak model's score, on the same scale.
    pub weak: f64,
}

/// What a prompt costs at both models, in any unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prices {
    /// At the strong model; above 0.
    pub strong: f64,
    /// At the weak model.
    pub weak: f64,
}

impl Prices {
    /// Those of the paper, in dollars a million tokens.
    pub const PAPER: Self = Self { strong: 24.7, weak: 0.24 };
}

/// What a saving is measured with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stakes {
    /// What prompts cost; without it nothing is said of savings.
    pub prices: Option<Prices>,
    /// The share of the strong model's quality that is to be kept, 0 to 1.
    pub quality: f64,
}

impl Default for Stakes {
    /// No prices; 95 % of the quality.
    fn default() -> Self {
        Self { prices: None, quality: 0.95 }
    }
}

/// What the curve says.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Figures {
    /// The area under the share of the gap that is closed: 0.5 for chance; above 1 where the weak model is often better.
    pub apgr: f64,
    /// The share of prompts that the strong model needs to close half of the gap.
    pub cpt50: f64,
    /// The share of prompts that the strong model needs to close 80 % of the gap.
    pub cpt80: f64,
    /// What is saved against always using the strong model, at the quality asked for, 0 to 1; absent without prices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saved: Option<f64>,
}

/// Prompts in the order of their scores.
#[derive(Clone, Debug)]
pub struct Curve<'a> {
    outcomes: &'a [Outcome],
    /// The highest score first.
    order: Vec<usize>,
    /// Whether the next one in the order has a lower score.
    last: Vec<bool>,
}

impl<'a> Curve<'a> {
    /// Puts prompts in order. Both lists are equally long.
    pub fn new(scores: &[f64], outcomes: &'a [Outcome]) -> Self {
        assert_eq!(scores.len(), outcomes.len(), "every prompt has a score");
        let mut order: Vec<_> = (0..scores.len()).collect();
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        let next = |at: usize| order.get(at + 1).map(|next| scores[*next]);
        let last = order.iter().enumerate().map(|(at, row)| next(at) != Some(scores[*row])).collect();
        Self { outcomes, order, last }
    }

    /// The figures; `None` where the models are equally good, so that there is no gap.
    pub fn figures(&self, stakes: &Stakes) -> Option<Figures> {
        self.counted(stakes, |_| 1)
    }

    /// The figures where each prompt counts as often as `times` says.
    pub fn counted(&self, stakes: &Stakes, times: impl Fn(usize) -> u32) -> Option<Figures> {
        let (mut n, mut weak, mut gap) = (0.0, 0.0, 0.0);
        for (row, outcome) in self.outcomes.iter().enumerate() {
            let times = f64::from(times(row));
            n += times;
            weak += times * outcome.weak;
            gap += times * (outcome.strong - outcome.weak);
        }
        if n == 0.0 || (gap / n).abs() < 1e-9 {
            return None;
        }
        // Relative to the gap, as much quality as is asked for.
        let wanted = (stakes.quality * (weak + gap) - weak) / gap;
        let mut walk =
            Walk { share: 0.0, closed: 0.0, area: 0.0, marks: [(0.5, None), (0.8, None), (wanted, None)] };
        walk.begin();
        let (mut taken, mut won) = (0.0, 0.0);
        for (row, last) in self.order.iter().zip(&self.last) {
            let times = f64::from(times(*row));
            taken += times;
            won += times * (self.outcomes[*row].strong - self.outcomes[*row].weak);
            if *last {
                walk.to(taken / n, won / gap);
            }
        }
        let [cpt50, cpt80, share] = walk.marks.map(|(_, share)| share.unwrap_or(1.0));
        let saved = stakes
            .prices
            .map(|Prices { strong, weak }| 1.0 - (share * strong + (1.0 - share) * weak) / strong);
        Some(Figures { apgr: walk.area, cpt50, cpt80, saved })
    }
}

/// A walk along the curve, from no prompt at the strong model to all of them.
struct Walk {
    share: f64,
    closed: f64,
    area: f64,
    /// How much is to be closed, with the share at which it first was.
    marks: [(f64, Option<f64>); 3],
}

impl Walk {
    fn begin(&mut self) {
        for (wanted, reached) in &mut self.marks {
            *reached = (*wanted <= 0.0).then_some(0.0);
        }
    }

    fn to(&mut self, share: f64, closed: f64) {
        self.area += (closed + self.closed) / 2.0 * (share - self.share);
        for (wanted, reached) in &mut self.marks {
            if reached.is_none() && closed >= *wanted {
                let part = (*wanted - self.closed) / (closed - self.closed);
                *reached = Some(self.share + part * (share - self.share));
            }
        }
        (self.share, self.closed) = (share, closed);
    }
}

/// Numbers that look like chance yet are the same for the same seed; `SplitMix64` of Steele, Lea, Flood (2014).
#[derive(Clone, Copy, Debug)]
pub struct Dice(pub u64);

impl Dice {
    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.roll() % limit as u64) as usize
    }

    /// A number from 0 up to 1.
    pub fn share(&mut self) -> f64 {
        (self.roll() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// How often each of `n` prompts is drawn when `n` are drawn with repetition.
pub fn drawn(n: usize, dice: &mut Dice) -> Vec<u32> {
    let mut times = vec![0; n];
    for _ in 0..n {
        times[dice.below(n)] += 1;
    }
    times
}

/// How often each prompt is drawn when as many groups of them as there are are drawn with repetition.
pub fn drawn_together(groups: &[usize], dice: &mut Dice) -> Vec<u32> {
    let times = drawn(groups::count(groups), dice);
    groups.iter().map(|group| times[*group]).collect()
}

/// From where to where the middle 95 % of some figures lie.
pub fn middle(mut figures: Vec<f64>) -> (f64, f64) {
    figures.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let place = share * figures.len().saturating_sub(1) as f64;
        figures.get(place.round() as usize).copied().unwrap_or(f64::NAN)
    };
    (at(0.025), at(0.975))
}

/// The interval in which each figure lies, by `draws` bootstrap samples of groups: prompts that say the same are no two
/// pieces of evidence.
pub fn interval(curve: &Curve<'_>, stakes: &Stakes, draws: usize, groups: &[usize]) -> (Figures, Figures) {
    let mut dice = Dice(1);
    let all: Vec<Figures> = (0..draws)
        .filter_map(|_| {
            let times = drawn_together(groups, &mut dice);
            curve.counted(stakes, |row| times[row])
        })
        .collect();
    let of = |take: fn(&Figures) -> f64| middle(all.iter().map(take).collect());
    let (apgr, cpt50) = (of(|figures| figures.apgr), of(|figures| figures.cpt50));
    let cpt80 = of(|figures| figures.cpt80);
    let saved = stakes.prices.map(|_| middle(all.iter().filter_map(|figures| figures.saved).collect()));
    let end = |apgr, cpt50, cpt80, saved| Figures { apgr, cpt50, cpt80, saved };
    (
        end(apgr.0, cpt50.0, cpt80.0, saved.map(|saved| saved.0)),
        end(apgr.1, cpt50.1, cpt80.1, saved.map(|saved| saved.1)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(pairs: &[(f64, f64)]) -> Vec<Outcome> {
        pairs.iter().map(|(strong, weak)| Outcome { strong: *strong, weak: *weak }).collect()
    }

    #[test]
    fn known_curves_have_known_figures() {
        let two = outcomes(&[(1.0, 0.0), (1.0, 1.0)]);
        let stakes = Stakes { prices: Some(Prices::PAPER), ..Stakes::default() };
        let of = |scores: &[f64]| Curve::new(scores, &two).figures(&stakes).unwrap();
        // The right one first: all is closed with half of the prompts.
        let right = of(&[2.0, 1.0]);
        assert_eq!((right.apgr, right.cpt50, right.cpt80), (0.75, 0.25, 0.4));
        let wrong = of(&[1.0, 2.0]);
        assert_eq!((wrong.apgr, wrong.cpt50, wrong.cpt80), (0.25, 0.75, 0.9));
        // Where nothing is told apart, half of everything.
        let even = of(&[1.0, 1.0]);
        assert_eq!((even.apgr, even.cpt50, even.cpt80), (0.5, 0.5, 0.8));
        // 95 % of the quality of 1.0 from 0.5 on: nine tenths of the gap.
        assert!((even.saved.unwrap() - (0.1 - 0.1 * 0.24 / 24.7)).abs() < 1e-9);
    }

    #[test]
    fn without_a_gap_there_are_no_figures() {
        let none = outcomes(&[(1.0, 1.0), (0.0, 0.0)]);
        assert_eq!(Curve::new(&[1.0, 2.0], &none).figures(&Stakes::default()), None);
        assert_eq!(Curve::new(&[], &[]).figures(&Stakes::default()), None);
    }

    #[test]
    fn chance_is_within_its_interval() {
        let mut dice = Dice(7);
        let some: Vec<_> =
            (0..400).map(|_| Outcome { strong: 1.0, weak: (dice.share() * 2.0).floor() }).collect();
        let scores: Vec<_> = some.iter().map(|_| dice.share()).collect();
        let alone: Vec<usize> = (0..some.len()).collect();
        let curve = Curve::new(&scores, &some);
        let (low, high) = interval(&curve, &Stakes::default(), 200, &alone);
        let fours: Vec<usize> = alone.iter().map(|at| at / 4).collect();
        assert_ne!(interval(&curve, &Stakes::default(), 200, &fours).0, low);
        assert!(low.apgr < 0.55 && 0.45 < high.apgr && high.apgr - low.apgr < 0.2, "{low:?} {high:?}");
    }
}
