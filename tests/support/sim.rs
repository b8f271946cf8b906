//! A simulated provider under test, as a process of its own.

use serde_json::Value;

use super::{
    client::Client,
    process::{self, Process},
};

/// Where its control endpoint takes faults to switch on.
const CONTROL: &str = "/sim/control";
/// Where it tells what it emitted to whom.
const LOG: &str = "/sim/log";
/// Where it tells its counts, like the peak of open streams.
const STATS: &str = "/sim/stats";

/// A running `weir sim`.
pub struct SimProcess {
    process: Process,
    address: String,
    arguments: Vec<String>,
}

impl SimProcess {
    /// Starts one on a free port of 127.0.0.1 with these further arguments; waits until it listens.
    pub async fn start(arguments: &[&str]) -> Self {
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.into()).collect();
        let (process, address) = spawn("127.0.0.1:0", &arguments).await;
        Self { process, address, arguments }
    }

    /// Where it listens, like `127.0.0.1:40001`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A `base_url` for a provider that speaks OpenAI's protocol.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Kills it at once (SIGKILL).
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Kills it if it runs, then starts it again where it listened before.
    pub async fn restart_on_same_port(&mut self) {
        self.process.kill();
        let (process, address) = spawn(&self.address, &self.arguments).await;
        assert_eq!(address, self.address);
        self.process = process;
    }

    /// Switches faults on or off while it runs.
    pub async fn control(&self, order: &Value) -> Value {
        let answer = self.client().post_json(CONTROL, order).await;
        assert!(answer.status.is_success(), "{} {}", answer.status, answer.text());
        serde_json::from_slice(&answer.body).unwrap_or(Value::Null)
    }

    /// What it emitted to whom.
    pub async fn log(&self) -> Value {
        self.client().get(LOG).await.json()
    }

    /// Its counts.
    pub async fn stats(&self) -> Value {
        self.client().get(STATS).await.json()
    }

    /// All of its stderr so far.
    pub fn stderr(&self) -> String {
        self.process.logs()
    }

    fn client(&self) -> Client {
        Client::new(&format!("http://{}", self.address))
    }
}

async fn spawn(listen: &str, arguments: &[String]) -> (Process, String) {
    let mut command = process::command(["sim", "--listen", listen]);
    command.args(arguments);
    let mut process = Process::spawn(command);
    match process.listening().await {
        Ok(address) => (process, address),
        Err(exited) => panic!("weir sim ended with {}:\n{}", exited.status, exited.stderr),
    }
}
