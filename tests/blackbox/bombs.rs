//! What is too much, from a client or an upstream: refused early, within bounds.

use std::time::{Duration, Instant};

use serde_json::json;

use super::support::{client::exchange, line::Line, raw::RawUpstream, script::Script, weir::Weir, wire};

const CHAT: &str = "/v1/chat/completions";
const INVALID: &str = "invalid_request_error";

const CONFIG: &str = r#"
[server]
max_body = "1MiB"
max_header_bytes = "16KiB"
header_timeout = "300ms"
body_timeout = "300ms"
[providers.sim]
protocol = "sim"
[models.m]
provider = "sim"
upstream_model = "sim-small?tokens=3"
"#;

/// More than any of these should take, far less than a hang.
const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_body_that_is_deep_or_long_is_refused() {
    let weir = Weir::start(CONFIG).await;
    let client = weir.client();
    let user = r#"[{"role":"user","content":"x"}]"#;
    let deep =
        |n: usize| format!(r#"{{"model":"m","messages":{user},"x":{}1{}}}"#, "[".repeat(n), "]".repeat(n));
    assert_eq!(client.post(CHAT, deep(120)).await.status, 200);
    for body in [deep(128), deep(100_000), "[".repeat(500_000), r#"{"a":"#.repeat(100_000)] {
        client.post(CHAT, body).await.refused(400, INVALID, "invalid_request", false);
    }
    let many = |n: usize| {
        let message = json!({ "role": "user", "content": "x" });
        json!({ "model": "m", "messages": vec![message; n] })
    };
    assert_eq!(client.post_json(CHAT, &many(10_000)).await.status, 200);
    let error = client.post_json(CHAT, &many(10_001)).await.refused(400, INVALID, "invalid_request", false);
    assert_eq!(error["param"], "messages");
    let mut wide = json!({ "model": "m", "messages": [{ "role": "user", "content": "x" }] });
    for n in 0..10_000 {
        wide[format!("x{n}")] = n.into();
    }
    client.post_json(CHAT, &wide).await.refused(400, INVALID, "invalid_request", false);
    let mut list = many(1);
    list["models"] = vec!["m"; 17].into();
    client.post_json(CHAT, &list).await.refused(400, INVALID, "invalid_request", false);
}

#[tokio::test]
async fn a_body_past_its_limit_is_refused_before_it_is_all_there() {
    let weir = Weir::start(CONFIG).await;
    // A length that will never come.
    let mut line = Line::to(weir.address()).await;
    line.write(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99999999999\r\n\r\n",
    )
    .await;
    line.answer().await.unwrap().refused(413, INVALID, "request_too_large", false);
    // Chunks without end.
    let mut line = Line::to(weir.address()).await;
    line.write(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n",
    )
    .await;
    let chunk = wire::chunk(vec![b' '; 64 * 1024]);
    for _ in 0..17 {
        line.write(&chunk).await;
    }
    line.answer().await.unwrap().refused(413, INVALID, "request_too_large", false);
    // Compressed, it could be anything.
    for coding in ["gzip", "deflate", "br", "zstd", "gzip, gzip"] {
        let client = weir.client().header("content-encoding", coding);
        let answer = client.post(CHAT, vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0]).await;
        assert_eq!(answer.refused(400, INVALID, "invalid_header", false)["param"], "content-encoding");
    }
}

#[tokio::test]
async fn a_head_past_its_limit_is_refused() {
    let weir = Weir::start(CONFIG).await;
    let long = "x".repeat(20 * 1024);
    let many: String = (0..2000).map(|n| format!("x-{n}: y\r\n")).collect();
    for request in [
        format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-long: {long}\r\n\r\n"),
        format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\n{many}\r\n"),
        format!("GET /{long} HTTP/1.1\r\nhost: localhost\r\n\r\n"),
    ] {
        let answer = exchange(weir.address(), request.as_bytes(), SOON).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let refused =
            ["HTTP/1.1 431 ", "HTTP/1.1 414 ", "HTTP/1.1 400 "].iter().any(|head| answer.starts_with(head));
        assert!(refused, "{answer:?}");
    }
    let fits = "x".repeat(10 * 1024);
    assert_eq!(weir.client().header("x-long", &fits).get("/healthz").await.status, 200);
}

