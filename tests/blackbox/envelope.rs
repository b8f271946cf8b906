//! The table of errors in the contract, section 4: one test a row.

use std::time::Duration;

use serde_json::{Value, json};

use super::support::{
    client::{Answer, Client},
    raw::RawUpstream,
    script::Script,
    weir::Weir,
};

const CHAT: &str = "/v1/chat/completions";
const INVALID: &str = "invalid_request_error";

const CONFIG: &str = r#"
[auth]
mode = "keys"
[[keys]]
name = "tester"
secret = "sk-tester"
[[keys]]
name = "narrow"
secret = "sk-narrow"
routes = ["good"]
models = []
[providers.sim]
protocol = "sim"
[providers.dead]
base_url = "http://127.0.0.1:1/v1"
[models.fine]
provider = "sim"
upstream_model = "sim-small?tokens=3"
[models.limited-1]
provider = "sim"
upstream_model = "sim-small?status=429,retry-after=7"
[models.limited-2]
provider = "sim"
upstream_model = "sim-small?status=429,retry-after=9"
[models.broken]
provider = "sim"
upstream_model = "sim-small?status=500"
[models.nonsense-1]
provider = "sim"
upstream_model = "sim-small?garbage"
[models.refusing-1]
provider = "sim"
upstream_model = "sim-small?bad-key"
[models.hanging-1]
provider = "sim"
upstream_model = "sim-small?hang"
[models.unreachable]
provider = "dead"
[routes.good]
targets = ["fine"]
[routes.limited]
targets = ["limited-1", "limited-2"]
[routes.mixed]
targets = ["unreachable", "limited-1", "broken"]
[routes.nonsense]
targets = ["broken", "nonsense-1"]
[routes.refusing]
targets = ["refusing-1"]
[routes.hanging]
targets = ["hanging-1"]
"#;

async fn start() -> (Weir, Client) {
    let weir = Weir::start(CONFIG).await;
    let client = weir.client().key("sk-tester");
    (weir, client)
}

fn asking(model: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": "hi" }] })
}

async fn ask(client: &Client, model: &str) -> Answer {
    client.post_json(CHAT, &asking(model)).await
}

