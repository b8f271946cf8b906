//! The ledger: one row an attempt, durable before the answer ends.
//!
//! What is posted goes through one [`writer`] thread, which commits what waits in one transaction. Reads go through
//! [`Books`], beside the writer. Times are in milliseconds since 1970 unless they say otherwise.

mod ack;
mod answers;
mod books;
mod clock;
mod entry;
mod error;
mod herald;
mod keys;
mod listing;
mod mint;
mod past;
mod queue;
pub mod read;
mod recovery;
pub mod report;
pub mod rows;
mod store;
mod upkeep;
mod waiting;
mod writer;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

pub use ack::Ack;
pub use answers::{Begun, KeptAnswer, Key, Lead};
pub use books::Books;
pub use entry::{Entry, Kind, Origin};
pub use error::{LedgerError, Unavailable};
pub use keys::{KeyRow, KeySettings};
pub use listing::{listing, shown};
pub use mint::{Minted, Wanted};
pub use past::TargetPast;
pub use recovery::{ADJUSTMENT, QUOTA};
pub use store::SpentQuery;

use crate::{
    base::{
        account::{AccountState, AccountWindow, Charge, Watermark},
        clock::Clock,
    },
    config,
    metrics::Metrics,
};
use answers::{Joined, UnderWay};
use clock::Careful;
use queue::Queue;
use store::{Store, sqlite};

/// How many reports or pages are read at once.
const READERS: usize = 2;

/// How long a clean stop tries to write what waits.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// The ledger of this process. Clones share it.
#[derive(Clone, Debug)]
pub struct Ledger {
    queue: Queue,
    books: Books,
    under_way: UnderWay,
}

/// What a ledger knows when it opens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// Every account's latest window.
    pub accounts: Vec<AccountState>,
    /// How many windows a crash had left unsettled, see [`Kind::Adjustment`].
    pub adjusted: usize,
}

impl Ledger {
    /// Opens the ledger as its only owner, settles what a crash left, and starts the writer. Blocks.
    ///
    /// # Errors
    /// The url is wrong, another server owns the file, it is no ledger or a newer one, it cannot be written.
    pub fn open(
        config: &config::Ledger,
        metrics: &Metrics,
        clock: Clock,
    ) -> Result<(Self, Opened), LedgerError> {
        let store = sqlite::Sqlite::open(&config.url)?;
        Self::start(Box::new(store), config, metrics, clock)
    }

    /// The ledger over a store that is open.
    fn start(
        mut store: Box<dyn Store>,
        config: &config::Ledger,
        metrics: &Metrics,
        clock: Clock,
    ) -> Result<(Self, Opened), LedgerError> {
        let unsettled = store.unsettled()?;
        let adjustments = recovery::adjustments(&unsettled, clock.millis());
        store.adjust(&adjustments)?;
        if !unsettled.is_empty() {
            tracing::warn!(
                windows = unsettled.len(),
                "the ledger was not closed: what may have been spent is now counted as spent"
            );
        }
        let opened = Opened { accounts: store.accounts()?, adjusted: unsettled.len() };
        let large = (0..READERS).map(|_| store.reader()).collect::<Result<Vec<_>, _>>()?;
        let books = Books::new(store.reader()?, large);
        let clock = Careful::new(clock, store.newest()?, Instant::now());
        let queue = writer::start(store, config, metrics.ledger(), clock)?;
        Ok((Self { queue, books, under_way: UnderWay::default() }, opened))
    }

    /// Opens the ledger's file beside the server that owns it, to read it or to write keys. Where there is none it is
    /// made if `make` says so, else there is `None`. Blocks.
    ///
    /// # Errors
    /// As [`Ledger::open`]; also where the file is older and a server is using it, or the ledger is in memory.
    pub fn open_shared(config: &config::Ledger, make: bool) -> Result<Option<Books>, LedgerError> {
        Ok(sqlite::open_shared(&config.url, make)?.map(Books::of_one))
    }

