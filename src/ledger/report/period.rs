//! The time that a report or a list of rows is about, as people write it.

use std::time::Duration;

use crate::base::calendar;

/// A stretch of time, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// The first millisecond in it.
    pub since: i64,
    /// The first millisecond behind it.
    pub until: i64,
}

impl Period {
    /// The period between two times; without a second one it ends just behind `now`.
    ///
    /// # Errors
    /// It would end before it begins.
    pub fn new(since: i64, until: Option<i64>, now: i64) -> Result<Self, String> {
        let until = until.unwrap_or(now.saturating_add(1));
        match since < until {
            true => Ok(Self { since, until }),
            false => Err("`since` must be before `until`".into()),
        }
    }

    /// Whether a time is in it.
    pub fn holds(&self, time: i64) -> bool {
        (self.since..self.until).contains(&time)
    }
}

/// Reads a time: so long before `now` (`7d`, `12h`), the beginning of a day of UTC (`2026-11-01`), or a time
/// (`2026-11-01T08:00:00Z`). In milliseconds since 1970.
///
/// # Errors
/// Says what a time looks like.
pub fn parse_time(text: &str, now: i64) -> Result<i64, String> {
    if let Some(time) = calendar::moment_ms(text).filter(|time| *time >= 0) {
        return Ok(time);
    }
    let span = humantime::parse_duration(text).map_err(|_| {
        "it is no time: write how long ago, like `7d` or `12h`, a day of UTC, like `2026-11-01`, or a time, like \
         `2026-11-01T08:00:00Z`"
    })?;
    let ms = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    Ok(now.saturating_sub(ms(span)).max(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 24 * 60 * 60 * 1000;

    #[test]
    fn times_are_read_in_three_forms() {
        let now = 1_795_229_845_123;
        for (text, time) in [
            ("7d", now - 7 * DAY_MS),
            ("12h", now - DAY_MS / 2),
            ("0s", now),
            ("1000years", 0),
            ("2026-11-01", 1_793_491_200_000),
            ("2026-11-01T08:00:00Z", 1_793_520_000_000),
            ("2026-11-01T08:00:00.123Z", 1_793_520_000_123),
            ("2026-11-01T10:00:00+02:00", 1_793_520_000_000),
        ] {
            assert_eq!(parse_time(text, now), Ok(time), "{text}");
        }
        for bad in ["", "7", "seven days", "2026-11-31", "2026-11-01T08:00", "-7d", "99999999999999999999y"] {
            assert!(parse_time(bad, now).unwrap_err().contains("`7d`"), "{bad}");
        }
    }

    #[test]
    fn a_period_holds_its_beginning_but_not_its_end() {
        let period = Period::new(10, Some(20), 99).unwrap();
        assert_eq!([9, 10, 19, 20].map(|time| period.holds(time)), [false, true, true, false]);
        assert!(Period::new(10, None, 15).unwrap().holds(15), "what is written now is in it");
        assert!(Period::new(20, Some(20), 99).is_err());
    }
}
