//! What holds in whatever order outcomes come.

use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;

use super::{Chance, Permit, TargetHealth, chain::pick, secs, seeds, stream};
use crate::{
    base::outcome::Outcome,
    config,
    health::{Report, State},
};

#[derive(Clone, Debug)]
enum Step {
    /// Ask for a try.
    Ask,
    /// End the nth try that is under way.
    End { nth: usize, outcome: Outcome, hint: Option<u64> },
    /// Give its permit back.
    Cancel { nth: usize },
    /// Never hear of it again.
    Lose { nth: usize },
}

fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
    // Failures are common, so that breakers open; a pause may be none, short, or long.
    let outcome = prop_oneof![
        4 => Just(Outcome::ServerError),
        3 => Just(Outcome::Ok),
        1 => Just(Outcome::RateLimited),
        2 => prop::sample::select(Outcome::ALL.to_vec()),
    ];
    let hint = prop::option::of(0_u64..400_000);
    let step = prop_oneof![
        5 => Just(Step::Ask),
        5 => (any::<usize>(), outcome, hint).prop_map(|(nth, outcome, hint)| Step::End { nth, outcome, hint }),
        1 => any::<usize>().prop_map(|nth| Step::Cancel { nth }),
        1 => any::<usize>().prop_map(|nth| Step::Lose { nth }),
    ];
    let pause = prop_oneof![4 => 0_u64..200, 2 => 0_u64..5_000, 1 => 0_u64..100_000];
    prop::collection::vec((pause, step), 1..150)
}

struct Try {
    number: u64,
    target: usize,
    permit: Permit,
}

struct World {
    targets: Vec<TargetHealth>,
    now: Instant,
    chance: Chance,
    under_way: Vec<Try>,
    /// Probes of the present half-open time that did not end: their number, target, and end of the lease.
    probes: Vec<(u64, usize, Instant)>,
    asks: u64,
    /// When each target last got a try.
    asked: Vec<Option<Instant>>,
    limits: Vec<Option<Instant>>,
}

impl World {
    fn new(seed: u64) -> Self {
        let settings = config::Breaker::default();
        Self {
            targets: (0..3).map(|_| TargetHealth::new(&settings)).collect(),
            now: Instant::now(),
            chance: Chance::new(seed),
            under_way: Vec::new(),
            probes: Vec::new(),
            asks: 0,
            asked: vec![None; 3],
            limits: vec![None; 3],
        }
    }

    fn take(&mut self, nth: usize) -> Option<(usize, Permit)> {
        let count = self.under_way.len();
        let Try { number, target, permit } = (count > 0).then(|| self.under_way.swap_remove(nth % count))?;
        self.probes.retain(|(probe, ..)| *probe != number);
        Some((target, permit))
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Ask => self.ask()?,
            Step::End { nth, outcome, hint } => {
                if let Some((at, permit)) = self.take(nth) {
                    let hint = hint.map(Duration::from_millis);
                    let report = Report { hint, ..stream(outcome, secs(0.3)) };
                    self.targets[at].report(permit, &report, self.now, self.chance.draw());
                }
            }
            Step::Cancel { nth } => self.cancel(nth)?,
            Step::Lose { nth } => {
                let count = self.under_way.len();
                if count > 0 {
                    self.under_way.swap_remove(nth % count);
                }
            }
        }
        let targets = &self.targets;
        self.probes.retain(|(_, at, _)| targets[*at].standing(self.now).state == State::HalfOpen);
        self.limits_stay()
    }

    fn ask(&mut self) -> Result<(), TestCaseError> {
        let Some((at, permit)) = pick(&self.targets, &[false; 3], self.now, &mut self.chance) else {
            return self.nothing_could_be_tried();
        };
        self.asked[at] = Some(self.now);
        self.asks += 1;
        if permit.is_probe() {
            let live = self.probes.iter().any(|(_, target, lease)| *target == at && self.now < *lease);
            prop_assert!(!live, "two probes at once");
            self.probes.push((self.asks, at, self.now + secs(60.0)));
        }
        self.under_way.push(Try { number: self.asks, target: at, permit });
        Ok(())
    }

    /// A request found nothing to try: each target is at a rate limit, or had its turn within the last second.
    fn nothing_could_be_tried(&self) -> Result<(), TestCaseError> {
        for (target, asked) in self.targets.iter().zip(&self.asked) {
            let standing = target.standing(self.now);
            let had_its_turn = asked.is_some_and(|asked| self.now - asked < secs(1.0));
            prop_assert!(standing.limited_until.is_some() || had_its_turn, "{standing:?}");
        }
        Ok(())
    }

    /// Gives a permit back. A probe's place is then free for the next.
    fn cancel(&mut self, nth: usize) -> Result<(), TestCaseError> {
        let Some((at, permit)) = self.take(nth) else { return Ok(()) };
        let (was_probe, target) = (permit.is_probe(), &self.targets[at]);
        target.give_back(permit);
        let standing = target.standing(self.now);
        let others = self.probes.iter().any(|(_, other, lease)| *other == at && self.now < *lease);
        if was_probe && standing.state == State::HalfOpen && standing.free_at().is_none() && !others {
            let next = target.try_admit(self.now, 0.999);
            prop_assert!(next.is_ok(), "{next:?}");
            target.give_back(next.expect("it was let through"));
        }
        Ok(())
    }

    fn limits_stay(&mut self) -> Result<(), TestCaseError> {
        for (target, before) in self.targets.iter().zip(&mut self.limits) {
            let limit = target.standing(self.now).limited_until;
            if before.is_some_and(|before| self.now < before) {
                prop_assert!(limit >= *before, "a limit moved back");
            }
            *before = limit;
        }
        Ok(())
    }

    /// Whatever happened: once every lease, limit, rest and opening is over, each target is tried.
    fn nothing_is_stuck(&self) -> Result<(), TestCaseError> {
        let later = self.now + secs(361.0);
        for target in &self.targets {
            let permit = target.try_admit(later, 0.0);
            prop_assert!(permit.is_ok(), "{permit:?}");
        }
        Ok(())
    }
}

/// 13 cases a seed: 260 in all, as many as usual.
fn cases() -> ProptestConfig {
    ProptestConfig::with_cases(seeds().end as u32 * 13)
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn whatever_happens_something_is_tried_and_nothing_sticks(seed in any::<u64>(), steps in steps()) {
        let mut world = World::new(seed);
        for (pause, step) in steps {
            world.now += Duration::from_millis(pause);
            world.step(step)?;
        }
        world.nothing_is_stuck()?;
    }
}
