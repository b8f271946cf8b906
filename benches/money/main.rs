//! What counting money costs: admission, durable settlements beside the disk's own time, a report of a million rows.
#![allow(clippy::print_stdout, reason = "its figures are for whoever runs it")]

mod disk;
mod ledger;

use std::{
    collections::BTreeMap,
    hint::black_box,
    path::PathBuf,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use weir::{
    base::money::Nanos,
    budget::{Accounts, Admission, Ask, Bound, Estimate, Held, Rules, TargetName, Who},
    config::Budget,
};

/// What ends the bench.
type Failure = Box<dyn std::error::Error>;

static ROUTES: LazyLock<[Arc<str>; 1]> = LazyLock::new(|| ["standard".into()]);

const DOLLAR: i64 = 1_000_000_000;
const NOW_S: i64 = 1_800_000_000;
/// How many admissions are timed together: reading the clock takes a good part of one.
const TOGETHER: u32 = 64;
const BATCHES: usize = 20_000;

/// Sorted times of the same thing.
struct Times(Vec<Duration>);

impl Times {
    fn new(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// The time that such a share of all does not exceed.
    fn at(&self, share: f64) -> Duration {
        let last = self.0.len().saturating_sub(1);
        self.0.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
    }
}

fn row(what: &str, figure: &str, note: &str) {
    println!("{what:<52} {figure:>14}   {note}");
}

/// The budgets that apply to every request here, one of each scope at least.
fn ten_budgets() -> Vec<Budget> {
    let scopes = [
        "global",
        "global",
        "key:bot",
        "each-key",
        "tag:team=blue",
        "tag:stage=live",
        "route:standard",
        "route:standard",
        "model:m",
        "provider:p",
    ];
    let budget = |(number, scope): (usize, &&str)| Budget {
        scope: (*scope).into(),
        // So high that a watermark is raised once in a million admissions.
        monthly: Some(Nanos(1_000_000 * DOLLAR)),
        ..Budget::named(format!("budget-{number}"))
    };
    scopes.iter().enumerate().map(budget).collect()
}

fn ask(tags: &BTreeMap<String, String>) -> Ask<'_> {
    let estimate = Estimate {
        input: Nanos(400),
        output_pico: 10_000,
        wanted: 100,
        client: Some(1000),
        spent: Nanos::ZERO,
        usual: 50,
        ceiling: None,
        counts: true,
    };
    let target = Some(TargetName { model: "m", provider: "p" });
    Ask { who: Who { key: "bot", tags, routes: &*ROUTES }, target, estimate, downgraded: false }
}

fn admit(accounts: &Accounts, bound: &Bound, ask: &Ask<'_>) -> Held {
    loop {
        match accounts.admit(bound, ask, None, NOW_S) {
            Admission::Held(held) => return held,
            Admission::Raise { marks, .. } => accounts.raised(&marks),
            Admission::Exceeded(exceeded) => panic!("{exceeded:?}"),
        }
    }
}

/// How long an admission takes, then its settlement.
fn admission(budgets: &[Budget]) -> Result<(), Failure> {
    let tags = [("team", "blue"), ("stage", "live")];
    let tags: BTreeMap<_, _> = tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let (accounts, ask) = (Accounts::new(), ask(&tags));
    let rules = Rules::compile(budgets, []).map_err(|faults| faults.join("\n"))?;
    let (bound, _) = accounts.bind(rules, &["bot"], NOW_S);
    let (mut admits, mut settles) = (Vec::new(), Vec::new());
    let mut held = Vec::with_capacity(TOGETHER as usize);
    for _ in 0..BATCHES {
        let begun = Instant::now();
        held.extend((0..TOGETHER).map(|_| admit(&accounts, &bound, black_box(&ask))));
        admits.push(begun.elapsed() / TOGETHER);
        let begun = Instant::now();
        for held in held.drain(..) {
            let amount = held.amount;
            let _ = black_box(accounts.settle(held, amount, NOW_S));
        }
        settles.push(begun.elapsed() / TOGETHER);
    }
    let count = budgets.len();
    let target = if count == 10 { "target: under 1000 ns" } else { "" };
    for (what, times, target) in [("admit", admits, target), ("settle", settles, "")] {
        let times = Times::new(times);
        let figure = format!("{} ns", times.at(0.5).as_nanos());
        let note = format!("p99 {} ns   {target}", times.at(0.99).as_nanos());
        row(&format!("{what}, {count} budgets apply, median"), &figure, &note);
    }
    Ok(())
}

/// Where the ledgers of this run lie: the folder that `WEIR_BENCH_FOLDER` names, else the build's.
fn folder() -> std::io::Result<tempfile::TempDir> {
    let above = std::env::var_os("WEIR_BENCH_FOLDER").map(PathBuf::from);
    tempfile::tempdir_in(above.unwrap_or_else(|| env!("CARGO_TARGET_TMPDIR").into()))
}

fn main() -> Result<(), Failure> {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let budgets = ten_budgets();
    admission(&budgets[..1])?;
    admission(&budgets)?;
    let folder = folder()?;
    disk::time(folder.path())?;
    let seconds = if quick { 1 } else { 5 };
    for posters in [64, 256, 1024] {
        ledger::settlements(folder.path(), posters, Duration::from_secs(seconds))?;
    }
    disk::time(folder.path())?;
    ledger::report(folder.path(), if quick { 20_000 } else { 1_000_000 })
}
