//! Runs the golden cases of a codec: `tests/golden/PROVIDER/CASE/`.
//!
//! A case holds `ask.json` with `request.json`, `response.json` with `answer.json`, `stream.txt` with `chunks.txt`, or
//! several of these pairs; the second of each is what has to come out. `rewrite.json` may say what an upstream is
//! told (`model`, `max_output_tokens`, `max_output`, `drop_unsupported`, `system_prefix`), and `status` what the response's status
//! was. `WEIR_BLESS=1` writes what comes out.

use std::{
    collections::VecDeque,
    fs,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::{Codec, Expected, Failure, Piece};
use crate::openai::{Ask, Endpoint, Rewrite, Usage};

/// Runs every case of `provider`.
pub fn run(provider: &str, codec: &dyn Codec) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(provider);
    let entries = fs::read_dir(&root).expect("a folder of cases");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a case").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no cases in {}", root.display());
    let faults: Vec<String> = paths.into_iter().flat_map(|path| Case::new(path, codec).run()).collect();
    assert!(faults.is_empty(), "WEIR_BLESS=1 takes these as they are:\n{}", faults.join("\n"));
}

struct Case<'a> {
    path: PathBuf,
    codec: &'a dyn Codec,
    expected: Expected,
    faults: Vec<String>,
}

impl<'a> Case<'a> {
    fn new(path: PathBuf, codec: &'a dyn Codec) -> Self {
        let expected = Expected { include_usage: true, created: 1_700_000_000, ..Expected::default() };
        Self { path, codec, expected, faults: Vec::new() }
    }

    fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path.join(name)).ok()
    }

    fn run(mut self) -> Vec<String> {
        if let Some(ask) = self.read("ask.json") {
            let request = self.encode(&ask);
            self.same_json("request.json", &request);
        }
        if let Some(response) = self.read("response.json") {
            let answer = self.decode(response);
            self.same_json("answer.json", &answer);
        }
        if let Some(stream) = self.read("stream.txt") {
            let whole = self.stream(&stream, usize::MAX);
            if self.stream(&stream, 1) != whole {
                self.faults.push(format!("{}: bytes one by one differ", self.path.display()));
            }
            self.same("chunks.txt", &whole);
        }
        self.faults
    }

    fn encode(&mut self, ask: &str) -> Value {
        let fields: Value = serde_json::from_str(ask).expect("JSON");
        self.expected.endpoint = match () {
            () if !fields["input"].is_null() => Endpoint::Embeddings,
            () if !fields["prompt"].is_null() => Endpoint::Completions,
            () => Endpoint::Chat,
        };
        let ask = Ask::parse(self.expected.endpoint, Bytes::copy_from_slice(ask.as_bytes()))
            .unwrap_or_else(|bad| panic!("{}: {bad:?}", self.path.display()));
        let rewrite: Value =
            self.read("rewrite.json").map_or(Value::Null, |text| serde_json::from_str(&text).expect("JSON"));
        let encoded = self.codec.encode(
            &ask,
            &Rewrite {
                model: rewrite["model"].as_str().unwrap_or(ask.model()),
                defaults: &[],
                system_prefix: rewrite["system_prefix"].as_str(),
                max_output: rewrite["max_output"].as_u64(),
                max_output_tokens: rewrite["max_output_tokens"].as_u64(),
                drop_unsupported: rewrite["drop_unsupported"] == true,
            },
        );
        match encoded {
            Err(bad) => json!({"refused": {"param": bad.param, "message": bad.message}}),
            Ok(encoded) => {
                self.expected.include_usage = ask.include_usage();
                self.expected.answer_tool = encoded.answer_tool;
                self.expected.model = ask.model().to_owned();
                self.expected.base64 = encoded.base64;
                let body: Value = serde_json::from_slice(&encoded.body.whole()).expect("JSON");
                let mut request = json!({"path": encoded.path, "body": body});
                if !encoded.dropped.is_empty() {
                    request["dropped"] = encoded.dropped.into();
                }
                request
            }
        }
    }

    fn decode(&self, response: String) -> Value {
        let status = self.read("status").map_or(200, |status| status.trim().parse().expect("a number"));
        let status = StatusCode::from_u16(status).expect("a status");
        if !status.is_success() {
            let body = response.as_bytes();
            return failure(&self.codec.failure(status, &HeaderMap::new(), body, UNIX_EPOCH));
        }
        match self.codec.decode(&self.expected, response.into()) {
            Ok(decoded) => {
                let answer: Value = serde_json::from_slice(&decoded.body).expect("JSON");
                let usage = decoded.usage.as_ref().map(kinds);
                json!({"answer": answer, "usage": usage, "finish_reason": decoded.finish_reason})
            }
            Err(error) => failure(&error),
        }
    }

    /// The client's bytes, with comments for what the gateway itself is told.
    fn stream(&self, stream: &str, size: usize) -> String {
        let mut decoder = self.codec.stream(&self.expected);
        let mut pieces = VecDeque::new();
        for chunk in stream.as_bytes().chunks(size) {
            decoder.push(Bytes::copy_from_slice(chunk), &mut pieces);
        }
        decoder.finish(&mut pieces);
        let show = |piece| match piece {
            Piece::Lead(bytes) | Piece::Content(bytes) | Piece::Comment(bytes) | Piece::Done(bytes) => {
                String::from_utf8(bytes.into()).expect("text")
            }
            Piece::Usage(usage) => format!(": usage {}\n\n", kinds(&usage)),
            Piece::Failed(error) => format!(": {}\n\n", failure(&error)),
        };
        pieces.into_iter().map(show).collect()
    }

    fn same_json(&mut self, name: &str, found: &Value) {
        let wanted = self.read(name).and_then(|text| serde_json::from_str::<Value>(&text).ok());
        if wanted.as_ref() != Some(found) {
            self.differs(name, &format!("{found:#}\n"));
        }
    }

    fn same(&mut self, name: &str, found: &str) {
        if self.read(name).as_deref() != Some(found) {
            self.differs(name, found);
        }
    }

    fn differs(&mut self, name: &str, found: &str) {
        let path = self.path.join(name);
        if std::env::var_os("WEIR_BLESS").is_some() {
            fs::write(&path, found).expect("a folder to write in");
        } else {
            self.faults.push(format!("{}: found\n{found}", path.display()));
        }
    }
}

fn kinds(usage: &Usage) -> Value {
    let mut kinds = json!({
        "input": usage.input,
        "cached_input": usage.cached_input,
        "cache_write": usage.cache_write,
        "output": usage.output,
        "reasoning": usage.reasoning,
    });
    if usage.cache_write_1h > 0 {
        kinds["cache_write_1h"] = usage.cache_write_1h.into();
    }
    kinds
}

fn failure(failure: &Failure) -> Value {
    let mut told = json!({"outcome": failure.outcome.as_str(), "message": failure.error.message});
    if let Some(delay) = failure.retry_after {
        told["retry_after_s"] = delay.as_secs_f64().into();
    }
    json!({ "failed": told })
}

#[test]
fn anthropic() {
    run("anthropic", &super::anthropic::Anthropic);
}

#[test]
fn gemini() {
    run("gemini", &super::gemini::Gemini);
}
