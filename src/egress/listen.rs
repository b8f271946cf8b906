//! Posts JSON to a running Weir, notes when the answer begins.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde_json::Value;
use tokio::time::Instant;

use super::{authorities, client};

/// The longest answer, in bytes.
const LONGEST: usize = 4 * 1024 * 1024;

/// A client that measures.
#[derive(Clone, Debug)]
pub struct Listener(reqwest::Client);

/// What it heard.
#[derive(Clone, Debug)]
pub struct Heard {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Vec<u8>,
    /// The time from the asking to the first byte of the body.
    pub first: Duration,
}

impl Listener {
    /// A client whose requests may take so long: no proxy, no redirect.
    ///
    /// # Errors
    /// If the client cannot be set up, which is a fault of the build.
    pub fn new(patience: Duration) -> Result<Self, String> {
        client(authorities(None)?, patience).map(Self)
    }

    /// Posts this, reads the answer to its end.
    ///
    /// # Errors
    /// There is none, it broke off, or is longer than 4 MiB.
    pub async fn post(&self, url: &str, body: &Value) -> Result<Heard, String> {
        let began = Instant::now();
        let asking = self.0.post(url).header("content-type", "application/json").body(body.to_string());
        let mut answer = asking.send().await.map_err(|error| error.to_string())?;
        let mut first = None;
        let mut read = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|error| error.to_string())? {
            first.get_or_insert_with(|| began.elapsed());
            read.extend_from_slice(&piece);
            if read.len() > LONGEST {
                return Err("the answer is longer than 4 MiB".to_owned());
            }
        }
        let first = first.unwrap_or_else(|| began.elapsed());
        Ok(Heard {
            status: answer.status(),
            headers: std::mem::take(answer.headers_mut()),
            body: read,
            first,
        })
    }
}
