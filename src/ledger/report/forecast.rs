//! What a month will have cost at its end if its days go on like the last ones.

use serde::Serialize;

use super::{
    figures::Usd,
    utc::{DAY_MS, civil, day_of, month},
};

/// How many days count as the last ones.
const RECENT_DAYS: i64 = 7;

/// What is summed for a forecast.
#[derive(Clone, Copy, Debug)]
pub struct Outlook {
    now: i64,
    month_start: i64,
    month_end: i64,
    recent_start: i64,
    spent: i128,
    recent: i128,
    /// The first row of the ledger: a younger one is not spread over days that it did not see.
    first: Option<i64>,
}

/// A forecast. Months and days are those of UTC; adjustments are not counted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Forecast {
    /// The month, like `2026-11`.
    pub month: String,
    /// What was spent in it so far.
    pub spent_usd: Usd,
    /// The mean of a recent day.
    pub daily_usd: Usd,
    /// How much of the month is left, in days.
    pub days_left: f64,
    /// What the whole month will have cost.
    pub month_usd: Usd,
    /// How it was reckoned.
    pub method: &'static str,
}

/// How a forecast is reckoned.
const METHOD: &str = "spent since the first of the month (UTC) + mean daily cost of the last 7 days (of fewer, at least \
     one, where the first row is younger) x days left";

impl Outlook {
    /// Nothing summed yet; `now` in milliseconds since 1970.
    pub fn new(now: i64) -> Self {
        let (first, next) = month(day_of(now));
        Self {
            now,
            month_start: first.saturating_mul(DAY_MS),
            month_end: next.saturating_mul(DAY_MS),
            recent_start: now.saturating_sub(RECENT_DAYS * DAY_MS),
            spent: 0,
            recent: 0,
            first: None,
        }
    }

    /// The first time that matters, in milliseconds since 1970; the last is now.
    pub fn since(&self) -> i64 {
        self.month_start.min(self.recent_start)
    }

    /// Counts what was spent at a time.
    pub fn add(&mut self, time: i64, cost: i64) {
        if time > self.now {
            return;
        }
        if time >= self.month_start {
            self.spent += i128::from(cost);
        }
        if time >= self.recent_start {
            self.recent += i128::from(cost);
        }
    }

    /// Tells when the first row of the ledger was.
    pub fn began(&mut self, first: Option<i64>) {
        self.first = first;
    }

    /// Adds what was counted elsewhere.
    pub fn merge(&mut self, other: &Self) {
        self.spent += other.spent;
        self.recent += other.recent;
        self.first = self.first.into_iter().chain(other.first).min();
    }

    /// The forecast.
    pub fn finish(&self) -> Forecast {
        let seen = self.now.saturating_sub(self.first.unwrap_or(self.now));
        let span = i128::from(seen.clamp(DAY_MS, RECENT_DAYS * DAY_MS));
        let left = self.month_end - self.now;
        let (year, month, _) = civil(day_of(self.now));
        Forecast {
            month: format!("{year:04}-{month:02}"),
            spent_usd: Usd(self.spent),
            daily_usd: Usd(self.recent * i128::from(DAY_MS) / span),
            days_left: (left / (DAY_MS / 100)) as f64 / 100.0,
            month_usd: Usd(self.spent + self.recent * i128::from(left) / span),
            method: METHOD,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOLLAR: i64 = 1_000_000_000;

    /// The 21st of November 2026, noon.
    const NOW: i64 = 1_795_262_400_000;

    #[test]
    fn the_last_week_goes_on() {
        let mut outlook = Outlook::new(NOW);
        outlook.began(Some(NOW - 25 * DAY_MS));
        // In the month but not recent; recent; before the month; in the future.
        outlook.add(NOW - 15 * DAY_MS, 10 * DOLLAR);
        outlook.add(NOW - 7 * DAY_MS, 4 * DOLLAR);
        outlook.add(NOW - DAY_MS, 10 * DOLLAR);
        outlook.add(NOW - 25 * DAY_MS, 99 * DOLLAR);
        outlook.add(NOW + 1, 99 * DOLLAR);
        let forecast = outlook.finish();
        assert_eq!((forecast.month.as_str(), forecast.days_left), ("2026-11", 9.5));
        assert_eq!(forecast.spent_usd.to_string(), "24");
        assert_eq!(forecast.daily_usd.to_string(), "2");
        assert_eq!(forecast.month_usd.to_string(), "43");
    }

    #[test]
    fn a_young_ledger_is_not_spread_over_days_that_it_did_not_see() {
        let mut outlook = Outlook::new(NOW);
        outlook.began(Some(NOW - 2 * DAY_MS));
        outlook.add(NOW - 2 * DAY_MS, 3 * DOLLAR);
        outlook.add(NOW, DOLLAR);
        assert_eq!(outlook.finish().daily_usd.to_string(), "2");
        let mut outlook = Outlook::new(NOW);
        outlook.began(Some(NOW - 1000));
        outlook.add(NOW - 1000, DOLLAR);
        assert_eq!(outlook.finish().daily_usd.to_string(), "1", "at least a day");
        assert_eq!(Outlook::new(NOW).finish().month_usd, Usd(0));
    }

    #[test]
    fn quiet_days_of_an_old_ledger_count() {
        let mut outlook = Outlook::new(NOW);
        outlook.began(Some(NOW - 400 * DAY_MS));
        outlook.add(NOW - DAY_MS, 7 * DOLLAR);
        assert_eq!(outlook.finish().daily_usd.to_string(), "1");
    }

    #[test]
    fn early_in_a_month_the_last_days_of_the_one_before_count() {
        let first = 1_793_491_200_000;
        assert_eq!(crate::base::calendar::rfc3339(first), "2026-11-01T00:00:00.000Z");
        let mut outlook = Outlook::new(first);
        outlook.began(Some(first - 7 * DAY_MS));
        outlook.add(first - 7 * DAY_MS, 7 * DOLLAR);
        let forecast = outlook.finish();
        assert_eq!((forecast.spent_usd, forecast.days_left), (Usd(0), 30.0));
        assert_eq!(forecast.month_usd.to_string(), "30");
        assert_eq!(outlook.since(), first - 7 * DAY_MS);
    }
}
