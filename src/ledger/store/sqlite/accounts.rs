//! The windows of budgets: what was posted, up to where spending is allowed.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params, types::Type};

use crate::base::{
    account::{AccountKey, AccountState, AccountWindow, Charge, Period, Watermark},
    map::NameMap,
    money::Nanos,
};

/// A window of a daily or monthly budget ended surely so long after it began, in seconds.
const LONGEST: i64 = 32 * 24 * 60 * 60;

fn state(row: &Row<'_>) -> rusqlite::Result<AccountState> {
    let name: String = row.get(2)?;
    let period = Period::parse(&name).ok_or_else(|| {
        rusqlite::Error::FromSqlConversionFailure(2, Type::Text, format!("no period `{name}`").into())
    })?;
    let account =
        AccountKey { budget: row.get::<_, Arc<str>>(0)?, holder: row.get::<_, Arc<str>>(1)?, period };
    Ok(AccountState {
        window: AccountWindow { account, start: row.get(3)? },
        posted: Nanos(row.get(4)?),
        watermark: Nanos(row.get(5)?),
    })
}

/// Every account's latest window.
pub(super) fn latest(connection: &Connection) -> rusqlite::Result<Vec<AccountState>> {
    let sql = "SELECT budget, holder, period, start, posted, watermark FROM accounts AS a WHERE start = \
        (SELECT max(start) FROM accounts AS b \
            WHERE b.budget = a.budget AND b.holder = a.holder AND b.period = a.period)";
    connection.prepare(sql)?.query_map([], state)?.collect()
}

/// Every window whose watermark is above what was posted, with a moment inside of it.
pub(super) fn unsettled(connection: &Connection) -> rusqlite::Result<Vec<(AccountState, i64)>> {
    let sql = "SELECT budget, holder, period, start, posted, watermark, touched FROM accounts \
        WHERE watermark > posted";
    connection.prepare(sql)?.query_map([], |row| Ok((state(row)?, row.get(6)?)))?.collect()
}

/// Counts everything up to each watermark as posted.
pub(super) fn count_all(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute("UPDATE accounts SET posted = watermark WHERE watermark > posted", []).map(drop)
}

/// Lowers each watermark to what was posted.
pub(super) fn lower_all(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute("UPDATE accounts SET watermark = posted WHERE watermark > posted", []).map(drop)
}

/// Makes windows, or raises those that are there: what was spent while nobody looked after them counts too.
pub(super) fn seed(transaction: &Transaction<'_>, windows: &[AccountState]) -> rusqlite::Result<()> {
    let sql = "INSERT INTO accounts VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?4 * 1000) ON CONFLICT DO UPDATE \
        SET posted = max(posted, excluded.posted), watermark = max(watermark, excluded.watermark)";
    for AccountState { window: AccountWindow { account, start }, posted, watermark } in windows {
        transaction.prepare_cached(sql)?.execute(params![
            account.budget,
            account.holder,
            account.period.as_str(),
            start,
            posted.0,
            watermark.0.max(posted.0),
        ])?;
    }
    Ok(())
}

/// What a batch adds to each window: a busy budget is written once, however many rows it has there.
#[derive(Default)]
pub(super) struct Sums<'a>(NameMap<&'a AccountWindow, (i128, i64)>);

impl<'a> Sums<'a> {
    /// Adds the charges of a row that was admitted at `time`.
    pub(super) fn add(&mut self, charges: &'a [Charge], time: i64) {
        for charge in charges {
            let (sum, touched) = self.0.entry(&charge.window).or_insert((0, time));
            *sum += i128::from(charge.amount.0);
            *touched = time.max(*touched);
        }
    }

    /// Writes them.
    pub(super) fn write(self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        for (window, (sum, touched)) in self.0 {
            let (posted, watermark) = known(transaction, window)?;
            // Held at the bounds here: SQLite would go over to floating point.
            let posted = clamp(i128::from(posted) + sum);
            put(transaction, window, posted, watermark.max(posted), touched)?;
        }
        Ok(())
    }
}

/// Raises watermarks at this moment, in milliseconds.
pub(super) fn raise(transaction: &Transaction<'_>, to: &[Watermark], now: i64) -> rusqlite::Result<()> {
    for Watermark { window, to } in to {
        let (posted, watermark) = known(transaction, window)?;
        put(transaction, window, posted, watermark.max(to.0).max(posted), now)?;
    }
    Ok(())
}

/// Lowers the watermarks of these windows to what was posted.
pub(super) fn lower(transaction: &Transaction<'_>, windows: &[AccountWindow]) -> rusqlite::Result<()> {
    for window in windows {
        let (posted, _) = known(transaction, window)?;
        // The window's own moment stays: nothing happened in it.
        put(transaction, window, posted, posted, i64::MIN)?;
    }
    Ok(())
}

fn known(transaction: &Transaction<'_>, window: &AccountWindow) -> rusqlite::Result<(i64, i64)> {
    let sql = "SELECT posted, watermark FROM accounts WHERE budget = ?1 AND holder = ?2 AND period = ?3 AND start = ?4";
    let AccountWindow { account, start } = window;
    let key = params![account.budget, account.holder, account.period.as_str(), start];
    let found = transaction.prepare_cached(sql)?.query_row(key, |row| Ok((row.get(0)?, row.get(1)?)));
    Ok(found.optional()?.unwrap_or_default())
}

fn put(
    transaction: &Transaction<'_>,
    window: &AccountWindow,
    posted: i64,
    watermark: i64,
    touched: i64,
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO accounts VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO UPDATE \
        SET posted = ?5, watermark = ?6, touched = max(touched, ?7)";
    let AccountWindow { account, start } = window;
    let row =
        params![account.budget, account.holder, account.period.as_str(), start, posted, watermark, touched];
    transaction.prepare_cached(sql)?.execute(row).map(drop)
}

fn clamp(sum: i128) -> i64 {
    i64::try_from(sum).unwrap_or(if sum < 0 { i64::MIN } else { i64::MAX })
}

/// Deletes windows that ended before `before`, in milliseconds, with nothing left to settle.
pub(super) fn prune(transaction: &Transaction<'_>, before: i64) -> rusqlite::Result<()> {
    let sql = "DELETE FROM accounts WHERE period <> 'total' AND start < ?1 AND watermark = posted";
    let ended = before.div_euclid(1000).saturating_sub(LONGEST);
    transaction.prepare_cached(sql)?.execute([ended]).map(drop)
}
