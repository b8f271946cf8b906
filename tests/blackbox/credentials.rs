//! A provider's keys take turns, a refused one makes room; a full provider is passed over.

use std::collections::BTreeMap;

use tokio::net::TcpListener;
use weir::{
    base::secret::Secret,
    sim::{Sim, SimSettings, serve},
};

use crate::support::{
    openai::{ask, ask_stream, error, role, says, stream_then, text},
    raw::RawUpstream,
    script::{Script, Step},
    settings::{OPEN, route, target, two_models},
    transcript::{CHAT, Transcript},
    weir::Weir,
    wire,
};

/// A simulated provider in this process that takes only these keys.
async fn sim(keys: &[&str]) -> (Sim, String) {
    let api_keys = keys.iter().map(|&key| Secret::new(key)).collect();
    let sim = Sim::new(SimSettings { api_keys, ..SimSettings::default() }).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(serve(listener, sim.clone(), std::future::pending::<()>()));
    (sim, base_url)
}

fn one(base_url: &str, more: &str) -> String {
    [OPEN, &target("a", base_url, more, ""), &route("chain", &["a"], "")].concat()
}

#[tokio::test]
async fn keys_take_turns() {
    let upstream = RawUpstream::start(vec![says("fine")]).await;
    let toml =
        one(&upstream.base_url(), "api_keys = [\"k-one\", \"env:K_TWO\", \"k-three\", \"env:K_UNSET\"]");
    let weir = Weir::with(&toml).env("K_TWO", "k-two").start().await;
    for _ in 0..6 {
        assert_eq!(weir.client().post_json(CHAT, &ask("chain")).await.status.as_u16(), 200);
    }
    let mut used = BTreeMap::<String, usize>::new();
    for request in upstream.requests() {
        *used.entry(request.header("authorization").unwrap().to_owned()).or_default() += 1;
    }
    let expected = ["Bearer k-one", "Bearer k-three", "Bearer k-two"].map(|key| (key.to_owned(), 2));
    assert_eq!(used.into_iter().collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn a_refused_key_makes_room_for_the_next() {
    let (sim, base_url) = sim(&["k-good"]).await;
    let weir = Weir::start(&one(&base_url, "api_keys = [\"k-bad\", \"k-good\", \"k-worse\"]")).await;
    for _ in 0..6 {
        let answer = weir.client().post_json(CHAT, &ask("chain")).await;
        assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
        let mut stream = weir.client().stream(CHAT, &ask_stream("chain")).await;
        assert!(Transcript::of(&mut stream).await.is_clean());
    }
    let refused = sim.log().iter().filter(|entry| entry.status == Some(401)).count();
    assert!(refused >= 4, "the bad keys were tried: {refused}");
}

#[tokio::test]
async fn each_refusal_of_a_key_is_a_reason_for_the_next() {
    for (status, code) in [
        (401, "invalid_api_key"),
        (402, "x"),
        (403, "x"),
        (429, "insufficient_quota"),
        (429, "rate_limit_exceeded"),
    ] {
        let refusal = Script::json(status, &error("x", code, "No."));
        let upstream = RawUpstream::start(vec![refusal, says("fine")]).await;
        let weir = Weir::start(&one(&upstream.base_url(), "api_keys = [\"k-one\", \"k-two\"]")).await;
        let answer = weir.client().post_json(CHAT, &ask("chain")).await;
        assert_eq!(answer.status.as_u16(), 200, "{status} {code}: {}", answer.text());
        let keys: Vec<_> =
            upstream.requests().iter().map(|r| r.header("authorization").unwrap().to_owned()).collect();
        assert_eq!(keys, ["Bearer k-one", "Bearer k-two"]);
    }
}

#[tokio::test]
async fn one_key_at_its_limit_is_not_all_keys_refused() {
    let limited = Script::send(wire::answer(429, &[("retry-after", "7")], b"{}"));
    let refused = Script::json(401, "{}");
    for scripts in [[limited.clone(), refused.clone()], [refused, limited]] {
        let upstream = RawUpstream::start(scripts.to_vec()).await;
        let weir = Weir::start(&one(&upstream.base_url(), "api_keys = [\"k-one\", \"k-two\"]")).await;
        let answer = weir.client().post_json(CHAT, &ask("chain")).await;
        let told = (answer.status.as_u16(), answer.code());
        assert_eq!(told, (429, "upstream_rate_limited".into()), "{}", answer.text());
        // Up to a tenth is added, so that those who wait do not all come back at once.
        assert!((7..=8).contains(&answer.retry_after()), "{}", answer.header("retry-after"));
    }
}

#[tokio::test]
async fn a_client_never_sees_a_providers_401() {
    let (_sim, base_url) = sim(&["k-good"]).await;
    let weir = Weir::start(&one(&base_url, "api_keys = [\"k-bad\", \"k-worse\"]")).await;
    for body in [ask("chain"), ask_stream("chain"), ask("a"), ask("a/x")] {
        let answer = weir.client().post_json(CHAT, &body).await;
        let told = (answer.status.as_u16(), answer.code());
        assert_eq!(told, (502, "upstream_credentials_rejected".into()), "{}", answer.text());
        assert!(!answer.text().contains("k-bad") && !answer.text().contains("orse"), "{}", answer.text());
    }
    let logs = weir.logs();
    assert!(!logs.contains("k-bad") && !logs.contains("k-worse"), "{logs}");
}

#[tokio::test]
async fn a_full_provider_is_passed_over() {
    let hang = stream_then(&[role(), text("Hi")], &[Step::Hang]);
    let first = RawUpstream::start(vec![hang.clone(), hang, says("again")]).await;
    let second = RawUpstream::start(vec![says("second")]).await;
    let toml = [
        OPEN,
        &target("first", &first.base_url(), "max_concurrent = 2", ""),
        &target("second", &second.base_url(), "", ""),
        &route("chain", &["first", "second"], "max_attempts = 1"),
        &route("alone", &["first"], ""),
    ]
    .concat();
    let weir = Weir::start(&toml).await;
    let one = weir.client().stream(CHAT, &ask_stream("chain")).await;
    let two = weir.client().stream(CHAT, &ask_stream("chain")).await;
    assert_eq!((one.header("x-weir-model"), two.header("x-weir-model")), ("first", "first"));
    // Passing over costs no try.
    let answer = weir.client().post_json(CHAT, &ask("chain")).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-weir-model")), (200, "second"), "{}", answer.text());
    let answer = weir.client().post_json(CHAT, &ask("alone")).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (503, "upstream_unavailable".into()));
    assert_eq!(answer.json()["error"]["attempts"][0]["outcome"], "skipped");
    // Room comes back with the end of a stream, also one that its client left.
    drop(one);
    first.peer_left(0).await;
    let answer = weir.client().post_json(CHAT, &ask("alone")).await;
    assert_eq!(answer.json()["choices"][0]["message"]["content"], "again", "{}", answer.text());
}

async fn status(weir: &Weir, model: &str) -> u16 {
    weir.client().post_json(CHAT, &ask(model)).await.status.as_u16()
}

#[tokio::test]
async fn a_key_that_is_refused_twice_is_left_alone() {
    let refused = Script::json(401, &error("x", "invalid_api_key", "No."));
    let scripts = vec![refused.clone(), says("fine"), refused, says("fine")];
    let upstream = RawUpstream::start(scripts).await;
    let toml = one(&upstream.base_url(), "api_keys = [\"env:K_UNSET\", \"k-bad-canary\", \"k-good-canary\"]");
    let weir = Weir::start(&toml).await;
    for _ in 0..8 {
        assert_eq!(status(&weir, "chain").await, 200);
    }
    let bad = || {
        let requests = upstream.requests();
        requests.iter().filter(|r| r.header("authorization") == Some("Bearer k-bad-canary")).count()
    };
    assert_eq!((bad(), upstream.requests().len()), (2, 10));
    // It is told once, by its place and never by itself.
    let events = "weir_credential_events_total{credential=\"api_keys[1]\",event=\"out\",provider=\"a\"}";
    assert_eq!(weir.metric(events).await, 1.0);
    let logs = weir.logs();
    assert_eq!(logs.matches("refused it twice in a row").count(), 1, "{logs}");
    assert!(logs.contains("api_keys[1]") && !logs.contains("canary"), "{logs}");
    let page = weir.client().get("/metrics").await.text();
    assert!(!page.contains("canary"), "{page}");
    // A reload is a second chance for it.
    assert_eq!(weir.client().send("POST", "/admin/reload", "").await.status.as_u16(), 200);
    assert_eq!((status(&weir, "chain").await, status(&weir, "chain").await), (200, 200));
    assert_eq!(bad(), 3);
}

#[tokio::test]
async fn when_every_key_is_out_nothing_is_sent() {
    let upstream = RawUpstream::start(vec![Script::json(401, "{}")]).await;
    let weir = Weir::start(&one(&upstream.base_url(), "api_keys = [\"k-one\"]")).await;
    for number in 0..4 {
        let answer = weir.client().post_json(CHAT, &ask("chain")).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (502, "upstream_credentials_rejected".into()));
        assert_eq!(answer.header("x-weir-attempts"), if number < 2 { "1" } else { "0" });
    }
    assert_eq!(upstream.requests().len(), 2);
}

#[tokio::test]
async fn a_key_without_money_rests() {
    let upstream = RawUpstream::start(vec![
        Script::json(429, &error("insufficient_quota", "insufficient_quota", "Pay.")),
        says("fine"),
    ])
    .await;
    let weir = Weir::start(&two_models(&upstream.base_url(), "api_keys = [\"k-one\", \"k-two\"]")).await;
    for model in ["chain", "chain", "other", "other"] {
        assert_eq!(status(&weir, model).await, 200);
    }
    let keys: Vec<_> =
        upstream.requests().iter().map(|r| r.header("authorization").unwrap().to_owned()).collect();
    assert_eq!(keys[0], "Bearer k-one");
    assert_eq!(keys[1..], ["Bearer k-two"; 4]);
    let events = "weir_credential_events_total{credential=\"api_keys[0]\",event=\"rest\",provider=\"a\"}";
    assert_eq!(weir.metric(events).await, 1.0);
}
