//! The least that a proxy of hyper with hyper-util's client does: the floor under everything that Weir is built on.

use std::{convert::Infallible, sync::Arc};

use http_body_util::{Either, Empty};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::HOST,
    service::service_fn,
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use tokio::net::TcpStream;

use super::{Failure, mock::listen};

type Upstream = Client<HttpConnector, Incoming>;

/// Serves until it is killed.
pub async fn serve(address: &str, upstream: &str) -> Result<(), Failure> {
    let listener = listen(address)?;
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Upstream = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_max_idle_per_host(usize::MAX)
        .build(connector);
    let upstream: Arc<str> = upstream.into();
    loop {
        let (socket, _) = listener.accept().await?;
        tokio::spawn(connection(socket, client.clone(), Arc::clone(&upstream)));
    }
}

async fn connection(socket: TcpStream, client: Upstream, upstream: Arc<str>) -> Result<(), Failure> {
    socket.set_nodelay(true)?;
    let answer = service_fn(move |request| forward(client.clone(), Arc::clone(&upstream), request));
    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), answer).await?;
    Ok(())
}

async fn forward(
    client: Upstream,
    upstream: Arc<str>,
    mut request: Request<Incoming>,
) -> Result<Response<Either<Incoming, Empty<Bytes>>>, Infallible> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    if let Ok(uri) = format!("http://{upstream}{path}").parse() {
        *request.uri_mut() = uri;
    }
    request.headers_mut().remove(HOST);
    Ok(match client.request(request).await {
        Ok(answer) => answer.map(Either::Left),
        Err(_) => {
            let mut refusal = Response::new(Either::Right(Empty::new()));
            *refusal.status_mut() = StatusCode::BAD_GATEWAY;
            refusal
        }
    })
}
