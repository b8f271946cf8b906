//! Days, months, dates as the clocks of a time zone count them.

use std::fmt;

use jiff::{
    Timestamp,
    civil::Date,
    tz::{self, TimeZone},
};

use super::account::Period;

/// The last moment that is looked at, the beginning of the year 9999: calendars end soon after it.
const LATEST: i64 = 253_370_764_800;

/// A stretch of time in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its first second.
    pub start: i64,
    /// The first second behind it; `i64::MAX`: it does not end.
    pub end: i64,
}

impl Span {
    /// All of time.
    pub const EVER: Self = Self { start: 0, end: i64::MAX };

    /// When it ends, if it does.
    pub fn ends(self) -> Option<i64> {
        (self.end != i64::MAX).then_some(self.end)
    }
}

/// A time zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone(TimeZone);

/// A text that names no time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadZone;

impl fmt::Display for BadZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is no such time zone")
    }
}

impl std::error::Error for BadZone {}

impl Zone {
    /// Universal time.
    pub const UTC: Self = Self(TimeZone::UTC);

    /// The zone of a name like `Europe/Amsterdam`.
    ///
    /// # Errors
    /// No zone has that name.
    pub fn parse(name: &str) -> Result<Self, BadZone> {
        TimeZone::get(name).map(Self).map_err(|_| BadZone)
    }

    /// The names of all zones.
    pub fn names() -> Vec<String> {
        tz::db().available().map(|name| name.to_string()).collect()
    }

    /// The day, the month or all of time around a moment. Days of 23 or 25 hours are just that long.
    pub fn window(&self, period: Period, now_s: i64) -> Span {
        let mut first = match period {
            Period::Daily => self.date(now_s),
            Period::Monthly => self.date(now_s).first_of_month(),
            Period::Total => return Span::EVER,
        };
        let mut next = after(period, first);
        // Where a clock was once set back over midnight, the date says the day before again: that day is over.
        if self.begins(next) <= now_s && now_s < LATEST {
            (first, next) = (next, after(period, next));
        }
        Span { start: self.begins(first), end: self.begins(next) }
    }

    fn date(&self, now_s: i64) -> Date {
        instant(now_s).to_zoned(self.0.clone()).date()
    }

    /// The first second of a day; where its midnight was left out, the first second after the gap.
    fn begins(&self, date: Date) -> i64 {
        date.to_zoned(self.0.clone()).map_or(i64::MAX, |start| start.timestamp().as_second())
    }
}

/// The first day behind the period that begins with this one.
fn after(period: Period, first: Date) -> Date {
    let last = if period == Period::Monthly { first.last_of_month() } else { first };
    last.tomorrow().unwrap_or(Date::MAX)
}

