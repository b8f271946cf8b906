//! The guard that counts each request once, when its last byte is sent or dropped.

use std::{any::Any, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::dashboard::{Board, Ended, Seen};
use crate::{
    metrics::{Metrics, NONE, RequestLabels},
    pipeline::{CLIENT_LEFT, Cached, Facts},
    trace::Open,
};

use super::told;

/// The status that counts for a client which left before any answer; nginx's number for it.
const LEFT: u16 = 499;

/// The status of the answer that stands in for a handler which panicked.
const PANICKED: u16 = 500;

/// A request on its way through the gateway.
pub struct Record {
    metrics: Arc<Metrics>,
    begun: Instant,
    stream: bool,
    status: u16,
    facts: Option<Facts>,
    overhead: Option<Duration>,
    /// Where it is shown, with what is shown of it.
    shown: Option<(Arc<Board>, Seen)>,
    held: Vec<Box<dyn Any + Send + Sync>>,
    /// The request's span in the log.
    log: tracing::Span,
    /// Its span in its trace, where that is recorded.
    open: Option<Box<Open>>,
    /// The code of its refusal.
    refusal: Option<&'static str>,
    /// What cut its answer short.
    cut: Option<&'static str>,
}

impl Record {
    /// A request that begins now.
    pub fn begin(metrics: &Arc<Metrics>) -> Self {
        metrics.request_began();
        Self {
            metrics: Arc::clone(metrics),
            begun: Instant::now(),
            stream: false,
            status: LEFT,
            facts: None,
            overhead: None,
            shown: None,
            held: Vec::new(),
            log: tracing::Span::current(),
            open: None,
            refusal: None,
            cut: None,
        }
    }

    /// Shows it on the dashboard when it is over; `key`: the name of the key that asks.
    #[must_use]
    pub fn shown(mut self, board: &Arc<Board>, key: Option<Arc<str>>) -> Self {
        self.shown = Some((Arc::clone(board), Seen { key, ..Seen::default() }));
        self
    }

    /// Counts it on the dashboard when it is over, as one of somebody unknown.
    #[must_use]
    pub fn counted(mut self, board: &Arc<Board>) -> Self {
        self.shown = Some((Arc::clone(board), Seen { stranger: true, ..Seen::default() }));
        self
    }

    /// Keeps something (a place, a permit) until the request is over.
    pub fn hold(&mut self, held: impl Any + Send + Sync) {
        self.held.push(Box::new(held));
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

    /// Its span in the log: what is done for it from here on is told as its own.
    pub fn log(&self) -> &tracing::Span {
        &self.log
    }

    /// It is refused, with this code.
    pub fn refused(&mut self, code: &'static str) {
        self.refusal = Some(code);
    }

    /// What cuts its answer short, unless this is told anew before its end.
    pub fn cut(&mut self, class: Option<&'static str>) {
        self.cut = class;
    }

    /// The head of the answer is known; gives the time that Weir itself took until now.
    pub fn answered(&mut self, status: u16, facts: Option<Facts>) -> Duration {
        let waited = facts.as_ref().map_or(Duration::ZERO, |facts| facts.waited);
        let until_now = self.begun.elapsed();
        let overhead = until_now.saturating_sub(waited);
        if let Some((_, seen)) = &mut self.shown {
            seen.first = Some(until_now);
        }
        (self.status, self.facts, self.overhead) = (status, facts, Some(overhead));
        overhead
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let log = self.log.clone();
        let _in = log.enter();
        let open = self.open.take();
        let facts = self.facts.as_ref();
        let took = self.begun.elapsed();
        let labels = RequestLabels {
            route: facts.map_or(NONE, |facts| &facts.route_label),
            model: facts.map_or(NONE, Facts::model_label),
            provider: facts.map_or(NONE, Facts::provider_label),
            status: if std::thread::panicking() { PANICKED } else { self.status },
            cache: facts.map_or(Cached::default().word, |facts| facts.cache.word),
            stream: self.stream,
        };
        self.metrics.request(&labels, took, self.overhead);
        self.metrics.request_ended();
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
        if let Some((board, seen)) = self.shown.take() {
            let (status, stream) = (labels.status, self.stream);
            let left = status == LEFT || error == Some(CLIENT_LEFT);
            let seen = Seen { status, stream, left, took, code: error.filter(|_| !left), ..seen };
            let stranger = seen.stranger;
            board.ended(Ended::of(seen, self.facts.take()), stranger);
        }
    }
}
