//! An open connection, as it is shared by the pool with a request.

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use hyper::client::conn::http2::SendRequest;
use tokio::time::Instant;

use super::{
    connect::{Body, Spoken},
    one::One,
    wire::Traffic,
};

/// A connection that takes requests.
pub(super) enum Connection {
    One(Box<One>),
    Two(Arc<Two>),
}

/// The end of an HTTP/2 connection that requests go into, shut when the connection's task has ended.
///
/// hyper hands a request to that task through a tokio channel. A request that is put in while the task drops its end
/// can stay in there, unseen by both, for as long as a sender exists; its future would then wait for ever. So
/// the task's last act is to drop the sender, with which the channel and what is left in it go.
pub(super) struct Mouth(Arc<Mutex<Option<SendRequest<Body>>>>);

impl Mouth {
    pub(super) fn new(sender: SendRequest<Body>) -> Self {
        Self(Arc::new(Mutex::new(Some(sender))))
    }

    /// Uses the sender, if there still is one.
    pub(super) fn with<R>(&self, act: impl FnOnce(&mut SendRequest<Body>) -> R) -> Option<R> {
        lock(&self.0).as_mut().map(act)
    }

    /// What shuts it. It keeps nothing alive: a connection that nobody holds any more has to close.
    pub(super) fn shutter(&self) -> impl FnOnce() + use<> {
        let mouth = Arc::downgrade(&self.0);
        move || {
            let sender = mouth.upgrade().and_then(|sender| lock(&sender).take());
            // Outside the lock: it wakes those whose requests were left over.
            drop(sender);
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.with(|sender| sender.is_closed()).unwrap_or(true)
    }
}

/// An HTTP/2 connection.
pub(super) struct Two {
    pub(super) mouth: Mouth,
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
    /// A connection that carries so many streams already.
    pub(super) fn new(spoken: Spoken, streams: usize) -> Self {
        let Spoken { mouth, limit, traffic, address } = spoken;
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
