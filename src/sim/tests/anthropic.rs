//! Anthropic's protocol, seen through the service.

use super::*;

fn body(extra: Value) -> Value {
    let mut body = json!({ "model": "sim-small", "max_tokens": 2000,
        "messages": [{ "role": "user", "content": "Explain ownership in Rust" }] });
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    body
}

async fn send(sim: &Sim, path: &str, extra: Value) -> Response<SimBody> {
    let mut request = post(path, &body(extra));
    request.headers_mut().insert("x-api-key", "sk-ant-1".parse().unwrap());
    request.headers_mut().insert("anthropic-version", "2023-06-01".parse().unwrap());
    sim.clone().oneshot(request).await.unwrap()
}

async fn ask(sim: &Sim, extra: Value) -> (u16, Value) {
    json_of(send(sim, "/v1/messages", extra).await).await
}

async fn streamed(sim: &Sim, mut extra: Value) -> (String, bool) {
    extra["stream"] = json!(true);
    stream_text(send(sim, "/v1/messages", extra).await).await
}

/// The events with their names.
fn named(text: &str) -> Vec<(String, Value)> {
    let event = |event: &str| {
        let (name, data) = event.strip_prefix("event: ")?.split_once("\ndata: ")?;
        Some((name.to_owned(), serde_json::from_str(data).unwrap()))
    };
    text.split("\n\n").filter_map(event).collect()
}

/// What the events of a stream add up to.
fn gathered(text: &str) -> Value {
    let mut message = Value::Null;
    let mut partial = String::new();
    for (name, data) in named(text) {
        assert_eq!(data["type"], name.as_str());
        let index = data["index"].as_u64().unwrap_or_default() as usize;
        match name.as_str() {
            "message_start" => message = data["message"].clone(),
            "content_block_start" => {
                partial.clear();
                assert_eq!(message["content"].as_array().unwrap().len(), index);
                message["content"].as_array_mut().unwrap().push(data["content_block"].clone());
            }
            "content_block_delta" => {
                let (delta, block) = (&data["delta"], &mut message["content"][index]);
                let (key, from) = match delta["type"].as_str().unwrap() {
                    "text_delta" => ("text", "text"),
                    "thinking_delta" => ("thinking", "thinking"),
                    "signature_delta" => ("signature", "signature"),
                    _ => ("input", "partial_json"),
                };
                if key == "input" {
                    partial.push_str(delta[from].as_str().unwrap());
                    continue;
                }
                let whole = format!("{}{}", block[key].as_str().unwrap(), delta[from].as_str().unwrap());
                block[key] = json!(whole);
            }
            "content_block_stop" if !partial.is_empty() => {
                message["content"][index]["input"] = serde_json::from_str(&partial).unwrap();
            }
            "message_delta" => {
                for (key, value) in data["delta"].as_object().unwrap() {
                    message[key] = value.clone();
                }
                for (key, value) in data["usage"].as_object().unwrap() {
                    message["usage"][key] = value.clone();
                }
            }
            _ => {}
        }
    }
    message
}

fn tools() -> Value {
    let tool = |name: &str| {
        json!({ "name": name, "input_schema": { "type": "object", "required": ["city"],
            "properties": { "city": { "type": "string" } } } })
    };
    json!([tool("get_weather"), tool("get_time"), { "name": "get_date", "input_schema": { "type": "object" } }])
}

#[tokio::test(start_paused = true)]
async fn a_stream_says_what_the_whole_message_says() {
    let sim = sim();
    let content = |text: &str| json!([{ "role": "user", "content": text }]);
    for (extra, reason) in [
        (json!({}), "end_turn"),
        (json!({ "max_tokens": 5 }), "max_tokens"),
        (json!({ "stop_sequences": ["ownership"] }), "stop_sequence"),
        (json!({ "thinking": { "type": "enabled", "budget_tokens": 1024 } }), "end_turn"),
        (json!({ "thinking": { "type": "adaptive", "display": "omitted" } }), "end_turn"),
        (json!({ "tools": tools(), "messages": content("The weather and the time in Paris?") }), "tool_use"),
        (json!({ "tools": tools(), "tool_choice": { "type": "tool", "name": "get_date" } }), "tool_use"),
        (json!({ "model": "m?redacted-thinking" }), "end_turn"),
        (json!({ "model": "m?refusal" }), "refusal"),
        (json!({ "model": "m?empty" }), "end_turn"),
    ] {
        let (status, mut whole) = ask(&sim, extra.clone()).await;
        assert_eq!(status, 200, "{extra} {whole}");
        let (text, clean) = streamed(&sim, extra.clone()).await;
        assert!(clean && text.ends_with("}\n\n") && !text.contains("[DONE]"));
        let mut gathered = gathered(&text);
        assert_eq!(whole["stop_reason"], reason, "{extra}");
        for message in [&mut whole, &mut gathered] {
            message.as_object_mut().unwrap().remove("id");
            for block in message["content"].as_array_mut().unwrap() {
                block.as_object_mut().unwrap().remove("id");
            }
        }
        assert_eq!(whole, gathered, "{extra}");
    }
}

