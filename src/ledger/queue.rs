//! The way to the writer: what waits there, how much of it, whether it writes at all.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering},
        mpsc::Sender,
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

use super::{
    Ack, KeptAnswer, TargetPast, Unavailable,
    answers::Place,
    store,
    upkeep::Rules,
    waiting::{Ticket, Waiting},
};
use crate::{
    base::account::{AccountState, AccountWindow, Watermark},
    config,
    metrics::LedgerMetrics,
};

/// A write that takes longer than this hangs: nothing new is let in behind it, and who waits for it is told.
const HANGS_AFTER: Duration = Duration::from_secs(1);
/// How often it is looked whether a write hangs.
const WATCH: Duration = Duration::from_millis(100);
/// How many bytes of answers may wait to be stored; past it an answer is given, but not kept.
const ANSWERS_WAITING: usize = 64 * 1024 * 1024;

/// So many rows are enough for a transaction: more would make each of them hardly cheaper.
const ENOUGH: usize = 32;

/// In what haste they are who wait for what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Haste {
    /// Nobody waits.
    None,
    /// Somebody waits for a row, which may wait for others that come at once.
    Some,
    /// There is nothing to wait for any more.
    Great,
}

/// Something for the writer.
pub(super) enum Job {
    /// A row. No ticket: nobody waits for it, or may believe that it is written soon.
    Row(Box<store::Post>, Option<Ticket>),
    /// Watermarks.
    Raise(Vec<Watermark>, Ticket),
    /// Windows that are new.
    Seed(Vec<AccountState>, Ticket),
    /// Windows that are over: their watermarks go down to what was posted.
    Lower(Vec<AccountWindow>, Ticket),
    /// An answer to be kept. The place is free when it is stored.
    Answer(Arc<KeptAnswer>, Place, Ticket),
    /// How targets did.
    Pasts(Vec<TargetPast>, Ticket),
    /// Other times for the chores.
    Rules(Rules),
    /// The end, how long may be tried to write everything, and whether nothing is held any more.
    Close(Duration, bool, Ticket),
}

