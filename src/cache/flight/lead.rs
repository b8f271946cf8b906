//! The side of a flight that makes the answer.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Poll, Waker},
};

use super::{Flight, MOST_HELD, Piece, Start, desk::Desk, lock, room::Taken};

/// The side that makes the answer. Dropped before it has begun or ended, the flight is lost.
pub struct Lead<H, R>(pub(super) Arc<Flight<H, R>>);

/// What becomes of a piece that is to be handed on.
enum Put {
    /// It is there for all.
    Done,
    /// Too much would be held for those who come late.
    Crowded,
}

impl<H: Send + 'static, R: Send + 'static> Lead<H, R> {
    /// Starts the work, which goes on for as long as somebody has a seat: by the steps of who leads, and as a task once
    /// somebody follows.
    pub fn fly(self, work: impl FnOnce(Self) -> super::desk::Work) {
        let flight = Arc::clone(&self.0);
        Desk::start(&flight, |flight| &flight.desk, work(self));
    }
}

impl<H, R> Lead<H, R> {
    /// There is no answer. Who comes from now on asks anew.
    pub fn refuse(self, refusal: R) {
        self.0.close();
        self.start(Start::Refused(refusal), true);
    }

    /// The answer is here, and whole: nothing follows. Who comes from now on asks anew.
    pub fn answer(self, whole: H) {
        self.0.close();
        self.start(Start::Answered(whole), true);
    }

    /// The answer begins; its pieces follow.
    pub fn begin(&self, head: H) {
        self.start(Start::Answered(head), false);
    }

    /// A place in the room of all flights, for what is held beside the pieces.
    pub fn place(&self) -> Taken {
        self.0.room.place()
    }

    fn start(&self, start: Start<H, R>, ended: bool) {
        let waiting = {
            let mut state = lock(&self.0.state);
            state.start = Some(start);
            state.ended = ended;
            state.waiting()
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Hands a piece to everybody; waits while too much is held for whoever is slow. A piece that ends the stream ends
    /// the flight.
    pub async fn push(&self, piece: Piece) {
        if piece.ends() {
            self.0.close();
        }
        let mut piece = Some(piece);
        while let Put::Crowded = self.put(&mut piece).await {
            self.0.close();
        }
    }

    async fn put(&self, piece: &mut Option<Piece>) -> Put {
        let (put, tape, waiting) = poll_fn(|cx| {
            let mut state = lock(&self.0.state);
            drop(state.trim());
            let len = piece.as_ref().map_or(0, Piece::len);
            let fits = state.held.bytes().saturating_add(len) <= MOST_HELD && state.held.grow(len);
            if !fits && state.open {
                return Poll::Ready((Put::Crowded, None, Vec::new()));
            }
            if !fits && state.held.bytes() > 0 {
                state.waits = Some(cx.waker().clone());
                return Poll::Pending;
            }
            if !fits {
                // One at a time there is always room for.
                state.held.force(len);
            }
            let tape = piece.take().and_then(|piece| state.put(piece));
            Poll::Ready((Put::Done, tape, state.waiting()))
        })
        .await;
        waiting.into_iter().for_each(Waker::wake);
        if let Some(taping) = tape {
            self.0.taped(taping.finish());
        }
        put
    }
}

impl<H, R> Drop for Lead<H, R> {
    fn drop(&mut self) {
        let lost = {
            let state = lock(&self.0.state);
            !state.ended
        };
        if lost {
            self.0.close();
            let waiting = {
                let mut state = lock(&self.0.state);
                state.start.get_or_insert(Start::Lost);
                state.ended = true;
                state.tape.lost();
                state.waiting()
            };
            waiting.into_iter().for_each(Waker::wake);
        }
    }
}
