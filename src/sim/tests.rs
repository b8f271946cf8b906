//! The provider as a whole, asked through its service and over sockets.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::{Instant, timeout},
};
use tower::ServiceExt as _;

use super::*;

fn sim() -> Sim {
    Sim::new(SimSettings::default()).unwrap()
}

fn post(path: &str, body: &Value) -> Request<Full<Bytes>> {
    Request::post(path).body(Full::from(body.to_string())).unwrap()
}

async fn ask(sim: &Sim, path: &str, body: Value) -> Response<SimBody> {
    sim.clone().oneshot(post(path, &body)).await.unwrap()
}

async fn json_of(response: Response<SimBody>) -> (u16, Value) {
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap())
}

async fn chat(sim: &Sim, extra: Value) -> (u16, Value) {
    json_of(ask(sim, "/v1/chat/completions", chat_body(extra)).await).await
}

fn chat_body(extra: Value) -> Value {
    let mut body = json!({ "model": "sim-small", "messages": [{ "role": "user", "content": "Explain ownership in Rust" }] });
    body.as_object_mut()
        .unwrap()
        .extend(extra.as_object().unwrap().clone());
    body
}

/// The text of a stream and whether it ended without an error.
async fn stream_text(response: Response<SimBody>) -> (String, bool) {
    let mut body = response.into_body();
    let mut text = String::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return (text, false) };
        text.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
    }
    (text, true)
}

