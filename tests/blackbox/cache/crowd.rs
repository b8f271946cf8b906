//! Many who ask the same at once are one to the provider.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::sync::Notify;

use crate::support::{
    client::{Answer, Client},
    openai::{self, DONE},
    raw::RawUpstream,
    script::{Script, Step},
    served::Served,
    settings::{budget, chain, price, target},
    transcript::{CHAT, Transcript},
    weir::Weir,
    wire,
};

use super::{ask, config, did, said};

/// What one of the crowd got.
enum Got {
    Whole(Answer),
    Stream(Transcript, String),
}

impl Got {
    fn text(&self) -> String {
        match self {
            Self::Whole(answer) => said(answer),
            Self::Stream(told, _) => {
                assert!(told.is_clean(), "{told:?}");
                told.text.clone()
            }
        }
    }

    fn word(&self) -> &str {
        match self {
            Self::Whole(answer) => did(answer),
            Self::Stream(_, word) => word,
        }
    }
}

async fn one(client: Client, body: Value) -> Got {
    if body["stream"] != true {
        return Got::Whole(client.post_json(CHAT, &body).await);
    }
    let mut stream = client.stream(CHAT, &body).await;
    let word = stream.header("x-weir-cache").to_owned();
    Got::Stream(Transcript::of(&mut stream).await, word)
}

/// So many at once, every second one a stream, the first one as `stream` says.
async fn crowd(weir: &Weir, count: usize, stream: bool) -> Vec<Got> {
    let client = weir.client();
    let asks = (0..count).map(|number| {
        let body = ask("Say something.", (number % 2 == 0) == stream);
        tokio::spawn(one(client.clone(), body))
    });
    let mut got = Vec::new();
    for one in asks.collect::<Vec<_>>() {
        got.push(one.await.unwrap());
    }
    got
}

