//! How often memory is asked for on the way of a request, a chunk, an event: what grows here, every request pays for.
//!
//! The bounds stand a little above what was counted when they were written. Who makes it less lowers them.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::{collections::VecDeque, fmt::Write as _, net::SocketAddr};

use allocation_counter::measure;
use axum::extract::ConnectInfo;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use tokio::runtime::{Builder, Runtime};
use tower::Service as _;
use weir::{
    app,
    base::clock::Clock,
    config::{self, Protocol, Provider},
    edge::{Front, router},
    openai::{Ask, Endpoint, Produced, Rewrite},
    provider::{Expected, codec},
};

const KEY: &str = "weir-alloc-0123456789abcdef0123456789abcdef";

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

/// Events of OpenAI's format as they come in one read.
fn events(count: usize) -> Bytes {
    let mut text = String::new();
    for at in 0..count {
        write!(
            text,
            "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{{\"index\":0,\
             \"delta\":{{\"content\":\" word {at}\"}},\"finish_reason\":null}}]}}\n\n"
        )
        .unwrap();
    }
    text.into()
}

/// How often memory is asked for a stream's event, from the bytes of the upstream to those for the client.
fn per_event(protocol: Protocol, event: &str) -> u64 {
    const EVENTS: u64 = 100;
    let codec = codec(&Provider { protocol, ..Provider::default() });
    let mut decoder = codec.stream(&expected());
    let mut out = VecDeque::with_capacity(2 * EVENTS as usize);
    // The first few open the stream.
    let warm = Bytes::from(event.repeat(3));
    let bytes = Bytes::from(event.repeat(EVENTS as usize));
    // From here on it is shared, as what comes from a connection is.
    let shared = bytes.clone();
    decoder.push(warm, &mut out);
    out.clear();
    let counted = measure(|| {
        decoder.push(shared, &mut out);
        out.clear();
    });
    counted.count_total.div_ceil(EVENTS)
}

#[test]
fn an_event_that_passes_through_asks_for_no_memory() {
    let bytes = events(101);
    let codec = codec(&Provider::default());
    let mut decoder = codec.stream(&expected());
    let mut out = VecDeque::with_capacity(128);
    let one = bytes.len() / 101;
    // An event that ends in another read than it began in is put together: that may cost something.
    let (first, rest) = (bytes.slice(..one), bytes.slice(one..));
    decoder.push(first, &mut out);
    decoder.push(rest.slice(..0), &mut out);
    let counted = measure(|| decoder.push(rest, &mut out));
    assert!(out.len() >= 100, "{}", out.len());
    assert!(counted.count_total <= 2, "{} for 100 events", counted.count_total);
}

#[test]
fn counting_what_passes_asks_for_no_memory() {
    let (bytes, mut produced) = (events(100), Produced::new());
    produced.push(&events(1));
    let counted = measure(|| produced.push(&bytes));
    // Now and then what is kept of the text has to grow.
    assert!(counted.count_total <= 15, "{} for 100 events", counted.count_total);
}

#[test]
fn a_translated_event_asks_for_little_memory() {
    let anthropic = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\
        \"delta\":{\"type\":\"text_delta\",\"text\":\" word\"}}\n\n";
    let gemini = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\" word\"}],\"role\":\"model\"},\"index\":0}],\
        \"usageMetadata\":{\"promptTokenCount\":2},\"modelVersion\":\"m\"}\n\n";
    let counted = [per_event(Protocol::Anthropic, anthropic), per_event(Protocol::Gemini, gemini)];
    println!("allocations of an event of Anthropic's and Gemini's: {counted:?}");
    assert!(counted[0] <= ANTHROPIC_EVENT && counted[1] <= GEMINI_EVENT, "{counted:?}");
}

#[test]
fn reading_a_body_and_writing_it_anew_asks_for_little_memory() {
    let body = Bytes::from(body("auto", 7));
    let counted = measure(|| {
        let ask = Ask::parse(Endpoint::Chat, body.clone()).unwrap();
        let rewrite = Rewrite { model: "other", ..Rewrite::default() };
        assert!(ask.rewrite(&rewrite).len() > 1000);
    });
    println!("allocations of reading a body and writing it anew: {}", counted.count_total);
    assert!(counted.count_total <= PARSE, "{}", counted.count_total);
}

