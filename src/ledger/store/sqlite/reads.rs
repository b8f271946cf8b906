//! Reading beside the writer.

use std::ffi::c_int;

use rusqlite::{Connection, ErrorCode, Row, params};

use super::{PATIENT, answers, keys, pages, pasts, place::Place, scan, spans::PARTS_OF_ENTRIES};
use crate::{
    base::{
        account::{AccountKey, AccountWindow},
        money::Nanos,
        outcome::Outcome,
    },
    config::Scope,
    ledger::{
        KeptAnswer, Key, KeyRow, LedgerError, TargetPast,
        report::{Question, Summary},
        rows::{Page, RowQuery},
        store::{Reader, SpentQuery, Stop},
    },
};

/// After how many steps of SQLite's a read looks whether it is to end: under a millisecond.
const STEPS: c_int = 10_000;

/// A connection that writes nothing but keys.
pub(super) struct Reading {
    place: Place,
    connection: Connection,
}

impl Reading {
    /// Over this connection.
    pub(super) fn over(connection: Connection, place: &Place) -> Result<Self, LedgerError> {
        let failed = |why| place.failed("prepare", why);
        connection.busy_timeout(PATIENT).map_err(failed)?;
        for (name, value) in [("synchronous", 2), ("cache_size", -16_384), ("query_only", 1)] {
            connection.pragma_update(None, name, value).map_err(failed)?;
        }
        connection.pragma_update(None, "temp_store", "MEMORY").map_err(failed)?;
        Ok(Self { place: place.clone(), connection })
    }

    fn read<T>(
        &mut self,
        read: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, LedgerError> {
        read(&mut self.connection).map_err(|why| match why.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) => LedgerError::TooLong,
            _ => self.place.failed("read", why),
        })
    }

    /// Lets the connection write for once.
    fn write<T>(
        &mut self,
        write: impl FnOnce(&mut Connection) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        let only = |connection: &Connection, only: bool| {
            connection
                .pragma_update(None, "query_only", only)
                .map_err(|why| LedgerError::failed("prepare", why))
        };
        only(&self.connection, false)?;
        let result = write(&mut self.connection);
        only(&self.connection, true)?;
        result
    }
}

impl Reader for Reading {
    fn stop_at(&mut self, stop: Option<Stop>) -> Result<(), LedgerError> {
        // Asked by the read itself every so often, which cannot miss, unlike an interrupt between two statements.
        let handler = stop.map(|stop| move || stop.is_due());
        let set = self.connection.progress_handler(STEPS, handler);
        set.map_err(|why| self.place.failed("prepare", why))
    }

    fn spent(&mut self, query: &SpentQuery) -> Result<Vec<(String, Nanos)>, LedgerError> {
        self.read(|connection| spent(connection, query))
    }

    fn rows(&mut self, query: &RowQuery) -> Result<Page, LedgerError> {
        self.read(|connection| pages::page(connection, query))
    }

    fn report(&mut self, question: Question) -> Result<Summary, LedgerError> {
        self.read(|connection| scan::report(connection, question))
    }

    fn keys(&mut self) -> Result<Vec<KeyRow>, LedgerError> {
        self.read(|connection| keys::all(connection))
    }

    fn keys_version(&mut self) -> Result<i64, LedgerError> {
        self.read(|connection| keys::version(connection))
    }

    fn put_key(&mut self, row: &KeyRow) -> Result<(), LedgerError> {
        self.write(|connection| keys::put(connection, row))
    }

    fn revoke_key(&mut self, name: &str, now: i64) -> Result<(), LedgerError> {
        self.write(|connection| keys::revoke(connection, name, now))
    }

    fn answer(&mut self, key: &Key, since: i64) -> Result<Option<KeptAnswer>, LedgerError> {
        self.read(|connection| answers::find(connection, key, since))
    }

    fn pasts(&mut self) -> Result<Vec<TargetPast>, LedgerError> {
        self.read(|connection| pasts::all(connection))
    }
}

/// A name in a row is its number, or itself: see the schema.
const TAGGED: &str = "(tags IN (SELECT id FROM tag_sets WHERE EXISTS \
        (SELECT 1 FROM json_each(tag_sets.json) AS tag WHERE tag.key = ?3 AND tag.value = ?4)) \
    OR (typeof(tags) = 'text' AND EXISTS \
        (SELECT 1 FROM json_each(entries.tags) AS tag WHERE tag.key = ?3 AND tag.value = ?4)))";

