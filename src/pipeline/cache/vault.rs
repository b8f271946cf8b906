//! Kept answers with the questions under way: how each request gets its answer from them.

use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use crate::{
    cache::{
        answer::told,
        flight::{Flights, Joined, Lead, Start},
        store::{Slot, Store, Which},
    },
    config,
    metrics::{Metrics, cache::CacheMetrics},
    openai::answer,
    spend::Till,
};

use super::{
    super::{
        answer::{Answer, AnswerStream, Cached, Content, Facts, Money, Summary},
        job::Missed,
        refusal::{Code, Refusal},
    },
    Maker, Question,
    fly::{Keeper, Note, fly, is_the_routes_own},
    follow::{Follower, Head, Place, Turned, too_late, whole},
    mode::Mode,
    receipt::Receipt,
};

/// Kept answers with the questions under way.
#[derive(Debug)]
pub struct Vault {
    pub(super) store: Store<Note>,
    flights: Arc<Flights<Head, Turned>>,
    till: Arc<Till>,
    metrics: CacheMetrics,
    pub(super) mode: Mode,
}

/// How one request asks.
struct Asking {
    question: Question,
    missed: Missed,
    begun: Instant,
}

impl Vault {
    /// An empty one.
    pub fn new(settings: &config::Cache, metrics: &Metrics, till: &Arc<Till>) -> Arc<Self> {
        Arc::new(Self {
            store: Store::new(settings.max_bytes.bytes(), settings.max_answer.bytes()),
            flights: Arc::default(),
            till: Arc::clone(till),
            metrics: metrics.cache().clone(),
            mode: Mode::new(metrics.cache().clone()),
        })
    }

    /// Takes on other settings: answers go where there is less room, or none.
    pub fn reload(&self, settings: &config::Cache) {
        self.store.resize(settings.max_bytes.bytes());
        if !settings.enabled && self.store.entries() > 0 {
            self.store.purge(&Which::All);
        }
        self.show();
    }

    /// Throws answers away; gives how many.
    pub fn purge(&self, which: &Which) -> usize {
        let purged = self.store.purge(which);
        self.show();
        purged
    }

    /// The routes that live on answers which stand in.
    pub fn degraded(&self) -> Vec<Arc<str>> {
        self.mode.routes()
    }

    /// Says in the metrics what is kept.
    pub(super) fn show(&self) {
        self.metrics.kept(self.store.entries(), self.store.bytes());
    }

    /// The answer to a request: one that is kept, else one that is under way, else that of `inner`.
    pub(super) async fn answer<S: Maker>(
        self: Arc<Self>,
        question: Question,
        missed: Missed,
        inner: S,
    ) -> Result<Answer, Box<Refusal>> {
        let mut asking = Asking { question, missed, begun: Instant::now() };
        let wish = asking.missed.job.wishes.cache;
        if !wish.no_cache
            && let Some(slot) = self.store.fresh(&asking.question.key, asking.begun)
            && let Some(answer) = self.kept(&asking, &slot)?
        {
            return Ok(answer);
        }
        if wish.only_if_cached {
            self.metrics.missed();
            return Err(Box::new(Refusal::cache_miss()));
        }
        let mut alone = wish.no_cache;
        loop {
            let found = match alone {
                true => {
                    let (lead, seat) = Flights::alone(asking.question.flight);
                    Joined::Lead(lead, seat)
                }
                false => {
                    let there = || self.store.fresh(&asking.question.key, Instant::now());
                    self.flights.join(asking.question.flight, there)
                }
            };
            match found {
                Joined::There(slot) => match self.kept(&asking, &slot)? {
                    Some(answer) => return Ok(answer),
                    None => alone = true,
                },
                Joined::Lead(lead, seat) => return self.lead(asking, lead, seat, inner).await,
                Joined::Follow(seat) => match self.follow(asking, seat).await {
                    Ok(result) => return result,
                    Err((back, own)) => (asking, alone) = (back, own),
                },
            }
        }
    }

