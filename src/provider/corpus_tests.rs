//! The codec against recorded traffic, where it lies beside the project.

use std::{
    collections::{BTreeSet, VecDeque},
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;

use super::{Codec as _, Expected, Piece, openai::OpenAi};
use crate::{
    base::outcome::Outcome,
    openai::{Endpoint, Usage, sse::Event},
};

struct Case {
    name: String,
    endpoint: Endpoint,
    asked_usage: bool,
    response: Value,
}

/// The recorded cases in OpenAI's format; none where the recordings are absent.
fn cases() -> Vec<Case> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/corpus/dev");
    let list = |path: &Path| {
        let entries = fs::read_dir(path).into_iter().flatten();
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    };
    let files = list(&root).into_iter().flat_map(|provider| list(&provider));
    let cases: Vec<_> = files.filter_map(|path| case(&path)).collect();
    assert!(cases.len() > 100 || !root.exists(), "only {} cases were found", cases.len());
    cases
}

fn case(path: &Path) -> Option<Case> {
    let recorded: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let file = path.file_stem()?.to_str()?;
    let name = format!("{}/{file}", path.parent()?.file_name()?.to_str()?);
    let endpoint = match recorded["endpoint"].as_str()? {
        "chat" => Endpoint::Chat,
        "completions" => Endpoint::Completions,
        "embeddings" => Endpoint::Embeddings,
        _ => return None,
    };
    let foreign = file.starts_with("native-")
        || recorded["request"]["path"].as_str().is_some_and(|path| path.contains(":batchEmbedContents"));
    (!foreign).then(|| Case {
        name,
        endpoint,
        asked_usage: recorded["request"]["body"]["stream_options"]["include_usage"] == true,
        response: recorded["response"].clone(),
    })
}

impl Case {
    fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.response["status"].as_u64().unwrap_or(200) as u16).unwrap()
    }

    fn headers(&self) -> HeaderMap {
        let headers = self.response["headers"].as_object().into_iter().flatten();
        headers
            .filter_map(|(name, value)| {
                let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
                Some((name, HeaderValue::from_str(value.as_str()?).ok()?))
            })
            .collect()
    }

    fn body(&self) -> Bytes {
        match self.response["raw"].as_str() {
            Some(raw) => raw.to_owned().into(),
            None => serde_json::to_vec(&self.response["body"]).unwrap().into(),
        }
    }

    fn expected(&self) -> Expected {
        Expected { endpoint: self.endpoint, include_usage: self.asked_usage, ..Expected::default() }
    }

    fn pieces(&self, include_usage: bool, chunk: usize) -> Vec<Piece> {
        let expected = Expected { include_usage, ..self.expected() };
        let mut decoder = OpenAi::default().stream(&expected);
        let mut out = VecDeque::new();
        for chunk in self.response["sse"].as_str().unwrap().as_bytes().chunks(chunk) {
            decoder.push(Bytes::copy_from_slice(chunk), &mut out);
        }
        decoder.finish(&mut out);
        out.into()
    }
}

/// A recorded usage object that counts something, read the plain way.
fn totals(usage: &Value) -> Option<(u64, u64)> {
    let prompt = usage["prompt_tokens"].as_u64()?;
    let completion = usage["completion_tokens"].as_u64().unwrap_or(0);
    Some((prompt, completion.max(usage["total_tokens"].as_u64().unwrap_or(0) - prompt)))
}

fn check(name: &str, usage: Option<Usage>, recorded: Option<(u64, u64)>) {
    let counted = usage.map(|usage| (usage.prompt(), usage.completion()));
    assert_eq!(counted, recorded, "{name}");
}

