//! What stands in where no target can answer: the caller's own past answer, else a fixed text.

use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    base::{id::RequestId, outcome::Outcome},
    cache::{answer::told, key::Key},
    config::{Config, Degraded, Route},
    openai::{Ask, Endpoint},
    route::{Missing, Target},
    upstream::{Timing, Tried},
};

use super::{
    super::{
        answer::{Answer, AnswerStream, Cached, Content, Facts, StandIn},
        job::Missed,
        refusal::{Code, Refusal},
        snapshot::Snapshot,
    },
    Vault,
    mode::Subject,
};

/// What `system_fingerprint` says of an answer that stands in.
const FINGERPRINT: &str = "weir-degraded";

/// What is kept of a request, in case that nobody answers it.
pub struct Standby {
    ask: Arc<Ask>,
    snapshot: Arc<Snapshot>,
    id: RequestId,
    /// What is asked for.
    subject: Subject,
    /// How long it may take.
    timing: Timing,
    /// Under what a past answer is kept, where the client lets kept ones be read.
    key: Option<Key>,
}

impl Standby {
    /// `None` where nothing can stand in, or the route prefers its errors honest.
    pub fn of(missed: &Missed, key: Option<Key>) -> Option<Self> {
        let Missed { job, wanted, .. } = missed;
        if job.key.as_ref().is_some_and(|key| key.is_own()) {
            // Weir itself takes no stand-in for an answer.
            return None;
        }
        let config = &job.snapshot.config;
        let key = key.filter(|_| !job.wishes.cache.no_cache && !config.cache.stale_if_error.0.is_zero());
        if key.is_none() && config.degraded.texts.is_empty() || job.wishes.cache.only_if_cached {
            return None;
        }
        let subject = Subject::of(wanted).filter(|subject| may_stand_in(config, subject))?;
        // A client that allows itself more than the settings do sets nothing.
        let by_client = job.wishes.timeout.is_some_and(|most| most < config.server.request_timeout.0);
        Some(Self {
            timing: Timing { by_client, ..job.timing },
            ask: Arc::clone(&job.ask),
            snapshot: Arc::clone(&job.snapshot),
            id: job.id.clone(),
            subject,
            key,
        })
    }

    /// What is asked for.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The result with what stands in, where it has to; notes which routes live on that.
    pub fn settle(self, vault: &Vault, result: Result<Answer, Box<Refusal>>) -> Result<Answer, Box<Refusal>> {
        let refusal = match result {
            Err(refusal) if self.nobody_can(&refusal) => refusal,
            result => return result,
        };
        let mut facts = Box::new(refusal.facts.clone().unwrap_or_else(Facts::free));
        let Some((content, target, stand_in, cache)) = self.past(vault).or_else(|| self.text()) else {
            return Err(refusal);
        };
        vault.mode.degraded(&self.subject, stand_in);
        tracing::warn!(route = %self.subject.name, code = refusal.code.as_str(), kind = stand_in.as_str(), "an answer stands in");
        facts.cache = cache.unwrap_or(facts.cache);
        (facts.target, facts.stand_in) = (target, Some(stand_in));
        Ok(Answer { facts, content })
    }

    /// Whether a refusal says that no target can answer, rather than something of the request or of its client.
    fn nobody_can(&self, refusal: &Refusal) -> bool {
        let no_money = |missing: &Missing| matches!(missing, Missing::Budget(_) | Missing::Price);
        let skipped = refusal.facts.iter().flat_map(|facts| &facts.skipped);
        if skipped.into_iter().any(|(_, missing)| no_money(missing)) {
            // With money there might be one.
            return false;
        }
        match refusal.code {
            Code::UpstreamUnavailable
            | Code::UpstreamRateLimited
            | Code::UpstreamCredentialsRejected
            | Code::UpstreamInvalidResponse => true,
            Code::UpstreamTimeout => !self.is_impatient(&refusal.tried),
            _ => false,
        }
    }

