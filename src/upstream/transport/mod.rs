//! The leaf of the request path: sends one request to one provider.
//!
//! A [`Network`] keeps the connections to one provider. Over HTTP/1.1 a connection carries one request at a time and
//! is then reused; over HTTP/2 it carries up to `streams_per_connection` streams, or as many as the peer's settings
//! allow if that is fewer, and past that another connection is opened: hyper would queue them inside the first one.
//!
//! It stands on connections of its own for HTTP/1.1 ([`one`]), hyper's single ones for HTTP/2 and hyper-util's TCP
//! connector, not on hyper-util's pooling client. That one keeps a single HTTP/2 connection a host, makes every request of a first burst dial on its own until ALPN has
//! decided, fails all who wait for an HTTP/2 connection when the request that dials it is dropped (which hedging
//! does on purpose), and hides which connection a request took, which a safe replay has to know.

mod body;
mod connect;
mod connection;
mod error;
mod extent;
mod head;
mod lease;
mod letter;
mod names;
mod one;
mod pool;
#[cfg(test)]
mod tests;
mod tls;
mod wire;

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use http::{Response, Uri};

use crate::config::{HttpVersion, Provider};

use self::{body::InFlight, connect::Connector, names::Names, pool::Pool};
pub use self::{
    body::NetworkBody,
    error::{TransportError, TransportErrorKind},
    letter::{Letter, Letterhead},
};

/// How often a request is sent again after a stale connection, at most.
const MAX_REPLAYS: usize = 2;
/// The default of [`TransportOptions::max_head_bytes`].
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// How to reach a provider.
#[derive(Clone, Debug)]
pub struct TransportOptions {
    /// Scheme and authority say where connections go. Its path is the caller's business.
    pub base_url: Uri,
    /// The version of HTTP.
    pub http: HttpVersion,
    /// A PEM file of the authorities to trust instead of the built-in ones.
    pub ca_file: Option<PathBuf>,
    /// How long name look-up, TCP, TLS and the HTTP/2 handshake may take together.
    pub connect_timeout: Duration,
    /// How long an unused connection is kept.
    pub idle_connection_timeout: Duration,
    /// How many streams share an HTTP/2 connection; at least 1.
    pub streams_per_connection: usize,
    /// The largest head of an answer, in bytes.
    pub max_head_bytes: usize,
}

impl TransportOptions {
    /// The options that a provider's configuration asks for.
    ///
    /// # Errors
    /// Says what is wrong with `base_url`.
    pub fn from_provider(provider: &Provider) -> Result<Self, String> {
        let base_url = provider
            .base_url
            .parse()
            .map_err(|error| format!("base_url is not a URL like \"https://api.openai.com/v1\": {error}"))?;
        Ok(Self {
            base_url,
            http: provider.http,
            ca_file: provider.ca_file.clone(),
            connect_timeout: provider.connect_timeout.0,
            idle_connection_timeout: provider.idle_connection_timeout.0,
            streams_per_connection: provider.streams_per_connection,
            max_head_bytes: MAX_HEAD_BYTES,
        })
    }
}

/// A provider at the other end of the network. Clones share the connections.
///
/// There is no time limit but the connect timeout: whoever waits drops the future or the body, which closes the
/// provider's request at once.
#[derive(Clone)]
pub struct Network {
    pool: Arc<Pool>,
}

/// What a provider's connections are doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransportStats {
    /// Requests under way, from the call to the end of the answer's body.
    pub in_flight: usize,
    /// Open connections.
    pub connections: usize,
    /// Connections opened since the start.
    pub connections_opened: u64,
    /// Requests sent again because their connection was stale or the provider refused the stream.
    pub replays: u64,
}

impl Network {
    /// Sets up the way to a provider; connects to nothing yet.
    ///
    /// # Errors
    /// Says what is wrong with `base_url` or `ca_file`.
    pub fn new(options: &TransportOptions) -> Result<Self, String> {
        Self::with_names(options, Names::system())
    }

    fn with_names(options: &TransportOptions, names: Names) -> Result<Self, String> {
        let connector = Connector::new(options, names)?;
        Ok(Self { pool: Pool::new(connector, options.idle_connection_timeout) })
    }

    /// What its connections are doing now.
    pub fn stats(&self) -> TransportStats {
        TransportStats {
            in_flight: self.pool.in_flight.load(Ordering::Relaxed),
            connections: self.pool.connector.open(),
            connections_opened: self.pool.opened(),
            replays: self.pool.replays.load(Ordering::Relaxed),
        }
    }

    /// Sends a request; resolves at the head of its answer.
    ///
    /// # Errors
    /// Those of [`TransportErrorKind`] but `Body`.
    pub async fn send(&self, letter: &Letter) -> Result<Response<NetworkBody>, TransportError> {
        let in_flight = InFlight::new(&self.pool);
        let mut lease = self.pool.acquire().await?;
        if let Some(progress) = &letter.progress {
            progress.handed_over();
        }
        let mut replays = 0;
        loop {
            let failed = match lease.send(letter).await {
                Ok(response) => {
                    return Ok(response.map(|coming| NetworkBody::new(coming, lease, in_flight)));
                }
                Err(failed) => failed,
            };
            let may_replay = lease.may_replay(&failed);
            if !may_replay || replays == MAX_REPLAYS {
                return Err(TransportError::head(&self.pool.connector.target.shown, failed.fault.as_ref()));
            }
            replays += 1;
            self.pool.replays.fetch_add(1, Ordering::Relaxed);
            // Another idle HTTP/1.1 connection may be just as stale; another HTTP/2 one seldom is.
            let another = lease.is_two() && replays == 1;
            drop(lease);
            // Boxed: a seldom way on would make room in every request's future.
            lease = if another {
                Box::pin(self.pool.acquire()).await?
            } else {
                Box::pin(self.pool.fresh()).await?
            };
        }
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network")
            .field("target", &self.pool.connector.target.shown)
            .field("stats", &self.stats())
            .finish()
    }
}
