//! What the pieces on a request's way cost, each alone: reading, naming, passing on, translating, counting.
#![allow(clippy::print_stdout, reason = "its figures are for whoever runs it")]

use std::{
    collections::VecDeque,
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use weir::{
    cache::key::{Entry, Key, Tenant},
    config::{Protocol, Provider},
    metrics::{Metrics, RequestLabels},
    openai::{Ask, Endpoint, Produced, Rewrite},
    provider::{Expected, Piece, codec},
};

const ROUNDS: usize = 30;
/// How often a piece is run in a round.
const TIMES: u32 = 1000;

/// The best mean time of a round, in nanoseconds: others on this machine only ever add to it.
fn best(mut piece: impl FnMut()) -> u128 {
    let mut round = || {
        let begun = Instant::now();
        (0..TIMES).for_each(|_| piece());
        (begun.elapsed() / TIMES).as_nanos()
    };
    (0..ROUNDS).map(|_| round()).min().unwrap_or_default()
}

fn row(what: &str, nanoseconds: u128) {
    println!("{what:<52} {:>14}", format!("{nanoseconds} ns"));
}

/// A chat of about so many bytes.
fn body(bytes: usize) -> Bytes {
    let text = "Compare the two proposals, and say what you would want to know before you decide. ";
    let text = text.repeat(bytes.div_ceil(text.len()));
    format!(r#"{{"model":"auto","messages":[{{"role":"user","content":"{text}"}}],"temperature":0.2}}"#)
        .into()
}

fn expected() -> Expected {
    Expected {
        endpoint: Endpoint::Chat,
        include_usage: false,
        created: 0,
        answer_tool: None,
        model: "m".into(),
        base64: false,
        keep: None,
    }
}

fn requests() {
    for (name, bytes) in [("1 KiB", 1 << 10), ("64 KiB", 64 << 10)] {
        let body = body(bytes);
        let parse = || Ask::parse(Endpoint::Chat, body.clone()).expect("the body is a chat");
        row(&format!("parse a body of {name}"), best(|| drop(black_box(parse()))));
        let ask = parse();
        let rewrite = Rewrite { model: "another-model", ..Rewrite::default() };
        row(&format!("splice a body of {name}"), best(|| drop(black_box(ask.rewrite(&rewrite)))));
        let entry = || Entry { kind: "route", name: "standard", epoch: Default::default() };
        let key = || Key::of(Tenant::Key("bot", &[7; 16]), [entry()].into_iter(), true, &ask);
        row(
            &format!("cache key of a body of {name}"),
            best(|| {
                black_box(key());
            }),
        );
    }
}

/// One event of a stream that has begun, through the decoder of its protocol.
fn event(name: &str, protocol: Protocol, beginning: &str, text: &str) {
    let codec = codec(&Provider { protocol, ..Provider::default() });
    let mut decoder = codec.stream(&expected());
    let (event, mut out) = (Bytes::from(text.to_owned()), VecDeque::new());
    decoder.push(Bytes::from(beginning.to_owned()), &mut out);
    row(
        &format!("an event of {name}"),
        best(|| {
            out.clear();
            decoder.push(event.clone(), &mut out);
        }),
    );
    assert!(out.iter().any(|piece| matches!(piece, Piece::Content(_))), "an event of {name} gave {out:?}");
}

fn streams() {
    let openai = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":\
        [{\"index\":0,\"delta\":{\"content\":\" word\"},\"finish_reason\":null}]}\n\n";
    let anthropic = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\
        \"delta\":{\"type\":\"text_delta\",\"text\":\" word\"}}\n\n";
    let gemini = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\" word\"}],\"role\":\"model\"},\"index\":0}],\
        \"usageMetadata\":{\"promptTokenCount\":2},\"modelVersion\":\"m\"}\n\n";
    let begins = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\
        \"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\",\"content\":[],\"usage\":{\"input_tokens\":2,\
        \"output_tokens\":1}}}\n\nevent: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\
        \"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n";
    event("OpenAI's, passed through", Protocol::Openai, openai, openai);
    event("Anthropic's, translated", Protocol::Anthropic, begins, anthropic);
    event("Gemini's, translated", Protocol::Gemini, gemini, gemini);
    let mut produced = Produced::new();
    row("count the tokens of an event", best(|| produced.push(openai.as_bytes())));
}

fn metrics() {
    let metrics = Arc::new(Metrics::new().expect("the metrics are well-formed"));
    let labels = RequestLabels {
        route: "standard",
        model: "m",
        provider: "p",
        status: 200,
        cache: "miss",
        stream: false,
    };
    let took = Duration::from_millis(3);
    row("count a request", best(|| metrics.request(&labels, took, Some(took))));
    row("write the metrics page", best(|| drop(black_box(metrics.page()))));
}

fn main() {
    requests();
    streams();
    metrics();
}
