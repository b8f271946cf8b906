//! The limits a minute of a key, its tags, what a client may wish for: the headers that tell, the refusals.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::{client::Answer, client::Client, sim::SimProcess, weir::Weir};

const CHAT: &str = "/v1/chat/completions";

async fn start(sim: &SimProcess) -> Weir {
    Weir::start(&format!(
        r#"
        [auth]
        client_tags = ["user", "app", "team"]
        [[keys]]
        name = "requests"
        secret = "sk-requests"
        rpm = 30
        [[keys]]
        name = "tokens"
        secret = "sk-tokens"
        tpm = 6000
        [[keys]]
        name = "tagged"
        secret = "sk-tagged"
        tags = {{ team = "support" }}
        [providers.p]
        base_url = "{}"
        [models.fast]
        provider = "p"
        upstream_model = "x?tokens=200"
        price = {{ input = 1, output = 1 }}
        [models.slow]
        provider = "p"
        upstream_model = "x?tokens=2&first_token=3s"
        "#,
        sim.base_url()
    ))
    .await
}

fn asking(model: &str, max_tokens: u64) -> Value {
    json!({ "model": model, "max_tokens": max_tokens, "messages": [{ "role": "user", "content": "hi" }] })
}

async fn ask(client: &Client, model: &str, max_tokens: u64) -> Answer {
    client.post_json(CHAT, &asking(model, max_tokens)).await
}

fn number(answer: &Answer, header: &str) -> u64 {
    answer.header(header).parse().unwrap_or_else(|_| panic!("{header}: {:?}", answer.headers))
}

/// Seconds of `17ms`, `8.64s`, `1m3.2s`.
fn go_seconds(text: &str) -> f64 {
    if let Some(ms) = text.strip_suffix("ms") {
        return ms.parse::<f64>().unwrap() / 1000.0;
    }
    let (minutes, seconds) =
        text.strip_suffix('s').unwrap().split_once('m').unwrap_or(("0", &text[..text.len() - 1]));
    minutes.parse::<f64>().unwrap() * 60.0 + seconds.parse::<f64>().unwrap()
}

