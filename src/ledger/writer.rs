//! The thread that writes: it commits what waits in one transaction, then tells everyone who waited.

use std::{
    mem,
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    KeptAnswer, LedgerError, TargetPast, Unavailable,
    answers::Place,
    clock::Careful,
    queue::{Haste, Health, Job, Queue},
    store::{self, Batch, Store},
    upkeep::{Rules, Upkeep},
    waiting::Ticket,
};
use crate::{
    base::account::{AccountState, AccountWindow, Watermark},
    config,
    health::MINUTES,
    metrics::LedgerMetrics,
};

/// How many rows one transaction takes at most. It bounds how long the first of them waits.
const MAX_BATCH: usize = 2048;
/// How old the newest minute of a target's past may be, in milliseconds: then nothing of it is shown any more.
const PAST: i64 = MINUTES as i64 * 60_000;
/// How long rows that nobody waits for lie until others have come: a transaction costs as much as many rows.
const LINGER: Duration = Duration::from_millis(20);
/// How long rows that somebody waits for lie at most, while others come as well.
const CROWD: Duration = Duration::from_millis(1);
/// How long it is waited for the next ones of a crowd.
const STEP: Duration = Duration::from_micros(250);
/// How long ago a transaction with several such rows tells of a crowd.
const LATELY: Duration = Duration::from_millis(5);
/// How long after a failure it is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(250);

/// Starts the thread.
///
/// # Errors
/// The system has no thread left.
pub(super) fn start(
    store: Box<dyn Store>,
    config: &config::Ledger,
    metrics: LedgerMetrics,
    clock: Careful,
) -> Result<Queue, LedgerError> {
    let (sender, jobs) = mpsc::channel();
    let health = Arc::new(Health::new(config.max_queue, metrics.clone()));
    let queue = Queue::new(sender, health.clone());
    let watched = health.clone();
    let upkeep = Upkeep::new(Rules::new(config), Instant::now());
    let run = move || {
        // Also where a bug makes this thread panic: nobody may believe that it still writes.
        let _dead = DeadWhenDropped(health.clone());
        let round = Round::default();
        let rows = Vec::new();
        let (pasts, crowd, retry_at, closing) = (None, None, None, None);
        Writer { store, jobs, health, metrics, clock, upkeep, rows, round, pasts, crowd, retry_at, closing }
            .run();
    };
    let failed = |why| LedgerError::failed("start the writer's thread", why);
    thread::Builder::new().name("ledger".into()).spawn(run).map_err(failed)?;
    let watch = move || watched.watch();
    thread::Builder::new().name("ledger watch".into()).spawn(watch).map_err(failed)?;
    Ok(queue)
}

struct DeadWhenDropped(Arc<Health>);

impl Drop for DeadWhenDropped {
    fn drop(&mut self) {
        self.0.died();
    }
}

/// What goes into the next transaction besides rows, and who waits for it.
#[derive(Default)]
struct Round {
    seeds: Vec<AccountState>,
    over: Vec<AccountWindow>,
    raises: Vec<Watermark>,
    answers: Vec<Arc<KeptAnswer>>,
    places: Vec<Place>,
    waiters: Vec<Ticket>,
}

struct Writer {
    store: Box<dyn Store>,
    jobs: Receiver<Job>,
    health: Arc<Health>,
    metrics: LedgerMetrics,
    clock: Careful,
    upkeep: Upkeep,
    /// Rows that are not written yet, the oldest first. They leave it only when they are.
    rows: Vec<store::Post>,
    round: Round,
    /// How targets did, if it is to be written.
    pasts: Option<(Vec<TargetPast>, Ticket)>,
    /// When the last transaction ended that had several rows that somebody waited for.
    crowd: Option<Instant>,
    /// Set while the ledger is unavailable.
    retry_at: Option<Instant>,
    /// Set when the end was asked for: how long may be tried to write everything, whether nothing is held, and who
    /// waits for it.
    closing: Option<(Duration, bool, Ticket)>,
}

