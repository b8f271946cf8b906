//! One client's view of a stream that others follow too: its own deadline, its own wish for usage.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::time::{Sleep, sleep_until};

use crate::{
    base::{deadline::Deadline, outcome::Outcome},
    cache::flight::Piece,
    openai::{Usage, chunk, error::ErrorBody, sse::Event},
    upstream::Frame,
};

use super::{head::Place, receipt::Receipt};

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
