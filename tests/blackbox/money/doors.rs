//! No path of the table spends without leave.

use serde_json::{Value, json};
use weir::edge::{Access, ROUTES};

use crate::support::{
    served::Served,
    settings::{OPEN, budget, price, target},
    weir::Weir,
};

/// A body that every path understands.
fn any() -> Value {
    json!({
        "model": "p", "max_tokens": 100, "prompt": "Say something.", "input": "Say something.",
        "messages": [{ "role": "user", "content": "Say something." }],
    })
}

async fn start(sim: &Served, limit: &str) -> Weir {
    let toml = [
        OPEN,
        &target("p", &sim.base_url(), "", &price("10.0", "10.0")),
        &budget("b", "global", &format!("total = {limit}")),
    ]
    .concat();
    Weir::start(&toml).await
}

#[tokio::test]
async fn every_path_that_can_spend_asks_for_leave() {
    let sim = Served::start("tokens=5").await;
    let (rich, poor) = (start(&sim, "100.0").await, start(&sim, "0.000001").await);
    let spending: Vec<_> = ROUTES
        .iter()
        .filter(|served| served.method == "POST" && !served.path.starts_with("/admin/"))
        .collect();
    assert!(spending.len() >= 3);
    for (number, served) in spending.iter().enumerate() {
        assert_eq!(served.access, Access::Client, "{}", served.path);
        let refused = poor.client().post_json(served.path, &any()).await;
        refused.refused(429, "insufficient_quota", "budget_exceeded", false);
        assert_eq!(sim.hits(), number as u64, "{} went to the provider", served.path);
        // The same request with money is answered, so it was the budget that refused it.
        let answer = rich.client().post_json(served.path, &any()).await;
        assert_eq!(answer.status, 200, "{}: {}", served.path, answer.text());
        assert_ne!(answer.header("x-weir-cost-usd"), "0", "{}", served.path);
        rich.attempts(number + 1).await;
    }
    assert!(poor.rows().iter().all(|row| row.attempt == 0 && row.cost == 0), "{:#?}", poor.rows());
}
