//! Keys made at run time.

use rusqlite::{Connection, OptionalExtension as _, Row, TransactionBehavior, params, types::Type};

use crate::ledger::{KeyRow, LedgerError};

/// All of them, by name.
pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<KeyRow>> {
    let sql = "SELECT name, hash, settings, created, revoked FROM keys ORDER BY name";
    let key = |row: &Row<'_>| {
        let settings: String = row.get(2)?;
        let settings = serde_json::from_str(&settings)
            .map_err(|why| rusqlite::Error::FromSqlConversionFailure(2, Type::Text, why.into()))?;
        Ok(KeyRow {
            name: row.get(0)?,
            hash: row.get(1)?,
            settings,
            created: row.get(3)?,
            revoked: row.get(4)?,
        })
    };
    connection.prepare_cached(sql)?.query_map([], key)?.collect()
}

/// The number that differs after each change.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    let sql = "SELECT number FROM facts WHERE name = 'keys_version'";
    connection.prepare_cached(sql)?.query_row([], |row| row.get(0))
}

/// Writes a key; in place of one of that name only where that was revoked.
pub(super) fn put(connection: &mut Connection, row: &KeyRow) -> Result<(), LedgerError> {
    let failed = |why| LedgerError::failed("write the key", why);
    let settings = serde_json::to_string(&row.settings)
        .map_err(|why| LedgerError::failed("write the key's settings", why))?;
    let change = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let taken = change
        .query_row(
            "SELECT name FROM keys WHERE (name = ?1 AND revoked IS NULL) OR (hash = ?2 AND name <> ?1)",
            params![row.name, row.hash],
            |row| row.get::<_, String>(0),
        )
        .optional()
        .map_err(failed)?;
    if let Some(name) = taken {
        return Err(LedgerError::KeyExists(name));
    }
    let sql = "INSERT INTO keys VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (name) DO UPDATE \
        SET hash = ?2, settings = ?3, created = ?4, revoked = ?5";
    let values = params![row.name, row.hash, settings, row.created, row.revoked];
    change.execute(sql, values).map_err(failed)?;
    change.commit().map_err(failed)
}

/// Revokes a key that is not.
pub(super) fn revoke(connection: &Connection, name: &str, now: i64) -> Result<(), LedgerError> {
    let sql = "UPDATE keys SET revoked = ?2 WHERE name = ?1 AND revoked IS NULL";
    match connection.execute(sql, params![name, now]) {
        Ok(0) => Err(LedgerError::NoSuchKey(name.into())),
        Ok(_) => Ok(()),
        Err(why) => Err(LedgerError::failed("revoke the key", why)),
    }
}
