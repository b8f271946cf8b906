//! The guard that counts each try exactly once, however it ends.

use std::sync::Arc;

use tokio::time::Instant;

use crate::{
    base::outcome::Outcome,
    metrics::TargetMetrics,
    openai::{Produced, Usage},
    spend::{Hold, Posted, Spent},
};

/// Counts a try when it ends, and settles its money; one that is dropped before counts as [`Outcome::ClientLeft`].
#[derive(Debug)]
pub struct Watch {
    metrics: Arc<TargetMetrics>,
    begun: Instant,
    hold: Option<Hold>,
    /// What came of a stream; `None` where the answer comes whole.
    produced: Option<Produced>,
}

impl Watch {
    /// A try that is sent now, with its leave to spend.
    pub fn begin(metrics: &Arc<TargetMetrics>, mut hold: Hold, stream: bool) -> Self {
        hold.sent();
        Self {
            metrics: Arc::clone(metrics),
            begun: Instant::now(),
            hold: Some(hold),
            produced: stream.then(Produced::default),
        }
    }

    /// When the try began.
    pub fn begun(&self) -> Instant {
        self.begun
    }

    /// The first content came.
    pub fn first_token(&mut self) {
        self.metrics.first_token(self.begun.elapsed());
        if let Some(hold) = &mut self.hold {
            hold.first_content();
        }
    }

    /// A part of a stream came, in the form that the client gets.
    pub fn came(&mut self, frame: &[u8]) {
        if let Some(produced) = &mut self.produced {
            produced.push(frame);
        }
    }

    /// The try ended with an answer. Where the upstream does not say what it took, `counted` does: tokens shown and
    /// thought.
    pub fn answered(mut self, usage: Option<&Usage>, counted: impl FnOnce() -> (u64, u64)) -> Posted {
        self.metrics.usage(usage);
        let spent = match (usage, &mut self.produced) {
            (Some(usage), _) => Spent::Counted(*usage),
            (None, Some(produced)) => came(produced.tokens()),
            (None, None) => came(counted()),
        };
        self.close(Outcome::Ok, spent).expect("a try that is answered has not ended before")
    }

    /// The try ended without an answer.
    pub fn failed(mut self, outcome: Outcome) {
        let spent = self.spent(outcome);
        self.close(outcome, spent);
    }

    /// What a failed try took: where the upstream may have worked, it may send a bill.
    fn spent(&mut self, outcome: Outcome) -> Spent {
        let produced = self.produced.as_mut().map(|produced| came(produced.tokens()));
        match outcome {
            Outcome::Timeout | Outcome::IdleTimeout | Outcome::Truncated | Outcome::ClientLeft => {
                produced.unwrap_or(Spent::Lost)
            }
            Outcome::InvalidAnswer => produced.unwrap_or(came((0, 0))),
            // A provider that reports an error charges for what it has sent before it.
            Outcome::ErrorEvent => produced.filter(|spent| *spent != came((0, 0))).unwrap_or(Spent::Nothing),
            _ => Spent::Nothing,
        }
    }

    fn close(&mut self, outcome: Outcome, spent: Spent) -> Option<Posted> {
        let hold = self.hold.take()?;
        self.metrics.attempt(outcome, self.begun.elapsed());
        Some(hold.settle(outcome, spent))
    }
}

fn came((output, reasoning): (u64, u64)) -> Spent {
    Spent::Produced { output, reasoning }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if self.hold.is_some() {
            let spent = self.spent(Outcome::ClientLeft);
            self.close(Outcome::ClientLeft, spent);
        }
    }
}
