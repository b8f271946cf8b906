//! False trips: independent failures of 5 % must not open a breaker.

use tokio::time::Instant;

use super::{Chance, seeds};
use crate::{
    base::outcome::Outcome,
    config,
    health::{State, breaker::Breaker, signal::signal},
};

/// How often a breaker opens in ten hours of 5 % failures.
fn openings(rate: f64, hours: f64, chance: &mut Chance) -> u32 {
    let settings = std::sync::Arc::new(config::Breaker::default());
    let (mut breaker, begun) = (Breaker::new(settings), Instant::now());
    let (mut now, mut opened) = (begun, 0);
    let end = begun + super::secs(hours * 3600.0);
    while now < end {
        now += chance.gap(rate);
        let Ok(permit) = breaker.admit(now, 0.0) else { continue };
        let outcome = if chance.draw() < 0.05 { Outcome::ServerError } else { Outcome::Ok };
        let step = breaker.report(permit, outcome, signal(outcome).verdict, false, now, 0.5);
        opened += u32::from(step.is_some_and(|step| matches!(step.to, State::Open { .. })));
    }
    opened
}

/// Of all rates together at most one opening; of many seeds chance may let one in fifty have two.
fn at_most_one(rates: &[f64], hours: f64) {
    let (mut total, mut too_many) = (0, 0);
    for seed in seeds() {
        let mut chance = Chance::new(seed);
        let opened: u32 = rates.iter().map(|rate| openings(*rate, hours, &mut chance)).sum();
        total += opened;
        too_many += u64::from(opened > 1);
    }
    println!("{rates:?}/s, {hours} h, {} seeds: {total} openings in all", seeds().end);
    assert!(too_many * 50 <= seeds().end, "{too_many} of {} seeds", seeds().end);
}

#[test]
fn quiet_targets_stay_closed() {
    at_most_one(&[0.2, 0.5, 1.0, 2.0], 10.0);
}

#[test]
fn targets_stay_closed() {
    at_most_one(&[5.0, 10.0], 10.0);
}

/// Busy ones take long to simulate: one seed in five.
#[test]
fn busy_targets_stay_closed() {
    let (mut total, few) = (0, seeds().end.div_ceil(5));
    for seed in 0..few {
        let mut chance = Chance::new(seed);
        total += [20.0, 50.0].iter().map(|rate| openings(*rate, 10.0, &mut chance)).sum::<u32>();
    }
    println!("20 and 50/s, 10 h, {few} seeds: {total} openings in all");
    assert!(total <= 1 + few as u32 / 50, "{total}");
}
