//! Where no target can answer, something stands in, labelled as such.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{
    client::Answer,
    settings::{HEALTHY, OPEN, price, route, target},
    sim::SimProcess,
    transcript::{CHAT, Transcript},
    weir::Weir,
};

const TEXTS: &str = "[degraded]\nstatic = { general = \"Later, please.\", support = \"Call us.\" }\n";
const CACHE: &str = "[cache]\nenabled = true\nttl = \"1s\"\n";

fn config(base_url: &str, door: &str, more: &[&str]) -> String {
    [
        door,
        &target("p", base_url, "", &price("10.0", "10.0")),
        &route("main", &["p"], ""),
        &route("support", &["p"], "category = \"support\""),
        &route("honest", &["p"], "always_honest = true"),
    ]
    .into_iter()
    .chain(more.iter().copied())
    .collect()
}

fn ask(model: &str, text: &str, stream: bool) -> Value {
    json!({ "model": model, "stream": stream, "messages": [{ "role": "user", "content": text }] })
}

async fn down(sim: &SimProcess) {
    sim.control(&json!({ "fault": "status=500" })).await;
}

fn said(answer: &Answer) -> String {
    answer.json()["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_past_answer_of_ones_own_then_a_text_then_the_error() {
    let sim = SimProcess::start(&["--fault", "tokens=20"]).await;
    let keys = "[[keys]]\nname = \"a\"\nsecret = \"sk-a\"\n[[keys]]\nname = \"b\"\nsecret = \"sk-b\"\n\
                [breaker]\nenabled = false\n";
    let weir = Weir::start(&config(&sim.base_url(), keys, &[CACHE, TEXTS])).await;
    let asked =
        async |key: &str, model: &str| weir.client().key(key).post_json(CHAT, &ask(model, "x", false)).await;
    let fresh = asked("sk-a", "main").await;
    assert_eq!((fresh.status.as_u16(), fresh.header("x-weir-degraded")), (200, ""));
    asked("sk-a", "honest").await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    down(&sim).await;
    // One's own, past its time.
    let past = asked("sk-a", "main").await;
    assert_eq!((past.status.as_u16(), past.header("x-weir-degraded")), (200, "stale"), "{}", past.text());
    assert_eq!((past.header("x-weir-cache"), said(&past)), ("stale", said(&fresh)));
    assert!(past.header("age").parse::<u64>().unwrap() >= 1);
    let body = past.json();
    assert_eq!(body["system_fingerprint"], "weir-degraded");
    assert_eq!(body["choices"][0]["finish_reason"], "stop");
    let mut stream = weir.client().key("sk-a").stream(CHAT, &ask("main", "x", true)).await;
    assert_eq!(stream.header("x-weir-degraded"), "stale");
    let told = Transcript::of(&mut stream).await;
    assert!(told.is_clean() && told.text == said(&fresh), "{told:?}");
    assert_eq!(told.events[0].json()["system_fingerprint"], "weir-degraded");
    // Never another's.
    let other = asked("sk-b", "main").await;
    assert_eq!((other.header("x-weir-degraded"), said(&other)), ("static", "Later, please.".into()));
    assert_eq!(said(&asked("sk-b", "support").await), "Call us.");
    assert_eq!(said(&asked("sk-b", "p").await), "Later, please.");
    let body = other.json();
    assert_eq!((&body["system_fingerprint"], &body["model"]), (&json!("weir-degraded"), &json!("main")));
    assert_eq!((&body["object"], &body["usage"]["total_tokens"]), (&json!("chat.completion"), &json!(0)));
    let mut stream = weir.client().key("sk-b").stream(CHAT, &ask("main", "x", true)).await;
    let told = Transcript::of(&mut stream).await;
    assert!(told.is_clean() && told.text == "Later, please.", "{told:?}");
    // Where honesty is preferred, or nothing fits, the error stays.
    asked("sk-a", "honest").await.refused(503, "upstream_error", "upstream_unavailable", false);
    let vectors = weir
        .client()
        .key("sk-b")
        .post_json("/v1/embeddings", &json!({ "model": "main", "input": "x" }))
        .await;
    vectors.refused(503, "upstream_error", "upstream_unavailable", false);
    let no_cache = weir.client().key("sk-a").header("x-weir-cache", "no-cache");
    assert_eq!(said(&no_cache.post_json(CHAT, &ask("main", "x", false)).await), "Later, please.");
    assert_eq!(weir.metric("weir_degraded_answers_total{kind=\"stale\"}").await, 2.0);
    assert_eq!(weir.metric("weir_degraded_answers_total{kind=\"static\"}").await, 5.0);
    assert_eq!(weir.metric("weir_degraded{route=\"main\"}").await, 1.0);
    let status = weir.client().get("/admin/status").await.json();
    assert_eq!(status["degraded"], json!(["main", "p", "support"]));
    // The first real answer ends it.
    sim.control(&json!({ "fault": "" })).await;
    let back = asked("sk-b", "main").await;
    assert_eq!((back.header("x-weir-degraded"), back.header("x-weir-cache")), ("", "miss"));
    assert_eq!(weir.metric("weir_degraded{route=\"main\"}").await, 0.0);
    let status = weir.client().get("/admin/status").await.json();
    assert_eq!(status["degraded"], json!(["p", "support"]));
}

#[tokio::test]
async fn nothing_stands_in_unless_it_is_configured() {
    let sim = SimProcess::start(&["--fault", "tokens=20"]).await;
    for (more, code) in [
        (vec![], 503),
        (vec![CACHE, "stale_if_error = \"0s\"\n"], 503),
        (vec![CACHE], 200),
        (vec![CACHE, "stale_if_error = \"1s\"\n"], 503),
    ] {
        sim.control(&json!({ "fault": "" })).await;
        let toml = config(&sim.base_url(), OPEN, &more).replace("category = \"support\"", "");
        let weir = Weir::start(&toml).await;
        let asked = async || weir.client().post_json(CHAT, &ask("main", "x", false)).await;
        assert_eq!(asked().await.status, 200);
        tokio::time::sleep(Duration::from_millis(2200)).await;
        down(&sim).await;
        let answer = asked().await;
        assert_eq!(answer.status.as_u16(), code, "{more:?} {}", answer.text());
        assert!(code == 200 || answer.header("x-weir-degraded").is_empty());
    }
}

#[tokio::test]
async fn where_all_are_silent_something_stands_in_unless_the_client_did_not_wait() {
    let sim = SimProcess::start(&["--fault", "hang"]).await;
    let toml = config(&sim.base_url(), OPEN, &[TEXTS])
        .replace("[models.p]", "first_byte_timeout = \"500ms\"\nanswer_timeout = \"500ms\"\n[models.p]");
    let weir = Weir::start(&toml).await;
    for stream in [false, true] {
        for (header, status) in [
            (None, 200),
            (Some(("x-weir-timeout-ms", "20000")), 200),
            (Some(("x-weir-timeout-ms", "100")), 504),
            (Some(("x-weir-attempt-timeout-ms", "100")), 504),
            (Some(("x-weir-attempt-timeout-ms", "20000")), 200),
        ] {
            let client =
                header.into_iter().fold(weir.client(), |client, (name, value)| client.header(name, value));
            let answer = client.post_json(CHAT, &ask("main", "x", stream)).await;
            assert_eq!(answer.status.as_u16(), status, "{header:?}: {}", answer.text());
            assert_eq!(answer.header("x-weir-degraded"), if status == 200 { "static" } else { "" });
            assert!(status == 200 || answer.code() == "upstream_timeout", "{}", answer.text());
        }
    }
}

#[tokio::test]
async fn the_state_ends_once_nothing_stands_in_any_more() {
    let sim = SimProcess::start(&["--fault", "tokens=20"]).await;
    down(&sim).await;
    let weir = Weir::start(&config(&sim.base_url(), OPEN, &[TEXTS])).await;
    let asked = async |model: &str| weir.client().post_json(CHAT, &ask(model, "x", false)).await;
    for model in ["main", "p", "p/other", "p/another"] {
        assert_eq!(asked(model).await.header("x-weir-degraded"), "static");
    }
    let listed = async || weir.client().get("/admin/status").await.json()["degraded"].clone();
    assert_eq!(listed().await, json!(["main", "p", "p/*"]));
    // Switched off, it is over, though nothing answers.
    weir.write_config(&config(&sim.base_url(), OPEN, &[]).replace("category = \"support\"", ""));
    weir.client().send("POST", "/admin/reload", "").await;
    let end = Instant::now() + Duration::from_secs(20);
    while listed().await != json!([]) {
        assert!(Instant::now() < end, "it does not end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for label in ["main", "direct"] {
        assert_eq!(weir.metric(&format!("weir_degraded{{route=\"{label}\"}}")).await, 0.0);
    }
    asked("main").await.refused(503, "upstream_error", "upstream_unavailable", false);
}

#[tokio::test]
async fn a_fault_of_the_request_or_a_spent_budget_is_told_as_it_is() {
    let sim = SimProcess::start(&["--fault", "tokens=20"]).await;
    let budget = "[[budgets]]\nname = \"b\"\nscope = \"route:support\"\ndaily = 0.000001\n";
    let weir = Weir::start(&config(&sim.base_url(), OPEN, &[TEXTS, budget])).await;
    let spent = weir.client().post_json(CHAT, &ask("support", "x", false)).await;
    spent.refused(429, "insufficient_quota", "budget_exceeded", false);
    let bad = weir.client().post_json(CHAT, &json!({ "model": "main", "messages": [] })).await;
    assert_eq!(bad.status.as_u16(), 400, "{}", bad.text());
    assert_eq!(weir.client().post_json(CHAT, &ask("nobody", "x", false)).await.status.as_u16(), 404);
    let wish = weir.client().header("x-weir-cache", "only-if-cached");
    assert_eq!(wish.post_json(CHAT, &ask("main", "x", false)).await.status.as_u16(), 504);
    assert_eq!(weir.metric("weir_degraded_answers_total{kind=\"static\"}").await, 0.0);
}

#[tokio::test]
async fn what_stands_in_is_not_kept_for_an_idempotency_key() {
    let sim = SimProcess::start(&["--fault", "tokens=20"]).await;
    down(&sim).await;
    let ledger = "[ledger]\nidempotency = true\n";
    let weir = Weir::start(&config(&sim.base_url(), OPEN, &[TEXTS, ledger])).await;
    let client = weir.client().header("idempotency-key", "one");
    let asked = async || client.post_json(CHAT, &ask("main", "x", false)).await;
    assert_eq!(said(&asked().await), "Later, please.");
    sim.control(&json!({ "fault": "" })).await;
    let real = asked().await;
    assert_eq!((real.header("x-weir-degraded"), real.header("x-weir-replayed")), ("", ""));
    assert_eq!(asked().await.header("x-weir-replayed"), "true");
}

#[tokio::test]
async fn with_the_breaker_open_it_answers_at_once_and_a_probe_brings_it_back() {
    let sim = SimProcess::start(&["--fault", "tokens=20"]).await;
    down(&sim).await;
    let weir = Weir::start(&config(&sim.base_url(), HEALTHY, &[TEXTS])).await;
    let asked = async || weir.client().post_json(CHAT, &ask("main", "x", false)).await;
    for _ in 0..20 {
        let answer = asked().await;
        assert_eq!((answer.status.as_u16(), answer.header("x-weir-degraded")), (200, "static"));
    }
    sim.control(&json!({ "fault": "" })).await;
    let end = Instant::now() + Duration::from_secs(30);
    while !asked().await.header("x-weir-degraded").is_empty() {
        assert!(Instant::now() < end, "it does not come back");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(weir.metric("weir_degraded{route=\"main\"}").await, 0.0);
}
