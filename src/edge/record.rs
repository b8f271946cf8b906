//! The guard that counts each request once, when its last byte is sent or dropped.

use std::{sync::Arc, time::Duration};

use tokio::{sync::OwnedSemaphorePermit, time::Instant};

use super::{
    dashboard::{Ended, Seen},
    layer::shed::Place,
    state::State,
    told,
};
use crate::{
    base::whose::{self, Whose},
    limit::concurrency::Permit,
    metrics::{NONE, RequestLabels},
    pipeline::{CLIENT_LEFT, Cached, Facts},
    trace::Open,
};

/// The status that counts for a client which left before any answer; nginx's number for it.
const LEFT: u16 = 499;

/// The status of the answer that stands in for a handler which panicked.
const PANICKED: u16 = 500;

/// A request on its way through the gateway.
pub struct Record {
    state: State,
    begun: Instant,
    stream: bool,
    status: u16,
    facts: Option<Box<Facts>>,
    overhead: Option<Duration>,
    shown: Shown,
    /// The time to the head of the answer.
    first: Option<Duration>,
    /// What it holds until it is over: its place, its key's, and room for its body.
    _place: Option<(Place, Option<Permit>)>,
    _room: Option<OwnedSemaphorePermit>,
    /// Whose it is, for the log.
    log: Option<Whose>,
    /// Its span in its trace, where that is recorded.
    open: Option<Box<Open>>,
    /// The code of its refusal.
    refusal: Option<&'static str>,
    /// What cut its answer short.
    cut: Option<&'static str>,
}

/// What the dashboard shows of a request when it is over.
enum Shown {
    /// Nothing.
    Not,
    /// That there was one, of somebody unknown.
    Counted,
    /// What became of it, with the name of the key that asked.
    Whole(Option<Arc<str>>),
}

impl Record {
    /// A request that begins now.
    pub fn begin(state: &State) -> Self {
        Self::since(state, Instant::now())
    }

    /// A request that began at `begun`, just before.
    pub fn since(state: &State, begun: Instant) -> Self {
        state.0.metrics.request_began();
        Self {
            state: state.clone(),
            begun,
            stream: false,
            status: LEFT,
            facts: None,
            overhead: None,
            shown: Shown::Not,
            first: None,
            _place: None,
            _room: None,
            log: whose::current(),
            open: None,
            refusal: None,
            cut: None,
        }
    }

    /// Shows it on the dashboard when it is over; `key`: the name of the key that asks.
    #[must_use]
    pub fn shown(mut self, key: Option<Arc<str>>) -> Self {
        self.shown = Shown::Whole(key);
        self
    }

    /// Counts it on the dashboard when it is over, as one of somebody unknown.
    #[must_use]
    pub fn counted(mut self) -> Self {
        self.shown = Shown::Counted;
        self
    }

    /// It may go on, and keeps its places until it is over.
    pub fn admitted(&mut self, place: Place, permit: Option<Permit>) {
        self._place = Some((place, permit));
    }

    /// Its body is there, and keeps its room until the request is over.
    pub fn came(&mut self, room: Option<OwnedSemaphorePermit>) {
        self._room = room;
    }

    /// Whether a stream is asked for.
    pub fn stream(&mut self, stream: bool) {
        self.stream = stream;
    }

    /// The request tells of itself in its trace.
    pub fn traced(&mut self, open: Option<Open>) {
        self.open = open.map(Box::new);
    }

    /// Its span in its trace, while it is under way.
    pub fn span(&mut self) -> Option<&mut Open> {
        self.open.as_deref_mut()
    }

    /// It is refused, with this code.
    pub fn refused(&mut self, code: &'static str) {
        self.refusal = Some(code);
    }

    /// What cuts its answer short, unless this is told anew before its end.
    pub fn cut(&mut self, class: Option<&'static str>) {
        self.cut = class;
    }

    /// The head of the answer is known at `now`; gives the time that Weir itself took until then.
    pub fn answered(&mut self, now: Instant, status: u16, facts: Option<Box<Facts>>) -> Duration {
        let waited = facts.as_ref().map_or(Duration::ZERO, |facts| facts.waited);
        let until_now = now.saturating_duration_since(self.begun);
        let overhead = until_now.saturating_sub(waited);
        self.first = Some(until_now);
        (self.status, self.facts, self.overhead) = (status, facts, Some(overhead));
        overhead
    }

    /// Tells everybody who counts that it is over.
    fn over(&mut self) {
        let open = self.open.take();
        let facts = self.facts.as_deref();
        let took = self.begun.elapsed();
        let labels = RequestLabels {
            route: facts.map_or(NONE, |facts| &facts.route_label),
            model: facts.map_or(NONE, Facts::model_label),
            provider: facts.map_or(NONE, Facts::provider_label),
            status: if std::thread::panicking() { PANICKED } else { self.status },
            cache: facts.map_or(Cached::default().word, |facts| facts.cache.word),
            stream: self.stream,
        };
        let metrics = &self.state.0.metrics;
        metrics.request(&labels, took, self.overhead);
        metrics.request_ended();
        let error = self.refusal.or(self.cut);
        if let Some(open) = open {
            let end = told::End { status: labels.status, error, facts, overhead: self.overhead };
            told::ended(*open, &end);
        }
        tracing::debug!(
            route = labels.route,
            model = labels.model,
            provider = labels.provider,
            status = labels.status,
            stream = labels.stream,
            attempts = facts.map_or(0, |facts| facts.attempts),
            ms = took.as_millis() as u64,
            "request over"
        );
        let (status, stream, first) = (labels.status, self.stream, self.first);
        let left = status == LEFT || error == Some(CLIENT_LEFT);
        let code = error.filter(|_| !left);
        let (key, stranger) = match std::mem::replace(&mut self.shown, Shown::Not) {
            Shown::Not => return,
            Shown::Counted => (None, true),
            Shown::Whole(key) => (key, false),
        };
        let seen = Seen { key, status, code, left, stream, stranger, first, took };
        self.state.0.board.ended(Ended::of(seen, self.facts.take()), stranger);
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        whose::resume(self.log.take(), || self.over());
    }
}
