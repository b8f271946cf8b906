//! Providers that answer nothing but errors: what their clients get, how soon, how often they are asked.

use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};

use crate::support::{
    client::Answer,
    limits::quiet,
    openai::{ask, says},
    raw::RawUpstream,
    script::Script,
    settings::{HEALTHY, OPEN, route, target},
    transcript::CHAT,
    weir::Weir,
    wire,
};

const RATE: u64 = 200;
const SECONDS: u64 = 3;
/// 50 ms, with fourfold slack for a busy machine.
const SOON: Duration = Duration::from_millis(200);

fn dead() -> Script {
    Script::json(500, "{}")
}

/// Asks 200 times a second for some seconds; gives all answers.
async fn rush(weir: &Weir) -> Vec<Answer> {
    let client = weir.client();
    let mut ticks = interval(Duration::from_micros(1_000_000 / RATE));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut asked = Vec::new();
    for _ in 0..RATE * SECONDS {
        ticks.tick().await;
        let client = client.clone();
        asked.push(tokio::spawn(async move { client.post_json(CHAT, &ask("chain")).await }));
    }
    let mut answers = Vec::new();
    for answer in asked {
        answers.push(answer.await.unwrap());
    }
    answers
}

/// U11. No breaker helps here: each request makes its first try, and would make three more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_dead_provider_gets_few_extra_tries() {
    let _quiet = quiet().await;
    let upstream = RawUpstream::start(vec![dead()]).await;
    let toml = [
        OPEN,
        &target("first", &upstream.base_url(), "", "retries = 3"),
        &route("chain", &["first"], "max_attempts = 4"),
    ]
    .concat();
    let weir = Weir::start(&toml).await;
    let answers = rush(&weir).await;
    for answer in &answers {
        // Its tries are spent here; its own retries would only add to them.
        answer.refused(503, "upstream_error", "upstream_unavailable", false);
    }
    let extra = upstream.requests().len() - answers.len();
    // A tenth of what is asked, 20 a second, with the ten that may be saved up before.
    assert!(extra <= answers.len() / 10 + 10, "{extra} extra tries");
    assert!(extra >= answers.len() / 20, "{extra} extra tries: something else keeps them few");
}

/// U11, with somewhere else to go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_of_a_dead_provider_moves_on() {
    let _quiet = quiet().await;
    let (first, second) =
        (RawUpstream::start(vec![dead()]).await, RawUpstream::start(vec![says("fine")]).await);
    let toml = [
        OPEN,
        // However well it did before: the first one is asked first, and moving on is free.
        "degraded_below = 0\n",
        &target("first", &first.base_url(), "", ""),
        &target("second", &second.base_url(), "", ""),
        &route("chain", &["first", "second"], ""),
    ]
    .concat();
    let weir = Weir::start(&toml).await;
    let answers = rush(&weir).await;
    for answer in &answers {
        assert_eq!((answer.status.as_u16(), answer.header("x-weir-model")), (200, "second"));
        assert_eq!(answer.header("x-weir-attempts"), "2");
    }
    assert_eq!((first.requests().len(), second.requests().len()), (answers.len(), answers.len()));
}

/// U5, as it comes: a few requests pay for finding out, none of them with an error.
#[tokio::test]
async fn the_fallback_answers_for_a_dead_provider() {
    let (first, second) =
        (RawUpstream::start(vec![dead()]).await, RawUpstream::start(vec![says("fine")]).await);
    let toml = [
        HEALTHY,
        &target("first", &first.base_url(), "", ""),
        &target("second", &second.base_url(), "", ""),
        &route("chain", &["first", "second"], ""),
    ]
    .concat();
    let weir = Weir::start(&toml).await;
    for _ in 0..400 {
        let answer = weir.client().post_json(CHAT, &ask("chain")).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-weir-model")), (200, "second"));
    }
    let asked = first.requests().len();
    assert!((1..=7).contains(&asked), "{asked}");
}

/// U9: once that is known, the answer to all of them down, or all limited, comes at once.
#[tokio::test]
async fn all_down_or_all_limited_is_told_at_once() {
    let _quiet = quiet().await;
    let limited = |delay| Script::send(wire::answer(429, &[("retry-after", delay)], b"{}"));
    for (status, scripts) in [(503, [dead(), dead()]), (429, [limited("30"), limited("7")])] {
        let [one, two] = scripts;
        let (first, second) = (RawUpstream::start(vec![one]).await, RawUpstream::start(vec![two]).await);
        let toml = [
            HEALTHY,
            &target("first", &first.base_url(), "", ""),
            &target("second", &second.base_url(), "", ""),
            &route("chain", &["first", "second"], ""),
        ]
        .concat();
        let weir = Weir::start(&toml).await;
        let client = weir.client();
        let mut tries = 0;
        while client.post_json(CHAT, &ask("chain")).await.header("x-weir-attempts") != "0" {
            tries += 1;
            assert!(tries < 100, "they are asked on and on");
        }
        let mut delays = Vec::new();
        for _ in 0..50 {
            let begun = Instant::now();
            let answer = client.post_json(CHAT, &ask("chain")).await;
            delays.push(begun.elapsed());
            assert_eq!(answer.status.as_u16(), status, "{}", answer.text());
            let wait = answer.retry_after();
            // Of two limits the shorter one, with the tenth that keeps clients from coming back all at once.
            assert!(if status == 429 { (7..=8).contains(&wait) } else { (1..=10).contains(&wait) }, "{wait}");
        }
        delays.sort();
        // The slowest one may have met a busy machine.
        assert!(delays[48] < SOON, "{delays:?}");
    }
}
