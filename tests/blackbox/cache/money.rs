//! What is kept is free for everybody who may have it, whatever became of budgets.

use serde_json::{Value, json};

use crate::support::{
    served::Served,
    settings::{budget, price, route, target},
    transcript::{CHAT, Transcript},
    weir::Weir,
};

use super::{ask, did};

/// A dear route `top` that falls back to a cheap one when the budget has no room.
fn config(dear: &str, cheap: &str, limit: &str) -> String {
    [
        "[auth]\nmode = \"open\"\n",
        &target("dear", dear, "", &price("10.0", "1000.0")),
        &target("cheap", cheap, "", &price("0.01", "0.01")),
        &route("top", &["dear"], ""),
        &route("low", &["cheap"], ""),
        &budget("b", "global", limit),
        "[cache]\nenabled = true\n",
    ]
    .concat()
}

fn top(text: &str, more: &Value) -> Value {
    let mut body = ask(text, false);
    body["model"] = json!("top");
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[tokio::test]
async fn who_is_over_budget_still_gets_what_is_there() {
    let sim = Served::start("tokens=100").await;
    let limit = "daily = 0.11\ndefault_max_output = 100\nmin_output = 100";
    let weir = Weir::start(&config(&sim.base_url(), &sim.base_url(), limit)).await;
    let client = weir.client();
    let asked = async |text: &str| client.post_json(CHAT, &top(text, &json!({ "max_tokens": 100 }))).await;
    let first = asked("a").await;
    assert_eq!(did(&first), "miss");
    let spent = weir.spent("b").await;
    asked("b").await.refused(429, "insufficient_quota", "budget_exceeded", false);
    for _ in 0..3 {
        let again = asked("a").await;
        assert_eq!((did(&again), &again.body), ("hit", &first.body));
        assert_eq!(again.header("x-weir-cost-usd"), "0");
    }
    let mut streamed = top("a", &json!({ "max_tokens": 100 }));
    streamed["stream"] = json!(true);
    assert!(Transcript::of(&mut client.stream(CHAT, &streamed).await).await.is_clean());
    assert_eq!((weir.spent("b").await, sim.hits()), (spent, 1));
    assert_eq!(weir.metric("weir_budget_held_usd{budget=\"b\",window=\"daily\"}").await, 0.0);
}

#[tokio::test]
async fn a_downgraded_answer_is_not_the_better_routes() {
    let (dear, cheap) = (Served::start("tokens=20").await, Served::start("tokens=20").await);
    let limit = "daily = 0.0001\non_exceeded = \"downgrade:low\"";
    let weir = Weir::start(&config(&dear.base_url(), &cheap.base_url(), limit)).await;
    let asked = async || weir.client().post_json(CHAT, &top("a", &json!({}))).await;
    for hits in 1..=2 {
        let answer = asked().await;
        assert_eq!((did(&answer), answer.header("x-weir-degraded")), ("miss", "downgraded"));
        assert_eq!((dear.hits(), cheap.hits()), (0, hits));
    }
    // Once there is money, the better route answers, and that is kept.
    weir.write_config(&config(&dear.base_url(), &cheap.base_url(), "daily = 100.0"));
    weir.client().send("POST", "/admin/reload", "").await;
    for word in ["miss", "hit"] {
        let answer = asked().await;
        assert_eq!((did(&answer), answer.header("x-weir-model"), dear.hits()), (word, "dear", 1));
    }
}

#[tokio::test]
async fn what_a_missing_price_passed_over_is_a_budgets_doing() {
    let (dear, cheap) = (Served::start("tokens=20").await, Served::start("tokens=20").await);
    let toml = |budget: &str| {
        [
            "[auth]\nmode = \"open\"\n",
            &target("dear", &dear.base_url(), "", ""),
            &target("cheap", &cheap.base_url(), "", &price("0.01", "0.01")),
            &route("top", &["dear", "cheap"], ""),
            budget,
            "[cache]\nenabled = true\n",
        ]
        .concat()
    };
    let weir = Weir::start(&toml(&budget("b", "global", "daily = 100.0"))).await;
    let asked = async || weir.client().post_json(CHAT, &top("a", &json!({}))).await;
    for hits in 1..=2 {
        assert_eq!((did(&asked().await), cheap.hits(), dear.hits()), ("miss", hits, 0));
    }
    weir.write_config(&toml(""));
    weir.client().send("POST", "/admin/reload", "").await;
    for word in ["miss", "hit"] {
        let answer = asked().await;
        assert_eq!((did(&answer), answer.header("x-weir-model"), dear.hits()), (word, "dear", 1));
    }
}

#[tokio::test]
async fn an_answer_that_a_budget_cut_short_is_not_kept() {
    let sim = Served::start("tokens=20").await;
    // Less than the 16,384 tokens that an answer may have where nobody says.
    let limit = "daily = 1.0\nmin_output = 10";
    let weir = Weir::start(&config(&sim.base_url(), &sim.base_url(), limit)).await;
    for hits in 1..=2 {
        let answer = weir.client().post_json(CHAT, &top("a", &json!({}))).await;
        assert_eq!((did(&answer), sim.hits()), ("miss", hits));
        assert_ne!(answer.header("x-weir-max-output"), "");
    }
}
