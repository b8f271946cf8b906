//! Whatever a provider answers, what comes out is an answer that clients can read, or a failure that says why.

use std::time::UNIX_EPOCH;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, value::RawValue};
use weir::{
    openai::Endpoint,
    provider::{Codec, Decoded, Expected, anthropic::Anthropic, gemini::Gemini, openai::OpenAi},
};

use super::knobs::Knobs;

/// An answer may grow by being translated, but only so many times.
const GROWTH: usize = 24;
/// What an answer may become however short it is, in bytes: it can name 128 choices in a few bytes each.
const LEAST: usize = 256 * 1024;

/// Statuses of failures.
const STATUSES: [u16; 8] = [400, 401, 403, 404, 429, 500, 503, 529];

/// Checks the decoders of whole answers.
pub fn answers(input: &[u8]) {
    let (content, knobs) = Knobs::split(input);
    let body = Bytes::copy_from_slice(content);
    let endpoint = match knobs.on(0) {
        false => Endpoint::Chat,
        true if knobs.on(1) => Endpoint::Completions,
        true => Endpoint::Embeddings,
    };
    let expected = Expected {
        endpoint,
        answer_tool: knobs.on(2).then(|| "answer".to_owned()),
        base64: knobs.on(3),
        model: "m".to_owned(),
        ..Expected::default()
    };
    let openai = OpenAi::default();
    let codecs: [(&dyn Codec, bool); 3] = [(&openai, false), (&Anthropic, true), (&Gemini, true)];
    let (codec, translates) = codecs[knobs.way(codecs.len())];
    match codec.decode(&expected, body.clone()) {
        Ok(decoded) if translates => translated(&decoded, endpoint, content.len()),
        Ok(decoded) => {
            assert_eq!(decoded.body, body, "an answer in OpenAI's format is changed");
            serde_json::from_slice::<&RawValue>(&decoded.body).expect("an answer is JSON");
        }
        Err(failure) => assert!(!failure.error.message.is_empty(), "a failure says what is wrong"),
    }
    failed(codec, content, knobs);
}

fn translated(decoded: &Decoded, endpoint: Endpoint, length: usize) {
    let written = decoded.body.len();
    assert!(written <= LEAST + GROWTH * length, "{length} bytes become {written}");
    let answer: Value = serde_json::from_slice(&decoded.body).expect("an answer is JSON");
    if endpoint == Endpoint::Embeddings && answer["object"] == "list" {
        assert!(answer["data"].is_array(), "{answer}");
        return;
    }
    assert_eq!(answer["object"], "chat.completion");
    let choices = answer["choices"].as_array().expect("choices");
    assert!(!choices.is_empty(), "an answer without a choice");
    for choice in choices {
        let message = &choice["message"];
        assert_eq!(message["role"], "assistant");
        assert!(message["content"].is_string() || message["content"].is_null(), "{message}");
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            assert!(call["id"].is_string() && call["function"]["name"].is_string(), "{call}");
            assert!(call["function"]["arguments"].is_string(), "{call}");
        }
        let known = ["stop", "length", "tool_calls", "content_filter"];
        assert!(known.iter().any(|known| choice["finish_reason"] == *known), "{choice}");
    }
}

/// The same bytes with another status, and as the value of a header that says when to try again.
fn failed(codec: &dyn Codec, content: &[u8], knobs: Knobs) {
    let status = StatusCode::from_u16(STATUSES[knobs.way(STATUSES.len())]).expect("a status");
    let mut headers = HeaderMap::new();
    for name in
        ["retry-after", "retry-after-ms", "x-ratelimit-reset-requests", "anthropic-ratelimit-tokens-reset"]
    {
        if let Ok(value) = HeaderValue::from_bytes(content) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    let failure = codec.failure(status, &headers, content, UNIX_EPOCH);
    assert!(!failure.error.message.is_empty(), "a failure says what is wrong");
    assert_eq!(failure.status, Some(status));
}
