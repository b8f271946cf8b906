//! What an answer that is kept costs beside one that is asked for: time as a client sees it, time of the processor.
#![allow(clippy::print_stdout, reason = "its figures are for whoever runs it")]

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::json;
use weir::sim::{Sim, SimSettings, serve};

/// Requests of each kind in a round; the kinds take turns, so that what disturbs one disturbs the others.
const REQUESTS: usize = 1000;
const ROUNDS: usize = 5;
/// Ticks of the processor's clock a second, as Linux counts them for every program.
const TICKS: f64 = 100.0;

/// A gateway as a process of its own, whose time can be read.
struct Gateway {
    process: Child,
    url: String,
    _folder: tempfile::TempDir,
}

impl Gateway {
    fn start(upstream: &str) -> Self {
        let folder = tempfile::tempdir().expect("a bench stops at the first surprise");
        let config = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n[auth]\nmode = \"open\"\n[ledger]\nurl = \"sqlite::memory:\"\n\
             [providers.p]\nbase_url = \"http://{upstream}/v1\"\n[models.m]\nprovider = \"p\"\n\
             upstream_model = \"m?tokens=150\"\n[cache]\nenabled = true\n"
        );
        std::fs::write(folder.path().join("weir.toml"), config).expect("a bench stops at the first surprise");
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
        command.args(["serve", "--config", "weir.toml"]).current_dir(folder.path()).stderr(Stdio::piped());
        let mut process = command.spawn().expect("a bench stops at the first surprise");
        let mut lines =
            BufReader::new(process.stderr.take().expect("a bench stops at the first surprise")).lines();
        let listens = lines.find_map(|line| {
            let line = line.expect("a bench stops at the first surprise");
            line.split_once("listening on ").map(|(_, url)| url.trim().to_owned())
        });
        // What it says later goes nowhere, but must not block it.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            process,
            url: format!("{}/v1/chat/completions", listens.expect("a bench stops at the first surprise")),
            _folder: folder,
        }
    }

    /// The time of the processor that it has taken so far.
    fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()))
            .expect("a bench stops at the first surprise");
        let (_, fields) = stat.rsplit_once(')').expect("a bench stops at the first surprise");
        let ticks = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(|field| field.parse::<f64>().expect("a bench stops at the first surprise"));
        ticks.sum::<f64>() / TICKS
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What a kind of request took.
#[derive(Default)]
struct Took {
    times: Vec<Duration>,
    cpu: f64,
}

async fn round(client: &reqwest::Client, gateway: &Gateway, took: &mut Took, ask: impl Fn(usize) -> String) {
    let before = gateway.cpu();
    for number in 0..REQUESTS {
        let begun = Instant::now();
        let answer = client
            .post(&gateway.url)
            .body(ask(number))
            .send()
            .await
            .expect("a bench stops at the first surprise");
        assert!(answer.status().is_success(), "{}", answer.status());
        answer.bytes().await.expect("a bench stops at the first surprise");
        took.times.push(begun.elapsed());
    }
    took.cpu += gateway.cpu() - before;
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let sim = Sim::new(SimSettings::default()).expect("a bench stops at the first surprise");
    let listener =
        tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a bench stops at the first surprise");
    let upstream = listener.local_addr().expect("a bench stops at the first surprise").to_string();
    tokio::spawn(serve(listener, sim, std::future::pending::<()>()));
    let gateway = Gateway::start(&upstream);
    let client = reqwest::Client::builder().no_proxy().build().expect("a bench stops at the first surprise");
    let ask = |text: &str, stream: bool| {
        let text = format!("{text} {}", "What is kept, what is asked for?".repeat(30));
        json!({ "model": "m", "stream": stream, "messages": [{ "role": "user", "content": text }] })
            .to_string()
    };
    let mut took: [(&str, Took); 4] =
        ["miss", "miss, streamed", "hit", "hit, streamed"].map(|kind| (kind, Took::default()));
    for at in 0..ROUNDS {
        for (kind, (_, took)) in took.iter_mut().enumerate() {
            let stream = kind % 2 == 1;
            round(&client, &gateway, took, |number| match kind {
                0 | 1 => ask(&format!("{at} {kind} {number}"), stream),
                _ => ask("again", stream),
            })
            .await;
        }
    }
    println!("{:<20}{:>10}{:>10}{:>16}", "1 KiB, one by one", "p50", "p99", "processor");
    for (kind, Took { mut times, cpu }) in took {
        times.sort_unstable();
        let at = |share: usize| format!("{:.0} us", times[times.len() * share / 100].as_secs_f64() * 1e6);
        let each = format!("{:.1} us", cpu / times.len() as f64 * 1e6);
        println!("{kind:<20}{:>10}{:>10}{each:>16}", at(50), at(99));
    }
}
