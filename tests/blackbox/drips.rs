//! Many streams that hardly move cost little memory, while others are answered.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::support::{
    limits::open_files,
    openai::{DONE, ask, ask_stream, role, says, stop, text},
    raw::RawUpstream,
    settings::{OPEN, route, target},
    transcript::{CHAT, Transcript},
    weir::Weir,
    wire,
};

const STREAMS: usize = 500;
/// How long each stream drips, a byte a second: a comment each three seconds.
const SECONDS: usize = 12;
const MAX_KIB: u64 = 64 * 1024;

/// Answers one request: a first word, then byte by byte, then the end.
async fn drip(mut stream: TcpStream) {
    stream.set_nodelay(true).unwrap();
    let mut bytes = Vec::new();
    while wire::take_request(&mut bytes, 0).is_none() {
        if !matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {
            return;
        }
    }
    let begin = [wire::sse_head(), wire::chunk(role() + &text("slow"))].concat();
    stream.write_all(&begin).await.unwrap();
    for byte in b":\n\n".iter().cycle().take(SECONDS) {
        tokio::time::sleep(Duration::from_secs(1)).await;
        stream.write_all(&wire::chunk([*byte])).await.unwrap();
    }
    let end = [wire::chunk(text("ly") + &stop() + DONE), wire::last_chunk()].concat();
    stream.write_all(&end).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_streams_at_a_byte_a_second_cost_little_memory() {
    open_files(4096);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(drip(stream));
        }
    });
    let healthy = RawUpstream::start(vec![says("fine")]).await;
    let toml = [
        OPEN,
        &target("slow", &base_url, "", ""),
        &target("healthy", &healthy.base_url(), "", ""),
        &route("chain", &["slow"], ""),
    ]
    .concat();
    let weir = Weir::start(&toml).await;
    let client = weir.client();
    assert_eq!(client.post_json(CHAT, &ask("healthy")).await.status, 200);
    let before = weir.rss_kib();
    let streams = (0..STREAMS).map(|_| {
        let client = client.clone();
        tokio::spawn(async move {
            let mut stream = client.stream(CHAT, &ask_stream("chain")).await;
            assert_eq!(stream.status().as_u16(), 200);
            Transcript::of(&mut stream).await
        })
    });
    let streams: Vec<_> = streams.collect();
    // All of them are under way at once, with room for others.
    let end = tokio::time::Instant::now() + Duration::from_secs(SECONDS as u64);
    let mut most = 0.0_f64;
    while tokio::time::Instant::now() < end {
        most = most.max(weir.metric("weir_in_flight").await);
        assert_eq!(client.post_json(CHAT, &ask("healthy")).await.status, 200);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(most >= STREAMS as f64, "{most} at once");
    for stream in streams {
        let transcript = stream.await.unwrap();
        assert!(transcript.is_clean() && transcript.text == "slowly", "{transcript:?}");
        let comments = transcript.events.iter().filter(|event| event.data.is_empty()).count();
        assert_eq!(comments, SECONDS / 3, "{transcript:?}");
    }
    let grown = weir.peak_rss_kib() - before;
    assert!(grown <= MAX_KIB, "{STREAMS} streams took {grown} KiB");
}