    /// Posts a row with what it adds to the accounts. Never blocks, may be called in a drop; what was posted is kept
    /// and tried again until it is written, also where the [`Ack`] says that it is not written yet.
    pub fn post(&self, entry: Entry, charges: Vec<Charge>) -> Ack {
        self.queue.row(store::Post { entry, charges })
    }

    /// The same for a row that nobody waits for: it may lie in memory a moment until others have come, to be written with
    /// them.
    pub fn note(&self, entry: Entry, charges: Vec<Charge>) {
        self.queue.note(store::Post { entry, charges });
    }

    /// Raises watermarks. What ends with [`Unavailable`] was not raised.
    pub fn raise(&self, to: Vec<Watermark>) -> Ack {
        self.queue.raise(to)
    }

    /// Writes what was spent in windows that no account has counted, as [`Books::spent`] counted it; where more is known,
    /// that stays. To be awaited before a watermark of theirs is raised.
    pub fn seed(&self, windows: Vec<AccountState>) -> Ack {
        self.queue.seed(windows)
    }

    /// Lowers the watermarks of windows that are over to what was posted: nothing can be spent there any more.
    pub fn lower(&self, windows: Vec<AccountWindow>) -> Ack {
        self.queue.lower(windows)
    }

    /// Writes how targets did, in place of what was known of them, soon and apart from all rows. Where it cannot be
    /// written it is forgotten: it is no money.
    pub fn keep_pasts(&self, pasts: Vec<TargetPast>) -> Ack {
        self.queue.pasts(pasts)
    }

    /// Whether rows can be recorded now: the last commit succeeded, none hangs, and no more than `max_queue` wait.
    ///
    /// # Errors
    /// They cannot.
    pub fn check(&self) -> Result<(), Unavailable> {
        self.queue.check()
    }

    /// What can be read, and the keys.
    pub fn books(&self) -> &Books {
        &self.books
    }

    /// Takes new times for retention, vacuum and idempotency.
    pub fn reload(&self, config: &config::Ledger) {
        self.queue.reload(config);
    }

    /// Finds out whether a request with this idempotency key is the first. One that comes while the first is under
    /// way waits for its answer. `request` is the SHA-256 of the body, `since` how old an answer may be.
    ///
    /// # Errors
    /// The store's own.
    pub async fn begin(&self, key: &Key, request: &[u8; 32], since: i64) -> Result<Begun, LedgerError> {
        loop {
            match self.under_way.join(key, request) {
                Joined::Mismatch => return Ok(Begun::Mismatch),
                Joined::Wait(mut answer) => {
                    // An error means that the one before gave up: the next one leads.
                    if let Ok(answer) = answer.wait_for(Option::is_some).await
                        && let Some(answer) = &*answer
                    {
                        return Ok(Begun::Answered(answer.clone()));
                    }
                }
                Joined::First(place, sender) => {
                    return Ok(match self.books.answer(key.clone(), since).await? {
                        Some(kept) if kept.request == *request => Begun::Answered(Arc::new(kept)),
                        Some(_) => Begun::Mismatch,
                        None => Begun::Lead(Lead::new(place, sender, self.queue.clone())),
                    });
                }
            }
        }
    }

    /// Writes everything, lowers the watermarks to what was spent, and ends the writer. Nothing may be held any more:
    /// what is posted later is lost, and no budget counts it.
    ///
    /// # Errors
    /// The store could not write for five seconds; budgets then count what may have been spent as spent.
    pub async fn close(&self) -> Result<(), Unavailable> {
        self.queue.close(CLOSE_WITHIN, true).await
    }

    /// Writes everything and ends the writer while something may still be held: the watermarks stay, so that the next
    /// start counts as spent what may have been.
    ///
    /// # Errors
    /// As [`Ledger::close`].
    pub async fn close_holding(&self) -> Result<(), Unavailable> {
        self.queue.close(CLOSE_WITHIN, false).await
    }
}

#[cfg(test)]
mod tests;
