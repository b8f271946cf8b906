//! The codec against recorded traffic, where it lies beside the project.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::{Gemini, signature};
use crate::{
    base::outcome::Outcome,
    openai::{Endpoint, Usage, sse::Event},
    provider::{Codec as _, Expected, Piece},
};

struct Case {
    name: String,
    endpoint: String,
    response: Value,
}

/// The recorded cases in Gemini's format; none where the recordings are absent.
fn cases() -> Vec<Case> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/corpus/dev");
    let mut cases = Vec::new();
    for provider in ["gemini", "vertex"] {
        let entries = fs::read_dir(root.join(provider)).into_iter().flatten();
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths {
            let recorded: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            let endpoint = recorded["endpoint"].as_str().unwrap_or_default().to_owned();
            if ["generate", "embeddings"].contains(&&*endpoint) {
                let name = format!("{provider}/{}", path.file_stem().unwrap().to_str().unwrap());
                cases.push(Case { name, endpoint, response: recorded["response"].clone() });
            }
        }
    }
    assert!(cases.len() > 35 || !root.exists(), "only {} cases were found", cases.len());
    cases
}

impl Case {
    fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.response["status"].as_u64().unwrap_or(200) as u16).unwrap()
    }

    fn body(&self) -> Vec<u8> {
        match self.response["raw"].as_str() {
            Some(raw) => raw.into(),
            None => serde_json::to_vec(&self.response["body"]).unwrap(),
        }
    }

    /// What was recorded as events: a stream, a list of events, or a whole answer as the only one.
    fn events(&self) -> Vec<Value> {
        match (self.response["sse"].as_str(), &self.response["body"]) {
            (Some(sse), _) => {
                let lines = sse.lines().filter_map(|line| line.strip_prefix("data:"));
                lines.map(|data| serde_json::from_str(data).unwrap()).collect()
            }
            (None, Value::Array(events)) => events.clone(),
            (None, body) => vec![body.clone()],
        }
    }

    fn sse(&self) -> String {
        match self.response["sse"].as_str() {
            Some(sse) => sse.to_owned(),
            None => self.events().iter().map(|event| format!("data: {event}\r\n\r\n")).collect(),
        }
    }

    fn pieces(&self, chunk: usize) -> Vec<Piece> {
        let expected = Expected { include_usage: true, ..Expected::default() };
        let mut decoder = Gemini.stream(&expected);
        let mut out = VecDeque::new();
        for chunk in self.sse().as_bytes().chunks(chunk) {
            decoder.push(Bytes::copy_from_slice(chunk), &mut out);
        }
        decoder.finish(&mut out);
        out.into()
    }
}

/// What an answer brings to a client that reads it plainly.
#[derive(Debug, Default, PartialEq)]
struct Read {
    text: String,
    thought: String,
    /// Function, arguments, signature.
    calls: Vec<(String, Value, Option<Vec<u8>>)>,
    /// Parts like code that Gemini ran.
    own_parts: usize,
    sources: BTreeSet<String>,
    signature: Option<String>,
    finish: String,
    /// Input, cached, output, reasoning.
    usage: Option<[u64; 4]>,
}

/// A signature's bytes, whichever alphabet it is written in.
fn signed(signature: &Value) -> Option<Vec<u8>> {
    use base64::Engine as _;
    let text = signature.as_str()?.replace('-', "+").replace('_', "/");
    let text = text.trim_end_matches('=');
    Some(base64::engine::general_purpose::STANDARD_NO_PAD.decode(text).unwrap())
}

/// The recorded events, read the plain way.
fn recorded(events: &[Value]) -> Read {
    let mut read = Read::default();
    for event in events {
        let usage = &event["usageMetadata"];
        if usage["candidatesTokenCount"].is_u64() || usage["promptTokenCount"].is_u64() {
            let count = |name: &str| usage[name].as_u64().unwrap_or(0);
            let cached = count("cachedContentTokenCount");
            let input = count("promptTokenCount") - cached + count("toolUsePromptTokenCount");
            read.usage = Some([input, cached, count("candidatesTokenCount"), count("thoughtsTokenCount")]);
        }
        let candidate = &event["candidates"][0];
        for part in candidate["content"]["parts"].as_array().into_iter().flatten() {
            recorded_part(&mut read, part);
        }
        let metadata = ["groundingMetadata", "urlContextMetadata", "citationMetadata", "safetyRatings"];
        read.sources
            .extend(metadata.iter().filter(|name| !candidate[**name].is_null()).map(|name| name.to_string()));
        match &candidate["finishReason"] {
            Value::Null => {}
            reason if reason == "MAX_TOKENS" || reason == 2 => read.finish = "length".into(),
            reason if reason == "SAFETY" => read.finish = "content_filter".into(),
            reason => {
                assert_eq!(reason, "STOP");
                read.finish = if read.calls.is_empty() { "stop" } else { "tool_calls" }.into();
            }
        }
    }
    read
}

