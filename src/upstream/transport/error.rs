//! What fails on the way to a provider, as data.

use std::{error::Error, fmt, io};

use super::{head::Unreadable, one::Broken};

/// A request that got no answer, or an answer that broke off.
#[derive(Clone, Debug)]
pub struct TransportError {
    /// Where it went wrong.
    pub kind: TransportErrorKind,
    /// What happened, for people: names the provider's address, never a header, a path or a query.
    pub message: String,
}

/// Where a request went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransportErrorKind {
    /// There is no connection: name look-up, TCP, TLS or the connect timeout. The provider saw nothing of the request.
    Connect,
    /// The connection broke before the head of the answer was whole. The provider may have worked on the request.
    Reset,
    /// What came back is not HTTP.
    Protocol,
    /// The head of the answer is larger than the limit.
    TooLarge,
    /// The connection broke while the body of the answer came.
    Body,
}

impl TransportError {
    pub(super) fn connect(message: String) -> Self {
        Self { kind: TransportErrorKind::Connect, message }
    }

    /// The error of a request that got no head of an answer.
    pub(super) fn head(target: &str, fault: Option<&Fault>) -> Self {
        let (kind, what) = match fault {
            None => {
                let what = "the connection ended before the request was sent";
                (TransportErrorKind::Connect, what.to_owned())
            }
            Some(Fault::One(broken)) => broken.told(),
            Some(Fault::Two(error)) if h2_of(error).is_some_and(h2::Error::is_library) => {
                (TransportErrorKind::Protocol, chain(error))
            }
            Some(Fault::Two(error)) => (TransportErrorKind::Reset, chain(error)),
        };
        Self { kind, message: format!("{target}: {what}") }
    }

    /// The error of a body that broke off.
    pub(super) fn body(error: &hyper::Error) -> Self {
        Self { kind: TransportErrorKind::Body, message: chain(error) }
    }

    /// The same over HTTP/1.1.
    pub(super) fn body_of_one(error: &io::Error) -> Self {
        let message = format!("error reading a body from connection: {error}");
        Self { kind: TransportErrorKind::Body, message }
    }
}

/// Why a request got no head of an answer.
pub(super) enum Fault {
    /// Over HTTP/1.1.
    One(Broken),
    /// Over HTTP/2.
    Two(hyper::Error),
}

impl Broken {
    /// The same for those who look for the reason, in the words that hyper has for it.
    fn told(&self) -> (TransportErrorKind, String) {
        match self {
            Self::Closed => {
                (TransportErrorKind::Reset, "connection closed before message completed".to_owned())
            }
            Self::Io(error) => (TransportErrorKind::Reset, format!("connection error: {error}")),
            Self::Head(Unreadable::TooLarge) => {
                (TransportErrorKind::TooLarge, "message head is too large".to_owned())
            }
            Self::Head(Unreadable::Malformed(what)) => (TransportErrorKind::Protocol, (*what).to_owned()),
        }
    }
}

impl fmt::Display for TransportErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "cannot connect",
            Self::Reset => "connection broke before the answer",
            Self::Protocol => "answer is not valid HTTP",
            Self::TooLarge => "head of the answer is too large",
            Self::Body => "connection broke within the answer",
        })
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.message)
    }
}

impl Error for TransportError {}

/// An error with its causes in one line, each said once.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}

/// Whether the provider said by the protocol that it did not touch the request: then it may be sent again.
///
/// `REFUSED_STREAM` and a `GOAWAY` whose last stream is before ours promise that (RFC 9113, section 8.7);
/// h2 reports the latter only for the streams after the last one, which is what makes it usable here.
pub(super) fn unprocessed(error: &hyper::Error) -> Option<Unprocessed> {
    let error = h2_of(error).filter(|error| error.is_remote())?;
    if error.is_go_away() {
        Some(Unprocessed::GoingAway)
    } else if error.reason() == Some(h2::Reason::REFUSED_STREAM) {
        Some(Unprocessed::Refused)
    } else {
        None
    }
}

/// Whether an HTTP/2 connection broke under its streams, rather than that the peer ended one of them.
///
/// A server that closes a connection while requests are on their way to it resets it, and its `GOAWAY` is lost.
pub(super) fn broke(error: &hyper::Error) -> bool {
    // hyper takes I/O errors out of h2's.
    find::<std::io::Error>(error).is_some()
}

/// How an HTTP/2 peer says that it did not touch a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unprocessed {
    /// It closes the connection after earlier streams.
    GoingAway,
    /// It has too many streams.
    Refused,
}

fn h2_of(error: &hyper::Error) -> Option<&h2::Error> {
    find(error)
}

/// The first cause of a kind.
fn find<E: Error + 'static>(error: &hyper::Error) -> Option<&E> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}
