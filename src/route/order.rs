//! The order in which a route's targets are tried.

use std::{cmp::Ordering, sync::Arc, time::Duration};

use super::book::Target;
use crate::{
    base::money::Pico,
    config::{Order, Weights},
    health::{median, speed},
};

/// How a target does at the moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rank {
    /// Whether fewer than four of five tries succeed: it comes behind those that do better.
    pub degraded: bool,
    /// Its health score, 0 to 1, as far as it does not depend on the others: its speed beside them comes on top.
    pub health: f64,
    /// How slow it was lately, once known: a peak that fades.
    pub peak: Option<Duration>,
    /// The usual time to its first token, once known.
    pub first_token: Option<Duration>,
}

impl Default for Rank {
    /// A target of which nothing bad is known.
    fn default() -> Self {
        Self { degraded: false, health: 1.0, peak: None, first_token: None }
    }
}

/// A target with what decides its place.
#[derive(Clone, Debug)]
struct Candidate<'a> {
    target: &'a Arc<Target>,
    weight: f64,
    rank: Rank,
}

/// Puts targets, each with its weight, in order. `draw` gives numbers in [0, 1) for weighted routes.
pub fn arrange(
    order: Order,
    weights: &Weights,
    targets: &[(Arc<Target>, f64)],
    rank: impl Fn(&Target) -> Rank,
    draw: &mut impl FnMut() -> f64,
) -> Vec<Arc<Target>> {
    let mut candidates: Vec<_> = targets
        .iter()
        .map(|(target, weight)| Candidate { target, weight: *weight, rank: rank(target) })
        .collect();
    if matches!(order, Order::Health | Order::Weighted) {
        compare_speed(&mut candidates);
    }
    match order {
        Order::Listed => {}
        Order::Health => candidates.sort_by(|a, b| b.rank.health.total_cmp(&a.rank.health)),
        // One that nobody has measured goes first: else it never would be.
        Order::Latency => candidates.sort_by_key(|candidate| candidate.rank.first_token.unwrap_or_default()),
        Order::Cost => candidates.sort_by(|a, b| dearer(a.target, b.target)),
        Order::Weighted => candidates = drawn_in_turn(candidates, draw),
        Order::Balanced => balance(&mut candidates, weights),
    }
    if !matches!(order, Order::Health | Order::Weighted) {
        // A stable sort: within the two groups the order stays.
        candidates.sort_by_key(|candidate| candidate.rank.degraded);
    }
    candidates.iter().map(|candidate| Arc::clone(candidate.target)).collect()
}

/// Puts into each score how fast the target is beside those that it is ordered with. Targets of other routes do other
/// work, and say nothing of what is slow here.
fn compare_speed(candidates: &mut [Candidate<'_>]) {
    let median = median(candidates.iter().filter_map(|candidate| candidate.rank.peak));
    for candidate in candidates {
        candidate.rank.health *= speed(median, candidate.rank.peak);
    }
}

/// What a token costs, with three of the question to each of the answer; `None`: nobody knows.
fn price(target: &Target) -> Option<Pico> {
    let rates = target.price.as_ref()?.base();
    Some(Pico((rates.input.0.saturating_mul(3)).saturating_add(rates.output.0) / 4))
}

/// Unknown prices come last.
fn dearer(a: &Target, b: &Target) -> Ordering {
    let known = |target| price(target).map_or((true, Pico(0)), |price| (false, price));
    known(a).cmp(&known(b))
}

/// Draws one after the other, each with a share of its weight times its health.
fn drawn_in_turn<'a>(mut left: Vec<Candidate<'a>>, draw: &mut impl FnMut() -> f64) -> Vec<Candidate<'a>> {
    let mut drawn = Vec::with_capacity(left.len());
    while !left.is_empty() {
        drawn.push(left.remove(pick(&left, draw())));
    }
    drawn
}

