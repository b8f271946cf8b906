//! Where nothing else limits an answer, what is left of a budget does.

use serde_json::{Value, json};

use crate::support::{
    ledger::nanos,
    served::Served,
    settings::{OPEN, budget, price, target},
    transcript::CHAT,
    weir::Weir,
};

/// Nanodollars of a token of output: 50 USD a million.
const TOKEN: i64 = 50_000;

/// Asks without a limit, with five cents left; gives the body that the provider got, with the limit that was told.
async fn asked(provider: &str, stream: bool) -> (Value, u64) {
    // It would say more than five cents are worth.
    let sim = Served::start("tokens=4000").await;
    let base_url = if provider.contains("gemini") { sim.gemini_url() } else { sim.base_url() };
    let toml = [
        OPEN,
        &target("p", &base_url, &format!("{provider}\napi_keys = [\"k\"]"), &price("1.0", "50.0")),
        &budget("b", "global", "daily = 0.05"),
    ]
    .concat();
    let weir = Weir::start(&toml).await;
    let body =
        json!({ "model": "p", "stream": stream, "messages": [{ "role": "user", "content": "Go on." }] });
    let answer = weir.client().post_json(CHAT, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let told: u64 = answer.header("x-weir-max-output").parse().unwrap();
    let worth = i64::try_from(told).unwrap() * TOKEN;
    assert!((nanos("0.049")..=nanos("0.05")).contains(&worth), "{told} tokens");
    let spent = weir.spent("b").await;
    assert!(spent <= nanos("0.05") && spent >= worth, "{spent} of {worth}");
    let after = weir.client().post_json(CHAT, &body).await;
    after.refused(429, "insufficient_quota", "budget_exceeded", false);
    let log = sim.log();
    assert_eq!((log.len(), log[0].completion_tokens), (1, told));
    (serde_json::from_str(&log[0].body).unwrap(), told)
}

#[tokio::test]
async fn openai_gets_a_limit_that_the_budget_affords() {
    for stream in [false, true] {
        let (body, told) = asked("preset = \"openai\"", stream).await;
        assert_eq!(body["max_completion_tokens"], told, "{body}");
    }
    let (body, told) = asked("quirks = { output_limit = \"max_tokens\" }", false).await;
    assert_eq!(body["max_tokens"], told, "{body}");
}

#[tokio::test]
async fn anthropic_gets_a_limit_that_the_budget_affords() {
    for stream in [false, true] {
        let (body, told) = asked("protocol = \"anthropic\"", stream).await;
        assert_eq!(body["max_tokens"], told, "{body}");
    }
}

#[tokio::test]
async fn gemini_gets_a_limit_that_the_budget_affords() {
    for stream in [false, true] {
        let (body, told) = asked("protocol = \"gemini\"", stream).await;
        assert_eq!(body["generationConfig"]["maxOutputTokens"], told, "{body}");
    }
}

#[tokio::test]
async fn a_limit_of_the_clients_is_lowered_only_where_it_is_too_high() {
    let sim = Served::start("tokens=10").await;
    let toml = [
        OPEN,
        &target("p", &sim.base_url(), "", &price("0.0", "50.0")),
        &budget("b", "global", "daily = 0.05"),
    ]
    .concat();
    let weir = Weir::start(&toml).await;
    let ask = |limit: u64| json!({ "model": "p", "max_tokens": limit, "messages": [{ "role": "user", "content": "Go." }] });
    let low = weir.client().post_json(CHAT, &ask(300)).await;
    assert_eq!((low.status.as_u16(), low.header("x-weir-max-output")), (200, ""), "{}", low.text());
    let high = weir.client().post_json(CHAT, &ask(9000)).await;
    assert_eq!((high.status.as_u16(), high.header("x-weir-max-output")), (200, "990"), "{}", high.text());
    let sent: Vec<Value> = sim.log().iter().map(|entry| serde_json::from_str(&entry.body).unwrap()).collect();
    assert_eq!((&sent[0]["max_tokens"], &sent[1]["max_tokens"]), (&json!(300), &json!(990)));
}

#[tokio::test]
async fn several_answers_share_what_is_left() {
    let sim = Served::start("tokens=4000").await;
    let toml = [
        OPEN,
        &target("p", &sim.base_url(), "", &price("0.0", "50.0")),
        &budget("b", "global", "daily = 0.06"),
    ]
    .concat();
    let weir = Weir::start(&toml).await;
    let body = json!({ "model": "p", "n": 3, "messages": [{ "role": "user", "content": "Go on." }] });
    let answer = weir.client().post_json(CHAT, &body).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("x-weir-max-output")),
        (200, "400"),
        "{}",
        answer.text()
    );
    assert_eq!((weir.spent("b").await, sim.log()[0].completion_tokens), (nanos("0.06"), 1200));
}
