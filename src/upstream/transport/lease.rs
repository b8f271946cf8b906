//! A connection in the hands of one request.

use std::{sync::Arc, time::Duration};

use http::Response;
use tokio::time::Instant;

use crate::base::boxed::boxed;

use super::{
    body::Coming,
    connect::Body,
    connection::{Connection, Two},
    error::{Fault, Unprocessed, broke, unprocessed},
    letter::Letter,
    one::One,
    pool::Pool,
};

/// A stale connection shows itself within a round trip or two; what breaks later broke while the provider worked.
const STALE_WITHIN: Duration = Duration::from_secs(5);

/// A connection for one request. Dropped before `finish`, it ends the request: the HTTP/1.1 connection is closed,
/// the HTTP/2 stream is counted as over.
pub(super) struct Lease {
    pool: Arc<Pool>,
    connection: Option<Connection>,
    /// When it was handed out.
    since: Instant,
}

/// A request that got no answer.
pub(super) struct Failed {
    /// None: the connection had ended before it could be sent.
    pub(super) fault: Option<Fault>,
    /// No byte of the request was written.
    unsent: bool,
    /// The connection was used before, and broke before a byte of the answer came.
    stale: bool,
}

impl Lease {
    pub(super) fn new(pool: &Arc<Pool>, connection: Connection, since: Instant) -> Self {
        Self { pool: pool.clone(), connection: Some(connection), since }
    }

    /// Whether it is a stream of an HTTP/2 connection.
    pub(super) fn is_two(&self) -> bool {
        matches!(self.connection, Some(Connection::Two(_)))
    }

    /// The HTTP/1.1 connection, if it is one.
    pub(super) fn one(&mut self) -> Option<&mut One> {
        match &mut self.connection {
            Some(Connection::One(one)) => Some(one),
            _ => None,
        }
    }

    /// Sends one request and waits for the head of its answer.
    pub(super) async fn send(&mut self, letter: &Letter) -> Result<Response<Coming>, Failed> {
        let target = &self.pool.connector.target;
        match self.connection.as_mut().expect("only finish and drop take it") {
            Connection::One(one) => match one.ask(letter, target).await {
                Ok(head) => Ok(head.response.map(Coming::One)),
                Err(broken) => {
                    let stale = one.reused && !one.has_heard() && self.since.elapsed() < STALE_WITHIN;
                    Err(Failed { fault: Some(Fault::One(broken)), unsent: false, stale })
                }
            },
            Connection::Two(two) => boxed(|| send_two(two, letter.for_two(target), self.since)).await,
        }
    }

    /// Whether a failed request may be sent again: it was stale, never sent, or the peer says that it did not touch it.
    pub(super) fn may_replay(&self, failed: &Failed) -> bool {
        match &self.connection {
            Some(Connection::One(_)) => failed.stale,
            Some(Connection::Two(two)) => {
                let unprocessed = match &failed.fault {
                    Some(Fault::Two(error)) => unprocessed(error),
                    _ => None,
                };
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
            Some(Connection::One(one)) if one.may_go_on() => self.pool.give_back(one),
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

/// The same over HTTP/2; `since`: when the stream was handed out.
async fn send_two(
    two: &Two,
    request: http::Request<Body>,
    since: Instant,
) -> Result<Response<Coming>, Failed> {
    let read = two.traffic.read();
    let sent = match two.mouth.with(|sender| sender.try_send_request(request)) {
        Some(answer) => Some(answer.await),
        None => None,
    };
    let (error, unsent) = match sent {
        Some(Ok(response)) => {
            two.answers();
            return Ok(response.map(Coming::Two));
        }
        Some(Err(mut error)) => {
            let unsent = error.take_message().is_some();
            (Some(error.into_error()), unsent)
        }
        None => (None, true),
    };
    // Other streams' bytes say nothing about ours: of one whose connection broke not even the head has come.
    let silent = two.traffic.read() == read || error.as_ref().is_some_and(broke);
    let stale = two.has_answered() && silent && since.elapsed() < STALE_WITHIN;
    Err(Failed { fault: error.map(Fault::Two), unsent, stale })
}
