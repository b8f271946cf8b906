//! A stop loses no cent: what was under way is in the ledger, nothing stays held.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{
    client::EventStream,
    ledger::{Row, accounts, amount, rows},
    limits::quiet,
    served::Served,
    settings::{OPEN, budget, price, target},
    transcript::{CHAT, Transcript},
    weir::Weir,
};

const STREAMS: usize = 32;
const GRACE: Duration = Duration::from_secs(4);

async fn start(sim: &Served) -> Weir {
    let toml = [
        OPEN,
        "[server]\nshutdown_grace = \"4s\"\n",
        &target("p", &sim.base_url(), "", &price("10.0", "100.0")),
        "[models.short]\nprovider = \"p\"\nupstream_model = \"m?tokens=40&tps=20\"\n",
        &price("10.0", "100.0"),
        "\n[models.long]\nprovider = \"p\"\nupstream_model = \"m?tokens=4000&tps=20\"\n",
        &price("10.0", "100.0"),
        "\n",
        &budget("b", "global", "monthly = 1000.0"),
    ]
    .concat();
    Weir::start(&toml).await
}

async fn open(weir: &Weir, models: &[&str]) -> Vec<EventStream> {
    let client = weir.client();
    let opening: Vec<_> = (0..STREAMS)
        .map(|number| {
            let body = json!({ "model": models[number % models.len()], "stream": true,
                "messages": [{ "role": "user", "content": "Say something." }] });
            let client = client.clone();
            tokio::spawn(async move { client.stream(CHAT, &body).await })
        })
        .collect();
    let mut streams = Vec::new();
    for stream in opening {
        streams.push(stream.await.unwrap());
    }
    streams
}

/// What is in the ledger after the end: each row, the accounts closed.
fn audited(weir: &Weir) -> Vec<Row> {
    let rows = rows(weir.folder());
    let sum: i64 = rows.iter().map(|row| row.cost).sum();
    for account in accounts(weir.folder()) {
        assert_eq!((account.posted, account.watermark), (sum, sum), "{account:?}");
    }
    assert_eq!(rows.len(), STREAMS, "{rows:#?}");
    rows
}

/// Starts again in the same place: nothing is to be made up for.
async fn sound_after(weir: Weir, rows: &[Row]) {
    let spent: i64 = rows.iter().map(|row| row.cost).sum();
    let again = weir.again().await;
    let budget = again.budget("b", "").await;
    assert_eq!((amount(&budget, "spent_usd"), amount(&budget, "held_usd")), (spent, 0), "{budget}");
    assert_eq!(again.rows(), rows, "a clean stop leaves nothing to adjust");
}

#[tokio::test]
async fn streams_that_end_in_time_are_in_the_ledger_as_their_provider_counts_them() {
    let _quiet = quiet().await;
    let sim = Served::start("").await;
    let mut weir = start(&sim).await;
    let mut streams = open(&weir, &["short"]).await;
    weir.sigterm();
    for stream in &mut streams {
        assert!(Transcript::of(stream).await.is_clean());
    }
    let status = weir.wait_exit(GRACE + Duration::from_secs(5)).await;
    assert_eq!(status.code(), Some(0), "{}", weir.logs());
    let rows = audited(&weir);
    assert!(rows.iter().all(|row| row.kind == "actual" && row.outcome == "ok" && row.output == 40));
    let (read, written) = sim.tokens();
    let cost = i64::try_from(read * 10_000 + written * 100_000).unwrap();
    assert_eq!(rows.iter().map(|row| row.cost).sum::<i64>(), cost);
    sound_after(weir, &rows).await;
}

#[tokio::test]
async fn streams_that_outlast_the_grace_period_are_cut_and_paid_for() {
    let _quiet = quiet().await;
    let sim = Served::start("").await;
    let mut weir = start(&sim).await;
    let mut streams = open(&weir, &["short", "long"]).await;
    let told = Instant::now();
    weir.sigterm();
    let mut ends = (0, 0);
    for stream in &mut streams {
        let transcript = Transcript::of(stream).await;
        match transcript.is_clean() {
            true => ends.0 += 1,
            false => {
                assert!(transcript.is_cut(), "a stream ends without a word: {transcript:?}");
                ends.1 += 1;
            }
        }
    }
    assert_eq!(ends, (STREAMS / 2, STREAMS / 2));
    let status = weir.wait_exit(GRACE + Duration::from_secs(5)).await;
    assert!(told.elapsed() < GRACE + Duration::from_secs(3), "{:?}", told.elapsed());
    assert_eq!(status.code(), Some(0), "{}", weir.logs());
    let rows = audited(&weir);
    let log = sim.log();
    let cut: Vec<&Row> = rows.iter().filter(|row| row.kind == "estimated").collect();
    assert_eq!(cut.len(), STREAMS / 2, "{rows:#?}");
    for row in cut {
        // Chunks of one token each; what was on its way at the cut is nobody's.
        let near = |entry: &&weir::sim::LogEntry| entry.completion_tokens.abs_diff(row.output) <= 2;
        assert!(row.output > 40 && log.iter().any(|entry| near(&entry)), "{row:?}");
    }
    sound_after(weir, &rows).await;
}
