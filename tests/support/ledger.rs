//! The ledger of a gateway as an auditor sees it: the budgets over HTTP, the rows in the file.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use super::weir::Weir;

/// The file that a gateway keeps in its folder where nothing else is said.
const FILE: &str = "weir.db";

/// A row of the ledger. Costs are in nanodollars.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub request: String,
    pub attempt: u32,
    pub key: String,
    pub route: String,
    pub model: String,
    pub position: u32,
    pub kind: String,
    pub outcome: String,
    pub quality: String,
    pub stream: bool,
    pub input: u64,
    pub output: u64,
    pub cost: i64,
    pub priced: bool,
}

/// Where an account stands in the file. Amounts are in nanodollars.
#[derive(Clone, Debug, PartialEq)]
pub struct Account {
    pub budget: String,
    pub posted: i64,
    pub watermark: i64,
}

/// Nanodollars of a decimal text like `0.0125`.
#[track_caller]
pub fn nanos(usd: &str) -> i64 {
    let (whole, fraction) = usd.split_once('.').unwrap_or((usd, ""));
    assert!(fraction.len() <= 9, "{usd}");
    format!("{whole}{fraction:0<9}").parse().unwrap()
}

/// Nanodollars of a field of JSON.
#[track_caller]
pub fn amount(row: &Value, field: &str) -> i64 {
    nanos(row[field].as_str().unwrap_or_else(|| panic!("no {field} in {row}")))
}

/// All rows of the ledger in a folder, the oldest first.
pub fn rows(folder: &Path) -> Vec<Row> {
    let sql = "SELECT hex(request), attempt, key, route, model, position, kind, outcome, stream, input, output, cost, \
               priced, quality FROM ledger_rows ORDER BY time, id";
    all(folder, sql, |row| {
        let text = |at: usize| row.get::<_, Option<String>>(at).map(Option::unwrap_or_default);
        let count = |at: usize| row.get::<_, i64>(at).map(|count| u64::try_from(count).unwrap());
        Ok(Row {
            request: text(0)?,
            attempt: row.get(1)?,
            key: text(2)?,
            route: text(3)?,
            model: text(4)?,
            position: row.get(5)?,
            kind: text(6)?,
            outcome: text(7)?,
            stream: row.get(8)?,
            input: count(9)?,
            output: count(10)?,
            cost: row.get(11)?,
            priced: row.get(12)?,
            quality: text(13)?,
        })
    })
}

/// All accounts of the ledger in a folder.
pub fn accounts(folder: &Path) -> Vec<Account> {
    all(folder, "SELECT budget, posted, watermark FROM accounts", |row| {
        Ok(Account { budget: row.get(0)?, posted: row.get(1)?, watermark: row.get(2)? })
    })
}

fn all<T>(folder: &Path, sql: &str, read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>) -> Vec<T> {
    let connection =
        Connection::open_with_flags(folder.join(FILE), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    connection.busy_timeout(Duration::from_secs(10)).unwrap();
    let mut query = connection.prepare(sql).unwrap();
    query.query_map([], read).unwrap().collect::<Result<_, _>>().unwrap()
}

impl Weir {
    /// All rows of its ledger so far.
    pub fn rows(&self) -> Vec<Row> {
        rows(self.folder())
    }

    /// The rows of attempts, as soon as there are so many; for 20 seconds at most.
    pub async fn attempts(&self, count: usize) -> Vec<Row> {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let rows: Vec<Row> = self.rows().into_iter().filter(|row| row.attempt > 0).collect();
            if rows.len() >= count {
                assert_eq!(rows.len(), count, "{rows:#?}");
                return rows;
            }
            assert!(Instant::now() < end, "{count} attempts are not in the ledger: {rows:#?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Where all budgets stand.
    pub async fn budgets(&self) -> Vec<Value> {
        let answer = self.client().get("/admin/budgets").await;
        assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
        answer.json()["data"].as_array().unwrap().clone()
    }

    /// Where the only limit of a budget stands, of several holders the one of this name.
    pub async fn budget(&self, name: &str, holder: &str) -> Value {
        let all = self.budgets().await;
        let mut found = all.iter().filter(|row| row["budget"] == name && row["holder"] == holder);
        let row = found.next().unwrap_or_else(|| panic!("no budget {name} of `{holder}`: {all:#?}"));
        assert!(found.next().is_none(), "{all:#?}");
        row.clone()
    }

    /// What is spent of a budget without holders, in nanodollars, once nothing is held.
    pub async fn spent(&self, name: &str) -> i64 {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let row = self.budget(name, "").await;
            if amount(&row, "held_usd") == 0 {
                return amount(&row, "spent_usd");
            }
            assert!(Instant::now() < end, "something stays held: {row}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The value of a metric with its labels as they are written; 0 where it is absent.
    pub async fn metric(&self, series: &str) -> f64 {
        let page = self.client().get("/metrics").await.text();
        let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }
}
