//! What one request may cost at most.

use serde_json::{Value, json};

use crate::support::{
    served::Served,
    settings::{OPEN, budget, price, target},
    transcript::CHAT,
    weir::Weir,
};

async fn start(sim: &Served, budgets: &str) -> Weir {
    let target = target("p", &sim.base_url(), "", &price("0.0", "100.0"));
    let free = "[models.unknown]\nprovider = \"p\"\n";
    Weir::start(&[OPEN, &target, free, budgets].concat()).await
}

fn ask(model: &str, max_tokens: Option<u64>) -> Value {
    let mut body = json!({ "model": model, "messages": [{ "role": "user", "content": "Say something." }] });
    if let Some(most) = max_tokens {
        body["max_tokens"] = most.into();
    }
    body
}

#[tokio::test]
async fn a_request_over_the_budgets_own_ceiling_is_shortened_or_refused_before_it_is_sent() {
    let sim = Served::start("tokens=5000").await;
    let weir =
        start(&sim, &budget("b", "global", "daily = 100.0\nper_request = 0.05\nmin_output = 400")).await;
    for (most, told) in [(Some(300), ""), (Some(500), ""), (Some(501), "500"), (None, "500")] {
        let answer = weir.client().post_json(CHAT, &ask("p", most)).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-weir-max-output")), (200, told), "{most:?}");
        let cost = if most == Some(300) { "0.03" } else { "0.05" };
        assert_eq!(answer.header("x-weir-cost-usd"), cost, "{most:?}");
    }
    let strict =
        start(&sim, &budget("b", "global", "daily = 100.0\nper_request = 0.03\nmin_output = 400")).await;
    for (most, fits) in [(Some(300), true), (Some(301), false), (Some(5000), false), (None, false)] {
        let hits = sim.hits();
        let answer = strict.client().post_json(CHAT, &ask("p", most)).await;
        if fits {
            assert_eq!(answer.status, 200, "{}", answer.text());
        } else {
            let error = answer.refused(429, "insufficient_quota", "budget_exceeded", false);
            assert!(error["message"].as_str().unwrap().contains("per_request"), "{error}");
            assert_eq!(sim.hits(), hits);
        }
    }
}

#[tokio::test]
async fn a_clients_ceiling_holds_with_and_without_budgets() {
    let sim = Served::start("tokens=5000").await;
    for budgets in ["", &budget("b", "global", "daily = 100.0")] {
        let weir = start(&sim, budgets).await;
        let asked = async |ceiling: &str, model: &str, most| {
            let client = weir.client().header("x-weir-max-cost-usd", ceiling);
            client.post_json(CHAT, &ask(model, most)).await
        };
        let fits = asked("0.05", "p", Some(500)).await;
        assert_eq!((fits.status.as_u16(), fits.header("x-weir-max-output")), (200, ""), "{}", fits.text());
        let shortened = asked("0.05", "p", None).await;
        assert_eq!((shortened.status.as_u16(), shortened.header("x-weir-max-output")), (200, "500"));
        assert_eq!(shortened.header("x-weir-cost-usd"), "0.05");
        let hits = sim.hits();
        let refused = asked("0.01", "p", None).await;
        refused.refused(429, "insufficient_quota", "budget_exceeded", false);
        let unknown = asked("0.05", "unknown", None).await;
        unknown.refused(400, "invalid_request_error", "model_unpriced", false);
        assert_eq!(sim.hits(), hits);
    }
}
