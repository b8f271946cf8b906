//! Answers kept for idempotency.

use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::Change;
use crate::ledger::{KeptAnswer, Key};

/// How many bytes they take.
pub(super) fn bytes(connection: &Connection) -> rusqlite::Result<u64> {
    let sql = "SELECT coalesce(sum(bytes), 0) FROM answers";
    connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map(|sum| u64::try_from(sum).unwrap_or(0))
}

/// Keeps answers; the oldest make room. One larger than all the room is not kept.
pub(super) fn keep(change: &mut Change<'_>, answers: &[Arc<KeptAnswer>], max: u64) -> rusqlite::Result<()> {
    for answer in answers {
        remove(
            change,
            "DELETE FROM answers WHERE key = ?1 AND idempotency_key = ?2 RETURNING bytes",
            params![answer.key.key, answer.key.idempotency_key],
        )?;
        if size(answer) > max {
            continue;
        }
        while *change.kept > max - size(answer) {
            let oldest = "DELETE FROM answers WHERE id = (SELECT min(id) FROM answers) RETURNING bytes";
            if remove(change, oldest, [])? == 0 {
                *change.kept = 0;
            }
        }
        let sql = "INSERT INTO answers (key, idempotency_key, request, status, content_type, stream, created, bytes, \
            body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
        change.transaction.prepare_cached(sql)?.execute(params![
            answer.key.key,
            answer.key.idempotency_key,
            answer.request,
            answer.status,
            answer.content_type,
            answer.stream,
            answer.created,
            i64::try_from(size(answer)).unwrap_or(i64::MAX),
            &answer.body[..],
        ])?;
        *change.kept += size(answer);
    }
    Ok(())
}

/// Deletes answers made before `before`, at most `limit`; how many it were.
pub(super) fn prune(change: &mut Change<'_>, before: i64, limit: usize) -> rusqlite::Result<usize> {
    // They stand in the order in which they were made, or nearly so: the oldest are looked at, no more.
    let sql = "DELETE FROM answers WHERE created < ?1 AND id IN (SELECT id FROM answers ORDER BY id LIMIT ?2) \
        RETURNING bytes";
    remove(change, sql, params![before, i64::try_from(limit).unwrap_or(i64::MAX)])
}

/// Runs a statement that deletes and returns their bytes; how many it were.
fn remove(change: &mut Change<'_>, sql: &str, params: impl rusqlite::Params) -> rusqlite::Result<usize> {
    let mut statement = change.transaction.prepare_cached(sql)?;
    let removed = statement.query_map(params, |row| row.get::<_, i64>(0))?;
    let mut count = 0;
    for bytes in removed {
        *change.kept = change.kept.saturating_sub(u64::try_from(bytes?).unwrap_or(0));
        count += 1;
    }
    Ok(count)
}

/// What an answer takes: its body, its row.
fn size(answer: &KeptAnswer) -> u64 {
    let bytes = answer.body.len() + answer.key.idempotency_key.len() + 128;
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// The answer kept under these keys that is not older than `since`.
pub(super) fn find(connection: &Connection, key: &Key, since: i64) -> rusqlite::Result<Option<KeptAnswer>> {
    let sql = "SELECT request, status, content_type, stream, created, body FROM answers \
        WHERE key = ?1 AND idempotency_key = ?2 AND created >= ?3";
    let answer = |row: &Row<'_>| {
        Ok(KeptAnswer {
            key: key.clone(),
            request: row.get(0)?,
            status: row.get(1)?,
            content_type: row.get(2)?,
            stream: row.get(3)?,
            created: row.get(4)?,
            body: Bytes::from(row.get::<_, Vec<u8>>(5)?),
        })
    };
    connection.prepare_cached(sql)?.query_row(params![key.key, key.idempotency_key, since], answer).optional()
}
