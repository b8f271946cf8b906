//! The side of a flight that waits for the answer.

use std::{
    fmt,
    future::poll_fn,
    sync::{Arc, MutexGuard},
    task::{Context, Poll, Waker},
};

use crate::openai::Endpoint;

use super::{Chair, Flight, Piece, Start, State, lock, tape::Ended};

/// The side of one who waits for the answer. When the last one is dropped, the work ends at once.
pub struct Seat<H, R> {
    pub(super) flight: Arc<Flight<H, R>>,
    pub(super) number: u64,
}

impl<H, R> fmt::Debug for Seat<H, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seat").field("key", &self.flight.key).finish_non_exhaustive()
    }
}

impl<H: Clone, R: Clone> Seat<H, R> {
    /// A seat in a flight that may still be joined.
    pub(super) fn take(flight: &Arc<Flight<H, R>>) -> Option<Self> {
        let mut state = lock(&flight.state);
        if !state.open {
            return None;
        }
        let number = state.next;
        state.next += 1;
        state.followers.insert(number, Chair::default());
        Some(Self { flight: Arc::clone(flight), number })
    }

    /// How the flight begins.
    pub async fn start(&mut self) -> Start<H, R> {
        poll_fn(|cx| {
            let mut state = lock(&self.flight.state);
            if state.start.is_none() {
                state = self.works(state, cx);
            }
            match &state.start {
                Some(start) => Poll::Ready(start.clone()),
                None => {
                    self.waits(&mut state, cx);
                    Poll::Pending
                }
            }
        })
        .await
    }
}

impl<H, R> Seat<H, R> {
    /// A leader whom nobody follows takes a step of the work itself.
    fn works<'a>(
        &'a self,
        mut state: MutexGuard<'a, State<H, R>>,
        cx: &mut Context<'_>,
    ) -> MutexGuard<'a, State<H, R>> {
        if self.number != 0 {
            return state;
        }
        // It is not told of what it does itself.
        state.leader.iter_mut().for_each(|chair| chair.waker = None);
        drop(state);
        self.flight.desk.step_alone(cx);
        lock(&self.flight.state)
    }

    fn waits(&self, state: &mut State<H, R>, cx: &Context<'_>) {
        if let Some(chair) = state.chair(self.number) {
            chair.waker = Some(cx.waker().clone());
        }
    }

    /// The next piece; `None` after the last one.
    pub fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Piece>> {
        let (piece, waits) = {
            let mut state = lock(&self.flight.state);
            let mut next = state.next_for(self.number);
            if next.is_none() && !state.ended {
                state = self.works(state, cx);
                next = state.next_for(self.number);
            }
            match next {
                Some(piece) => (piece, state.trim()),
                None if state.ended => return Poll::Ready(None),
                None => {
                    self.waits(&mut state, cx);
                    return Poll::Pending;
                }
            }
        };
        waits.into_iter().for_each(Waker::wake);
        Poll::Ready(Some(piece))
    }

    /// The next piece; `None` after the last one.
    #[cfg(test)]
    pub async fn piece(&mut self) -> Option<Piece> {
        poll_fn(|cx| self.poll_piece(cx)).await
    }

    /// How the stream ends, as an object. All who want one share it; who waits for it sets no pace.
    pub async fn whole(self, endpoint: Endpoint) -> Ended {
        self.tape(endpoint);
        poll_fn(|cx| {
            let mut state = lock(&self.flight.state);
            if state.tape.ended().is_none() {
                state = self.works(state, cx);
            }
            match state.tape.ended() {
                Some(ended) => Poll::Ready(ended.clone()),
                None => {
                    self.waits(&mut state, cx);
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Has the stream written down from its first piece on, unless it is already.
    fn tape(&self, endpoint: Endpoint) {
        let (taping, waits) = {
            let mut state = lock(&self.flight.state);
            let taping = state.start_tape(endpoint, self.flight.room.place());
            // From here on it is on the tape: nothing need be held for this one.
            if let Some(chair) = state.chair(self.number) {
                chair.at = usize::MAX;
            }
            (taping, state.trim())
        };
        waits.into_iter().for_each(Waker::wake);
        if let Some(taping) = taping {
            self.flight.taped(taping.finish());
        }
    }
}

impl<H, R> Drop for Seat<H, R> {
    fn drop(&mut self) {
        let (empty, listed, waits) = {
            let mut state = lock(&self.flight.state);
            let empty = state.leaves(self.number);
            let listed = state.open;
            // In the same moment: who came now would find nobody who works.
            state.open &= !empty;
            (empty, listed, state.trim())
        };
        waits.into_iter().for_each(Waker::wake);
        if empty {
            if listed {
                self.flight.leave();
            }
            self.flight.desk.give_up();
        }
    }
}
