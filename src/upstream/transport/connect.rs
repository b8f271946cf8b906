//! One new connection to a provider: name, TCP, TLS, then HTTP.

use std::{
    future::Future,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Uri, uri};
use http_body_util::Full;
use hyper::client::conn::http2;
use hyper_util::{
    client::legacy::connect::HttpConnector,
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use rustls::pki_types::ServerName;
use tokio::{net::TcpStream, time::Instant};
use tokio_rustls::TlsConnector;
use tower::ServiceExt;

use super::{
    TransportOptions,
    connection::Mouth,
    error::{TransportError, chain},
    names::{Names, literal},
    one::One,
    tls,
    wire::{Greeted, Socket, Traffic, Wire},
};
use crate::config::HttpVersion;

/// What a request carries: its whole body is at hand, so it can be sent again.
pub(super) type Body = Full<Bytes>;

/// TCP's own probes find a dead peer below HTTP, in about 35 seconds.
const TCP_PROBE_AFTER: Duration = Duration::from_secs(20);
const TCP_PROBE_EVERY: Duration = Duration::from_secs(5);
const TCP_PROBES: u32 = 3;
/// HTTP/2 pings find it while streams wait.
const PING_EVERY: Duration = Duration::from_secs(15);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// A stream buffers at most this much for a client that reads slowly; half of what one may hold in all.
const STREAM_WINDOW: u32 = 128 * 1024;
/// How long we wait for the peer's HTTP/2 settings before we believe that it has no limits.
const GREETING_PATIENCE: Duration = Duration::from_secs(1);

/// Where requests go.
pub(super) struct Target {
    pub(super) scheme: uri::Scheme,
    pub(super) authority: uri::Authority,
    pub(super) host_header: HeaderValue,
    /// For messages: scheme and authority.
    pub(super) shown: String,
    uri: Uri,
    host: String,
}

impl Target {
    pub(super) fn new(base_url: &Uri) -> Result<Self, String> {
        let (Some(scheme), Some(authority)) = (base_url.scheme(), base_url.authority()) else {
            return Err("base_url needs a scheme and a host, like \"https://api.openai.com/v1\"".into());
        };
        if *scheme != uri::Scheme::HTTP && *scheme != uri::Scheme::HTTPS {
            return Err(format!(
                "base_url begins with \"{scheme}\", which is neither \"http\" nor \"https\""
            ));
        }
        if authority.as_str().contains('@') {
            return Err("base_url must not carry a user name or password: use api_keys or headers".into());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let uri = Uri::builder()
            .scheme(scheme.clone())
            .authority(authority.clone())
            .path_and_query("/")
            .build()
            .map_err(|error| format!("base_url cannot be used: {error}"))?;
        Ok(Self {
            host_header: HeaderValue::from_str(authority.as_str())
                .map_err(|_| "the host of base_url cannot be used as a header".to_owned())?,
            shown: format!("{scheme}://{authority}"),
            scheme: scheme.clone(),
            authority: authority.clone(),
            uri,
            host,
        })
    }
}

/// Opens connections to one provider.
pub(super) struct Connector {
    pub(super) target: Target,
    names: Names,
    tcp: HttpConnector<Names>,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    http: HttpVersion,
    timeout: Duration,
    streams: usize,
    max_head: usize,
    two: http2::Builder<TokioExecutor>,
    open: Arc<AtomicUsize>,
}

/// A connection that takes requests.
pub(super) enum Opened {
    /// HTTP/1.1: one request at a time.
    One(Box<One>),
    /// HTTP/2.
    Two(Spoken),
}

/// An HTTP/2 connection that was just opened.
pub(super) struct Spoken {
    pub(super) mouth: Mouth,
    /// How many streams it may carry.
    pub(super) limit: usize,
    pub(super) traffic: Arc<Traffic>,
    pub(super) address: Option<IpAddr>,
}

impl Connector {
    pub(super) fn new(options: &TransportOptions, names: Names) -> Result<Self, String> {
        let target = Target::new(&options.base_url)?;
        let tls = if target.scheme == uri::Scheme::HTTPS {
            let config = tls::client(options.http, options.ca_file.as_deref())?;
            let name = ServerName::try_from(target.host.clone()).map_err(|_| {
                format!("the host of base_url, \"{}\", is no name that TLS knows", target.host)
            })?;
            Some((TlsConnector::from(config), name))
        } else {
            None
        };
        Ok(Self {
            tcp: tcp(&names, options.connect_timeout),
            target,
            names,
            tls,
            http: options.http,
            timeout: options.connect_timeout,
            streams: options.streams_per_connection.max(1),
            max_head: options.max_head_bytes,
            two: two(options),
            open: Arc::default(),
        })
    }

    /// How many streams a connection is expected to carry before one was opened.
    pub(super) fn expected_streams(&self) -> usize {
        match self.http {
            HttpVersion::Two => self.streams,
            HttpVersion::Auto if self.tls.is_some() => self.streams,
            _ => 1,
        }
    }

    /// The longest that `connect` takes.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The number of sockets that are open.
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// The provider's addresses, if it is time to look them up anew and that succeeds.
    pub(super) async fn renewed_addresses(&self) -> Option<Vec<IpAddr>> {
        let renewed = self.names.renewed(&self.target.host);
        tokio::time::timeout(self.timeout, renewed).await.ok().flatten()
    }

    /// Opens a connection within the connect timeout, which spans all of its steps.
    pub(super) async fn connect(&self) -> Result<Opened, TransportError> {
        let end = Instant::now() + self.timeout;
        if literal(&self.target.host).is_none() {
            // Asked for here so that a timeout can say what was slow; the TCP step finds the answer ready.
            let names =
                async { self.names.addresses(&self.target.host).await.map_err(|error| chain(&error)) };
            self.step(end, "looking up its name", names).await?;
        }
        let tcp = async {
            let stream = self.tcp.clone().oneshot(self.target.uri.clone()).await;
            stream.map_err(|error| chain(&error))
        };
        let stream = self.step(end, "the TCP handshake", tcp).await?.into_inner();
        let address = stream.peer_addr().ok().map(|peer| peer.ip());
        let (socket, two) = self.step(end, "the TLS handshake", self.secured(stream)).await?;
        let wire = Wire::new(socket, &self.open);
        if !two {
            return Ok(Opened::One(Box::new(One::new(wire, address, self.max_head))));
        }
        let traffic = wire.traffic();
        let (mouth, limit) = self.step(end, "the HTTP/2 handshake", self.speak_two(wire)).await?;
        Ok(Opened::Two(Spoken { mouth, limit, traffic, address }))
    }

    async fn step<T>(
        &self,
        end: Instant,
        name: &str,
        step: impl Future<Output = Result<T, String>>,
    ) -> Result<T, TransportError> {
        let shown = &self.target.shown;
        let problem = match tokio::time::timeout_at(end, step).await {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(problem)) => format!("{shown}: {problem}"),
            Err(_) => format!("{shown}: no connection within {:?}: {name} took too long", self.timeout),
        };
        Err(TransportError::connect(problem))
    }

    /// TLS over TCP where the provider wants it; true where HTTP/2 is to be spoken.
    async fn secured(&self, stream: TcpStream) -> Result<(Socket, bool), String> {
        let Some((connector, name)) = &self.tls else {
            return Ok((Socket::Plain(stream), self.http == HttpVersion::Two));
        };
        let stream = connector
            .connect(name.clone(), stream)
            .await
            .map_err(|error| format!("TLS: {}", chain(&error)))?;
        let two = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        if self.http == HttpVersion::Two && !two {
            return Err("the provider does not offer HTTP/2; set http = \"auto\" or \"1\"".into());
        }
        Ok((Socket::Secure(Box::new(stream)), two))
    }

    async fn speak_two(&self, mut wire: Wire) -> Result<(Mouth, usize), String> {
        let greeting = wire.expect_greeting();
        let (sender, connection) =
            self.two.handshake(TokioIo::new(wire)).await.map_err(|error| chain(&error))?;
        let mouth = driven(sender, connection);
        let allowed = match tokio::time::timeout(GREETING_PATIENCE, greeting).await {
            Ok(Ok(Greeted::Streams(allowed))) => allowed,
            Ok(Ok(Greeted::Stranger)) => return Err("the provider does not speak HTTP/2".into()),
            Ok(Err(_)) => return Err("the provider closed the connection before it spoke HTTP/2".into()),
            Err(_) => usize::MAX,
        };
        Ok((mouth, self.streams.min(allowed).max(1)))
    }
}

/// Runs a connection in a task of its own and shuts its mouth at the end.
fn driven<E: Send>(
    sender: http2::SendRequest<Body>,
    connection: impl Future<Output = Result<(), E>> + Send + 'static,
) -> Mouth {
    let mouth = Mouth::new(sender);
    let shut = mouth.shutter();
    tokio::spawn(async move {
        // Its error reaches the requests it concerns; an idle connection may end as it likes.
        connection.await.ok();
        shut();
    });
    mouth
}

fn tcp(names: &Names, timeout: Duration) -> HttpConnector<Names> {
    let mut tcp = HttpConnector::new_with_resolver(names.clone());
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    // Shared out among the addresses, so that a dead one leaves time for the next.
    tcp.set_connect_timeout(Some(timeout));
    tcp.set_keepalive(Some(TCP_PROBE_AFTER));
    tcp.set_keepalive_interval(Some(TCP_PROBE_EVERY));
    tcp.set_keepalive_retries(Some(TCP_PROBES));
    #[cfg(target_os = "linux")]
    tcp.set_tcp_user_timeout(Some(TCP_PROBE_AFTER + TCP_PROBE_EVERY * TCP_PROBES));
    tcp
}

fn two(options: &TransportOptions) -> http2::Builder<TokioExecutor> {
    let streams = u32::try_from(options.streams_per_connection.max(1)).unwrap_or(u32::MAX);
    // Room for every stream's window, or one slow client would stall the others of its connection.
    let window = STREAM_WINDOW.saturating_mul(streams).min(i32::MAX as u32);
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(window)
        .max_header_list_size(u32::try_from(options.max_head_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT)
        // Answers that cross our own cancellations are no misbehaviour of the peer:
        // counting them would end the connection, and all its other streams, after 1,024 cancellations.
        .max_local_error_reset_streams(None)
        .max_concurrent_reset_streams(1024);
    builder
}
