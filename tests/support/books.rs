//! The ledger's file as a test reads it, beside the server or after its end.

use std::path::Path;

use rusqlite::{Connection, Row};

/// An open ledger.
pub struct Books(Connection);

/// A row.
#[derive(Clone, Debug)]
pub struct Entry {
    pub request: String,
    /// Empty where no key was needed.
    pub key: String,
    pub route: String,
    /// Empty where there was no attempt.
    pub model: String,
    pub kind: String,
    pub outcome: String,
    /// Tokens of the prompt, of all kinds.
    pub prompt: i64,
    /// Tokens of the answer, of all kinds.
    pub completion: i64,
    /// In nanodollars.
    pub cost: i64,
    /// Of an adjustment; else empty.
    pub budget: String,
}

/// A window of a budget. Amounts are in nanodollars.
#[derive(Clone, Debug)]
pub struct Window {
    pub budget: String,
    pub posted: i64,
    pub watermark: i64,
}

const ENTRIES: &str = "SELECT request, key, route, model, kind, outcome, \
    input + cached_input + cache_write + cache_write_1h + audio_input, output + reasoning + audio_output, \
    cost, budget FROM ledger_rows";

impl Books {
    /// Opens the ledger that a gateway keeps in its folder where it is told nothing else.
    pub fn in_folder(folder: &Path) -> Self {
        Self::at(&folder.join("weir.db"))
    }

    /// Opens a ledger's file.
    pub fn at(file: &Path) -> Self {
        assert!(file.exists(), "there is no {}", file.display());
        Self(Connection::open(file).unwrap())
    }

    /// What SQLite says of the file: `ok`, or what is broken.
    pub fn soundness(&self) -> String {
        self.0.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap()
    }

    /// All rows.
    pub fn entries(&self) -> Vec<Entry> {
        self.entries_where("true")
    }

    /// The rows of one request.
    pub fn entries_of(&self, request: &str) -> Vec<Entry> {
        self.entries_where(&format!("request = '{request}'"))
    }

    fn entries_where(&self, condition: &str) -> Vec<Entry> {
        let mut query = self.0.prepare(&format!("{ENTRIES} WHERE {condition}")).unwrap();
        query.query_map([], |row| Ok(entry(row))).unwrap().map(Result::unwrap).collect()
    }

    /// All windows of all budgets.
    pub fn windows(&self) -> Vec<Window> {
        let mut query = self.0.prepare("SELECT budget, posted, watermark FROM accounts").unwrap();
        let window =
            |row: &Row<'_>| Ok(Window { budget: row.get(0)?, posted: row.get(1)?, watermark: row.get(2)? });
        query.query_map([], window).unwrap().map(Result::unwrap).collect()
    }

    /// Keeps everybody else from writing until it is dropped.
    pub fn lock(self) -> Self {
        self.0.execute_batch("BEGIN EXCLUSIVE").unwrap();
        self
    }
}

fn entry(row: &Row<'_>) -> Entry {
    let text = |at| row.get::<_, Option<String>>(at).unwrap().unwrap_or_default();
    Entry {
        // Ids that Weir made are kept as bytes; no test looks for one.
        request: row.get(0).unwrap_or_default(),
        key: text(1),
        route: text(2),
        model: text(3),
        kind: text(4),
        outcome: text(5),
        prompt: row.get(6).unwrap(),
        completion: row.get(7).unwrap(),
        cost: row.get(8).unwrap(),
        budget: text(9),
    }
}
