//! The way to the writer: what waits there, how much of it, whether it writes at all.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc::Sender,
    },
    time::{Duration, Instant},
};

use super::{Ack, KeptAnswer, Unavailable, ack::Waiter, answers::Place, store, upkeep::Rules};
use crate::{
    base::account::{AccountState, AccountWindow, Watermark},
    config,
    metrics::LedgerMetrics,
};

/// A commit that takes longer than this hangs: nothing new is let in behind it.
const HANGS_AFTER: Duration = Duration::from_secs(1);
/// How many bytes of answers may wait to be stored; past it an answer is given, but not kept.
const ANSWERS_WAITING: usize = 64 * 1024 * 1024;

/// Something for the writer.
pub(super) enum Job {
    /// A row. No waiter: nobody may believe that it is written soon.
    Row(Box<store::Post>, Option<Waiter>),
    /// Watermarks.
    Raise(Vec<Watermark>, Waiter),
    /// Windows that are new.
    Seed(Vec<AccountState>, Waiter),
    /// Windows that are over: their watermarks go down to what was posted.
    Lower(Vec<AccountWindow>, Waiter),
    /// An answer to be kept. The place is free when it is stored.
    Answer(Arc<KeptAnswer>, Place, Waiter),
    /// Other times for the chores.
    Rules(Rules),
    /// The end, and how long may be tried to write everything.
    Close(Duration, Waiter),
}

/// How the writer is.
#[derive(Debug)]
pub(super) struct Health {
    available: AtomicBool,
    alive: AtomicBool,
    /// How many rows wait, those being written among them.
    rows: AtomicUsize,
    /// How many bytes of answers wait.
    answers: AtomicUsize,
    /// When the commit under way began, in milliseconds since `started` plus one; 0: none is.
    committing: AtomicU64,
    started: Instant,
    max_queue: usize,
    metrics: LedgerMetrics,
}

impl Health {
    pub(super) fn new(max_queue: usize, metrics: LedgerMetrics) -> Self {
        Self {
            available: AtomicBool::new(true),
            alive: AtomicBool::new(true),
            rows: AtomicUsize::new(0),
            answers: AtomicUsize::new(0),
            committing: AtomicU64::new(0),
            started: Instant::now(),
            max_queue,
            metrics,
        }
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn available(&self) -> bool {
        self.available.load(Ordering::Acquire)
    }

    pub(super) fn set_available(&self, available: bool) {
        self.available.store(available, Ordering::Release);
    }

    pub(super) fn died(&self) {
        self.alive.store(false, Ordering::Release);
    }

    pub(super) fn commit_began(&self) {
        self.committing.store(self.elapsed_ms() + 1, Ordering::Release);
    }

    pub(super) fn commit_ended(&self) {
        self.committing.store(0, Ordering::Release);
    }

    fn row_came(&self) {
        let rows = self.rows.fetch_add(1, Ordering::AcqRel) + 1;
        self.metrics.depth(rows);
    }

    pub(super) fn rows_went(&self, count: usize) {
        let rows = self.rows.fetch_sub(count, Ordering::AcqRel) - count;
        self.metrics.depth(rows);
    }

    pub(super) fn answer_went(&self, bytes: usize) {
        self.answers.fetch_sub(bytes, Ordering::AcqRel);
    }

    /// Whether the commit under way takes longer than any should: a disk that does not answer fails nothing.
    fn hangs(&self) -> bool {
        let began = self.committing.load(Ordering::Acquire);
        let took = (self.elapsed_ms() + 1).saturating_sub(began);
        began > 0 && u128::from(took) > HANGS_AFTER.as_millis()
    }

    pub(super) fn check(&self) -> Result<(), Unavailable> {
        let well = self.available()
            && self.alive.load(Ordering::Acquire)
            && self.rows.load(Ordering::Acquire) <= self.max_queue
            && !self.hangs();
        if well { Ok(()) } else { Err(Unavailable) }
    }
}

/// Where jobs are given to the writer. Clones share it; when the last one is dropped, the writer ends.
#[derive(Clone)]
pub(super) struct Queue {
    jobs: Sender<Job>,
    health: Arc<Health>,
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("health", &self.health).finish_non_exhaustive()
    }
}

impl Queue {
    pub(super) fn new(jobs: Sender<Job>, health: Arc<Health>) -> Self {
        Self { jobs, health }
    }

    pub(super) fn check(&self) -> Result<(), Unavailable> {
        self.health.check()
    }

    pub(super) fn row(&self, post: store::Post) -> Ack {
        self.health.row_came();
        let (waiter, ack) = if self.health.available() {
            let (waiter, ack) = Ack::pair();
            (Some(waiter), ack)
        } else {
            (None, Ack::known(Err(Unavailable)))
        };
        if self.jobs.send(Job::Row(Box::new(post), waiter)).is_err() {
            self.health.rows_went(1);
            tracing::error!("the ledger's writer is gone: a row is lost; budgets count it at the next start");
        }
        ack
    }

    pub(super) fn raise(&self, to: Vec<Watermark>) -> Ack {
        self.unless_down(|waiter| Job::Raise(to, waiter))
    }

    pub(super) fn lower(&self, windows: Vec<AccountWindow>) -> Ack {
        self.unless_down(|waiter| Job::Lower(windows, waiter))
    }

    pub(super) fn seed(&self, windows: Vec<AccountState>) -> Ack {
        self.unless_down(|waiter| Job::Seed(windows, waiter))
    }

    /// Gives an answer to be kept; dropped where too many wait, since answers are no money.
    pub(super) fn answer(&self, answer: Arc<KeptAnswer>, place: Place) -> Ack {
        let bytes = answer.body.len();
        let before = self.health.answers.fetch_add(bytes, Ordering::AcqRel);
        if before.saturating_add(bytes) > ANSWERS_WAITING {
            self.health.answer_went(bytes);
            return Ack::known(Err(Unavailable));
        }
        let (waiter, ack) = Ack::pair();
        if self.jobs.send(Job::Answer(answer, place, waiter)).is_err() {
            self.health.answer_went(bytes);
        }
        ack
    }

    pub(super) fn reload(&self, config: &config::Ledger) {
        // Without a writer there are no chores.
        let _ = self.jobs.send(Job::Rules(Rules::new(config)));
    }

    pub(super) fn close(&self, within: Duration) -> Ack {
        let (waiter, ack) = Ack::pair();
        // A writer that is gone drops the waiter, which says so.
        let _ = self.jobs.send(Job::Close(within, waiter));
        ack
    }

    /// Sends what need not be kept where it cannot be written.
    fn unless_down(&self, job: impl FnOnce(Waiter) -> Job) -> Ack {
        if !self.health.available() {
            return Ack::known(Err(Unavailable));
        }
        let (waiter, ack) = Ack::pair();
        let _ = self.jobs.send(job(waiter));
        ack
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn nothing_is_let_in_behind_a_commit_that_hangs() {
        let mut health = Health::new(10, Metrics::new().unwrap().ledger());
        health.commit_began();
        assert_eq!(health.check(), Ok(()));
        health.started = health.started.checked_sub(Duration::from_secs(2)).unwrap();
        assert_eq!(health.check(), Err(Unavailable));
        health.commit_ended();
        assert_eq!(health.check(), Ok(()));
    }
}
