//! `auto` with budgets, with what it saves.

use serde_json::Value;

use super::{ask, saying, tiers, told};
use crate::support::{
    ledger::nanos,
    raw::RawUpstream,
    script::{Script, Step},
    settings::budget,
    transcript::{CHAT, Transcript},
    weir::Weir,
};

/// A premium answer is a tenth of a cent, a budget one the hundredth part of it.
#[tokio::test]
async fn near_its_budget_auto_goes_on_with_the_cheapest_tier() {
    let limit = budget("b", "global", "daily = 0.00203\non_exceeded = \"downgrade:budget\"");
    let weir = Weir::start(&tiers("", &limit)).await;
    for (model, degraded) in [
        ("strong", ""),
        ("strong", ""),
        ("weak", "downgraded"),
        ("weak", "downgraded"),
        ("weak", "downgraded"),
    ] {
        let answer = ask(&weir.client(), "zulu").await;
        // The route is the one that was chosen; the tier is the one that answered and was paid.
        let tier = if degraded.is_empty() { "premium" } else { "budget" };
        assert_eq!(told(&answer)[..3], ["premium", model, tier]);
        assert_eq!(answer.header("x-weir-degraded"), degraded);
    }
    let refused = ask(&weir.client(), "zulu").await;
    refused.refused(429, "insufficient_quota", "budget_exceeded", false);
    assert_eq!((refused.header("x-weir-tier"), refused.header("x-weir-complexity")), ("premium", "9"));
    assert_eq!(weir.spent("b").await, nanos("0.00203"));
    let report = weir.client().get("/admin/report?by=tier").await.json();
    let tiers = ["premium", "budget"].map(|name| {
        let groups = report["groups"].as_array().unwrap();
        groups.iter().find(|group| group["name"] == name).unwrap()["cost_usd"].as_str().unwrap().to_owned()
    });
    assert_eq!(tiers, ["0.002", "0.00003"]);
}

#[tokio::test]
async fn a_budget_that_rejects_does_so_at_once() {
    let weir = Weir::start(&tiers("", &budget("b", "global", "daily = 0.0015"))).await;
    assert_eq!(told(&ask(&weir.client(), "zulu").await)[1], "strong");
    ask(&weir.client(), "zulu").await.refused(429, "insufficient_quota", "budget_exceeded", false);
    // An easier one fits.
    assert_eq!(told(&ask(&weir.client(), "xray").await)[1], "weak");
}

#[tokio::test]
async fn an_answer_says_what_it_saved_where_asked() {
    let weir = Weir::start(&tiers("", "")).await;
    let client = weir.client().header("x-weir-savings", "true").header("x-weir-stream-summary", "true");
    for (text, saved) in [("xray", "0.00099"), ("yankee", "0.0009"), ("zulu", "0")] {
        let answer = ask(&client, text).await;
        assert_eq!(answer.header("x-weir-saved-usd"), saved, "{text}");
    }
    assert_eq!(ask(&weir.client(), "xray").await.header("x-weir-saved-usd"), "");
    let mut body = saying("auto", "xray");
    body["stream"] = true.into();
    let mut stream = client.stream(CHAT, &body).await;
    assert_eq!((stream.header("x-weir-tier"), stream.header("x-weir-complexity")), ("budget", "1"));
    assert!(Transcript::of(&mut stream).await.is_clean());
    let raw = String::from_utf8(stream.raw().to_vec()).unwrap();
    let line = raw.lines().find_map(|line| line.strip_prefix(": weir ")).unwrap();
    let summary: Value = serde_json::from_str(line).unwrap();
    assert_eq!((&summary["saved_usd"], &summary["model"]), (&"0.00099".into(), &"weak".into()));
    let bad = ask(&weir.client().header("x-weir-savings", "yes"), "xray").await;
    bad.refused(400, "invalid_request_error", "invalid_header", false);
}

#[tokio::test]
async fn a_try_that_came_to_nothing_takes_from_what_was_saved() {
    let slow = RawUpstream::start(vec![Script::OnRequest(vec![Step::Hang])]).await;
    let more = format!(
        "[providers.slow]\nbase_url = \"{}\"\n[models.slow]\nprovider = \"slow\"\n\
         price = {{ input = 10.0, output = 0.0 }}\n[routes.chain]\ntargets = [\"slow\", \"weak\"]\n",
        slow.base_url()
    );
    let weir = Weir::start(&tiers("", &more)).await;
    let client = weir.client().header("x-weir-savings", "true").header("x-weir-attempt-timeout-ms", "300");
    let answer = client.post_json(CHAT, &saying("chain", "hi")).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-weir-model")), (200, "weak"));
    let cost = nanos(answer.header("x-weir-cost-usd"));
    assert!(cost > nanos("0.00001"), "the try that timed out has a cost");
    let saved = answer.header("x-weir-saved-usd");
    assert_eq!(nanos(saved), nanos("0.001") - cost);
    let report = weir.client().get("/admin/report").await.json();
    assert_eq!(report["totals"]["saved_by_routing_usd"], saved);
    let [less, more] =
        ["less", "more"].map(|sign| format!("weir_saved_usd_total{{reason=\"routing\",sign=\"{sign}\"}}"));
    let counted = weir.metric(&less).await - weir.metric(&more).await;
    assert!((counted * 1e9 - nanos(saved) as f64).abs() < 1.0, "{counted} is not {saved}");
}