#[test]
fn whole_answers_pass_untouched_with_their_usage() {
    for case in cases() {
        if case.response["sse"].is_string() || !case.status().is_success() {
            continue;
        }
        let decoded = OpenAi::default().decode(&case.expected(), case.body());
        let decoded = decoded.unwrap_or_else(|failure| panic!("{}: {failure:?}", case.name));
        assert_eq!(decoded.body, case.body(), "{}", case.name);
        let body = &case.response["body"];
        check(&case.name, decoded.usage, totals(&body["usage"]));
        assert_eq!(decoded.model.as_deref(), body["model"].as_str(), "{}", case.name);
        let finish = body["choices"][0]["finish_reason"].as_str();
        assert_eq!(decoded.finish_reason.as_deref(), finish, "{}", case.name);
    }
}

/// What a stream brings to a client that reads it plainly.
#[derive(Debug, Default, PartialEq, Eq)]
struct Read {
    text: String,
    reasoning: String,
    arguments: String,
    tools: BTreeSet<String>,
    finish: BTreeSet<String>,
    usage: Option<(u64, u64)>,
}

fn read(payloads: impl IntoIterator<Item = Value>) -> Read {
    let mut read = Read::default();
    for chunk in payloads {
        for usage in [&chunk["usage"], &chunk["x_groq"]["usage"]] {
            read.usage = totals(usage).or(read.usage);
        }
        for choice in chunk["choices"].as_array().into_iter().flatten() {
            let delta = &choice["delta"];
            read.text += choice["text"].as_str().unwrap_or_default();
            read.text += delta["content"].as_str().unwrap_or_default();
            read.reasoning += delta["reasoning_content"].as_str().unwrap_or_default();
            for part in delta["content"].as_array().into_iter().flatten() {
                read.text += part["text"].as_str().unwrap_or_default();
                for inner in part["thinking"].as_array().into_iter().flatten() {
                    read.reasoning += inner["text"].as_str().unwrap_or_default();
                }
            }
            for call in delta["tool_calls"].as_array().into_iter().flatten() {
                read.arguments += call["function"]["arguments"].as_str().unwrap_or_default();
                read.tools.extend(call["id"].as_str().map(str::to_owned));
            }
            read.finish.extend(choice["finish_reason"].as_str().map(str::to_owned));
        }
    }
    read
}

fn recorded(sse: &str) -> Read {
    let lines = sse.lines().filter_map(|line| line.strip_prefix("data:"));
    read(lines.filter_map(|data| serde_json::from_str(data).ok()))
}

fn payloads(pieces: &[Piece]) -> Vec<Value> {
    let bytes = pieces.iter().filter_map(|piece| match piece {
        Piece::Lead(bytes) | Piece::Content(bytes) => Some(bytes),
        _ => None,
    });
    bytes
        .map(|bytes| {
            let event = Event::new(bytes.clone());
            serde_json::from_slice(&event.data().unwrap()).unwrap()
        })
        .collect()
}

/// What the SDK's stream helper needs of each chunk.
fn digestible(name: &str, endpoint: Endpoint, chunks: &[Value]) {
    let mut first_calls = BTreeSet::new();
    for chunk in chunks {
        assert!(chunk["object"].is_string(), "{name}: {chunk}");
        for choice in chunk["choices"].as_array().unwrap() {
            let delta = &choice["delta"];
            assert!(endpoint != Endpoint::Chat || delta.is_object(), "{name}: {chunk}");
            assert!(!delta["content"].is_array(), "{name}: {chunk}");
            for call in delta["tool_calls"].as_array().into_iter().flatten() {
                let index = call["index"].as_u64().expect("an index");
                if first_calls.insert(choice["index"].as_u64()) {
                    assert_eq!(index, 0, "{name}: {chunk}");
                }
            }
        }
    }
}

