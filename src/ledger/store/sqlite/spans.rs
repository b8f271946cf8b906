//! Finds rows by their time: which ones stand where.
//!
//! Rows stand in the order in which they were written, which is nearly that of time. What stands side by side has a span, which
//! says between which times its rows lie. The newest rows have none yet, and are always looked at.

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::ledger::report::Period;

/// How many rows a span has.
const ROWS: i64 = 512;

/// Rows with the part that each stands in; `parts` has `first`, `last`, `oldest` and `newest`. Conditions on the last two keep
/// from looking at the part at all; rows may still be outside of the time that is asked for.
pub(super) const PARTS_OF_ENTRIES: &str =
    "parts CROSS JOIN entries ON entries.at BETWEEN parts.first AND parts.last";

/// The rows that have no span yet.
#[derive(Debug)]
pub(super) struct Tail {
    rows: i64,
    oldest: i64,
    newest: i64,
}

impl Tail {
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let sql = "SELECT count(*), coalesce(min(time), ?1), coalesce(max(time), ?2) FROM entries \
            WHERE at > (SELECT coalesce(max(last), 0) FROM spans)";
        connection.prepare_cached(sql)?.query_row([i64::MAX, i64::MIN], |row| {
            Ok(Self { rows: row.get(0)?, oldest: row.get(1)?, newest: row.get(2)? })
        })
    }

    /// Takes in the row that was written just now.
    pub(super) fn add(&mut self, connection: &Connection, time: i64) -> rusqlite::Result<()> {
        self.rows += 1;
        self.oldest = time.min(self.oldest);
        self.newest = time.max(self.newest);
        if self.rows < ROWS {
            return Ok(());
        }
        let sql = "INSERT INTO spans (last, first, oldest, newest) \
            SELECT ?1, coalesce(max(last), 0) + 1, ?2, ?3 FROM spans";
        let last = connection.last_insert_rowid();
        connection.prepare_cached(sql)?.execute([last, self.oldest, self.newest])?;
        *self = Self { rows: 0, oldest: i64::MAX, newest: i64::MIN };
        Ok(())
    }
}

/// Which end of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    First,
    Last,
}

/// The time of the first or last row of a period.
pub(super) fn time(connection: &Connection, period: Period, end: End) -> rusqlite::Result<Option<i64>> {
    let (order, function) = match end {
        End::First => ("oldest", "min"),
        End::Last => ("newest DESC", "max"),
    };
    let parts = format!(
        "SELECT first, last, oldest, newest FROM parts WHERE newest >= ?1 AND oldest < ?2 ORDER BY {order}"
    );
    let inside = format!(
        "SELECT {function}(time) FROM entries WHERE at BETWEEN ?3 AND ?4 AND time >= ?1 AND time < ?2"
    );
    let mut inside = connection.prepare_cached(&inside)?;
    let mut parts = connection.prepare_cached(&parts)?;
    let mut parts = parts.query([period.since, period.until])?;
    let mut found: Option<i64> = None;
    while let Some(part) = parts.next()? {
        let [first, last, oldest, newest]: [i64; 4] =
            [part.get(0)?, part.get(1)?, part.get(2)?, part.get(3)?];
        let passed = |found| if end == End::First { found <= oldest } else { found >= newest };
        if found.is_some_and(passed) {
            break;
        }
        let bounds = params![period.since, period.until, first, last];
        let here: Option<i64> = inside.query_row(bounds, |row| row.get(0))?;
        found = match end {
            End::First => found.into_iter().chain(here).min(),
            End::Last => found.max(here),
        };
    }
    Ok(found)
}