fn recorded_part(read: &mut Read, part: &Value) {
    if let Some(text) = part["text"].as_str() {
        match part["thought"] == true {
            true => read.thought += text,
            false => read.text += text,
        }
        if let Some(signature) = part["thoughtSignature"].as_str() {
            read.signature = Some(signature.to_owned());
        }
    } else if part["functionCall"].is_object() {
        let call = &part["functionCall"];
        if let Some(name) = call["name"].as_str() {
            let args = if call["args"].is_null() { json!({}) } else { call["args"].clone() };
            read.calls.push((name.to_owned(), args, signed(&part["thoughtSignature"])));
        }
        for piece in call["partialArgs"].as_array().into_iter().flatten() {
            let name = piece["jsonPath"].as_str().unwrap().trim_start_matches("$.");
            let args = &mut read.calls.last_mut().unwrap().1;
            let joined = format!(
                "{}{}",
                args[name].as_str().unwrap_or_default(),
                piece["stringValue"].as_str().unwrap()
            );
            args[name] = joined.into();
        }
    } else {
        read.own_parts += 1;
    }
}

/// What OpenAI's messages or deltas bring, in their order.
fn read<'a>(messages: impl IntoIterator<Item = (&'a Value, &'a Value)>) -> Read {
    let mut read = Read::default();
    let mut calls: BTreeMap<usize, (String, String, Option<Vec<u8>>)> = BTreeMap::new();
    for (message, finish) in messages {
        read.text += message["content"].as_str().unwrap_or_default();
        read.thought += message["reasoning_content"].as_str().unwrap_or_default();
        for (place, call) in message["tool_calls"].as_array().into_iter().flatten().enumerate() {
            let place = call["index"].as_u64().map_or(place, |index| index as usize);
            let known = calls.entry(place).or_default();
            known.0 += call["function"]["name"].as_str().unwrap_or_default();
            known.1 += call["function"]["arguments"].as_str().unwrap();
            if let Some(id) = call["id"].as_str() {
                known.2 = signature::split(id).1.and_then(|text| signed(&text.into()));
            }
        }
        let google = &message["extra_content"]["google"];
        for part in google["parts"].as_array().into_iter().flatten() {
            assert_eq!(part["index"], read.own_parts, "numbered as SDKs want lists in streams to be");
            read.own_parts += 1;
        }
        for (name, ours) in [
            ("groundingMetadata", "grounding_metadata"),
            ("urlContextMetadata", "url_context_metadata"),
            ("citationMetadata", "citation_metadata"),
            ("safetyRatings", "safety_ratings"),
        ] {
            read.sources.extend((!google[ours].is_null()).then(|| name.to_owned()));
        }
        read.signature = google["thought_signature"].as_str().map(str::to_owned).or(read.signature);
        read.finish += finish.as_str().unwrap_or_default();
    }
    let whole = calls.into_values();
    read.calls =
        whole.map(|(name, args, signed)| (name, serde_json::from_str(&args).unwrap(), signed)).collect();
    read
}

fn kinds(usage: Option<Usage>) -> Option<[u64; 4]> {
    usage.map(|usage| [usage.input, usage.cached_input, usage.output, usage.reasoning])
}

#[test]
fn whole_answers_bring_all_that_was_recorded() {
    let mut seen = 0;
    for case in cases() {
        let whole = case.endpoint == "generate" && case.response["body"].is_object();
        if !whole || !case.status().is_success() {
            continue;
        }
        seen += 1;
        let decoded = Gemini.decode(&Expected::default(), case.body().into());
        let decoded = decoded.unwrap_or_else(|failure| panic!("{}: {failure:?}", case.name));
        let answer: Value = serde_json::from_slice(&decoded.body).unwrap();
        let choice = &answer["choices"][0];
        let mut came = read([(&choice["message"], &choice["finish_reason"])]);
        came.usage = kinds(decoded.usage);
        assert_eq!(came, recorded(&case.events()), "{}", case.name);
        assert_eq!(decoded.finish_reason.as_deref(), choice["finish_reason"].as_str());
        assert_eq!(answer["id"], case.response["body"]["responseId"], "{}", case.name);
        assert_eq!(answer["model"], case.response["body"]["modelVersion"], "{}", case.name);
        // OpenAI's totals hold all kinds.
        let [input, cached, output, reasoning] = came.usage.unwrap();
        assert_eq!(answer["usage"]["prompt_tokens"], input + cached, "{}", case.name);
        assert_eq!(answer["usage"]["completion_tokens"], output + reasoning, "{}", case.name);
        assert_eq!(
            answer["usage"]["total_tokens"], case.response["body"]["usageMetadata"]["totalTokenCount"],
            "{}",
            case.name
        );
    }
    assert!(seen > 10 || cases().is_empty());
}