/// A chat of 1 KB; another one for each number.
fn body(model: &str, number: u64) -> String {
    let text =
        "Compare the two proposals, and say what you would want to know before you decide. ".repeat(12);
    format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"Case {number}. {text}"}}]}}"#)
}

const OFF: &str = "[auth]\nmode = \"open\"\n";

fn on() -> String {
    format!(
        "[[keys]]\nname = \"k\"\nsecret = \"{KEY}\"\nrpm = 400000000\ntpm = 4000000000\n\
         [[budgets]]\nname = \"all\"\nmonthly = \"90000000\"\n\
         [[budgets]]\nname = \"key\"\nscope = \"key:k\"\ndaily = \"90000000\"\n\
         [classifier]\ntiers = [{{ min = 1, route = \"standard\" }}]\n[cache]\nenabled = true\n"
    )
}

/// A gateway without a network: the provider is the simulated one, the ledger in memory.
struct Gateway {
    runtime: Runtime,
    front: Front,
    _folder: tempfile::TempDir,
}

impl Gateway {
    fn new(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("weir.toml");
        let text = format!(
            "{more}[ledger]\nurl = \"sqlite::memory:\"\nack = \"async\"\n[providers.p]\nprotocol = \"sim\"\n\
             [models.m]\nprovider = \"p\"\nupstream_model = \"m?tokens=20\"\nprice = {{ input = \"1\", output = \"4\" }}\n\
             [routes.standard]\ntargets = [\"m\"]\n"
        );
        std::fs::write(&file, text).unwrap();
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let read = move || config::load(std::slice::from_ref(&file));
        let loaded = read().unwrap();
        let built = runtime.block_on(async {
            tokio::task::spawn_blocking(move || app::build(loaded, read, Clock::system())).await.unwrap()
        });
        let front = router(&built.unwrap().0, false, true);
        Self { runtime, front, _folder: folder }
    }

    /// Asks once, on this thread alone.
    fn ask(&mut self, model: &str, number: u64) {
        let mut request = Request::post("/v1/chat/completions")
            .header("host", "localhost")
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {KEY}"))
            .body(Full::new(Bytes::from(body(model, number))))
            .unwrap();
        let peer: SocketAddr = ([127, 0, 0, 1], 1).into();
        request.extensions_mut().insert(ConnectInfo(peer));
        self.runtime.block_on(async {
            let answer = self.front.call(request).await.unwrap();
            assert_eq!(answer.status(), 200);
            assert!(!answer.into_body().collect().await.unwrap().to_bytes().is_empty());
        });
    }

    /// How often memory is asked for a request, making and reading it included.
    fn per_request(&mut self, model: &str, number: impl Fn(u64) -> u64) -> u64 {
        const REQUESTS: u64 = 50;
        for at in 0..REQUESTS {
            self.ask(model, number(at));
        }
        let counted = measure(|| {
            for at in REQUESTS..2 * REQUESTS {
                self.ask(model, number(at));
            }
        });
        counted.count_total.div_ceil(REQUESTS)
    }
}

#[test]
fn a_request_asks_for_a_bounded_number_of_allocations() {
    let off = Gateway::new(OFF).per_request("standard", |at| at);
    let mut gateway = Gateway::new(&on());
    let miss = gateway.per_request("auto", |at| at);
    let hit = gateway.per_request("auto", |_| 1_000_000);
    println!(
        "allocations of a request: {off} with features off, {miss} with everything on, {hit} of a cache hit"
    );
    assert!(off <= FEATURES_OFF, "{off} with features off");
    assert!(miss <= EVERYTHING_ON, "{miss} with everything on");
    assert!(hit <= CACHE_HIT, "{hit} of a cache hit");
}

/// The simulated provider's own are among them, which answers inside this process. Counted: 498, 578, 58.
const FEATURES_OFF: u64 = 540;
const EVERYTHING_ON: u64 = 630;
const CACHE_HIT: u64 = 66;
/// Counted: 8.
const PARSE: u64 = 10;
/// Counted: 0 and 9.
const ANTHROPIC_EVENT: u64 = 1;
const GEMINI_EVENT: u64 = 10;
