//! What a crash may have left unwritten: the rest of every watermark becomes one row.

use std::{collections::BTreeMap, sync::Arc};

use super::{Entry, Kind, Origin, store::Adjustment};
use crate::{
    base::{
        account::{AccountState, Period},
        id::unique,
        money::Nanos,
    },
    openai::usage::Usage,
};

/// The name of the accounts that count requests in place of money. Their rest is written off without a row: it would
/// stand among sums of money.
pub const QUOTA: &str = "requests_per_month";

/// What adjustments have as their outcome.
pub const ADJUSTMENT: &str = "adjustment";

/// The least length of a window in milliseconds: a day has 23 hours or more, a month 28 days less an hour.
fn surely_open(period: Period) -> i64 {
    const HOUR: i64 = 3_600_000;
    match period {
        Period::Daily => 23 * HOUR,
        Period::Monthly => (28 * 24 - 1) * HOUR,
        Period::Total => i64::MAX,
    }
}

/// When an adjustment happened: now while its window is surely open, else at the last moment that is known to lie
/// inside of it. Only the configuration knows when a window ends, and it may have changed.
fn moment(state: &AccountState, inside: i64, now: i64) -> i64 {
    let start = state.window.start.saturating_mul(1000);
    let open_until = start.saturating_add(surely_open(state.window.account.period));
    if (start..open_until).contains(&now) { now } else { inside.max(start) }
}

/// One row for each window whose watermark is above what was posted; with each comes a moment that is known to lie
/// inside of it. Times are in milliseconds since 1970.
pub fn adjustments(unsettled: &[(AccountState, i64)], now: i64) -> Vec<Adjustment> {
    let rows = unsettled.iter().filter(|(state, _)| &*state.window.account.budget != QUOTA);
    rows.filter_map(|(state, inside)| {
        let rest = state.watermark.0.saturating_sub(state.posted.0);
        (rest > 0).then(|| adjustment(state, Nanos(rest), moment(state, *inside, now)))
    })
    .collect()
}

fn adjustment(state: &AccountState, cost: Nanos, time: i64) -> Adjustment {
    let account = &state.window.account;
    let origin = Origin {
        request_id: "".into(),
        key: account.holder.clone(),
        tags: Arc::new(BTreeMap::new()),
        ..Origin::default()
    };
    let entry = Entry {
        id: unique(),
        origin: Arc::new(origin),
        attempt: 0,
        time,
        model: None,
        provider: None,
        position: 0,
        kind: Kind::Adjustment,
        outcome: ADJUSTMENT,
        quality: None,
        usage: Usage::default(),
        cost,
        priced: true,
        baseline: None,
        first_choice: None,
        first_byte_ms: None,
        duration_ms: 0,
        overhead_us: 0,
        budget: Some(account.budget.clone()),
    };
    Adjustment { entry, window: state.window.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::account::{AccountKey, AccountWindow};

    const HOUR: i64 = 3_600_000;

    fn state(period: Period, start_ms: i64, holder: &str) -> AccountState {
        let account = AccountKey { budget: "company".into(), holder: holder.into(), period };
        let window = AccountWindow { account, start: start_ms / 1000 };
        AccountState { window, posted: Nanos(30), watermark: Nanos(100) }
    }

    #[test]
    fn it_happened_now_or_at_the_last_known_moment_of_its_window() {
        let start = 1000 * HOUR;
        let time = |period, now| moment(&state(period, start, ""), start + 2 * HOUR, now);
        assert_eq!(time(Period::Daily, start + 20 * HOUR), start + 20 * HOUR);
        assert_eq!(time(Period::Daily, start + 24 * HOUR), start + 2 * HOUR);
        assert_eq!(time(Period::Monthly, start + 600 * HOUR), start + 600 * HOUR);
        assert_eq!(time(Period::Monthly, start + 700 * HOUR), start + 2 * HOUR);
        assert_eq!(time(Period::Daily, start - HOUR), start + 2 * HOUR, "the clock was set back");
        let total = moment(&state(Period::Total, 0, ""), 5, i64::MAX - 1);
        assert_eq!(total, i64::MAX - 1);
    }

    #[test]
    fn a_share_is_its_keys() {
        let found = adjustments(&[(state(Period::Daily, 0, "bot"), 7)], HOUR);
        let [Adjustment { entry: row, window }] = &found[..] else { panic!("one row") };
        assert_eq!((window.account.period, window.start), (Period::Daily, 0));
        assert_eq!((row.cost, &*row.origin.key, row.budget.as_deref()), (Nanos(70), "bot", Some("company")));
        assert_eq!((row.kind, row.time), (Kind::Adjustment, HOUR));
    }
}
