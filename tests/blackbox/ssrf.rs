//! Upstreams come from the configuration only.

use std::time::Duration;

use serde_json::{Value, json};

use super::support::{raw::RawUpstream, script::Script, weir::Weir, wire};

const CHAT: &str = "/v1/chat/completions";
const ANSWER: &str = r#"{"choices":[{"message":{"role":"assistant","content":"x"}}]}"#;

fn config(upstream: &RawUpstream) -> String {
    format!(
        "[auth]\nmode = \"open\"\nallow_open_network = true\n[providers.p]\nbase_url = \"{}\"\napi_keys = [\"their-key-1\"]\n[models.m]\nprovider = \"p\"\n[routes.r]\ntargets = [\"m\"]\n",
        upstream.base_url()
    )
}

/// Names under which gateways have taken an upstream's address from a request.
const NAMES: [&str; 12] = [
    "api_base",
    "base_url",
    "baseUrl",
    "apiBase",
    "url",
    "endpoint",
    "host",
    "proxy",
    "custom_host",
    "webhook",
    "callback_url",
    "litellm_params",
];

fn asking(more: Value) -> Value {
    let mut body = json!({ "model": "r", "messages": [{ "role": "user", "content": "hi" }] });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

#[tokio::test]
async fn no_request_can_name_an_upstream() {
    let canary = RawUpstream::start(vec![Script::json(200, ANSWER)]).await;
    let upstream = RawUpstream::start(vec![Script::json(200, ANSWER)]).await;
    let weir = Weir::start(&config(&upstream)).await;
    let client = weir.client();
    let address = canary.address();
    let targets =
        [canary.base_url(), format!("http://{address}"), address.to_owned(), format!("//{address}/v1")];
    let mut asked = 0;
    for target in &targets {
        for name in NAMES {
            let mut value = json!(target);
            for _ in 0..5 {
                let answer = client.post_json(CHAT, &asking(json!({ name: value }))).await;
                assert_eq!(answer.status, 200, "{}", answer.text());
                asked += 1;
                value = json!({ name: value });
            }
        }
        for body in [
            json!({ "metadata": { "api_base": target } }),
            json!({ "extra_body": { "base_url": target } }),
            json!({ "tools": [{ "type": "mcp", "server_url": target }] }),
            json!({ "messages": [{ "role": "user", "content": [{ "type": "image_url", "image_url": { "url": target } }] }] }),
        ] {
            assert_eq!(client.post_json(CHAT, &asking(body)).await.status, 200);
            asked += 1;
        }
        for model in
            [target.clone(), format!("p/{target}"), format!("openai/{target}"), format!("{target}/m")]
        {
            let answer = client.post_json(CHAT, &asking(json!({ "model": model }))).await;
            asked += usize::from(answer.status == 200);
        }
        for name in [
            "x-base-url",
            "x-api-base",
            "x-upstream",
            "x-forwarded-host",
            "x-portkey-custom-host",
            "x-weir-base-url",
            "x-weir-provider",
            "api-base",
            "referer",
            "origin",
            "via",
            "proxy",
            "host",
        ] {
            let value = target.trim_start_matches("http:").trim_start_matches('/').replace("/v1", "");
            let answer = client.clone().header(name, &value).post_json(CHAT, &asking(json!({}))).await;
            assert_eq!(answer.status, 200, "{name}: {}", answer.text());
            asked += 1;
        }
        for query in ["api_base", "base_url", "url", "host"] {
            let answer = client.post_json(&format!("{CHAT}?{query}={target}"), &asking(json!({}))).await;
            assert_eq!(answer.status, 200);
            asked += 1;
        }
    }
    assert_eq!(upstream.requests().len(), asked);
    let host = upstream.address().to_owned();
    for request in upstream.requests() {
        assert_eq!(request.line(), "POST /v1/chat/completions HTTP/1.1");
        assert_eq!(request.header("host"), Some(host.as_str()));
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(canary.connections().len(), 0);
}

#[tokio::test]
async fn the_clients_own_target_in_absolute_form_is_not_followed() {
    let canary = RawUpstream::start(vec![Script::json(200, ANSWER)]).await;
    let upstream = RawUpstream::start(vec![Script::json(200, ANSWER)]).await;
    let weir = Weir::start(&config(&upstream)).await;
    let body = asking(json!({})).to_string();
    for line in [
        format!("POST http://{}/v1/chat/completions HTTP/1.1", canary.address()),
        format!("CONNECT {} HTTP/1.1", canary.address()),
        format!("GET http://{}/v1/models HTTP/1.1", canary.address()),
    ] {
        let mut connection = super::support::line::Line::to(weir.address()).await;
        let request =
            format!("{line}\r\nhost: {}\r\ncontent-length: {}\r\n\r\n{body}", canary.address(), body.len());
        connection.write(request.as_bytes()).await;
        connection.answer().await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(canary.connections().len(), 0);
}

#[tokio::test]
async fn a_redirect_of_an_upstream_is_not_followed() {
    let canary = RawUpstream::start(vec![Script::json(200, ANSWER)]).await;
    let location = format!("{}/chat/completions", canary.base_url());
    for status in [301, 302, 303, 307, 308] {
        let headers = [("location", location.as_str()), ("refresh", location.as_str())];
        let upstream = RawUpstream::start(vec![Script::send(wire::answer(status, &headers, b""))]).await;
        let weir = Weir::start(&config(&upstream)).await;
        let answer = weir.client().post_json(CHAT, &asking(json!({}))).await;
        answer.refused(502, "upstream_error", "upstream_invalid_response", false);
        assert_eq!(upstream.requests().len(), 1);
        assert_eq!(answer.header("location"), "");
    }
    assert_eq!(canary.connections().len(), 0);
}
