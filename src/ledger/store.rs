//! What the ledger needs of a database.
//!
//! Everything here blocks. A [`Store`] is owned by the writer's thread, a [`Reader`] is used from threads that may
//! block. A store that many nodes share follows the same shape: a raise is then a lease that the node takes in the
//! commit, `posted` is summed over the nodes, and [`Store::adjust`] looks at the leases of this node alone.

pub mod sqlite;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use super::{
    Entry, KeptAnswer, Key, LedgerError, TargetPast,
    keys::KeyRow,
    report::{Question, Summary},
    rows::{Page, RowQuery},
};
use crate::{
    base::{
        account::{AccountState, AccountWindow, Charge, Watermark},
        money::Nanos,
    },
    config::Scope,
};

/// A row with what it adds to the accounts.
#[derive(Clone, Debug, PartialEq)]
pub struct Post {
    /// The row.
    pub entry: Entry,
    /// What it adds, where.
    pub charges: Vec<Charge>,
}

/// What a crash may have left unwritten in one window of a budget.
#[derive(Clone, Debug, PartialEq)]
pub struct Adjustment {
    /// Its row.
    pub entry: Entry,
    /// The window that it belongs to: it counts in no other one.
    pub window: AccountWindow,
}

/// What is written in one transaction.
#[derive(Debug, Default)]
pub struct Batch<'a> {
    /// When, in milliseconds since 1970.
    pub now: i64,
    /// Rows. One that was written before, lately or by a commit that was said to have failed, is passed over with its
    /// charges.
    pub posts: &'a [Post],
    /// Windows to be made, or raised where they are there.
    pub seeds: Vec<AccountState>,
    /// Watermarks to be raised.
    pub raises: Vec<Watermark>,
    /// Windows that are over: their watermarks go down to what was posted.
    pub over: Vec<AccountWindow>,
    /// Answers to be kept for idempotency.
    pub answers: Vec<Arc<KeptAnswer>>,
    /// How many bytes all kept answers may take; the oldest make room.
    pub answers_max: u64,
}

/// The one that writes.
pub trait Store: Send {
    /// Every account's latest window.
    ///
    /// # Errors
    /// The store's own.
    fn accounts(&mut self) -> Result<Vec<AccountState>, LedgerError>;

    /// Every window whose watermark is above what was posted, with a moment that is known to be inside of it, in
    /// milliseconds since 1970.
    ///
    /// # Errors
    /// The store's own.
    fn unsettled(&mut self) -> Result<Vec<(AccountState, i64)>, LedgerError>;

    /// The time of the newest row, in milliseconds since 1970.
    ///
    /// # Errors
    /// The store's own.
    fn newest(&mut self) -> Result<Option<i64>, LedgerError>;

    /// Writes these rows, and counts everything up to each watermark as posted. One transaction.
    ///
    /// # Errors
    /// The store's own; nothing was changed then.
    fn adjust(&mut self, adjustments: &[Adjustment]) -> Result<(), LedgerError>;

    /// Lowers each watermark to what was posted: nothing is held any more.
    ///
    /// # Errors
    /// The store's own; nothing was changed then.
    fn settle(&mut self) -> Result<(), LedgerError>;

    /// Writes a batch, whole and durably, or nothing of it. Returns within about half a second even where the file is
    /// locked by another process. An empty batch writes too: it is how the ledger finds out whether it can.
    ///
    /// # Errors
    /// The store's own; nothing was changed then.
    fn commit(&mut self, batch: &Batch<'_>) -> Result<(), LedgerError>;

    /// Deletes at most `limit` rows older than `before` and as many answers older than `answers_before`; when none is
    /// left, the settled windows of budgets that ended before `before` too. Returns whether there may be more.
    ///
    /// # Errors
    /// The store's own.
    fn prune(&mut self, before: i64, answers_before: i64, limit: usize) -> Result<bool, LedgerError>;

    /// Writes how these targets did, in place of what was known of them; of those whose newest minute began before
    /// `before`, in milliseconds since 1970, nothing is kept. One transaction.
    ///
    /// # Errors
    /// The store's own; nothing was changed then.
    fn keep_pasts(&mut self, pasts: &[TargetPast], before: i64) -> Result<(), LedgerError>;

    /// Gives a few free pages back to the disk. Returns whether there are more.
    ///
    /// # Errors
    /// The store's own.
    fn vacuum(&mut self) -> Result<bool, LedgerError>;

    /// Another one to read from.
    ///
    /// # Errors
    /// The store's own.
    fn reader(&self) -> Result<Box<dyn Reader>, LedgerError>;

    /// Tidies up behind the last commit.
    fn close(&mut self);
}

/// A question for what was spent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpentQuery {
    /// By whom.
    pub scope: Scope,
    /// The window that asks: since its beginning, and of adjustments only its own count.
    pub window: AccountWindow,
}

/// When a read is to end before its time.
#[derive(Clone, Debug)]
pub struct Stop {
    /// Set when nobody waits for it any more.
    pub unwanted: Arc<AtomicBool>,
    /// When it has taken too long.
    pub at: Instant,
}

impl Stop {
    /// Whether it is time.
    pub fn is_due(&self) -> bool {
        self.unwanted.load(Ordering::Relaxed) || Instant::now() >= self.at
    }
}

/// One that reads, and writes keys.
pub trait Reader: Send {
    /// Ends reads early from now on, with [`LedgerError::TooLong`]; `None`: no longer.
    ///
    /// # Errors
    /// The store's own.
    fn stop_at(&mut self, stop: Option<Stop>) -> Result<(), LedgerError>;

    /// What was spent, by holder: the key's name for [`Scope::EachKey`], else one sum under the empty name.
    ///
    /// # Errors
    /// The store's own.
    fn spent(&mut self, query: &SpentQuery) -> Result<Vec<(String, Nanos)>, LedgerError>;

    /// A page of rows.
    ///
    /// # Errors
    /// The store's own.
    fn rows(&mut self, query: &RowQuery) -> Result<Page, LedgerError>;

    /// What the rows come to.
    ///
    /// # Errors
    /// The store's own.
    fn report(&mut self, question: Question) -> Result<Summary, LedgerError>;

    /// The keys made at run time, revoked ones too, by name.
    ///
    /// # Errors
    /// The store's own.
    fn keys(&mut self) -> Result<Vec<KeyRow>, LedgerError>;

    /// A number that differs after each change of a key, by whatever process.
    ///
    /// # Errors
    /// The store's own.
    fn keys_version(&mut self) -> Result<i64, LedgerError>;

    /// Writes a key. One that was revoked may be made anew.
    ///
    /// # Errors
    /// The name or the hash is taken; the store's own.
    fn put_key(&mut self, row: &KeyRow) -> Result<(), LedgerError>;

    /// Revokes a key.
    ///
    /// # Errors
    /// There is none; the store's own.
    fn revoke_key(&mut self, name: &str, now: i64) -> Result<(), LedgerError>;

    /// The answer kept under these keys that is not older than `since`, in milliseconds since 1970.
    ///
    /// # Errors
    /// The store's own.
    fn answer(&mut self, key: &Key, since: i64) -> Result<Option<KeptAnswer>, LedgerError>;

    /// How targets did lately.
    ///
    /// # Errors
    /// The store's own.
    fn pasts(&mut self) -> Result<Vec<TargetPast>, LedgerError>;
}
