//! How fast the ledger records, how fast it reports.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tokio::runtime::Builder;
use uuid::Uuid;
use weir::{
    base::{
        account::{AccountKey, AccountWindow, Charge, Period},
        clock::Clock,
        money::Nanos,
        outcome::Outcome,
    },
    config,
    ledger::{
        Entry, Kind, Ledger, Origin, SpentQuery, Unavailable, read,
        report::{By, Period as Span, Question},
    },
    metrics::Metrics,
    openai::Usage,
};

use crate::{Failure, Times, row};

const COST: i64 = 1_000;
/// In milliseconds.
const MONTH: u64 = 30 * 24 * 3_600_000;

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

fn settings(file: &Path) -> config::Ledger {
    let url = format!("sqlite:{}", file.display());
    config::Ledger { url, max_queue: usize::MAX, ..config::Ledger::default() }
}

fn origin(number: u64) -> Arc<Origin> {
    let tags = BTreeMap::from([("team".to_owned(), format!("team-{}", number % 10))]);
    Arc::new(Origin {
        request_id: format!("req_{}", Uuid::now_v7().simple()).into(),
        key: format!("key-{}", number % 100).into(),
        tags: Arc::new(tags),
        route: "standard".into(),
        requested_model: "standard".into(),
        cache: "bypass",
        ..Origin::default()
    })
}

fn entry(number: u64, time: i64) -> Entry {
    Entry {
        id: Uuid::now_v7(),
        origin: origin(number),
        attempt: 1,
        time,
        model: Some(format!("model-{}", number % 7).into()),
        provider: Some("provider".into()),
        position: 1,
        kind: Kind::Actual,
        outcome: Outcome::Ok.as_str(),
        quality: Some("ok"),
        usage: Usage { input: 100, output: 50, ..Usage::default() },
        cost: Nanos(COST),
        priced: true,
        baseline: Some(Nanos(2 * COST)),
        first_choice: Some(Nanos(COST)),
        first_byte_ms: Some(200),
        duration_ms: 900,
        overhead_us: 150,
        budget: None,
    }
}

/// What a request adds to two budgets.
fn charges() -> Vec<Charge> {
    let window = |budget: &str| AccountWindow {
        account: AccountKey { budget: budget.into(), holder: "".into(), period: Period::Monthly },
        start: 0,
    };
    ["all", "team"].map(|budget| Charge { window: window(budget), amount: Nanos(COST) }).into()
}

/// Many requests at a time, each of them waits until its row is on the disk, then posts the next one.
///
/// # Errors
/// The ledger cannot be written.
pub fn settlements(folder: &Path, posters: u64, span: Duration) -> Result<(), Failure> {
    let file = folder.join(format!("settlements-{posters}.db"));
    let (ledger, _) = Ledger::open(&settings(&file), &Metrics::new()?, Clock::system())?;
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    let begun = Instant::now();
    let mut waits = Vec::new();
    runtime.block_on(async {
        let until = begun + span;
        let poster = |number: u64| {
            let ledger = ledger.clone();
            tokio::spawn(async move {
                let mut waits = Vec::new();
                while Instant::now() < until {
                    let entry = entry(number, now_ms());
                    let begun = Instant::now();
                    ledger.post(entry, charges()).await?;
                    waits.push(begun.elapsed());
                }
                Ok::<_, Unavailable>(waits)
            })
        };
        let posters: Vec<_> = (0..posters).map(poster).collect();
        for poster in posters {
            waits.extend(poster.await??);
        }
        Ok::<_, Failure>(())
    })?;
    let rate = waits.len() as f64 / begun.elapsed().as_secs_f64();
    // What was waited for has to be there.
    let account = AccountKey { budget: "".into(), holder: "".into(), period: Period::Total };
    let window = AccountWindow { account, start: 0 };
    let all = SpentQuery { scope: config::Scope::Global, window };
    let spent: Nanos = runtime.block_on(ledger.books().spent(all))?.into_iter().map(|(_, sum)| sum).sum();
    assert_eq!(spent.0, COST * i64::try_from(waits.len())?, "the ledger has other rows than were posted");
    runtime.block_on(ledger.close())?;
    let waits = Times::new(waits);
    let ms = |share| waits.at(share).as_secs_f64() * 1000.0;
    let note = format!("waits p50 {:.2} ms, p99 {:.2} ms   target: 20000/s", ms(0.5), ms(0.99));
    row(&format!("durable settlements, {posters} at a time"), &format!("{rate:.0}/s"), &note);
    Ok(())
}

/// Writes so many rows of a month, then asks for its report.
///
/// # Errors
/// The ledger cannot be written or read.
pub fn report(folder: &Path, rows: u64) -> Result<(), Failure> {
    let settings = settings(&folder.join("report.db"));
    let now = now_ms();
    let (ledger, _) = Ledger::open(&settings, &Metrics::new()?, Clock::system())?;
    let since = now - i64::try_from(MONTH)?;
    let begun = Instant::now();
    for number in 0..rows {
        let time = since + i64::try_from(number * MONTH / rows)?;
        let ack = ledger.post(entry(number, time), Vec::new());
        // The writer's queue has no end of its own.
        if number % 10_000 == 9_999 {
            ack.wait()?;
        }
    }
    let runtime = Builder::new_current_thread().build()?;
    runtime.block_on(ledger.close())?;
    let rate = rows as f64 / begun.elapsed().as_secs_f64();
    row(&format!("rows written one behind the other, {rows}"), &format!("{rate:.0}/s"), "");
    let period = Span::new(since, None, now)?;
    let begun = Instant::now();
    let report = read::report(&settings, Question { period, by: By::Model, now })?;
    let figure = format!("{:.2} s", begun.elapsed().as_secs_f64());
    row(&format!("a report of {rows} rows by model"), &figure, "");
    assert_eq!(report.totals.attempts, rows, "the report has other rows than were posted");
    Ok(())
}
