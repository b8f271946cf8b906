//! What Anthropic's requests are taken or refused for.

use serde_json::{Value, json};

use super::{ask, error::Refusal};

fn with(extra: Value) -> Result<ask::Ask, Refusal> {
    let mut request =
        json!({ "model": "m", "max_tokens": 4096, "messages": [{ "role": "user", "content": "Hi" }] });
    for (key, value) in extra.as_object().unwrap() {
        match value {
            Value::String(text) if text == "(gone)" => drop(request.as_object_mut().unwrap().remove(key)),
            value => request[key] = value.clone(),
        }
    }
    ask::read(request.as_object().unwrap(), false, false)
}

fn messages(messages: Value) -> Value {
    json!({ "messages": messages })
}

fn block(block: Value) -> Value {
    messages(json!([{ "role": "user", "content": [block] }]))
}

fn tool(name: &str) -> Value {
    json!({ "name": name, "input_schema": { "type": "object", "properties": {} } })
}

fn call(id: &str) -> Value {
    json!({ "role": "assistant", "content": [{ "type": "tool_use", "id": id, "name": "f", "input": {} }] })
}

fn result(id: &str) -> Value {
    json!({ "type": "tool_result", "tool_use_id": id, "content": "18" })
}

fn refused(cases: Vec<(Value, &str)>) {
    for (extra, part) in cases {
        let refusal = with(extra.clone()).map(drop).expect_err(&extra.to_string());
        assert!(refusal.message.contains(part), "{extra}\n{}", refusal.message);
        assert_eq!((refusal.status.as_u16(), refusal.kind), (400, "invalid_request_error"));
    }
}

#[test]
fn bad_fields_are_refused() {
    let thinking = |budget: u64| json!({ "type": "enabled", "budget_tokens": budget });
    refused(vec![
        (json!({ "max_tokens": "(gone)" }), "max_tokens: Field required"),
        (json!({ "model": "(gone)" }), "model: Field required"),
        (json!({ "max_tokens": 0 }), "max_tokens: Input should be greater than or equal to 1"),
        (json!({ "max_tokens": 1.5 }), "max_tokens: Input should be a valid integer"),
        (
            json!({ "model": "claude-3-haiku-20240307", "max_tokens": 5000 }),
            "5000 > 4096, which is the maximum",
        ),
        (json!({ "foo": 1 }), "foo: Extra inputs are not permitted"),
        (json!({ "output_format": { "type": "json_schema" } }), "output_format: Extra inputs"),
        (json!({ "temperature": 1.1 }), "temperature: Input should be less than or equal to 1"),
        (json!({ "temperature": null }), "temperature: Input should be a valid number"),
        (json!({ "stop_sequences": "x" }), "stop_sequences: Input should be a valid list"),
        (json!({ "stop_sequences": [1] }), "stop_sequences.0: Input should be a valid string"),
        (json!({ "stop_sequences": ["\n"] }), "each stop sequence must contain non-whitespace"),
        (json!({ "metadata": { "trace": "x" } }), "metadata.trace: Extra inputs"),
        (json!({ "thinking": thinking(1000) }), "thinking.enabled.budget_tokens: Input should be greater"),
        (json!({ "thinking": thinking(4096) }), "`max_tokens` must be greater than `thinking.budget_tokens`"),
        (json!({ "thinking": thinking(2000), "temperature": 0.5 }), "`temperature` may only be set to 1"),
        (json!({ "thinking": { "type": "enabled" } }), "budget_tokens: Field required"),
        (
            json!({ "thinking": thinking(2000), "tools": [tool("f")], "tool_choice": { "type": "any" } }),
            "Thinking may not",
        ),
        (json!({ "tools": [tool("a b")] }), "tools.0.custom.name: String should match pattern"),
        (json!({ "tools": [tool("f"), tool("f")] }), "Tool names must be unique"),
        (json!({ "tools": [{ "name": "f" }] }), "tools.0.custom.input_schema: Field required"),
        (json!({ "tools": [{ "type": "function", "function": {} }] }), "Input tag 'function'"),
        (
            json!({ "tools": [tool("f")], "tool_choice": { "type": "tool", "name": "g" } }),
            "Tool 'g' not found",
        ),
        (
            json!({ "tools": [tool("f")], "tool_choice": "auto" }),
            "tool_choice: Input should be a valid dictionary",
        ),
        (json!({ "tool_choice": { "type": "auto" } }), "only be specified while providing tools"),
        (
            json!({ "output_config": { "format": { "type": "json_schema", "schema": { "type": "object" } } } }),
            "'additionalProperties' must be explicitly set to false",
        ),
    ]);
}

