//! A request that is over, as the dashboard shows it: names of the configuration, times, reasons; no text of anybody.

use std::{sync::Arc, time::Duration};

use serde::{Serialize, Serializer};

use crate::{
    base::{money::Nanos, outcome::Outcome},
    ledger::report::is_from_cache,
    metrics::{NONE, OTHER},
    pipeline::Facts,
    route::{Missing, Target},
};

/// How many steps of a request's way are shown.
const STEPS: usize = 8;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// The target of choice answered.
    Ok,
    /// Another one answered, because that one was down or failed.
    Moved,
    /// The cache answered.
    Cached,
    /// A past answer or a fixed text stood in.
    StoodIn,
    /// The caller may not, may no more now, or asked wrongly.
    Refused,
    /// The caller left before its answer was over.
    Left,
    /// Nobody could answer.
    Failed,
}

/// A request that is over.
#[derive(Clone, Debug, Serialize)]
pub struct Ended {
    /// Its number since the start of the process.
    pub seq: u64,
    /// When it ended, in milliseconds since 1970.
    pub at: i64,
    /// What became of it.
    pub fate: Fate,
    /// The status that the client saw.
    pub status: u16,
    /// The code of its refusal.
    pub code: Option<&'static str>,
    /// The route at the entry.
    pub route: Arc<str>,
    /// The target that answered, or failed last.
    pub model: Arc<str>,
    /// Its provider.
    pub provider: Arc<str>,
    /// The name of the key that asked.
    pub key: Option<Arc<str>>,
    /// What the classifier made of it.
    pub tier: Option<Arc<str>>,
    /// Whether it was a stream.
    pub stream: bool,
    /// How many tries were made.
    pub attempts: usize,
    /// Who did not answer before, with the reason.
    pub steps: Vec<Step>,
    /// The time to the first content; to the whole answer where it is no stream.
    #[serde(rename = "first_ms", serialize_with = "as_ms")]
    pub first: Option<Duration>,
    /// The time to the last byte.
    #[serde(rename = "took_ms", serialize_with = "as_ms")]
    pub took: Option<Duration>,
    /// What it cost, where that is known at its end.
    pub cost_usd: Option<Nanos>,
}

/// A target that did not answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The target.
    pub model: Arc<str>,
    /// Why: an outcome, or why it was passed over.
    pub why: &'static str,
    /// How long it took; nothing where it was passed over.
    #[serde(rename = "ms", serialize_with = "as_ms")]
    pub took: Option<Duration>,
}

/// What the edge knows of a request beside its facts.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The name of the key that asked.
    pub key: Option<Arc<str>>,
    /// The status that the client saw.
    pub status: u16,
    /// The code of its refusal, or of what cut its answer short.
    pub code: Option<&'static str>,
    /// Whether the client left before its answer was over.
    pub left: bool,
    /// Whether it was a stream.
    pub stream: bool,
    /// Whether it was refused before it was known who asks.
    pub stranger: bool,
    /// The time to the head of the answer, which comes with its first content.
    pub first: Option<Duration>,
    /// The time to the last byte.
    pub took: Duration,
}

impl Ended {
    /// What is shown of a request. Its number and time are the board's.
    pub fn of(seen: Seen, facts: Option<Box<Facts>>) -> Self {
        let fate = fate(&seen, facts.as_deref());
        let answered = matches!(fate, Fate::Ok | Fate::Moved | Fate::StoodIn | Fate::Cached);
        let steps = facts.as_deref().map(steps).unwrap_or_default();
        let attempts = facts.as_ref().map_or(0, |facts| facts.attempts);
        let cost_usd = facts.as_ref().and_then(|facts| facts.money.cost);
        let (route, target, tier) = match facts {
            Some(facts) => {
                let facts = *facts;
                (facts.route_label, facts.target, facts.verdict.tier)
            }
            None => (NONE.into(), None, None),
        };
        Self {
            seq: 0,
            at: 0,
            fate,
            status: seen.status,
            code: seen.code,
            route,
            model: target.as_ref().map_or_else(|| NONE.into(), label),
            provider: target.as_ref().map_or_else(|| NONE.into(), |target| Arc::clone(&target.provider)),
            key: seen.key,
            tier,
            stream: seen.stream,
            attempts,
            steps,
            first: seen.first.filter(|_| answered),
            took: Some(seen.took),
            cost_usd,
        }
    }

    /// Whether it is worth a look: something did not go as it should.
    pub fn is_notable(&self) -> bool {
        !matches!(self.fate, Fate::Ok | Fate::Cached)
    }
}

fn fate(seen: &Seen, facts: Option<&Facts>) -> Fate {
    match (seen.code, seen.status) {
        _ if seen.left => Fate::Left,
        // The client asked for a kept answer or none.
        (Some("cache_miss"), _) => Fate::Refused,
        (Some(code), _) if code.starts_with("upstream_") => Fate::Failed,
        (_, 500..) => Fate::Failed,
        (_, 400..) => Fate::Refused,
        // Its head said that all is well.
        (Some(_), _) => Fate::Failed,
        _ => facts.map_or(Fate::Ok, answered),
    }
}