#[tokio::test(start_paused = true)]
async fn events_come_as_recorded() {
    let sim = sim();
    let said = json!([{ "role": "user", "content": "The weather and the time in Paris?" }]);
    let extra = json!({ "tools": tools(), "messages": said });
    let (text, _) = streamed(&sim, extra).await;
    let events = named(&text);
    let names: Vec<&str> = events.iter().map(|event| event.0.as_str()).collect();
    assert_eq!(names[..3], ["message_start", "content_block_start", "ping"]);
    assert_eq!(names[names.len() - 3..], ["content_block_stop", "message_delta", "message_stop"]);
    let first = events[0].1["message"]["usage"]["output_tokens"].as_u64().unwrap();
    assert!((1..=10).contains(&first));
    let starts = events.iter().filter(|event| event.0 == "content_block_start");
    let kinds: Vec<&Value> = starts.map(|event| &event.1["content_block"]["type"]).collect();
    assert_eq!(kinds, ["text", "tool_use", "tool_use"]);
    let tool = events.iter().position(|event| event.1["content_block"]["type"] == "tool_use").unwrap();
    assert_eq!(events[tool].1["content_block"]["input"], json!({}));
    assert_eq!(events[tool + 1].1["delta"], json!({ "type": "input_json_delta", "partial_json": "" }));
}

#[tokio::test(start_paused = true)]
async fn results_and_schemas_are_answered() {
    let sim = sim();
    let turns = json!([{ "role": "user", "content": "The weather in Paris?" },
        { "role": "assistant", "content": [{ "type": "tool_use", "id": "t1", "name": "get_weather", "input": {} }] },
        { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "t1", "content": "18 degrees" }] }]);
    let (_, answer) = ask(&sim, json!({ "tools": tools(), "messages": turns })).await;
    assert!(answer["content"][0]["text"].as_str().unwrap().contains("18 degrees"));
    let schema = json!({ "type": "object", "properties": { "city": { "type": "string" } }, "required": ["city"],
        "additionalProperties": false });
    let format = json!({ "format": { "type": "json_schema", "schema": schema } });
    let (_, answer) = ask(&sim, json!({ "output_config": format })).await;
    let said: Value = serde_json::from_str(answer["content"][0]["text"].as_str().unwrap()).unwrap();
    assert!(said["city"].is_string());
}

#[tokio::test(start_paused = true)]
async fn the_cache_counts_once_written_then_read() {
    let sim = sim();
    let system = json!([{ "type": "text", "text": "Stay calm. ".repeat(600),
        "cache_control": { "type": "ephemeral", "ttl": "1h" } }]);
    let (_, first) = ask(&sim, json!({ "system": system })).await;
    let (_, second) = ask(&sim, json!({ "system": system })).await;
    let (first, second) = (&first["usage"], &second["usage"]);
    let written = first["cache_creation_input_tokens"].as_u64().unwrap();
    assert!(written > 1024 && first["cache_read_input_tokens"] == 0);
    assert_eq!(first["cache_creation"]["ephemeral_1h_input_tokens"], written);
    assert_eq!(
        (&second["cache_read_input_tokens"], &second["cache_creation_input_tokens"]),
        (&json!(written), &json!(0))
    );
    assert_eq!(first["input_tokens"], second["input_tokens"]);
    let (_, count) = json_of(send(&sim, "/v1/messages", json!({ "system": system })).await).await;
    assert_eq!(count["usage"]["cache_read_input_tokens"], written);
}

