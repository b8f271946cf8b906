//! A connection in the hands of one request.

use std::sync::{Arc, atomic::Ordering};

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::{
    runtime::Handle,
    time::{Instant, timeout},
};

use super::{
    connect::Body,
    error::{Unprocessed, unprocessed},
    pool::{Connection, Pool},
};

/// A stale connection shows itself within a round trip or two; what breaks later broke while the provider worked.
const STALE_WITHIN: std::time::Duration = std::time::Duration::from_secs(5);

/// A connection for one request. Dropped before `finish`, it ends the request: the HTTP/1.1 connection is closed,
/// the HTTP/2 stream is counted as over.
pub(super) struct Lease {
    pool: Arc<Pool>,
    connection: Option<Connection>,
}

/// A request that got no answer.
pub(super) struct Failed {
    pub(super) error: hyper::Error,
    /// No byte of the request was written.
    unsent: bool,
    /// The connection was used before, and the peer has not sent a byte since the request was written.
    stale: bool,
}

impl Lease {
    pub(super) fn new(pool: &Arc<Pool>, connection: Connection) -> Self {
        Self { pool: pool.clone(), connection: Some(connection) }
    }

    /// Whether the request has to be dressed for HTTP/2.
    pub(super) fn is_two(&self) -> bool {
        matches!(self.connection, Some(Connection::Two(_)))
    }

    /// Sends one request and waits for the head of its answer.
    pub(super) async fn send(&mut self, request: Request<Body>) -> Result<Response<Incoming>, Failed> {
        let connection = self.connection.as_mut().expect("only finish and drop take it");
        let at = Instant::now();
        let (traffic, reused) = match &*connection {
            Connection::One(one) => (one.traffic.clone(), one.reused),
            Connection::Two(two) => (two.traffic.clone(), two.answered.load(Ordering::Relaxed)),
        };
        let read = traffic.read();
        let sent = match connection {
            Connection::One(one) => one.sender.try_send_request(request).await,
            Connection::Two(two) => two.sender.clone().try_send_request(request).await,
        };
        match sent {
            Ok(response) => {
                if let Connection::Two(two) = connection {
                    two.answered.store(true, Ordering::Relaxed);
                }
                Ok(response)
            }
            Err(mut error) => Err(Failed {
                unsent: error.take_message().is_some(),
                error: error.into_error(),
                stale: reused && traffic.read() == read && at.elapsed() < STALE_WITHIN,
            }),
        }
    }

    /// Whether a failed request may be sent again without the provider working on it twice.
    pub(super) fn may_replay(&self, failed: &Failed) -> bool {
        match &self.connection {
            Some(Connection::One(_)) => failed.stale,
            Some(Connection::Two(two)) => {
                let unprocessed = unprocessed(&failed.error);
                match unprocessed {
                    Some(Unprocessed::GoingAway) => self.pool.retire(two),
                    Some(Unprocessed::Refused) => two.refused(),
                    None => (),
                }
                failed.stale || failed.unsent || unprocessed.is_some()
            }
            None => false,
        }
    }

    /// The answer has ended well: the connection is free for the next request.
    pub(super) fn finish(mut self) {
        match self.connection.take() {
            Some(Connection::One(one)) if one.sender.is_ready() => self.pool.give_back(one),
            Some(Connection::One(mut one)) if !one.sender.is_closed() => {
                // The end of the answer was seen here before the connection's own task has turned round.
                let Ok(runtime) = Handle::try_current() else {
                    return;
                };
                let pool = self.pool.clone();
                runtime.spawn(async move {
                    if let Ok(Ok(())) = timeout(pool.idle_timeout(), one.sender.ready()).await {
                        pool.give_back(one);
                    }
                });
            }
            other => self.connection = other,
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(Connection::Two(two)) = &self.connection {
            self.pool.end_stream(two);
        }
    }
}
