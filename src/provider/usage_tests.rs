//! Usage with its cost against what recorded traffic itself says, to the token, where it lies beside the project.
//!
//! The expected side reads the recordings on its own: the plain JSON, whole numbers, a table of prices.

use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    path::Path,
};

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Codec, Expected, Piece, codec};
use crate::{
    config::Provider,
    openai::{Endpoint, Usage},
    price::{Price, cost},
};

/// The kinds in the order of the tables below.
const KINDS: [&str; 8] = [
    "input",
    "cached_input",
    "cache_write",
    "cache_write_1h",
    "audio_input",
    "output",
    "reasoning",
    "audio_output",
];
/// Picodollars a token: a prime for each kind, so that a token in the wrong kind shows in the sum.
const PRICES: [u128; 8] =
    [1_000_003, 100_003, 1_250_009, 2_000_003, 8_000_009, 5_000_011, 6_000_011, 16_000_057];
/// The same for prompts of more than [`LONG`] tokens.
const LONG_PRICES: [u128; 8] =
    [1_500_007, 150_001, 1_875_001, 3_000_017, 12_000_017, 7_500_013, 9_000_011, 24_000_001];
const LONG: u128 = 1000;

/// A decimal text in USD per million tokens.
fn dollars(pico: u128) -> String {
    format!("{}.{:06}", pico / 1_000_000, pico % 1_000_000)
}

fn price() -> Price {
    let table = |prices: [u128; 8]| -> serde_json::Map<String, Value> {
        KINDS.iter().zip(prices).map(|(kind, pico)| ((*kind).to_owned(), dollars(pico).into())).collect()
    };
    let mut tier = table(LONG_PRICES);
    tier.insert("above".into(), (LONG as u64).into());
    let mut all = table(PRICES);
    all.insert("tiers".into(), json!([tier]));
    Price::new(&serde_json::from_value(all.into()).unwrap())
}

/// What the tokens cost in nanodollars, rounded up once.
fn bill(kinds: [u128; 8]) -> u128 {
    let prompt: u128 = kinds[..5].iter().sum();
    let prices = if prompt > LONG { LONG_PRICES } else { PRICES };
    let pico: u128 = kinds.iter().zip(prices).map(|(count, price)| count * price).sum();
    pico.div_ceil(1000)
}

fn kinds_of(usage: &Usage) -> [u128; 8] {
    let Usage {
        input,
        cached_input,
        cache_write,
        cache_write_1h,
        audio_input,
        output,
        reasoning,
        audio_output,
    } = *usage;
    [input, cached_input, cache_write, cache_write_1h, audio_input, output, reasoning, audio_output]
        .map(u128::from)
}

/// A count at a path; 0 where there is none.
fn at(value: &Value, path: &str) -> u128 {
    match value.pointer(path) {
        None | Some(Value::Null) => 0,
        Some(count) => u128::from(count.as_u64().unwrap_or_else(|| panic!("{path} of {value}"))),
    }
}

/// OpenAI's figures, in the words of each of those who speak its format.
fn by_openai(provider: &str, usage: &Value) -> Option<[u128; 8]> {
    let prompt = u128::from(usage.get("prompt_tokens")?.as_u64()?);
    let cached = ["/prompt_tokens_details/cached_tokens", "/prompt_cache_hit_tokens", "/cached_tokens"]
        .into_iter()
        .chain(["/num_cached_tokens"])
        .map(|path| at(usage, path))
        .find(|count| *count > 0)
        // One of xAI's answers has more from the cache than it read at all.
        .map_or(0, |count| count.min(prompt));
    let written = at(usage, "/prompt_tokens_details/cache_write_tokens");
    let heard = at(usage, "/prompt_tokens_details/audio_tokens");
    let spoken = at(usage, "/completion_tokens_details/audio_tokens");
    let shown = at(usage, "/completion_tokens");
    let thought = at(usage, "/completion_tokens_details/reasoning_tokens");
    let (output, reasoning) = match provider {
        // Beside what is shown.
        "xai" => (shown, at(usage, "/total_tokens").saturating_sub(prompt + shown)),
        // In the total alone.
        "gemini" => (shown, at(usage, "/total_tokens").saturating_sub(prompt + shown)),
        // Among what is shown; one of OpenRouter's answers has thought one token more than all that it made.
        _ => (shown - thought.min(shown), thought.min(shown)),
    };
    let anew = prompt.checked_sub(cached + written + heard).unwrap_or_else(|| panic!("{usage}"));
    let written_out = output.checked_sub(spoken).unwrap_or_else(|| panic!("{usage}"));
    Some([anew, cached, written, 0, heard, written_out, reasoning, spoken])
}

