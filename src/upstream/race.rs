//! Tries beside each other: the first content wins.

use std::future::pending;

use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tokio::time::{Instant, sleep_until};

use crate::{
    base::{boxed::boxed, outcome::Outcome},
    route::Missing,
};

use super::{
    attempt::Won,
    course::{Course, Ended, Lane, Lost},
    execute::Errand,
    probe::Why,
};

/// How a try of a race ended: where on the course it was, and its result.
type Finished = (usize, Result<(Won, Vec<String>), Ended>);

/// Tries that run beside each other.
#[derive(Default)]
struct Race<'a> {
    running: FuturesUnordered<BoxFuture<'a, Finished>>,
    lanes: Vec<Lane>,
    /// Of those that came to nothing the one that decides on what comes next; all others are written down.
    lost: Option<Box<Lost>>,
}

impl Race<'_> {
    /// The try that was made at this place, which is over.
    fn leave(&mut self, at: usize) -> Lane {
        let index = self.lanes.iter().position(|lane| lane.at == at);
        self.lanes.swap_remove(index.expect("a try that ends has a lane"))
    }

    /// How many tries it has made that are not written down yet.
    fn made(&self) -> usize {
        self.lanes.len() + usize::from(self.lost.as_ref().is_some_and(|lost| lost.ended.sent()))
    }

    /// Whether the request itself is at fault: no other try is worth its price.
    fn is_decided(&self) -> bool {
        self.lost.as_deref().is_some_and(Lost::is_the_requests_fault)
    }
}

