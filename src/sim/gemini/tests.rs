//! What Gemini's requests are taken or refused for.

use serde_json::{Value, json};

use super::{ask, error::Refusal, messages, proto};

fn read(request: &Value, model: &str) -> Result<ask::Ask, Refusal> {
    ask::read(&proto::read(request, &messages::GENERATE)?, model)
}

fn with(extra: Value) -> Value {
    let mut request = json!({ "contents": [{ "role": "user", "parts": [{ "text": "Hi" }] }] });
    request.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    request
}

fn user(text: &str) -> Value {
    json!({ "role": "user", "parts": [{ "text": text }] })
}

fn calls(signatures: &[&str]) -> Value {
    let part = |signature: &&str| match *signature {
        "" => json!({ "functionCall": { "name": "f" } }),
        signature => json!({ "functionCall": { "name": "f" }, "thoughtSignature": signature }),
    };
    json!({ "role": "model", "parts": signatures.iter().map(part).collect::<Vec<_>>() })
}

fn responses(count: usize) -> Value {
    let part = json!({ "functionResponse": { "name": "f", "response": { "result": 18 } } });
    json!({ "role": "user", "parts": vec![part; count] })
}

fn refused(cases: Vec<(Value, &str)>) {
    for (extra, part) in cases {
        let refusal = read(&with(extra.clone()), "gemini-2.5-flash").map(drop).expect_err(&extra.to_string());
        assert!(refusal.message.contains(part), "{extra}\n{}", refusal.message);
        assert_eq!(refusal.envelope()["error"]["status"], "INVALID_ARGUMENT");
    }
}

#[test]
fn bad_turns_are_refused() {
    let turns = |turns: Value| json!({ "contents": turns });
    refused(vec![
        (turns(json!([])), "contents: contents is not specified"),
        (
            turns(json!([{ "role": "assistant", "parts": [{ "text": "x" }] }])),
            "Please use a valid role: user, model.",
        ),
        (
            turns(json!([{ "role": "user", "parts": [] }])),
            "contents[0].parts: contents.parts must not be empty.",
        ),
        (
            turns(json!([{ "role": "user", "parts": [{}] }])),
            "required oneof field 'data' must have one initialized field",
        ),
        (
            turns(json!([{ "role": "user", "parts": [{ "type": "text", "text": "x" }] }])),
            "Unknown name \"type\" at 'contents[0].parts[0]': Cannot find field.",
        ),
        (
            turns(json!([{ "role": "model", "parts": [{ "text": "x" }] }])),
            "single turn requests end with a user role",
        ),
        (
            turns(json!([user("a"), responses(1)])),
            "function response turn comes immediately after a function call turn",
        ),
        (
            turns(json!([calls(&[""]), responses(1)])),
            "function call turn comes immediately after a user turn",
        ),
        (
            turns(json!([user("a"), calls(&["", ""]), responses(1)])),
            "number of function response parts is equal",
        ),
        (turns(json!([user("a"), calls(&[""]), user("b")])), "number of function response parts is equal"),
        (
            turns(
                json!([{ "role": "user", "parts": [{ "inlineData": { "mimeType": "image/png", "data": "!" } }] }]),
            ),
            "(TYPE_BYTES)",
        ),
        (
            turns(json!([user("a"), calls(&[""]), { "role": "user", "parts": [
                { "functionResponse": { "name": "f", "response": "18" } }] }])),
            "function_response.response' (type.googleapis.com/google.protobuf.Struct), \"18\"",
        ),
    ]);
    read(&with(turns(json!([user("a"), calls(&["", ""]), responses(2), user("b")]))), "gemini-2.5-flash")
        .unwrap();
}

