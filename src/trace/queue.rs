//! Where spans wait for their export, bounded in bytes.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::mpsc;

use crate::metrics::trace::TraceMetrics;

use super::span::Span;

/// The side that takes spans. It never waits: what finds no room is dropped, which is counted.
#[derive(Debug)]
pub(super) struct Queue {
    /// Bounded by the bytes below, since spans differ a hundredfold in size.
    sender: mpsc::UnboundedSender<Queued>,
    held: Arc<AtomicUsize>,
    most: usize,
    metrics: TraceMetrics,
}

/// The side that exports them.
#[derive(Debug)]
pub struct Spans(pub(super) mpsc::UnboundedReceiver<Queued>);

/// A span with its place, which is free again when this is dropped.
#[derive(Debug)]
pub struct Queued {
    /// The span.
    pub span: Span,
    _place: Place,
}

#[derive(Debug)]
struct Place {
    held: Arc<AtomicUsize>,
    weight: usize,
}

impl Queue {
    /// A queue that holds so many bytes.
    pub(super) fn new(most: usize, metrics: TraceMetrics) -> (Self, Spans) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self { sender, held: Arc::default(), most, metrics }, Spans(receiver))
    }

    /// Takes a span, or drops it.
    pub(super) fn push(&self, span: Span) {
        let weight = span.weight();
        let before = self.held.fetch_add(weight, Ordering::Relaxed);
        // From here on its place is given back, whatever becomes of it.
        let place = Place { held: Arc::clone(&self.held), weight };
        let fits = before.saturating_add(weight) <= self.most;
        if !fits || self.sender.send(Queued { span, _place: place }).is_err() {
            self.metrics.dropped();
        }
    }
}

impl Spans {
    /// The next span; waits for it. `None`: no more can come.
    pub async fn next(&mut self) -> Option<Queued> {
        self.0.recv().await
    }

    /// The next span, if there is one already.
    pub fn ready(&mut self) -> Option<Queued> {
        self.0.try_recv().ok()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.held.fetch_sub(self.weight, Ordering::Relaxed);
    }
}