#[test]
fn bad_messages_are_refused() {
    let user = json!({ "role": "user", "content": "Hi" });
    let picture = |kind: &str, data: &str| {
        block(json!({ "type": "image", "source": { "type": "base64", "media_type": kind, "data": data } }))
    };
    refused(vec![
        (json!({ "messages": "(gone)" }), "messages: Field required"),
        (messages(json!([])), "messages: at least one message is required"),
        (
            messages(json!([{ "role": "assistant", "content": "Hi" }])),
            "first message must use the \"user\" role",
        ),
        (messages(json!([{ "role": "system", "content": "Be." }, user])), "Unexpected role \"system\""),
        (
            messages(json!([{ "role": "tool", "content": "Be." }])),
            "messages.0.role: Input should be 'user' or",
        ),
        (messages(json!([{ "role": "user", "content": "" }])), "must have non-empty content"),
        (
            messages(json!([{ "role": "user", "content": "Hi", "name": "x" }])),
            "messages.0.name: Extra inputs",
        ),
        (messages(json!([user, { "role": "assistant", "content": "So " }])), "trailing whitespace"),
        (block(json!({ "type": "text", "text": "" })), "text content blocks must be non-empty"),
        (block(json!({ "type": "text", "text": " " })), "must contain non-whitespace text"),
        (
            block(json!({ "type": "text", "text": "x", "foo": 1 })),
            "messages.0.content.0.text.foo: Extra inputs",
        ),
        (
            block(json!({ "type": "image_url", "image_url": {} })),
            "messages.0.content.0: Input tag 'image_url'",
        ),
        (picture("image/bmp", "aGk="), "source.base64.media_type: Input should be 'image/jpeg'"),
        (picture("image/png", "not base64!"), "source.base64.data: Invalid base64 data"),
        (picture("image/png", "/9j/4AAQ"), "appears to be a image/jpeg image"),
        (
            block(json!({ "type": "image", "source": { "type": "url", "url": "http://x" } })),
            "source.url.url: Only HTTPS URLs",
        ),
        (
            block(
                json!({ "type": "text", "text": "x", "cache_control": { "type": "ephemeral", "ttl": "2h" } }),
            ),
            "cache_control.ephemeral.ttl: Input should be '5m' or '1h'",
        ),
        (
            messages(json!([{ "role": "user", "content": [result("t1")] }])),
            "messages.0.content.0: unexpected `tool_use_id`",
        ),
        (
            messages(json!([user, call("t1")])),
            "messages.1: `tool_use` ids were found without `tool_result` blocks",
        ),
        (messages(json!([user, call("t1"), user])), "`tool_use` ids were found without"),
        (
            messages(json!([user, call("t1"), user, { "role": "user", "content": [result("t1")] }])),
            "`tool_use` ids were found without",
        ),
        (messages(json!([user, call("t 1")])), "tool_use.id: String should match pattern"),
        (
            messages(json!([user, { "role": "assistant", "content": [result("t1")] }])),
            "`tool_result` blocks can only be in `user` messages",
        ),
        (
            messages(json!([user, { "role": "assistant", "content": [
                { "type": "tool_use", "id": "t1", "name": "f", "input": "{}" }] }])),
            "tool_use.input: Input should be a valid dictionary",
        ),
    ]);
    let five: Vec<Value> = (0..5)
        .map(|_| json!({ "type": "text", "text": "x", "cache_control": { "type": "ephemeral" } }))
        .collect();
    refused(vec![(
        messages(json!([{ "role": "user", "content": five }])),
        "A maximum of 4 blocks with cache_control",
    )]);
}

#[test]
fn thoughts_come_back_with_their_calls() {
    let turns = |calls: Value| {
        json!({ "thinking": { "type": "enabled", "budget_tokens": 2000 }, "tools": [tool("f")], "messages": [
            { "role": "user", "content": "Hi" }, { "role": "assistant", "content": calls },
            { "role": "user", "content": [result("t1")] }] })
    };
    let call = json!({ "type": "tool_use", "id": "t1", "name": "f", "input": {} });
    let seal = crate::sim::seal::of("thinking", "Well.");
    let thought = |text: &str| json!({ "type": "thinking", "thinking": text, "signature": seal });
    with(turns(json!([thought("Well."), call]))).unwrap();
    refused(vec![
        (
            turns(json!([call])),
            "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`",
        ),
        (
            turns(json!([thought("Else."), call])),
            "messages.1.content.0: Invalid `signature` in `thinking` block",
        ),
    ]);
}

#[test]
fn good_requests_are_summed_up() {
    let ask = with(json!({ "system": [{ "type": "text", "text": "Be.", "cache_control": { "type": "ephemeral", "ttl": "1h" } }],
        "temperature": 0.3, "top_p": 0.9, "tools": [tool("f")], "tool_choice": { "type": "tool", "name": "f", "disable_parallel_tool_use": true },
        "messages": [{ "role": "user", "content": "Weather?" }, { "role": "user", "content": [{ "type": "text", "text": "Now" }] },
            call("t1"), { "role": "user", "content": [result("t1")] }] }))
    .unwrap();
    assert_eq!((ask.prompt.asked.as_str(), ask.prompt.last.as_str()), ("Weather?\nNow", "18"));
    assert!(ask.prompt.is_result && !ask.prompt.parallel && ask.tally.tokens > 10);
}

/// Every recorded request that the real one took is taken here; those refused for what is known here are refused.
#[test]
fn recorded_requests_fare_as_recorded() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data/corpus/dev/anthropic");
    let Ok(files) = std::fs::read_dir(folder) else {
        return;
    };
    let (mut taken, mut refused) = (0, 0);
    for file in files {
        let path = file.unwrap().path();
        // Whoever recorded took what looked like a key for one, in the middle of a picture.
        let text = std::fs::read_to_string(&path).unwrap().replace("KEY-REDACTED", "KEYxREDACTED");
        let case: Value = serde_json::from_str(&text).unwrap();
        let Some(body) = case.pointer("/request/body").and_then(Value::as_object) else {
            continue;
        };
        let target = case["request"]["path"].as_str().unwrap_or_default();
        let has_beta =
            target.contains("beta=true") || case["request"]["headers"]["anthropic-beta"].is_string();
        let read = ask::read(body, has_beta, target.contains("count_tokens")).map(drop);
        let status = case["response"]["status"].as_u64().unwrap();
        match status {
            200 => {
                read.unwrap_or_else(|refusal| panic!("{path:?}: {}", refusal.message));
                taken += 1;
            }
            400 => {
                assert_eq!(json!(read.unwrap_err().message), case["response"]["body"]["error"]["message"]);
                refused += 1;
            }
            _ => {}
        }
    }
    assert!(taken >= 30 && refused >= 1, "{taken} {refused}");
}
