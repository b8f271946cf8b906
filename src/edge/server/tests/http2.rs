//! HTTP/2 without TLS.

use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{io::AsyncWrite, sync::oneshot};

use super::*;

pub(super) type Http2 = hyper::client::conn::http2::SendRequest<Empty<Bytes>>;

/// An HTTP/2 client with its connection's end.
pub(super) async fn http2<IO>(io: IO) -> (Http2, oneshot::Receiver<()>)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .handshake(TokioIo::new(io))
        .await
        .unwrap();
    let (done, ended) = oneshot::channel();
    tokio::spawn(async move {
        let _ = connection.await;
        let _ = done.send(());
    });
    (sender, ended)
}

pub(super) fn get(path: &str) -> Request<Empty<Bytes>> {
    Request::get(format!("http://x{path}")).body(Empty::new()).unwrap()
}

#[tokio::test]
async fn http2_without_tls_finishes_its_streams_and_goes_away() {
    let running = start(options(), LIMIT).await;
    let (mut client, ended) = http2(connect(&running).await).await;
    let busy = client.send_request(get("/stream")).await.unwrap();
    running.shutdown.cancel();
    let body = busy.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body.len(), 10);
    timeout(LIMIT, ended).await.unwrap().unwrap();
    assert_eq!(running.server.await.unwrap(), 0);
}

#[tokio::test]
async fn an_http2_stream_that_is_reset_or_cut_is_dropped_at_once() {
    let mut running = start(options(), Duration::from_millis(100)).await;
    let (mut client, _ended) = http2(connect(&running).await).await;
    let answer = client.send_request(get("/silent")).await.unwrap();
    drop(answer);
    soon_left(&mut running).await;
    let _answer = client.send_request(get("/silent")).await.unwrap();
    running.shutdown.cancel();
    assert_eq!(timeout(LIMIT, &mut running.server).await.unwrap().unwrap(), 1);
    soon_left(&mut running).await;
}

#[tokio::test]
async fn an_http2_stream_left_unread_is_dropped_while_others_go_on() {
    let impatient = ServerOptions { write_timeout: Duration::from_millis(300), ..options() };
    let mut running = start(impatient, LIMIT).await;
    let (mut client, _ended) = http2(connect(&running).await).await;
    let quiet = client.send_request(get("/silent")).await.unwrap();
    let unread = client.send_request(get("/endless")).await.unwrap();
    timeout(2 * LIMIT, running.left.recv()).await.unwrap();
    // The one that waits for us is still there.
    assert!(running.left.try_recv().is_err());
    drop(quiet);
    soon_left(&mut running).await;
    drop(unread);
}