    /// An answer that is kept; `None`: it cannot be told as the client wants it.
    fn kept(&self, asking: &Asking, slot: &Slot<Note>) -> Result<Option<Answer>, Box<Refusal>> {
        let Asking { missed, begun, .. } = asking;
        let (ask, note) = (&missed.job.ask, &slot.note);
        let body = match ask.stream() {
            true => slot.answer.events(ask.include_usage()),
            false => slot.answer.object(),
        };
        let Some(body) = body else { return Ok(None) };
        if self.till.ledger.check().is_err() {
            return Err(Box::new(Refusal::ledger_unavailable()));
        }
        self.metrics.hit();
        let receipt = Receipt::new(&self.till, missed, &note.route, "hit").of(note.target.as_ref());
        let saved = receipt.answered(slot.answer.usage());
        let mut facts = Facts {
            route: Arc::clone(&note.route),
            route_label: Arc::clone(&note.route_label),
            target: note.target.clone(),
            dropped: note.dropped.clone(),
            cache: Cached { word: "hit", age: Some(slot.age(*begun)) },
            ..Facts::free()
        };
        facts.money.saved = saved.filter(|_| missed.job.wishes.savings);
        let content = match ask.stream() {
            true => Content::Stream(AnswerStream::kept(body, summary(missed, &facts))),
            false => Content::Whole(body),
        };
        Ok(Some(Answer { facts, content }))
    }

    /// Makes the answer, for all who come to ask the same.
    async fn lead<S: Maker>(
        self: Arc<Self>,
        asking: Asking,
        lead: Lead<Head, Turned>,
        mut seat: Place,
        inner: S,
    ) -> Result<Answer, Box<Refusal>> {
        let Asking { question, mut missed, .. } = asking;
        let keeper = Keeper::new(&self, &question, &missed);
        let job = &mut *missed.job;
        let word = if job.wishes.cache.no_cache { "bypass" } else { "miss" };
        job.cache = word;
        if word == "miss" {
            self.metrics.missed();
        }
        let usage = job.ask.include_usage();
        let over_by = job.timing.bounds_stream.then_some(job.timing.deadline);
        // Each of those who follow has an end of its own, and some may want to know what it took.
        job.timing.bounds_stream = false;
        if job.ask.stream() && !usage {
            job.ask = Arc::new(job.ask.telling_usage());
        }
        lead.fly(|lead| Box::pin(fly(lead, keeper, inner, missed)));
        let Head { mut facts, whole, summary, .. } = match seat.start().await {
            Start::Answered(head) => head,
            Start::Refused(turned) => return Err(turned.refusal()),
            Start::Lost => return Err(lost()),
        };
        facts.cache.word = word;
        let content = match whole {
            Some(body) => Content::Whole(body),
            None => {
                let follower = Follower::new(seat, usage, over_by, None);
                Content::Stream(AnswerStream::shared(follower, summary))
            }
        };
        Ok(Answer { facts, content })
    }

    /// Gets the answer that another one leads to. Where that is only the leader's, the request comes back, to ask
    /// anew, or to ask alone.
    async fn follow(
        &self,
        asking: Asking,
        mut seat: Place,
    ) -> Result<Result<Answer, Box<Refusal>>, (Asking, bool)> {
        let by = asking.missed.job.timing.deadline.instant();
        let Ok(start) = timeout_at(by, seat.start()).await else {
            return Ok(Err(self.refused(&asking, too_late())));
        };
        let head = match start {
            Start::Answered(head) => head,
            Start::Refused(turned) if leaders_alone(&turned, &asking) => return Err((asking, false)),
            Start::Refused(turned) => return Ok(Err(self.refused(&asking, turned.refusal()))),
            Start::Lost => return Err((asking, false)),
        };
        // What a budget made of the answer is for those who share the budget.
        if head.key != asking.question.labels.key && !is_the_routes_own(&head.facts) {
            return Err((asking, true));
        }
        if self.till.ledger.check().is_err() {
            return Ok(Err(Box::new(Refusal::ledger_unavailable())));
        }
        self.metrics.shared();
        Ok(self.shared(asking, head, seat).await)
    }

