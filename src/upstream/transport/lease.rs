//! A connection in the hands of one request.

use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::{
    runtime::Handle,
    time::{Instant, timeout},
};

use super::{
    connect::Body,
    connection::Connection,
    error::{Unprocessed, broke, unprocessed},
    pool::Pool,
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
    /// None: the connection had ended before it could be sent.
    pub(super) error: Option<hyper::Error>,
    /// No byte of the request was written.
    unsent: bool,
    /// The connection was used before, and broke before a byte of the answer came.
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
    pub(super) async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>, Failed> {
        let connection = self.connection.as_ref().expect("only finish and drop take it");
        let at = Instant::now();
        let traffic = match connection {
            Connection::One(one) => &one.traffic,
            Connection::Two(two) => &two.traffic,
        };
        let read = traffic.read();
        let sent = match connection {
            Connection::One(one) => match one.mouth.with(|sender| sender.try_send_request(request)) {
                Some(answer) => Some(answer.await),
                None => None,
            },
            Connection::Two(two) => match two.mouth.with(|sender| sender.try_send_request(request)) {
                Some(answer) => Some(answer.await),
                None => None,
            },
        };
        let (error, unsent) = match sent {
            Some(Ok(response)) => {
                if let Connection::Two(two) = connection {
                    two.answers();
                }
                return Ok(response);
            }
            Some(Err(mut error)) => {
                let unsent = error.take_message().is_some();
                (Some(error.into_error()), unsent)
            }
            None => (None, true),
        };
        let reused = match connection {
            Connection::One(one) => one.reused,
            Connection::Two(two) => two.has_answered(),
        };
        // Over HTTP/2 other streams' bytes say nothing about ours: of that one not even the head has come.
        let silent = traffic.read() == read || self.is_two() && error.as_ref().is_some_and(broke);
        let stale = reused && silent && at.elapsed() < STALE_WITHIN;
        Err(Failed { error, unsent, stale })
    }

    /// Whether a failed request may be sent again: it was stale, never sent, or the peer says that it did not touch it.
    pub(super) fn may_replay(&self, failed: &Failed) -> bool {
        match &self.connection {
            Some(Connection::One(_)) => failed.stale,
            Some(Connection::Two(two)) => {
                let unprocessed = failed.error.as_ref().and_then(unprocessed);
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
            Some(Connection::One(one)) if one.mouth.is_ready() => self.pool.give_back(one),
            Some(Connection::One(one)) if !one.mouth.is_closed() => {
                // The end of the answer was seen here before the connection's own task has turned round.
                let Ok(runtime) = Handle::try_current() else {
                    return;
                };
                let pool = self.pool.clone();
                runtime.spawn(async move {
                    if let Ok(true) = timeout(pool.idle_timeout(), one.mouth.ready()).await {
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
