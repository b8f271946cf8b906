//! The simulated provider on a socket.

use std::{
    future::Future,
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};
use tower::Service as _;

use super::{control, service::Sim};

/// How long answers that are under way may take once serving is to stop.
const GRACE: Duration = Duration::from_secs(1);

/// Serves until `shutdown` is ready; then gives what is under way a second.
///
/// A fault that breaks an answer resets the connection under HTTP/1.1, and the stream under HTTP/2.
pub async fn serve(listener: TcpListener, sim: Sim, shutdown: impl Future) {
    let (stop, stopping) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            _ = &mut shutdown => break,
        };
        match accepted {
            Ok((stream, _)) => drop(connections.spawn(connection(stream, sim.clone(), stopping.clone()))),
            Err(error) => {
                // Out of file descriptors, most often: some will come back.
                tracing::warn!(%error, "the simulated provider cannot accept a connection");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(stopping);
    drop(stop);
    let all = async { while connections.join_next().await.is_some() {} };
    // What is still open after that ends with its set of tasks.
    timeout(GRACE, all).await.ok();
}

async fn connection(stream: TcpStream, sim: Sim, mut stopping: watch::Receiver<()>) {
    stream.set_nodelay(true).ok();
    let _open = Open::new(sim.clone());
    let reset = Arc::new(AtomicBool::new(false));
    let wire = TokioIo::new(Wire { stream, reset: Arc::clone(&reset) });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new());
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(sim.0.settings.max_streams);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut sim = sim.clone();
        async move {
            match sim.0.settings.control && control::is_control(request.uri().path()) {
                true => Ok(control::answer(sim, request).await),
                false => sim.call(request).await,
            }
        }
    });
    let mut serving = Box::pin(builder.serve_connection(wire, service));
    let served = tokio::select! {
        served = &mut serving => served,
        _ = stopping.changed() => {
            serving.as_mut().graceful_shutdown();
            serving.as_mut().await
        }
    };
    // Only now, while the connection still has its socket, is it known whether it failed.
    reset.store(served.is_err(), Ordering::Relaxed);
}

/// Counts an open connection.
struct Open(Sim);

impl Open {
    fn new(sim: Sim) -> Self {
        let gauges = &sim.0.record.gauges;
        gauges.connections.fetch_add(1, Ordering::Relaxed);
        gauges.accepted.fetch_add(1, Ordering::Relaxed);
        Self(sim)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.0.record.gauges.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A socket that closes with a reset, where it is told to.
struct Wire {
    stream: TcpStream,
    reset: Arc<AtomicBool>,
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.reset.load(Ordering::Relaxed) {
            self.stream.set_zero_linger().ok();
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }
}
