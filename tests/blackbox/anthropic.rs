//! Claude models behind the gateway, for clients that know OpenAI's API only.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::support::{
    raw::RawUpstream,
    script::{Script, Step},
    sim::SimProcess,
    sse::Event,
    transcript::CHAT,
    weir::Weir,
    wire,
};

/// One model of each generation: a budget to think with a forced tool for schemas, a budget with schemas, an effort.
const MODELS: [&str; 3] = ["claude-sonnet-4-20250514", "claude-sonnet-4-5", "claude-opus-4-8"];

/// A picture of one pixel.
const PIXEL: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

fn config(base_url: &str) -> String {
    let model = |name: &&str| format!("[models.\"{name}\"]\nprovider = \"claude\"\n");
    format!(
        "[providers.claude]\nprotocol = \"anthropic\"\nbase_url = \"{base_url}\"\napi_keys = [\"sk-ant-canary\"]\n{}",
        MODELS.iter().map(model).collect::<String>()
    )
}

async fn gateway(script: Script) -> (Weir, RawUpstream) {
    let upstream = RawUpstream::start(vec![script]).await;
    let weir = Weir::start(&config(&upstream.base_url())).await;
    (weir, upstream)
}

fn user(text: &str) -> Value {
    json!({ "role": "user", "content": text })
}

fn tools() -> Value {
    let parameters =
        json!({ "type": "object", "properties": { "city": { "type": "string" } }, "required": ["city"] });
    let function =
        |name: &str| json!({ "type": "function", "function": { "name": name, "parameters": parameters } });
    json!([function("weather"), function("time")])
}

fn call(id: &str, name: &str) -> Value {
    json!({ "id": id, "type": "function", "function": { "name": name, "arguments": "{\"city\": \"Brno\"}" } })
}

fn schema() -> Value {
    let schema = json!({ "type": "object", "properties": { "city": { "type": "string" } }, "required": ["city"],
        "additionalProperties": false });
    json!({ "type": "json_schema", "json_schema": { "name": "place", "schema": schema, "strict": true } })
}

/// Looks at a choice.
type Check = fn(&Value);

/// Conversations of every kind, with what their answers show.
fn conversations() -> Vec<(&'static str, Value, Check)> {
    let says =
        |choice: &Value| assert!(!choice["message"]["content"].as_str().unwrap().is_empty(), "{choice}");
    let picture = json!([{ "type": "text", "text": "What is this?" },
        { "type": "image_url", "image_url": { "url": PIXEL } }]);
    let answered = json!([user("The weather and the time in Brno?"),
        { "role": "assistant", "content": null, "tool_calls": [call("call:1", "weather"), call("b", "time")] },
        { "role": "tool", "tool_call_id": "b", "content": "12:00" },
        { "role": "tool", "tool_call_id": "call:1", "content": "rain" },
        user("So?")]);
    vec![
        ("plain", json!({ "messages": [user("Hello!")], "max_tokens": 300 }), says),
        (
            "system",
            json!({ "messages": [{ "role": "system", "content": "Be brief." }, user("Hi"),
                { "role": "developer", "content": "In Czech." }], "user": "u" }),
            says,
        ),
        (
            "turns",
            json!({ "messages": [user("Hi"), user("there"), { "role": "assistant", "content": "Hello." }, user("So?")] }),
            says,
        ),
        (
            "tools",
            json!({ "messages": [user("The weather in Brno?")], "tools": tools(), "tool_choice": "required" }),
            |choice| {
                assert_eq!(choice["finish_reason"], "tool_calls");
                let arguments = choice["message"]["tool_calls"][0]["function"]["arguments"].as_str().unwrap();
                let arguments: Value = serde_json::from_str(arguments).unwrap();
                assert!(arguments["city"].is_string(), "{choice}");
            },
        ),
        ("results", json!({ "messages": answered, "tools": tools() }), |choice| {
            assert!(choice["finish_reason"].is_string(), "{choice}");
        }),
        ("results without tools", json!({ "messages": answered }), says),
        ("vision", json!({ "messages": [{ "role": "user", "content": picture }] }), says),
        ("schema", json!({ "messages": [user("Where?")], "response_format": schema() }), |choice| {
            let content: Value =
                serde_json::from_str(choice["message"]["content"].as_str().unwrap()).unwrap();
            assert!(content["city"].is_string(), "{choice}");
            assert_eq!(choice["finish_reason"], "stop");
        }),
        ("reasoning", json!({ "messages": [user("Think.")], "reasoning_effort": "high" }), |choice| {
            assert!(!choice["message"]["reasoning_content"].as_str().unwrap().is_empty(), "{choice}");
            assert!(choice["message"]["thinking_blocks"][0]["signature"].is_string(), "{choice}");
        }),
        (
            "cut",
            json!({ "messages": [user("Count to a thousand.")], "max_completion_tokens": 3 }),
            |choice| {
                assert_eq!(choice["finish_reason"], "length");
            },
        ),
    ]
}