    /// Whether it was the client's own time that ended, for the whole request or for a try: the settings would have let
    /// the targets take longer.
    fn is_impatient(&self, tried: &[Tried]) -> bool {
        let Timing { deadline, by_client, attempt, .. } = self.timing;
        if by_client && deadline.left(Instant::now()).is_zero() {
            return true;
        }
        let patience = |target: &Target| self.snapshot.fleet.patience(target, self.ask.stream());
        let cut_short = |tried: &Tried| {
            tried.outcome == Outcome::Timeout && patience(&tried.target).is_some_and(|most| tried.took < most)
        };
        (by_client || attempt.is_some()) && tried.iter().any(cut_short)
    }

    /// The caller's own past answer.
    fn past(&self, vault: &Vault) -> Option<StandsIn> {
        let now = Instant::now();
        let stale = self.snapshot.config.cache.stale_if_error.0;
        let slot = vault.store.stale(self.key.as_ref()?, now, stale)?;
        let body = slot.answer.object()?;
        let content = match self.ask.endpoint() {
            Endpoint::Embeddings => Content::Whole(body),
            Endpoint::Chat | Endpoint::Completions => {
                let mut object: Value = serde_json::from_slice(&body).ok()?;
                object["system_fingerprint"] = FINGERPRINT.into();
                self.content(&object)?
            }
        };
        let cached = Cached { word: "stale", age: Some(slot.age(now)) };
        Some((content, slot.note.target.clone(), StandIn::Stale, Some(cached)))
    }

    /// The text of the route's category.
    fn text(&self) -> Option<StandsIn> {
        let config = &self.snapshot.config;
        let category = route(config, &self.subject).and_then(|route| route.category.as_deref());
        let text = config.degraded.texts.get(category.unwrap_or(Degraded::GENERAL))?;
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let (prefix, object, choice) = match self.ask.endpoint() {
            Endpoint::Chat => {
                let message = json!({ "role": "assistant", "content": text, "refusal": null });
                ("chatcmpl", "chat.completion", json!({ "message": message }))
            }
            Endpoint::Completions => ("cmpl", "text_completion", json!({ "text": text })),
            Endpoint::Embeddings => return None,
        };
        let mut choice = choice;
        choice["index"] = json!(0);
        choice["logprobs"] = Value::Null;
        choice["finish_reason"] = json!("stop");
        let body = json!({
            "id": format!("{prefix}-{}", self.id),
            "object": object,
            "created": since_1970.map_or(0, |since| since.as_secs()),
            "model": self.ask.model(),
            "system_fingerprint": FINGERPRINT,
            "choices": [choice],
            "usage": { "prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0 },
        });
        Some((self.content(&body)?, None, StandIn::Static, None))
    }

    /// An object as it was asked for.
    fn content(&self, object: &Value) -> Option<Content> {
        let body = Bytes::from(serde_json::to_vec(object).ok()?);
        match self.ask.stream() {
            true => {
                let events = told(self.ask.endpoint(), &body, self.ask.include_usage())?;
                Some(Content::Stream(AnswerStream::kept(vec![events], None)))
            }
            false => Some(Content::Whole(body)),
        }
    }
}

/// What stands in: the answer, who made it once, what it is, what the cache did.
type StandsIn = (Content, Option<Arc<Target>>, StandIn, Option<Cached>);

/// Whether anything may stand in for a route's answers, or for those of a model that is named directly.
pub fn may_stand_in(config: &Config, subject: &Subject) -> bool {
    let kept = config.cache.enabled && !config.cache.stale_if_error.0.is_zero();
    let honest = match route(config, subject) {
        Some(route) => route.always_honest,
        None => subject.is_route,
    };
    !honest && (kept || !config.degraded.texts.is_empty())
}

fn route<'a>(config: &'a Config, subject: &Subject) -> Option<&'a Route> {
    subject.is_route.then(|| config.routes.get(&*subject.name)).flatten()
}
