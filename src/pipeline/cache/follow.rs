//! One client's view of a flight: its own deadline, its own wish for usage.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};

use crate::{
    base::{deadline::Deadline, outcome::Outcome},
    cache::{
        answer::Recorder,
        flight::{Piece, Seat},
    },
    openai::{Endpoint, Usage, chunk, error::ErrorBody, sse::Event},
    upstream::Frame,
};

use super::{
    super::{
        answer::{Facts, Summary},
        refusal::{Code, Refusal},
    },
    receipt::Receipt,
};

/// The longest stream that is put together for one who wants an object.
const MOST_FOLDED: usize = 32 * 1024 * 1024;

/// How a flight's answer begins.
#[derive(Clone, Debug)]
pub struct Head {
    /// How it came about, as the leader is told.
    pub facts: Facts,
    /// The answer, where it came whole; else it follows in pieces.
    pub whole: Option<Bytes>,
    /// What the leader wishes to be told at the end.
    pub summary: Option<Summary>,
    /// The key that leads; empty where none is needed.
    pub key: Arc<str>,
}

/// How a flight is refused.
#[derive(Clone, Debug)]
pub struct Turned {
    /// Why.
    pub refusal: Arc<Refusal>,
    /// The key that led; empty where none is needed.
    pub key: Arc<str>,
}

impl Turned {
    /// The refusal, for one who waited.
    pub fn refusal(&self) -> Box<Refusal> {
        Box::new(Refusal::clone(&self.refusal))
    }
}

/// A seat in a flight.
pub type Place = Seat<Head, Turned>;

/// A stream out of a flight.
#[derive(Debug)]
pub struct Follower {
    seat: Option<Place>,
    usage: bool,
    over_by: Option<Pin<Box<Sleep>>>,
    receipt: Option<Receipt>,
    took: Option<Usage>,
}

/// What comes next of a [`Follower`].
#[derive(Debug)]
pub enum Next {
    /// A frame of the answer.
    Frame(Frame),
    /// The last words of one that broke.
    Cut(Bytes),
}

impl Follower {
    /// Follows from a seat: `usage` says whether the client sees what it took, `over_by` when it has to be over.
    pub fn new(seat: Place, usage: bool, over_by: Option<Deadline>, receipt: Option<Receipt>) -> Self {
        let over_by = over_by.map(|deadline| Box::pin(sleep_until(deadline.instant())));
        Self { seat: Some(seat), usage, over_by, receipt, took: None }
    }

    /// What comes next; `None` after the end.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Next>> {
        loop {
            let Some(seat) = &mut self.seat else { return Poll::Ready(None) };
            let Poll::Ready(piece) = seat.poll_piece(cx) else {
                let Some(over_by) = &mut self.over_by else { return Poll::Pending };
                ready!(over_by.as_mut().poll(cx));
                return self.cut(Outcome::Timeout, late());
            };
            return match piece {
                Some(Piece::Part(bytes)) => Poll::Ready(Some(Next::Frame(Frame::Part(bytes)))),
                Some(Piece::Usage(bytes)) => {
                    self.took = usage_of(&bytes);
                    match self.usage {
                        true => Poll::Ready(Some(Next::Frame(Frame::Part(bytes)))),
                        false => continue,
                    }
                }
                Some(Piece::Last(bytes)) => {
                    self.seat = None;
                    if let Some(receipt) = self.receipt.take() {
                        receipt.answered(self.took.as_ref());
                    }
                    Poll::Ready(Some(Next::Frame(Frame::Last(bytes))))
                }
                Some(Piece::Cut(bytes)) => self.cut(Outcome::Truncated, bytes),
                // Whoever led is gone without a word.
                None => self.cut(Outcome::Truncated, broken().to_event(&[])),
            };
        }
    }

    fn cut(&mut self, outcome: Outcome, words: Bytes) -> Poll<Option<Next>> {
        self.seat = None;
        if let Some(receipt) = self.receipt.take() {
            receipt.failed(outcome.as_str());
        }
        Poll::Ready(Some(Next::Cut(words)))
    }
}

/// The whole answer of a flight that streams, for one who wants an object, with the tokens that it took.
///
/// # Errors
/// It broke off, or did not end in time.
pub async fn whole(
    mut seat: Place,
    endpoint: Endpoint,
    by: Instant,
) -> Result<(Bytes, Option<Usage>), Box<Refusal>> {
    let (mut recorder, mut took) = (Recorder::new(MOST_FOLDED), None);
    loop {
        match timeout_at(by, seat.piece()).await.map_err(|_| too_late())? {
            Some(Piece::Part(bytes)) => recorder.passes(&bytes, false),
            Some(Piece::Usage(bytes)) => {
                took = usage_of(&bytes);
                recorder.passes(&bytes, true);
            }
            Some(Piece::Last(_)) => {
                return recorder.object(endpoint).map(|body| (body, took)).ok_or_else(cut_off);
            }
            Some(Piece::Cut(_)) | None => return Err(cut_off()),
        }
    }
}

/// The refusal of one who waited too long for others' answer.
pub fn too_late() -> Box<Refusal> {
    Box::new(Refusal::new(Code::UpstreamTimeout, "The deadline of the request is over."))
}

fn cut_off() -> Box<Refusal> {
    let message = "The answer broke off before its end.";
    Box::new(Refusal::new(Code::UpstreamUnavailable, message).after(std::time::Duration::from_secs(1)))
}

fn late() -> Bytes {
    let message = "The answer broke off (timeout): The deadline of the request is over.";
    ErrorBody::new("upstream_error", "upstream_stream_broken", message).to_event(&[])
}

fn broken() -> ErrorBody {
    ErrorBody::new("upstream_error", "upstream_stream_broken", "The answer broke off before its end.")
}

fn usage_of(event: &Bytes) -> Option<Usage> {
    let event = Event::new(event.clone());
    let data = event.data()?;
    chunk::inspect(&data).ok()?.usage?.ok()
}
