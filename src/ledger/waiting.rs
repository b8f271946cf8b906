//! Those who wait for the writer, kept where they can be told also while it hangs.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use super::{Ack, Unavailable, ack::Waiter, herald::Herald};

/// Names someone who waits.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ticket(u64);

/// All who wait.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    line: Mutex<Line>,
    herald: Arc<Herald>,
}

#[derive(Debug, Default)]
struct Line {
    /// The number of the first one.
    first: u64,
    /// In the order of their numbers; those that were told are gone. They come and go at the ends, mostly.
    waits: VecDeque<Option<Waits>>,
}

#[derive(Debug)]
struct Waits {
    waiter: Waiter,
    /// The time until which a hanging writer is borne; `None`: it is not.
    until: Option<Instant>,
}

impl Line {
    fn take(&mut self, ticket: &Ticket) -> Option<Waiter> {
        let place = usize::try_from(ticket.0.checked_sub(self.first)?).ok()?;
        let taken = self.waits.get_mut(place)?.take();
        while let Some(None) = self.waits.front() {
            self.waits.pop_front();
            self.first += 1;
        }
        taken.map(|waits| waits.waiter)
    }
}

impl Waiting {
    /// One more. It must be here before the writer can know of it.
    pub(super) fn join(&self, until: Option<Instant>) -> (Ticket, Ack) {
        self.herald.appoint();
        let (waiter, ack) = Ack::pair();
        let mut line = self.lock();
        let number = line.first + line.waits.len() as u64;
        line.waits.push_back(Some(Waits { waiter, until }));
        (Ticket(number), ack)
    }

    /// Tells those with these tickets. Those that were told before stay as they are.
    pub(super) fn tell(&self, tickets: impl IntoIterator<Item = Ticket>, result: Result<(), Unavailable>) {
        let mut line = self.lock();
        let told = tickets.into_iter().filter_map(|ticket| line.take(&ticket)).collect();
        drop(line);
        self.herald.tell(told, result);
    }

    /// Takes one out, to be told later.
    pub(super) fn take(&self, ticket: &Ticket) -> Option<Waiter> {
        self.lock().take(ticket)
    }

    /// Tells those that the ledger is unavailable who bear no hanging writer, or not for so long.
    pub(super) fn give_up(&self, now: Instant) {
        let gives_up = |waits: &mut Waits| waits.until.is_none_or(|until| until <= now);
        let mut line = self.lock();
        let told: Vec<_> = line.waits.iter_mut().filter_map(|waits| waits.take_if(gives_up)).collect();
        drop(line);
        for Waits { waiter, .. } in told {
            let _ = waiter.send(Err(Unavailable));
        }
    }

    /// Tells those who should know by now.
    pub(super) fn look_after(&self) {
        self.herald.look_after();
    }

    /// Tells everyone that the ledger is unavailable.
    pub(super) fn dismiss(&self) {
        self.herald.end();
        let mut line = self.lock();
        // Dropped waiters say so.
        let all = std::mem::take(&mut line.waits);
        line.first += all.len() as u64;
        drop(line);
        drop(all);
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