fn ask(model: &str, fields: &Value) -> Value {
    let mut body = fields.clone();
    body["model"] = model.into();
    body
}

/// Puts a stream's deltas together as OpenAI's SDK does: texts are joined, lists are merged by `index`.
fn merge(whole: &mut Value, delta: &Value) {
    match (&mut *whole, delta) {
        (Value::Object(whole), Value::Object(delta)) => {
            for (name, value) in delta {
                match whole.get_mut(name) {
                    Some(known) if name != "index" && name != "type" => merge(known, value),
                    _ => drop(whole.insert(name.clone(), value.clone())),
                }
            }
        }
        (Value::Array(whole), Value::Array(delta)) => {
            for entry in delta {
                let index = entry["index"].as_u64().expect("every entry of a list has an index") as usize;
                match whole.get_mut(index) {
                    Some(known) => merge(known, entry),
                    None => whole.push(entry.clone()),
                }
            }
        }
        (Value::String(whole), Value::String(delta)) => whole.push_str(delta),
        (whole, delta) => *whole = delta.clone(),
    }
}

#[tokio::test]
async fn every_conversation_is_served_whole_and_as_a_stream() {
    let sim = SimProcess::start(&[]).await;
    let weir = Weir::start(&config(&sim.base_url())).await;
    let client = weir.client();
    for model in MODELS {
        for (name, fields, check) in conversations() {
            let answer = client.post_json(CHAT, &ask(model, &fields)).await;
            assert_eq!(answer.status.as_u16(), 200, "{model} {name}: {}", answer.text());
            check(&answer.json()["choices"][0]);
            assert!(answer.json()["usage"]["prompt_tokens"].as_u64() > Some(0), "{model} {name}");

            let mut body = ask(model, &fields);
            body["stream"] = true.into();
            body["stream_options"] = json!({ "include_usage": true });
            let events = client.stream(CHAT, &body).await.rest().await;
            assert!(events.last().unwrap().is_done(), "{model} {name}: {events:?}");
            let (mut choice, mut usage) = (json!({ "message": {} }), Value::Null);
            for event in events.iter().filter(|event| !event.is_done()) {
                let chunk = event.json();
                if let Some(part) = chunk["choices"].get(0) {
                    merge(&mut choice["message"], &part["delta"]);
                    merge(&mut choice["finish_reason"], &part["finish_reason"]);
                }
                merge(&mut usage, &chunk["usage"]);
            }
            check(&choice);
            assert!(usage["completion_tokens"].as_u64() > Some(0), "{model} {name}: {usage}");
        }
    }
}

#[tokio::test]
async fn three_turns_with_tools_and_thoughts_go_round() {
    let sim = SimProcess::start(&[]).await;
    let weir = Weir::start(&config(&sim.base_url())).await;
    let client = weir.client();
    for model in MODELS {
        let picture = json!([{ "type": "text", "text": "The weather there?" },
            { "type": "image_url", "image_url": { "url": PIXEL } }]);
        let mut messages = vec![json!({ "role": "user", "content": picture })];
        for turn in 0..3 {
            let fields = json!({ "messages": messages, "tools": tools(), "reasoning_effort": "low" });
            let answer = client.post_json(CHAT, &ask(model, &fields)).await;
            assert_eq!(answer.status.as_u16(), 200, "{model} {turn}: {}", answer.text());
            assert_eq!(answer.header("x-weir-dropped"), "", "{model} {turn}");
            let message = answer.json()["choices"][0]["message"].clone();
            messages.push(message.clone());
            for call in message["tool_calls"].as_array().into_iter().flatten() {
                messages.push(json!({ "role": "tool", "tool_call_id": call["id"], "content": "sun" }));
            }
            messages.push(user("And what else?"));
        }
    }
}