/// Anthropic's figures: the prompt's parts stand side by side.
fn by_anthropic(usage: &Value) -> Option<[u128; 8]> {
    usage.get("output_tokens").or(usage.get("input_tokens"))?;
    let hour = at(usage, "/cache_creation/ephemeral_1h_input_tokens");
    let thought = at(usage, "/output_tokens_details/thinking_tokens");
    Some([
        at(usage, "/input_tokens"),
        at(usage, "/cache_read_input_tokens"),
        at(usage, "/cache_creation_input_tokens") - hour,
        hour,
        0,
        at(usage, "/output_tokens") - thought,
        thought,
        0,
    ])
}

/// Gemini's figures: cached tokens inside the prompt, what tools brought outside, thoughts outside.
fn by_gemini(usage: &Value) -> Option<[u128; 8]> {
    ["promptTokenCount", "candidatesTokenCount"].iter().find_map(|name| usage.get(*name))?;
    let sound = |list: &str| -> u128 {
        let list = usage[list].as_array().into_iter().flatten();
        list.filter(|detail| detail["modality"] == "AUDIO").map(|detail| at(detail, "/tokenCount")).sum()
    };
    let cached = at(usage, "/cachedContentTokenCount");
    let heard =
        sound("promptTokensDetails") - sound("cacheTokensDetails") + sound("toolUsePromptTokensDetails");
    let spoken = sound("candidatesTokensDetails");
    let read = at(usage, "/promptTokenCount") + at(usage, "/toolUsePromptTokenCount");
    let output = at(usage, "/candidatesTokenCount") - spoken;
    Some([read - cached - heard, cached, 0, 0, heard, output, at(usage, "/thoughtsTokenCount"), spoken])
}

/// A recorded answer with the figures that it ends with.
struct Case {
    name: String,
    codec: Box<dyn Codec>,
    expected: Expected,
    /// A stream's bytes, or a whole answer's.
    sse: Option<String>,
    body: Bytes,
    counted: Option<[u128; 8]>,
}

fn case(provider: &str, file: &str, recorded: &Value) -> Option<Case> {
    let response = &recorded["response"];
    let path = recorded["request"]["path"].as_str().unwrap_or_default();
    let endpoint = match recorded["endpoint"].as_str()? {
        "chat" | "messages" | "generate" => Endpoint::Chat,
        "completions" => Endpoint::Completions,
        "embeddings" => Endpoint::Embeddings,
        _ => return None,
    };
    let failed = response["status"].as_u64().is_some_and(|status| status >= 300);
    if failed || file.starts_with("native-") || path.contains(":batchEmbedContents") {
        return None;
    }
    let protocol = match (recorded["endpoint"].as_str()?, provider) {
        ("messages", _) => "anthropic",
        ("generate", _) => "gemini",
        (_, "azure") => "azure",
        _ => "openai",
    };
    let settings: Provider = serde_json::from_value(json!({ "protocol": protocol })).unwrap();
    let sse = response["sse"].as_str().map(str::to_owned);
    let events: Vec<Value> = match &sse {
        Some(sse) => {
            let lines = sse.lines().filter_map(|line| line.strip_prefix("data:"));
            lines.filter_map(|data| serde_json::from_str(data).ok()).collect()
        }
        None => vec![response["body"].clone()],
    };
    Some(Case {
        name: format!("{provider}/{file}"),
        codec: codec(&settings),
        expected: Expected { endpoint, include_usage: true, ..Expected::default() },
        body: match response["raw"].as_str() {
            Some(raw) => raw.to_owned().into(),
            None => serde_json::to_vec(&response["body"]).unwrap().into(),
        },
        counted: counted(protocol, provider, &events),
        sse,
    })
}