#[test]
fn streams_bring_all_that_was_recorded() {
    for case in cases() {
        let Some(sse) = case.response["sse"].as_str() else {
            continue;
        };
        let pieces = case.pieces(true, usize::MAX);
        assert_eq!(case.pieces(true, 1), pieces, "{}", case.name);
        let chunks = payloads(&pieces);
        digestible(&case.name, case.endpoint, &chunks);
        let expected = recorded(sse);
        let usage = pieces.iter().find_map(|piece| match piece {
            Piece::Usage(usage) => Some(*usage),
            _ => None,
        });
        check(&case.name, usage, expected.usage);
        if case.name.contains("miderror") {
            assert!(
                matches!(pieces.last(), Some(Piece::Failed(f)) if f.outcome == Outcome::ErrorEvent),
                "{}",
                case.name
            );
            continue;
        }
        assert!(matches!(pieces.last(), Some(Piece::Done(_))), "{}", case.name);
        assert_eq!(read(chunks), expected, "{}", case.name);
        assert!(pieces.iter().any(|piece| matches!(piece, Piece::Content(_))), "{}", case.name);
    }
}

#[test]
fn streams_pass_as_the_bytes_they_came_in() {
    // Those that clients cannot digest, or that lack their end.
    let repaired = [
        "azure/chat-stream-usagechunk-16",
        "gpustack/chat-stream-reasoning-rtok-03",
        "mistral/chat-stream-14",
        "mistral/chat-stream-cache-11",
        "openai-compatible/vercel-anthropic-fallback-tool-call-stream",
        "openrouter/chat-stream-miderror-reasoning-rtok-length-13",
    ];
    for case in cases() {
        let Some(sse) = case.response["sse"].as_str() else {
            continue;
        };
        let out: Vec<u8> = case
            .pieces(true, 100)
            .into_iter()
            .flat_map(|piece| match piece {
                Piece::Lead(b) | Piece::Content(b) | Piece::Comment(b) | Piece::Done(b) => b,
                Piece::Usage(_) | Piece::Failed(_) => Bytes::new(),
            })
            .collect();
        let same = out == sse.as_bytes();
        assert_eq!(same, !repaired.contains(&&*case.name), "{}", case.name);
    }
}

#[test]
fn usage_chunks_reach_only_those_who_asked() {
    for case in cases() {
        if !case.response["sse"].is_string() {
            continue;
        }
        let pieces = case.pieces(false, usize::MAX);
        for chunk in payloads(&pieces) {
            let only = chunk["choices"].as_array().is_none_or(Vec::is_empty);
            assert!(!only || totals(&chunk["usage"]).is_none(), "{}: {chunk}", case.name);
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
        let failure = OpenAi::default().failure(status, &case.headers(), &case.body(), SystemTime::now());
        let expected = match (&*case.name, status.as_u16()) {
            ("openai/reported-chat-err429-insufficient-quota", _) => Outcome::QuotaExhausted,
            ("deepseek/chat-json-err400-01", _)
            | ("ollama/chat-json-err400-01", _)
            | ("openrouter/chat-json-err400-02", _)
            | ("perplexity/chat-json-err400-01", _) => Outcome::ContextTooLong,
            (_, 400) => Outcome::Rejected,
            (_, 401) => Outcome::CredentialRejected,
            (_, 404) => Outcome::ModelUnknown,
            (_, 429) => Outcome::RateLimited,
            (name, status) => panic!("{name}: {status} is new here"),
        };
        assert_eq!(failure.outcome, expected, "{}", case.name);
        let delay = match &*case.name {
            "azure/chat-json-err429-01" => Some(Duration::from_secs(1)),
            "openai/reported-chat-err429-tpm" => Some(Duration::from_secs(2)),
            _ => None,
        };
        assert_eq!(failure.retry_after, delay, "{}", case.name);
        let body = &case.response["body"];
        let message = [&body["error"]["message"], &body["error"], &body["detail"]]
            .iter()
            .find_map(|message| message.as_str());
        assert_eq!(Some(&*failure.error.message), message, "{}", case.name);
        assert_eq!(failure.error.param.as_deref(), body["error"]["param"].as_str(), "{}", case.name);
    }
}
