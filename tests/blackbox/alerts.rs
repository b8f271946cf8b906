//! Operators hear by a webhook what happens to targets, keys, routes.

use serde_json::{Value, json};

use crate::support::{
    openai::{ask, says},
    raw::{RawUpstream, wait_for},
    script::Script,
    settings::{HEALTHY, route, target},
    transcript::CHAT,
    weir::Weir,
};

/// A webhook that takes everything.
async fn webhook() -> RawUpstream {
    RawUpstream::start(vec![Script::json(200, "ok")]).await
}

fn alerts(hook: &RawUpstream, interval: &str) -> String {
    let address = hook.address();
    format!("[alerts]\nwebhook = \"http://{address}/hook?token=canary\"\nmin_interval = \"{interval}\"\n")
}

fn heard(hook: &RawUpstream) -> Vec<Value> {
    hook.requests().iter().map(|request| request.json()).collect()
}

/// Waits until the webhook has heard of an event about something, like `("breaker_open", "model", "m")`.
async fn told(hook: &RawUpstream, event: &str, field: &str, of: &str) -> Value {
    wait_for(|| heard(hook).into_iter().find(|body| body["event"] == event && body[field] == of)).await
}

#[tokio::test]
async fn a_breaker_and_the_route_behind_it_are_told() {
    let hook = webhook().await;
    let upstream = RawUpstream::start(vec![Script::json(500, "{}")]).await;
    let toml = [
        HEALTHY,
        &alerts(&hook, "0s"),
        &target("m", &upstream.base_url(), "", ""),
        &route("alone", &["m"], "max_attempts = 1"),
    ]
    .concat();
    let weir = Weir::start(&toml).await;
    for _ in 0..10 {
        weir.client().post_json(CHAT, &ask("alone")).await;
    }
    let open = told(&hook, "breaker_open", "model", "m").await;
    assert_eq!(open["provider"], "m");
    let cause = open["cause"].as_str().unwrap();
    assert!(cause.contains("failures in a row"), "{open}");
    assert_eq!(open["text"], format!("Weir: Model m at m is left alone: {cause}."));
    assert!(open["time"].as_str().unwrap().ends_with('Z'), "{open}");
    let down = told(&hook, "all_down", "route", "alone").await;
    assert_eq!(down["targets"], json!([{ "model": "m", "why": "open" }]), "{down}");
    assert_eq!(down["fallback"], Value::Null);
    weir.logged("Every target of route alone is down").await;

    weir.client().send("POST", "/admin/targets/m/close", "").await;
    told(&hook, "breaker_close", "model", "m").await;
    let over = told(&hook, "all_down_over", "route", "alone").await;
    assert_eq!(over["text"], "Weir: Route alone has a target again.");
    // Each once, with a sentence and without the address.
    let all = heard(&hook);
    assert_eq!(all.len(), 4, "{all:?}");
    assert!(all.iter().all(|body| body["text"].is_string()), "{all:?}");
    let sent = "weir_alerts_total{event=\"all_down\",result=\"sent\"}";
    assert_eq!(weir.metric(sent).await, 1.0);
    assert!(!weir.logs().contains("canary"), "{}", weir.logs());
}

