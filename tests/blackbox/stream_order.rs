//! When the parts of a stream reach the client: held until content, at once from then on, an end that is an end.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

use crate::support::{
    limits::quiet,
    openai::{DONE, ask_stream, role, stop, stream_then, text, usage},
    raw::RawUpstream,
    script::{Script, Step},
    settings::chain,
    transcript::{CHAT, Transcript},
    weir::Weir,
    wire,
};

async fn gateway(script: Script) -> (Weir, RawUpstream) {
    let upstream = RawUpstream::start(vec![script]).await;
    let weir = Weir::start(&chain(&[("first", &upstream.base_url())])).await;
    (weir, upstream)
}

#[tokio::test]
async fn a_role_waits_for_content() {
    let go = Arc::new(Notify::new());
    let rest = [
        Step::Wait(Arc::clone(&go)),
        Step::Send(wire::chunk(text("Hi") + &stop() + DONE)),
        Step::Send(wire::last_chunk()),
    ];
    let (weir, upstream) = gateway(stream_then(&[role(), ": ping\n\n".into(), role()], &rest)).await;
    let client = weir.client();
    let body = ask_stream("chain");
    let mut asking = std::pin::pin!(client.try_stream(CHAT, &body));
    assert!(
        timeout(Duration::from_millis(300), &mut asking).await.is_err(),
        "not even a head before content"
    );
    assert_eq!(upstream.requests().len(), 1);
    go.notify_one();
    let mut stream = asking.await.unwrap();
    let expected = [role(), ": ping\n\n".into(), role(), text("Hi"), stop(), DONE.into()].concat();
    stream.rest().await;
    assert_eq!(String::from_utf8_lossy(stream.raw()), expected);
}

#[tokio::test]
async fn every_kind_of_content_ends_the_wait() {
    for delta in [
        r#"{"content":"x"}"#,
        r#"{"reasoning_content":"x"}"#,
        r#"{"reasoning":"x"}"#,
        r#"{"refusal":"x"}"#,
        r#"{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}}]}"#,
        r#"{"function_call":{"name":"f","arguments":""}}"#,
    ] {
        let chunk = format!(
            "data: {{\"object\":\"chat.completion.chunk\",\"choices\":[{{\"index\":0,\"delta\":{delta}}}]}}\n\n"
        );
        let (weir, _upstream) = gateway(stream_then(&[role(), chunk], &[Step::Hang])).await;
        let client = weir.client();
        let body = ask_stream("chain");
        let asked = timeout(Duration::from_secs(10), client.stream(CHAT, &body)).await;
        assert!(asked.is_ok(), "{delta} is content");
    }
}

#[tokio::test]
async fn what_is_held_back_has_a_bound() {
    let long = format!(": {}\n\n", "x".repeat(8 * 1024));
    let large = role().replacen('{', &format!("{{\"x\":\"{}\",", "x".repeat(32 * 1024)), 1);
    for (name, frames, passes) in [
        ("63 events", vec![role(); 63], false),
        ("64 events", vec![role(); 64], true),
        ("7 of 32 KiB", vec![large.clone(); 7], false),
        ("8 of 32 KiB", vec![large; 8], true),
        // Comments alone never make a stream the answer.
        ("500 comments", vec![long; 500], false),
    ] {
        let (weir, _upstream) = gateway(stream_then(&frames, &[Step::Hang])).await;
        let (client, body) = (weir.client(), ask_stream("chain"));
        let patience = Duration::from_secs(if passes { 20 } else { 1 });
        let asked = timeout(patience, client.stream(CHAT, &body)).await;
        assert_eq!(asked.is_ok(), passes, "{name}");
        assert!(weir.peak_rss_kib() < 128 * 1024, "{name}");
    }
}

#[tokio::test]
async fn nothing_is_held_back_after_content() {
    let _quiet = quiet().await;
    const CHUNKS: usize = 30;
    let go = Arc::new(Notify::new());
    let mut steps = Vec::new();
    for number in 0..CHUNKS {
        // The last ones come without content: they are no reason to wait either.
        let part = if number < CHUNKS - 5 { text("w ") } else { format!(": comment {number}\n\n") };
        steps.extend([Step::Wait(Arc::clone(&go)), Step::Send(wire::chunk(part))]);
    }
    steps.push(Step::Hang);
    let (weir, _upstream) = gateway(stream_then(&[role(), text("first ")], &steps)).await;
    let mut stream = weir.client().stream(CHAT, &ask_stream("chain")).await;
    stream.next().await.unwrap();
    stream.next().await.unwrap();
    let mut delays = Vec::new();
    for number in 0..CHUNKS {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let sent = Instant::now();
        go.notify_one();
        let event = timeout(Duration::from_secs(5), stream.next()).await;
        assert!(event.is_ok_and(|event| event.is_some()), "chunk {number} never came");
        delays.push(sent.elapsed());
    }
    delays.sort();
    // 20 ms with fourfold slack; the slowest one may have met a busy machine.
    assert!(delays[CHUNKS - 2] < Duration::from_millis(80), "{delays:?}");
}

#[tokio::test]
async fn an_end_without_its_mark_gets_one() {
    for (name, end) in [
        ("end of body", Step::Send(wire::last_chunk())),
        ("last event cut short", Step::Sleep(Duration::ZERO)),
    ] {
        let mut parts = vec![role(), text("Hi"), stop()];
        let mut rest = vec![end];
        if name == "last event cut short" {
            // `[DONE]` without its blank line.
            parts.push("data: [DONE]".into());
            rest.push(Step::Send(wire::last_chunk()));
        }
        let (weir, _upstream) = gateway(stream_then(&parts, &rest)).await;
        let mut stream = weir.client().stream(CHAT, &ask_stream("chain")).await;
        let transcript = Transcript::of(&mut stream).await;
        assert!(transcript.is_clean(), "{name}: {transcript:?}");
        assert!(stream.raw().ends_with(DONE.as_bytes()), "{name}");
    }
}

#[tokio::test]
async fn nothing_follows_the_end() {
    let parts = [role(), text("Hi"), stop(), usage(), DONE.to_owned(), text("late"), DONE.to_owned()];
    let (weir, upstream) = gateway(stream_then(&parts, &[Step::Hang])).await;
    let mut stream = weir.client().stream(CHAT, &ask_stream("chain")).await;
    let transcript = timeout(Duration::from_secs(5), Transcript::of(&mut stream)).await.unwrap();
    assert!(transcript.is_clean() && transcript.text == "Hi", "{transcript:?}");
    // An upstream that does not end its body after its own end mark loses its connection.
    upstream.peer_left(0).await;
}
