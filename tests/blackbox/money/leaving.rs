//! A client that leaves: its provider stops at once, what it took is in the ledger soon.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::timeout;
use weir::sim::{Finished, LogEntry};

use crate::support::{
    ledger::Row,
    limits::quiet,
    raw::wait_for,
    served::Served,
    settings::{OPEN, budget, price, target},
    transcript::CHAT,
    weir::Weir,
};

/// 250 ms, with fourfold slack for a busy machine.
const CLOSED: Duration = Duration::from_millis(1000);
/// One chunk, with the same slack.
const ON_ITS_WAY: u64 = 4;
/// A second, with the same slack.
const WRITTEN: Duration = Duration::from_secs(4);

/// The simulator thinks up its whole answer first; its first token comes after that, so that none is late.
async fn start(sim: &Served) -> Weir {
    let toml = [
        OPEN,
        &target("p", &sim.base_url(), "", &price("1.0", "100.0")),
        "[models.slow]\nprovider = \"p\"\nupstream_model = \"m?first_token=60s\"\n",
        &price("1.0", "100.0"),
        "\n[models.chatty]\nprovider = \"p\"\nupstream_model = \"m?tokens=3000&tps=50&first_token=600ms\"\n",
        &price("1.0", "100.0"),
        "\n",
        &budget("b", "global", "daily = 100.0"),
    ]
    .concat();
    let weir = Weir::start(&toml).await;
    // Tables of tokens are read at the first use.
    let warm = weir.client().post_json(CHAT, &ask("p", false)).await;
    assert_eq!(warm.status, 200, "{}", warm.text());
    weir.attempts(1).await;
    weir
}

fn ask(model: &str, stream: bool) -> Value {
    json!({ "model": model, "stream": stream, "max_tokens": 2000,
        "messages": [{ "role": "user", "content": "Tell me a story of the sea." }] })
}

/// After the client has left: the provider's entry, the ledger's row, how long the close took.
async fn left(weir: &Weir, sim: &Served, number: usize) -> (LogEntry, Row, Duration) {
    let begun = Instant::now();
    let gone = |entry: LogEntry| (entry.finished != Finished::Open).then_some(entry);
    let entry = wait_for(|| gone(sim.log()[number].clone())).await;
    let took = begun.elapsed();
    assert!(took < CLOSED, "{took:?}");
    assert_eq!(entry.finished, Finished::ClientLeft, "{entry:?}");
    let row = weir.attempts(number + 1).await.remove(number);
    assert!(begun.elapsed() < WRITTEN, "{:?}", begun.elapsed());
    assert_eq!((row.kind.as_str(), row.outcome.as_str()), ("estimated", "client_left"), "{row:?}");
    (entry, row, took)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_before_the_client_left_is_paid_for() {
    let _quiet = quiet().await;
    let sim = Served::start("").await;
    let weir = start(&sim).await;
    for (number, chunks) in [(1, 0), (2, 1), (3, 10), (4, 100)] {
        let mut stream = weir.client().stream(CHAT, &ask("chatty", true)).await;
        let mut seen = 0;
        while seen < chunks {
            seen += usize::from(!stream.next().await.unwrap().content().is_empty());
        }
        drop(stream);
        let (entry, row, took) = left(&weir, &sim, number).await;
        // One token a chunk, a chunk each 20 ms. What is on its way at the close may count or not.
        let on_its_way = ON_ITS_WAY + took.as_millis() as u64 / 20;
        assert!(entry.completion_tokens.abs_diff(row.output) <= on_its_way, "{took:?} {entry:?} {row:?}");
        assert!(row.output >= seen as u64, "{seen} {row:?}");
        assert!(entry.prompt_tokens.abs_diff(row.input) <= 1, "{entry:?} {row:?}");
        assert_eq!(row.cost, i64::try_from(row.input * 1_000 + row.output * 100_000).unwrap());
    }
    let sum: i64 = weir.rows().iter().map(|row| row.cost).sum();
    assert_eq!(weir.spent("b").await, sum);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_before_the_first_word_pays_for_what_may_be_billed() {
    let _quiet = quiet().await;
    let sim = Served::start("").await;
    let weir = start(&sim).await;
    for (number, stream) in [(1, true), (2, false)] {
        let (client, body) = (weir.client(), ask("slow", stream));
        let mut asking = Box::pin(client.try_post(CHAT, body.to_string()));
        let arrived = wait_for(|| sim.log().get(number).cloned());
        tokio::select! {
            _ = &mut asking => panic!("an answer"),
            _ = arrived => {}
        }
        assert!(timeout(Duration::from_millis(20), &mut asking).await.is_err(), "an answer");
        drop(asking);
        drop(client);
        let (_, row, _) = left(&weir, &sim, number).await;
        if stream {
            // Nothing of the answer was made, as far as anybody can see.
            assert_eq!((row.output, row.cost), (0, i64::try_from(row.input * 1_000).unwrap()), "{row:?}");
        } else {
            // As much as can have been made out of sight in the time, up to its limit: at least 20 ms at 4,000 a second.
            assert!((80..=2000).contains(&row.output), "{row:?}");
            assert!(row.cost >= i64::try_from(row.output * 100_000).unwrap(), "{row:?}");
        }
    }
    let sum: i64 = weir.rows().iter().map(|row| row.cost).sum();
    assert_eq!(weir.spent("b").await, sum);
}
