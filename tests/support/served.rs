//! A simulated provider inside the test, whose own log tells what it gave.

use tokio::net::TcpListener;
use weir::sim::{LogEntry, Sim, SimSettings, serve};

/// A provider that listens on a free port of 127.0.0.1 until the test's runtime ends.
pub struct Served {
    sim: Sim,
    address: String,
}

impl Served {
    /// Starts one with this fault or pace, written as for `weir sim --fault`.
    pub async fn start(fault: &str) -> Self {
        let fault = fault.parse().unwrap();
        let sim = Sim::new(SimSettings { fault, ..SimSettings::default() }).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(serve(listener, sim.clone(), std::future::pending::<()>()));
        Self { sim, address }
    }

    /// A `base_url` for a provider that speaks OpenAI's or Anthropic's protocol.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// A `base_url` for a provider that speaks Gemini's protocol.
    pub fn gemini_url(&self) -> String {
        format!("http://{}/v1beta", self.address)
    }

    /// What it was asked, the oldest first.
    pub fn log(&self) -> Vec<LogEntry> {
        self.sim.log()
    }

    /// How often it was asked.
    pub fn hits(&self) -> u64 {
        self.sim.stats().requests
    }

    /// The tokens that it gave in all: of prompts, of answers.
    pub fn tokens(&self) -> (u64, u64) {
        let log = self.log();
        let sum = |of: fn(&LogEntry) -> u64| log.iter().map(of).sum();
        (sum(|entry| entry.prompt_tokens), sum(|entry| entry.completion_tokens))
    }
}