impl Writer {
    fn run(mut self) {
        loop {
            let until = self.retry_at.unwrap_or_else(|| self.upkeep.due());
            let wait = if self.retry_at.is_none() && !self.rows.is_empty() {
                Duration::ZERO
            } else {
                until.saturating_duration_since(Instant::now())
            };
            let first = match self.jobs.recv_timeout(wait) {
                Ok(job) => Some(job),
                Err(RecvTimeoutError::Timeout) => None,
                // Nobody is left who could close it: as after a crash, but with every row.
                Err(RecvTimeoutError::Disconnected) => return self.write_all(Instant::now()),
            };
            if self.retry_at.is_none() {
                self.linger(first.as_ref());
            }
            self.health.takes();
            self.gather(first);
            if let Some((within, nothing_held, ticket)) = self.closing.take() {
                return self.close(within, nothing_held, &ticket);
            }
            match self.retry_at {
                Some(at) if Instant::now() < at => self.refuse(),
                Some(_) => self.commit(),
                None if self.has_work() => self.commit(),
                None => {}
            }
            self.keep_pasts();
            self.chores();
        }
    }

    /// Lets other rows come: a transaction costs as much as many of them.
    fn linger(&self, first: Option<&Job>) {
        let mut waited_for = false;
        match first {
            Some(Job::Row(_, None)) => self.health.linger(LINGER, Haste::None),
            Some(Job::Row(_, Some(_))) => waited_for = true,
            _ => return,
        }
        waited_for |= self.health.haste() == Haste::Some as u8;
        // Whoever is alone waits for nobody.
        let crowd = self.crowd.is_some_and(|at| at.elapsed() < LATELY);
        if !(waited_for && crowd) {
            return;
        }
        let begun = Instant::now();
        while self.health.haste() < Haste::Great as u8 && begun.elapsed() < CROWD {
            let came = self.health.came();
            self.health.linger(STEP, Haste::Some);
            if self.health.came() == came {
                break;
            }
        }
    }

    /// Takes what waits, at most a batch.
    fn gather(&mut self, first: Option<Job>) {
        let waiting = self.jobs.try_iter();
        for job in first.into_iter().chain(waiting).take(MAX_BATCH) {
            let round = &mut self.round;
            match job {
                Job::Row(post, waiter) => {
                    self.rows.push(*post);
                    round.waiters.extend(waiter);
                }
                Job::Raise(to, waiter) => {
                    round.raises.extend(to);
                    round.waiters.push(waiter);
                }
                Job::Seed(windows, waiter) => {
                    round.seeds.extend(windows);
                    round.waiters.push(waiter);
                }
                Job::Lower(windows, waiter) => {
                    round.over.extend(windows);
                    round.waiters.push(waiter);
                }
                Job::Answer(answer, place, waiter) => {
                    round.answers.push(answer);
                    round.places.push(place);
                    round.waiters.push(waiter);
                }
                Job::Pasts(pasts, waiter) => {
                    let before = self.pasts.replace((pasts, waiter));
                    self.health.waiting.tell(before.map(|(_, waiter)| waiter), Err(Unavailable));
                }
                Job::Rules(rules) => self.upkeep.rules = rules,
                Job::Close(within, nothing_held, ticket) => {
                    self.closing = Some((within, nothing_held, ticket));
                }
            }
        }
    }

    fn has_work(&self) -> bool {
        let round = &self.round;
        !(self.rows.is_empty()
            && round.waiters.is_empty()
            && round.raises.is_empty()
            && round.seeds.is_empty()
            && round.answers.is_empty())
    }

    /// Commits the oldest rows with everything else that waits. While the ledger is unavailable this is how it finds
    /// out whether it is still.
    fn commit(&mut self) {
        // Waiters wait for the youngest rows: with a backlog longer than a batch these come last.
        let whole = self.rows.len() <= 2 * MAX_BATCH;
        let count = if whole { self.rows.len() } else { MAX_BATCH };
        let round = if whole { mem::take(&mut self.round) } else { Round::default() };
        let Round { seeds, over, raises, answers, places, waiters } = round;
        let answers_max = self.upkeep.rules.answers_max;
        let kept: usize = answers.iter().map(|answer| answer.body.len()).sum();
        let (now, posts) = (self.clock.wall(), &self.rows[..count]);
        let batch = Batch { now, posts, seeds, raises, over, answers, answers_max };
        let began = Instant::now();
        self.health.write_began();
        let result = self.store.commit(&batch);
        self.health.write_ended();
        drop(batch);
        self.health.answer_went(kept);
        // Only now: whoever asks for the same answer again finds it in the store. Before anyone is told, who may ask.
        drop(places);
        match result {
            Ok(()) => {
                self.metrics.committed(began.elapsed());
                if waiters.len() > 1 {
                    self.crowd = Some(Instant::now());
                }
                self.rows.drain(..count);
                self.health.rows_went(count);
                if self.rows.is_empty() {
                    self.recovered();
                }
                self.health.waiting.tell(waiters, Ok(()));
            }
            Err(why) => {
                self.failed(&why);
                self.health.waiting.tell(waiters, Err(Unavailable));
            }
        }
    }

