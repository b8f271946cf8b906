//! The work of a flight: makes the answer, hands it to all who wait, keeps it.

use std::{future::poll_fn, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::Instant;

use crate::{
    cache::{
        answer::{Kept, Recorder, Unfit},
        complete::Ends,
        flight::{Lead, Piece},
        key::Key,
        store::{Era, Labels, Slot},
    },
    config::QualityCheck,
    openai::{Ask, Endpoint},
    quality::{Checks, Findings},
    route::{Missing, Target, Wanted},
    upstream::Frame,
};

use super::{
    super::{
        answer::{Answer, AnswerStream, Content, Facts, last_words},
        job::Missed,
    },
    Maker, Question, Vault,
    head::{Head, Turned, Whole},
};

/// Names of more bytes than that are not kept beside an answer: clients choose them.
const MOST_DROPPED: usize = 1024;

/// What is known of a kept answer's way.
#[derive(Clone, Debug)]
pub struct Note {
    /// The chain's entry.
    pub route: Arc<str>,
    /// The metrics label of the entry.
    pub route_label: Arc<str>,
    /// The target that answered.
    pub target: Option<Arc<Target>>,
    /// The client's fields that were left out for the provider.
    pub dropped: Vec<String>,
}

impl Note {
    fn of(facts: &Facts) -> Self {
        Self {
            route: Arc::clone(&facts.route),
            route_label: Arc::clone(&facts.route_label),
            target: facts.target.clone(),
            dropped: facts.dropped.clone(),
        }
    }
}

/// Keeps the answer of a flight.
pub struct Keeper {
    vault: Arc<Vault>,
    key: Key,
    labels: Labels,
    ttl: Duration,
    era: Era,
    endpoint: Endpoint,
    /// What is asked: only its own targets answer for it.
    wanted: Vec<Wanted>,
    /// The checks whose failure keeps an answer out.
    checks: Checks,
    /// Whether the client set the length at which its answer may end.
    length: bool,
    /// The largest answer that is kept.
    most: usize,
}

impl Keeper {
    /// Keeps the answer to a question that is asked now.
    pub fn new(vault: &Arc<Vault>, question: Question, missed: &Missed) -> Self {
        let job = &missed.job;
        Self {
            vault: Arc::clone(vault),
            key: question.key,
            labels: question.labels,
            ttl: question.ttl,
            era: vault.store.era(),
            endpoint: job.ask.endpoint(),
            wanted: missed.wanted.clone(),
            checks: checks(&missed.wanted),
            length: sets_length(&job.ask),
            most: job.snapshot.config.cache.max_answer.bytes(),
        }
    }

    /// Whether such an answer may be kept.
    fn takes(&self, facts: &Facts) -> bool {
        let own = |target: &Arc<Target>| self.wanted.iter().any(|wanted| wanted.has(target));
        let dropped: usize = facts.dropped.iter().map(String::len).sum();
        !self.ttl.is_zero()
            && dropped <= MOST_DROPPED
            && is_the_routes_own(facts)
            && facts.target.as_ref().is_some_and(own)
    }

    fn keep(self, note: Note, findings: Findings, answer: Result<Kept, Unfit>) {
        if let Some(check) = findings.failed.and(self.checks).worst() {
            return tracing::debug!(check = check.as_str(), "an answer is not kept");
        }
        let answer = match answer {
            Ok(answer) => answer,
            Err(why) => return tracing::debug!(?why, "an answer is not kept"),
        };
        let slot = Slot { answer, labels: self.labels, note, made: Instant::now(), ttl: self.ttl };
        self.vault.keep(self.key, slot, self.era);
    }
}

/// The checks whose failure keeps an answer out: all of them, but that one which ends at a length is the length's business,
/// unless a route asks for another answer then.
fn checks(wanted: &[Wanted]) -> Checks {
    let escalates = wanted.iter().any(|wanted| match wanted {
        Wanted::Route(route) => {
            route.cascade.as_ref().is_some_and(|cascade| cascade.on.contains(QualityCheck::Truncated))
        }
        Wanted::Model(_) | Wanted::Pinned(..) => false,
    });
    QualityCheck::ALL.into_iter().filter(|check| escalates || *check != QualityCheck::Truncated).collect()
}

/// Whether an answer is as everybody would get it: not what a budget made of it, nor what another route gave because it was
/// better.
pub fn is_the_routes_own(facts: &Facts) -> bool {
    // A limit on cost passes over what has no price.
    let by_budget = |missing: &Missing| matches!(missing, Missing::Budget(_) | Missing::Price);
    let passed_over = facts.skipped.iter().any(|(_, missing)| by_budget(missing));
    !facts.money.downgraded && !facts.money.squeezed && !passed_over && facts.escalated.is_none()
}

fn sets_length(ask: &Ask) -> bool {
    ["max_tokens", "max_completion_tokens"].iter().any(|name| ask.field(name).is_some())
}

/// Makes the answer, for everybody who has a seat.
pub async fn fly<S: Maker>(lead: Lead<Head, Turned>, keeper: Keeper, mut inner: S, missed: Missed) {
    let key = Arc::clone(&keeper.labels.key);
    let deadline = missed.job.timing.deadline;
    match inner.call(missed).await {
        Err(refusal) => lead.refuse(Turned::now(*refusal, key, deadline)),
        Ok(Answer { facts, content: Content::Whole(body) }) => {
            if keeper.takes(&facts) {
                let kept = Kept::whole(keeper.endpoint, &body, keeper.length, keeper.most);
                keeper.keep(Note::of(&facts), facts.findings, kept);
            }
            lead.answer(Head { facts, whole: Some(Whole::new(body)), summary: None, key });
        }
        Ok(Answer { facts, content: Content::Stream(mut stream) }) => {
            let summary = stream.take_summary();
            let keeping = keeper.takes(&facts).then(|| Keeping::of(keeper, &facts));
            lead.begin(Head { facts, whole: None, summary, key });
            pass(&lead, keeping, stream).await;
        }
    }
}

/// A stream that is kept when it is over.
struct Keeping {
    keeper: Keeper,
    note: Note,
    recorder: Recorder,
}

impl Keeping {
    fn of(keeper: Keeper, facts: &Facts) -> Self {
        Self { note: Note::of(facts), recorder: Recorder::new(keeper.most), keeper }
    }

    /// The last frame came, after what came to such `ends`.
    fn finish(mut self, last: &Bytes, ends: Ends, findings: Findings) {
        self.recorder.passes(last, false);
        let Keeper { endpoint, length, .. } = self.keeper;
        self.keeper.keep(self.note, findings, self.recorder.finish(endpoint, ends, length));
    }
}

/// Passes a stream on to its end.
async fn pass(lead: &Lead<Head, Turned>, mut keeping: Option<Keeping>, mut stream: AnswerStream) {
    let mut ends = Ends::default();
    let mut place = lead.place();
    while let Some(frame) = poll_fn(|cx| stream.poll_frame(cx)).await {
        let piece = match frame {
            Ok(Frame::Part(bytes)) => {
                let usage = ends.passes(&bytes);
                // Where flights have no room left, nothing more is written down.
                keeping = keeping.filter(|_| place.grow(bytes.len()));
                if let Some(Keeping { recorder, .. }) = &mut keeping {
                    recorder.passes(&bytes, usage);
                }
                if usage { Piece::Usage(bytes) } else { Piece::Part(bytes) }
            }
            Ok(Frame::Last(bytes)) => {
                // Before anybody sees the end: who asks the same from then on finds it.
                ends.passes(&bytes);
                if let Some(keeping) = keeping.take() {
                    keeping.finish(&bytes, std::mem::take(&mut ends), stream.findings());
                }
                Piece::Last(bytes)
            }
            Err(cut) => Piece::Cut(last_words(&cut)),
        };
        lead.push(piece).await;
    }
}
