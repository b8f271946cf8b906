//! Answers, asked for through the service.

use super::*;

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
        .map(|index| tokens::count(first["choices"][*index]["message"]["content"].as_str().unwrap()))
        .sum();
    assert_eq!(usage["completion_tokens"], both);
    assert_eq!(usage["total_tokens"], usage["prompt_tokens"].as_u64().unwrap() + both);
    let (_, second) = chat(&sim, json!({ "n": 2 })).await;
    assert_eq!(first["choices"], second["choices"]);
    assert_ne!(first["id"], second["id"]);
    let response = ask(&sim, "/chat/completions", chat_body(json!({}))).await;
    assert!(response.headers()["x-request-id"].to_str().unwrap().starts_with("req_"));
    let (_, short) = chat(&sim, json!({ "max_tokens": 4 })).await;
    assert_eq!(
        (&short["choices"][0]["finish_reason"], &short["usage"]["completion_tokens"]),
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
    let said: String =
        events.iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(said, whole["choices"][0]["message"]["content"]);
    let (last, rest) = events.split_last().unwrap();
    assert_eq!(last["choices"], json!([]));
    assert_eq!(last["usage"], whole["usage"]);
    assert!(rest.iter().all(|event| event["usage"].is_null() && event.get("usage").is_some()));
    assert!(events.iter().all(|event| event["id"] == events[0]["id"]));
    assert_eq!(rest.last().unwrap()["choices"][0]["finish_reason"], "stop");
    assert_eq!(rest[1]["choices"][0]["logprobs"]["content"][0]["top_logprobs"].as_array().unwrap().len(), 2);
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
    assert!(jsonschema::is_valid(&tools[0]["function"]["parameters"], &arguments), "{arguments}");
    let (text, _) = stream(&sim, json!({ "tools": tools })).await;
    let deltas: Vec<Value> =
        events(&text)[1..].iter().map(|e| e["choices"][0]["delta"]["tool_calls"][0].clone()).collect();
    assert_eq!(deltas[0]["function"], json!({ "name": "get_weather", "arguments": "" }));
    let streamed: String =
        deltas.iter().filter_map(|delta| delta["function"]["arguments"].as_str()).collect();
    assert_eq!(streamed, call["function"]["arguments"]);
    let messages = json!([{ "role": "user", "content": "Weather?" }, choice["message"],
        { "role": "tool", "tool_call_id": call["id"], "content": "18 degrees and rain" }]);
    let (status, answer) = chat(&sim, json!({ "tools": tools, "messages": messages })).await;
    assert_eq!(status, 200, "{answer}");
    assert!(answer["choices"][0]["message"]["content"].as_str().unwrap().contains("18 degrees and rain"));
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
    let (_, answer) =
        chat(&sim, json!({ "response_format": { "type": "json_object" }, "messages": messages })).await;
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
    let get = |path: &str| sim.clone().oneshot(Request::get(path).body(Full::<Bytes>::default()).unwrap());
    let (_, models) = json_of(get("/v1/models").await.unwrap()).await;
    assert_eq!(models["data"].as_array().unwrap().len(), 3);
    assert_eq!(json_of(get("/models/sim-large").await.unwrap()).await.1["id"], "sim-large");
    for (path, status) in
        [("/v1/models/none", 404), ("/v1/chat/completions", 405), ("/v2/models", 404), ("/sim/log", 404)]
    {
        assert_eq!(get(path).await.unwrap().status(), status, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_openai_refuses_is_refused() {
    let sim = sim();
    let (status, body) = json_of(ask(&sim, "/v1/chat/completions", json!({ "messages": [] })).await).await;
    assert_eq!((status, &body["error"]["param"]), (400, &json!("model")));
    let (status, body) =
        chat(&sim, json!({ "messages": [{ "role": "tool", "tool_call_id": "x", "content": "" }] })).await;
    assert_eq!((status, &body["error"]["param"]), (400, &json!("messages.[0].role")));
    let bad = Request::post("/v1/chat/completions").body(Full::<Bytes>::from("{")).unwrap();
    let (status, body) = json_of(sim.clone().oneshot(bad).await.unwrap()).await;
    assert_eq!((status, &body["error"]["type"]), (400, &json!("invalid_request_error")));
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
    for (key, status) in [(None, 401), (Some("sk-evil-canary"), 401), (Some("sk-good-0000"), 200)] {
        let mut request = post("/v1/chat/completions", &chat_body(json!({})));
        if let Some(key) = key {
            request.headers_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
        }
        let (got, body) = json_of(sim.clone().oneshot(request).await.unwrap()).await;
        assert_eq!(got, status, "{body}");
    }
    let log = serde_json::to_string(&sim.log()).unwrap();
    assert!(!log.contains("canary") && !log.contains("sk-good"));
    assert_eq!(sim.log()[2].key, Some(key_mark("sk-good-0000")));
}

#[tokio::test]
async fn bodies_past_the_limit_are_refused() {
    let sim = Sim::new(SimSettings { max_body: 100, ..SimSettings::default() }).unwrap();
    let (status, _) = chat(&sim, json!({ "padding": "x".repeat(200) })).await;
    assert_eq!(status, 413);
}
