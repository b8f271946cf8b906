//! The ledger in a SQLite file.

mod accounts;
mod answers;
mod beside;
mod keys;
mod names;
mod pages;
pub(in crate::ledger) mod parallel;
mod pasts;
mod place;
mod reads;
mod rows;
#[cfg(test)]
#[path = "sample_tests.rs"]
mod sample;
mod scan;
mod spans;
mod texts;
mod transaction;
mod version;
mod written;

use std::{fs::File, time::Duration};

use rusqlite::{Connection, params};

use super::{Adjustment, Batch, Reader, Store};
use crate::{
    base::account::AccountState,
    ledger::{LedgerError, TargetPast, report::Period},
};
use accounts::{ByHeart, Windows};
use names::Names;
use place::Place;
use rows::Rows;
use spans::{End, Tail};
use transaction::Transaction;
use written::Written;

/// How long a commit waits for a lock of another process: whoever waits for it is told within a second.
const BUSY: Duration = Duration::from_millis(400);
/// How long everything else waits.
const PATIENT: Duration = Duration::from_secs(5);
/// How many pages the log grows by before they are moved into the file: 4 MiB.
const CHECKPOINT_PAGES: i64 = 1000;
/// How large the log's file stays after it was larger for a while, in bytes.
const LOG_LIMIT: i64 = 16 << 20;
/// How many pages one step of a vacuum moves.
const VACUUM_PAGES: i64 = 256;
/// How an adjustment's kind is written.
const ADJUSTMENT: i64 = 2;

/// The ledger's file, with the right to write it.
pub struct Sqlite {
    place: Place,
    connection: Connection,
    names: Names,
    tags: Names,
    written: Written,
    /// Whether a transaction failed since `written` was known for sure.
    in_doubt: bool,
    /// `None`: to be loaded.
    tail: Option<Tail>,
    windows: ByHeart,
    /// How many bytes the kept answers take.
    kept: u64,
    /// The lock; dropped last.
    _owned: Option<File>,
}

impl Sqlite {
    /// Opens the ledger of this url as its only owner, makes it where there is none, brings it to this version.
    ///
    /// # Errors
    /// See [`LedgerError`].
    pub fn open(url: &str) -> Result<Self, LedgerError> {
        let place = Place::parse(url)?;
        let owned = place.own()?;
        place.prepare()?;
        let connection = prepared(&place)?;
        let failed = |why| place.failed("read", why);
        let names = Names::load(&connection, names::TEXTS).map_err(failed)?;
        let tags = Names::load(&connection, names::TAGS).map_err(failed)?;
        let kept = answers::bytes(&connection).map_err(failed)?;
        // In memory there is no log: a commit waits for whoever reads.
        let patience = if matches!(place, Place::Memory(_)) { PATIENT } else { BUSY };
        connection.busy_timeout(patience).map_err(failed)?;
        // Nothing that this process writes was written before it.
        let (written, in_doubt, tail) = (Written::default(), false, None);
        let windows = ByHeart::default();
        Ok(Self { place, connection, names, tags, written, in_doubt, tail, windows, kept, _owned: owned })
    }

    /// Limits the file to what it has now, or no more: a full disk.
    #[cfg(test)]
    pub(in crate::ledger) fn fill(&self, full: bool) {
        let pages: i64 = self.connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
        let limit = if full { pages } else { 1 << 30 };
        self.connection.query_row(&format!("PRAGMA max_page_count = {limit}"), [], |_| Ok(())).unwrap();
    }

    /// Forbids or allows writing.
    #[cfg(test)]
    pub(in crate::ledger) fn forbid(&self, forbidden: bool) {
        self.connection.pragma_update(None, "query_only", forbidden).unwrap();
    }
}

