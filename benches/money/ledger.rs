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
        money::Nanos,
        outcome::Outcome,
    },
    config,
    ledger::{
        Entry, Kind, Ledger, Origin, read,
        report::{By, Period as Span, Question},
    },
    metrics::Metrics,
    openai::Usage,
};

use crate::{Times, row};

const COST: i64 = 1_000;

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
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
pub fn settlements(folder: &Path, posters: u64, span: Duration) {
    let file = folder.join(format!("settlements-{posters}.db"));
    let (ledger, _) = Ledger::open(&settings(&file), &Metrics::new().unwrap(), now_ms()).unwrap();
    let runtime = Builder::new_multi_thread().enable_all().build().unwrap();
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
                    ledger.post(entry, charges()).await.unwrap();
                    waits.push(begun.elapsed());
                }
                waits
            })
        };
        let posters: Vec<_> = (0..posters).map(poster).collect();
        for poster in posters {
            waits.extend(poster.await.unwrap());
        }
    });
    let rate = waits.len() as f64 / begun.elapsed().as_secs_f64();
    runtime.block_on(ledger.close()).unwrap();
    let waits = Times::new(waits);
    let ms = |share| waits.at(share).as_secs_f64() * 1000.0;
    let note = format!("waits p50 {:.2} ms, p99 {:.2} ms   target: 20000/s", ms(0.5), ms(0.99));
    row(&format!("durable settlements, {posters} at a time"), &format!("{rate:.0}/s"), &note);
}

/// Writes so many rows of a month, then asks for its report.
pub fn report(folder: &Path, rows: u64) {
    let settings = settings(&folder.join("report.db"));
    let now = now_ms();
    let (ledger, _) = Ledger::open(&settings, &Metrics::new().unwrap(), now).unwrap();
    let month = 30 * 24 * 3_600_000;
    let begun = Instant::now();
    for number in 0..rows {
        let time = now - month + i64::try_from(number * month as u64 / rows).unwrap();
        let ack = ledger.post(entry(number, time), Vec::new());
        // The writer's queue has no end of its own.
        if number % 10_000 == 9_999 {
            ack.wait().unwrap();
        }
    }
    let runtime = Builder::new_current_thread().build().unwrap();
    runtime.block_on(ledger.close()).unwrap();
    let rate = rows as f64 / begun.elapsed().as_secs_f64();
    row(&format!("rows written one behind the other, {rows}"), &format!("{rate:.0}/s"), "");
    let period = Span::new(now - month, None, now).unwrap();
    let begun = Instant::now();
    read::report(&settings, Question { period, by: By::Model, now }).unwrap();
    let figure = format!("{:.2} s", begun.elapsed().as_secs_f64());
    row(&format!("a report of {rows} rows by model"), &figure, "");
}
