//! The guard that counts each try exactly once, however it ends.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use tokio::time::Instant;

use crate::{
    base::{
        outcome::Outcome,
        whose::{self, Whose},
    },
    health::Reached,
    metrics::TargetMetrics,
    openai::{Produced, Said, Usage},
    quality::{Findings, Want},
    spend::{Hold, Posted, Spent},
};

use super::{allowance::Room, probe::Probe, progress::Progress, ward::Ward};

/// Counts a try when it ends, and settles its money; one that is dropped before counts as [`Outcome::Overtaken`] if its
/// marks say so, else as [`Outcome::ClientLeft`].
#[derive(Debug)]
pub struct Watch {
    metrics: Arc<TargetMetrics>,
    begun: Instant,
    hold: Option<Hold>,
    /// What the provider's own limits were charged.
    room: Option<Room>,
    ward: Option<Ward>,
    progress: Progress,
    /// What came of a stream; `None` where the answer comes whole.
    produced: Option<Produced>,
    /// What the answer has to be; `None`: it is not checked.
    want: Option<Want>,
    /// What the upstream has said so far that it took.
    usage: Option<Usage>,
    /// When a whole answer was there: what is left of the try is to write that down.
    whole_at: Option<Instant>,
    /// What it tells of itself, where that is recorded.
    probe: Option<Box<Probe>>,
    /// The request, for the log: a try may end long after its handler.
    log: Option<Whose>,
}

impl Watch {
    /// A try that is sent now, with its leave to spend and its target's health.
    pub fn begin(
        metrics: &Arc<TargetMetrics>,
        mut hold: Hold,
        mut room: Room,
        ward: Option<Ward>,
        progress: &Progress,
        (stream, want): (bool, Option<&Want>),
    ) -> Box<Self> {
        let now = Instant::now();
        hold.sent(now);
        progress.begun();
        room.sent();
        // It is handed on often.
        Box::new(Self {
            metrics: Arc::clone(metrics),
            begun: now,
            hold: Some(hold),
            room: Some(room),
            ward,
            progress: progress.clone(),
            produced: stream.then(|| want.map_or_else(Produced::new, |want| Produced::keeping(want.keep()))),
            want: want.cloned(),
            usage: None,
            whole_at: None,
            probe: None,
            log: whose::current(),
        })
    }

    /// The try tells of itself.
    pub fn probed(&mut self, probe: Option<Probe>) {
        self.probe = probe.map(Box::new);
    }

    /// When the try began.
    pub fn begun(&self) -> Instant {
        self.begun
    }

    /// The first content came.
    pub fn first_token(&mut self) {
        let now = Instant::now();
        self.whole_at = self.produced.is_none().then_some(now);
        self.metrics.first_token(now.saturating_duration_since(self.begun));
        if let Some(hold) = &mut self.hold {
            hold.first_content();
        }
        if let Some(ward) = &mut self.ward {
            ward.first_content(now);
        }
        if let Some(probe) = &mut self.probe {
            probe.first_content();
        }
    }

    /// The head of an answer came, with this status.
    pub fn status(&mut self, status: StatusCode) {
        if let Some(probe) = &mut self.probe {
            probe.status(status);
        }
    }

    /// The head of an answer came, with what is none of its failures.
    pub fn reached(&mut self, now: Instant) {
        if let Some(ward) = &mut self.ward {
            ward.reached(Reached::Yes, now);
        }
    }

    /// A part of a stream came, in the form that the client gets.
    pub fn came(&mut self, frame: &[u8]) {
        if let Some(produced) = &mut self.produced {
            produced.push(frame);
        }
        if let Some(probe) = &mut self.probe {
            probe.frame(frame);
        }
    }

    /// The upstream said what it took; more may follow.
    pub fn told(&mut self, usage: &Usage) {
        self.usage = Some(*usage);
    }

    /// The whole answer came: what its checks find. What it says need not be looked for where that is known.
    pub fn judge(&mut self, body: &[u8], said: Option<&Said>) -> Findings {
        if let Some(probe) = &mut self.probe {
            probe.body(body);
        }
        let judge = |want: &Want| said.map_or_else(|| want.judge_body(body), |said| want.judge(said));
        let findings = self.want.as_ref().map(judge).unwrap_or_default();
        self.judged(findings)
    }

