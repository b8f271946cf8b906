//! Writing rows.

use rusqlite::{Transaction, params, types::Value};

use super::{Change, Names};
use crate::{
    base::account::AccountWindow,
    ledger::{Entry, Kind},
};

const INSERT: &str = "INSERT INTO entries (time, id, request, attempt, key, tags, route, tier, task, complexity, \
    requested_model, stream, cache, model, provider, position, kind, outcome, input, cached_input, cache_write, \
    cache_write_1h, audio_input, output, reasoning, audio_output, cost, priced, baseline, first_choice, \
    first_byte_ms, duration_ms, overhead_us, budget, period, window_start, \
    quality) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, \
    ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33, ?34, ?35, \
    ?36, ?37) \
    ON CONFLICT DO NOTHING";

/// Writes a row; false if it was there already. An adjustment has the window that it belongs to.
pub(super) fn insert(
    change: &mut Change<'_>,
    entry: &Entry,
    window: Option<&AccountWindow>,
) -> rusqlite::Result<bool> {
    let transaction = &change.transaction;
    let names = &mut *change.names;
    let mut name = |text: &str| named(names, transaction, Some(text));
    let origin = &entry.origin;
    let [key, route, requested] = [name(&origin.key)?, name(&origin.route)?, name(&origin.requested_model)?];
    let [cache, outcome] = [name(origin.cache)?, name(entry.outcome)?];
    let mut option = |text: &Option<_>| named(names, transaction, text.as_deref());
    let [tier, task] = [option(&origin.tier)?, option(&origin.task)?];
    let [model, provider, budget] = [option(&entry.model)?, option(&entry.provider)?, option(&entry.budget)?];
    let quality = named(names, transaction, entry.quality)?;
    let tags = if origin.tags.is_empty() {
        Value::Null
    } else {
        let json = serde_json::to_string(&*origin.tags)
            .map_err(|why| rusqlite::Error::ToSqlConversionFailure(why.into()))?;
        change.tags.value(transaction, &json)?
    };
    let usage = &entry.usage;
    let written = transaction.prepare_cached(INSERT)?.execute(params![
        entry.time,
        entry.id.as_bytes(),
        request(&origin.request_id),
        entry.attempt,
        key,
        tags,
        route,
        tier,
        task,
        origin.complexity,
        requested,
        origin.stream,
        cache,
        model,
        provider,
        entry.position,
        kind(entry.kind),
        outcome,
        count(usage.input),
        count(usage.cached_input),
        count(usage.cache_write),
        count(usage.cache_write_1h),
        count(usage.audio_input),
        count(usage.output),
        count(usage.reasoning),
        count(usage.audio_output),
        entry.cost.0,
        entry.priced,
        entry.baseline.map(|cost| cost.0),
        entry.first_choice.map(|cost| cost.0),
        entry.first_byte_ms,
        entry.duration_ms,
        entry.overhead_us,
        budget,
        window.map(|window| window.account.period.as_str()),
        window.map(|window| window.start),
        quality,
    ])?;
    Ok(written > 0)
}

/// What stands for a text; nothing for none.
fn named(names: &mut Names, transaction: &Transaction<'_>, text: Option<&str>) -> rusqlite::Result<Value> {
    match text {
        None | Some("") => Ok(Value::Null),
        Some(text) => names.value(transaction, text),
    }
}

/// Our own request ids are half as long as bytes.
pub(super) fn request(id: &str) -> Value {
    let bytes = id.strip_prefix("req_").filter(|hex| hex.len() == 32).and_then(|hex| {
        let lower = hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        lower.then(|| u128::from_str_radix(hex, 16).ok()).flatten()
    });
    match bytes {
        Some(bytes) => Value::Blob(bytes.to_be_bytes().into()),
        None => Value::Text(id.into()),
    }
}

fn kind(kind: Kind) -> i64 {
    match kind {
        Kind::Actual => 0,
        Kind::Estimated => 1,
        Kind::Adjustment => super::ADJUSTMENT,
    }
}

/// A count as SQLite has it. None is near the bound.
fn count(tokens: u64) -> i64 {
    i64::try_from(tokens).unwrap_or(i64::MAX)
}

/// Deletes the oldest rows before `before`, at most `limit`; how many it were.
pub(super) fn prune(transaction: &Transaction<'_>, before: i64, limit: usize) -> rusqlite::Result<usize> {
    let sql = "DELETE FROM entries WHERE (time, id) IN \
        (SELECT time, id FROM entries WHERE time < ?1 ORDER BY time LIMIT ?2)";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    transaction.prepare_cached(sql)?.execute(params![before, limit])
}
