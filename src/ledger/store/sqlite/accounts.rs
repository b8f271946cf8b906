//! The windows of budgets: what was posted, up to where spending is allowed.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Row, params, types::Type};

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
pub(super) fn count_all(transaction: &Connection) -> rusqlite::Result<()> {
    transaction.execute("UPDATE accounts SET posted = watermark WHERE watermark > posted", []).map(drop)
}

/// Lowers each watermark to what was posted.
pub(super) fn lower_all(transaction: &Connection) -> rusqlite::Result<()> {
    transaction.execute("UPDATE accounts SET watermark = posted WHERE watermark > posted", []).map(drop)
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
}

/// How many windows are known by heart at most.
const MAX_KNOWN: usize = 4096;

/// What a window's row says.
#[derive(Clone, Copy, Debug)]
struct Known {
    posted: i64,
    watermark: i64,
    touched: i64,
}

/// The rows of windows that the writer, who alone changes them, need not look up.
#[derive(Debug, Default)]
pub(super) struct ByHeart(NameMap<AccountWindow, Known>);

impl ByHeart {
    /// Something failed, or all windows were changed at once.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

/// Changes windows in a transaction.
pub(super) struct Windows<'a> {
    connection: &'a Connection,
    known: &'a mut ByHeart,
}

impl<'a> Windows<'a> {
    pub(super) fn of(connection: &'a Connection, known: &'a mut ByHeart) -> Self {
        Self { connection, known }
    }

    /// Makes windows, or raises those that are there: what was spent while nobody looked after them counts too.
    pub(super) fn seed(&mut self, windows: &[AccountState]) -> rusqlite::Result<()> {
        for AccountState { window, posted, watermark } in windows {
            self.change(window, |known| match known {
                Some(Known { posted: before, watermark: to, touched }) => Known {
                    posted: before.max(posted.0),
                    watermark: to.max(watermark.0).max(posted.0),
                    touched,
                },
                None => Known {
                    posted: posted.0,
                    watermark: watermark.0.max(posted.0),
                    touched: window.start.saturating_mul(1000),
                },
            })?;
        }
        Ok(())
    }

    /// Adds what a batch comes to.
    pub(super) fn add(&mut self, sums: Sums<'_>) -> rusqlite::Result<()> {
        for (window, (sum, at)) in sums.0 {
            self.change(window, |known| {
                let Known { posted, watermark, touched } = known.unwrap_or(NEW);
                // Held at the bounds here: SQLite would go over to floating point.
                let posted = clamp(i128::from(posted) + sum);
                Known { posted, watermark: watermark.max(posted), touched: touched.max(at) }
            })?;
        }
        Ok(())
    }

    /// Raises watermarks at this moment, in milliseconds.
    pub(super) fn raise(&mut self, to: &[Watermark], now: i64) -> rusqlite::Result<()> {
        for Watermark { window, to } in to {
            self.change(window, |known| {
                let Known { posted, watermark, touched } = known.unwrap_or(NEW);
                Known { posted, watermark: watermark.max(to.0).max(posted), touched: touched.max(now) }
            })?;
        }
        Ok(())
    }

    /// Lowers the watermarks of these windows to what was posted.
    pub(super) fn lower(&mut self, windows: &[AccountWindow]) -> rusqlite::Result<()> {
        for window in windows {
            // The window's own moment stays: nothing happened in it.
            self.change(window, |known| {
                let known = known.unwrap_or(NEW);
                Known { watermark: known.posted, ..known }
            })?;
        }
        Ok(())
    }

    fn change(
        &mut self,
        window: &AccountWindow,
        change: impl FnOnce(Option<Known>) -> Known,
    ) -> rusqlite::Result<()> {
        let AccountWindow { account, start } = window;
        let (budget, holder, period) = (&*account.budget, &*account.holder, account.period.as_str());
        let by_heart = self.known.0.get_mut(window);
        let before = match &by_heart {
            Some(known) => Some(**known),
            None => {
                let sql = "SELECT posted, watermark, touched FROM accounts \
                    WHERE budget = ?1 AND holder = ?2 AND period = ?3 AND start = ?4";
                let known = |row: &Row<'_>| {
                    Ok(Known { posted: row.get(0)?, watermark: row.get(1)?, touched: row.get(2)? })
                };
                let key = params![budget, holder, period, start];
                self.connection.prepare_cached(sql)?.query_row(key, known).optional()?
            }
        };
        let known = change(before);
        let Known { posted, watermark, touched } = known;
        // All of the row is given: to put it in place of the one before is half the work of an update.
        let sql = "REPLACE INTO accounts (budget, holder, period, start, posted, watermark, touched) \
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let row = params![budget, holder, period, start, posted, watermark, touched];
        self.connection.prepare_cached(sql)?.execute(row)?;
        match by_heart {
            Some(place) => *place = known,
            None => {
                if self.known.0.len() >= MAX_KNOWN {
                    self.known.forget();
                }
                self.known.0.insert(window.clone(), known);
            }
        }
        Ok(())
    }
}

/// A window of which there is no row.
const NEW: Known = Known { posted: 0, watermark: 0, touched: i64::MIN };

fn clamp(sum: i128) -> i64 {
    i64::try_from(sum).unwrap_or(if sum < 0 { i64::MIN } else { i64::MAX })
}

/// Deletes windows that ended before `before`, in milliseconds, with nothing left to settle.
pub(super) fn prune(transaction: &Connection, before: i64) -> rusqlite::Result<()> {
    let sql = "DELETE FROM accounts WHERE period <> 'total' AND start < ?1 AND watermark = posted";
    let ended = before.div_euclid(1000).saturating_sub(LONGEST);
    transaction.prepare_cached(sql)?.execute([ended]).map(drop)
}
