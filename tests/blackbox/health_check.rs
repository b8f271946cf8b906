//! Providers are asked whether they are there, so that no request has to find out.

use std::time::Duration;

use serde_json::Value;

use crate::support::{
    raw::{RawUpstream, wait_for},
    script::Script,
    settings::{HEALTHY, route, target},
    sim::SimProcess,
    weir::Weir,
};

const EVERY_SECOND: &str = "health_check = { every = \"1s\" }\n";

async fn provider(weir: &Weir, name: &str) -> Value {
    let status = weir.client().get("/admin/status").await.json();
    status["providers"].as_array().unwrap().iter().find(|row| row["provider"] == name).unwrap().clone()
}

/// Waits until the status of a provider's check, or of its connections, is this.
async fn until(weir: &Weir, name: &str, pointer: &str, value: &str) -> Value {
    for _ in 0..4000 {
        let row = provider(weir, name).await;
        if row.pointer(pointer).is_some_and(|found| found == value) {
            return row;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{pointer} is not {value}: {}", provider(weir, name).await);
}

#[tokio::test]
async fn a_dead_provider_is_noticed_without_a_request_and_so_is_its_return() {
    let hook = RawUpstream::start(vec![Script::json(200, "ok")]).await;
    let mut sim = SimProcess::start(&[]).await;
    let toml = [
        HEALTHY,
        "[breaker]\nopen_min = \"1s\"\nopen_max = \"2s\"\n",
        &format!("[alerts]\nwebhook = \"http://{}/\"\nmin_interval = \"0s\"\n", hook.address()),
        &target("p", &sim.base_url(), &format!("api_keys = [\"k-canary\"]\n{EVERY_SECOND}"), ""),
        &route("alone", &["p"], ""),
    ]
    .concat();
    let weir = Weir::start(&toml).await;
    let well = until(&weir, "p", "/health_check/last/result", "ok").await;
    assert_eq!(well["connections"], "closed", "{well}");
    assert!(well["health_check"]["last"]["age_ms"].as_u64().unwrap() < 20_000, "{well}");

    sim.kill();
    let told = |event: &'static str| {
        let hook = &hook;
        wait_for(move || {
            let heard = hook.requests().into_iter().map(|request| request.json());
            heard.into_iter().find(|body| body["event"] == event)
        })
    };
    let unreachable = told("provider_unreachable").await;
    assert!(unreachable["text"].as_str().unwrap().contains("Provider p cannot be reached"), "{unreachable}");
    let down = told("all_down").await;
    assert_eq!(down["targets"][0]["why"], "unreachable", "{down}");

    sim.restart_on_same_port().await;
    told("provider_reachable").await;
    told("all_down_over").await;
    until(&weir, "p", "/connections", "closed").await;
    let count = weir.metric("weir_health_checks_total{provider=\"p\",result=\"connect_error\"}").await;
    assert!(count >= 5.0, "{count}");
    let log = sim.log().await.to_string();
    assert!(log.contains("/v1/models") && !log.contains("completions"), "{log}");
    let heard: String = hook.requests().iter().map(|request| request.json().to_string()).collect();
    assert!(!heard.contains("canary") && !weir.logs().contains("canary"), "{heard}");
}

#[tokio::test]
async fn a_path_that_leads_nowhere_is_told_once_and_harms_nobody() {
    let upstream = RawUpstream::start(vec![Script::json(404, "{}")]).await;
    let more = "api_keys = [\"k-one\"]\nhealth_check = { every = \"1s\", path = \"/nowhere?x=1\" }\n\
                headers = { \"x-team\" = \"t\" }\n";
    let weir = Weir::start(&[HEALTHY, &target("p", &upstream.base_url(), more, "")].concat()).await;
    let request = upstream.request(2).await;
    assert_eq!(request.line(), "GET /v1/nowhere?x=1 HTTP/1.1");
    let sent = ["authorization", "x-team", "content-type"].map(|name| request.header(name));
    assert_eq!(sent, [Some("Bearer k-one"), Some("t"), None]);
    assert!(request.body.is_empty());
    let row = until(&weir, "p", "/health_check/last/result", "wrong_path").await;
    assert_eq!(row["connections"], "closed", "{row}");
    let logs = weir.logs();
    assert_eq!(logs.matches("providers.p.health_check.path leads nowhere").count(), 1, "{logs}");
    assert!(!logs.contains("k-one"), "{logs}");
}

#[tokio::test]
async fn a_list_that_is_broken_says_nothing_of_requests() {
    let upstream = RawUpstream::start(vec![Script::json(500, "{}")]).await;
    let toml = [HEALTHY, &target("p", &upstream.base_url(), EVERY_SECOND, "")].concat();
    let weir = Weir::start(&toml).await;
    upstream.request(2).await;
    let row = until(&weir, "p", "/health_check/last/result", "failed").await;
    assert_eq!(row["connections"], "closed", "{row}");
    let logs = weir.logs();
    assert_eq!(logs.matches("providers.p.health_check.path is answered with an error").count(), 1, "{logs}");
}

#[tokio::test]
async fn a_key_that_dies_is_noticed_before_a_user_meets_it() {
    let upstream = RawUpstream::start(vec![Script::json(401, "{}")]).await;
    let more = format!("api_keys = [\"k-canary\"]\n{EVERY_SECOND}");
    let weir = Weir::start(&[HEALTHY, &target("p", &upstream.base_url(), &more, "")].concat()).await;
    weir.logged("refused it twice in a row").await;
    let row = until(&weir, "p", "/health_check/last/result", "credential_rejected").await;
    assert_eq!(row["connections"], "closed", "a refusal shows that it is there: {row}");
    let events = "weir_credential_events_total{credential=\"api_keys[0]\",event=\"out\",provider=\"p\"}";
    assert_eq!(weir.metric(events).await, 1.0);
    assert_eq!(upstream.requests().len(), 2);
}

#[tokio::test]
async fn a_simulated_provider_can_be_asked() {
    let toml = format!("{HEALTHY}[providers.p]\nprotocol = \"sim\"\n{EVERY_SECOND}");
    let weir = Weir::start(&toml).await;
    until(&weir, "p", "/health_check/last/result", "ok").await;
    // A reload keeps what is known.
    weir.client().send("POST", "/admin/reload", "").await;
    assert_eq!(provider(&weir, "p").await["health_check"]["last"]["result"], "ok");
}