/// The outcomes that `attempts` lists, in order.
fn outcomes(error: &Value) -> Vec<&str> {
    let attempts = error["attempts"].as_array().unwrap();
    for attempt in attempts {
        assert!(attempt["model"].is_string() && attempt["provider"].is_string(), "{attempt}");
        assert!(attempt["ms"].is_u64(), "{attempt}");
    }
    attempts.iter().map(|attempt| attempt["outcome"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn bad_json_a_wrong_type_a_missing_field() {
    let (_weir, client) = start().await;
    let user = r#"[{"role":"user","content":"x"}]"#;
    let chat = |rest: &str| format!(r#"{{"model":"good","messages":{user}{rest}}}"#);
    for (path, body, param) in [
        (CHAT, String::new(), None),
        (CHAT, "{".into(), None),
        (CHAT, "[]".into(), None),
        (CHAT, "null".into(), None),
        (CHAT, "{} {}".into(), None),
        (CHAT, format!("\u{feff}{}", chat("")), None),
        (CHAT, chat(r#","model":"good""#), None),
        (CHAT, format!(r#"{{"messages":{user}}}"#), Some("model")),
        (CHAT, format!(r#"{{"model":7,"messages":{user}}}"#), Some("model")),
        (CHAT, format!(r#"{{"model":"","messages":{user}}}"#), Some("model")),
        (CHAT, r#"{"model":"good"}"#.into(), Some("messages")),
        (CHAT, r#"{"model":"good","messages":"hi"}"#.into(), Some("messages")),
        (CHAT, r#"{"model":"good","messages":[]}"#.into(), Some("messages")),
        (CHAT, r#"{"model":"good","messages":[1]}"#.into(), Some("messages[0]")),
        (CHAT, r#"{"model":"good","messages":[{"content":"x"}]}"#.into(), Some("messages[0].role")),
        (CHAT, chat(r#","stream":"yes""#), Some("stream")),
        (CHAT, chat(r#","temperature":"hot""#), Some("temperature")),
        (CHAT, chat(r#","max_tokens":-5"#), Some("max_tokens")),
        (CHAT, chat(r#","max_tokens":1.5"#), Some("max_tokens")),
        (CHAT, chat(r#","n":0"#), Some("n")),
        (CHAT, chat(r#","n":129"#), Some("n")),
        (CHAT, chat(r#","tools":{}"#), Some("tools")),
        (CHAT, chat(r#","stream_options":3"#), Some("stream_options")),
        (CHAT, chat(r#","models":["good",5]"#), Some("models")),
        ("/v1/completions", r#"{"model":"good"}"#.into(), Some("prompt")),
        ("/v1/embeddings", r#"{"model":"good","input":{}}"#.into(), Some("input")),
    ] {
        let error = client.post(path, body.clone()).await.refused(400, INVALID, "invalid_request", false);
        assert_eq!(error["param"].as_str(), param, "{body}");
        if let Some(param) = param {
            assert!(error["message"].as_str().unwrap().contains(param), "{error}");
        }
    }
}

#[tokio::test]
async fn a_header_out_of_range() {
    let (_weir, client) = start().await;
    let long_list = ["good"; 17].join(",");
    for (name, value) in [
        ("x-weir-models", "good,,fine"),
        ("x-weir-models", long_list.as_str()),
        ("x-weir-route", ""),
        ("x-weir-timeout-ms", "0"),
        ("x-weir-timeout-ms", "86400001"),
        ("x-weir-timeout-ms", "1e3"),
        ("x-weir-attempt-timeout-ms", "-1"),
        ("x-weir-fallback", "maybe"),
        ("x-weir-cache", "no-cash"),
        ("x-weir-cache", "ttl=-1"),
        ("content-encoding", "gzip"),
    ] {
        let answer = ask(&client.clone().header(name, value), "good").await;
        let error = answer.refused(400, INVALID, "invalid_header", false);
        assert_eq!(error["param"], name, "{name}: {value}");
    }
    let twice = client.clone().header("x-weir-route", "good").header("x-weir-route", "good");
    assert_eq!(
        ask(&twice, "good").await.refused(400, INVALID, "invalid_header", false)["param"],
        "x-weir-route"
    );
}

#[tokio::test]
async fn no_key_or_an_unknown_one() {
    let (weir, _) = start().await;
    let none = weir.client();
    for client in [
        none.clone(),
        none.clone().key("sk-other"),
        none.clone().key(""),
        none.clone().header("authorization", "sk-tester"),
        none.clone().header("authorization", "Basic sk-tester"),
        none.clone().header("x-api-key", "sk-tester"),
        none.clone().key("sk-tester").key("sk-tester"),
    ] {
        ask(&client, "good").await.refused(401, INVALID, "invalid_api_key", false);
        client.get("/v1/models").await.refused(401, INVALID, "invalid_api_key", false);
    }
}

#[tokio::test]
async fn a_route_or_model_that_the_key_may_not_use() {
    let (weir, _) = start().await;
    let narrow = weir.client().key("sk-narrow");
    assert_eq!(ask(&narrow, "good").await.status, 200);
    for model in ["limited", "fine", "sim/sim-small"] {
        let error = ask(&narrow, model).await.refused(403, "permission_error", "route_not_allowed", false);
        assert_eq!(error["param"], "model");
    }
    for (name, value) in [("x-weir-route", "limited"), ("x-weir-models", "good,fine")] {
        let answer = ask(&narrow.clone().header(name, value), "good").await;
        answer.refused(403, "permission_error", "route_not_allowed", false);
    }
}

#[tokio::test]
async fn an_unknown_model_or_route() {
    let (_weir, client) = start().await;
    for model in ["nobody", "Good", "good ", "nowhere/gpt", "sim/", "/fine"] {
        let error = ask(&client, model).await.refused(404, INVALID, "model_not_found", false);
        assert_eq!(error["param"], "model", "{model}");
    }
    for (name, value) in [("x-weir-route", "nobody"), ("x-weir-models", "good,nobody")] {
        let answer = ask(&client.clone().header(name, value), "good").await;
        answer.refused(404, INVALID, "model_not_found", false);
    }
    client.get("/v1/models/nobody").await.refused(404, INVALID, "model_not_found", false);
    client.get("/v2/chat").await.refused(404, INVALID, "not_found", false);
    client.get(CHAT).await.refused(405, INVALID, "method_not_allowed", false);
}

#[tokio::test]
async fn a_body_over_its_limit() {
    let weir = Weir::start(&format!("{CONFIG}\n[server]\nmax_body = \"4KiB\"")).await;
    let client = weir.client().key("sk-tester");
    let mut body = asking("good");
    body["x"] = "y".repeat(2000).into();
    assert_eq!(client.post_json(CHAT, &body).await.status, 200);
    body["x"] = "y".repeat(4096).into();
    let error = client.post_json(CHAT, &body).await.refused(413, INVALID, "request_too_large", false);
    assert!(error["message"].as_str().unwrap().contains("server.max_body"));
}

#[tokio::test]
async fn only_if_cached_without_a_cached_answer() {
    let (_weir, client) = start().await;
    let answer = ask(&client.header("x-weir-cache", "only-if-cached"), "good").await;
    answer.refused(504, INVALID, "cache_miss", false);
}

#[tokio::test]
async fn every_target_rate_limited() {
    let (_weir, client) = start().await;
    let answer = ask(&client, "limited").await;
    let error = answer.refused(429, "rate_limit_error", "upstream_rate_limited", false);
    assert_eq!(outcomes(&error), ["rate_limited", "rate_limited"]);
    assert!((7..=9).contains(&answer.retry_after()));
}

#[tokio::test]
async fn nonsense_from_the_last_target() {
    let (_weir, client) = start().await;
    let error =
        ask(&client, "nonsense").await.refused(502, "upstream_error", "upstream_invalid_response", false);
    assert_eq!(outcomes(&error), ["server_error", "invalid_answer"]);
}

#[tokio::test]
async fn every_credential_refused() {
    let (_weir, client) = start().await;
    let answer = ask(&client, "refusing").await;
    let error = answer.refused(502, "upstream_error", "upstream_credentials_rejected", false);
    assert_eq!(outcomes(&error), ["credential_rejected"]);
}

#[tokio::test]
async fn every_target_down_or_limited() {
    for stream in [false, true] {
        // One of its own each: what is limited is not tried again.
        let (_weir, client) = start().await;
        let mut body = asking("mixed");
        body["stream"] = stream.into();
        let answer = client.post_json(CHAT, &body).await;
        let error = answer.refused(503, "upstream_error", "upstream_unavailable", false);
        assert_eq!(outcomes(&error), ["connect_error", "rate_limited", "server_error"]);
        assert!(answer.retry_after() >= 1);
        assert_eq!(answer.header("x-weir-attempts"), "3");
    }
}

#[tokio::test]
async fn the_deadline_is_over() {
    let (_weir, client) = start().await;
    let answer = ask(&client.header("x-weir-timeout-ms", "150"), "hanging").await;
    let error = answer.refused(504, "upstream_error", "upstream_timeout", false);
    assert_eq!(outcomes(&error), ["timeout"]);
}

#[tokio::test]
async fn a_refusal_that_the_request_caused_is_passed_on() {
    for (status, code) in [(400, "bad_thing"), (413, "too_much"), (422, "cannot_process")] {
        let body = format!(
            r#"{{"error":{{"message":"The field x is bad.","type":"their_type","param":"x","code":"{code}"}}}}"#
        );
        let upstream = RawUpstream::start(vec![Script::json(status, &body)]).await;
        let config = format!(
            "[providers.p]\nbase_url = \"{}\"\n[models.a]\nprovider = \"p\"\n[models.b]\nprovider = \"p\"\n[routes.r]\ntargets = [\"a\", \"b\"]",
            upstream.base_url()
        );
        let weir = Weir::start(&config).await;
        let error = ask(&weir.client(), "r").await.refused(status, "their_type", code, false);
        assert_eq!(
            (error["param"].as_str(), error["message"].as_str()),
            (Some("x"), Some("The field x is bad."))
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(upstream.requests().len(), 1, "it is not retried");
    }
}
