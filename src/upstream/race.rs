//! Tries beside each other: the first content wins.

use std::{future::pending, sync::Arc};

use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tokio::time::{Instant, sleep_until};

use crate::base::outcome::Outcome;

use super::{
    attempt::Won,
    course::{Course, Ended, Lane, Lost, tried},
    execute::{Errand, label},
};

/// How a try of a race ended: where on the course it was, and its result.
type Finished = (usize, Result<(Won, Vec<String>), Ended>);

/// The tries under way.
#[derive(Default)]
struct Lanes<'a> {
    running: FuturesUnordered<BoxFuture<'a, Finished>>,
    lanes: Vec<Lane>,
}

impl Lanes<'_> {
    /// The try that was made at this place, which is over.
    fn leave(&mut self, at: usize) -> Lane {
        let index = self.lanes.iter().position(|lane| lane.at == at);
        self.lanes.swap_remove(index.expect("a try that ends has a lane"))
    }
}

impl Errand<'_> {
    /// Tries the target at hand, with others beside it where the route says so, up to the first content.
    ///
    /// # Errors
    /// The try that decides on what comes next; all others are written down.
    pub(super) async fn lap(&self, course: &mut Course) -> Result<Won, Box<Lost>> {
        let race = &self.chain.race;
        if course.at + 1 < course.targets.len() && (race.parallel > 1 || race.hedges(self.ask.stream())) {
            return self.race(course).await;
        }
        let lane = self.next_lane(course, 0, false);
        match self.admit(&lane.target, false) {
            Ok(ward) => {
                let result = self.one(lane.clone(), ward).await;
                self.finish(course, lane, result)
            }
            Err(missing) => Err(Lost::without(lane, missing)),
        }
    }

    async fn race(&self, course: &mut Course) -> Result<Won, Box<Lost>> {
        let mut lanes = Lanes::default();
        let mut lost = self.enter(course, &mut lanes, false).err();
        self.fill(course, &mut lanes, &mut lost);
        let mut hedging = self.chain.race.hedges(self.ask.stream());
        while !lanes.lanes.is_empty() {
            let hedge_at = if hedging { self.hedge_at(&lanes) } else { None };
            let (at, result) = tokio::select! {
                biased;
                Some(finished) = lanes.running.next() => finished,
                () = at_last(hedge_at) => {
                    hedging = self.hedge(course, &mut lanes, &mut lost);
                    continue;
                }
            };
            let lane = lanes.leave(at);
            if result.is_ok() {
                lost.take().map(|lost| self.note(course, *lost));
                self.overtake(course, lanes, &lane);
                return self.finish(course, lane, result);
            }
            if lane.hedge {
                self.count_hedge("failed");
            }
            match self.finish(course, lane, result) {
                Ok(won) => return Ok(won),
                Err(missed) => {
                    let sent = matches!(missed.ended, Ended::Failed(_, true));
                    self.keep(course, &mut lost, missed);
                    if !sent && !lanes.lanes.is_empty() {
                        self.fill(course, &mut lanes, &mut lost);
                    }
                }
            }
        }
        Err(lost.expect("a race that nobody runs any more was lost"))
    }

    /// Starts tries until as many are under way as always are.
    fn fill<'a>(&'a self, course: &mut Course, lanes: &mut Lanes<'a>, lost: &mut Option<Box<Lost>>) {
        while lanes.lanes.len() < self.chain.race.parallel {
            let Some(next) = course.tries.ahead(lanes.lanes.len(), &course.targets) else { break };
            course.step(next);
            if let Err(missed) = self.enter(course, lanes, false) {
                self.keep(course, lost, missed);
            }
        }
    }

    /// The lane of the target that the course stands at.
    fn next_lane(&self, course: &Course, beside: usize, hedge: bool) -> Lane {
        let left = (course.targets.len() - course.at).min(course.tries.left().saturating_sub(beside));
        self.lane(course.at, &course.targets[course.at], left, hedge)
    }

    /// Starts a try on the target that the course stands at.
    fn enter<'a>(&'a self, course: &Course, lanes: &mut Lanes<'a>, hedge: bool) -> Result<(), Box<Lost>> {
        let lane = self.next_lane(course, lanes.lanes.len(), hedge);
        let ward = match self.admit(&lane.target, false) {
            Ok(ward) => ward,
            Err(missing) => return Err(Lost::without(lane, missing)),
        };
        let (at, run) = (lane.at, self.one(lane.clone(), ward));
        lanes.running.push(Box::pin(async move { (at, run.await) }));
        lanes.lanes.push(lane);
        Ok(())
    }

    /// Keeps of two lost tries the one that decides: a request that is itself at fault, else the latest.
    fn keep(&self, course: &mut Course, lost: &mut Option<Box<Lost>>, missed: Box<Lost>) {
        let at_fault = |lost: &Lost| matches!(&lost.ended, Ended::Failed(failure, _) if failure.outcome == Outcome::Rejected);
        let other = match lost.take() {
            Some(before) if at_fault(&before) => {
                *lost = Some(before);
                Some(missed)
            }
            before => {
                *lost = Some(missed);
                before
            }
        };
        if let Some(other) = other {
            let (outcome, _) = self.note(course, *other);
            course.tries.lost(outcome);
        }
    }

    /// Closes the tries that another one was faster than, and counts what they may have cost.
    fn overtake(&self, course: &mut Course, lanes: Lanes<'_>, winner: &Lane) {
        if winner.hedge {
            self.count_hedge("won");
        }
        for lane in &lanes.lanes {
            lane.progress.overtaken();
            course.trail.tried.push(tried(lane, Outcome::Overtaken, lane.begun.elapsed()));
            if lane.hedge {
                self.count_hedge("lost");
            }
        }
        drop(lanes);
    }

    /// When another try may start beside the only one.
    fn hedge_at(&self, lanes: &Lanes<'_>) -> Option<Instant> {
        let [lane] = &lanes.lanes[..] else { return None };
        Some(lane.begun + self.patience(&lane.target)?)
    }

    /// Starts the next target beside a silent one; false: there is none, or it may not.
    fn hedge<'a>(&'a self, course: &mut Course, lanes: &mut Lanes<'a>, lost: &mut Option<Box<Lost>>) -> bool {
        while let Some(next) = course.tries.ahead(lanes.lanes.len(), &course.targets) {
            let target = Arc::clone(&course.targets[next]);
            if let Err(why) = self.may_hedge(&target) {
                self.count_hedge(why);
                return false;
            }
            course.step(next);
            match self.enter(course, lanes, true) {
                Ok(()) => {
                    tracing::info!(model = %target.name, "starts beside a target that is silent");
                    return true;
                }
                Err(missed) => {
                    self.fleet.hedges().give_back();
                    self.keep(course, lost, missed);
                }
            }
        }
        false
    }

    fn count_hedge(&self, outcome: &str) {
        self.metrics.health().hedge(label(self.chain), outcome);
    }
}

impl Course {
    fn step(&mut self, at: usize) {
        self.at = at;
        self.tries.step(at);
    }
}

/// Waits until then; without a time for ever.
async fn at_last(then: Option<Instant>) {
    match then {
        Some(then) => sleep_until(then).await,
        None => pending().await,
    }
}