/// How the writer is.
#[derive(Debug)]
pub(super) struct Health {
    available: AtomicBool,
    alive: AtomicBool,
    /// How many rows wait, those being written among them.
    rows: AtomicUsize,
    /// How many rows came since the writer took what there was.
    came: AtomicUsize,
    /// How many bytes of answers wait.
    answers: AtomicUsize,
    /// When the write under way began, in milliseconds since `started` plus one; 0: none is.
    writing: AtomicU64,
    /// The greatest [`Haste`] of those who wait for something that was sent.
    haste: AtomicU8,
    /// The writer's thread.
    writer: OnceLock<Thread>,
    /// Those who wait for the writer.
    pub(super) waiting: Waiting,
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
            came: AtomicUsize::new(0),
            answers: AtomicUsize::new(0),
            writing: AtomicU64::new(0),
            haste: AtomicU8::new(Haste::None as u8),
            writer: OnceLock::new(),
            waiting: Waiting::default(),
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
        self.waiting.dismiss();
    }

    /// Looks after the writer: whoever waits for one that hangs is told. Blocks until the writer is gone.
    pub(super) fn watch(&self) {
        let mut hung = false;
        while self.alive.load(Ordering::Acquire) {
            hung = self.look(hung);
            thread::sleep(WATCH);
        }
    }

    /// One look at the writer, and whether it hangs; `hung` is what the look before said.
    fn look(&self, hung: bool) -> bool {
        self.waiting.look_after();
        let hangs = self.hangs();
        if hangs {
            self.waiting.give_up(Instant::now());
            // Once a time: nothing else counts a write that never ends.
            if !hung {
                self.metrics.failed();
                tracing::error!("a write of the ledger hangs; nothing is let in behind it");
            }
        }
        hangs
    }

    /// Whether there is sense in waiting for the writer.
    fn writes(&self) -> bool {
        self.available() && !self.hangs()
    }

    pub(super) fn write_began(&self) {
        self.writing.store(self.elapsed_ms() + 1, Ordering::Release);
    }

    pub(super) fn write_ended(&self) {
        self.writing.store(0, Ordering::Release);
    }

    /// Lets more rows come, for so long, or until somebody is in greater haste. To be called by the writer alone.
    pub(super) fn linger(&self, time: Duration, haste: Haste) {
        self.writer.get_or_init(thread::current);
        let until = Instant::now() + time;
        while self.haste() <= haste as u8 {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            // What is sent meanwhile wakes nobody: that is the point of it.
            thread::park_timeout(left);
        }
    }

    pub(super) fn haste(&self) -> u8 {
        self.haste.load(Ordering::Acquire)
    }

    /// How many rows came since [`Health::takes`].
    pub(super) fn came(&self) -> usize {
        self.came.load(Ordering::Relaxed)
    }

    /// Everything that was sent until now is about to be taken. To be called by the writer alone.
    pub(super) fn takes(&self) {
        self.came.store(0, Ordering::Relaxed);
        self.haste.store(Haste::None as u8, Ordering::Release);
    }

    /// Somebody waits for what was just sent.
    fn hurry(&self, haste: Haste) {
        // Whoever was first in such haste has woken the writer.
        if self.haste.fetch_max(haste as u8, Ordering::AcqRel) < haste as u8
            && let Some(writer) = self.writer.get()
        {
            writer.unpark();
        }
    }

    /// How many rows came since the writer took what there was.
    fn row_came(&self) -> usize {
        let rows = self.rows.fetch_add(1, Ordering::AcqRel) + 1;
        self.metrics.depth(rows);
        self.came.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn rows_went(&self, count: usize) {
        let rows = self.rows.fetch_sub(count, Ordering::AcqRel) - count;
        self.metrics.depth(rows);
    }

    pub(super) fn answer_went(&self, bytes: usize) {
        self.answers.fetch_sub(bytes, Ordering::AcqRel);
    }

    /// Whether the write under way takes longer than any should: a disk that does not answer fails nothing.
    fn hangs(&self) -> bool {
        let began = self.writing.load(Ordering::Acquire);
        let took = || (self.elapsed_ms() + 1).saturating_sub(began);
        began > 0 && u128::from(took()) > HANGS_AFTER.as_millis()
    }

    pub(super) fn check(&self) -> Result<(), Unavailable> {
        let well = self.writes()
            && self.alive.load(Ordering::Acquire)
            && self.rows.load(Ordering::Acquire) <= self.max_queue;
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

    /// A row that nobody waits for; it may lie a moment until others have come.
    pub(super) fn note(&self, post: store::Post) {
        self.health.row_came();
        self.send_row(post, None);
    }

    pub(super) fn row(&self, post: store::Post) -> Ack {
        let came = self.health.row_came();
        let (ticket, ack) = if self.health.writes() {
            let (ticket, ack) = self.health.waiting.join(None);
            (Some(ticket), ack)
        } else {
            (None, Ack::known(Err(Unavailable)))
        };
        self.send_row(post, ticket);
        self.health.hurry(if came < ENOUGH { Haste::Some } else { Haste::Great });
        ack
    }

    fn send_row(&self, post: store::Post, ticket: Option<Ticket>) {
        if let Err(back) = self.jobs.send(Job::Row(Box::new(post), ticket)) {
            self.health.rows_went(1);
            tracing::error!("a row is lost: it came when the ledger was closed, or its writer had failed");
            self.refuse(back.0);
        }
    }

    pub(super) fn raise(&self, to: Vec<Watermark>) -> Ack {
        self.unless_down(|ticket| Job::Raise(to, ticket))
    }

    pub(super) fn lower(&self, windows: Vec<AccountWindow>) -> Ack {
        self.unless_down(|ticket| Job::Lower(windows, ticket))
    }

    pub(super) fn seed(&self, windows: Vec<AccountState>) -> Ack {
        self.unless_down(|ticket| Job::Seed(windows, ticket))
    }

    pub(super) fn pasts(&self, pasts: Vec<TargetPast>) -> Ack {
        self.unless_down(|ticket| Job::Pasts(pasts, ticket))
    }

    /// Gives an answer to be kept; dropped where too many wait, since answers are no money.
    pub(super) fn answer(&self, answer: Arc<KeptAnswer>, place: Place) -> Ack {
        let bytes = answer.body.len();
        let before = self.health.answers.fetch_add(bytes, Ordering::AcqRel);
        if before.saturating_add(bytes) > ANSWERS_WAITING {
            self.health.answer_went(bytes);
            return Ack::known(Err(Unavailable));
        }
        let (ticket, ack) = self.health.waiting.join(None);
        if let Err(back) = self.jobs.send(Job::Answer(answer, place, ticket)) {
            self.health.answer_went(bytes);
            self.refuse(back.0);
        }
        self.health.hurry(Haste::Great);
        ack
    }

    pub(super) fn reload(&self, config: &config::Ledger) {
        // Without a writer there are no chores.
        let _ = self.jobs.send(Job::Rules(Rules::new(config)));
    }

    /// Ends the writer. Where something may still be held, the watermarks stay as they are.
    pub(super) fn close(&self, within: Duration, nothing_held: bool) -> Ack {
        // A commit that is slow may end, one that hangs for so long is not waited for.
        let until = Instant::now() + within + HANGS_AFTER;
        let (ticket, ack) = self.health.waiting.join(Some(until));
        if let Err(back) = self.jobs.send(Job::Close(within, nothing_held, ticket)) {
            self.refuse(back.0);
        }
        self.health.hurry(Haste::Great);
        ack
    }

    /// Tells who waits for a job that did not go.
    fn refuse(&self, job: Job) {
        let ticket = match job {
            Job::Row(_, ticket) => ticket,
            Job::Raise(_, ticket) | Job::Seed(_, ticket) | Job::Lower(_, ticket) => Some(ticket),
            Job::Answer(_, _, ticket) | Job::Close(_, _, ticket) | Job::Pasts(_, ticket) => Some(ticket),
            Job::Rules(_) => None,
        };
        self.health.waiting.tell(ticket, Err(Unavailable));
    }

    /// Sends what need not be kept where it cannot be written.
    fn unless_down(&self, job: impl FnOnce(Ticket) -> Job) -> Ack {
        if !self.health.writes() {
            return Ack::known(Err(Unavailable));
        }
        let (ticket, ack) = self.health.waiting.join(None);
        if let Err(back) = self.jobs.send(job(ticket)) {
            self.refuse(back.0);
        }
        self.health.hurry(Haste::Great);
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
        health.write_began();
        assert_eq!(health.check(), Ok(()));
        health.started = health.started.checked_sub(Duration::from_secs(2)).unwrap();
        assert_eq!(health.check(), Err(Unavailable));
        health.write_ended();
        assert_eq!(health.check(), Ok(()));
    }

    #[test]
    fn who_is_in_greater_haste_ends_the_wait_for_others() {
        const LONG: Duration = Duration::from_secs(60);
        for (waits, comes) in [(Haste::None, Haste::Some), (Haste::Some, Haste::Great)] {
            let health = Health::new(10, Metrics::new().unwrap().ledger());
            thread::scope(|scope| {
                let writer = scope.spawn(|| health.linger(LONG, waits));
                health.hurry(waits);
                thread::sleep(Duration::from_millis(20));
                assert!(!writer.is_finished(), "{waits:?}");
                health.hurry(comes);
                let until = Instant::now() + LONG / 2;
                while !writer.is_finished() {
                    assert!(Instant::now() < until, "{waits:?} is not ended by {comes:?}");
                    thread::yield_now();
                }
            });
            health.takes();
            assert_eq!(health.haste(), Haste::None as u8);
        }
    }

    #[test]
    fn a_commit_that_hangs_counts_as_one_failure() {
        let metrics = Metrics::new().unwrap();
        let failures = |count: u32| {
            let page = String::from_utf8(metrics.page()).unwrap();
            assert!(page.contains(&format!("\nweir_ledger_failures_total {count}\n")), "{page}");
        };
        let mut health = Health::new(10, metrics.ledger());
        health.write_began();
        assert!(!health.look(false));
        failures(0);
        health.started = health.started.checked_sub(Duration::from_secs(2)).unwrap();
        assert!(health.look(false) && health.look(true));
        failures(1);
        health.write_ended();
        assert!(!health.look(true));
        failures(1);
    }
}
