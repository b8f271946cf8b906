//! Upstreams that answer nonsense: another target answers, or an honest 502; memory stays bounded.

use crate::support::{
    openai::{ask, ask_stream, role, says, stream_then, streams, text},
    raw::RawUpstream,
    script::{Script, Step},
    settings::{OPEN, route, target},
    transcript::{CHAT, Transcript},
    weir::Weir,
    wire,
};

const MIB: usize = 1024 * 1024;

/// Gzip of 100 MiB of spaces in 640 KiB: one literal, then copies of 258 bytes each from one byte before.
fn gzip() -> Vec<u8> {
    let (mut packed, mut bits) = (b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03".to_vec(), 0);
    let mut push = |code: &str| {
        for bit in code.bytes() {
            if bits % 8 == 0 {
                packed.push(0);
            }
            *packed.last_mut().unwrap() |= (bit - b'0') << (bits % 8);
            bits += 1;
        }
    };
    // The last block, with the fixed code of RFC 1951: a space, lengths of 258 at distance 1, the end.
    push("110");
    push("01010000");
    (0..100 * MIB / 258).for_each(|_| push("1100010100000"));
    push("0000000");
    packed.extend([0; 8]);
    packed
}

/// An answer that would unpack to 100 MiB; it is never unpacked.
fn bomb(kind: &str) -> Vec<u8> {
    wire::answer(200, &[("content-type", kind), ("content-encoding", "gzip")], &gzip())
}

/// An answer of `size` bytes in many small parts, by chunks of unknown total.
fn endless(size: usize) -> Script {
    let head = wire::head(200, &[("content-type", "application/json"), ("transfer-encoding", "chunked")]);
    let part = wire::chunk(vec![b' '; MIB / 4]);
    let mut steps = vec![Step::Send(head)];
    steps.extend(vec![Step::Send(part); size / (MIB / 4)]);
    steps.push(Step::Send(wire::last_chunk()));
    Script::OnRequest(steps)
}

fn whole_nonsense() -> Vec<(&'static str, Script)> {
    vec![
        ("a web page", Script::json(200, "<html><body>It works!</body></html>")),
        ("an empty body", Script::json(200, "")),
        ("half of JSON", Script::json(200, "{\"id\":\"x\",\"choices\":[{\"index\":0,\"mess")),
        ("JSON of another kind", Script::json(200, "[1,2,3]")),
        ("no choices", Script::json(200, "{\"object\":\"chat.completion\"}")),
        ("empty choices", Script::json(200, "{\"choices\":[]}")),
        ("bytes", Script::send(wire::answer(200, &[], &[0xff, 0xfe, 0, 1, 2]))),
        ("a gzip bomb", Script::send(bomb("application/json"))),
        ("a body over max_answer", Script::json(200, &says_long())),
        ("an endless body", endless(64 * MIB)),
        ("deep JSON", Script::json(200, &format!("{{\"choices\":{}", "[".repeat(500_000)))),
        ("another protocol", Script::send(b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n".to_vec())),
        ("a huge head", Script::send(wire::answer(200, &[("x-big", &"a".repeat(300_000))], b"{}"))),
        ("a redirect", Script::send(wire::answer(302, &[("location", "http://127.0.0.1:1/")], b""))),
    ]
}

fn says_long() -> String {
    crate::support::openai::whole(&"a".repeat(2 * MIB))
}

fn stream_nonsense() -> Vec<(&'static str, Script)> {
    let page = "<html>\n\n<body>It works!</body></html>\n\n".to_owned();
    vec![
        ("a web page", stream_then(&[page], &[Step::Send(wire::last_chunk())])),
        ("a chunk that is no JSON", stream_then(&[role(), "data: {\"choices\":\n\n".into()], &[Step::Hang])),
        ("a chunk that is a list", stream_then(&["data: [1]\n\n".into()], &[Step::Hang])),
        (
            "an event without end",
            stream_then(&vec!["data: ".to_owned() + &"a".repeat(MIB / 4); 16], &[Step::Hang]),
        ),
        (
            "bytes",
            Script::send(wire::answer(200, &[("content-type", "text/event-stream")], &[0xff, 0, 10, 10, 1])),
        ),
        ("a whole answer", says("not a stream")),
        ("a gzip bomb", Script::send(bomb("text/event-stream"))),
    ]
}

async fn gateway(first: Vec<Script>, fallback: Script) -> (Weir, RawUpstream, RawUpstream) {
    let (first, second) = (RawUpstream::start(first).await, RawUpstream::start(vec![fallback]).await);
    let toml = [
        OPEN,
        &target("first", &first.base_url(), "max_answer = \"1MiB\"", ""),
        &target("second", &second.base_url(), "", ""),
        &route("chain", &["first", "second"], ""),
        &route("alone", &["first"], ""),
    ]
    .concat();
    (Weir::start(&toml).await, first, second)
}

#[tokio::test]
async fn whole_nonsense_is_replaced_or_told() {
    let nonsense = whole_nonsense();
    let scripts = nonsense.iter().flat_map(|(_, script)| [script.clone(), script.clone()]).collect();
    let (weir, _first, _second) = gateway(scripts, says("fine")).await;
    weir.client().post_json(CHAT, &ask("second")).await;
    let before = weir.peak_rss_kib();
    for (name, _) in &nonsense {
        let answer = weir.client().post_json(CHAT, &ask("chain")).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-weir-model")), (200, "second"), "{name}");
        let answer = weir.client().post_json(CHAT, &ask("alone")).await;
        let told = (answer.status.as_u16(), answer.code());
        assert_eq!(told, (502, "upstream_invalid_response".into()), "{name}: {}", answer.text());
        assert_eq!(answer.json()["error"]["type"], "upstream_error", "{name}");
        assert_eq!(answer.json()["error"]["attempts"][0]["outcome"], "invalid_answer", "{name}");
    }
    let grown = weir.peak_rss_kib() - before;
    assert!(grown < 32 * 1024, "memory grew by {grown} KiB");
}

#[tokio::test]
async fn streamed_nonsense_is_replaced_or_told() {
    let nonsense = stream_nonsense();
    let scripts = nonsense.iter().flat_map(|(_, script)| [script.clone(), script.clone()]).collect();
    let (weir, _first, _second) = gateway(scripts, streams(&["fine"])).await;
    Transcript::of(&mut weir.client().stream(CHAT, &ask_stream("second")).await).await;
    let before = weir.peak_rss_kib();
    for (name, _) in &nonsense {
        let mut stream = weir.client().stream(CHAT, &ask_stream("chain")).await;
        assert_eq!((stream.status().as_u16(), stream.header("x-weir-model")), (200, "second"), "{name}");
        let transcript = Transcript::of(&mut stream).await;
        assert!(transcript.is_clean() && transcript.text == "fine", "{name}: {transcript:?}");
        let answer = weir.client().post_json(CHAT, &ask_stream("alone")).await;
        let told = (answer.status.as_u16(), answer.code());
        // Bytes without an event are a stream that ended too early.
        let expected = match *name {
            "bytes" => (503, "upstream_unavailable".to_owned()),
            _ => (502, "upstream_invalid_response".to_owned()),
        };
        assert_eq!(told, expected, "{name}: {}", answer.text());
    }
    let grown = weir.peak_rss_kib() - before;
    assert!(grown < 32 * 1024, "memory grew by {grown} KiB");
}

#[tokio::test]
async fn nonsense_after_content_ends_the_stream_with_an_error() {
    for part in ["data: {\"choices\":\n\n", "data: oops\n\n", "{\"error\":{\"message\":\"x\"}}"] {
        let script = stream_then(&[role(), text("Hi"), part.into()], &[Step::Send(wire::last_chunk())]);
        let (weir, _first, second) = gateway(vec![script], streams(&["not me"])).await;
        let mut stream = weir.client().stream(CHAT, &ask_stream("chain")).await;
        let transcript = Transcript::of(&mut stream).await;
        assert!(transcript.is_cut() && transcript.text == "Hi", "{part}: {transcript:?}");
        assert_eq!(second.requests().len(), 0);
    }
}