impl Errand<'_> {
    /// Tries the target at hand, with others beside it where the route says so, up to the first content.
    ///
    /// # Errors
    /// The try that decides on what comes next; all others are written down.
    pub(super) async fn lap(&self, course: &mut Course<'_>, now: Instant) -> Result<Won, Box<Lost>> {
        let race = &self.chain.race;
        if course.at + 1 < course.targets.len() && (race.parallel > 1 || race.hedges(self.ask.stream())) {
            return boxed(|| self.race(course)).await;
        }
        let left = (course.targets.len() - course.at).min(course.tries.left());
        let here = (course.at, &course.targets[course.at]);
        let lane = self.lane(here, left, false, self.why(course, course.at), now);
        let mut ward = match self.admit(&lane, false) {
            Ok(ward) => Some(ward),
            Err(missing) => return Err(Lost::without(lane, missing)),
        };
        let result = self.one(&lane, &mut ward).await;
        self.finish(course, lane, result)
    }

    async fn race(&self, course: &mut Course<'_>) -> Result<Won, Box<Lost>> {
        let mut race = Race::default();
        self.enter(course, &mut race, false);
        self.fill(course, &mut race);
        let mut hedging = self.chain.race.hedges(self.ask.stream());
        while !race.lanes.is_empty() {
            let hedge_at = if hedging && !race.is_decided() { self.hedge_at(&race) } else { None };
            let (at, result) = tokio::select! {
                biased;
                Some(finished) = race.running.next() => finished,
                () = at_last(hedge_at) => {
                    hedging = self.hedge(course, &mut race);
                    continue;
                }
            };
            let lane = race.leave(at);
            if result.is_ok() {
                return self.win(course, race, lane, result);
            }
            let hedge = lane.hedge;
            let Err(missed) = self.finish(course, lane, result) else { continue };
            let sent = missed.ended.sent();
            match (hedge, sent) {
                (true, true) => self.count_hedge("failed"),
                (true, false) => self.fleet.hedges().give_back(),
                (false, _) => {}
            }
            self.keep(course, &mut race, missed);
            if !sent && !race.lanes.is_empty() {
                self.fill(course, &mut race);
            }
        }
        Err(race.lost.expect("a race that nobody runs any more was lost"))
    }

    /// Closes the tries that were slower, and gives the answer.
    fn win(
        &self,
        course: &mut Course<'_>,
        race: Race<'_>,
        winner: Lane,
        result: Result<(Won, Vec<String>), Ended>,
    ) -> Result<Won, Box<Lost>> {
        let Race { running, lanes, lost } = race;
        lost.map(|lost| self.note(course, *lost));
        if winner.hedge {
            self.count_hedge("won");
        }
        for lane in &lanes {
            self.overtake(course, lane);
            match (lane.hedge, lane.progress.is_begun()) {
                (true, true) => self.count_hedge("lost"),
                (true, false) => self.fleet.hedges().give_back(),
                (false, _) => {}
            }
        }
        drop(running);
        self.finish(course, winner, result)
    }

    /// Starts a try on the target that the course stands at; false: its health does not let it.
    fn enter<'a>(&'a self, course: &mut Course<'_>, race: &mut Race<'a>, hedge: bool) -> bool {
        let why = match (hedge, race.lanes.is_empty()) {
            (true, _) => Why { word: "hedge", after: None },
            (false, false) => Why { word: "parallel", after: None },
            (false, true) => self.why(course, course.at),
        };
        let here = (course.at, &course.targets[course.at]);
        let lane = self.lane(here, self.sharing(course, race, hedge), hedge, why, Instant::now());
        let mut ward = match self.admit(&lane, false) {
            Ok(ward) => Some(ward),
            Err(missing) => {
                self.keep(course, race, Lost::without(lane, missing));
                return false;
            }
        };
        let mine = lane.clone();
        race.running.push(boxed(|| async move { (mine.at, self.one(&mine, &mut ward).await) }));
        race.lanes.push(lane);
        true
    }

    /// How many tries, one after the other, have to share what is left of the client's own deadline: those that start
    /// together share the same time.
    fn sharing(&self, course: &Course<'_>, race: &Race<'_>, hedge: bool) -> usize {
        let beside = if hedge { 0 } else { self.chain.race.parallel.saturating_sub(1 + race.lanes.len()) };
        let targets = course.targets.len() - course.at;
        targets.min(course.tries.left().saturating_sub(race.made())).saturating_sub(beside).max(1)
    }

    /// Starts tries until as many are under way as always are.
    fn fill<'a>(&'a self, course: &mut Course<'_>, race: &mut Race<'a>) {
        while race.lanes.len() < self.chain.race.parallel && !race.is_decided() {
            let Some(next) = course.tries.ahead(race.made(), &course.targets) else { break };
            course.step(next);
            self.enter(course, race, false);
        }
    }

    /// Keeps of the lost tries the one that decides: a request that is itself at fault, else the latest.
    fn keep(&self, course: &mut Course<'_>, race: &mut Race<'_>, missed: Box<Lost>) {
        if !race.lanes.is_empty() && matches!(missed.ended, Ended::PassedOver(Missing::Budget(_), _)) {
            course.defer(missed.lane.target);
            return;
        }
        let other = match race.lost.take() {
            Some(before) if before.is_the_requests_fault() => {
                race.lost = Some(before);
                Some(missed)
            }
            before => {
                race.lost = Some(missed);
                before
            }
        };
        if let Some(other) = other {
            let (outcome, _) = self.note(course, *other);
            course.tries.lost(outcome);
        }
    }

    /// When another try may start beside the only one.
    fn hedge_at(&self, race: &Race<'_>) -> Option<Instant> {
        let [lane] = &race.lanes[..] else { return None };
        lane.begun.checked_add(self.patience(&lane.target)?)
    }

    /// Starts the next target that may have a hedge beside a silent one; false: there is none.
    fn hedge<'a>(&'a self, course: &mut Course<'_>, race: &mut Race<'a>) -> bool {
        while let Some(next) = course.tries.ahead(race.made(), &course.targets) {
            let Some(chosen) = self.choose_hedge(&course.targets[next..]) else { return false };
            // Those in front of it keep their turn.
            course.targets.to_mut()[next..=next + chosen].rotate_right(1);
            course.step(next);
            if self.enter(course, race, true) {
                tracing::info!(model = %course.targets[next].name, "starts beside a target that is silent");
                return true;
            }
            self.fleet.hedges().give_back();
        }
        false
    }

    pub(super) fn count_hedge(&self, outcome: &str) {
        self.metrics.health().hedge(&self.chain.label, outcome);
    }
}

impl Lost {
    fn is_the_requests_fault(&self) -> bool {
        matches!(&self.ended, Ended::Failed(failure, _) if failure.outcome == Outcome::Rejected)
    }
}

/// Waits until then; without a time for ever.
async fn at_last(then: Option<Instant>) {
    match then {
        Some(then) => sleep_until(then).await,
        None => pending().await,
    }
}