fn instant(now_s: i64) -> Timestamp {
    Timestamp::from_second(now_s.clamp(0, LATEST)).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The UTC day of a moment, like `2026-11-21`.
pub fn day_of(now_s: i64) -> String {
    Zone::UTC.date(now_s).to_string()
}

/// A moment in RFC 3339 with milliseconds, like `2026-11-21T09:30:00.250Z`.
pub fn rfc3339(now_ms: i64) -> String {
    let moment = Timestamp::from_millisecond(now_ms.clamp(0, LATEST * 1000)).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{moment:.3}")
}

/// The moment of an RFC 3339 time or of the beginning of a UTC day, in seconds since 1970.
pub fn moment(text: &str) -> Option<i64> {
    moment_ms(text).map(|time| time.div_euclid(1000))
}

/// The moment of an RFC 3339 time or of the beginning of a UTC day, in milliseconds since 1970.
pub fn moment_ms(text: &str) -> Option<i64> {
    let from_day = || {
        let date = text.parse::<Date>().ok().filter(|_| text.len() == 10)?;
        Zone::UTC.begins(date).checked_mul(1000)
    };
    text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond).or_else(from_day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> i64 {
        moment(text).unwrap()
    }

    #[track_caller]
    fn window(zone: &str, period: Period, now: &str, start: &str, end: &str) {
        let span = Zone::parse(zone).unwrap().window(period, at(now));
        assert_eq!(span, Span { start: at(start), end: at(end) }, "{zone} {now}");
    }

    #[test]
    fn a_day_is_as_long_as_its_clocks_make_it() {
        use Period::Daily;
        let spring = ("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z");
        for now in ["2026-03-28T23:00:00Z", "2026-03-29T00:59:59Z", "2026-03-29T21:59:59Z"] {
            window("Europe/Amsterdam", Daily, now, spring.0, spring.1);
        }
        window("Europe/Amsterdam", Daily, "2026-03-28T22:59:59Z", "2026-03-27T23:00:00Z", spring.0);
        window("Europe/Amsterdam", Daily, "2026-03-29T22:00:00Z", spring.1, "2026-03-30T22:00:00Z");
        let autumn = ("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z");
        for now in
            ["2026-10-24T22:00:00Z", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T22:59:59Z"]
        {
            window("Europe/Amsterdam", Daily, now, autumn.0, autumn.1);
        }
        window("Europe/Amsterdam", Daily, "2026-10-25T23:00:00Z", autumn.1, "2026-10-26T23:00:00Z");
        window("Asia/Kolkata", Daily, "2026-11-20T18:30:00Z", "2026-11-20T18:30:00Z", "2026-11-21T18:30:00Z");
        window("Asia/Kolkata", Daily, "2026-11-20T18:29:59Z", "2026-11-19T18:30:00Z", "2026-11-20T18:30:00Z");
        window("UTC", Daily, "2026-11-21T00:00:00Z", "2026-11-21", "2026-11-22");
        window("UTC", Daily, "2026-11-21T23:59:59Z", "2026-11-21", "2026-11-22");
    }

    #[test]
    fn months_follow_the_calendar() {
        use Period::Monthly;
        window("UTC", Monthly, "2028-02-29T12:00:00Z", "2028-02-01", "2028-03-01");
        window("UTC", Monthly, "2026-12-31T23:59:59Z", "2026-12-01", "2027-01-01");
        window(
            "Europe/Amsterdam",
            Monthly,
            "2026-03-31T22:00:00Z",
            "2026-03-31T22:00:00Z",
            "2026-04-30T22:00:00Z",
        );
        window(
            "Europe/Amsterdam",
            Monthly,
            "2026-03-15T00:00:00Z",
            "2026-02-28T23:00:00Z",
            "2026-03-31T22:00:00Z",
        );
        window(
            "Asia/Kolkata",
            Monthly,
            "2026-10-31T18:30:00Z",
            "2026-10-31T18:30:00Z",
            "2026-11-30T18:30:00Z",
        );
    }

    #[test]
    fn a_day_without_midnight_begins_after_the_gap() {
        // Beirut sets its clocks forward at midnight, Samoa once left out a whole day.
        window(
            "Asia/Beirut",
            Period::Daily,
            "2026-03-29T12:00:00Z",
            "2026-03-28T22:00:00Z",
            "2026-03-29T21:00:00Z",
        );
        window(
            "Pacific/Apia",
            Period::Daily,
            "2011-12-30T09:59:59Z",
            "2011-12-29T10:00:00Z",
            "2011-12-30T10:00:00Z",
        );
    }

    #[test]
    fn all_of_time_is_one_window() {
        assert_eq!(Zone::UTC.window(Period::Total, 5), Span::EVER);
        assert_eq!(Span::EVER.ends(), None);
    }

    #[test]
    fn names_are_known_or_refused() {
        assert_eq!(Zone::parse("UTC").unwrap().window(Period::Daily, 86_400).start, 86_400);
        for bad in ["", "Mars/Olympus", "Europe/Amsterdam ", "../../etc/passwd", "local"] {
            assert_eq!(Zone::parse(bad), Err(BadZone), "{bad}");
        }
    }

    #[test]
    fn moments_read_back() {
        assert_eq!(day_of(at("2026-11-21T23:59:59Z")), "2026-11-21");
        assert_eq!(rfc3339(1_795_253_400_250), "2026-11-21T09:30:00.250Z");
        assert_eq!(moment("2026-11-21T09:30:00Z"), Some(1_795_253_400));
        assert_eq!(moment("yesterday"), None);
    }

    proptest! {
        #[test]
        fn windows_hold_their_moment_without_gaps(now in 0..4_000_000_000_i64, zone in 0..5_usize, month: bool) {
            let zone = ["UTC", "Europe/Amsterdam", "Asia/Kolkata", "America/St_Johns", "Pacific/Apia"][zone];
            let (zone, period) = (Zone::parse(zone).unwrap(), if month { Period::Monthly } else { Period::Daily });
            let span = zone.window(period, now);
            prop_assert!(span.start <= now && now < span.end, "{:?}", span);
            let next = zone.window(period, span.end);
            prop_assert!(next.start == span.end && next.end > next.start);
        }

        #[test]
        fn any_moment_has_a_window(now: i64) {
            for period in Period::ALL {
                let span = Zone::UTC.window(period, now);
                prop_assert!(span.start < span.end);
            }
        }
    }
}
