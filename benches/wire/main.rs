//! The moving parts of `make bench` beside the gateways: a mock upstream, a load, a minimal proxy for comparison.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "its figures are for whoever runs it")]

mod answers;
mod bodies;
mod floor;
mod http;
mod latency;
mod mock;
mod open;
mod streams;

use std::{net::SocketAddr, process::ExitCode};

/// What ends a run.
type Failure = Box<dyn std::error::Error + Send + Sync>;

const USAGE: &str = "wire mock ADDRESS | wire floor ADDRESS UPSTREAM | wire open ADDRESS PATH BODY RATE SECONDS | \
     wire streams ADDRESS PATH BODY STREAMS SECONDS EVENTS | wire bodies ADDRESS PATH BODY CONNECTIONS SECONDS; \
     BODY is a file, WIRE_HEADERS has more header lines";

/// What to send, the same each time but for a number in the body.
#[derive(Clone, Debug)]
struct Question {
    address: SocketAddr,
    head: String,
    /// The body around the number.
    around: (Vec<u8>, Vec<u8>),
}

/// What stands in a body in place of a number of eight digits that is another one each time.
const NUMBER: &[u8] = b"########";

impl Question {
    /// Reads the body's file.
    fn new(address: &str, path: &str, body: &str) -> Result<Self, Failure> {
        let body = std::fs::read(body)?;
        let more = std::env::var("WIRE_HEADERS").unwrap_or_default();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{more}\r\n",
            body.len()
        );
        let at = body.windows(NUMBER.len()).position(|part| part == NUMBER);
        let around = match at {
            Some(at) => (body[..at].to_vec(), body[at..].to_vec()),
            None => (body, Vec::new()),
        };
        Ok(Self { address: address.parse()?, head, around })
    }

    /// The bytes of one request.
    fn bytes(&self, number: u64) -> Vec<u8> {
        let (before, after) = &self.around;
        let mut bytes = Vec::with_capacity(self.head.len() + before.len() + after.len());
        bytes.extend_from_slice(self.head.as_bytes());
        bytes.extend_from_slice(before);
        if let Some(rest) = after.get(NUMBER.len()..) {
            bytes.extend_from_slice(format!("{:08}", number % 100_000_000).as_bytes());
            bytes.extend_from_slice(rest);
        }
        bytes
    }
}

async fn run(arguments: &[String]) -> Result<(), Failure> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["mock", address] => mock::serve(address).await,
        ["floor", address, upstream] => floor::serve(address, upstream).await,
        ["open", address, path, body, rate, seconds] => {
            open::run(Question::new(address, path, body)?, rate.parse()?, seconds.parse()?).await
        }
        ["bodies", address, path, body, connections, seconds] => {
            bodies::run(Question::new(address, path, body)?, connections.parse()?, seconds.parse()?).await
        }
        ["streams", address, path, body, streams, seconds, events] => {
            let question = Question::new(address, path, body)?;
            streams::run(question, streams.parse()?, seconds.parse()?, events.parse()?).await
        }
        _ => Err(USAGE.into()),
    }
}

/// One thread: it has one core, which it shares with the others here.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("wire: {failure}");
            ExitCode::FAILURE
        }
    }
}
