//! Reads the rows of a report in one pass over the file.

use rusqlite::{Connection, Row as Columns, params, types::ValueRef};

use super::{
    spans::{self, End, PARTS_OF_ENTRIES},
    texts::{OwnTexts, Texts},
};
use crate::{
    base::{money::Nanos, outcome::Outcome},
    ledger::{
        Kind,
        report::{By, NO_NAME, NameId, Period, Question, Report, Row, Summary, Tokens, is_from_cache},
    },
};

/// What the cache can have done.
const CACHE_WORDS: [&str; 3] = ["hit", "semantic", "stale"];

/// Makes a report with one connection.
///
/// # Errors
/// The file's.
pub fn report(connection: &Connection, question: Question) -> rusqlite::Result<Summary> {
    // All reads see the file at one moment; nothing is written.
    let _snapshot = connection.unchecked_transaction()?;
    let own = OwnTexts::default();
    let mut report = Report::new(question);
    scan(connection, question, question.period, &own, &mut report)?;
    finish(connection, question, &own, report)
}

/// Reads what is left when all rows of the period were, then names what was counted.
///
/// # Errors
/// The file's.
pub fn finish(
    connection: &Connection,
    question: Question,
    own: &OwnTexts,
    mut report: Report,
) -> rusqlite::Result<Summary> {
    // The forecast looks at a time of its own; only what the period did not hold is still to be read.
    let (since, until) = (question.period.since, question.period.until);
    let ever = Period { since: i64::MIN, until: i64::MAX };
    report.began(spans::time(connection, ever, End::First)?);
    let (first, last) = (report.outlook_since(), question.now.saturating_add(1));
    spent(connection, first, since.min(last), &mut report)?;
    spent(connection, first.max(until), last, &mut report)?;
    let texts = Texts::new(connection, own);
    let summary = report.finish(&texts);
    texts.check()?;
    Ok(summary)
}

/// The numbers of the words that decide how a row counts.
struct Marks {
    ok: Option<NameId>,
    from_cache: Vec<NameId>,
}

impl Marks {
    fn find(texts: &Texts<'_>) -> rusqlite::Result<Self> {
        let mut from_cache = Vec::new();
        for word in CACHE_WORDS {
            from_cache.extend(texts.find(word)?);
        }
        Ok(Self { ok: texts.find(Outcome::Ok.as_str())?, from_cache })
    }

    fn is_ok(&self, outcome: ValueRef<'_>) -> bool {
        match outcome {
            ValueRef::Integer(number) => self.ok == Some(number),
            ValueRef::Text(text) => text == Outcome::Ok.as_str().as_bytes(),
            _ => false,
        }
    }

    fn is_from_cache(&self, cache: ValueRef<'_>) -> bool {
        match cache {
            ValueRef::Integer(number) => self.from_cache.contains(&number),
            ValueRef::Text(text) => std::str::from_utf8(text).is_ok_and(is_from_cache),
            _ => false,
        }
    }
}

/// The column that rows are grouped by, where they hold it.
fn column(by: By) -> &'static str {
    match by {
        By::Model => "model",
        By::Key => "key",
        By::Tier => "tier",
        By::Tag => "tags",
        // These are read anyway.
        By::Route | By::Provider | By::Position | By::Day => "NULL",
    }
}

/// Folds the rows of a part of the period into a report.
///
/// # Errors
/// The file's.
pub fn scan(
    connection: &Connection,
    question: Question,
    part: Period,
    own: &OwnTexts,
    report: &mut Report,
) -> rusqlite::Result<()> {
    let texts = Texts::new(connection, own);
    let marks = Marks::find(&texts)?;
    // An adjustment has a budget and nothing else to be grouped by. What is read of each row is what takes the time.
    let sql = format!(
        "SELECT time, attempt, position, kind, outcome, cache, priced,
            CASE kind WHEN 2 THEN budget ELSE {} END, route, provider,
            input + audio_input, cached_input, cache_write + cache_write_1h, output + audio_output, reasoning,
            cost, baseline, first_choice
         FROM {PARTS_OF_ENTRIES}
         WHERE parts.newest >= ?1 AND parts.oldest < ?2 AND time >= ?1 AND time < ?2",
        column(question.by)
    );
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query(params![part.since, part.until])?;
    while let Some(columns) = rows.next()? {
        let row = read(columns, question.by, &marks, &texts)?;
        if row.kind != Kind::Adjustment {
            report.spent(row.time, row.cost.0);
        }
        report.fold(&row);
    }
    Ok(())
}