    /// The answer of a flight as this client wants it.
    async fn shared(&self, asking: Asking, head: Head, seat: Place) -> Result<Answer, Box<Refusal>> {
        let Asking { missed, begun, .. } = asking;
        let job = &*missed.job;
        let (ask, endpoint) = (&job.ask, job.ask.endpoint());
        let receipt =
            Receipt::new(&self.till, &missed, &head.facts.route, "hit").of(head.facts.target.as_ref());
        let mut facts = head.facts.shared();
        let content = match (head.whole, ask.stream()) {
            (None, true) => {
                let over_by = job.timing.bounds_stream.then_some(job.timing.deadline);
                let follower = Follower::new(seat, ask.include_usage(), over_by, Some(receipt));
                Content::Stream(AnswerStream::shared(follower, summary(&missed, &facts)))
            }
            (None, false) => match whole(seat, endpoint, job.timing.deadline.instant()).await {
                Ok((body, usage)) => {
                    receipt.answered(usage.as_ref());
                    Content::Whole(body)
                }
                Err(refusal) => {
                    receipt.failed(refusal.code.as_str());
                    return Err(refusal);
                }
            },
            (Some(body), stream) => {
                let usage = answer::inspect(&body, endpoint).ok().and_then(|facts| facts.usage?.ok());
                receipt.answered(usage.as_ref());
                match stream {
                    true => {
                        let events = told(endpoint, &body, ask.include_usage()).ok_or_else(lost)?;
                        Content::Stream(AnswerStream::kept(events, summary(&missed, &facts)))
                    }
                    false => Content::Whole(body),
                }
            }
        };
        facts.waited = begun.elapsed();
        Ok(Answer { facts, content })
    }

    /// Writes down that a request which followed another got no answer.
    fn refused(&self, asking: &Asking, refusal: Box<Refusal>) -> Box<Refusal> {
        self.metrics.shared();
        let receipt = Receipt::new(&self.till, &asking.missed, &asking.question.labels.route, "miss");
        receipt.failed(refusal.code.as_str());
        refusal
    }
}

/// Whether a refusal says something of the leader, rather than of what was asked: its money, its time.
fn leaders_alone(turned: &Turned, asking: &Asking) -> bool {
    match turned.refusal.code {
        Code::BudgetExceeded | Code::QuotaExceeded | Code::ModelUnpriced => {
            turned.key != asking.question.labels.key
        }
        Code::UpstreamTimeout => true,
        _ => false,
    }
}

fn lost() -> Box<Refusal> {
    Box::new(Refusal::new(Code::Internal, "The gateway failed at this request. This is a fault of Weir's."))
}

/// What is told before the end of a stream that costs nothing, where the client wishes for it.
fn summary(missed: &Missed, facts: &Facts) -> Option<Summary> {
    let target = facts.target.as_ref().filter(|_| missed.job.wishes.stream_summary)?;
    Some(Summary { model: Arc::clone(&target.name), purse: None, savings: false })
}

impl Facts {
    /// The facts of an answer that cost nothing.
    pub(super) fn free() -> Self {
        Self {
            money: Money { cost: Some(crate::base::money::Nanos::ZERO), ..Money::default() },
            ..Self::again()
        }
    }

    /// The same answer's facts for one who did not ask for it first.
    fn shared(self) -> Self {
        let Money { max_output, downgraded, .. } = self.money;
        let free = Self::free();
        Self {
            route: self.route,
            route_label: self.route_label,
            target: self.target,
            dropped: self.dropped,
            cache: Cached { word: "hit", age: Some(std::time::Duration::ZERO) },
            money: Money { max_output, downgraded, ..free.money },
            ..free
        }
    }
}
