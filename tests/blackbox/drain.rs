//! SIGTERM: what runs may end, nothing new begins.

use std::time::{Duration, Instant};

use crate::support::{
    client::Client,
    openai::{ask, ask_stream, role, stream_then, text},
    raw::RawUpstream,
    script::Step,
    settings::{OPEN, chain, route, target},
    sim::SimProcess,
    transcript::{CHAT, Transcript},
    weir::Weir,
};

const STREAMS: usize = 32;
const CHUNKS: usize = 40;

/// Whether a path is refused: no connection, or 503.
async fn refused(client: &Client, method: &str, path: &str) -> bool {
    let body = if method == "POST" { ask("chain").to_string() } else { String::new() };
    match client.try_send(method, path, body).await {
        Ok(answer) => answer.status.as_u16() == 503,
        Err(_) => true,
    }
}

#[tokio::test]
async fn streams_end_before_the_process_does() {
    let sim = SimProcess::start(&["--fault", "tokens=40", "--tokens-per-second", "20"]).await;
    let toml = [
        OPEN,
        "[server]\nshutdown_grace = \"20s\"\n",
        &target("p", &sim.base_url(), "", ""),
        &route("chain", &["p"], ""),
    ]
    .concat();
    let mut weir = Weir::start(&toml).await;
    let client = weir.client();
    assert_eq!(client.get("/readyz").await.status.as_u16(), 200);
    let mut streams = Vec::new();
    for opening in (0..STREAMS)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.stream(CHAT, &ask_stream("chain")).await })
        })
        .collect::<Vec<_>>()
    {
        streams.push(opening.await.unwrap());
    }
    let told = Instant::now();
    weir.sigterm();
    weir.logged("draining").await;
    // Those with a connection of their own from before, as well as newcomers.
    for client in [client, weir.client()] {
        assert!(refused(&client, "GET", "/readyz").await, "/readyz says that it is ready");
        assert!(refused(&client, "POST", CHAT).await, "a new request was taken");
    }
    assert!(told.elapsed() < Duration::from_secs(1), "{:?}", told.elapsed());
    for stream in &mut streams {
        let transcript = Transcript::of(stream).await;
        assert!(transcript.is_clean() && transcript.contents == CHUNKS, "{transcript:?}");
        assert!(transcript.ended > told, "it ended before the signal: the test shows nothing");
    }
    let status = weir.wait_exit(Duration::from_secs(5)).await;
    assert_eq!(status.code(), Some(0), "{}", weir.logs());
    assert!(weir.logs().contains("every request has ended"), "{}", weir.logs());
}

#[tokio::test]
async fn the_grace_period_has_an_end() {
    let upstream = RawUpstream::start(vec![stream_then(&[role(), text("Hi")], &[Step::Hang])]).await;
    let toml = format!("[server]\nshutdown_grace = \"500ms\"\n{}", chain(&[("p", &upstream.base_url())]));
    let mut weir = Weir::start(&toml).await;
    let mut stream = weir.client().stream(CHAT, &ask_stream("chain")).await;
    let told = Instant::now();
    weir.sigterm();
    let status = weir.wait_exit(Duration::from_secs(5)).await;
    assert!(told.elapsed() >= Duration::from_millis(500), "{:?}", told.elapsed());
    assert_eq!(status.code(), Some(0));
    let transcript = Transcript::of(&mut stream).await;
    assert!(transcript.is_cut(), "a cut looks like an end: {transcript:?}");
    assert_eq!(transcript.errors[0]["code"], "overloaded");
    assert!(weir.logs().contains("connections were cut"), "{}", weir.logs());
}
