//! Days of UTC as numbers, for reports: no zone is involved, so that two reports of one ledger always agree.

/// Milliseconds of a day.
pub const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// The day since 1970 that a time in milliseconds since 1970 falls on.
pub fn day_of(time: i64) -> i64 {
    time.div_euclid(DAY_MS)
}

/// Year, month, day of a day since 1970: Howard Hinnant's `civil_from_days`.
pub fn civil(day: i64) -> (i64, i64, i64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // The year of this reckoning begins in March.
    let march = (5 * of_year + 2) / 153;
    let month = if march < 10 { march + 3 } else { march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, of_year - (153 * march + 2) / 5 + 1)
}

/// The day since 1970 of a date: Howard Hinnant's `days_from_civil`.
pub fn day_number(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let march = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * march + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// A day like `2026-11-21`.
pub fn date_text(day: i64) -> String {
    let (year, month, day) = civil(day);
    format!("{year:04}-{month:02}-{day:02}")
}

/// The Monday of the ISO week that a day is in.
pub fn monday(day: i64) -> i64 {
    // The first of January 1970 was a Thursday.
    day - (day + 3).rem_euclid(7)
}

/// The ISO week that begins on that Monday, like `2026-W47`: it belongs to the year of its Thursday.
pub fn week_text(monday: i64) -> String {
    let thursday = monday + 3;
    let (year, ..) = civil(thursday);
    format!("{year:04}-W{:02}", (thursday - day_number(year, 1, 1)) / 7 + 1)
}

/// The first day of the month that a day is in, with the first day of the next.
pub fn month(day: i64) -> (i64, i64) {
    let (year, month, _) = civil(day);
    let next = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    (day_number(year, month, 1), day_number(next.0, next.1, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_agree_with_another_calendar() {
        let epoch = jiff::civil::date(1970, 1, 1);
        let mut date = epoch;
        for day in 0..40_000 {
            let week = date.iso_week_date();
            assert_eq!(date_text(day), date.to_string());
            assert_eq!(week_text(monday(day)), format!("{:04}-W{:02}", week.year(), week.week()));
            let (first, next) = month(day);
            assert_eq!(day - first + 1, i64::from(date.day()));
            assert_eq!(next - first, i64::from(date.days_in_month()));
            date = date.tomorrow().unwrap();
        }
        assert_eq!(date_text(-1), "1969-12-31");
    }

    #[test]
    fn every_day_can_be_named() {
        for extreme in [i64::MIN, i64::MAX].map(day_of) {
            assert!(!week_text(monday(extreme)).is_empty() && !date_text(extreme).is_empty());
            assert!(month(extreme).0 <= extreme);
        }
    }
}
