//! The ledger as a whole, over a file or over a store that can be made to fail.

mod faults;
mod files;
mod model;
mod shared;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};

use uuid::Uuid;

use super::{
    store::{Adjustment, Batch, Reader, sqlite::Sqlite},
    *,
};
use crate::{
    base::{
        account::{AccountKey, AccountWindow, Period},
        money::Nanos,
        outcome::Outcome,
    },
    openai::usage::Usage,
};

/// 2026-11-21, 12:00 UTC, and the day's beginning in seconds.
pub const NOON: i64 = 1_795_262_400_000;
pub const DAY: i64 = NOON / 1000 - 43_200;

/// A clock that stands at noon.
pub fn noon() -> Clock {
    Clock::of(|| NOON)
}

/// A file of its own, gone with the folder.
pub struct Home {
    pub folder: tempfile::TempDir,
}

impl Home {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("weir.db")
    }

    pub fn config(&self) -> config::Ledger {
        config::Ledger { url: format!("sqlite:{}", self.path().display()), ..config::Ledger::default() }
    }

    pub fn open(&self) -> (Ledger, Opened) {
        self.try_open().unwrap()
    }

    /// Opens it; a writer that is still ending is waited for.
    pub fn try_open(&self) -> Result<(Ledger, Opened), LedgerError> {
        let until = Instant::now() + Duration::from_secs(5);
        loop {
            match Ledger::open(&self.config(), &Metrics::new().unwrap(), noon()) {
                Err(LedgerError::Owned(_)) if Instant::now() < until => std::thread::yield_now(),
                other => return other,
            }
        }
    }

    /// Another connection, as another process has it.
    pub fn look(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path()).unwrap()
    }
}

pub fn number(connection: &rusqlite::Connection, sql: &str) -> i64 {
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

pub fn window(budget: &str, holder: &str) -> AccountWindow {
    AccountWindow {
        account: AccountKey { budget: budget.into(), holder: holder.into(), period: Period::Daily },
        start: DAY,
    }
}

pub fn charge(budget: &str, amount: i64) -> Charge {
    Charge { window: window(budget, ""), amount: Nanos(amount) }
}

pub fn mark(budget: &str, to: i64) -> Watermark {
    Watermark { window: window(budget, ""), to: Nanos(to) }
}

pub fn state(budget: &str, posted: i64, watermark: i64) -> AccountState {
    AccountState { window: window(budget, ""), posted: Nanos(posted), watermark: Nanos(watermark) }
}

pub fn entry(cost: i64) -> Entry {
    let origin = Origin {
        request_id: format!("req_{}", Uuid::now_v7().simple()).into(),
        key: "support-bot".into(),
        tags: Arc::new(BTreeMap::from([("team".to_owned(), "support".to_owned())])),
        route: "standard".into(),
        tier: Some("standard".into()),
        task: Some("code_generation".into()),
        complexity: Some(5),
        requested_model: "auto".into(),
        stream: true,
        cache: "bypass",
    };
    Entry {
        id: Uuid::now_v7(),
        origin: Arc::new(origin),
        attempt: 1,
        time: NOON,
        model: Some("gpt-4.1".into()),
        provider: Some("openai".into()),
        position: 1,
        kind: Kind::Actual,
        outcome: Outcome::Ok.as_str(),
        quality: Some("too_short"),
        usage: Usage { input: 1200, output: 340, ..Usage::default() },
        cost: Nanos(cost),
        priced: true,
        baseline: Some(Nanos(9_000_000)),
        first_choice: Some(Nanos(cost)),
        first_byte_ms: Some(420),
        duration_ms: 5300,
        overhead_us: 180,
        budget: None,
    }
}

/// A store whose disk can be filled, forbidden or made to panic between commits.
pub struct Faulty {
    store: Sqlite,
    fault: Arc<Mutex<Fault>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    Full,
    ReadOnly,
    /// Only what is no money cannot be written.
    Pasts,
    Panic,
    /// A disk that does not answer until this is over.
    Hang,
}

impl Faulty {
    pub fn ledger(home: &Home) -> (Ledger, Arc<Mutex<Fault>>) {
        let fault = Arc::new(Mutex::new(Fault::None));
        let store = Self { store: Sqlite::open(&home.config().url).unwrap(), fault: fault.clone() };
        let metrics = Metrics::new().unwrap();
        (Ledger::start(Box::new(store), &home.config(), &metrics, noon()).unwrap().0, fault)
    }
}

impl Store for Faulty {
    fn accounts(&mut self) -> Result<Vec<AccountState>, LedgerError> {
        self.store.accounts()
    }
    fn unsettled(&mut self) -> Result<Vec<(AccountState, i64)>, LedgerError> {
        self.store.unsettled()
    }
    fn newest(&mut self) -> Result<Option<i64>, LedgerError> {
        self.store.newest()
    }
    fn adjust(&mut self, adjustments: &[Adjustment]) -> Result<(), LedgerError> {
        self.store.adjust(adjustments)
    }
    fn settle(&mut self) -> Result<(), LedgerError> {
        self.store.settle()
    }
    fn commit(&mut self, batch: &Batch<'_>) -> Result<(), LedgerError> {
        let fault = *self.fault.lock().unwrap();
        assert_ne!(fault, Fault::Panic, "as asked for");
        while *self.fault.lock().unwrap() == Fault::Hang {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.store.fill(fault == Fault::Full);
        self.store.forbid(fault == Fault::ReadOnly);
        self.store.commit(batch)
    }
    fn prune(&mut self, before: i64, answers: i64, limit: usize) -> Result<bool, LedgerError> {
        self.store.prune(before, answers, limit)
    }
    fn keep_pasts(&mut self, pasts: &[TargetPast], before: i64) -> Result<(), LedgerError> {
        self.store.forbid(*self.fault.lock().unwrap() == Fault::Pasts);
        self.store.keep_pasts(pasts, before)
    }
    fn vacuum(&mut self) -> Result<bool, LedgerError> {
        self.store.vacuum()
    }
    fn reader(&self) -> Result<Box<dyn Reader>, LedgerError> {
        self.store.reader()
    }
    fn close(&mut self) {
        self.store.close();
    }
}

/// Waits for what may take a moment, at most five seconds.
#[track_caller]
pub fn soon(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(5);
    while !holds() {
        assert!(Instant::now() < until, "{what} did not come true");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Ends an async thing on this thread.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Does a thing on so many threads at once and gathers what it gave.
pub fn on_threads<T: Send + 'static>(
    count: usize,
    work: impl Fn(usize) -> T + Send + Sync + 'static,
) -> Vec<T> {
    let work = Arc::new(work);
    let (sender, results) = mpsc::channel();
    for index in 0..count {
        let (work, sender) = (work.clone(), sender.clone());
        std::thread::spawn(move || sender.send(work(index)));
    }
    drop(sender);
    results.iter().collect()
}