#[tokio::test]
async fn dead_keys_and_retired_models_are_told_without_the_key() {
    let hook = webhook().await;
    let upstream = |status| RawUpstream::start(vec![Script::json(status, "{}")]);
    let (dead, poor, gone) = (upstream(401).await, upstream(402).await, upstream(404).await);
    let toml = [
        HEALTHY,
        &alerts(&hook, "1m"),
        &target("dead", &dead.base_url(), "api_keys = [\"k-canary-1\"]", ""),
        &target("poor", &poor.base_url(), "api_keys = [\"k-canary-2\"]", ""),
        &target("gone", &gone.base_url(), "api_keys = [\"k-canary-3\"]", ""),
        &route("keys", &["dead", "poor"], "max_attempts = 2\nfallback = \"models\""),
        &route("models", &["gone"], ""),
    ]
    .concat();
    let weir = Weir::start(&toml).await;
    for model in ["dead", "dead", "poor", "gone"] {
        weir.client().post_json(CHAT, &ask(model)).await;
    }
    let out = told(&hook, "credential_out", "provider", "dead").await;
    let known = [&out["credential"], &out["model"], &out["cause"], &out["seconds"]].map(Value::to_string);
    assert_eq!(known, ["\"api_keys[0]\"", "\"*\"", "\"credential_rejected\"", "900"], "{out}");
    let rest = told(&hook, "credential_rest", "provider", "poor").await;
    assert!(rest["text"].as_str().unwrap().contains("has no money left"), "{rest}");
    let retired = told(&hook, "model_retired", "model", "gone").await;
    assert!(retired["text"].as_str().unwrap().contains("does not know model gone"), "{retired}");
    let keys = told(&hook, "all_down", "route", "keys").await;
    let whys = json!([{ "model": "dead", "why": "no_key" }, { "model": "poor", "why": "no_key" }]);
    assert_eq!((&keys["targets"], &keys["fallback"]), (&whys, &json!("models")), "{keys}");
    let models = told(&hook, "all_down", "route", "models").await;
    assert_eq!(models["targets"][0]["why"], "unknown_model", "{models}");
    let bodies = heard(&hook).iter().map(Value::to_string).collect::<String>();
    assert!(!bodies.contains("canary") && !weir.logs().contains("canary"), "{bodies}");
}

#[tokio::test]
async fn a_model_that_a_client_makes_up_is_told_to_nobody() {
    let hook = webhook().await;
    let upstream = RawUpstream::start(vec![Script::json(404, "{}"), says("fine")]).await;
    let toml = [HEALTHY, &alerts(&hook, "0s"), &target("m", &upstream.base_url(), "", "")].concat();
    let weir = Weir::start(&toml).await;
    weir.client().post_json(CHAT, &ask("m/made-up")).await;
    weir.client().send("POST", "/admin/targets/m/open", "").await;
    told(&hook, "breaker_open", "model", "m").await;
    assert_eq!(heard(&hook).len(), 1, "{:?}", heard(&hook));
}

#[tokio::test]
async fn flapping_is_told_once_in_an_interval() {
    let hook = webhook().await;
    let upstream = RawUpstream::start(vec![says("fine")]).await;
    let toml = [HEALTHY, &alerts(&hook, "1h"), &target("m", &upstream.base_url(), "", "")].concat();
    let weir = Weir::start(&toml).await;
    for _ in 0..5 {
        for action in ["open", "close"] {
            weir.client().send("POST", &format!("/admin/targets/m/{action}"), "").await;
        }
    }
    told(&hook, "breaker_open", "model", "m").await;
    let count = async |event: &str, result: &str| {
        weir.metric(&format!("weir_alerts_total{{event=\"{event}\",result=\"{result}\"}}")).await
    };
    // One was sent, one waits, the others are in it.
    for _ in 0..1000 {
        if count("breaker_close", "coalesced").await >= 4.0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(count("breaker_close", "coalesced").await, 4.0);
    assert_eq!((count("breaker_open", "coalesced").await, count("breaker_open", "sent").await), (4.0, 1.0));
    assert_eq!(hook.requests().len(), 1);
}

#[tokio::test]
async fn a_pair_is_told_whole_however_quick_it_was() {
    let hook = webhook().await;
    let upstream = RawUpstream::start(vec![says("fine")]).await;
    let toml = [HEALTHY, &alerts(&hook, "1s"), &target("m", &upstream.base_url(), "", "")].concat();
    let weir = Weir::start(&toml).await;
    for action in ["open", "close"] {
        weir.client().send("POST", &format!("/admin/targets/m/{action}"), "").await;
    }
    let close = told(&hook, "breaker_close", "model", "m").await;
    let open = &heard(&hook)[0];
    assert_eq!((&open["event"], &open["cause"]), (&json!("breaker_open"), &json!("an operator said so")));
    assert_eq!(close.get("unsaid"), None, "{close}");
    // Not before the interval is over.
    let (opened, closed) = (hook.request(0).await.at, hook.request(1).await.at);
    assert!(closed - opened >= std::time::Duration::from_millis(900), "{:?}", closed - opened);
}
