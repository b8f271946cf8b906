//! What the pipeline gives back: an answer, whole or as a stream, with what is known of its way.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::Stream;

use crate::{
    base::{
        money::Nanos,
        outcome::Outcome,
        whose::{self, Whose},
    },
    config::QualityCheck,
    openai::error::ErrorBody,
    quality::Findings,
    route::{Chain, Missing, Target},
    spend::{Purse, Remaining},
    upstream::{Cut, Frame, Live, Trail, Tried},
};

use super::{
    cache::{Follower, Next},
    idempotency::Keeper,
    refusal::Refusal,
    verdict::Verdict,
};

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// How it came about. Boxed, as an answer is handed on often.
    pub facts: Box<Facts>,
    /// The answer itself.
    pub content: Content,
}

/// An answer's content, in OpenAI's format.
#[derive(Debug)]
pub enum Content {
    /// A JSON object.
    Whole(Bytes),
    /// Server-sent events.
    Stream(AnswerStream),
}

/// How an answer, or a refusal, came about.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The chain's entry.
    pub route: Arc<str>,
    /// The metrics label of the entry.
    pub route_label: Arc<str>,
    /// The target that answered, or failed last.
    pub target: Option<Arc<Target>>,
    /// How many tries were made.
    pub attempts: usize,
    /// How often another target had to take over.
    pub fallbacks: usize,
    /// Every try in order, where one of them failed.
    pub tried: Vec<Tried>,
    /// The targets that were passed over, each with what it lacks.
    pub skipped: Vec<(Arc<Target>, Missing)>,
    /// The client's fields that were left out for the provider.
    pub dropped: Vec<String>,
    /// The time spent waiting for upstreams.
    pub waited: Duration,
    /// The check for which a stronger route answered than the one that was asked for.
    pub escalated: Option<QualityCheck>,
    /// What the checks of a whole answer found; of a stream [`AnswerStream::findings`] says it.
    pub findings: Findings,
    /// What it cost, and what that leaves.
    pub money: Money,
    /// What the classifier made of it.
    pub verdict: Verdict,
    /// What the cache did.
    pub cache: Cached,
    /// What it is, where it stands in for an answer that nobody could give.
    pub stand_in: Option<StandIn>,
}

/// An answer that stands in where no target can answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandIn {
    /// The caller's own past answer.
    Stale,
    /// A fixed text.
    Static,
}

impl StandIn {
    /// The name in `x-weir-degraded`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::Static => "static",
        }
    }
}

/// What the cache did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cached {
    /// `hit`, `miss`, `stale` or `bypass`.
    pub word: &'static str,
    /// How old the answer is, where it was there already.
    pub age: Option<Duration>,
}

impl Default for Cached {
    fn default() -> Self {
        Self { word: "bypass", age: None }
    }
}

/// What an answer, or a refusal, has to do with money.
#[derive(Clone, Debug, Default)]
pub struct Money {
    /// What the whole request cost; `None` while that is not known.
    pub cost: Option<Nanos>,
    /// What it cost less than on the baseline model, where the client asked for that and both are known.
    pub saved: Option<Nanos>,
    /// What the tightest budgets have left.
    pub remaining: Remaining,
    /// The output limit that a budget lowered.
    pub max_output: Option<u64>,
    /// Whether with all the money in the world that limit would be higher, or a stronger route asked as well.
    pub squeezed: bool,
    /// Whether a budget sent it to a cheaper route.
    pub downgraded: bool,
    /// Whether it was given before, under the same idempotency key.
    pub replayed: bool,
}

impl Facts {
    /// The facts of a chain that was tried.
    pub fn of(chain: &Chain, trail: &Trail) -> Self {
        Self {
            route: Arc::clone(&chain.route),
            route_label: Arc::clone(&chain.label),
            target: trail.tried.last().map(|tried| Arc::clone(&tried.target)),
            attempts: trail.attempts(),
            fallbacks: trail.fallbacks,
            tried: match trail.tried.iter().all(|tried| tried.outcome == Outcome::Ok) {
                true => Vec::new(),
                false => trail.tried.clone(),
            },
            skipped: chain.skipped.iter().chain(&trail.skipped).cloned().collect(),
            dropped: trail.dropped.clone(),
            waited: trail.waited,
            escalated: None,
            findings: Findings::default(),
            money: Money::default(),
            verdict: Verdict::default(),
            cache: Cached::default(),
            stand_in: None,
        }
    }