fn answered(facts: &Facts) -> Fate {
    if facts.stand_in.is_some() {
        return Fate::StoodIn;
    }
    if is_from_cache(facts.cache.word) {
        return Fate::Cached;
    }
    let passed_over = |(_, missing): &(Arc<Target>, Missing)| matches!(missing, Missing::Health { .. });
    let moved = facts.fallbacks > 0 || facts.skipped.iter().any(passed_over);
    if moved { Fate::Moved } else { Fate::Ok }
}

/// Those that were passed over, then the tries that failed.
fn steps(facts: &Facts) -> Vec<Step> {
    let skipped = facts.skipped.iter().map(|(target, missing)| Step {
        model: label(target),
        why: match missing {
            Missing::Health { why, .. } => why,
            Missing::Budget(_) => "budget",
            Missing::Price => "unpriced",
            _ => "unfit",
        },
        took: None,
    });
    let failed = facts.tried.iter().filter(|tried| tried.outcome != Outcome::Ok).map(|tried| Step {
        model: label(&tried.target),
        why: tried.outcome.as_str(),
        took: tried.sent.then_some(tried.took),
    });
    skipped.chain(failed).take(STEPS).collect()
}

/// The target's name, if it stands in the configuration.
fn label(target: &Arc<Target>) -> Arc<str> {
    if target.label() == OTHER { OTHER.into() } else { Arc::clone(&target.name) }
}

fn as_ms<S: Serializer>(span: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match span {
        // With one decimal: answers of the cache take less than a millisecond.
        Some(span) => serializer.serialize_f64((span.as_micros() / 100) as f64 / 10.0),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        route::{Book, Rank, WantedBy},
        upstream::{Trail, Tried},
    };

    fn seen(status: u16, code: Option<&'static str>) -> Seen {
        Seen { status, code, first: Some(Duration::from_millis(7)), ..Seen::default() }
    }

    /// The facts of a chain of two, of which the first did this.
    fn facts(first: Outcome) -> Facts {
        let config = serde_json::json!({
            "providers": { "p": {} },
            "models": { "a": { "provider": "p" }, "b": { "provider": "p" } },
            "routes": { "r": { "targets": ["a", "b"] } },
        });
        let book = Book::compile(&serde_json::from_value(config).unwrap(), |_| true);
        let chain = book.chain(&book.wanted(WantedBy::Name("r")).unwrap(), |_| Rank::default(), || 0.0);
        let tried = |at: usize, outcome| Tried {
            target: Arc::clone(&chain.targets[at]),
            outcome,
            took: Duration::from_micros(1_260),
            retry_after: None,
            sent: true,
        };
        let tried = match first {
            Outcome::Ok => vec![tried(0, first)],
            _ => vec![tried(0, first), tried(1, Outcome::Ok)],
        };
        let fallbacks = tried.len() - 1;
        Facts::of(&chain, &Trail { tried, fallbacks, ..Trail::default() })
    }

    #[test]
    fn a_fallback_is_told_with_its_reason() {
        let ended = Ended::of(seen(200, None), Some(Box::new(facts(Outcome::ServerError))));
        assert_eq!((ended.fate, &*ended.model, &*ended.route, ended.attempts), (Fate::Moved, "b", "r", 2));
        assert_eq!(ended.steps.len(), 1);
        assert!(ended.is_notable());
        let told = serde_json::to_value(&ended).unwrap();
        assert_eq!(told["steps"][0], serde_json::json!({ "model": "a", "why": "server_error", "ms": 1.2 }));
        assert_eq!((&told["fate"], &told["first_ms"]), (&"moved".into(), &7.0.into()));
        let calm = Ended::of(seen(200, None), Some(Box::new(facts(Outcome::Ok))));
        assert_eq!((calm.fate, calm.steps.len(), calm.is_notable()), (Fate::Ok, 0, false));
    }

    #[test]
    fn who_is_at_fault_is_told_apart() {
        for (status, code, left, fate) in [
            (400, Some("invalid_request"), false, Fate::Refused),
            (429, Some("budget_exceeded"), false, Fate::Refused),
            (429, Some("upstream_rate_limited"), false, Fate::Failed),
            (503, Some("upstream_unavailable"), false, Fate::Failed),
            (503, Some("overloaded"), false, Fate::Failed),
            (504, Some("cache_miss"), false, Fate::Refused),
            (500, None, false, Fate::Failed),
            (499, None, true, Fate::Left),
            (200, None, true, Fate::Left),
            (200, Some("upstream_stream_broken"), false, Fate::Failed),
            (200, Some("ledger_unavailable"), false, Fate::Failed),
        ] {
            let ended = Ended::of(Seen { left, ..seen(status, code) }, None);
            assert_eq!(ended.fate, fate, "{status} {code:?}");
            assert_eq!(ended.first, None, "there was no content");
        }
    }
}
