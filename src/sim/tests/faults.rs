//! Faults, seen through the service.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::*;

#[tokio::test(start_paused = true)]
async fn tokens_come_at_their_pace() {
    let settings = SimSettings {
        first_token: Duration::from_secs(2),
        tokens_per_second: 10.0,
        ..SimSettings::default()
    };
    let sim = Sim::new(settings).unwrap();
    let start = Instant::now();
    let mut body =
        ask(&sim, "/v1/chat/completions", chat_body(json!({ "model": "m?tokens=50", "stream": true })))
            .await
            .into_body();
    body.frame().await.unwrap().unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
    body.frame().await.unwrap().unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(2));
    while body.frame().await.is_some() {}
    assert_eq!(start.elapsed(), Duration::from_secs(7));
    let start = Instant::now();
    let (_, whole) = chat(&sim, json!({ "model": "m?first_token=1s&tps=50&tokens=50" })).await;
    assert_eq!(whole["usage"]["completion_tokens"], 50);
    assert_eq!(start.elapsed(), Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn errors_are_as_the_fault_says() {
    let sim = sim();
    for (fault, status, code) in [
        ("status=500", 500, json!(null)),
        ("status=429,retry-after=7,retry-after-ms=6500", 429, json!("rate_limit_exceeded")),
        ("insufficient-quota", 429, json!("insufficient_quota")),
        ("unknown-model", 404, json!("model_not_found")),
        ("context-length", 400, json!("context_length_exceeded")),
        ("bad-key", 401, json!("invalid_api_key")),
        ("error-after=1", 500, json!(null)),
    ] {
        let response =
            ask(&sim, "/v1/chat/completions", chat_body(json!({ "model": format!("m?{fault}") }))).await;
        assert_eq!(response.headers().get("retry-after").is_some(), fault.contains("retry-after"), "{fault}");
        let (got, body) = json_of(response).await;
        assert_eq!((got, &body["error"]["code"]), (status, &code), "{fault}");
        let entry = sim.log().pop().unwrap();
        assert_eq!((entry.finished, entry.fault.as_deref()), (Finished::Fault, Some(fault)));
    }
}

#[tokio::test(start_paused = true)]
async fn streams_break_as_the_fault_says() {
    let sim = sim();
    let fault = |fault: &str| json!({ "model": format!("m?{fault}") });
    let content = |text: &str| text.matches("\"delta\":{\"content\"").count();
    let (text, clean) = stream(&sim, fault("end-after=3")).await;
    assert!(clean && content(&text) == 3 && !text.contains("[DONE]") && text.ends_with("\n\n"));
    let (text, clean) = stream(&sim, fault("reset-after=2")).await;
    assert!(!clean && content(&text) == 2);
    assert_eq!(sim.log().pop().unwrap().chunks, 2);
    let (text, clean) = stream(&sim, fault("error-after=1")).await;
    assert!(clean && content(&text) == 1 && text.contains("server_error") && !text.contains("[DONE]"));
    let (text, clean) = stream(&sim, fault("end-after=9999")).await;
    assert!(clean && !text.contains("finish_reason\":\"stop") && !text.contains("[DONE]"));
    let (text, _) = stream(&sim, fault("garbage")).await;
    assert!(text.starts_with("<html>"));
    let (text, _) = stream(&sim, fault("truncated")).await;
    assert!(!text.ends_with("\n\n"));
    let (text, _) = stream(&sim, fault("refusal")).await;
    assert!(text.contains("{\"refusal\":") && content(&text) == 0);
    let start = Instant::now();
    let (text, _) = stream(&sim, fault("drip=2")).await;
    assert!(text.ends_with("[DONE]\n\n") && start.elapsed() > Duration::from_secs(1));
    let mut body = chat_body(fault("hang-after=2"));
    body["stream"] = json!(true);
    let mut body = ask(&sim, "/v1/chat/completions", body).await.into_body();
    for _ in 0..3 {
        body.frame().await.unwrap().unwrap();
    }
    timeout(Duration::from_secs(3600), body.frame()).await.unwrap_err();
    let reset = sim.clone().oneshot(post("/v1/chat/completions", &chat_body(fault("reset")))).await;
    assert_eq!(reset.unwrap_err(), SimBroken);
}

#[tokio::test(start_paused = true)]
async fn whole_answers_break_as_the_fault_says() {
    let sim = sim();
    for fault in ["garbage", "truncated", "end-after=1"] {
        let body = chat_body(json!({ "model": format!("m?{fault}") }));
        let bytes =
            ask(&sim, "/v1/chat/completions", body).await.into_body().collect().await.unwrap().to_bytes();
        assert!(serde_json::from_slice::<Value>(&bytes).is_err(), "{fault}");
    }
    let body = chat_body(json!({ "model": "m?reset-after=1" }));
    ask(&sim, "/v1/chat/completions", body).await.into_body().collect().await.unwrap_err();
    let usage =
        async |fault: &str| chat(&sim, json!({ "model": format!("m?{fault}") })).await.1["usage"].clone();
    let honest = usage("rate=0").await;
    assert_eq!(usage("no-usage").await, Value::Null);
    assert_eq!(usage("zero-usage").await["total_tokens"], 0);
    assert_eq!(usage("usage-times=3").await["total_tokens"], honest["total_tokens"].as_u64().unwrap() * 3);
    assert_eq!(usage("empty").await["completion_tokens"], 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_is_in_the_log() {
    let sim = sim();
    let ask = post("/v1/chat/completions", &chat_body(json!({ "model": "m?hang" })));
    timeout(Duration::from_millis(700), sim.clone().oneshot(ask)).await.unwrap_err();
    let entry = sim.log().pop().unwrap();
    assert_eq!((entry.finished, entry.client_left_ms, entry.status), (Finished::ClientLeft, Some(700), None));

    let body = chat_body(json!({ "model": "m?first_token=1s&tps=10&tokens=100", "stream": true }));
    let mut body = super::ask(&sim, "/v1/chat/completions", body).await.into_body();
    for _ in 0..5 {
        body.frame().await.unwrap().unwrap();
    }
    assert_eq!((sim.stats().open_streams, sim.log().pop().unwrap().finished), (1, Finished::Open));
    drop(body);
    let entry = sim.log().pop().unwrap();
    assert_eq!((entry.finished, entry.client_left_ms), (Finished::ClientLeft, Some(1300)));
    assert_eq!((entry.chunks, entry.completion_tokens, entry.stream), (4, 4, true));
    let stats = sim.stats();
    assert_eq!(
        (stats.requests, stats.open_requests, stats.open_streams, stats.peak_open_streams),
        (2, 0, 0, 1)
    );
}