    /// The facts of an answer that was given before.
    pub fn again() -> Self {
        Self::given("".into(), crate::metrics::NONE.into())
    }

    /// The facts of an answer that was given before, to who asks this entry.
    pub fn given(route: Arc<str>, route_label: Arc<str>) -> Self {
        Self {
            route,
            route_label,
            target: None,
            attempts: 0,
            fallbacks: 0,
            tried: Vec::new(),
            skipped: Vec::new(),
            dropped: Vec::new(),
            waited: Duration::ZERO,
            escalated: None,
            findings: Findings::default(),
            money: Money { cost: Some(Nanos::ZERO), replayed: true, ..Money::default() },
            verdict: Verdict::default(),
            cache: Cached::default(),
            stand_in: None,
        }
    }

    /// The metrics label of the target.
    pub fn model_label(&self) -> &str {
        self.target.as_deref().map_or(crate::metrics::NONE, Target::label)
    }

    /// The metrics label of the provider.
    pub fn provider_label(&self) -> &str {
        self.target.as_ref().map_or(crate::metrics::NONE, |target| &target.provider)
    }
}

/// What is known of the way to an answer, or to a refusal.
pub fn facts(result: &mut Result<Answer, Box<Refusal>>) -> Option<&mut Facts> {
    match result {
        Ok(answer) => Some(&mut answer.facts),
        Err(refusal) => refusal.facts.as_mut(),
    }
}

/// The class of the error that a client is which leaves before its answer is over.
pub const CLIENT_LEFT: &str = "client_left";
/// The code of an answer whose upstream failed after content.
const BROKEN: &str = "upstream_stream_broken";
/// The code of an answer whose cost could not be recorded.
const UNRECORDED: &str = "ledger_unavailable";

/// The frames of a streamed answer. A failure becomes an error event, after which the stream ends without
/// `[DONE]`: a cut never looks like an end.
#[derive(Debug)]
pub struct AnswerStream {
    source: Source,
    summary: Option<Box<Summary>>,
    keeper: Option<Box<Keeper>>,
    /// What cuts it short if nobody reads on.
    cut: Option<&'static str>,
    /// The request, for the log: what becomes of a stream is told long after its handler is gone.
    log: Option<Whose>,
}

/// Where frames come from.
#[derive(Debug)]
enum Source {
    /// An upstream.
    Live(Box<Live>),
    /// A call that others follow too.
    Shared(Box<Follower>),
    /// What is said at once: an answer that was kept, or the last words.
    Kept(VecDeque<Frame>),
    /// Nothing follows.
    Over,
}

/// What stands in the comment before a stream's end, where the client wishes for one.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The target that answers.
    pub model: Arc<str>,
    /// What pays for it; nothing does where it was there already.
    pub purse: Option<Purse>,
    /// Whether it says what was saved.
    pub savings: bool,
}

impl AnswerStream {
    fn of(source: Source, summary: Option<Summary>) -> Self {
        Self {
            source,
            summary: summary.map(Box::new),
            keeper: None,
            cut: Some(CLIENT_LEFT),
            log: whose::current(),
        }
    }

    /// The frames of `live`, with a comment before the end if there is a `summary`.
    pub fn new(live: Box<Live>, summary: Option<Summary>) -> Self {
        Self::of(Source::Live(live), summary)
    }

    /// The frames of an answer that was given before.
    pub fn again(frames: Bytes) -> Self {
        let frames = VecDeque::from([Frame::Last(frames)]);
        Self::of(Source::Kept(frames), None)
    }

    /// The events of a whole answer that is there already, in any pieces, with a comment before the last event if there is a
    /// `summary`.
    pub fn kept(mut events: Vec<Bytes>, summary: Option<Summary>) -> Self {
        const DATA: &[u8] = b"data:";
        let mut last = events.pop().unwrap_or_default();
        let end = last.windows(DATA.len()).rposition(|window| window == DATA).unwrap_or(0);
        events.push(last.split_to(end));
        events.retain(|piece| !piece.is_empty());
        let frames = events.into_iter().map(Frame::Part).chain([Frame::Last(last)]).collect();
        Self::of(Source::Kept(frames), summary)
    }

    /// The frames of a call that others follow too, with a comment before the end if there is a `summary`.
    pub fn shared(follower: Follower, summary: Option<Summary>) -> Self {
        Self::of(Source::Shared(Box::new(follower)), summary)
    }

