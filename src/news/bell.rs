//! The one bounded way that news take.

use tokio::sync::mpsc::{self, error::TrySendError};

use crate::{
    base::clock::Clock,
    metrics::{Metrics, alerts::AlertMetrics},
};

use super::Event;

/// How much news may wait to be told.
pub const ROOM: usize = 256;

/// Takes news without ever waiting. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Bell {
    sender: mpsc::Sender<Told>,
    clock: Clock,
    metrics: AlertMetrics,
}

/// A piece of news.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// What happened.
    pub event: Event,
    /// When, in milliseconds since 1970.
    pub at: i64,
}

impl Bell {
    /// A bell with its listener.
    pub fn new(metrics: &Metrics, clock: Clock) -> (Self, mpsc::Receiver<Told>) {
        let (sender, told) = mpsc::channel(ROOM);
        (Self { sender, clock, metrics: metrics.alerts().clone() }, told)
    }

    /// A bell that nobody listens to, for tests.
    #[cfg(test)]
    pub fn unheard(metrics: &Metrics) -> Self {
        Self::new(metrics, Clock::system()).0
    }

    /// Passes news on. Where too much waits already, it stays in the log where it was raised, and is counted as dropped.
    pub fn ring(&self, event: Event) {
        let told = Told { event, at: self.clock.millis() };
        // Without a listener the process is about to end.
        if let Err(TrySendError::Full(told)) = self.sender.try_send(told) {
            self.metrics.dropped(told.event.name());
            let event = told.event.name();
            tracing::warn!(event, "too many alerts wait for the webhook: this one is only in the log");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_bell_drops_with_a_count_and_never_waits() {
        let metrics = Metrics::new().unwrap();
        let (bell, mut told) = Bell::new(&metrics, Clock::of(|| 7));
        let event = Event::Model { model: "m".into(), provider: "p".into(), retired: true };
        for _ in 0..ROOM + 2 {
            bell.ring(event.clone());
        }
        let page = String::from_utf8(metrics.page()).unwrap();
        assert!(page.contains("weir_alerts_total{event=\"model_retired\",result=\"dropped\"} 2"), "{page}");
        assert_eq!(told.recv().await, Some(Told { event, at: 7 }));
        assert_eq!(told.len(), ROOM - 1);
    }
}
