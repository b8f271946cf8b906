//! The versions of the ledger's file: from whichever it has to the newest.

use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use super::place::Place;
use crate::ledger::LedgerError;

/// Each brings a file from the version of its index to the next. What stands here is never changed, only added to.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("schema.sql"),
    include_str!("version_2.sql"),
    include_str!("version_3.sql"),
    include_str!("version_4.sql"),
];

/// SQLite's mark for whose file it is: "Weir".
const APPLICATION: i64 = 0x5765_6972;

/// The version of the file; 0: it is empty.
///
/// # Errors
/// It is no database, another program's, or newer than is known.
pub(super) fn of(connection: &Connection, place: &Place, known: usize) -> Result<i64, LedgerError> {
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let read = || -> rusqlite::Result<(i64, i64, i64)> {
        Ok((
            number("SELECT count(*) FROM sqlite_schema")?,
            number("PRAGMA application_id")?,
            number("PRAGMA user_version")?,
        ))
    };
    let (tables, application, version) = read().map_err(|why| match why.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => LedgerError::Foreign(place.name()),
        _ => place.failed("read", why),
    })?;
    let known = i64::try_from(known).unwrap_or(i64::MAX);
    match (tables, application, version) {
        (0, 0, 0) => Ok(0),
        (_, APPLICATION, 1..) if version > known => {
            Err(LedgerError::Newer { path: place.name(), found: version, known })
        }
        (_, APPLICATION, 1..) => Ok(version),
        _ => Err(LedgerError::Foreign(place.name())),
    }
}

/// Brings the file to the newest version, each step whole or not at all. To be called by its owner.
///
/// # Errors
/// As [`of`]; a step failed.
pub(super) fn migrate(
    connection: &mut Connection,
    place: &Place,
    migrations: &[&str],
) -> Result<(), LedgerError> {
    let version = of(connection, place, migrations.len())?;
    let from = usize::try_from(version).unwrap_or(0);
    let older = (1..migrations.len()).contains(&from);
    if older {
        tracing::info!(
            version,
            "the ledger is brought to version {}, a large one takes minutes",
            migrations.len()
        );
    }
    let mut migrate = || -> rusqlite::Result<()> {
        for (index, step) in migrations.iter().enumerate().skip(from) {
            let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            change.execute_batch(step)?;
            change.pragma_update(None, "application_id", APPLICATION)?;
            change.pragma_update(None, "user_version", i64::try_from(index + 1).unwrap_or(i64::MAX))?;
            change.commit()?;
        }
        if older {
            // What was copied stands in the log. Where the disk has no room for it twice, that is to be known before it serves.
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        }
        Ok(())
    };
    migrate().map_err(|why| place.failed("bring to this version", why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{
        Entry,
        report::{By, Period, Question},
        store::{
            Batch, Post, Store as _,
            sqlite::{Sqlite, parallel, sample, spans},
        },
        tests::entry,
    };

    #[test]
    fn rows_by_time_become_rows_by_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weir.db");
        let url = format!("sqlite:{}", path.display());
        let mut connection = Connection::open(&path).unwrap();
        migrate(&mut connection, &Place::parse(&url).unwrap(), &MIGRATIONS[..3]).unwrap();
        connection.execute_batch("BEGIN").unwrap();
        for n in 0..1300_i64 {
            let (time, id) = (1000 * (n * 7 % 1300 / 2), n as u128);
            sample::write(&connection, &sample::Sample { time, id, cost: n, ..sample::Sample::default() });
        }
        connection.execute_batch("COMMIT").unwrap();
        let rows = |connection: &Connection| -> Vec<String> {
            let mut all = connection.prepare("SELECT * FROM ledger_rows ORDER BY time, id").unwrap();
            let columns = all.column_count();
            let row = |row: &rusqlite::Row<'_>| {
                (0..columns).map(|at| Ok(format!("{:?}", row.get_ref(at)?))).collect()
            };
            all.query_map([], row).unwrap().collect::<Result<_, _>>().unwrap()
        };
        let question =
            Question { period: Period { since: 7000, until: 400_000 }, by: By::Model, now: 450_000 };
        let (before, report) = (rows(&connection), parallel::report(&url, question).unwrap());
        assert_eq!(of(&connection, &Place::parse(&url).unwrap(), 3).unwrap(), 3, "who reads changes nothing");
        assert_eq!((before.len(), report.totals.asked), (1300, 786));
        drop(connection);
        let mut store = Sqlite::open(&url).unwrap();
        let connection = Connection::open(&path).unwrap();
        assert_eq!(rows(&connection), before);
        assert_eq!(parallel::report(&url, question).unwrap(), report);
        assert_eq!(store.newest().unwrap(), Some(649_000));
        let parts = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(parts("SELECT count(*) FROM spans"), 2);
        let posts: Vec<_> = (0..300)
            .map(|_| Post { entry: Entry { time: 700_000, ..entry(1) }, charges: Vec::new() })
            .collect();
        store.commit(&Batch { posts: &posts, ..Batch::default() }).unwrap();
        assert_eq!(parts("SELECT count(*) FROM spans"), 3);
        let late = format!(
            "SELECT count(*) FROM {} WHERE parts.newest >= 700000 AND time = 700000",
            spans::PARTS_OF_ENTRIES
        );
        assert_eq!(parts(&late), 300);
    }

    #[test]
    fn an_older_file_is_brought_on_and_keeps_what_it_has() {
        let place = Place::parse("sqlite::memory:").unwrap();
        let mut connection = place.connect().unwrap();
        let steps = [MIGRATIONS[0], "CREATE TABLE novelties (a); INSERT INTO novelties VALUES (5)"];
        migrate(&mut connection, &place, &steps[..1]).unwrap();
        connection.execute("INSERT INTO names (text) VALUES ('kept')", []).unwrap();
        assert_eq!(of(&connection, &place, 2).unwrap(), 1);
        migrate(&mut connection, &place, &steps).unwrap();
        migrate(&mut connection, &place, &steps).unwrap();
        let sql = "SELECT (SELECT a FROM novelties) || (SELECT text FROM names)";
        assert_eq!(connection.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap(), "5kept");
        assert!(matches!(of(&connection, &place, 1), Err(LedgerError::Newer { found: 2, known: 1, .. })));
    }

    #[test]
    fn a_step_that_fails_changes_nothing() {
        let place = Place::parse("sqlite::memory:").unwrap();
        let mut connection = place.connect().unwrap();
        let steps = [MIGRATIONS[0], "CREATE TABLE novelties (a); CREATE TABLE novelties (a)"];
        assert!(migrate(&mut connection, &place, &steps).is_err());
        assert_eq!(of(&connection, &place, 2).unwrap(), 1);
        assert!(connection.prepare("SELECT * FROM novelties").is_err());
    }
}