    /// What is told at the end goes to whoever passes the frames on.
    pub fn take_summary(&mut self) -> Option<Summary> {
        self.summary.take().map(|summary| *summary)
    }

    /// The next frame, for whoever passes them on: without a summary, and with failures as such.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Cut>>> {
        match &mut self.source {
            Source::Live(live) => Pin::new(&mut **live).poll_next(cx),
            Source::Kept(frames) => Poll::Ready(frames.pop_front().map(Ok)),
            // A flight is the last that others follow.
            Source::Shared(_) | Source::Over => Poll::Ready(None),
        }
    }

    /// What its checks found; complete with its last frame.
    pub fn findings(&self) -> Findings {
        match &self.source {
            Source::Live(live) => live.findings(),
            Source::Shared(_) | Source::Kept(_) | Source::Over => Findings::default(),
        }
    }

    /// What cut it short, as a class of errors; [`CLIENT_LEFT`] where that is only that nobody reads on. `None`: its last
    /// frame is out.
    pub fn cut(&self) -> Option<&'static str> {
        self.cut
    }

    /// Keeps the answer once it is whole.
    pub fn keep(&mut self, keeper: Keeper) {
        self.keeper = Some(Box::new(keeper));
    }

    /// Ends it with an error, unless it is over: the gateway shuts down.
    pub fn stop(&mut self) {
        if matches!(self.source, Source::Live(_) | Source::Shared(_)) {
            let message = "This gateway is shutting down, and the answer took too long to end.";
            let error = ErrorBody::new("overloaded_error", "overloaded", message);
            self.source = Source::Kept([Frame::Part(error.to_event(&[]))].into());
            self.keeper = None;
            self.cut = Some("overloaded");
        }
    }

    /// The last frame goes out: with the summary before it, and whoever keeps the answer has it whole.
    fn last(&mut self, bytes: Bytes) -> Bytes {
        self.cut = None;
        let bytes = self.summary.take().map_or_else(|| bytes.clone(), |summary| summary.before(&bytes));
        if let Some(mut keeper) = self.keeper.take() {
            keeper.passes(&bytes);
            keeper.finish();
        }
        bytes
    }
}

impl Stream for AnswerStream {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let next = match &mut self.source {
            Source::Shared(follower) => match ready!(follower.poll_next(cx)) {
                Some(Next::Frame(frame)) => Some(Ok(frame)),
                Some(Next::Cut(words)) => {
                    self.source = Source::Over;
                    self.keeper = None;
                    self.cut = Some(BROKEN);
                    return Poll::Ready(Some(words));
                }
                None => None,
            },
            _ => ready!(self.poll_frame(cx)),
        };
        Poll::Ready(match next {
            Some(Ok(Frame::Part(bytes))) => {
                if let Some(keeper) = &mut self.keeper {
                    keeper.passes(&bytes);
                }
                Some(bytes)
            }
            Some(Ok(Frame::Last(bytes))) => Some(self.last(bytes)),
            Some(Err(cut)) => {
                self.source = Source::Over;
                self.keeper = None;
                self.cut = Some(match cut {
                    Cut::Upstream(_) => BROKEN,
                    Cut::Ledger => UNRECORDED,
                });
                Some(whose::resume(self.log.take(), || last_words(&cut)))
            }
            None => None,
        })
    }
}

impl Summary {
    /// The comment with the last frame behind it.
    fn before(&self, last: &[u8]) -> Bytes {
        let cost = self.purse.as_ref().map_or(Nanos::ZERO, Purse::cost);
        let mut facts = serde_json::json!({ "model": self.model, "cost_usd": cost });
        if let (true, Some(saved)) = (self.savings, self.purse.as_ref().and_then(Purse::saved)) {
            facts["saved_usd"] = serde_json::json!(saved);
        }
        [format!(": weir {facts}\n\n").as_bytes(), last].concat().into()
    }
}

/// The error event of a stream that broke.
pub fn last_words(cut: &Cut) -> Bytes {
    let error = match cut {
        Cut::Upstream(failure) => {
            tracing::warn!(outcome = %failure.outcome, "a stream broke after content");
            let message = format!("The answer broke off ({}): {}", failure.outcome, failure.error.message);
            ErrorBody::new("upstream_error", BROKEN, message)
        }
        Cut::Ledger => {
            let message = "The answer is complete, but what it cost could not be recorded.";
            ErrorBody::new("overloaded_error", UNRECORDED, message)
        }
    };
    error.to_event(&[])
}
