//! Which headers pass through the gateway: none, in either direction.

use serde_json::{Value, json};

use super::support::{raw::RawUpstream, script::Script, weir::Weir, wire};

const CHAT: &str = "/v1/chat/completions";
const ANSWER: &str = r#"{"choices":[{"message":{"role":"assistant","content":"x"}}]}"#;

/// What a client may send and nobody behind the gateway should see.
const CLIENTS: [(&str, &str); 32] = [
    ("authorization", "Bearer sk-client-canary"),
    ("cookie", "session=canary"),
    ("x-api-key", "canary"),
    ("api-key", "canary"),
    ("x-goog-api-key", "canary"),
    ("proxy-authorization", "Basic canary"),
    ("x-forwarded-for", "192.0.2.1, canary"),
    ("x-forwarded-host", "canary"),
    ("x-forwarded-proto", "canary"),
    ("x-real-ip", "canary"),
    ("forwarded", "for=canary"),
    ("via", "1.1 canary"),
    ("x-weir-tags", "a=canary"),
    ("x-weir-timeout-ms", "60000"),
    ("x-weir-attempt-timeout-ms", "60000"),
    ("x-weir-models", "r"),
    ("x-weir-fallback", "off"),
    ("x-weir-unknown", "canary"),
    ("x-request-id", "canary-request-1"),
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("tracestate", "canary=1"),
    ("baggage", "canary=1"),
    ("idempotency-key", "canary"),
    ("te", "trailers"),
    ("trailer", "x-canary"),
    ("keep-alive", "timeout=5, canary"),
    ("openai-organization", "canary"),
    ("openai-beta", "canary"),
    ("user-agent", "canary/1"),
    ("accept-language", "canary"),
    ("x-custom", "canary"),
    ("if-none-match", "\"canary\""),
];

/// What an upstream gets: what Weir makes itself, the provider's own headers.
const OURS: [&str; 8] = [
    "accept",
    "accept-encoding",
    "authorization",
    "content-length",
    "content-type",
    "host",
    "user-agent",
    "x-team",
];

fn config(upstream: &RawUpstream) -> String {
    format!(
        r#"
        [auth]
        client_tags = ["a"]
        [[keys]]
        name = "k"
        secret = "sk-client-canary"
        [providers.p]
        base_url = "{}"
        api_keys = ["sk-provider"]
        headers = {{ x-team = "weir-team" }}
        [models.m]
        provider = "p"
        [routes.r]
        targets = ["m"]
        "#,
        upstream.base_url()
    )
}

fn asking(stream: bool) -> Value {
    json!({ "model": "r", "stream": stream, "messages": [{ "role": "user", "content": "hi" }] })
}

#[tokio::test]
async fn no_header_of_a_client_reaches_an_upstream() {
    let stream =
        Script::stream(&["data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n", "data: [DONE]\n\n"]);
    let upstream = RawUpstream::start(vec![Script::json(200, ANSWER), stream]).await;
    let weir = Weir::start(&config(&upstream)).await;
    let mut client = weir.client();
    for (name, value) in CLIENTS {
        client = client.header(name, value);
    }
    for stream in [false, true] {
        let answer = client.post_json(CHAT, &asking(stream)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    for request in upstream.requests() {
        let mut names: Vec<String> = request
            .head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .map(|(name, _)| name.to_lowercase())
            .collect();
        names.sort();
        assert_eq!(names, OURS, "{}", request.head);
        assert!(!request.head.contains("canary"), "{}", request.head);
        assert_eq!(request.header("authorization"), Some("Bearer sk-provider"));
        assert_eq!(request.header("accept-encoding"), Some("identity"));
        assert!(request.header("user-agent").unwrap().starts_with("weir/"));
    }
    assert_eq!(upstream.requests().len(), 2);
}

/// What an upstream may say and no client should hear.
const UPSTREAMS: [(&str, &str); 16] = [
    ("set-cookie", "session=canary; Path=/"),
    ("set-cookie", "second=canary"),
    ("server", "canary"),
    ("x-powered-by", "canary"),
    ("via", "canary"),
    ("x-request-id", "canary"),
    ("x-weir-model", "canary"),
    ("x-weir-cost-usd", "canary"),
    ("x-ratelimit-limit-requests", "canary"),
    ("x-should-retry", "canary"),
    ("openai-organization", "canary"),
    ("access-control-allow-origin", "canary"),
    ("location", "http://canary/"),
    ("www-authenticate", "Bearer canary"),
    ("strict-transport-security", "canary"),
    ("alt-svc", "canary"),
];

#[tokio::test]
async fn no_header_of_an_upstream_reaches_a_client() {
    let with = |status: u16, body: &str| {
        let mut headers = UPSTREAMS.to_vec();
        headers.push((
            "content-type",
            if body.starts_with("data") { "text/event-stream" } else { "application/json" },
        ));
        Script::send(wire::answer(status, &headers, body.as_bytes()))
    };
    let event = "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\ndata: [DONE]\n\n";
    let refusal = r#"{"error":{"message":"no, sorry","type":"t","param":null,"code":"c"}}"#;
    let upstream =
        RawUpstream::start(vec![with(200, ANSWER), with(400, refusal), with(500, refusal), with(200, event)])
            .await;
    let weir = Weir::start(&config(&upstream)).await;
    let client = weir.client().key("sk-client-canary");
    for (stream, status) in [(false, 200), (false, 400), (false, 503), (true, 200)] {
        let answer = client.post_json(CHAT, &asking(stream)).await;
        assert_eq!(answer.status, status, "{}", answer.text());
        for (name, value) in &answer.headers {
            assert!(!value.to_str().unwrap().contains("canary"), "{name}: {value:?}");
            let ours = name.as_str().starts_with("x-weir-")
                || [
                    "content-type",
                    "content-length",
                    "transfer-encoding",
                    "date",
                    "cache-control",
                    "retry-after",
                    "x-accel-buffering",
                    "x-request-id",
                    "x-should-retry",
                ]
                .contains(&name.as_str());
            assert!(ours, "{name}: {value:?}");
        }
    }
}

#[tokio::test]
async fn a_request_id_is_taken_over_only_where_it_is_harmless() {
    let upstream = RawUpstream::start(vec![Script::json(200, ANSWER)]).await;
    let weir = Weir::start(&config(&upstream)).await;
    let id = async |value: &str| {
        let answer = weir.client().header("x-request-id", value).get("/healthz").await;
        answer.header("x-request-id").to_owned()
    };
    assert_eq!(id("trace-1.a_B").await, "trace-1.a_B");
    for bad in ["a b", "a\"b", "<script>", "a\tb", &"x".repeat(4000)] {
        let given = id(bad).await;
        assert!(given != bad && !given.is_empty(), "{bad}");
    }
}