async fn a_hundred(stream: bool) {
    let sim = Served::start("tokens=40&first_token=300ms&tps=100").await;
    let toml = [&config(&sim.base_url(), "")[..], &budget("b", "global", "daily = 100.0")].concat();
    let weir = Weir::start(&toml).await;
    let got = crowd(&weir, 100, stream).await;
    let text = got[0].text();
    assert!(!text.is_empty() && got.iter().all(|got| got.text() == text));
    assert_eq!(got.iter().filter(|got| got.word() == "miss").count(), 1);
    assert_eq!(sim.hits(), 1);
    let rows = weir.attempts(1).await;
    assert_eq!(weir.spent("b").await, rows[0].cost);
    // Nobody waits for rows that cost nothing.
    let free =
        || weir.rows().into_iter().filter(|row| row.attempt == 0 && row.outcome == "ok" && row.cost == 0);
    let end = Instant::now() + Duration::from_secs(20);
    while free().count() < 99 && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(free().count(), 99);
    assert_eq!(weir.metric("weir_in_flight").await, 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_at_once_are_one_call_that_streams() {
    a_hundred(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_at_once_are_one_call_in_one_piece() {
    a_hundred(false).await;
}

#[tokio::test]
async fn who_leads_may_leave_and_the_others_get_everything() {
    let sim = Served::start("tokens=40&tps=40").await;
    let weir = Weir::start(&config(&sim.base_url(), "")).await;
    let mut leader = weir.client().stream(CHAT, &ask("x", true)).await;
    for _ in 0..5 {
        leader.next().await.unwrap();
    }
    let others = [true, false].map(|stream| tokio::spawn(one(weir.client(), ask("x", stream))));
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(leader);
    let mut texts = Vec::new();
    for other in others {
        texts.push(other.await.unwrap().text());
    }
    assert_eq!((&texts[0], sim.hits()), (&texts[1], 1));
    assert_eq!(weir.attempts(1).await[0].outcome, "ok");
    assert_eq!(did(&weir.client().post_json(CHAT, &ask("x", false)).await), "hit");
}

#[tokio::test]
async fn when_all_have_left_the_call_ends() {
    let sim = Served::start("tokens=3000&tps=50").await;
    let weir = Weir::start(&config(&sim.base_url(), "")).await;
    let mut streams = Vec::new();
    for _ in 0..3 {
        let mut stream = weir.client().stream(CHAT, &ask("x", true)).await;
        stream.next().await.unwrap();
        streams.push(stream);
    }
    drop(streams);
    assert_eq!(weir.attempts(1).await[0].outcome, "client_left");
    assert_eq!(sim.hits(), 1);
    assert_eq!(weir.metric("weir_cache_entries").await, 0.0);
}

/// Waits, then does this.
fn later(steps: Vec<Step>) -> Script {
    Script::OnRequest([vec![Step::Sleep(Duration::from_millis(300))], steps].concat())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_before_content_is_a_fallback_once_for_all() {
    let broken = RawUpstream::start(vec![later(vec![Step::Send(wire::json_answer(
        500,
        &openai::error("server_error", "x", "No."),
    ))])])
    .await;
    let good = RawUpstream::start(vec![openai::streams(&["Hel", "lo"])]).await;
    let toml =
        [chain(&[("a", &broken.base_url()), ("b", &good.base_url())]), "[cache]\nenabled = true\n".into()];
    let weir = Weir::start(&toml.concat()).await;
    let body = |stream: bool| {
        let mut body = ask("x", stream);
        body["model"] = "chain".into();
        body
    };
    // A stream leads.
    let leader = tokio::spawn(one(weir.client(), body(true)));
    broken.request(0).await;
    let others: Vec<_> = (0..20).map(|n| tokio::spawn(one(weir.client(), body(n % 2 == 0)))).collect();
    assert_eq!(leader.await.unwrap().text(), "Hello");
    for other in others {
        assert_eq!(other.await.unwrap().text(), "Hello");
    }
    assert_eq!((broken.requests().len(), good.requests().len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_after_content_is_told_to_all() {
    let all_there = Arc::new(Notify::new());
    let steps = [
        vec![Step::Send(wire::sse_head())],
        [openai::role(), openai::text("Hel")].iter().map(|part| Step::Send(wire::chunk(part))).collect(),
        vec![Step::Wait(Arc::clone(&all_there)), Step::Reset],
    ];
    let upstream =
        RawUpstream::start(vec![Script::OnRequest(steps.concat()), openai::streams(&["Hello"])]).await;
    let toml =
        [&config(&upstream.base_url(), "")[..], "[degraded]\nstatic = { general = \"Later.\" }\n"].concat();
    let weir = Weir::start(&toml).await;
    let mut leader = weir.client().stream(CHAT, &ask("x", true)).await;
    let others: Vec<_> = (0..10).map(|n| tokio::spawn(one(weir.client(), ask("x", n % 2 == 0)))).collect();
    let end = Instant::now() + Duration::from_secs(20);
    while weir.metric("weir_in_flight").await < 11.0 && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // From the door to a seat it is a moment more.
    tokio::time::sleep(Duration::from_millis(300)).await;
    all_there.notify_one();
    let led = Transcript::of(&mut leader).await;
    assert!(led.is_cut() && led.text == "Hel", "{led:?}");
    for other in others {
        match other.await.unwrap() {
            Got::Stream(told, _) => assert!(told.is_cut() && told.text == "Hel", "{told:?}"),
            // An honest error: one stream that broke does not say that nobody can answer.
            Got::Whole(answer) => {
                drop(answer.refused(502, "upstream_error", "upstream_stream_broken", true));
            }
        }
    }
    assert_eq!(weir.metric("weir_degraded_answers_total{kind=\"static\"}").await, 0.0);
    assert_eq!(upstream.requests().len(), 1);
    assert_eq!(one(weir.client(), ask("x", true)).await.text(), "Hello", "nothing of it was kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_of_the_provider_is_told_to_all() {
    let error = openai::error("invalid_request_error", "no", "No.");
    let upstream = RawUpstream::start(vec![later(vec![Step::Send(wire::json_answer(400, &error))])]).await;
    let weir = Weir::start(&config(&upstream.base_url(), "")).await;
    let client = weir.client();
    let asks: Vec<_> = (0..10).map(|_| tokio::spawn(weir_post(client.clone()))).collect();
    for ask in asks {
        assert_eq!(ask.await.unwrap().status.as_u16(), 400);
    }
    assert_eq!(upstream.requests().len(), 1);
}

async fn weir_post(client: Client) -> Answer {
    client.post_json(CHAT, &ask("x", false)).await
}

#[tokio::test]
async fn each_keeps_its_own_deadline() {
    let sim = Served::start("tokens=20&first_token=1s").await;
    let weir = Weir::start(&config(&sim.base_url(), "")).await;
    let patient = tokio::spawn(one(weir.client(), ask("x", false)));
    tokio::time::sleep(Duration::from_millis(100)).await;
    let hurried = weir.client().header("x-weir-timeout-ms", "200").post_json(CHAT, &ask("x", false)).await;
    hurried.refused(504, "upstream_error", "upstream_timeout", false);
    assert_eq!(patient.await.unwrap().word(), "miss");
    // One whose stream has to be over earlier than others'.
    let sim = Served::start("tokens=120&tps=40").await;
    let weir = Weir::start(&config(&sim.base_url(), "")).await;
    let client = weir.client().header("x-weir-timeout-ms", "1000");
    let mut first = client.stream(CHAT, &ask("x", true)).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut second = client.stream(CHAT, &ask("x", true)).await;
    let (first, second) = tokio::join!(Transcript::of(&mut first), Transcript::of(&mut second));
    assert!(first.is_cut() && second.is_cut(), "{first:?} {second:?}");
    assert!(second.ended > first.ended + Duration::from_millis(250));
    assert!(second.text.len() > first.text.len() && second.text.starts_with(&first.text));
    assert_eq!(sim.hits(), 1);
}

#[tokio::test]
async fn whose_budget_is_spent_keeps_nobody_else_from_asking() {
    let sim = Served::start("tokens=20&first_token=300ms").await;
    let toml = [
        "[[keys]]\nname = \"poor\"\nsecret = \"sk-poor\"\ntags = { team = \"x\" }\n",
        "[[keys]]\nname = \"rich\"\nsecret = \"sk-rich\"\ntags = { team = \"x\" }\n",
        &target("p", &sim.base_url(), "", &price("10.0", "100.0")),
        &budget("b", "key:poor", "daily = 0.000001"),
        "[cache]\nenabled = true\nscope = \"tag:team\"\n",
    ]
    .concat();
    let weir = Weir::start(&toml).await;
    let asked = |key: &str| {
        let client = weir.client().key(key);
        tokio::spawn(async move { client.post_json(CHAT, &ask("x", false)).await })
    };
    let all = [asked("sk-poor"), asked("sk-rich"), asked("sk-poor"), asked("sk-rich")];
    let mut answered = 0;
    for (number, one) in all.into_iter().enumerate() {
        let answer = one.await.unwrap();
        match answer.status.as_u16() {
            200 => answered += 1,
            status => assert_eq!((status, number % 2), (429, 0), "{}", answer.text()),
        }
    }
    assert!(answered >= 2 && sim.hits() == 1);
    // What is there costs nothing.
    assert_eq!(did(&asked("sk-poor").await.unwrap()), "hit");
}

#[tokio::test]
async fn who_reads_slowly_keeps_a_long_stream_from_growing() {
    // Words, as what is counted as one long word costs a debug build seconds.
    let words = "words ".repeat(10_000);
    let part = openai::text(&words);
    let parts: Vec<String> = std::iter::once(openai::role())
        .chain((0..60).map(|_| part.clone()))
        .chain([openai::stop(), openai::usage(), DONE.to_owned()])
        .collect();
    let upstream = RawUpstream::start(vec![Script::stream(&parts)]).await;
    let weir = Weir::start(&config(&upstream.base_url(), "")).await;
    let mut slow = weir.client().stream(CHAT, &ask("x", true)).await;
    slow.next().await.unwrap();
    let mut fast = weir.client().stream(CHAT, &ask("x", true)).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = weir.peak_rss_kib();
    let both = tokio::join!(Transcript::of(&mut fast), Transcript::of(&mut slow));
    assert!(both.0.is_clean() && both.0.text.len() == 60 * words.len(), "{}", both.0.text.len());
    assert!(both.1.is_clean());
    assert!(before < 80 * 1024, "{before} KiB");
}