#[test]
fn streams_bring_all_that_was_recorded() {
    for case in cases() {
        if case.endpoint != "generate" || !case.status().is_success() {
            continue;
        }
        let pieces = case.pieces(usize::MAX);
        assert_eq!(case.pieces(1), pieces, "{}", case.name);
        assert!(matches!(pieces.last(), Some(Piece::Done(_))), "{}: {:?}", case.name, pieces.last());
        let mut chunks: Vec<Value> = Vec::new();
        let mut usage = None;
        for piece in &pieces {
            match piece {
                Piece::Lead(bytes) | Piece::Content(bytes) => {
                    let event = Event::new(bytes.clone());
                    chunks.push(serde_json::from_slice(&event.data().unwrap()).unwrap());
                }
                Piece::Usage(counted) => usage = Some(*counted),
                _ => {}
            }
        }
        let last = chunks.pop_if(|chunk| chunk["choices"].as_array().unwrap().is_empty());
        let last = last.unwrap_or_else(|| panic!("{}: no usage chunk", case.name));
        assert_eq!(last["usage"]["prompt_tokens"], usage.unwrap().prompt(), "{}", case.name);
        assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant", "{}", case.name);
        let choices = chunks.iter().map(|chunk| &chunk["choices"][0]);
        let mut came = read(choices.map(|choice| (&choice["delta"], &choice["finish_reason"])));
        came.usage = kinds(usage);
        assert_eq!(came, recorded(&case.events()), "{}", case.name);
    }
}

#[test]
fn a_stream_that_came_as_a_list_is_no_answer() {
    for case in cases() {
        if case.response["body"].is_array() {
            let failure = Gemini.decode(&Expected::default(), case.body().into()).unwrap_err();
            assert_eq!(failure.outcome, Outcome::InvalidAnswer, "{}", case.name);
        }
    }
}

#[test]
fn embeddings_bring_all_that_was_recorded() {
    for case in cases() {
        if case.endpoint != "embeddings" || !case.status().is_success() {
            continue;
        }
        let expected = Expected { endpoint: Endpoint::Embeddings, model: "m".into(), ..Expected::default() };
        let decoded = Gemini.decode(&expected, case.body().into()).unwrap();
        let answer: Value = serde_json::from_slice(&decoded.body).unwrap();
        let recorded = case.response["body"]["embeddings"].as_array().unwrap();
        assert_eq!(answer["data"].as_array().unwrap().len(), recorded.len());
        for (ours, theirs) in answer["data"].as_array().unwrap().iter().zip(recorded) {
            assert_eq!(ours["embedding"], theirs["values"], "{}", case.name);
        }
    }
}

#[test]
fn recorded_errors_have_their_class() {
    for case in cases() {
        let status = case.status();
        if status.is_success() {
            continue;
        }
        let headers: HeaderMap = case.response["headers"]
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| {
                let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
                Some((name, HeaderValue::from_str(value.as_str()?).ok()?))
            })
            .collect();
        let failure = Gemini.failure(status, &headers, &case.body(), SystemTime::UNIX_EPOCH);
        let (outcome, delay) = match (&*case.name, status.as_u16()) {
            ("gemini/generate-json-err400-nocand-04", _) => (Outcome::CredentialRejected, None),
            ("gemini/vercel-google-429-retry-info-json", _) => {
                (Outcome::RateLimited, Some(Duration::from_millis(34_400)))
            }
            (_, 400) => (Outcome::Rejected, None),
            (_, 404) => (Outcome::ModelUnknown, None),
            (_, 429) => (Outcome::RateLimited, None),
            (name, status) => panic!("{name}: {status} is new here"),
        };
        assert_eq!((failure.outcome, failure.retry_after), (outcome, delay), "{}", case.name);
        let message = case.response["body"]["error"]["message"].as_str();
        assert_eq!(Some(&*failure.error.message), message, "{}", case.name);
    }
}
