//! The transport against real servers on the loopback interface.

mod cancel;
mod connect;
mod one;
mod stale;
mod two;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{body::Incoming, server::conn, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_rustls::TlsAcceptor;

use super::{Letter, Letterhead, Network, NetworkBody, TransportError, TransportErrorKind, TransportOptions};
use crate::config::HttpVersion;

type Answer = Response<BoxBody<Bytes, std::io::Error>>;
type Handler = Arc<dyn Fn(usize, Request<Incoming>) -> BoxFuture<'static, Answer> + Send + Sync>;

fn options(base_url: &str, http: HttpVersion) -> TransportOptions {
    TransportOptions {
        base_url: base_url.parse().unwrap(),
        http,
        ca_file: None,
        connect_timeout: Duration::from_secs(5),
        idle_connection_timeout: Duration::from_secs(25),
        streams_per_connection: 100,
        max_head_bytes: 64 * 1024,
    }
}

fn network(address: SocketAddr, http: HttpVersion) -> Network {
    Network::new(&options(&format!("http://{address}/v1"), http)).unwrap()
}

fn request(address: &str) -> Letter {
    let path = address.parse::<Uri>().unwrap().into_parts().path_and_query.unwrap();
    let head = Arc::new(Letterhead::new(HeaderMap::new()));
    Letter { method: Method::POST, path, head, body: Bytes::from("ask").into(), progress: None }
}

async fn read(response: Response<NetworkBody>) -> Result<Bytes, TransportError> {
    response.into_body().collect().await.map(http_body_util::Collected::to_bytes)
}

async fn ask(network: &Network) -> Result<Bytes, TransportError> {
    read(network.send(&request("/v1/ask")).await?).await
}

fn answer(text: &'static str) -> Answer {
    Response::new(Full::from(text).map_err(|never| match never {}).boxed())
}

/// Waits for something that has to come within four times 250 ms.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(1), what).await.expect("not within a second")
}

async fn until(mut what: impl FnMut() -> bool) {
    soon(async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// A server whose handler knows the number of the connection that it serves.
struct Origin {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

/// How an origin speaks.
#[derive(Clone, Default)]
struct Speech {
    two: bool,
    tls: Option<TlsAcceptor>,
    max_streams: Option<u32>,
    /// HTTP/2 only: a connection says GOAWAY so long after its first request.
    leave_after: Option<Duration>,
    /// Nothing is said for so long on a new connection.
    hesitate: Duration,
}

impl Origin {
    async fn start<F, A>(speech: Speech, handler: F) -> Self
    where
        F: Fn(usize, Request<Incoming>) -> A + Send + Sync + 'static,
        A: Future<Output = Answer> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |connection, request| Box::pin(handler(connection, request)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = connections.clone();
        let task = tokio::spawn(async move {
            let mut all = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let number = counter.fetch_add(1, Ordering::SeqCst);
                stream.set_nodelay(true).unwrap();
                all.spawn(serve(stream, speech.clone(), number, handler.clone()));
            }
        });
        Self { address, connections, task }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: tokio::net::TcpStream, speech: Speech, number: usize, handler: Handler) {
    tokio::time::sleep(speech.hesitate).await;
    match &speech.tls {
        Some(acceptor) => {
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let two = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            speak(stream, two, &speech, number, handler).await;
        }
        None => speak(stream, speech.two, &speech, number, handler).await,
    }
}

async fn speak<S>(stream: S, two: bool, speech: &Speech, number: usize, handler: Handler)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let begun = Arc::new(tokio::sync::Notify::new());
    let begins = begun.clone();
    let service = service_fn(move |request| {
        begins.notify_one();
        let answer = handler(number, request);
        async move { Ok::<_, std::convert::Infallible>(answer.await) }
    });
    if !two {
        drop(conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
        return;
    }
    let mut builder = conn::http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(speech.max_streams.unwrap_or(250))
        .max_local_error_reset_streams(None)
        .max_pending_accept_reset_streams(Some(10_000));
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    if let Some(after) = speech.leave_after {
        tokio::select! {
            _ = connection.as_mut() => return,
            // Not before: hyper drops a connection that is still shaking hands.
            () = async { begun.notified().await; tokio::time::sleep(after).await } => {
                connection.as_mut().graceful_shutdown();
            }
        }
    }
    drop(connection.await);
}

/// Tells when it is dropped.
struct Gone(tokio::sync::mpsc::UnboundedSender<()>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.send(()).ok();
    }
}
