//! What stands in where no target can answer: the caller's own past answer, else a fixed text.

use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    cache::{answer::told, key::Key},
    config::{Degraded, Route},
    openai::{Ask, Endpoint},
    route::{Target, Wanted},
};

use super::{
    super::{
        answer::{Answer, AnswerStream, Cached, Content, Facts, StandIn},
        job::Missed,
        refusal::{Code, Refusal},
        snapshot::Snapshot,
    },
    Vault,
    question::name,
};

/// What `system_fingerprint` says of an answer that stands in.
const FINGERPRINT: &str = "weir-degraded";

/// What is kept of a request, in case that nobody answers it.
pub struct Standby {
    ask: Arc<Ask>,
    snapshot: Arc<Snapshot>,
    id: String,
    /// The entry, by its name.
    route: Arc<str>,
    category: String,
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
        let settings: Option<&Route> = match wanted.first()? {
            Wanted::Route(route) => config.routes.get(&*route.name),
            Wanted::Model(_) | Wanted::Pinned(..) => None,
        };
        if settings.is_some_and(|route| route.always_honest) {
            return None;
        }
        let category = settings.and_then(|route| route.category.clone());
        Some(Self {
            ask: Arc::clone(&job.ask),
            snapshot: Arc::clone(&job.snapshot),
            id: job.id.as_str().to_owned(),
            route: name(wanted.first()?),
            category: category.unwrap_or_else(|| Degraded::GENERAL.to_owned()),
            key,
        })
    }

    /// The result with what stands in, where it has to; tells which routes live on that.
    pub fn settle(self, vault: &Vault, result: Result<Answer, Box<Refusal>>) -> Result<Answer, Box<Refusal>> {
        let refusal = match result {
            Ok(answer) => {
                // What was kept proves nothing of the targets.
                if answer.facts.cache.word != "hit" {
                    vault.mode.recovered(&self.route);
                }
                return Ok(answer);
            }
            Err(refusal) if nobody_can(refusal.code) => refusal,
            Err(refusal) => return Err(refusal),
        };
        let facts = refusal.facts.clone().unwrap_or_else(Facts::free);
        let Some((content, target, stand_in, cache)) = self.past(vault).or_else(|| self.text()) else {
            return Err(refusal);
        };
        vault.mode.degraded(&self.route, self.label(), stand_in);
        tracing::warn!(route = %self.route, code = refusal.code.as_str(), kind = stand_in.as_str(), "an answer stands in");
        let cache = cache.unwrap_or(facts.cache);
        Ok(Answer { facts: Facts { target, cache, stand_in: Some(stand_in), ..facts }, content })
    }

    /// The metrics label of the entry; clients cannot make new ones.
    fn label(&self) -> &str {
        if self.snapshot.config.routes.contains_key(&*self.route) { &self.route } else { "direct" }
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
        let text = self.snapshot.config.degraded.texts.get(&self.category)?;
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
                Some(Content::Stream(AnswerStream::kept(events, None)))
            }
            false => Some(Content::Whole(body)),
        }
    }
}

/// What stands in: the answer, who made it once, what it is, what the cache did.
type StandsIn = (Content, Option<Arc<Target>>, StandIn, Option<Cached>);

/// Whether a refusal says that no target can answer, rather than something of the request or of its client.
fn nobody_can(code: Code) -> bool {
    matches!(
        code,
        Code::UpstreamUnavailable
            | Code::UpstreamRateLimited
            | Code::UpstreamCredentialsRejected
            | Code::UpstreamInvalidResponse
    )
}