#[test]
fn bad_fields_are_refused() {
    let tool = |parameters: Value| json!({ "tools": [{ "functionDeclarations": [{ "name": "f", "parameters": parameters }] }] });
    let config = |config: Value| json!({ "generationConfig": config });
    refused(vec![
        (json!({ "foo": 1 }), "Unknown name \"foo\": Cannot find field."),
        (json!({ "messages": [] }), "Unknown name \"messages\""),
        (
            tool(json!({ "type": "object", "additionalProperties": false })),
            "Unknown name \"additionalProperties\" at 'tools[0].function_declarations[0].parameters'",
        ),
        (
            tool(json!({ "type": "object", "properties": { "a": { "$ref": "#/x", "const": 1 } } })),
            "Unknown name \"$ref\" at 'tools[0].function_declarations[0].parameters.properties[0].value'",
        ),
        (tool(json!({ "type": ["object", "null"] })), "Proto field is not repeating, cannot start list."),
        (
            tool(json!({ "type": "object", "properties": { "a": { "type": "array" } } })),
            "properties[a].items: missing field.",
        ),
        (tool(json!({ "type": "object", "required": ["a"] })), "required[0]: property is not defined"),
        (
            tool(json!({ "type": "object", "properties": { "a": { "type": "string", "format": "uri" } } })),
            "only 'enum' and",
        ),
        (json!({ "tools": [{ "functionDeclarations": [{ "name": "a b" }] }] }), "Invalid function name"),
        (
            json!({ "tools": [{ "functionDeclarations": [{ "name": "f" }, { "name": "f" }] }] }),
            "Duplicate function",
        ),
        (
            json!({ "tools": [{ "type": "function", "function": {} }] }),
            "Unknown name \"function\" at 'tools[0]'",
        ),
        (
            json!({ "toolConfig": { "functionCallingConfig": { "mode": "required" } } }),
            "FunctionCallingConfig.Mode",
        ),
        (config(json!({ "temperature": 2.5 })), "[0.0, 2.0]"),
        (config(json!({ "maxOutputTokens": 0 })), "max_output_tokens must be positive"),
        (config(json!({ "max_tokens": 5 })), "Unknown name \"max_tokens\" at 'generation_config'"),
        (
            config(json!({ "responseSchema": { "type": "object" } })),
            "only allowed when response_mime_type is",
        ),
        (
            config(json!({ "responseMimeType": "application/json",
                "responseSchema": { "type": "object", "$defs": {} } })),
            "Unknown name \"$defs\" at 'generation_config.response_schema'",
        ),
        (config(json!({ "thinkingConfig": { "thinkingLevel": "low" } })), "Thinking level is not supported"),
        (config(json!({ "stopSequences": ["a", "b", "c", "d", "e", "f"] })), "at most 5"),
    ]);
    let any = json!({ "type": "object", "additionalProperties": false, "$defs": { "a": { "const": 1 } } });
    let good =
        json!({ "tools": [{ "function_declarations": [{ "name": "f", "parametersJsonSchema": any }] }] });
    read(&with(good), "gemini-2.5-flash").unwrap();
    let json = json!({ "responseMimeType": "application/json", "responseJsonSchema": any });
    read(&with(config(json)), "gemini-2.5-flash").unwrap();
}

#[test]
fn signatures_come_back_to_the_newer_models() {
    let turns = |signatures: &[&str], after: Vec<Value>| {
        let mut contents = vec![user("a"), calls(signatures), responses(signatures.len())];
        contents.extend(after);
        json!({ "contents": contents })
    };
    let (own, other) = (crate::sim::seal::of("call", "f"), crate::sim::seal::of("call", "g"));
    let good = [
        turns(&[&own, ""], vec![]),
        turns(&["skip_thought_signature_validator"], vec![]),
        turns(&["AQID"], vec![]),
        // Turns from before the user's last words are not looked at.
        turns(&[""], vec![json!({ "role": "model", "parts": [{ "text": "18" }] }), user("b")]),
    ];
    good.iter().for_each(|turns| drop(read(turns, "gemini-3-pro-preview").unwrap()));
    for (signature, part) in
        [("", "is missing a thought_signature"), (other.as_str(), "Corrupted thought signature")]
    {
        let refusal = read(&turns(&[signature], vec![]), "gemini-3-pro-preview").unwrap_err();
        assert!(refusal.message.contains(part), "{}", refusal.message);
    }
    read(&turns(&[""], vec![]), "gemini-2.5-pro").unwrap();
}

/// Every recorded request that the real one took is taken here.
#[test]
fn recorded_requests_fare_as_recorded() {
    let mut taken = 0;
    for provider in ["gemini", "vertex"] {
        let folder = format!("{}/../shared/data/corpus/dev/{provider}", env!("CARGO_MANIFEST_DIR"));
        let Ok(files) = std::fs::read_dir(folder) else {
            return;
        };
        for file in files {
            let path = file.unwrap().path();
            let case: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            let target = case["request"]["path"].as_str().unwrap_or_default();
            let (body, status) = (&case["request"]["body"], case["response"]["status"].as_u64());
            if status != Some(200) || !body.is_object() {
                continue;
            }
            let model = target.rsplit_once("/models/").map_or("", |(_, model)| model);
            let model = model.split(':').next().unwrap_or_default();
            let message = match target {
                _ if target.contains("enerateContent") => &messages::GENERATE,
                _ if target.contains(":countTokens") => &messages::COUNT,
                _ if target.contains(":batchEmbedContents") => &messages::BATCH,
                _ => continue,
            };
            let read = proto::read(body, message).and_then(|request| match request.get("contents") {
                Some(_) => ask::read(&request, model).map(drop),
                None => Ok(()),
            });
            read.unwrap_or_else(|refusal| panic!("{path:?}: {}", refusal.message));
            taken += 1;
        }
    }
    assert!(taken >= 25, "{taken}");
}