#[tokio::test(start_paused = true)]
async fn errors_are_anthropics_own() {
    let sim = sim();
    for (fault, status, kind) in [
        ("status=529", 529, "overloaded_error"),
        ("status=429,retry-after=7", 429, "rate_limit_error"),
        ("status=500", 500, "api_error"),
        ("insufficient-quota", 400, "invalid_request_error"),
        ("context-length", 400, "invalid_request_error"),
        ("unknown-model", 404, "not_found_error"),
        ("bad-key", 401, "authentication_error"),
        ("error-after=1", 529, "overloaded_error"),
        ("bogus", 400, "invalid_request_error"),
    ] {
        let response = send(&sim, "/v1/messages", json!({ "model": format!("m?{fault}") })).await;
        assert_eq!(response.headers().get("retry-after").is_some(), fault.contains("retry-after"), "{fault}");
        let id = response.headers()["request-id"].to_str().unwrap().to_owned();
        let (got, body) = json_of(response).await;
        assert_eq!(
            (got, &body["error"]["type"], &body["type"]),
            (status, &json!(kind), &json!("error")),
            "{fault}"
        );
        assert_eq!(body["request_id"].as_str().unwrap_or(&id), id);
    }
    let request = post("/v1/messages", &body(json!({})));
    let (status, refusal) = json_of(sim.clone().oneshot(request).await.unwrap()).await;
    assert_eq!((status, &refusal["error"]["message"]), (401, &json!("x-api-key header is required")));
    let mut request = post("/v1/messages", &body(json!({})));
    request.headers_mut().insert("x-api-key", "k".parse().unwrap());
    let (status, refusal) = json_of(sim.clone().oneshot(request).await.unwrap()).await;
    assert_eq!(
        (status, &refusal["error"]["message"]),
        (400, &json!("anthropic-version: header is required"))
    );
    assert_eq!(sim.log().pop().unwrap().key, Some(key_mark("k")));
}

#[tokio::test(start_paused = true)]
async fn streams_break_as_the_fault_says() {
    let sim = sim();
    let fault = |fault: &str| json!({ "model": format!("m?{fault}") });
    let content = |text: &str| text.matches("event: content_block_delta").count();
    let (text, clean) = streamed(&sim, fault("end-after=3")).await;
    assert!(clean && content(&text) == 3 && !text.contains("message_stop"));
    let (text, clean) = streamed(&sim, fault("reset-after=2")).await;
    assert!(!clean && content(&text) == 2);
    let (text, clean) = streamed(&sim, fault("error-after=1")).await;
    let last = named(&text).pop().unwrap();
    assert!(clean && content(&text) == 1);
    assert_eq!((last.0.as_str(), &last.1["error"]["type"]), ("error", &json!("overloaded_error")));
    let (text, _) = streamed(&sim, fault("no-usage")).await;
    assert!(!text.contains("usage"));
    let (text, _) = streamed(&sim, fault("zero-usage")).await;
    assert!(text.contains("\"output_tokens\":0"));
    let (_, honest) = ask(&sim, json!({})).await;
    let (_, triple) = ask(&sim, fault("usage-times=3")).await;
    assert_eq!(triple["usage"]["output_tokens"], honest["usage"]["output_tokens"].as_u64().unwrap() * 3);
    let entry = sim.log().pop().unwrap();
    assert_eq!(entry.completion_tokens, honest["usage"]["output_tokens"].as_u64().unwrap());
}

#[tokio::test(start_paused = true)]
async fn models_and_counts_are_told() {
    let sim = sim();
    let request =
        Request::get("/v1/models").header("x-api-key", "k").header("anthropic-version", "2023-06-01");
    let response = sim.clone().oneshot(request.body(Full::<Bytes>::default()).unwrap()).await.unwrap();
    let (status, list) = json_of(response).await;
    assert_eq!((status, &list["data"][0]["type"], &list["has_more"]), (200, &json!("model"), &json!(false)));
    let mut asked = body(json!({}));
    asked.as_object_mut().unwrap().remove("max_tokens");
    let mut request = post("/v1/messages/count_tokens", &asked);
    request.headers_mut().insert("x-api-key", "k".parse().unwrap());
    request.headers_mut().insert("anthropic-version", "2023-06-01".parse().unwrap());
    let (status, count) = json_of(sim.clone().oneshot(request).await.unwrap()).await;
    let (_, answer) = ask(&sim, json!({})).await;
    assert_eq!((status, &count["input_tokens"]), (200, &answer["usage"]["input_tokens"]));
    let (status, refusal) = json_of(send(&sim, "/v1/messages/count_tokens", json!({})).await).await;
    assert_eq!(
        (status, &refusal["error"]["message"]),
        (400, &json!("max_tokens: Extra inputs are not permitted"))
    );
}