/// The index that `draw` falls on.
fn pick(candidates: &[Candidate<'_>], draw: f64) -> usize {
    // Nobody's share is nothing: where all are ill one has to be first.
    let share = |candidate: &Candidate<'_>| candidate.weight * candidate.rank.health.max(0.001);
    let mut point = draw * candidates.iter().map(share).sum::<f64>();
    for (i, candidate) in candidates.iter().enumerate() {
        point -= share(candidate);
        if point < 0.0 {
            return i;
        }
    }
    candidates.len() - 1
}

/// Sorts by a weighted sum of price, latency and want of quality, each as a share of the group's worst.
fn balance(candidates: &mut [Candidate<'_>], weights: &Weights) {
    let worst = |of: &dyn Fn(&Candidate<'_>) -> f64, all: &[Candidate<'_>]| {
        all.iter().map(of).fold(0.0, f64::max).max(f64::MIN_POSITIVE)
    };
    let cost = |candidate: &Candidate<'_>| price(candidate.target).map_or(0.0, |price| price.0 as f64);
    let slow = |candidate: &Candidate<'_>| candidate.rank.first_token.unwrap_or_default().as_secs_f64();
    let (dearest, slowest) = (worst(&cost, candidates), worst(&slow, candidates));
    let burden = |candidate: &Candidate<'_>| {
        // A price that nobody knows counts as the dearest, a quality that nobody knows as half.
        let cost = if price(candidate.target).is_some() { cost(candidate) / dearest } else { 1.0 };
        let want = 1.0 - candidate.target.quality.unwrap_or(0.5);
        weights.cost * cost + weights.latency * slow(candidate) / slowest + weights.quality * want
    };
    candidates.sort_by(|a, b| burden(a).total_cmp(&burden(b)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Config, route::Book};

    /// Three targets: `a` good, dear, slow; `b` in between; `c` cheap, weak, fast. `d` has no price.
    fn targets() -> Vec<(Arc<Target>, f64)> {
        let config: Config = serde_json::from_value(serde_json::json!({
            "providers": { "p": {} },
            "models": {
                "a": { "provider": "p", "price": { "input": 9, "output": 9 }, "quality": 0.9 },
                "b": { "provider": "p", "price": { "input": 3, "output": 3 }, "quality": 0.8 },
                "c": { "provider": "p", "price": { "input": 1, "output": 1 }, "quality": 0.2 },
                "d": { "provider": "p", "quality": 0.1 },
            },
        }))
        .unwrap();
        let book = Book::compile(&config, |_| true);
        book.targets().map(|target| (Arc::clone(target), 1.0)).collect()
    }

    fn ranks(target: &Target) -> Rank {
        let ms = |ms| Some(Duration::from_millis(ms));
        match &*target.name {
            "a" => Rank { health: 0.9, first_token: ms(900), ..Rank::default() },
            "b" => Rank { health: 0.3, first_token: ms(400), degraded: true, ..Rank::default() },
            "c" => Rank { health: 0.6, first_token: ms(100), ..Rank::default() },
            _ => Rank { health: 0.5, ..Rank::default() },
        }
    }

    fn names(order: Order, rank: impl Fn(&Target) -> Rank, draw: f64) -> String {
        let arranged = arrange(order, &Weights::default(), &targets(), rank, &mut || draw);
        arranged.iter().map(|target| target.name.to_string()).collect()
    }

    #[test]
    fn each_order_has_its_own_first() {
        assert_eq!(names(Order::Listed, |_| Rank::default(), 0.0), "abcd");
        assert_eq!(names(Order::Listed, ranks, 0.0), "acdb");
        assert_eq!(names(Order::Health, ranks, 0.0), "acdb");
        assert_eq!(names(Order::Latency, ranks, 0.0), "dcab");
        assert_eq!(names(Order::Cost, |_| Rank::default(), 0.0), "cbad");
        assert_eq!(names(Order::Cost, ranks, 0.0), "cadb");
        assert_eq!(names(Order::Balanced, |_| Rank::default(), 0.0), "bcad");
    }

    #[test]
    fn shares_follow_weight_and_health() {
        let first = |draw| names(Order::Weighted, ranks, draw).remove(0);
        // 0.9, 0.3, 0.6, 0.5 of 2.3.
        assert_eq!([first(0.0), first(0.38), first(0.40), first(0.51)], ['a', 'a', 'b', 'b']);
        assert_eq!([first(0.53), first(0.78), first(0.80), first(0.999)], ['c', 'c', 'd', 'd']);
        let ill = |_: &Target| Rank { health: 0.0, ..Rank::default() };
        assert_eq!(names(Order::Weighted, ill, 0.999).len(), 4);
    }

    /// The speed beside the median counts where health does, and nowhere else.
    #[test]
    fn slow_ones_come_later_where_health_decides() {
        let peaks = |target: &Target| {
            let ms = |ms| Some(Duration::from_millis(ms));
            let (health, peak) = match &*target.name {
                "a" => (1.0, ms(1000)),
                "b" => (0.9, ms(400)),
                "c" => (0.5, ms(100)),
                // Nobody has measured it: it counts as no slower than the others.
                _ => (0.6, None),
            };
            Rank { health, peak, ..Rank::default() }
        };
        // The median is 400 ms: `a` comes to 1.0 x 0.4.
        assert_eq!(names(Order::Health, peaks, 0.0), "bdca");
        assert_eq!(names(Order::Listed, peaks, 0.0), "abcd");
        // 0.4, 0.9, 0.5, 0.6 of 2.4.
        let first = |draw| names(Order::Weighted, peaks, draw).remove(0);
        assert_eq!([first(0.16), first(0.17), first(0.55), first(0.76)], ['a', 'b', 'c', 'd']);
        // One alone is its own measure.
        let alone = |target: &Target| if &*target.name == "b" { peaks(target) } else { Rank::default() };
        assert_eq!(names(Order::Health, alone, 0.0), "acdb");
    }
}