    fn recovered(&mut self) {
        if self.retry_at.take().is_some() {
            tracing::info!("the ledger can record again");
        }
        self.health.set_available(true);
    }

    fn failed(&mut self, why: &LedgerError) {
        self.metrics.failed();
        self.health.set_available(false);
        if self.retry_at.is_none() {
            tracing::error!(%why, rows = self.rows.len(), "the ledger cannot record; it is tried again and again");
        }
        self.retry_at = Some(Instant::now() + RETRY_AFTER);
        // Those that came during the try have waited long enough.
        self.gather(None);
        self.refuse();
    }

    /// Tells those who wait that it will take longer. Their rows stay, all else they have to ask for again.
    fn refuse(&mut self) {
        let round = mem::take(&mut self.round);
        self.health.answer_went(round.answers.iter().map(|answer| answer.body.len()).sum());
        self.health.waiting.tell(round.waiters, Err(Unavailable));
    }

    /// In a transaction of its own: what cannot be written here must not keep rows from being written.
    fn keep_pasts(&mut self) {
        let Some((pasts, waiter)) = self.pasts.take() else { return };
        let result = match self.retry_at {
            Some(_) => Err(Unavailable),
            None => {
                let before = self.clock.wall().saturating_sub(PAST);
                self.health.write_began();
                let result = self.store.keep_pasts(&pasts, before);
                self.health.write_ended();
                result.map_err(|why| {
                    tracing::warn!(%why, "how the targets did could not be written down; it is tried again");
                    Unavailable
                })
            }
        };
        self.health.waiting.tell([waiter], result);
    }

    fn chores(&mut self) {
        let now = Instant::now();
        if self.retry_at.is_some() || now < self.upkeep.due() {
            return;
        }
        let surely = self.clock.surely(now);
        self.health.write_began();
        let result = self.upkeep.step(&mut *self.store, now, surely);
        self.health.write_ended();
        if let Err(why) = result {
            tracing::warn!(%why, "the ledger could not be tidied up; it is tried again in a minute");
        }
    }

    /// Writes every row, or gives up at `until`.
    fn write_all(&mut self, until: Instant) {
        while self.has_work() {
            self.commit();
            if self.retry_at.is_some() {
                if Instant::now() >= until {
                    break;
                }
                thread::sleep(RETRY_AFTER);
            }
        }
    }

    fn close(mut self, within: Duration, nothing_held: bool, ticket: &Ticket) {
        let until = Instant::now() + within;
        // What came after the end was asked for is still taken.
        while let Ok(job) = self.jobs.try_recv() {
            self.gather(Some(job));
        }
        self.write_all(until);
        self.keep_pasts();
        let lost = self.rows.len();
        let settled = if lost == 0 && nothing_held { self.store.settle() } else { Ok(()) };
        if lost > 0 {
            tracing::error!(rows = lost, "the ledger was closed without rows that it could not write");
        }
        if let Err(why) = &settled {
            tracing::error!(%why, "the ledger could not be settled; budgets count what was set apart as spent");
        }
        self.store.close();
        // Before anyone is told: neither the ledger's owner nor its health may be what they were.
        drop(self.store);
        let waiter = self.health.waiting.take(ticket);
        self.health.died();
        if let Some(waiter) = waiter {
            let _ = waiter.send(if lost == 0 && settled.is_ok() { Ok(()) } else { Err(Unavailable) });
        }
    }
}