fn event(event: &Value) -> Vec<u8> {
    wire::chunk(format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap()))
}

fn begin() -> Vec<u8> {
    let message =
        json!({ "id": "msg_1", "model": "claude-x", "usage": { "input_tokens": 3, "output_tokens": 1 } });
    [
        event(&json!({ "type": "message_start", "message": message })),
        event(&json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } })),
    ]
    .concat()
}

fn text(text: &str) -> Vec<u8> {
    event(
        &json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": text } }),
    )
}

#[tokio::test]
async fn the_request_is_anthropics() {
    let answer = json!({ "type": "message", "id": "msg_1", "model": "claude-x", "stop_reason": "end_turn",
        "content": [{ "type": "text", "text": "Hi" }], "usage": { "input_tokens": 3, "output_tokens": 2 } });
    let (weir, upstream) = gateway(Script::json(200, &answer.to_string())).await;
    let answer = weir.client().post_json(CHAT, &ask(MODELS[1], &json!({ "messages": [user("Hi")] }))).await;
    assert_eq!(answer.json()["choices"][0]["message"]["content"], "Hi");
    let request = upstream.request(0).await;
    assert_eq!(request.line(), "POST /v1/messages HTTP/1.1");
    assert_eq!(request.header("x-api-key"), Some("sk-ant-canary"));
    assert_eq!(request.header("anthropic-version"), Some("2023-06-01"));
    assert_eq!(request.header("authorization"), None);
    assert_eq!(request.json()["model"], MODELS[1]);

    let embeddings = json!({ "model": MODELS[1], "input": "x" });
    let refused = weir.client().post_json("/v1/embeddings", &embeddings).await;
    assert_eq!((refused.status.as_u16(), refused.json()["error"]["param"].clone()), (400, "model".into()));
    let odd = ask(MODELS[1], &json!({ "messages": [user("Hi")], "seed": 1 }));
    let refused = weir.client().post_json(CHAT, &odd).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (400, "unsupported_parameter"));
    assert_eq!(refused.json()["error"]["param"], "seed");
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn each_event_reaches_the_client_at_once() {
    let go = Arc::new(Notify::new());
    let ending = json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" }, "usage": { "output_tokens": 9 } });
    let steps = vec![
        Step::Send(wire::sse_head()),
        Step::Send([begin(), text("one")].concat()),
        Step::Wait(Arc::clone(&go)),
        Step::Send([text("two"), event(&ending), event(&json!({ "type": "message_stop" }))].concat()),
        Step::Send(wire::last_chunk()),
    ];
    let (weir, _upstream) = gateway(Script::OnRequest(steps)).await;
    let body = ask(MODELS[1], &json!({ "messages": [user("Hi")], "stream": true }));
    let mut stream = weir.client().stream(CHAT, &body).await;
    let mut seen = String::new();
    while seen.is_empty() {
        seen += &stream.next().await.unwrap().content();
    }
    assert_eq!(seen, "one");
    go.notify_one();
    let rest = stream.rest().await;
    assert_eq!(rest.iter().map(Event::content).collect::<String>(), "two");
    assert!(rest.last().unwrap().is_done());
}

#[tokio::test]
async fn an_error_inside_a_stream_is_no_end() {
    let error = json!({ "type": "error", "error": { "type": "overloaded_error", "message": "Overloaded" } });
    let steps = vec![
        Step::Send(wire::sse_head()),
        Step::Send([begin(), text("one"), event(&error)].concat()),
        Step::Send(wire::last_chunk()),
    ];
    let (weir, _upstream) = gateway(Script::OnRequest(steps)).await;
    let body = ask(MODELS[1], &json!({ "messages": [user("Hi")], "stream": true }));
    let events = weir.client().stream(CHAT, &body).await.rest().await;
    assert!(events.iter().all(|event| !event.is_done()));
    assert!(events.last().unwrap().json()["error"].is_object(), "{events:?}");
}