/// Sums what was spent. In two halves: SQLite gives an error where a sum of whole numbers is too large.
fn spent(connection: &Connection, query: &SpentQuery) -> rusqlite::Result<Vec<(String, Nanos)>> {
    if query.window.account.counts_requests() {
        return Ok(vec![(String::new(), Nanos(requests(connection, query)?))]);
    }
    let (which, what, value) = match &query.scope {
        Scope::Global | Scope::EachKey => ("TRUE".to_owned(), "", ""),
        // All callers without a key have one share; adjustments of it carry its name.
        Scope::Key(name) if name == AccountKey::NOBODY => {
            (format!("(key IS NULL OR {})", is_named("key")), name.as_str(), "")
        }
        Scope::Key(name) => (is_named("key"), name.as_str(), ""),
        Scope::Route(name) => (is_named("route"), name.as_str(), ""),
        Scope::Model(name) => (is_named("model"), name.as_str(), ""),
        Scope::Provider(name) => (is_named("provider"), name.as_str(), ""),
        Scope::Tag(key, value) => (TAGGED.to_owned(), key.as_str(), value.as_str()),
    };
    let AccountWindow { account, start } = &query.window;
    let each = query.scope == Scope::EachKey;
    let holder = if each { "key" } else { "NULL" };
    // Where each key has a share of its own, one key's adjustments are not another's.
    let share = match &*account.holder {
        _ if each => "TRUE",
        "" => "key IS NULL",
        _ => "key IN ((SELECT id FROM names WHERE text = ?5), ?5)",
    };
    let sql = format!(
        "SELECT CASE typeof(holder) WHEN 'integer' THEN (SELECT text FROM names WHERE id = holder) ELSE holder END, \
            high, low FROM (SELECT {holder} AS holder, sum(cost >> 32) AS high, sum(cost & 4294967295) AS low \
            FROM {PARTS_OF_ENTRIES} WHERE parts.newest >= ?1 AND time >= ?1 AND CASE kind WHEN {adjustment} \
                THEN budget IN ((SELECT id FROM names WHERE text = ?2), ?2) AND {share} \
                    AND period = ?6 AND window_start = ?7 \
                ELSE {which} AND ?3 IS NOT NULL AND ?4 IS NOT NULL AND ?5 IS NOT NULL END GROUP BY 1)",
        adjustment = super::ADJUSTMENT
    );
    let sum = |row: &Row<'_>| {
        let holder: Option<String> = row.get(0)?;
        let [high, low] = [row.get::<_, i64>(1)?, row.get::<_, i64>(2)?].map(i128::from);
        let sum = (high << 32) + low;
        let sum = i64::try_from(sum).unwrap_or(if sum < 0 { i64::MIN } else { i64::MAX });
        Ok((holder.unwrap_or_default(), Nanos(sum)))
    };
    let mut sums: Vec<_> = connection
        .prepare_cached(&sql)?
        .query_map(
            params![
                start.saturating_mul(1000),
                account.budget,
                what,
                value,
                account.holder,
                account.period.as_str(),
                start
            ],
            sum,
        )?
        .collect::<rusqlite::Result<_>>()?;
    if sums.is_empty() && query.scope != Scope::EachKey {
        sums.push((String::new(), Nanos::ZERO));
    }
    Ok(sums)
}

/// How many requests of a key an upstream has worked on, as a quota counts them.
fn requests(connection: &Connection, query: &SpentQuery) -> rusqlite::Result<i64> {
    let Scope::Key(key) = &query.scope else { return Ok(0) };
    let sql = format!(
        "SELECT count(DISTINCT request) FROM {PARTS_OF_ENTRIES} \
        WHERE parts.newest >= ?1 AND time >= ?1 AND attempt > 0 \
        AND key IN ((SELECT id FROM names WHERE text = ?2), ?2) \
        AND (kind = 1 OR outcome IN ((SELECT id FROM names WHERE text = ?3), ?3))"
    );
    connection
        .prepare_cached(&sql)?
        .query_row(params![query.window.start.saturating_mul(1000), key, Outcome::Ok.as_str()], |row| {
            row.get(0)
        })
}

/// Whether a column has the name of the third parameter.
fn is_named(column: &str) -> String {
    format!("{column} IN ((SELECT id FROM names WHERE text = ?3), ?3)")
}