    /// Counts what the checks of the answer found.
    fn judged(&mut self, findings: Findings) -> Findings {
        for check in findings.ran.iter() {
            self.metrics.checks.count(check, findings.failed.contains(check));
        }
        if let (Some(passed), Some(ward)) = (findings.passed(), &self.ward) {
            ward.judged(passed);
        }
        if let Some(hold) = &mut self.hold {
            hold.judged(findings.word());
        }
        findings
    }

    /// The whole stream came: what its checks find.
    pub fn judge_stream(&mut self) -> Findings {
        let said = self.want.as_ref().zip(self.produced.as_mut());
        let findings = said.map(|(want, produced)| want.judge(produced.said())).unwrap_or_default();
        self.judged(findings)
    }

    /// The try ended with an answer. Where the upstream did not say what it took, `counted` does: tokens shown and
    /// thought.
    pub fn answered(mut self: Box<Self>, counted: impl FnOnce() -> (u64, u64)) -> Posted {
        self.metrics.usage(self.usage.as_ref());
        let spent = match (self.usage, &mut self.produced) {
            (Some(usage), _) => Spent::Counted(usage),
            (None, Some(produced)) => came(produced.tokens()),
            (None, None) => came(counted()),
        };
        let now = self.whole_at.unwrap_or_else(Instant::now);
        let posted =
            self.close(Outcome::Ok, spent, now).expect("a try that is answered has not ended before");
        self.report(Outcome::Ok, None, now);
        posted
    }

    /// The try ended without an answer; `hint` is how long the provider asks to be left alone.
    pub fn failed(mut self: Box<Self>, outcome: Outcome, hint: Option<Duration>) {
        let (spent, now) = (self.spent(outcome), Instant::now());
        self.close(outcome, spent, now);
        self.report(outcome, hint, now);
    }

    /// One key was refused: the target's health goes on to the next one.
    pub fn refused(mut self: Box<Self>, outcome: Outcome) -> Option<Ward> {
        let spent = self.spent(outcome);
        self.close(outcome, spent, Instant::now());
        self.ward.take()
    }

    fn report(&mut self, outcome: Outcome, hint: Option<Duration>, now: Instant) {
        if let Some(ward) = self.ward.take() {
            whose::resume(self.log.take(), || ward.over(outcome, hint, now));
        }
    }

    /// What a failed try took: for what the upstream has sent, and for what it may have made, it may send a bill.
    fn spent(&mut self, outcome: Outcome) -> Spent {
        if let Some(usage) = self.usage {
            return Spent::Counted(usage);
        }
        let produced = self.produced.as_mut().map(Produced::tokens).unwrap_or_default();
        match outcome {
            Outcome::Timeout | Outcome::ClientLeft | Outcome::Overtaken
                if !self.progress.is_handed_over() =>
            {
                Spent::Nothing
            }
            _ if produced != (0, 0) => Spent::Cut { output: produced.0, reasoning: produced.1 },
            Outcome::Timeout
            | Outcome::IdleTimeout
            | Outcome::Truncated
            | Outcome::InvalidAnswer
            | Outcome::Reset
            | Outcome::ClientLeft => match self.produced {
                Some(_) => Spent::Cut { output: 0, reasoning: 0 },
                None => Spent::Lost,
            },
            Outcome::Overtaken => Spent::Overtaken,
            // It was refused, or never sent.
            _ => Spent::Nothing,
        }
    }

    fn close(&mut self, outcome: Outcome, spent: Spent, now: Instant) -> Option<Posted> {
        let hold = self.hold.take()?;
        self.metrics.attempt(outcome, now.saturating_duration_since(self.begun));
        if let Some(room) = self.room.take() {
            room.over(outcome, &spent, now);
        }
        let number = hold.number();
        let posted = hold.settle(outcome, spent, now);
        if let Some(probe) = self.probe.take() {
            probe.over(number, outcome, &spent, posted.cost);
        }
        Some(posted)
    }
}

fn came((output, reasoning): (u64, u64)) -> Spent {
    Spent::Produced { output, reasoning }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if self.hold.is_none() {
            return;
        }
        let overtaken = self.progress.is_overtaken();
        let outcome = if overtaken { Outcome::Overtaken } else { Outcome::ClientLeft };
        let (unconnected, now) = (overtaken && !self.progress.is_handed_over(), Instant::now());
        if let Some(ward) = self.ward.as_mut().filter(|_| unconnected) {
            ward.had_no_connection(now.saturating_duration_since(self.begun));
        }
        let spent = self.spent(outcome);
        self.close(outcome, spent, now);
        self.report(outcome, None, now);
    }
}

#[cfg(test)]
mod tests;
