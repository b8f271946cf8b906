//! The codec against recorded traffic, where it lies beside the project.

use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    path::Path,
    time::UNIX_EPOCH,
};

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use super::Anthropic;
use crate::{
    base::outcome::Outcome,
    openai::{Ask, Endpoint, Rewrite, Usage, sse::Event},
    provider::{Codec as _, Expected, Piece},
};

/// The recorded answers to `POST /v1/messages`; none where the recordings are absent.
fn cases() -> Vec<(String, Value)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/corpus/dev/anthropic");
    let mut cases = Vec::new();
    for entry in fs::read_dir(&root).into_iter().flatten() {
        let path = entry.unwrap().path();
        let recorded: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        if recorded["endpoint"] == "messages" {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            cases.push((name, recorded));
        }
    }
    assert!(cases.len() > 35 || !root.exists(), "only {} cases were found", cases.len());
    cases
}

fn body(recorded: &Value) -> Bytes {
    let response = &recorded["response"];
    match response["raw"].as_str() {
        Some(raw) => raw.to_owned().into(),
        None => serde_json::to_vec(&response["body"]).unwrap().into(),
    }
}

fn status(recorded: &Value) -> StatusCode {
    StatusCode::from_u16(recorded["response"]["status"].as_u64().unwrap_or(200) as u16).unwrap()
}

/// What an answer brings to a client.
#[derive(Debug, Default, PartialEq)]
struct Told {
    text: String,
    thinking: String,
    /// Id, name, arguments.
    calls: Vec<(String, String, Value)>,
    finish: String,
    thoughts: Vec<Value>,
    citations: Vec<Value>,
    others: Vec<Value>,
}

/// What a recorded message brings, read the plain way.
fn recorded_message(message: &Value) -> Told {
    let mut told = Told::default();
    for block in message["content"].as_array().unwrap() {
        match block["type"].as_str().unwrap() {
            "text" => {
                told.text += block["text"].as_str().unwrap();
                told.citations.extend(block["citations"].as_array().into_iter().flatten().cloned());
            }
            "thinking" => {
                told.thinking += block["thinking"].as_str().unwrap();
                told.thoughts.push(block.clone());
            }
            "redacted_thinking" => told.thoughts.push(block.clone()),
            "tool_use" => told.calls.push((
                block["id"].as_str().unwrap().to_owned(),
                block["name"].as_str().unwrap().to_owned(),
                block["input"].clone(),
            )),
            _ => told.others.push(block.clone()),
        }
    }
    told.finish = match message["stop_reason"].as_str().unwrap() {
        "end_turn" | "stop_sequence" | "pause_turn" => "stop",
        "max_tokens" => "length",
        "tool_use" => "tool_calls",
        "refusal" => "content_filter",
        other => panic!("{other} is new here"),
    }
    .to_owned();
    told
}

/// The message that a recorded stream makes, its events applied one after another.
fn recorded_stream(sse: &str) -> (Value, BTreeMap<String, Value>) {
    let mut message = json!({});
    let mut usage = BTreeMap::new();
    let mut inputs: BTreeMap<usize, String> = BTreeMap::new();
    for event in sse.lines().filter_map(|line| line.strip_prefix("data:")) {
        let Ok(event) = serde_json::from_str::<Value>(event) else { continue };
        let at = event["index"].as_u64().unwrap_or(0) as usize;
        let counts = match event["type"].as_str().unwrap() {
            "message_start" => {
                message = event["message"].clone();
                &event["message"]["usage"]
            }
            "content_block_start" => {
                message["content"].as_array_mut().unwrap().push(event["content_block"].clone());
                &Value::Null
            }
            "content_block_delta" => {
                let delta = &event["delta"];
                let block = &mut message["content"][at];
                for field in ["text", "thinking", "signature"] {
                    if let Some(more) = delta[field].as_str() {
                        let so_far = block[field].as_str().unwrap_or_default();
                        block[field] = format!("{so_far}{more}").into();
                    }
                }
                if delta["citation"].is_object() {
                    let list = block["citations"].as_array_mut().unwrap();
                    list.push(delta["citation"].clone());
                }
                if let Some(more) = delta["partial_json"].as_str() {
                    *inputs.entry(at).or_default() += more;
                }
                &Value::Null
            }
            "message_delta" => {
                message["stop_reason"] = event["delta"]["stop_reason"].clone();
                &event["usage"]
            }
            _ => &Value::Null,
        };
        for (name, value) in counts.as_object().into_iter().flatten() {
            usage.insert(name.clone(), value.clone());
        }
    }
    for (at, input) in inputs.into_iter().filter(|(_, input)| !input.is_empty()) {
        message["content"][at]["input"] = serde_json::from_str(&input).unwrap();
    }
    (message, usage)
}

