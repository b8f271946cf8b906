//! The accept loop: it serves connections until it is told to stop.

mod connection;
mod framing;
mod guarded;
mod idle_write;
mod listener;
mod stream_stall;
#[cfg(test)]
mod tests;
mod tls;

use std::{
    convert::Infallible,
    io::{Read as _, Write as _},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use axum::body::Body;
use http::{Request, Response};
use hyper::{body::Incoming, service::Service};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{Instant, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    connection::Connections,
    listener::{Trouble, accept},
};
use crate::config;

pub use self::listener::bind;

/// How long a kept connection may be idle between two requests. Longer than the 60 to 75 seconds that usual
/// clients and balancers keep theirs, so that it is they who close.
const IDLE_TIMEOUT: Duration = Duration::from_secs(120);

/// How long what is told to end may take to say so.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// How long connections that are cut may take to let go of what they hold.
const CUT_TIME: Duration = Duration::from_secs(1);

/// What a connection past the limit is told.
const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: application/json\r\ncontent-length: 145\r\nretry-after: 1\r\nconnection: close\r\n\r\n\
    {\"error\":{\"message\":\"The gateway has too many connections open; try again shortly.\",\
    \"type\":\"overloaded_error\",\"param\":null,\"code\":\"overloaded\"}}\n";

/// What bounds a connection.
#[derive(Clone)]
pub struct ServerOptions {
    /// How long a TLS handshake, or the head of a request, may take.
    pub header_timeout: Duration,
    /// How long a kept connection may be idle between two requests.
    pub idle_timeout: Duration,
    /// How long a client may leave an answer unread.
    pub write_timeout: Duration,
    /// The largest head of a request, in bytes; less than 8 KiB counts as 8 KiB.
    pub max_header_bytes: usize,
    /// How many connections may be open. One more is answered 503 and closed at once (under TLS: closed): a
    /// client or balancer that knows it can go elsewhere, one that is left waiting cannot.
    pub max_connections: usize,
    /// Serve TLS with this.
    pub tls: Option<TlsAcceptor>,
}

impl ServerOptions {
    /// As the configuration says.
    ///
    /// # Errors
    /// A certificate or key that cannot be used.
    pub fn new(server: &config::Server) -> Result<Self, String> {
        Ok(Self {
            header_timeout: server.header_timeout.0,
            idle_timeout: IDLE_TIMEOUT.max(server.header_timeout.0),
            write_timeout: server.write_timeout.0,
            max_header_bytes: server.max_header_bytes.bytes(),
            max_connections: server.max_connections,
            tls: server.tls.as_ref().map(tls::acceptor).transpose()?,
        })
    }
}

/// Serves HTTP/1.1 and HTTP/2 until `shutdown`. Then the listener closes, idle connections close, the others may
/// finish their requests within `grace`. Then `over` tells those that are left to end, and soon after they are dropped.
/// Dropping the returned future drops all connections.
///
/// `desk` gives what serves the connection of the client with this address.
///
/// Returns how many connections were left at the end of `grace`.
pub async fn serve<S>(
    listener: TcpListener,
    desk: impl Fn(SocketAddr) -> S,
    options: ServerOptions,
    shutdown: CancellationToken,
    over: CancellationToken,
    grace: Duration,
) -> usize
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
{
    let tasks = TaskTracker::new();
    let cut = CancellationToken::new();
    let ending = shutdown.child_token();
    let _cut_all_when_dropped = (cut.clone().drop_guard(), ending.clone().drop_guard());
    let most = options.max_connections.min(Semaphore::MAX_PERMITS);
    let places = Arc::new(Semaphore::new(most));
    let says_why = options.tls.is_none();
    let connections = Arc::new(Connections::new(options, &tasks, &ending, &cut));
    let (mut trouble, mut full) = (Trouble::default(), Trouble::default());
    loop {
        let (stream, peer) = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            connection = accept(&listener, &mut trouble) => connection,
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            if full.log(Instant::now()) {
                tracing::warn!("server.max_connections are open; refusing more");
            }
            if says_why {
                refuse(stream);
            }
            continue;
        };
        let (connections, service) = (connections.clone(), desk(peer));
        tasks.spawn(async move {
            connections.run(stream, peer, service).await;
            drop(place);
        });
    }
    drop(listener);
    tasks.close();
    if timeout(grace, tasks.wait()).await.is_ok() {
        return 0;
    }
    let left = most - places.available_permits();
    over.cancel();
    if timeout(LAST_WORDS, tasks.wait()).await.is_err() {
        cut.cancel();
        // Dropping a connection takes no time; a destructor that blocks must not keep the process alive.
        let _ = timeout(CUT_TIME, tasks.wait()).await;
    }
    left
}

/// Tells the client why its connection closes, as far as that takes no waiting.
fn refuse(stream: TcpStream) {
    if let Ok(mut socket) = stream.into_std() {
        // Closing with unread bytes would reset the connection; the answer should arrive.
        let _ = socket.read(&mut [0; 4096]);
        let _ = socket.write(REFUSAL);
    }
}