/// Opens the ledger of this url to read it and to write keys. A file that is older is brought to this version, one that
/// is missing is made if `make` says so, else there is `None`; unless a server uses it.
///
/// # Errors
/// See [`LedgerError`].
pub fn open_shared(url: &str, make: bool) -> Result<Option<Box<dyn Reader>>, LedgerError> {
    let place = Place::parse(url)?;
    let Place::File(path) = &place else {
        return Err(place.failed("share", "a ledger in memory ends with its process; write `sqlite:PATH`"));
    };
    if !path.exists() {
        if !make {
            return Ok(None);
        }
        let _owned = place.own()?;
        place.prepare()?;
        prepared(&place)?;
    }
    let connection = place.connect()?;
    let known = version::MIGRATIONS.len();
    if version::of(&connection, &place, known)? < i64::try_from(known).unwrap_or(i64::MAX) {
        let _owned = place.own()?;
        prepared(&place)?;
    }
    reads::Reading::over(connection, &place).map(|reading| Some(Box::new(reading) as _))
}

/// A connection to a file of this version, set to write durably.
fn prepared(place: &Place) -> Result<Connection, LedgerError> {
    let mut connection = place.connect()?;
    let failed = |why| place.failed("prepare", why);
    connection.busy_timeout(PATIENT).map_err(failed)?;
    let version = version::of(&connection, place, version::MIGRATIONS.len())?;
    if connection.is_readonly("main").map_err(failed)? {
        return Err(place.failed("write", "the file is read-only for this user"));
    }
    if version == 0 {
        // Only an empty file takes it.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL").map_err(failed)?;
    }
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)).map_err(failed)?;
    if mode != "wal" && matches!(place, Place::File(_)) {
        return Err(place.failed("write", format!("its file system keeps no write-ahead log ({mode})")));
    }
    let settings = [
        ("synchronous", 2), // FULL: a commit is on the disk when it returns.
        ("wal_autocheckpoint", CHECKPOINT_PAGES),
        ("journal_size_limit", LOG_LIMIT),
        ("cache_size", -8192), // KiB
    ];
    for (name, value) in settings {
        connection.pragma_update(None, name, value).map_err(failed)?;
    }
    connection.pragma_update(None, "temp_store", "MEMORY").map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(64);
    version::migrate(&mut connection, place, version::MIGRATIONS)?;
    Ok(connection)
}

/// What a transaction of the writer works with.
struct Change<'a> {
    transaction: Transaction<'a>,
    names: &'a mut Names,
    tags: &'a mut Names,
    written: &'a mut Written,
    tail: &'a mut Option<Tail>,
    windows: &'a mut ByHeart,
    kept: &'a mut u64,
}