/// Recorded figures as disjoint kinds.
fn kinds(usage: impl Fn(&str) -> Value) -> Usage {
    let count = |name: &str| usage(name).as_u64().unwrap_or(0);
    let hour = usage("cache_creation")["ephemeral_1h_input_tokens"].as_u64().unwrap_or(0);
    let reasoning = usage("output_tokens_details")["thinking_tokens"].as_u64().unwrap_or(0);
    Usage {
        input: count("input_tokens"),
        cached_input: count("cache_read_input_tokens"),
        cache_write: count("cache_creation_input_tokens") - hour,
        cache_write_1h: hour,
        output: count("output_tokens") - reasoning,
        reasoning,
        ..Usage::default()
    }
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().into_iter().flatten().cloned().collect()
}

/// What one of our messages brings.
fn told(message: &Value, finish: &Value) -> Told {
    let text = |name: &str| message[name].as_str().unwrap_or_default().to_owned();
    let call = |call: Value| {
        let part = |value: &Value| value.as_str().unwrap().to_owned();
        let arguments = serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap();
        (part(&call["id"]), part(&call["function"]["name"]), arguments)
    };
    Told {
        text: text("content"),
        thinking: text("reasoning_content"),
        calls: list(&message["tool_calls"]).into_iter().map(call).collect(),
        finish: finish.as_str().unwrap().to_owned(),
        thoughts: list(&message["thinking_blocks"]),
        citations: list(&message["citations"]),
        others: list(&message["provider_blocks"]),
    }
}

/// Puts deltas together as OpenAI's own SDK does: texts are joined, lists are merged by `index`.
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
        (Value::Null, delta) => *whole = delta.clone(),
        (whole, delta) => panic!("{whole} and {delta} cannot be put together"),
    }
}

fn without_index(mut told: Told) -> Told {
    for entry in told.thoughts.iter_mut().chain(&mut told.citations).chain(&mut told.others) {
        entry.as_object_mut().unwrap().remove("index");
    }
    told
}

#[test]
fn whole_answers_bring_all_that_was_recorded() {
    for (name, recorded) in cases() {
        if recorded["response"]["sse"].is_string() || !status(&recorded).is_success() {
            continue;
        }
        let decoded = Anthropic.decode(&Expected::default(), body(&recorded));
        let decoded = decoded.unwrap_or_else(|failure| panic!("{name}: {failure:?}"));
        let answer: Value = serde_json::from_slice(&decoded.body).unwrap();
        let message = &recorded["response"]["body"];
        let choice = &answer["choices"][0];
        assert_eq!(told(&choice["message"], &choice["finish_reason"]), recorded_message(message), "{name}");
        assert_eq!(decoded.usage, Some(kinds(|field| message["usage"][field].clone())), "{name}");
        assert_eq!((&answer["id"], &answer["model"]), (&message["id"], &message["model"]), "{name}");
        let refused = message["stop_reason"] == "refusal";
        let explanation = &message["stop_details"]["explanation"];
        assert!(!refused || choice["message"]["refusal"] == *explanation, "{name}");
    }
}

fn pieces(sse: &str, size: usize) -> Vec<Piece> {
    let mut decoder = Anthropic.stream(&Expected { include_usage: true, ..Expected::default() });
    let mut out = VecDeque::new();
    for chunk in sse.as_bytes().chunks(size) {
        decoder.push(Bytes::copy_from_slice(chunk), &mut out);
    }
    decoder.finish(&mut out);
    out.into()
}

