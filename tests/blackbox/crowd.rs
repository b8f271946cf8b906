//! A thousand streams at once: none waits in line, none fails, each costs little memory.

use crate::support::{
    limits::{open_files, quiet},
    openai::ask_stream,
    settings::{OPEN, target},
    sim::SimProcess,
    transcript::{CHAT, Transcript},
    weir::Weir,
};

const STREAMS: usize = 1000;
const CHUNKS: usize = 50;
/// The promise is 64 KiB; an unoptimized build has larger frames on its heap.
const KIB_PER_STREAM: u64 = 128;

async fn crowd(http: &str) {
    let _quiet = quiet().await;
    open_files(8192);
    let sim = SimProcess::start(&[]).await;
    let toml = [
        OPEN,
        &target("p", &sim.base_url(), &format!("http = \"{http}\""), ""),
        // All have begun by the time that the first one has a token.
        "[models.crowd]\nprovider = \"p\"\nupstream_model = \"m?tokens=50&tps=20&first_token=4s\"\n",
        "[models.warm]\nprovider = \"p\"\nupstream_model = \"m?tokens=2\"\n",
    ]
    .concat();
    let weir = Weir::start(&toml).await;
    let client = weir.client();
    assert!(Transcript::of(&mut client.stream(CHAT, &ask_stream("warm")).await).await.is_clean());
    let idle = weir.rss_kib();
    let streams = (0..STREAMS).map(|_| {
        let client = client.clone();
        tokio::spawn(async move {
            let mut stream = client.stream(CHAT, &ask_stream("crowd")).await;
            assert_eq!(stream.status().as_u16(), 200);
            let transcript = Transcript::of(&mut stream).await;
            assert!(transcript.is_clean() && transcript.contents == CHUNKS, "{transcript:?}");
        })
    });
    for stream in streams.collect::<Vec<_>>() {
        stream.await.unwrap();
    }
    let stats = sim.stats().await;
    let each = (weir.peak_rss_kib() - idle) / STREAMS as u64;
    tell(&format!("http {http}: {each} KiB a stream (idle {idle} KiB), upstream {stats}"));
    assert_eq!(stats["peak_open_streams"], STREAMS, "{stats}");
    assert_eq!(stats["requests"], STREAMS + 1, "{stats}");
    let connections = stats["accepted_connections"].as_u64().unwrap();
    if http == "2" {
        // A hundred streams each; the control endpoint is asked over one more.
        assert!((10..=12).contains(&connections), "{stats}");
    }
    assert!(each < KIB_PER_STREAM, "{each} KiB a stream");
}

#[allow(clippy::print_stderr, reason = "figures of a test run are for whoever reads its output")]
fn tell(figure: &str) {
    eprintln!("{figure}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_streams_over_http_1() {
    crowd("1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_streams_over_http_2() {
    crowd("2").await;
}