fn read(columns: &Columns<'_>, by: By, marks: &Marks, texts: &Texts<'_>) -> rusqlite::Result<Row> {
    let int = |at: usize| columns.get::<_, i64>(at);
    let small = |at: usize| int(at).map(|number| u32::try_from(number).unwrap_or(0));
    let count = |at: usize| int(at).map(|number| u64::try_from(number).unwrap_or(0));
    let money = |at: usize| columns.get::<_, Option<i64>>(at).map(|number| number.map(Nanos));
    let kind = match int(3)? {
        0 => Kind::Actual,
        1 => Kind::Estimated,
        _ => Kind::Adjustment,
    };
    let mut row = Row {
        time: int(0)?,
        attempt: small(1)?,
        position: small(2)?,
        kind,
        answered: marks.is_ok(columns.get_ref(4)?),
        from_cache: marks.is_from_cache(columns.get_ref(5)?),
        priced: int(6)? != 0,
        tokens: Tokens {
            input: count(10)?,
            cached_input: count(11)?,
            cache_write: count(12)?,
            output: count(13)?,
            reasoning: count(14)?,
        },
        cost: Nanos(int(15)?),
        baseline: money(16)?,
        first_choice: money(17)?,
        key: NO_NAME,
        route: texts.number(columns.get_ref(8)?),
        tier: NO_NAME,
        model: NO_NAME,
        provider: texts.number(columns.get_ref(9)?),
        tags: NO_NAME,
        budget: NO_NAME,
    };
    let group = texts.number(columns.get_ref(7)?);
    match (kind, by) {
        (Kind::Adjustment, _) => row.budget = group,
        (_, By::Model) => row.model = group,
        (_, By::Key) => row.key = group,
        (_, By::Tier) => row.tier = group,
        (_, By::Tag) => row.tags = group,
        (_, By::Route | By::Provider | By::Position | By::Day) => {}
    }
    Ok(row)
}