#[test]
fn streams_bring_all_that_was_recorded() {
    for (name, recorded) in cases() {
        let Some(sse) = recorded["response"]["sse"].as_str() else {
            continue;
        };
        let pieces = pieces(sse, usize::MAX);
        assert_eq!(self::pieces(sse, 1), pieces, "{name}");
        let outcome = match pieces.last().unwrap() {
            Piece::Failed(failure) => Some(failure.outcome),
            _ => None,
        };
        let expected = match &*name {
            "reported-messages-stream-miderror-overloaded" => Some(Outcome::RateLimited),
            // The first answer was cut inside a call, which is out already.
            "vercel-spliced-message-start-stream" => Some(Outcome::InvalidAnswer),
            _ => None,
        };
        assert_eq!(outcome, expected, "{name}");
        if expected.is_some() {
            continue;
        }
        let (mut message, mut finish, mut usage) = (json!({}), Value::Null, Value::Null);
        for piece in &pieces {
            let (Piece::Lead(bytes) | Piece::Content(bytes)) = piece else { continue };
            let chunk: Value = serde_json::from_slice(&Event::new(bytes.clone()).data().unwrap()).unwrap();
            if let Some(choice) = chunk["choices"].get(0) {
                merge(&mut message, &choice["delta"]);
                merge(&mut finish, &choice["finish_reason"]);
            } else {
                usage = chunk["usage"].clone();
            }
        }
        let (whole, counts) = recorded_stream(sse);
        assert_eq!(without_index(told(&message, &finish)), recorded_message(&whole), "{name}");
        let expected = kinds(|field| counts.get(field).cloned().unwrap_or_default());
        assert!(pieces.contains(&Piece::Usage(expected)), "{name}: {pieces:?}");
        assert_eq!(usage["prompt_tokens"], expected.prompt(), "{name}");
        assert_eq!(usage["completion_tokens"], expected.completion(), "{name}");
    }
}

#[test]
fn recorded_errors_have_their_class() {
    for (name, recorded) in cases() {
        let status = status(&recorded);
        if status.is_success() {
            continue;
        }
        let failure = Anthropic.failure(status, &http::HeaderMap::new(), &body(&recorded), UNIX_EPOCH);
        let expected = match status.as_u16() {
            400 => Outcome::Rejected,
            401 => Outcome::CredentialRejected,
            404 => Outcome::ModelUnknown,
            529 => Outcome::RateLimited,
            other => panic!("{name}: {other} is new here"),
        };
        assert_eq!(failure.outcome, expected, "{name}");
        let message = recorded["response"]["body"]["error"]["message"].as_str();
        assert_eq!(Some(&*failure.error.message), message, "{name}");
    }
}

/// An answer that a client sends back becomes the blocks that were recorded.
#[test]
fn answers_come_back_as_they_were() {
    for (name, recorded) in cases() {
        if recorded["response"]["sse"].is_string() || !status(&recorded).is_success() {
            continue;
        }
        let recorded_content = &recorded["response"]["body"]["content"];
        let decoded = Anthropic.decode(&Expected::default(), body(&recorded)).unwrap();
        let answer: Value = serde_json::from_slice(&decoded.body).unwrap();
        let message = &answer["choices"][0]["message"];
        let mut messages = vec![json!({"role": "user", "content": "?"}), message.clone()];
        for call in list(&message["tool_calls"]) {
            messages.push(json!({"role": "tool", "tool_call_id": call["id"], "content": "x"}));
        }
        messages.push(json!({"role": "user", "content": "so?"}));
        let ask = json!({"model": "m", "messages": messages});
        let ask = Ask::parse(Endpoint::Chat, ask.to_string().into()).unwrap();
        let encoded = Anthropic.encode(&ask, &Rewrite { model: "claude-opus-4-6", ..Rewrite::default() });
        let request: Value = serde_json::from_slice(&encoded.unwrap().body.whole()).unwrap();
        let sent = list(&request["messages"]).into_iter().filter(|turn| turn["role"] == "assistant");
        let sent: Vec<Value> = sent.flat_map(|turn| list(&turn["content"])).collect();
        for kind in ["thinking", "redacted_thinking", "tool_use"] {
            let of_kind = |blocks: Vec<Value>| -> Vec<Value> {
                let blocks = blocks.into_iter().filter(|block| block["type"] == kind);
                blocks
                    .map(|mut block| {
                        block.as_object_mut().unwrap().remove("caller");
                        block
                    })
                    .collect()
            };
            assert_eq!(of_kind(sent.clone()), of_kind(list(recorded_content)), "{name}");
        }
    }
}