fn events(text: &str) -> Vec<Value> {
    let data = text
        .split("\n\n")
        .filter_map(|event| event.strip_prefix("data: "));
    data.filter(|data| *data != "[DONE]")
        .map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

async fn stream(sim: &Sim, extra: Value) -> (String, bool) {
    let mut body = chat_body(extra);
    body["stream"] = json!(true);
    stream_text(ask(sim, "/v1/chat/completions", body).await).await
}

#[tokio::test(start_paused = true)]
async fn a_chat_is_answered_the_same_each_time() {
    let sim = sim();
    let (status, first) = chat(&sim, json!({ "n": 2 })).await;
    assert_eq!(status, 200);
    let text = first["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(text.contains("ownership") || text.contains("Rust"), "{text}");
    let usage = &first["usage"];
    let both: u64 = [0, 1]
        .iter()
        .map(|index| super::tokens::count(first["choices"][*index]["message"]["content"].as_str().unwrap()))
        .sum();
    assert_eq!(usage["completion_tokens"], both);
    assert_eq!(
        usage["total_tokens"],
        usage["prompt_tokens"].as_u64().unwrap() + both
    );
    let (_, second) = chat(&sim, json!({ "n": 2 })).await;
    assert_eq!(first["choices"], second["choices"]);
    assert_ne!(first["id"], second["id"]);
    let response = ask(&sim, "/chat/completions", chat_body(json!({}))).await;
    assert!(
        response.headers()["x-request-id"]
            .to_str()
            .unwrap()
            .starts_with("req_")
    );
    let (_, short) = chat(&sim, json!({ "max_tokens": 4 })).await;
    assert_eq!(
        (
            &short["choices"][0]["finish_reason"],
            &short["usage"]["completion_tokens"]
        ),
        (&json!("length"), &json!(4))
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_says_what_the_whole_answer_says() {
    let sim = sim();
    let (_, whole) = chat(&sim, json!({})).await;
    let options = json!({ "stream_options": { "include_usage": true }, "logprobs": true, "top_logprobs": 2 });
    let (text, clean) = stream(&sim, options).await;
    assert!(clean && text.ends_with("data: [DONE]\n\n"));
    let events = events(&text);
    assert_eq!(
        events[0]["choices"][0]["delta"],
        json!({ "role": "assistant", "content": "", "refusal": null })
    );
    let said: String = events
        .iter()
        .filter_map(|event| event["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert_eq!(said, whole["choices"][0]["message"]["content"]);
    let (last, rest) = events.split_last().unwrap();
    assert_eq!(last["choices"], json!([]));
    assert_eq!(last["usage"], whole["usage"]);
    assert!(
        rest.iter()
            .all(|event| event["usage"].is_null() && event.get("usage").is_some())
    );
    assert!(events.iter().all(|event| event["id"] == events[0]["id"]));
    assert_eq!(rest.last().unwrap()["choices"][0]["finish_reason"], "stop");
    assert_eq!(
        rest[1]["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let (plain, _) = stream(&sim, json!({})).await;
    assert!(!plain.contains("usage"));
}

#[tokio::test(start_paused = true)]
async fn tools_are_called_and_their_results_quoted() {
    let sim = sim();
    let tools = json!([{ "type": "function", "function": { "name": "get_weather", "parameters": {
        "type": "object", "required": ["city", "unit"], "additionalProperties": false,
        "properties": { "city": { "type": "string" }, "unit": { "enum": ["c", "f"] } } } } }]);
    let (_, whole) = chat(&sim, json!({ "tools": tools })).await;
    let choice = &whole["choices"][0];
    assert_eq!(
        (&choice["finish_reason"], &choice["message"]["content"]),
        (&json!("tool_calls"), &Value::Null)
    );
    let call = &choice["message"]["tool_calls"][0];
    let arguments: Value = serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap();
    assert!(
        jsonschema::is_valid(&tools[0]["function"]["parameters"], &arguments),
        "{arguments}"
    );
    let (text, _) = stream(&sim, json!({ "tools": tools })).await;
    let deltas: Vec<Value> = events(&text)[1..]
        .iter()
        .map(|e| e["choices"][0]["delta"]["tool_calls"][0].clone())
        .collect();
    assert_eq!(
        deltas[0]["function"],
        json!({ "name": "get_weather", "arguments": "" })
    );
    let streamed: String = deltas
        .iter()
        .filter_map(|delta| delta["function"]["arguments"].as_str())
        .collect();
    assert_eq!(streamed, call["function"]["arguments"]);
    let messages = json!([{ "role": "user", "content": "Weather?" }, choice["message"],
        { "role": "tool", "tool_call_id": call["id"], "content": "18 degrees and rain" }]);
    let (status, answer) = chat(&sim, json!({ "tools": tools, "messages": messages })).await;
    assert_eq!(status, 200, "{answer}");
    assert!(
        answer["choices"][0]["message"]["content"]
            .as_str()
            .unwrap()
            .contains("18 degrees and rain")
    );
}

#[tokio::test(start_paused = true)]
async fn json_modes_give_json() {
    let sim = sim();
    let schema = json!({ "type": "object", "required": ["steps"], "additionalProperties": false, "properties": {
        "steps": { "type": "array", "minItems": 2, "items": { "type": "string" } } } });
    let format =
        json!({ "type": "json_schema", "json_schema": { "name": "plan", "strict": true, "schema": schema } });
    let (_, answer) = chat(&sim, json!({ "response_format": format })).await;
    let value: Value =
        serde_json::from_str(answer["choices"][0]["message"]["content"].as_str().unwrap()).unwrap();
    assert!(jsonschema::is_valid(&schema, &value), "{value}");
    let messages = json!([{ "role": "user", "content": "Cities as JSON" }]);
    let (_, answer) = chat(
        &sim,
        json!({ "response_format": { "type": "json_object" }, "messages": messages }),
    )
    .await;
    let content = answer["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(serde_json::from_str::<Value>(content).unwrap().is_object());
}

#[tokio::test(start_paused = true)]
async fn completions_embeddings_and_models_are_served() {
    let sim = sim();
    let (_, done) = json_of(
        ask(
            &sim,
            "/v1/completions",
            json!({ "model": "m", "prompt": ["Once upon", "a time"], "logprobs": 1 }),
        )
        .await,
    )
    .await;
    assert_eq!(done["choices"].as_array().unwrap().len(), 2);
    assert_eq!(done["choices"][0]["finish_reason"], "length");
    assert_eq!(done["usage"]["completion_tokens"], 32);
    let body = json!({ "model": "m", "prompt": "Once", "stream": true, "stream_options": { "include_usage": true } });
    let (text, _) = stream_text(ask(&sim, "/v1/completions", body).await).await;
    assert!(
        text.ends_with("[DONE]\n\n") && events(&text).last().unwrap()["usage"]["completion_tokens"] == 16
    );
    let body = json!({ "model": "sim-embedding", "input": ["a", "b"], "dimensions": 8, "encoding_format": "base64" });
    let (_, vectors) = json_of(ask(&sim, "/v1/embeddings", body).await).await;
    assert_eq!(vectors["data"][1]["embedding"].as_str().unwrap().len(), 44);
    let get = |path: &str| {
        sim.clone()
            .oneshot(Request::get(path).body(Full::<Bytes>::default()).unwrap())
    };
    let (_, models) = json_of(get("/v1/models").await.unwrap()).await;
    assert_eq!(models["data"].as_array().unwrap().len(), 3);
    assert_eq!(
        json_of(get("/models/sim-large").await.unwrap()).await.1["id"],
        "sim-large"
    );
    for (path, status) in [
        ("/v1/models/none", 404),
        ("/v1/chat/completions", 405),
        ("/v2/models", 404),
        ("/sim/log", 404),
    ] {
        assert_eq!(get(path).await.unwrap().status(), status, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_openai_refuses_is_refused() {
    let sim = sim();
    let (status, body) = json_of(ask(&sim, "/v1/chat/completions", json!({ "messages": [] })).await).await;
    assert_eq!((status, &body["error"]["param"]), (400, &json!("model")));
    let (status, body) = chat(
        &sim,
        json!({ "messages": [{ "role": "tool", "tool_call_id": "x", "content": "" }] }),
    )
    .await;
    assert_eq!(
        (status, &body["error"]["param"]),
        (400, &json!("messages.[0].role"))
    );
    let bad = Request::post("/v1/chat/completions")
        .body(Full::<Bytes>::from("{"))
        .unwrap();
    let (status, body) = json_of(sim.clone().oneshot(bad).await.unwrap()).await;
    assert_eq!(
        (status, &body["error"]["type"]),
        (400, &json!("invalid_request_error"))
    );
    let (status, body) = chat(&sim, json!({ "model": "m?bogus=1" })).await;
    assert_eq!((status, &body["error"]["param"]), (400, &json!("model")));
}

#[tokio::test(start_paused = true)]
async fn only_the_accepted_keys_are_let_in() {
    let sim = Sim::new(SimSettings {
        api_keys: vec![crate::base::secret::Secret::new("sk-good-0000")],
        ..SimSettings::default()
    })
    .unwrap();
    for (key, status) in [
        (None, 401),
        (Some("sk-evil-canary"), 401),
        (Some("sk-good-0000"), 200),
    ] {
        let mut request = post("/v1/chat/completions", &chat_body(json!({})));
        if let Some(key) = key {
            request
                .headers_mut()
                .insert("authorization", format!("Bearer {key}").parse().unwrap());
        }
        let (got, body) = json_of(sim.clone().oneshot(request).await.unwrap()).await;
        assert_eq!(got, status, "{body}");
    }
    let log = serde_json::to_string(&sim.log()).unwrap();
    assert!(!log.contains("canary") && !log.contains("sk-good"));
    assert_eq!(sim.log()[2].key, Some(key_mark("sk-good-0000")));
}

#[tokio::test(start_paused = true)]
async fn tokens_come_at_their_pace() {
    let settings = SimSettings {
        first_token: Duration::from_secs(2),
        tokens_per_second: 10.0,
        ..SimSettings::default()
    };
    let sim = Sim::new(settings).unwrap();
    let start = Instant::now();
    let mut body = ask(
        &sim,
        "/v1/chat/completions",
        chat_body(json!({ "model": "m?tokens=50", "stream": true })),
    )
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
        (
            "status=429,retry-after=7,retry-after-ms=6500",
            429,
            json!("rate_limit_exceeded"),
        ),
        ("insufficient-quota", 429, json!("insufficient_quota")),
        ("unknown-model", 404, json!("model_not_found")),
        ("context-length", 400, json!("context_length_exceeded")),
        ("bad-key", 401, json!("invalid_api_key")),
        ("error-after=1", 500, json!(null)),
    ] {
        let response = ask(
            &sim,
            "/v1/chat/completions",
            chat_body(json!({ "model": format!("m?{fault}") })),
        )
        .await;
        assert_eq!(
            response.headers().get("retry-after").is_some(),
            fault.contains("retry-after"),
            "{fault}"
        );
        let (got, body) = json_of(response).await;
        assert_eq!((got, &body["error"]["code"]), (status, &code), "{fault}");
        let entry = sim.log().pop().unwrap();
        assert_eq!(
            (entry.finished, entry.fault.as_deref()),
            (Finished::Fault, Some(fault))
        );
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
    timeout(Duration::from_secs(3600), body.frame())
        .await
        .unwrap_err();
    let reset = sim
        .clone()
        .oneshot(post("/v1/chat/completions", &chat_body(fault("reset"))))
        .await;
    assert_eq!(reset.unwrap_err(), SimBroken);
}

#[tokio::test(start_paused = true)]
async fn whole_answers_break_as_the_fault_says() {
    let sim = sim();
    for fault in ["garbage", "truncated", "end-after=1"] {
        let body = chat_body(json!({ "model": format!("m?{fault}") }));
        let bytes = ask(&sim, "/v1/chat/completions", body)
            .await
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes();
        assert!(serde_json::from_slice::<Value>(&bytes).is_err(), "{fault}");
    }
    let body = chat_body(json!({ "model": "m?reset-after=1" }));
    ask(&sim, "/v1/chat/completions", body)
        .await
        .into_body()
        .collect()
        .await
        .unwrap_err();
    let usage =
        async |fault: &str| chat(&sim, json!({ "model": format!("m?{fault}") })).await.1["usage"].clone();
    let honest = usage("rate=0").await;
    assert_eq!(usage("no-usage").await, Value::Null);
    assert_eq!(usage("zero-usage").await["total_tokens"], 0);
    assert_eq!(
        usage("usage-times=3").await["total_tokens"],
        honest["total_tokens"].as_u64().unwrap() * 3
    );
    assert_eq!(usage("empty").await["completion_tokens"], 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_is_in_the_log() {
    let sim = sim();
    let ask = post("/v1/chat/completions", &chat_body(json!({ "model": "m?hang" })));
    timeout(Duration::from_millis(700), sim.clone().oneshot(ask))
        .await
        .unwrap_err();
    let entry = sim.log().pop().unwrap();
    assert_eq!(
        (entry.finished, entry.client_left_ms, entry.status),
        (Finished::ClientLeft, Some(700), None)
    );

    let body = chat_body(json!({ "model": "m?first_token=1s&tps=10&tokens=100", "stream": true }));
    let mut body = self::ask(&sim, "/v1/chat/completions", body).await.into_body();
    for _ in 0..5 {
        body.frame().await.unwrap().unwrap();
    }
    assert_eq!(
        (sim.stats().open_streams, sim.log().pop().unwrap().finished),
        (1, Finished::Open)
    );
    drop(body);
    let entry = sim.log().pop().unwrap();
    assert_eq!(
        (entry.finished, entry.client_left_ms),
        (Finished::ClientLeft, Some(1300))
    );
    assert_eq!(
        (entry.chunks, entry.completion_tokens, entry.stream),
        (4, 4, true)
    );
    let stats = sim.stats();
    assert_eq!(
        (
            stats.requests,
            stats.open_requests,
            stats.open_streams,
            stats.peak_open_streams
        ),
        (2, 0, 0, 1)
    );
}

#[tokio::test]
async fn bodies_past_the_limit_are_refused() {
    let sim = Sim::new(SimSettings {
        max_body: 100,
        ..SimSettings::default()
    })
    .unwrap();
    let (status, _) = chat(&sim, json!({ "padding": "x".repeat(200) })).await;
    assert_eq!(status, 413);
}

async fn served() -> (
    std::net::SocketAddr,
    Sim,
    tokio::sync::oneshot::Sender<()>,
    tokio::task::JoinHandle<()>,
) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let sim = sim();
    let task = tokio::spawn(serve(listener, sim.clone(), stopped));
    (address, sim, stop, task)
}

async fn over_http2(
    address: std::net::SocketAddr,
    requests: Vec<Request<Full<Bytes>>>,
) -> Vec<Response<Incoming>> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut send, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let mut responses = Vec::new();
    for request in requests {
        responses.push(send.send_request(request).await.unwrap());
    }
    responses
}

/// Sends text over a socket and reads until the end or an error.
async fn over_socket(address: std::net::SocketAddr, request: &str) -> (String, std::io::Result<()>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    let end = timeout(Duration::from_secs(20), stream.read_to_end(&mut bytes))
        .await
        .unwrap();
    (String::from_utf8(bytes).unwrap(), end.map(drop))
}

fn raw(method: &str, path: &str, body: &Value) -> String {
    let body = body.to_string();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: sim\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn both_versions_of_http_are_served_and_controlled() {
    let (address, sim, stop, task) = served().await;
    let (text, end) = over_socket(
        address,
        &raw(
            "POST",
            "/v1/chat/completions",
            &chat_body(json!({ "stream": true })),
        ),
    )
    .await;
    assert!(end.is_ok() && text.starts_with("HTTP/1.1 200") && text.contains("[DONE]"));
    let to = |path: &str| format!("http://{address}{path}");
    let order = post(
        &to("/sim/control"),
        &json!({ "fault": "status=503", "model": "sim-small" }),
    );
    let asks = vec![
        order,
        post(&to("/v1/chat/completions"), &chat_body(json!({}))),
        post(&to("/sim/control"), &json!({ "fault": "x" })),
    ];
    let statuses: Vec<u16> = over_http2(address, asks)
        .await
        .iter()
        .map(|response| response.status().as_u16())
        .collect();
    assert_eq!(statuses, [200, 503, 400]);
    let (text, _) = over_socket(address, &raw("DELETE", "/sim/control", &json!({}))).await;
    assert!(text.contains(r#"{"orders":[{}]}"#));
    let (text, _) = over_socket(address, &raw("GET", "/sim/log", &json!({}))).await;
    assert!(text.contains(r#""fault":"status=503""#) && text.contains("Explain ownership"));
    let (text, _) = over_socket(address, &raw("GET", "/sim/stats", &json!({}))).await;
    assert!(text.contains(r#""requests":2"#), "{text}");
    let (_, end) = over_socket(address, &raw("DELETE", "/sim/log", &json!({}))).await;
    end.unwrap();
    assert!(sim.log().is_empty());
    stop.send(()).unwrap();
    timeout(Duration::from_secs(20), task).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_break_resets_the_connection_after_what_came_before() {
    let (address, _, _stop, _task) = served().await;
    let (text, end) = over_socket(
        address,
        &raw(
            "POST",
            "/v1/chat/completions",
            &chat_body(json!({ "model": "m?reset" })),
        ),
    )
    .await;
    assert_eq!(
        (text.as_str(), end.unwrap_err().kind()),
        ("", std::io::ErrorKind::ConnectionReset)
    );
    let body = chat_body(json!({ "model": "m?reset-after=2", "stream": true }));
    let (text, end) = over_socket(address, &raw("POST", "/v1/chat/completions", &body)).await;
    assert_eq!(text.matches("\"delta\":{\"content\"").count(), 2);
    assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    let ask = post(&format!("http://{address}/v1/chat/completions"), &body);
    let response = over_http2(address, vec![ask]).await.pop().unwrap();
    assert!(response.into_body().collect().await.is_err());
}

#[tokio::test]
async fn a_client_that_leaves_a_socket_is_noticed() {
    let (address, sim, _stop, _task) = served().await;
    for body in [
        json!({ "model": "m?hang" }),
        json!({ "model": "m?hang-after=1", "stream": true }),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(raw("POST", "/v1/chat/completions", &chat_body(body)).as_bytes())
            .await
            .unwrap();
        wait_for(|| sim.stats().open_requests == 1).await;
        drop(stream);
        wait_for(|| sim.stats().open_requests == 0).await;
        assert_eq!(sim.log().pop().unwrap().finished, Finished::ClientLeft);
    }
    wait_for(|| sim.stats().connections == 0).await;
}

async fn wait_for(condition: impl Fn() -> bool) {
    for _ in 0..2000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it did not come to be");
}
