//! Whatever a client sends, it is refused, or what upstreams get is the same request with the changes asked for.

use std::{collections::BTreeMap, hash::DefaultHasher};

use bytes::Bytes;
use http::uri::PathAndQuery;
use serde_json::{Value, value::RawValue};
use weir::{
    config::{OutputLimit, Provider, Quirks},
    openai::{Ask, Endpoint, Rewrite},
    provider::{Codec, anthropic::Anthropic, azure::Azure, gemini::Gemini, openai::OpenAi},
};

use super::knobs::Knobs;

/// Upstream models, some with names that have to be escaped.
const MODELS: [&str; 5] = ["up", "a\"b\\é\u{1}", "claude-sonnet-4-5", "gemini-2.5-flash", "a/b?c#d e"];

/// More fields than this and a renamed one may be one too many to be read again.
const FIELDS: usize = 200;

/// Checks the reader of requests with everything that writes them anew.
pub fn ask(input: &[u8]) {
    let (content, knobs) = Knobs::split(input);
    let endpoint = match knobs.on(0) {
        false => Endpoint::Chat,
        true if knobs.on(1) => Endpoint::Completions,
        true => Endpoint::Embeddings,
    };
    let body = Bytes::copy_from_slice(content);
    let ask = match Ask::parse(endpoint, body) {
        Ok(ask) => ask,
        Err(bad) => return assert!(!bad.message.is_empty(), "a refusal says what is wrong"),
    };
    let needs = ask.needs(Some(1));
    assert_eq!(needs.streaming, ask.stream());
    assert!(needs.tokens <= content.len() as u64, "more tokens than bytes");
    assert_eq!(ask.talk(DefaultHasher::new()), ask.talk(DefaultHasher::new()));
    let defaults = [("top_p", "0.5"), ("seed", "7"), ("max_tokens", "9")]
        .map(|(name, json)| (name.to_owned(), json.to_owned()));
    let rewrite = Rewrite {
        model: MODELS[knobs.way(MODELS.len())],
        defaults: if knobs.on(2) { &defaults } else { &[] },
        system_prefix: knobs.on(3).then_some("Be \"kind\".\n"),
        max_output_tokens: knobs.on(4).then_some(100),
        max_output: None,
        drop_unsupported: knobs.on(5),
    };
    passed(&ask, &rewrite);
    shaped(&ask, &rewrite, knobs);
    translated(&ask, &rewrite);
}

type Fields<'a> = BTreeMap<String, &'a RawValue>;

fn fields(body: &[u8]) -> Fields<'_> {
    serde_json::from_slice(body).expect("a body is a JSON object")
}

/// Reads a body again, which fails if a field stands there twice.
fn again(ask: &Ask, body: &Bytes) -> Ask {
    let again = Ask::parse(ask.endpoint(), body.clone());
    again.unwrap_or_else(|bad| panic!("{bad:?} in {}", String::from_utf8_lossy(body)))
}

/// Only what the rewrite names is changed; every other field keeps its bytes.
fn passed(ask: &Ask, rewrite: &Rewrite<'_>) {
    let body = ask.rewrite(rewrite);
    let (before, after) = (fields(ask.body()), fields(&body));
    let told = again(ask, &body);
    assert_eq!(told.model(), rewrite.model);
    assert!(!after.contains_key("models"), "a list that is for Weir alone is passed on");
    assert_eq!(told.stream(), ask.stream());
    assert!(!told.stream() || told.include_usage(), "a stream does not tell its usage");
    let prefixed = rewrite.system_prefix.is_some() && ask.endpoint() == Endpoint::Chat;
    for (name, raw) in &before {
        let changes = match name.as_str() {
            "model" | "models" => true,
            "stream_options" => ask.stream() && !ask.include_usage(),
            "messages" => prefixed,
            _ => false,
        };
        assert!(changes || after[name].get() == raw.get(), "`{name}` is changed");
    }
    for name in after.keys().filter(|name| !before.contains_key(*name)) {
        let wanted = name == "stream_options" || rewrite.defaults.iter().any(|(default, _)| default == name);
        assert!(wanted, "`{name}` is added");
    }
    for (name, json) in rewrite.defaults.iter().filter(|(name, _)| !ask.says(name)) {
        assert_eq!(after[name].get(), json, "a default is lost");
    }
    if prefixed {
        let messages: Vec<Value> = serde_json::from_str(after["messages"].get()).unwrap_or_default();
        let first = messages.first().map_or(String::new(), |message| message["content"].to_string());
        assert!(messages.is_empty() || first.contains("Be \\\"kind\\\"."), "the prefix is lost");
    }
}

/// A provider that takes less than OpenAI gets what it takes, well-formed.
fn shaped(ask: &Ask, rewrite: &Rewrite<'_>, knobs: Knobs) {
    let limits = [OutputLimit::AsSent, OutputLimit::MaxTokens, OutputLimit::MaxCompletionTokens];
    let quirks = Quirks {
        output_limit: limits[knobs.way(limits.len())],
        stream_options: knobs.on(6),
        developer_role: knobs.on(7),
        refused_fields: ["user", "logit_bias", "store"].map(str::to_owned).into(),
        renamed_fields: [("seed", "random_seed"), ("stop", "ends")]
            .map(|(name, to)| (name.to_owned(), to.to_owned()))
            .into(),
        max_n: Some(1),
        max_temperature: Some(1.0),
        ..Quirks::default()
    };
    let base_url = "https://x.openai.azure.com".to_owned();
    let provider = Provider { quirks, base_url, ..Provider::default() };
    for codec in [&OpenAi::new(&provider) as &dyn Codec, &Azure::new(&provider)] {
        let encoded = match codec.encode(ask, rewrite) {
            Ok(encoded) => encoded,
            Err(bad) => {
                assert!(!bad.message.is_empty() && bad.param.is_some(), "a refusal names the field");
                continue;
            }
        };
        PathAndQuery::try_from(&*encoded.path).expect("a path");
        let body = encoded.body.whole();
        let after = fields(&body);
        for gone in ["user", "store", "models", "stop", "seed"] {
            assert!(!after.contains_key(gone), "`{gone}` is passed on");
        }
        assert!(after.contains_key("stream_options") <= knobs.on(6), "`stream_options` is passed on");
        if ask.present().count() < FIELDS {
            assert_eq!(again(ask, &body).model(), rewrite.model);
        }
    }
}

/// Other protocols get JSON of their own, at a path that can be asked for.
fn translated(ask: &Ask, rewrite: &Rewrite<'_>) {
    for codec in [&Anthropic as &dyn Codec, &Gemini] {
        match codec.encode(ask, rewrite) {
            Ok(encoded) => {
                let body: Value = serde_json::from_slice(&encoded.body.whole()).expect("a body is JSON");
                assert!(body.is_object(), "{body}");
                PathAndQuery::try_from(&*encoded.path).expect("a path");
            }
            Err(bad) => assert!(!bad.message.is_empty(), "a refusal says what is wrong"),
        }
    }
}
