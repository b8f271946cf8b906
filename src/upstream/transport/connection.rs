//! An open connection, as it is shared by the pool with a request.

use std::{
    future::poll_fn,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
};

use hyper::client::conn::{http1, http2};
use tokio::time::Instant;

use super::{connect::Body, wire::Traffic};

/// A connection that takes requests.
pub(super) enum Connection {
    One(One),
    Two(Arc<Two>),
}

/// The end of a connection that requests go into, shut when the connection's task has ended.
///
/// hyper hands a request to that task through a tokio channel. A request that is put in while the task drops its end
/// can stay in there, unseen by both, for as long as a sender exists; its future would then wait for ever. So
/// the task's last act is to drop the sender, with which the channel and what is left in it go.
pub(super) struct Mouth<S>(Arc<Mutex<Option<S>>>);

impl<S> Mouth<S> {
    pub(super) fn new(sender: S) -> Self {
        Self(Arc::new(Mutex::new(Some(sender))))
    }

    /// Uses the sender, if there still is one.
    pub(super) fn with<R>(&self, act: impl FnOnce(&mut S) -> R) -> Option<R> {
        lock(&self.0).as_mut().map(act)
    }

    /// What shuts it. It keeps nothing alive: a connection that nobody holds any more has to close.
    pub(super) fn shutter(&self) -> impl FnOnce() + use<S> {
        let mouth = Arc::downgrade(&self.0);
        move || {
            let sender = mouth.upgrade().and_then(|sender| lock(&sender).take());
            // Outside the lock: it wakes those whose requests were left over.
            drop(sender);
        }
    }
}

impl Mouth<http1::SendRequest<Body>> {
    /// Whether it takes a request now.
    pub(super) fn is_ready(&self) -> bool {
        self.with(|sender| sender.is_ready()).unwrap_or(false)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.with(|sender| sender.is_closed()).unwrap_or(true)
    }

    /// Waits until it takes a request; false if it never will.
    pub(super) async fn ready(&self) -> bool {
        poll_fn(|cx| match self.with(|sender| sender.poll_ready(cx)) {
            Some(Poll::Pending) => Poll::Pending,
            Some(Poll::Ready(Ok(()))) => Poll::Ready(true),
            _ => Poll::Ready(false),
        })
        .await
    }
}

impl Mouth<http2::SendRequest<Body>> {
    pub(super) fn is_closed(&self) -> bool {
        self.with(|sender| sender.is_closed()).unwrap_or(true)
    }
}

/// An HTTP/1.1 connection.
pub(super) struct One {
    pub(super) mouth: Mouth<http1::SendRequest<Body>>,
    pub(super) traffic: Arc<Traffic>,
    /// It has lain idle, so the peer may have closed it meanwhile.
    pub(super) reused: bool,
    pub(super) address: Option<IpAddr>,
    /// Since when it has been unused.
    pub(super) since: Instant,
}

/// An HTTP/2 connection.
pub(super) struct Two {
    pub(super) mouth: Mouth<http2::SendRequest<Body>>,
    pub(super) traffic: Arc<Traffic>,
    pub(super) address: Option<IpAddr>,
    answered: AtomicBool,
    load: Mutex<Load>,
}

/// How full an HTTP/2 connection is.
struct Load {
    streams: usize,
    limit: usize,
    empty_since: Instant,
}

impl Two {
    /// A connection that carries `streams` of at most `limit` streams.
    pub(super) fn new(
        mouth: Mouth<http2::SendRequest<Body>>,
        limit: usize,
        streams: usize,
        traffic: Arc<Traffic>,
        address: Option<IpAddr>,
    ) -> Self {
        let load = Mutex::new(Load { streams, limit, empty_since: Instant::now() });
        Self { mouth, traffic, address, answered: AtomicBool::new(false), load }
    }

    /// Whether it has answered a request before.
    pub(super) fn has_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// Takes note of an answer.
    pub(super) fn answers(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }

    /// Takes one of its streams; false if none is free.
    pub(super) fn take_stream(&self) -> bool {
        let mut load = lock(&self.load);
        let free = load.streams < load.limit;
        load.streams += usize::from(free);
        free
    }

    /// Gives a stream back.
    pub(super) fn end_stream(&self) {
        let mut load = lock(&self.load);
        load.streams -= 1;
        if load.streams == 0 {
            load.empty_since = Instant::now();
        }
    }

    /// Takes note that the peer wants fewer streams than are open now.
    pub(super) fn refused(&self) {
        let mut load = lock(&self.load);
        load.limit = load.limit.min(load.streams.saturating_sub(1)).max(1);
    }

    /// Since when it has carried nothing.
    pub(super) fn empty_since(&self) -> Option<Instant> {
        let load = lock(&self.load);
        (load.streams == 0).then_some(load.empty_since)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
