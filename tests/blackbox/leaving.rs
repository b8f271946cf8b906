//! A client that leaves closes its upstream request at once, whatever it was waiting for.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::{net::TcpListener, time::timeout};
use weir::sim::{Finished, LogEntry, Sim, SimSettings, serve};

use crate::support::{
    client::Client,
    limits::quiet,
    openai::ask,
    settings::{HEALTHY, route, target},
    transcript::CHAT,
    weir::Weir,
};

/// How often each way to leave is taken.
const ROUNDS: usize = 24;
/// 250 ms, with fourfold slack for a busy machine.
const BOUND: Duration = Duration::from_millis(1000);

/// The ways to leave.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Leaves {
    WaitingForAnswer,
    WaitingForStream,
    AfterHead,
    AfterChunks(usize),
}

const WAYS: [Leaves; 6] = [
    Leaves::WaitingForAnswer,
    Leaves::WaitingForStream,
    Leaves::AfterHead,
    Leaves::AfterChunks(1),
    Leaves::AfterChunks(10),
    Leaves::AfterChunks(100),
];

fn body(way: Leaves, id: &str) -> Value {
    let model = match way {
        Leaves::WaitingForAnswer | Leaves::WaitingForStream => "slow",
        Leaves::AfterHead | Leaves::AfterChunks(..100) => "chatty",
        Leaves::AfterChunks(_) => "quick",
    };
    let stream = way != Leaves::WaitingForAnswer;
    json!({ "model": model, "stream": stream, "user": id, "messages": [{ "role": "user", "content": "x" }] })
}

fn entry(sim: &Sim, id: &str) -> Option<LogEntry> {
    let mark = format!("\"user\":\"{id}\"");
    sim.log().into_iter().find(|entry| entry.body.contains(&mark))
}

async fn look<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Asks, leaves; gives the time until the simulator noticed.
async fn leave(client: &Client, sim: &Sim, way: Leaves, id: &str) -> Duration {
    let body = body(way, id);
    let left = match way {
        Leaves::WaitingForAnswer | Leaves::WaitingForStream => {
            let mut asking = Box::pin(client.try_stream(CHAT, &body));
            // Until the request has arrived, with nothing of the answer on its way.
            let arrived = look("the request", || entry(sim, id));
            tokio::select! {
                _ = &mut asking => panic!("{way:?}: an answer"),
                _ = arrived => {}
            }
            let more = timeout(Duration::from_millis(20), &mut asking).await;
            assert!(more.is_err(), "{way:?}: an answer");
            Instant::now()
        }
        Leaves::AfterHead | Leaves::AfterChunks(_) => {
            let mut stream = client.stream(CHAT, &body).await;
            if let Leaves::AfterChunks(chunks) = way {
                for _ in 0..chunks {
                    stream.next().await.unwrap();
                }
            }
            Instant::now()
        }
    };
    let gone = look("the close", || entry(sim, id).filter(|entry| entry.finished != Finished::Open)).await;
    assert_eq!(gone.finished, Finished::ClientLeft, "{way:?}: {gone:?}");
    left.elapsed()
}

async fn leave_all(http: &str) {
    let _quiet = quiet().await;
    let sim = Sim::new(SimSettings::default()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(serve(listener, sim.clone(), std::future::pending::<()>()));
    let toml = [
        HEALTHY,
        &target("p", &base_url, &format!("http = \"{http}\""), ""),
        "[models.slow]\nprovider = \"p\"\nupstream_model = \"m?first_token=60s\"\n",
        "[models.chatty]\nprovider = \"p\"\nupstream_model = \"m?tokens=3000&tps=100\"\n",
        "[models.quick]\nprovider = \"p\"\nupstream_model = \"m?tokens=3000&tps=1000\"\n",
        &route("chain", &["p"], ""),
    ]
    .concat();
    let weir = Weir::start(&toml).await;
    // The simulator reads its tokens' table at the first request.
    weir.client().post_json(CHAT, &ask("p")).await;
    let mut delays = Vec::new();
    for round in 0..ROUNDS {
        let rounds = WAYS.map(|way| {
            let (client, sim) = (weir.client(), sim.clone());
            tokio::spawn(async move { leave(&client, &sim, way, &format!("{round}-{way:?}")).await })
        });
        for delay in rounds {
            delays.push(delay.await.unwrap());
        }
    }
    delays.sort();
    let at = |share: f64| delays[((delays.len() as f64 * share).ceil() as usize).clamp(1, delays.len()) - 1];
    tell(&format!("http {http}: upstream sees the close after p50 {:?}, p99 {:?}", at(0.5), at(0.99)));
    assert!(at(0.99) < BOUND, "{delays:?}");
    assert_eq!(sim.stats().open_requests, 0);
    let metrics = weir.client().get("/metrics").await.text();
    let count = |model: &str| {
        let line = format!(
            "weir_upstream_attempts_total{{model=\"{model}\",outcome=\"client_left\",provider=\"p\"}} "
        );
        let found = metrics.lines().find_map(|metric| metric.strip_prefix(&line)).unwrap_or("0");
        found.parse::<usize>().unwrap()
    };
    assert_eq!((count("slow"), count("chatty"), count("quick")), (2 * ROUNDS, 3 * ROUNDS, ROUNDS));
    // It says nothing of the target: no breaker has moved, nothing counts against it.
    for model in ["slow", "chatty", "quick"] {
        assert!(
            metrics.contains(&format!("weir_breaker_state{{model=\"{model}\",provider=\"p\"}} 0")),
            "{metrics}"
        );
    }
    let moved = metrics
        .lines()
        .find(|line| line.starts_with("weir_breaker_transitions_total") && !line.ends_with(" 0"));
    assert_eq!(moved, None);
    let status = weir.client().get("/admin/status").await.json();
    for target in status["data"].as_array().unwrap() {
        assert_eq!(target["in_flight"], 0, "{target}");
        assert_eq!(
            (target["breaker"].as_str(), target["status"].as_str()),
            (Some("closed"), Some("healthy"))
        );
    }
    assert!(metrics.contains("weir_in_flight 0"), "{metrics}");
}

#[allow(clippy::print_stderr, reason = "figures of a test run are for whoever reads its output")]
fn tell(figure: &str) {
    eprintln!("{figure}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_reaches_the_upstream_over_http_1() {
    leave_all("1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_reaches_the_upstream_over_http_2() {
    leave_all("2").await;
}