#[tokio::test]
async fn requests_a_minute_are_told_and_the_wait_is_honest() {
    let sim = SimProcess::start(&[]).await;
    let weir = start(&sim).await;
    let client = weir.client().key("sk-requests");
    let first = ask(&client, "fast", 5).await;
    assert_eq!((first.status.as_u16(), number(&first, "x-ratelimit-remaining-requests")), (200, 29));
    let reset = go_seconds(first.header("x-ratelimit-reset-requests"));
    assert!((1.0..=2.0).contains(&reset), "{reset}");
    assert_eq!(first.header("x-ratelimit-limit-tokens"), "", "there is no such limit");
    let mut refused = None;
    for _ in 0..60 {
        let answer = ask(&client, "fast", 5).await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("thirty requests are all there are");
    refused.refused(429, "rate_limit_error", "rate_limit_exceeded", true);
    assert_eq!(number(&refused, "x-ratelimit-limit-requests"), 30);
    assert_eq!(number(&refused, "x-ratelimit-remaining-requests"), 0);
    assert!(go_seconds(refused.header("x-ratelimit-reset-requests")) > 50.0);
    let wait = refused.retry_after();
    assert!(wait <= 2, "a request is gained every two seconds");
    tokio::time::sleep(Duration::from_secs(wait)).await;
    assert_eq!(ask(&client, "fast", 5).await.status, 200, "after the wait there is room");
    assert_eq!(ask(&client, "fast", 5).await.status, 429, "for one");
}

#[tokio::test]
async fn tokens_a_minute_are_reserved_and_the_wait_is_honest() {
    let sim = SimProcess::start(&[]).await;
    let weir = start(&sim).await;
    let client = weir.client().key("sk-tokens");
    let slow = tokio::spawn({
        let client = client.clone();
        async move { ask(&client, "slow", 5900).await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let refused = ask(&client, "fast", 250).await;
    refused.refused(429, "rate_limit_error", "rate_limit_exceeded", true);
    assert_eq!(number(&refused, "x-ratelimit-limit-tokens"), 6000);
    assert!(number(&refused, "x-ratelimit-remaining-tokens") < 250);
    assert!(go_seconds(refused.header("x-ratelimit-reset-tokens")) > 50.0);
    assert_eq!(refused.header("x-ratelimit-limit-requests"), "", "there is no such limit");
    let wait = refused.retry_after();
    assert!((1..=2).contains(&wait), "{wait}");
    let asked = Instant::now();
    let soon = ask(&client, "fast", 250).await;
    // On a busy machine asking again may take as long as the wait.
    if asked.elapsed() < Duration::from_millis(300) {
        assert_eq!(soon.status, 429, "before the wait is over there is no room");
    }
    assert_eq!(ask(&client, "fast", 1).await.status, 200, "less than what is left fits");
    tokio::time::sleep(Duration::from_secs(wait)).await;
    assert_eq!(ask(&client, "fast", 250).await.status, 200, "after it there is");
    assert_eq!(slow.await.unwrap().status, 200);
    // What the slow answer did not take is back.
    let after = ask(&client, "fast", 1000).await;
    assert_eq!(after.status, 200);
    assert!(number(&after, "x-ratelimit-remaining-tokens") > 4000, "{:?}", after.headers);
}

#[tokio::test]
async fn one_request_larger_than_the_limit_passes_a_full_bucket() {
    let sim = SimProcess::start(&[]).await;
    let weir = start(&sim).await;
    let client = weir.client().key("sk-tokens");
    assert_eq!(ask(&client, "fast", 1_000_000).await.status, 200);
}

#[tokio::test]
async fn a_clients_bad_wishes_are_named() {
    let sim = SimProcess::start(&[]).await;
    let weir = start(&sim).await;
    for (name, value, right) in [
        ("x-weir-tags", "user=42, app=web", None),
        ("x-weir-max-cost-usd", "0.05", None),
        ("x-weir-stream-summary", "false", None),
        ("idempotency-key", "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d", None),
        ("x-weir-tags", "user", Some("name=value")),
        ("x-weir-tags", "cost=1", Some("`cost`")),
        ("x-weir-tags", "team=sales", Some("`team`")),
        ("x-weir-max-cost-usd", "free", Some("USD")),
        ("x-weir-stream-summary", "maybe", Some("`true`")),
        ("idempotency-key", "a b", Some("255")),
    ] {
        let client = weir.client().key("sk-tagged").header(name, value);
        let answer = ask(&client, "fast", 5).await;
        match right {
            None => assert_eq!(answer.status, 200, "{name}: {value}: {}", answer.text()),
            Some(right) => {
                let error = answer.refused(400, "invalid_request_error", "invalid_header", false);
                assert_eq!(error["param"], name);
                assert!(error["message"].as_str().unwrap().contains(right), "{error}");
            }
        }
    }
    // The tag is the other key's; this key may leave it to its clients.
    let free = weir.client().key("sk-requests").header("x-weir-tags", "team=sales");
    assert_eq!(ask(&free, "fast", 5).await.status, 200);
}

#[tokio::test]
async fn tokens_that_were_taken_stay_taken() {
    let sim = SimProcess::start(&[]).await;
    let weir = start(&sim).await;
    let client = weir.client().key("sk-tokens");
    let unbounded = json!({ "model": "fast", "messages": [{ "role": "user", "content": "hi" }] });
    for stream in [false, true] {
        for _ in 0..4 {
            let mut body = unbounded.clone();
            body["stream"] = stream.into();
            assert_eq!(client.post_json(CHAT, &body).await.status, 200);
        }
    }
    let last = client.post_json(CHAT, &unbounded).await;
    let left = number(&last, "x-ratelimit-remaining-tokens");
    assert!(left < 5000, "{left} are left after 1,600 tokens of answers");
}