#[tokio::test]
async fn a_client_that_dribbles_is_cut() {
    let weir = Weir::start(CONFIG).await;
    // A head, a byte now and then.
    let mut line = Line::to(weir.address()).await;
    let begun = Instant::now();
    let mut bytes = b"GET /healthz HTTP/1.1\r\nx: ".iter().chain(std::iter::repeat(&b'y'));
    let mut open = true;
    while open && begun.elapsed() < SOON {
        open = line.write(&[*bytes.next().unwrap()]).await && !line.closes(Duration::from_millis(50)).await;
    }
    assert!(!open, "a slow head is taken for ever");
    // A body.
    let mut line = Line::to(weir.address()).await;
    line.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n{")
        .await;
    line.answer().await.unwrap().refused(408, INVALID, "request_timeout", true);
    // Nothing at all.
    let mut line = Line::to(weir.address()).await;
    assert!(line.closes(SOON).await, "a silent connection stays open");
    assert_eq!(weir.client().get("/healthz").await.status, 200);
}

#[tokio::test]
async fn figures_of_an_upstream_that_cannot_be_do_no_harm() {
    let whole = |usage: &str| {
        format!(r#"{{"choices":[{{"message":{{"role":"assistant","content":"x"}}}}],"usage":{usage}}}"#)
    };
    let usages = [
        r#"{"prompt_tokens":18446744073709551615,"completion_tokens":18446744073709551615,"total_tokens":1}"#,
        r#"{"prompt_tokens":18446744073709551616,"completion_tokens":1}"#,
        r#"{"prompt_tokens":-1,"completion_tokens":-9223372036854775808}"#,
        r#"{"prompt_tokens":1e308,"completion_tokens":0.5}"#,
        r#"{"prompt_tokens":"9","completion_tokens":[]}"#,
        r#"[]"#,
        r#"{"prompt_tokens":3,"completion_tokens":2,"cost":1000000,"price":{"input":-5}}"#,
    ];
    let mut scripts: Vec<Script> = usages.iter().map(|usage| Script::json(200, &whole(usage))).collect();
    for usage in usages {
        let last = format!("data: {{\"choices\":[],\"usage\":{usage}}}\n\n");
        let first = "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n".to_owned();
        scripts.push(Script::stream(&[first, last, "data: [DONE]\n\n".to_owned()]));
    }
    let upstream = RawUpstream::start(scripts).await;
    let weir = Weir::start(&format!(
        "[providers.p]\nbase_url = \"{}\"\n[models.m]\nprovider = \"p\"\n",
        upstream.base_url()
    ))
    .await;
    let mut body = json!({ "model": "m", "messages": [{ "role": "user", "content": "x" }] });
    for usage in usages {
        let answer = weir.client().post_json(CHAT, &body).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, whole(usage)));
    }
    body["stream"] = true.into();
    for usage in usages {
        let mut stream = weir.client().stream(CHAT, &body).await;
        let events = stream.rest().await;
        assert!(events.last().is_some_and(|event| event.is_done()), "{usage}: {events:?}");
    }
    let page = weir.client().get("/metrics").await.text();
    let line = |kind: &str| {
        let name = format!("weir_tokens_total{{kind=\"{kind}\",model=\"m\"}} ");
        page.lines().find_map(|line| line.strip_prefix(&name)).unwrap().to_owned()
    };
    assert_eq!((line("input").as_str(), line("output").as_str()), ("6", "4"), "only what can be is counted");
    assert!(!weir.logs().contains("panicked"), "{}", weir.logs());
}

#[tokio::test]
async fn an_answer_past_its_limit_is_cut() {
    let head = wire::head(200, &[("content-type", "application/json"), ("transfer-encoding", "chunked")]);
    let mut bytes = head;
    for _ in 0..40 {
        bytes.extend(wire::chunk(vec![b' '; 64 * 1024]));
    }
    bytes.extend(wire::last_chunk());
    let headers: Vec<(String, String)> = (0..5000).map(|n| (format!("x-{n}"), "y".repeat(100))).collect();
    let headers: Vec<(&str, &str)> =
        headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let upstream =
        RawUpstream::start(vec![Script::send(bytes), Script::send(wire::answer(200, &headers, b"{}"))]).await;
    let weir = Weir::start(&format!(
        "[providers.p]\nbase_url = \"{}\"\nmax_answer = \"1MiB\"\n[models.m]\nprovider = \"p\"\n",
        upstream.base_url()
    ))
    .await;
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": "x" }] });
    for _ in 0..2 {
        let answer = weir.client().post_json(CHAT, &body).await;
        assert!(answer.status.is_server_error(), "{}", answer.text());
        answer.envelope();
    }
}