/// Tells the report what was spent in a time that it was not shown the rows of.
fn spent(connection: &Connection, since: i64, until: i64, report: &mut Report) -> rusqlite::Result<()> {
    let sql = format!(
        "SELECT time, cost FROM {PARTS_OF_ENTRIES}
         WHERE parts.newest >= ?1 AND parts.oldest < ?2 AND time >= ?1 AND time < ?2 AND kind <> 2"
    );
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query(params![since, until])?;
    while let Some(columns) = rows.next()? {
        report.spent(columns.get(0)?, columns.get(1)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::store::sqlite::sample::{
        Sample, Text,
        Text::{Inline, Named, No},
        create, write,
    };

    /// The 21st of November 2026, noon.
    const NOW: i64 = 1_795_262_400_000;
    const DAY: i64 = 24 * 60 * 60 * 1000;

    fn ledger(samples: &[Sample]) -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        create(&connection);
        for (id, sample) in samples.iter().enumerate() {
            write(&connection, &Sample { id: id as u128, ..sample.clone() });
        }
        connection
    }

    fn ask(connection: &Connection, by: By, since: i64, until: i64) -> Summary {
        report(connection, Question { period: Period { since, until }, by, now: NOW }).unwrap()
    }

    fn groups(connection: &Connection, by: By) -> Vec<(String, u64)> {
        let summary = ask(connection, by, 0, NOW);
        summary.groups.iter().map(|group| (group.name.clone(), group.figures.asked)).collect()
    }

    #[test]
    fn every_column_finds_its_figure() {
        let failed = Sample { outcome: Named("timeout"), kind: 1, ..Sample::default() };
        let fallback = Sample {
            attempt: 2,
            position: 2,
            model: Named("small"),
            provider: Named("other"),
            baseline: Some(50_000_000),
            first_choice: Some(4_000_000),
            ..Sample::default()
        };
        let hit = Sample {
            attempt: 0,
            position: 0,
            cache: Named("hit"),
            cost: 0,
            baseline: Some(7),
            ..Sample::default()
        };
        let unpriced = Sample { priced: false, cost: 0, ..Sample::default() };
        let adjustment = Sample {
            attempt: 0,
            kind: 2,
            outcome: Named("adjustment"),
            budget: Named("company"),
            ..hit.clone()
        };
        let adjustment = Sample { cost: 3, ..adjustment };
        let connection = ledger(&[failed, fallback, hit, unpriced, adjustment]);
        let summary = ask(&connection, By::Model, 0, NOW);
        let totals = &summary.totals;
        assert_eq!((totals.asked, totals.answered, totals.attempts, totals.unpriced), (3, 3, 3, 1));
        assert_eq!(
            [
                totals.input_tokens,
                totals.cached_input_tokens,
                totals.cache_write_tokens,
                totals.output_tokens,
                totals.reasoning_tokens
            ],
            [4 * 110, 4 * 4, 4 * 3, 4 * 55, 4 * 2]
        );
        let money = |sum: crate::ledger::report::Usd| sum.to_string();
        assert_eq!(money(totals.cost_usd), "0.02");
        assert_eq!(money(totals.estimated_usd), "0.01");
        assert_eq!(money(totals.saved_by_routing_usd), "0.04");
        assert_eq!(money(totals.saved_by_cache_usd), "0.000000007");
        assert_eq!(money(totals.fallback_usd), "0.006");
        assert_eq!(summary.adjustments.len(), 1);
        assert_eq!((summary.adjustments[0].budget.as_str(), summary.adjustments[0].rows), ("company", 1));
        assert_eq!(money(summary.forecast.spent_usd), "0.02", "without adjustments");
    }

    #[test]
    fn rows_are_grouped_by_every_column() {
        let other = Sample {
            key: No,
            route: Named("cheap"),
            model: Named("small"),
            provider: Named("other"),
            tags: Named(r#"{"app":"chat","team":"x"}"#),
            position: 2,
            time: NOW - DAY,
            cost: 1,
            ..Sample::default()
        };
        let connection = ledger(&[Sample::default(), other]);
        let pairs = |first: &str, second: &str| vec![(first.to_owned(), 1), (second.to_owned(), 1)];
        for (by, expected) in [
            (By::Model, pairs("big", "small")),
            (By::Key, pairs("bot", "none")),
            (By::Route, pairs("standard", "cheap")),
            (By::Provider, pairs("acme", "other")),
            (By::Position, pairs("1", "2")),
            (By::Day, pairs("2026-11-20", "2026-11-21")),
            (By::Tier, vec![("none".to_owned(), 2)]),
        ] {
            assert_eq!(groups(&connection, by), expected, "{by}");
        }
        let tags: Vec<String> = groups(&connection, By::Tag).into_iter().map(|(name, _)| name).collect();
        assert_eq!(tags, ["none", "app=chat", "team=x"]);
    }

    #[test]
    fn texts_that_rows_hold_themselves_count_like_names() {
        let inline = |model: Text| Sample {
            model,
            outcome: Inline("ok"),
            cache: Inline("hit"),
            tags: Inline(r#"{"team":"x"}"#),
            ..Sample::default()
        };
        let connection =
            ledger(&[inline(Inline("odd")), inline(Inline("odd")), inline(Named("big")), inline(No)]);
        let names = groups(&connection, By::Model);
        assert_eq!(names, [("odd".to_owned(), 2), ("big".to_owned(), 1), ("none".to_owned(), 1)]);
        assert_eq!(groups(&connection, By::Tag), [("team=x".to_owned(), 4)]);
        assert_eq!(ask(&connection, By::Model, 0, NOW).totals.answered, 4);
    }

    #[test]
    fn the_forecast_does_not_depend_on_the_period() {
        let at = |days: i64| Sample { time: NOW - days * DAY, ..Sample::default() };
        let connection = ledger(&[at(0), at(1), at(6), at(15), at(25), at(40)]);
        let whole = ask(&connection, By::Model, 0, NOW + DAY).forecast;
        assert_eq!(whole.spent_usd.to_string(), "0.04");
        for (since, until) in [(30, 10), (16, 5), (3, 2), (7, 0), (2, 0)] {
            let (since, until) = (NOW - since * DAY, NOW - until * DAY);
            assert_eq!(ask(&connection, By::Model, since, until).forecast, whole);
        }
        assert_eq!(ask(&connection, By::Model, NOW + DAY, NOW + 2 * DAY).forecast, whole);
        assert_eq!(ask(&connection, By::Model, 0, i64::MAX).forecast, whole);
    }
}
