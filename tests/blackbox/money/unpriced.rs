//! A model whose price nobody knows is never free under a budget.

use serde_json::json;

use crate::support::{
    openai::ask,
    served::Served,
    settings::{OPEN, budget, price, route, target},
    transcript::CHAT,
    weir::Weir,
};

async fn start(sim: &Served, more: &str) -> Weir {
    let toml = [
        OPEN,
        &target("p", &sim.base_url(), "", ""),
        &target("q", &sim.base_url(), "", &price("1.0", "1.0")),
        &route("chain", &["p", "q"], ""),
        more,
    ]
    .concat();
    Weir::start(&toml).await
}

#[tokio::test]
async fn under_a_budget_it_is_refused() {
    let sim = Served::start("tokens=5").await;
    for scope in ["global", "each-key", "model:p", "provider:p"] {
        let weir = start(&sim, &budget("b", scope, "daily = 100.0")).await;
        for path in [CHAT, "/v1/completions", "/v1/embeddings"] {
            let body = json!({ "model": "p", "prompt": "x", "input": "x",
                "messages": [{ "role": "user", "content": "x" }] });
            let refused = weir.client().post_json(path, &body).await;
            refused.refused(400, "invalid_request_error", "model_unpriced", false);
        }
        assert_eq!(weir.metric("weir_unpriced_attempts_total{model=\"p\",provider=\"p\"}").await as u64, 0);
    }
    assert_eq!(sim.hits(), 0);
}

#[tokio::test]
async fn in_a_chain_it_is_passed_over() {
    let sim = Served::start("tokens=5").await;
    let weir = start(&sim, &budget("b", "global", "daily = 100.0")).await;
    let answer = weir.client().post_json(CHAT, &ask("chain")).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-weir-model")), (200, "q"), "{}", answer.text());
    assert_eq!(answer.header("x-weir-skipped"), "p=price");
    assert_eq!(sim.hits(), 1);
}

#[tokio::test]
async fn without_a_budget_it_runs_and_is_counted() {
    let sim = Served::start("tokens=5").await;
    let weir = start(&sim, &budget("b", "model:q", "daily = 100.0")).await;
    let answer = weir.client().post_json(CHAT, &ask("p")).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-weir-cost-usd")), (200, "0"), "{}", answer.text());
    let row = weir.attempts(1).await.remove(0);
    assert_eq!((row.priced, row.cost, row.output), (false, 0, 5), "{row:?}");
    assert_eq!(weir.metric("weir_unpriced_attempts_total{model=\"p\",provider=\"p\"}").await as u64, 1);
}
