//! The open connections to a provider, dealt out to requests.

use std::{
    collections::VecDeque,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{sync::oneshot, time::Instant};

use super::{
    connect::{Connector, Opened},
    connection::{Connection, Two},
    error::TransportError,
    lease::Lease,
    one::One,
};

/// How much longer a request waits than the attempt it waits for: the attempt's own error says more.
const GRACE: Duration = Duration::from_millis(50);

/// Connections to one provider.
///
/// HTTP/1.1 ones are reused youngest first, so that a falling load lets the old ones go idle; HTTP/2 ones are filled
/// in the order they were opened, so that the last ones run empty. A request that finds none waits in line; the
/// attempts to connect belong to the line, not to a request, so a request that gives up takes nothing from others.
pub(super) struct Pool {
    pub(super) connector: Connector,
    pub(super) in_flight: AtomicUsize,
    pub(super) replays: AtomicU64,
    opened: AtomicU64,
    idle_timeout: Duration,
    state: Mutex<State>,
}

struct State {
    idle: Vec<Idle>,
    shared: Vec<Arc<Two>>,
    waiting: VecDeque<Waiter>,
    next_waiter: u64,
    connecting: usize,
    /// How many requests a new connection is expected to serve at once.
    per_connection: usize,
    /// The addresses of the provider as last looked up; none yet: any will do.
    addresses: Option<Vec<IpAddr>>,
    kept: bool,
}

/// An HTTP/1.1 connection that waits for a request.
struct Idle {
    one: Box<One>,
    since: Instant,
}

type Dealt = Result<Connection, TransportError>;

struct Waiter {
    id: u64,
    deal: oneshot::Sender<Dealt>,
}

impl State {
    /// A connection with room for one more request.
    fn take(&mut self, now: Instant, idle_timeout: Duration) -> Option<Connection> {
        while let Some(Idle { mut one, since }) = self.idle.pop() {
            if now.duration_since(since) < idle_timeout && one.is_quiet() {
                return Some(Connection::One(one));
            }
        }
        self.shared.retain(|two| !two.mouth.is_closed());
        let two = self.shared.iter().find(|two| two.take_stream())?;
        Some(Connection::Two(two.clone()))
    }

    /// Deals connections to those who wait.
    fn serve(&mut self, idle_timeout: Duration) {
        if self.waiting.is_empty() {
            return;
        }
        let now = Instant::now();
        while !self.waiting.is_empty() {
            let Some(connection) = self.take(now, idle_timeout) else {
                return;
            };
            self.deal(Ok(connection));
        }
    }

    fn deal(&mut self, dealt: Dealt) {
        let Some(waiter) = self.waiting.pop_front() else {
            return;
        };
        // Those who leave take themselves out of the line under the lock that we hold, so this one is still there.
        if let Err(Ok(Connection::Two(two))) = waiter.deal.send(dealt) {
            two.end_stream();
        }
    }

    fn wanted(&self, address: Option<IpAddr>) -> bool {
        match (&self.addresses, address) {
            (Some(addresses), Some(address)) => addresses.contains(&address),
            _ => true,
        }
    }

    /// Adds a new connection, with `streams` of its streams taken already.
    fn add(&mut self, opened: Opened, streams: usize) -> Connection {
        match opened {
            Opened::One(one) => {
                self.per_connection = 1;
                Connection::One(one)
            }
            Opened::Two(spoken) => {
                self.per_connection = spoken.limit;
                let two = Arc::new(Two::new(spoken, streams));
                self.shared.push(two.clone());
                Connection::Two(two)
            }
        }
    }
}

impl Pool {
    pub(super) fn new(connector: Connector, idle_timeout: Duration) -> Arc<Self> {
        let state = State {
            idle: Vec::new(),
            shared: Vec::new(),
            waiting: VecDeque::new(),
            next_waiter: 0,
            connecting: 0,
            per_connection: connector.expected_streams(),
            addresses: None,
            kept: false,
        };
        Arc::new(Self {
            connector,
            in_flight: AtomicUsize::new(0),
            replays: AtomicU64::new(0),
            opened: AtomicU64::new(0),
            idle_timeout,
            state: Mutex::new(state),
        })
    }

    /// How many connections were ever opened.
    pub(super) fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// A connection for one request: one that has room, else the next that gets it or is opened.
    pub(super) async fn acquire(self: &Arc<Self>) -> Result<Lease, TransportError> {
        let mut place = {
            let mut state = self.state();
            let now = Instant::now();
            if let Some(connection) = state.take(now, self.idle_timeout) {
                return Ok(Lease::new(self, connection, now));
            }
            let (deal, dealt) = oneshot::channel();
            let id = state.next_waiter;
            state.next_waiter += 1;
            state.waiting.push_back(Waiter { id, deal });
            Place { pool: self, id, dealt }
        };
        self.connect_for_waiters();
        let patience = self.connector.timeout() + GRACE;
        match tokio::time::timeout(patience, &mut place.dealt).await {
            Ok(Ok(dealt)) => dealt.map(|connection| Lease::new(self, connection, Instant::now())),
            _ => {
                let shown = &self.connector.target.shown;
                let message = format!("{shown}: no connection within {:?}", self.connector.timeout());
                Err(TransportError::connect(message))
            }
        }
    }

    /// A connection that was opened just for this request.
    pub(super) async fn fresh(self: &Arc<Self>) -> Result<Lease, TransportError> {
        let opened = self.connector.connect().await?;
        self.opened.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state();
        let connection = state.add(opened, 1);
        self.keep(&mut state);
        Ok(Lease::new(self, connection, Instant::now()))
    }

    /// Takes back an HTTP/1.1 connection whose answer has ended.
    pub(super) fn give_back(&self, mut one: Box<One>) {
        if !one.is_quiet() {
            return;
        }
        one.reused = true;
        let mut state = self.state();
        if state.wanted(one.address) {
            state.idle.push(Idle { one, since: Instant::now() });
            state.serve(self.idle_timeout);
        }
    }

    /// Counts a stream of an HTTP/2 connection as over.
    pub(super) fn end_stream(&self, two: &Two) {
        let mut state = self.state();
        two.end_stream();
        state.serve(self.idle_timeout);
    }

    /// Sends no more requests over a connection whose peer is leaving.
    pub(super) fn retire(&self, two: &Arc<Two>) {
        self.state().shared.retain(|other| !Arc::ptr_eq(other, two));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts as many attempts to connect as the line needs.
    fn connect_for_waiters(self: &Arc<Self>) {
        let mut state = self.state();
        while state.connecting.saturating_mul(state.per_connection) < state.waiting.len() {
            state.connecting += 1;
            tokio::spawn(self.clone().attempt());
        }
    }

    async fn attempt(self: Arc<Self>) {
        match self.connector.connect().await {
            Ok(opened) => self.connected(opened),
            Err(error) => self.failed(&error),
        }
        // What was learned about the protocol may ask for more connections than were guessed.
        self.connect_for_waiters();
    }

    fn connected(self: &Arc<Self>, opened: Opened) {
        self.opened.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state();
        state.connecting -= 1;
        if let Connection::One(one) = state.add(opened, 0) {
            state.idle.push(Idle { one, since: Instant::now() });
        }
        state.serve(self.idle_timeout);
        // One that nobody waits for any more may be stale by the time it is used.
        for idle in &mut state.idle {
            idle.one.reused = true;
        }
        self.keep(&mut state);
    }

    fn failed(&self, error: &TransportError) {
        let mut state = self.state();
        state.connecting -= 1;
        // Those that another attempt may still serve go on waiting.
        let served = state.connecting.saturating_mul(state.per_connection);
        for _ in served..state.waiting.len() {
            state.deal(Err(error.clone()));
        }
    }

    /// Starts the keeper if none is at work.
    fn keep(self: &Arc<Self>, state: &mut State) {
        if !state.kept {
            state.kept = true;
            tokio::spawn(keeper(Arc::downgrade(self)));
        }
    }

    /// Closes what has been unused for too long; false when there is nothing left to look after.
    fn tidy(&self, now: Instant) -> bool {
        let mut state = self.state();
        let unused = |since: Instant| now.duration_since(since) >= self.idle_timeout;
        state.idle.retain_mut(|idle| !unused(idle.since) && idle.one.is_quiet());
        state.shared.retain(|two| !two.mouth.is_closed() && !two.empty_since().is_some_and(unused));
        state.kept = state.connecting > 0 || self.connector.open() > 0;
        state.kept
    }

    /// Sends new requests only to `addresses`; what runs elsewhere ends there.
    fn moved(&self, addresses: Vec<IpAddr>) {
        let mut state = self.state();
        let mut here = std::mem::take(&mut state.idle);
        let mut shared = std::mem::take(&mut state.shared);
        state.addresses = Some(addresses);
        here.retain(|idle| state.wanted(idle.one.address));
        shared.retain(|two| state.wanted(two.address));
        state.idle = here;
        state.shared = shared;
    }
}

/// Looks after the connections of a pool while there are any: closes unused ones, follows changes of address.
async fn keeper(pool: Weak<Pool>) {
    loop {
        let Some(idle_timeout) = pool.upgrade().map(|pool| pool.idle_timeout) else {
            return;
        };
        let tick = (idle_timeout / 4).clamp(Duration::from_millis(10), Duration::from_secs(1));
        tokio::time::sleep(tick).await;
        let Some(pool) = pool.upgrade() else { return };
        if !pool.tidy(Instant::now()) {
            return;
        }
        if let Some(addresses) = pool.connector.renewed_addresses().await {
            pool.moved(addresses);
        }
    }
}

/// A place in the line; leaving it early frees it.
struct Place<'a> {
    pool: &'a Arc<Pool>,
    id: u64,
    dealt: oneshot::Receiver<Dealt>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.pool.state();
        if let Ok(index) = state.waiting.binary_search_by_key(&self.id, |waiter| waiter.id) {
            state.waiting.remove(index);
            return;
        }
        drop(state);
        // Dealt to us after we had stopped looking: it is somebody else's now.
        match self.dealt.try_recv() {
            Ok(Ok(Connection::One(one))) => self.pool.give_back(one),
            Ok(Ok(Connection::Two(two))) => self.pool.end_stream(&two),
            _ => (),
        }
    }
}
