//! Makes a report with several connections at once, for a process that has nothing else to do.

use std::{
    num::NonZero,
    sync::atomic::{AtomicI64, Ordering},
    thread,
};

use rusqlite::Connection;

use super::{
    beside, scan,
    spans::{self, End},
    texts::OwnTexts,
};
use crate::ledger::{
    LedgerError,
    report::{Period, Question, Report, Summary},
};

/// How many read at most: beyond that they wait for memory.
const MAX_READERS: usize = 4;
/// How many parts the time is cut into, so that who gets the quiet nights is soon ready for more.
const PARTS: i64 = 64;

/// Makes a report of the file that `url` names.
///
/// # Errors
/// As [`beside::open`]; reading failed.
pub fn report(url: &str, question: Question) -> Result<Summary, LedgerError> {
    let connection = beside::open(url)?;
    let failed = |error| LedgerError::failed("reading it failed", error);
    let own = OwnTexts::default();
    let whole = filled(&connection, question.period).map_err(failed)?;
    let next = AtomicI64::new(0);
    let readers = thread::available_parallelism().map_or(1, NonZero::get).min(MAX_READERS);
    let read = || -> Result<Report, LedgerError> {
        let connection = beside::open(url)?;
        let mut report = Report::new(question);
        while let Some(part) = part(whole, next.fetch_add(1, Ordering::Relaxed)) {
            scan::scan(&connection, question, part, &own, &mut report).map_err(failed)?;
        }
        Ok(report)
    };
    let reports = thread::scope(|scope| {
        let threads: Vec<_> = (0..readers).map(|_| scope.spawn(read)).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, Result<Report, LedgerError>>| {
            thread
                .join()
                .unwrap_or_else(|_| Err(LedgerError::failed("reading it failed", "a reader panicked")))
        };
        threads.into_iter().map(join).collect::<Result<Vec<Report>, LedgerError>>()
    })?;
    let mut report = Report::new(question);
    reports.into_iter().for_each(|part| report.merge(part));
    scan::finish(&connection, question, &own, report).map_err(failed)
}

/// The time of the first row in a period up to that of the last.
fn filled(connection: &Connection, period: Period) -> rusqlite::Result<Period> {
    let first = spans::time(connection, period, End::First)?;
    let last = spans::time(connection, period, End::Last)?;
    let since = first.unwrap_or(period.since);
    Ok(Period { since, until: last.map_or(since, |last| last.saturating_add(1)) })
}

/// One of the parts of a period; together they are all of it.
fn part(whole: Period, number: i64) -> Option<Period> {
    let border = |number: i64| {
        let length = i128::from(whole.until) - i128::from(whole.since);
        let at = i128::from(whole.since) + length * i128::from(number) / i128::from(PARTS);
        i64::try_from(at).unwrap_or(i64::MAX)
    };
    (number < PARTS).then(|| Period { since: border(number), until: border(number + 1) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{
        report::By,
        store::sqlite::{
            place::Place,
            sample::{Sample, Text, write},
            version,
        },
    };

    #[test]
    fn parts_are_the_whole_without_a_gap() {
        for (since, until) in [(0, 1), (5, 5), (-7, 1000), (i64::MIN, i64::MAX)] {
            let whole = Period { since, until };
            let parts: Vec<Period> = (0..).map_while(|number| part(whole, number)).collect();
            assert_eq!(parts.len(), PARTS as usize);
            assert_eq!((parts[0].since, parts[parts.len() - 1].until), (since, until));
            assert!(parts.windows(2).all(|pair| pair[0].until == pair[1].since));
        }
    }

    #[test]
    fn many_readers_find_what_one_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weir.db");
        let url = format!("sqlite:{}", path.display());
        let mut connection = Connection::open(&path).unwrap();
        version::migrate(&mut connection, &Place::parse(&url).unwrap(), version::MIGRATIONS).unwrap();
        for n in 0..300_i64 {
            let names = ["a", "b", "c"];
            let text = names[n as usize % 3];
            let model = if n % 7 == 0 { Text::Inline(text) } else { Text::Named(text) };
            write(&connection, &Sample { time: n * n * 1000, id: n as u128, model, ..Sample::default() });
        }
        for (since, until) in [(0, i64::MAX), (10_000_000, 50_000_000), (200_000_000, 300_000_000)] {
            for by in [By::Model, By::Day] {
                let question = Question { period: Period { since, until }, by, now: 60_000_000 };
                let one = scan::report(&connection, question).unwrap();
                assert_eq!(report(&url, question).unwrap(), one);
                assert!(since > 100_000_000 || one.totals.asked > 50, "{}", one.totals.asked);
            }
        }
    }
}
