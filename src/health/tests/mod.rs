//! Simulations of health in virtual time: hours pass in moments, chance comes from a seed.

mod breaking;
mod chain;
mod day;
mod false_trips;
mod model;

use std::time::Duration;

use tokio::time::Instant;

use super::{Permit, PromptSize, Report, TargetHealth, Transition};
use crate::base::outcome::Outcome;

/// The seeds to run: 20, or as many as `WEIR_SEEDS` says.
fn seeds() -> std::ops::Range<u64> {
    let count =
        std::env::var("WEIR_SEEDS").map_or(20, |count| count.parse().expect("WEIR_SEEDS is a number"));
    0..count
}

/// Chance that a seed repeats (SplitMix64).
#[derive(Clone, Debug)]
struct Chance(u64);

impl Chance {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0xA076_1D64_78BD_642F) ^ 0x5745_4952)
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    /// From [0, 1).
    fn draw(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// The time to the next of events that come independently, so many a second.
    fn gap(&mut self, rate: f64) -> Duration {
        Duration::from_secs_f64(-(1.0 - self.draw()).ln() / rate)
    }
}

fn secs(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// A report of a stream whose first token took that long.
fn stream(outcome: Outcome, took: Duration) -> Report {
    Report {
        outcome,
        first_token: (outcome == Outcome::Ok).then_some(took),
        elapsed: took,
        stream: true,
        prompt: PromptSize::Short,
        hint: None,
    }
}

/// A try that takes no time.
fn answer(health: &TargetHealth, permit: Permit, outcome: Outcome, now: Instant) -> Option<Transition> {
    health.report(permit, &stream(outcome, Duration::from_millis(200)), now, 0.5)
}