/// Deletes rows older than `before`, at most `limit`; how many it were. What is known of the rows without a span is to be
/// loaded anew.
pub(super) fn prune(transaction: &Connection, before: i64, limit: usize) -> rusqlite::Result<usize> {
    let mut delete = transaction.prepare_cached(
        "DELETE FROM entries WHERE at IN \
            (SELECT at FROM entries WHERE at BETWEEN ?2 AND ?3 AND time < ?1 LIMIT ?4)",
    )?;
    let mut gone = 0;
    let mut old = |first: i64, last: i64| -> rusqlite::Result<bool> {
        let left = i64::try_from(limit - gone).unwrap_or(i64::MAX);
        gone += delete.execute([before, first, last, left])?;
        Ok(gone < limit)
    };
    let mut more = true;
    while more {
        let sql = "SELECT first, last, newest FROM spans WHERE oldest < ?1 LIMIT 1";
        let span = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get::<_, i64>(2)?));
        let found = transaction.prepare_cached(sql)?.query_row([before], span).optional()?;
        let Some((first, last, newest)) = found else { break };
        more = old(first, last)?;
        if more {
            let emptied = if newest < before {
                "DELETE FROM spans WHERE last = ?1 AND oldest < ?2"
            } else {
                "UPDATE spans SET oldest = ?2 WHERE last = ?1"
            };
            transaction.prepare_cached(emptied)?.execute([last, before])?;
        }
    }
    if more {
        let sql = "SELECT coalesce(max(last), 0) + 1 FROM spans";
        let first = transaction.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
        old(first, i64::MAX)?;
    }
    // The places of the newest rows are given away again where these were deleted: no span may be there already.
    let sql = "DELETE FROM spans WHERE last > (SELECT coalesce(max(at), 0) FROM entries)";
    transaction.prepare_cached(sql)?.execute([])?;
    Ok(gone)
}

#[cfg(test)]
mod tests {
    use super::{
        super::sample::{Sample, create, write},
        *,
    };

    /// Rows of these times, each span closed as the writer does.
    fn ledger(times: impl IntoIterator<Item = i64>) -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        create(&connection);
        add(&connection, times);
        connection
    }

    fn add(connection: &Connection, times: impl IntoIterator<Item = i64>) {
        let mut tail = Tail::load(connection).unwrap();
        for time in times {
            write(connection, &Sample { time, ..Sample::default() });
            tail.add(connection, time).unwrap();
        }
    }

    fn number(connection: &Connection, sql: &str) -> i64 {
        connection.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    /// Every row stands in one part, and within its times.
    fn check(connection: &Connection) {
        let all = number(connection, "SELECT count(*) FROM entries");
        let inside = format!(
            "SELECT count(*) FROM {PARTS_OF_ENTRIES} WHERE time BETWEEN parts.oldest AND parts.newest"
        );
        assert_eq!(number(connection, &inside), all);
        let mut expected = connection
            .prepare("SELECT min(time), max(time) FROM entries WHERE time >= ?1 AND time < ?2")
            .unwrap();
        for (since, until) in [(i64::MIN, i64::MAX), (0, 1), (100, 900), (-50, 5000), (1500, 1501)] {
            let (first, last) =
                expected.query_row([since, until], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
            let period = Period { since, until };
            assert_eq!(time(connection, period, End::First).unwrap(), first, "{since}");
            assert_eq!(time(connection, period, End::Last).unwrap(), last, "{until}");
        }
    }

    #[test]
    fn each_row_is_where_its_span_says() {
        let connection = ledger([]);
        check(&connection);
        // Nearly in order, with some that come very late.
        add(&connection, (0..1300).map(|n| if n % 400 == 399 { n - 380 } else { n + n % 7 }));
        check(&connection);
        assert_eq!(number(&connection, "SELECT count(*) FROM spans"), 2);
        add(&connection, (1300..1600).map(|n| n - n % 9));
        check(&connection);
        assert_eq!(number(&connection, "SELECT count(*) FROM spans"), 3);
    }

    #[test]
    fn what_is_deleted_gives_its_place_away_safely() {
        let mut connection = ledger((0..1100).map(|n| if n > 1000 { 1000 - n } else { n }));
        let rows = "SELECT count(*) FROM entries";
        let mut prune = |before, limit| {
            let transaction = connection.transaction().unwrap();
            let gone = prune(&transaction, before, limit).unwrap();
            transaction.commit().unwrap();
            check(&connection);
            (gone, number(&connection, rows))
        };
        assert_eq!(prune(i64::MIN, 500), (0, 1100));
        assert_eq!(prune(0, 60), (60, 1040));
        // The newest ones by place are the oldest by time.
        assert_eq!(prune(0, 60), (39, 1001));
        assert_eq!(prune(300, 200), (200, 801));
        assert_eq!(prune(300, 200), (100, 701));
        assert_eq!(prune(300, 200), (0, 701));
        add(&connection, 2000..2600);
        check(&connection);
        let transaction = connection.transaction().unwrap();
        assert_eq!(super::prune(&transaction, 3000, 10_000).unwrap(), 1301);
        transaction.commit().unwrap();
        assert_eq!(number(&connection, "SELECT count(*) FROM spans"), 0);
        add(&connection, 5..1200);
        check(&connection);
    }
}
