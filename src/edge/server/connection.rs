//! One connection from its first byte to its last.

use std::{convert::Infallible, net::SocketAddr, pin::pin, time::Duration};

use axum::body::Body;
use http::{Request, Response};
use hyper::{
    body::Incoming,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Instant, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::base::boxed::boxed;

use super::{
    ServerOptions,
    framing::PREFACE,
    guarded::Guarded,
    idle_write::IdleWrite,
    stream_stall::{MarkedBody, MarkedHandler, StreamSpawner},
};

/// How many requests one HTTP/2 connection may have under way.
const MAX_STREAMS: u32 = 256;

/// How often an HTTP/2 client is asked whether it is still there, and how long it may take to answer.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// The most bytes of one HTTP/2 answer that wait for its client. With the 128 KiB of an upstream's stream and what is on
/// its way through that stays under 256 KiB.
const SEND_BUFFER: usize = 64 * 1024;

/// The most bytes of a connection that wait unsent in the system. It would take megabytes that nobody reads, and a client
/// that does not read would be noticed only behind them.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 64 * 1024;

/// The smallest read buffer that the HTTP/1 parser takes.
const MIN_BUFFER: usize = 8192;

/// How connections are served.
pub struct Connections {
    /// For those of whom it is not known yet which HTTP they speak.
    http: auto::Builder<StreamSpawner>,
    http1: auto::Builder<StreamSpawner>,
    options: ServerOptions,
    shutdown: CancellationToken,
    cut: CancellationToken,
}

impl Connections {
    /// `shutdown` asks connections to finish, `cut`, which comes after it, drops them; their tasks are counted in `tasks`.
    pub fn new(
        options: ServerOptions,
        tasks: &TaskTracker,
        shutdown: &CancellationToken,
        cut: &CancellationToken,
    ) -> Self {
        let spawner = StreamSpawner::new(tasks.clone(), options.write_timeout);
        let mut http = auto::Builder::new(spawner);
        http.http1()
            .timer(TokioTimer::new())
            // The deadline of a head is kept by `Guarded`; this one runs from the end of the last answer.
            .header_read_timeout(options.idle_timeout)
            .max_buf_size(options.max_header_bytes.max(MIN_BUFFER))
            .half_close(false);
        http.http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_INTERVAL)
            .max_concurrent_streams(MAX_STREAMS)
            .max_send_buf_size(SEND_BUFFER)
            .max_header_list_size(u32::try_from(options.max_header_bytes).unwrap_or(u32::MAX));
        Self { http1: http.clone().http1_only(), http, options, shutdown: shutdown.clone(), cut: cut.clone() }
    }

    /// Serves a connection to its end, or until it is cut.
    pub async fn run<S>(&self, stream: TcpStream, peer: SocketAddr, service: S)
    where
        S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + Send + 'static,
        S::Future: Send + 'static,
    {
        // Each chunk of a stream leaves at once. Where the system refuses, it is only slower.
        let _ = stream.set_nodelay(true);
        // Where the system refuses, it only takes more.
        #[cfg(target_os = "linux")]
        let _ = socket2::SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT);
        let Some(tls) = &self.options.tls else {
            let begun = Instant::now();
            let http = match self.speaks_http1(&stream).await {
                Some(true) => &self.http1,
                Some(false) => &self.http,
                None => return,
            };
            return self.drive(http, stream, begun, peer, service).await;
        };
        // Boxed: else each connection without it would have room for it too.
        boxed(|| self.secured(tls, stream, peer, service)).await;
    }

    /// Serves a connection that begins with a TLS handshake.
    async fn secured<S>(&self, tls: &TlsAcceptor, stream: TcpStream, peer: SocketAddr, service: S)
    where
        S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + Send + 'static,
        S::Future: Send + 'static,
    {
        let handshake = timeout(self.options.header_timeout, tls.accept(stream));
        let outcome = tokio::select! {
            outcome = handshake => outcome,
            () = self.shutdown.cancelled() => return,
        };
        match outcome {
            Ok(Ok(stream)) => self.drive(&self.http, stream, Instant::now(), peer, service).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "the TLS handshake failed"),
            Err(_) => tracing::debug!(%peer, "the TLS handshake took too long"),
        }
    }

    /// Whether what comes first is HTTP/1 for certain. What is looked at stays unread: the parser would double its buffer
    /// for bytes that were read before it. `None`: nothing came in time.
    async fn speaks_http1(&self, stream: &TcpStream) -> Option<bool> {
        let mut first = [0; PREFACE.len()];
        tokio::select! {
            biased;
            seen = timeout(self.options.header_timeout, stream.peek(&mut first)) => {
                let seen = seen.ok()?.unwrap_or(0);
                Some(!PREFACE.starts_with(&first[..seen]))
            }
            () = self.shutdown.cancelled() => None,
        }
    }

    /// Serves what began `begun`.
    async fn drive<S, IO>(
        &self,
        http: &auto::Builder<StreamSpawner>,
        stream: IO,
        begun: Instant,
        peer: SocketAddr,
        service: S,
    ) where
        S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + Send + 'static,
        S::Future: Send + 'static,
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let io = IdleWrite::new(stream, self.options.write_timeout);
        let io = TokioIo::new(Guarded::new(io, begun, self.options.header_timeout));
        let service = service_fn(move |request: Request<Incoming>| {
            let answer = service.call(request);
            MarkedHandler::new(async move { answer.await.map(|answer| answer.map(MarkedBody::new)) })
        });
        let mut connection = pin!(http.serve_connection(io, service));
        // Each wait is looked at as often as the connection is, so one at a time.
        let ended = tokio::select! {
            biased;
            outcome = connection.as_mut() => Some(outcome),
            () = self.shutdown.cancelled() => None,
        };
        let outcome = match ended {
            Some(outcome) => outcome,
            None => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    biased;
                    outcome = connection.as_mut() => outcome,
                    () = self.cut.cancelled() => return,
                }
            }
        };
        if let Err(error) = outcome {
            tracing::debug!(%peer, %error, "a connection ended early");
        }
    }
}
