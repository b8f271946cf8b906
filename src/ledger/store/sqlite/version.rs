//! The versions of the ledger's file: from whichever it has to the newest.

use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use super::place::Place;
use crate::ledger::LedgerError;

/// Each brings a file from the version of its index to the next. What stands here is never changed, only added to.
pub(super) const MIGRATIONS: &[&str] =
    &[include_str!("schema.sql"), include_str!("version_2.sql"), include_str!("version_3.sql")];

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
    let mut migrate = || -> rusqlite::Result<()> {
        for (index, step) in migrations.iter().enumerate().skip(from) {
            let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            change.execute_batch(step)?;
            change.pragma_update(None, "application_id", APPLICATION)?;
            change.pragma_update(None, "user_version", i64::try_from(index + 1).unwrap_or(i64::MAX))?;
            change.commit()?;
        }
        Ok(())
    };
    migrate().map_err(|why| place.failed("bring to this version", why))
}

#[cfg(test)]
mod tests {
    use super::*;

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
