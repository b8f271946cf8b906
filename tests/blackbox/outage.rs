//! The first upstream dies under load, then returns: no client notices, but for streams that were past content.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::Mutex;

use crate::support::{
    client::Client,
    limits::quiet,
    openai::{ask, ask_stream},
    settings::{HEALTHY, route, target},
    sim::SimProcess,
    transcript::{CHAT, Transcript},
    weir::Weir,
};

const REQUESTS: usize = 2000;
const CONCURRENT: usize = 50;
const KILL_AT: usize = 500;
const RESTART_AT: usize = 1500;
const TOKENS: usize = 12;

/// What the clients saw.
#[derive(Default)]
struct Seen {
    wholes: AtomicUsize,
    streams: AtomicUsize,
    by_first: AtomicUsize,
    by_second: AtomicUsize,
    /// Streams that ended in an error event: when they began, when they ended.
    cut: std::sync::Mutex<Vec<(Instant, Instant)>>,
}

impl Seen {
    fn answered_by(&self, model: &str) {
        match model {
            "first" => &self.by_first,
            _ => &self.by_second,
        }
        .fetch_add(1, Ordering::Relaxed);
    }

    async fn whole(&self, client: &Client) {
        let answer = client.post_json(CHAT, &ask("chain")).await;
        assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
        assert_eq!(answer.json()["usage"]["completion_tokens"], TOKENS);
        self.answered_by(answer.header("x-weir-model"));
        self.wholes.fetch_add(1, Ordering::Relaxed);
    }

    async fn stream(&self, client: &Client) {
        let begun = Instant::now();
        let mut stream = client.stream(CHAT, &ask_stream("chain")).await;
        assert_eq!(stream.status().as_u16(), 200);
        let model = stream.header("x-weir-model").to_owned();
        let transcript = Transcript::of(&mut stream).await;
        if transcript.is_clean() {
            assert_eq!((transcript.contents, transcript.roles), (TOKENS, 1), "{transcript:?}");
            self.answered_by(&model);
        } else {
            assert!(transcript.is_cut() && transcript.contents > 0, "{transcript:?}");
            assert_eq!(model, "first");
            self.cut.lock().unwrap().push((begun, transcript.ended));
        }
        self.streams.fetch_add(1, Ordering::Relaxed);
    }
}

async fn sims() -> (SimProcess, SimProcess, Weir) {
    let pace = ["--fault", "tokens=12", "--first-token", "10ms", "--tokens-per-second", "100"];
    let (first, second) = (SimProcess::start(&pace).await, SimProcess::start(&pace).await);
    let toml = [
        HEALTHY,
        &target("first", &first.base_url(), "", ""),
        &target("second", &second.base_url(), "", ""),
        &route("chain", &["first", "second"], ""),
    ]
    .concat();
    (first, second, Weir::start(&toml).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_upstream_costs_no_client_an_error() {
    let _quiet = quiet().await;
    let (first, _second, weir) = sims().await;
    let seen = Arc::new(Seen::default());
    let next = Arc::new(AtomicUsize::new(0));
    let killed_at = Arc::new(Mutex::new(None::<Instant>));
    let first = Arc::new(Mutex::new(first));
    let workers = (0..CONCURRENT).map(|_| {
        let (client, seen, next) = (weir.client(), Arc::clone(&seen), Arc::clone(&next));
        let (first, killed_at) = (Arc::clone(&first), Arc::clone(&killed_at));
        tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                match number {
                    KILL_AT => {
                        *killed_at.lock().await = Some(Instant::now());
                        first.lock().await.kill();
                    }
                    RESTART_AT => first.lock().await.restart_on_same_port().await,
                    REQUESTS.. => return,
                    _ => {}
                }
                if number % 2 == 0 { seen.whole(&client).await } else { seen.stream(&client).await }
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
    let killed_at = killed_at.lock().await.unwrap();
    let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    assert_eq!((count(&seen.wholes), count(&seen.streams)), (REQUESTS / 2, REQUESTS / 2));
    let cut = seen.cut.lock().unwrap().clone();
    assert!(!cut.is_empty() && cut.len() <= CONCURRENT, "{} streams were under way at the kill", cut.len());
    for (begun, ended) in &cut {
        assert!(*begun <= killed_at && *ended >= killed_at, "a stream was cut at another time");
    }
    // Between kill and restart the second one answers all; before and after, the first one does.
    assert!(count(&seen.by_second) >= RESTART_AT - KILL_AT - CONCURRENT, "{}", count(&seen.by_second));
    assert!(count(&seen.by_first) >= KILL_AT - CONCURRENT, "{}", count(&seen.by_first));
    // Its breaker lets a probe through after some seconds, then more and more.
    let back = Instant::now();
    while first.lock().await.stats().await["requests"].as_u64().unwrap() < 20 {
        assert!(back.elapsed() < Duration::from_secs(60), "it is not used again after its return");
        seen.whole(&weir.client()).await;
    }
}
