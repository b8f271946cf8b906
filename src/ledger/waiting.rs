//! Those who wait for the writer, kept where they can be told also while it hangs.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use super::{Ack, Unavailable, ack::Waiter};

/// Names someone who waits.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ticket(u64);

/// All who wait.
#[derive(Debug, Default)]
pub(super) struct Waiting(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    /// With the time until which a hanging writer is borne; `None`: it is not.
    waiters: HashMap<u64, (Waiter, Option<Instant>)>,
}

impl Waiting {
    /// One more. It must be here before the writer can know of it.
    pub(super) fn join(&self, until: Option<Instant>) -> (Ticket, Ack) {
        let (waiter, ack) = Ack::pair();
        let mut inner = self.lock();
        let number = inner.next;
        inner.next += 1;
        inner.waiters.insert(number, (waiter, until));
        (Ticket(number), ack)
    }

    /// Tells those with these tickets. Those that were told before stay as they are.
    pub(super) fn tell(&self, tickets: impl IntoIterator<Item = Ticket>, result: Result<(), Unavailable>) {
        let mut inner = self.lock();
        let told: Vec<_> = tickets.into_iter().filter_map(|ticket| inner.waiters.remove(&ticket.0)).collect();
        drop(inner);
        for (waiter, _) in told {
            // Whoever does not wait any more need not know.
            let _ = waiter.send(result);
        }
    }

    /// Takes one out, to be told later.
    pub(super) fn take(&self, ticket: &Ticket) -> Option<Waiter> {
        self.lock().waiters.remove(&ticket.0).map(|(waiter, _)| waiter)
    }

    /// Tells those that the ledger is unavailable who bear no hanging writer, or not for so long.
    pub(super) fn give_up(&self, now: Instant) {
        let told: Vec<_> =
            self.lock().waiters.extract_if(|_, (_, until)| until.is_none_or(|until| until <= now)).collect();
        for (_, (waiter, _)) in told {
            let _ = waiter.send(Err(Unavailable));
        }
    }

    /// Tells everyone that the ledger is unavailable.
    pub(super) fn dismiss(&self) {
        // Dropped waiters say so.
        let all = std::mem::take(&mut self.lock().waiters);
        drop(all);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