/// The last word of the events on what was used.
fn counted(protocol: &str, provider: &str, events: &[Value]) -> Option<[u128; 8]> {
    match protocol {
        "anthropic" => {
            // Later figures take the place of earlier ones, name by name.
            let mut usage = serde_json::Map::new();
            for event in events {
                let told = [&event["message"]["usage"], &event["usage"]];
                let told = told.into_iter().filter_map(Value::as_object).flatten();
                let told = told.filter(|(_, value)| !value.is_null());
                usage.extend(told.map(|(name, value)| (name.clone(), value.clone())));
            }
            by_anthropic(&usage.into())
        }
        "gemini" => events.iter().rev().find_map(|event| by_gemini(&event["usageMetadata"])),
        _ => events.iter().rev().find_map(|event| {
            by_openai(provider, &event["usage"]).or_else(|| by_openai(provider, &event["x_groq"]["usage"]))
        }),
    }
}

fn cases() -> Vec<Case> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/corpus/dev");
    let list = |path: &Path| {
        let entries = fs::read_dir(path).into_iter().flatten();
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    };
    let name = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
    let mut cases = Vec::new();
    for provider in list(&root) {
        for path in list(&provider) {
            let recorded = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            cases.extend(case(&name(&provider), &name(&path), &recorded));
        }
    }
    assert!(!cases.is_empty() || !root.exists(), "no recorded answer was found");
    cases
}

/// The usage that a stream tells, fed in pieces of `size` bytes. What cannot be told more than once is not.
fn streamed(case: &Case, sse: &str, size: usize) -> Option<Usage> {
    let mut decoder = case.codec.stream(&case.expected);
    let mut out = VecDeque::new();
    for chunk in sse.as_bytes().chunks(size) {
        decoder.push(Bytes::copy_from_slice(chunk), &mut out);
    }
    decoder.finish(&mut out);
    let told: Vec<Usage> = out
        .iter()
        .filter_map(|piece| match piece {
            Piece::Usage(usage) => Some(*usage),
            _ => None,
        })
        .collect();
    assert!(told.len() <= 1, "{}: {told:?}", case.name);
    told.first().copied()
}

/// Compares one answer's usage with its cost; adds its tokens to the sums.
fn check(case: &Case, usage: Option<Usage>, sums: &mut [u128; 8]) -> u128 {
    assert_eq!(usage.as_ref().map(kinds_of), case.counted, "{}", case.name);
    let (Some(usage), Some(counted)) = (usage, case.counted) else { return 0 };
    let nanos = u128::try_from(cost(&price(), &usage).0).unwrap();
    assert_eq!(nanos, bill(counted), "{}", case.name);
    sums.iter_mut().zip(counted).for_each(|(sum, count)| *sum += count);
    nanos
}

/// Streams that fail before their final figures: the first ones count a token or two of the answer, so none are told.
const BROKEN: [&str; 2] = [
    "anthropic/reported-messages-stream-miderror-overloaded",
    "anthropic/vercel-spliced-message-start-stream",
];

#[test]
fn every_recorded_answer_costs_what_it_says() {
    let (mut streams, mut wholes, mut silent) = (BTreeMap::<String, usize>::new(), 0, 0);
    let (mut sums, mut nanos) = ([0; 8], 0);
    let mut unread = Vec::new();
    let cases = cases();
    for case in &cases {
        let usage = match &case.sse {
            Some(sse) => {
                let usage = streamed(case, sse, usize::MAX);
                assert_eq!(streamed(case, sse, 1), usage, "{}", case.name);
                let provider = case.name.split('/').next().unwrap().to_owned();
                *streams.entry(provider).or_default() += 1;
                usage
            }
            None => {
                wholes += 1;
                // What is recorded in another form than it was sent in is the corpus tests' business.
                match case.codec.decode(&case.expected, case.body.clone()) {
                    Ok(decoded) => decoded.usage,
                    Err(_) => {
                        unread.push(case.name.as_str());
                        continue;
                    }
                }
            }
        };
        silent += usize::from(usage.is_none());
        if BROKEN.contains(&&*case.name) {
            assert_eq!(usage, None, "{}", case.name);
            continue;
        }
        nanos += check(case, usage, &mut sums);
    }
    let count: usize = streams.values().sum();
    println!("{count} streams {streams:?} with {wholes} whole answers, {silent} of them without usage");
    println!("not read: {unread:?}");
    assert!(unread.len() <= 3, "{unread:?}");
    println!("tokens: {:?}; nanodollars: {nanos}", KINDS.iter().zip(sums).collect::<Vec<_>>());
    assert!(cases.is_empty() || (count > 0 && wholes > 0 && nanos > 0));
}
