//! Who looks after a budget hears when it runs low: in the log, in the metrics, by a webhook.

use serde_json::{Value, json};

use crate::support::{
    openai::ask,
    raw::RawUpstream,
    script::Script,
    served::Served,
    settings::{OPEN, budget, price, target},
    transcript::CHAT,
    weir::Weir,
};

#[tokio::test]
async fn each_threshold_is_told_once() {
    let sim = Served::start("tokens=300").await;
    // The first call fails and is repeated.
    let hook = RawUpstream::start(vec![Script::json(500, "{}"), Script::json(200, "{}")]).await;
    let toml = [
        OPEN,
        &format!("[alerts]\nwebhook = \"http://{}/hook?token=canary\"\n", hook.address()),
        &target("p", &sim.base_url(), "", &price("0.0", "100.0")),
        &budget("b", "global", "daily = 0.10\nalert_at = [0.5, 0.9]"),
    ]
    .concat();
    let weir = Weir::start(&toml).await;
    let mut body = ask("p");
    body["max_tokens"] = 300.into();
    let metric = "weir_budget_alerts_total{budget=\"b\",window=\"daily\"}";
    for (spent, alerts) in [("0.03", 0), ("0.06", 1), ("0.09", 2)] {
        let answer = weir.client().post_json(CHAT, &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(weir.budget("b", "").await["spent_usd"], spent);
        assert_eq!(weir.metric(metric).await as u64, alerts, "after {spent}");
    }
    weir.client().post_json(CHAT, &body).await.refused(429, "insufficient_quota", "budget_exceeded", false);
    for (number, fraction, spent) in [(0, 0.5, "0.06"), (1, 0.5, "0.06"), (2, 0.9, "0.09")] {
        let request = hook.request(number).await;
        assert_eq!(request.line(), "POST /hook?token=canary HTTP/1.1");
        let mut told = request.json();
        assert!(told["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{told}");
        told["time"] = Value::Null;
        assert_eq!(
            told,
            json!({ "event": "budget_alert", "time": null, "budget": "b", "holder": "", "window": "daily",
                "fraction": fraction, "spent_usd": spent, "limit_usd": "0.1",
                "text": format!("Weir: Budget b has reached {:.0} % of its daily limit: ${spent} of $0.1.", fraction * 100.0) })
        );
    }
    assert_eq!((weir.metric(metric).await as u64, hook.requests().len()), (2, 3));
    weir.logged("a budget has reached 0.9 of its limit").await;
    let logs = weir.logs();
    for share in ["0.5", "0.9"] {
        assert_eq!(logs.matches(&format!("a budget has reached {share} of its limit")).count(), 1, "{logs}");
    }
    assert!(!logs.contains("canary"), "the webhook's address is a secret: {logs}");
}