impl Sqlite {
    /// Does something whole or not at all. What is known in memory follows.
    fn change<T>(
        &mut self,
        what: &str,
        work: impl FnOnce(&mut Change<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, LedgerError> {
        let kept_before = self.kept;
        let result = (|| {
            let transaction = Transaction::begin(&self.connection)?;
            if self.in_doubt {
                self.written = Written::load(&transaction)?;
                self.in_doubt = false;
            }
            let mut change = Change {
                transaction,
                names: &mut self.names,
                tags: &mut self.tags,
                written: &mut self.written,
                tail: &mut self.tail,
                windows: &mut self.windows,
                kept: &mut self.kept,
            };
            let done = work(&mut change)?;
            change.transaction.commit()?;
            Ok(done)
        })();
        if result.is_ok() {
            self.names.keep();
            self.tags.keep();
        } else {
            self.names.forget();
            self.tags.forget();
            self.in_doubt = true;
            self.tail = None;
            self.windows.forget();
            self.kept = kept_before;
        }
        result.map_err(|why: rusqlite::Error| self.place.failed(what, why))
    }
}

impl Store for Sqlite {
    fn accounts(&mut self) -> Result<Vec<AccountState>, LedgerError> {
        accounts::latest(&self.connection).map_err(|why| self.place.failed("read", why))
    }

    fn unsettled(&mut self) -> Result<Vec<(AccountState, i64)>, LedgerError> {
        accounts::unsettled(&self.connection).map_err(|why| self.place.failed("read", why))
    }

    fn newest(&mut self) -> Result<Option<i64>, LedgerError> {
        let ever = Period { since: i64::MIN, until: i64::MAX };
        spans::time(&self.connection, ever, End::Last).map_err(|why| self.place.failed("read", why))
    }

    fn adjust(&mut self, adjustments: &[Adjustment]) -> Result<(), LedgerError> {
        self.change("write", |change| {
            let mut rows = Rows::of(change)?;
            for Adjustment { entry, window } in adjustments {
                rows.insert(entry, Some(window))?;
            }
            drop(rows);
            change.windows.forget();
            accounts::count_all(&change.transaction)
        })
    }

    fn settle(&mut self) -> Result<(), LedgerError> {
        self.change("write", |change| {
            change.windows.forget();
            accounts::lower_all(&change.transaction)
        })
    }

    fn commit(&mut self, batch: &Batch<'_>) -> Result<(), LedgerError> {
        self.change("write", |change| {
            Windows::of(&change.transaction, change.windows).seed(&batch.seeds)?;
            let mut sums = accounts::Sums::default();
            let mut rows = Rows::of(change)?;
            for post in batch.posts {
                if rows.insert(&post.entry, None)? {
                    sums.add(&post.charges, post.entry.time);
                }
            }
            drop(rows);
            let mut windows = Windows::of(&change.transaction, change.windows);
            windows.add(sums)?;
            windows.raise(&batch.raises, batch.now)?;
            windows.lower(&batch.over)?;
            answers::keep(change, &batch.answers, batch.answers_max)?;
            let sql = "INSERT INTO facts VALUES ('written', ?1) ON CONFLICT DO UPDATE SET number = ?1";
            let nothing = batch.posts.is_empty() && batch.raises.is_empty();
            if nothing {
                change.transaction.prepare_cached(sql)?.execute(params![batch.now])?;
            }
            Ok(())
        })
    }

    fn prune(&mut self, before: i64, answers_before: i64, limit: usize) -> Result<bool, LedgerError> {
        self.change("prune", |change| {
            let rows = spans::prune(&change.transaction, before, limit)?;
            if rows > 0 {
                *change.tail = None;
            }
            let answers = answers::prune(change, answers_before, limit)?;
            let more = rows == limit || answers == limit;
            if !more {
                accounts::prune(&change.transaction, before)?;
                change.windows.forget();
            }
            Ok(more)
        })
    }

    fn keep_pasts(&mut self, pasts: &[TargetPast], before: i64) -> Result<(), LedgerError> {
        self.change("write", |change| pasts::keep(&change.transaction, pasts, before))
    }

    fn vacuum(&mut self) -> Result<bool, LedgerError> {
        let free = "PRAGMA freelist_count";
        let vacuum = || -> rusqlite::Result<bool> {
            let mut statement =
                self.connection.prepare(&format!("PRAGMA incremental_vacuum({VACUUM_PAGES})"))?;
            // Each step of the statement frees one page.
            let mut pages = statement.query([])?;
            while pages.next()?.is_some() {}
            drop(pages);
            self.connection.query_row(free, [], |row| row.get::<_, i64>(0)).map(|pages| pages > 0)
        };
        vacuum().map_err(|why| self.place.failed("vacuum", why))
    }

    fn reader(&self) -> Result<Box<dyn Reader>, LedgerError> {
        let connection = self.place.connect()?;
        reads::Reading::over(connection, &self.place).map(|reading| Box::new(reading) as _)
    }

    fn close(&mut self) {
        // The last connection does it anyway; with readers still open this leaves no log behind all the same.
        let checkpoint = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        if let Err(why) = checkpoint {
            tracing::debug!(%why, "the ledger's log stays for the next start");
        }
    }
}
