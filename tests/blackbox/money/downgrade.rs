//! Where a budget has no room, a cheaper route answers.

use serde_json::json;

use crate::support::{
    client::Answer,
    ledger::nanos,
    served::Served,
    settings::{OPEN, budget, price, route, target},
    transcript::CHAT,
    weir::Weir,
};

/// A dear answer is a cent, a cheap one the hundredth part of it.
async fn start(sim: &Served, more: &str) -> Weir {
    let toml = [
        OPEN,
        &target("dear", &sim.base_url(), "", &price("0.0", "100.0")),
        &target("cheap", &sim.base_url(), "", &price("0.0", "1.0")),
        &route("main", &["dear"], ""),
        &route("thrift", &["cheap"], ""),
        &budget("b", "global", more),
    ]
    .concat();
    Weir::start(&toml).await
}

async fn ask(weir: &Weir) -> Answer {
    let body =
        json!({ "model": "main", "max_tokens": 100, "messages": [{ "role": "user", "content": "x" }] });
    weir.client().post_json(CHAT, &body).await
}

/// The next answer comes from this model, downgraded or not.
async fn comes_from(weir: &Weir, model: &str) {
    let answer = ask(weir).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-weir-model")), (200, model), "{}", answer.text());
    let degraded = if model == "cheap" { "downgraded" } else { "" };
    assert_eq!((answer.header("x-weir-degraded"), answer.header("x-weir-route")), (degraded, "main"));
}

#[tokio::test]
async fn a_hard_budget_goes_on_with_what_is_cheap_until_that_is_too_dear_too() {
    let sim = Served::start("tokens=100").await;
    let weir = start(&sim, "daily = 0.0204\non_exceeded = \"downgrade:thrift\"").await;
    for model in ["dear", "dear", "cheap", "cheap", "cheap", "cheap"] {
        comes_from(&weir, model).await;
    }
    ask(&weir).await.refused(429, "insufficient_quota", "budget_exceeded", false);
    assert_eq!((weir.spent("b").await, sim.hits()), (nanos("0.0204"), 6));
    let downgrades =
        weir.metric("weir_budget_refusals_total{action=\"downgrade\",budget=\"b\"}").await as u64;
    assert_eq!(downgrades, 5);
    let rows = weir.attempts(6).await;
    assert!(rows.iter().all(|row| row.route == "main" && row.attempt == 1), "{rows:#?}");
}

#[tokio::test]
async fn a_soft_budget_goes_on_past_its_limit_with_what_is_cheap() {
    let sim = Served::start("tokens=100").await;
    let weir = start(&sim, "daily = 0.02\nenforce = \"soft\"\non_exceeded = \"downgrade:thrift\"").await;
    for model in ["dear", "dear", "cheap", "cheap", "cheap"] {
        comes_from(&weir, model).await;
    }
    assert_eq!(weir.spent("b").await, nanos("0.0203"));
    let still = weir.budget("b", "").await;
    assert_eq!((&still["remaining_usd"], &still["enforce"]), (&json!("0"), &json!("soft")), "{still}");
}

#[tokio::test]
async fn a_soft_budget_without_a_cheaper_route_ends_at_its_limit() {
    let sim = Served::start("tokens=100").await;
    let weir = start(&sim, "daily = 0.015\nenforce = \"soft\"").await;
    for _ in 0..2 {
        let answer = ask(&weir).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("x-weir-max-output")),
            (200, ""),
            "{}",
            answer.text()
        );
    }
    ask(&weir).await.refused(429, "insufficient_quota", "budget_exceeded", false);
    assert_eq!((weir.spent("b").await, sim.hits()), (nanos("0.02"), 2));
}

#[tokio::test]
async fn a_share_of_the_limit_is_kept_for_what_is_cheap() {
    let sim = Served::start("tokens=100").await;
    let weir = start(&sim, "daily = 0.04\ndowngrade_from = 0.5\non_exceeded = \"downgrade:thrift\"").await;
    for model in ["dear", "dear", "cheap", "cheap", "cheap"] {
        comes_from(&weir, model).await;
    }
    assert_eq!(weir.spent("b").await, nanos("0.0203"));
}
