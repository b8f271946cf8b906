//! Budgets change while the gateway runs; what was spent stays spent.

use serde_json::json;

use crate::support::{
    client::Answer,
    ledger::{amount, nanos},
    served::Served,
    settings::{budget, price, route, target},
    transcript::CHAT,
    weir::Weir,
};

const KEYS: &str = "[[keys]]\nname = \"bot\"\nsecret = \"sk-bot\"\ntags = { team = \"red\" }\n\
                    [[keys]]\nname = \"other\"\nsecret = \"sk-other\"\n";

fn config(sim: &Served, budgets: &str) -> String {
    let target = target("p", &sim.base_url(), "", &price("0.0", "100.0"));
    [KEYS, &target, &route("chain", &["p"], ""), budgets].concat()
}

async fn ask(weir: &Weir, key: &str) -> Answer {
    let body =
        json!({ "model": "chain", "max_tokens": 100, "messages": [{ "role": "user", "content": "x" }] });
    weir.client().key(key).post_json(CHAT, &body).await
}

/// A budget's name, in the letters that one may have.
fn named(scope: &str, period: &str) -> String {
    format!("{scope}/{period}").replace('=', "-")
}

async fn reload(weir: &Weir, config: &str) {
    weir.write_config(config);
    let answer = weir.client().send("POST", "/admin/reload", "").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn a_limit_that_changes_counts_at_once_and_forgets_nothing() {
    let sim = Served::start("tokens=100").await;
    let of = |limit: &str| config(&sim, &budget("b", "global", &format!("daily = {limit}")));
    let weir = Weir::start(&of("0.02")).await;
    for status in [200, 200, 429] {
        assert_eq!(ask(&weir, "sk-bot").await.status, status);
    }
    reload(&weir, &of("0.03")).await;
    for status in [200, 429] {
        assert_eq!(ask(&weir, "sk-bot").await.status, status);
    }
    assert_eq!(weir.spent("b").await, nanos("0.03"));
    reload(&weir, &of("0.01")).await;
    let over = weir.budget("b", "").await;
    assert_eq!((amount(&over, "spent_usd"), amount(&over, "remaining_usd")), (nanos("0.03"), 0), "{over}");
    assert_eq!(ask(&weir, "sk-bot").await.status, 429);
    // Taken out and put back, it knows what was spent in between.
    reload(&weir, &config(&sim, "")).await;
    assert_eq!(ask(&weir, "sk-bot").await.status, 200);
    reload(&weir, &of("0.05")).await;
    assert_eq!(weir.spent("b").await, nanos("0.04"));
    for status in [200, 429] {
        assert_eq!(ask(&weir, "sk-bot").await.status, status);
    }
    assert_eq!(sim.hits(), 5);
}

#[tokio::test]
async fn a_budget_that_is_new_begins_with_what_was_spent() {
    let sim = Served::start("tokens=100").await;
    let weir = Weir::start(&config(&sim, "")).await;
    for key in ["sk-bot", "sk-bot", "sk-bot", "sk-other"] {
        assert_eq!(ask(&weir, key).await.status, 200);
    }
    weir.attempts(4).await;
    let scopes = [
        ("global", "", "0.04"),
        ("key:bot", "", "0.03"),
        ("each-key", "other", "0.01"),
        ("tag:team=red", "", "0.03"),
        ("route:chain", "", "0.04"),
        ("model:p", "", "0.04"),
        ("provider:p", "", "0.04"),
    ];
    for period in ["daily", "monthly", "total"] {
        let budgets =
            scopes.map(|(scope, ..)| budget(&named(scope, period), scope, &format!("{period} = 0.05")));
        reload(&weir, &config(&sim, &budgets.concat())).await;
        for (scope, holder, spent) in scopes {
            let row = weir.budget(&named(scope, period), holder).await;
            assert_eq!(amount(&row, "spent_usd"), nanos(spent), "{scope} {period}");
        }
    }
    assert_eq!(ask(&weir, "sk-bot").await.status, 200);
    ask(&weir, "sk-other").await.refused(429, "insufficient_quota", "budget_exceeded", false);
    // The same after a restart.
    let weir = weir.again().await;
    ask(&weir, "sk-bot").await.refused(429, "insufficient_quota", "budget_exceeded", false);
    assert_eq!(amount(&weir.budget(&named("global", "total"), "").await, "spent_usd"), nanos("0.05"));
}

#[tokio::test]
async fn a_quota_that_is_new_begins_with_the_requests_of_the_month() {
    let sim = Served::start("tokens=100").await;
    let of = |quota: u32| {
        config(&sim, "").replacen("[[keys]]\n", &format!("[[keys]]\nrequests_per_month = {quota}\n"), 1)
    };
    let weir = Weir::start(&of(0)).await;
    for key in ["sk-bot", "sk-bot", "sk-other"] {
        assert_eq!(ask(&weir, key).await.status, 200);
    }
    weir.attempts(3).await;
    reload(&weir, &of(4)).await;
    let quota = weir.budget("requests_per_month", "bot").await;
    assert_eq!((&quota["spent_requests"], &quota["limit_requests"]), (&json!(2), &json!(4)), "{quota}");
    for status in [200, 200, 429] {
        assert_eq!(ask(&weir, "sk-bot").await.status, status);
    }
    assert_eq!(ask(&weir, "sk-other").await.status, 200);
}
