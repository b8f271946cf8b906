//! A crowd at a budget: exactly what fits is answered.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::support::{
    client::{Answer, Client},
    ledger::{Row, amount, nanos},
    limits::{open_files, quiet},
    served::Served,
    settings::{budget, price, route, target},
    transcript::CHAT,
    weir::Weir,
};

const CROWD: usize = 1000;
/// A hundred tokens at 100 USD a million are a cent.
const TOKENS: u32 = 100;
const CENT: i64 = 10_000_000;
const DOLLAR: i64 = 100 * CENT;

const KEYS: &str = "[[keys]]\nname = \"bot\"\nsecret = \"sk-bot\"\ntags = { team = \"red\" }\n\
                    [[keys]]\nname = \"other\"\nsecret = \"sk-other\"\n";

/// A gateway with a model `p` behind the route `chain`, and one budget of a dollar.
async fn start(sim: &Served, scope: &str, input: &str, output: &str) -> Weir {
    let toml = [
        KEYS,
        &target("p", &sim.base_url(), "", &price(input, output)),
        &route("chain", &["p"], ""),
        &budget("b", scope, "daily = 1.00"),
    ]
    .concat();
    Weir::start(&toml).await
}

/// A request that takes all of its hundred tokens.
fn cent(text: &str) -> Value {
    json!({ "model": "chain", "max_tokens": TOKENS, "messages": [{ "role": "user", "content": text }] })
}

/// All at once; gives the answers.
async fn crowd(client: &Client, path: &'static str, body: Value, size: usize) -> Vec<Answer> {
    let body = Arc::new(body);
    let all: Vec<_> = (0..size)
        .map(|_| {
            let (client, body) = (client.clone(), Arc::clone(&body));
            tokio::spawn(async move { client.post_json(path, &body).await })
        })
        .collect();
    let mut answers = Vec::new();
    for one in all {
        answers.push(one.await.unwrap());
    }
    answers
}

/// How many were answered; all others were refused for want of money, as that has to look.
fn answered(answers: &[Answer]) -> usize {
    let (good, bad): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    for answer in bad {
        answer.refused(429, "insufficient_quota", "budget_exceeded", false);
    }
    good.len()
}

fn sum(rows: &[Row]) -> i64 {
    rows.iter().map(|row| row.cost).sum()
}

/// A thousand requests of a cent each, of which a dollar pays for a hundred; gives the gateway afterwards.
async fn exact(sim: &Served, scope: &str, path: &'static str, body: Value) -> Weir {
    let weir = if path == "/v1/embeddings" {
        start(sim, scope, "100.0", "0.0").await
    } else {
        start(sim, scope, "0.0", "100.0").await
    };
    let answers = crowd(&weir.client().key("sk-bot"), path, body, CROWD).await;
    assert_eq!(answered(&answers), 100, "{scope}");
    assert_eq!(sim.hits(), 100, "{scope}");
    let holder = if scope == "each-key" { "bot" } else { "" };
    let after = weir.budget("b", holder).await;
    assert_eq!((amount(&after, "spent_usd"), amount(&after, "held_usd")), (DOLLAR, 0), "{after}");
    let rows = weir.attempts(100).await;
    assert_eq!(sum(&rows), DOLLAR);
    assert!(rows.iter().all(|row| row.cost == CENT && row.kind == "actual" && row.outcome == "ok"));
    let counted = weir.metric("weir_budget_spent_usd{budget=\"b\",window=\"daily\"}").await;
    assert!((counted - 1.0).abs() < 1e-9, "{counted}");
    weir
}

async fn exact_chat(scope: &str) {
    let _quiet = quiet().await;
    open_files(8192);
    let sim = Served::start("tokens=100").await;
    let weir = exact(&sim, scope, CHAT, cent("Say something.")).await;
    let (_, given) = sim.tokens();
    assert_eq!(given, 100 * u64::from(TOKENS));
    if scope == "each-key" {
        // The other key's share is untouched.
        let other = weir.client().key("sk-other").post_json(CHAT, &cent("Say something.")).await;
        assert_eq!(other.status, 200, "{}", other.text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dollar_for_all_pays_for_a_hundred_cents() {
    exact_chat("global").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dollar_for_a_key_pays_for_a_hundred_cents() {
    exact_chat("key:bot").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dollar_for_each_key_pays_for_a_hundred_cents_of_each() {
    exact_chat("each-key").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dollar_for_a_tag_pays_for_a_hundred_cents() {
    exact_chat("tag:team=red").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dollar_for_a_route_pays_for_a_hundred_cents() {
    exact_chat("route:chain").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dollar_for_a_model_pays_for_a_hundred_cents() {
    exact_chat("model:p").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dollar_for_a_provider_pays_for_a_hundred_cents() {
    exact_chat("provider:p").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dollar_pays_for_a_hundred_streams() {
    let _quiet = quiet().await;
    open_files(8192);
    let sim = Served::start("tokens=100&tps=1000").await;
    let mut body = cent("Say something.");
    body["stream"] = true.into();
    let weir = exact(&sim, "global", CHAT, body).await;
    assert!(weir.attempts(100).await.iter().all(|row| row.stream && row.output == 100));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn completions_and_embeddings_are_no_back_doors() {
    let _quiet = quiet().await;
    open_files(8192);
    let sim = Served::start("tokens=100").await;
    let body = json!({ "model": "chain", "max_tokens": TOKENS, "prompt": "Say something." });
    exact(&sim, "global", "/v1/completions", body).await;
    // Tokens as numbers are counted exactly beforehand.
    let sim = Served::start("").await;
    let body = json!({ "model": "chain", "input": [vec![1000; 100]] });
    exact(&sim, "global", "/v1/embeddings", body).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_no_instant_is_more_than_the_limit_spent_or_promised() {
    let _quiet = quiet().await;
    open_files(8192);
    let sim = Served::start("tokens=50&first_token=30ms").await;
    let weir = start(&sim, "global", "10.0", "100.0").await;
    let client = weir.client().key("sk-bot");
    let body = cent(&"word ".repeat(200));
    let watching = Arc::new(Semaphore::new(0));
    let (wave, done) = (crowd(&client, CHAT, body.clone(), CROWD), Arc::clone(&watching));
    let watch = async {
        let mut looks = 0;
        while done.available_permits() == 0 {
            let now = weir.budget("b", "").await;
            let promised = amount(&now, "spent_usd") + amount(&now, "held_usd");
            assert!(promised <= nanos("1"), "{now}");
            looks += 1;
        }
        looks
    };
    let (first, looks) = tokio::join!(
        async {
            let answers = wave.await;
            watching.add_permits(1);
            answers
        },
        watch
    );
    assert!(looks >= 5, "{looks} looks show nothing");
    assert!(answered(&first) > 0);
    let second = crowd(&client, CHAT, body, 100).await;
    let all = answered(&first) + answered(&second);
    let spent = weir.spent("b").await;
    assert!((nanos("0.98")..=DOLLAR).contains(&spent), "{spent}");
    let rows = weir.attempts(all).await;
    assert_eq!((sum(&rows), sim.hits()), (spent, all as u64));
    let (read, written) = sim.tokens();
    assert_eq!(spent, i64::try_from(read * 10_000 + written * 100_000).unwrap(), "what the provider says");
}
