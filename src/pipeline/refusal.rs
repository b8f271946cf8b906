//! Why a request got no answer, as data; what a client sees of it is the edge's business.

use std::{sync::Arc, time::Duration};

use http::StatusCode;

use crate::{
    base::{calendar, outcome::Outcome},
    budget::{Exceeded, Limit, Unit},
    openai::{BadField, error::ErrorBody},
    provider::Failure,
    route::{Chain, Missing, Target},
    spend::Unfunded,
    upstream::{Timing, Trail, Tried},
};

use super::answer::Facts;

/// The codes of the contract, section 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Bad JSON, a wrong type, a missing field.
    InvalidRequest,
    /// A field that no target can take.
    UnsupportedParameter,
    /// A header's value out of range.
    InvalidHeader,
    /// No key, an unknown or a revoked one.
    InvalidApiKey,
    /// The key may not use this route.
    RouteNotAllowed,
    /// No such model or route.
    ModelNotFound,
    /// The name is taken, or what has it cannot be changed here.
    Conflict,
    /// No such path.
    NotFound,
    /// The path does not take this method.
    MethodNotAllowed,
    /// The body is too large.
    RequestTooLarge,
    /// The key is over its limits.
    RateLimitExceeded,
    /// A budget has no room for it.
    BudgetExceeded,
    /// The key has used its requests of this month.
    QuotaExceeded,
    /// A budget applies, and nobody knows what the model costs.
    ModelUnpriced,
    /// The same idempotency key with another body.
    IdempotencyMismatch,
    /// The ledger cannot be read or written now.
    LedgerUnavailable,
    /// `only-if-cached`, and it is not.
    CacheMiss,
    /// Every target is rate-limited.
    UpstreamRateLimited,
    /// The last target answered nonsense.
    UpstreamInvalidResponse,
    /// A stream that several follow broke, and this client would have had it as an object.
    UpstreamStreamBroken,
    /// Every credential was refused.
    UpstreamCredentialsRejected,
    /// Every target is down.
    UpstreamUnavailable,
    /// The gateway is full or draining.
    Overloaded,
    /// The time is over.
    UpstreamTimeout,
    /// The client took too long to send its body.
    RequestTimeout,
    /// A fault in Weir itself.
    Internal,
    /// What the provider said of the request, passed on with its status.
    Passed(StatusCode),
}

impl Code {
    /// The code in OpenAI's envelope and in the ledger. What is passed on has the provider's own, where it has one.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest | Self::Passed(_) => "invalid_request",
            Self::UnsupportedParameter => "unsupported_parameter",
            Self::InvalidHeader => "invalid_header",
            Self::InvalidApiKey => "invalid_api_key",
            Self::RouteNotAllowed => "route_not_allowed",
            Self::ModelNotFound => "model_not_found",
            Self::Conflict => "conflict",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::RequestTooLarge => "request_too_large",
            Self::RequestTimeout => "request_timeout",
            Self::RateLimitExceeded => "rate_limit_exceeded",
            Self::BudgetExceeded => "budget_exceeded",
            Self::QuotaExceeded => "quota_exceeded",
            Self::ModelUnpriced => "model_unpriced",
            Self::IdempotencyMismatch => "idempotency_mismatch",
            Self::LedgerUnavailable => "ledger_unavailable",
            Self::CacheMiss => "cache_miss",
            Self::UpstreamRateLimited => "upstream_rate_limited",
            Self::UpstreamInvalidResponse => "upstream_invalid_response",
            Self::UpstreamStreamBroken => "upstream_stream_broken",
            Self::UpstreamCredentialsRejected => "upstream_credentials_rejected",
            Self::UpstreamUnavailable => "upstream_unavailable",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::Overloaded => "overloaded",
            Self::Internal => "internal_error",
        }
    }
}

/// A refused request.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// What kind of refusal.
    pub code: Code,
    /// What is wrong and what to do, as sentences.
    pub message: String,
    /// The field or header at fault.
    pub param: Option<String>,
    /// A provider's own error, where it is passed on.
    pub passed: Option<ErrorBody>,
    /// When to come back.
    pub retry_after: Option<Duration>,
    /// Every try that was made.
    pub tried: Vec<Tried>,
    /// Every target that was not tried, with what it lacks.
    pub skipped: Vec<(Arc<Target>, Missing)>,
    /// The way to the refusal, where there was one.
    pub facts: Option<Facts>,
    /// The budget that refused it; empty for the client's own limit.
    pub budget: Option<Arc<str>>,
    /// Whether a budget had sent the request to a cheaper route, or cut its answer short.
    pub diverted: bool,
}

impl Refusal {
    /// A refusal with nothing but its message.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            code,
            message,
            param: None,
            passed: None,
            retry_after: None,
            tried: Vec::new(),
            skipped: Vec::new(),
            facts: None,
            budget: None,
            diverted: false,
        }
    }

    /// A bad body.
    pub fn bad_field(field: BadField) -> Self {
        Self { param: field.param, ..Self::new(Code::InvalidRequest, field.message) }
    }

    /// A bad header.
    pub fn bad_header(name: &str, right: &str) -> Self {
        let message = format!("The header `{name}` must be {right}.");
        Self { param: Some(name.to_owned()), ..Self::new(Code::InvalidHeader, message) }
    }

    /// A name that stands for nothing.
    pub fn unknown_model(message: String) -> Self {
        Self { param: Some("model".into()), ..Self::new(Code::ModelNotFound, message) }
    }

    /// A name that the key may not use.
    pub fn not_allowed(message: String) -> Self {
        Self { param: Some("model".into()), ..Self::new(Code::RouteNotAllowed, message) }
    }

    /// The client wanted a cached answer or none.
    pub fn cache_miss() -> Self {
        Self::new(
            Code::CacheMiss,
            "The answer is not cached, and `x-weir-cache: only-if-cached` asks for no other.",
        )
    }

    /// The same refusal, to be repeated no sooner than after `wait`.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }

    /// A chain without a target that is on.
    pub fn nothing_on(chain: &Chain) -> Self {
        let message = format!(
            "No provider behind `{}` is switched on: the API keys of all of them are unset in the gateway.",
            chain.route
        );
        let facts = Facts::of(chain, &Trail::default());
        Self { facts: Some(facts), ..Self::new(Code::UpstreamUnavailable, message) }
    }

    /// A chain of which no target can do what the request needs, or take what it says.
    pub fn unfit(chain: &Chain, trail: &Trail) -> Self {
        let facts = Facts::of(chain, trail);
        let skipped = facts.skipped.clone();
        let message = match &skipped[..] {
            // Its provider's codec knows best what to do instead.
            [(_, Missing::Field(field))] => field.message.clone(),
            all => format!(
                "No model behind `{}` can do what the request needs: {}. Leave it out, or name another model.",
                chain.route,
                all.iter().map(|(target, missing)| lack(target, missing)).collect::<Vec<_>>().join(", ")
            ),
        };
        let param = skipped.first().and_then(|(_, missing)| missing.param()).map(str::to_owned);
        Self { param, skipped, facts: Some(facts), ..Self::new(Code::UnsupportedParameter, message) }
    }

    /// A request that may not spend.
    pub fn unfunded(chain: &Chain, unfunded: &Unfunded, trail: Trail) -> Self {
        let (code, message) = match unfunded {
            Unfunded::Budget(exceeded) if exceeded.unit == Unit::Requests => (
                Code::QuotaExceeded,
                format!("The key has used its requests of this month.{}", resets(exceeded)),
            ),
            Unfunded::Budget(exceeded) => (Code::BudgetExceeded, over_budget(exceeded)),
            Unfunded::Unpriced(model) => (
                Code::ModelUnpriced,
                format!(
                    "A limit on cost applies, and what `{model}` costs is unknown: name another model, or give it a price \
                     in the gateway's configuration (models.{model}.price)."
                ),
            ),
            Unfunded::Ledger => {
                let facts = Some(Facts::of(chain, &trail));
                return Self { tried: trail.tried, facts, ..Self::ledger_unavailable() };
            }
        };
        let budget = match unfunded {
            Unfunded::Budget(exceeded) => Some(Arc::clone(&exceeded.budget)),
            Unfunded::Unpriced(_) | Unfunded::Ledger => None,
        };
        let facts = Facts::of(chain, &trail);
        Self {
            tried: trail.tried,
            skipped: facts.skipped.clone(),
            facts: Some(facts),
            budget,
            ..Self::new(code, message)
        }
    }

    /// The ledger cannot record now.
    pub fn ledger_unavailable() -> Self {
        let message =
            "What the request costs cannot be recorded now; try again after the time in `retry-after`.";
        Self::new(Code::LedgerUnavailable, message).after(Duration::from_secs(1))
    }

    /// A chain of which every target that could answer is left alone for a while; `None`: none is.
    fn left_alone(facts: &Facts, soonest: Duration) -> Option<Self> {
        let mut alone = left_alone(&facts.skipped).peekable();
        alone.peek()?;
        let (code, message) = match alone.all(|why| why == RATE_LIMITED) {
            true => (
                Code::UpstreamRateLimited,
                "Every upstream is rate-limited; try again after the time in `retry-after`.",
            ),
            false => (
                Code::UpstreamUnavailable,
                "Every upstream is failing or limited and is left alone for now; try again after the time in \
                 `retry-after`.",
            ),
        };
        let skipped = facts.skipped.clone();
        Some(Self { skipped, facts: Some(facts.clone()), ..Self::new(code, message).after(soonest) })
    }

    /// A chain whose tries all failed, or of which no target could be tried; `soonest` is how long until one of them
    /// can be again.
    pub fn exhausted(
        chain: &Chain,
        last: Option<Failure>,
        trail: Trail,
        timing: &Timing,
        soonest: Duration,
    ) -> Self {
        let facts = Facts::of(chain, &trail);
        let Some(last) = last else {
            return match facts.skipped.is_empty() {
                true => Self::nothing_on(chain),
                false => Self::left_alone(&facts, soonest).unwrap_or_else(|| Self::unfit(chain, &trail)),
            };
        };
        let over = timing.deadline.left(tokio::time::Instant::now()).is_zero();
        let code = code(&trail.tried, &facts.skipped, &last, over, chain);
        let retry_after = waits(code).then_some(soonest);
        let passed = matches!(code, Code::Passed(_)).then(|| (*last.error).clone());
        let message = message(code, &last, &trail.tried);
        Self {
            param: passed.as_ref().and_then(|error: &ErrorBody| error.param.clone()),
            passed,
            retry_after,
            tried: trail.tried,
            skipped: facts.skipped.clone(),
            facts: Some(facts),
            ..Self::new(code, message)
        }
    }
}

/// Which limit has no room, in words.
fn over_budget(exceeded: &Exceeded) -> String {
    let what = match exceeded.limit {
        Limit::MaxCost => return "The request may cost more than `x-weir-max-cost-usd` allows.".into(),
        Limit::PerRequest => {
            format!("The request may cost more than the budget `{}` allows (per_request).", exceeded.budget)
        }
        Limit::Period(period) => {
            format!("The budget `{}` has no room for what the request may cost ({period}).", exceeded.budget)
        }
    };
    format!("{what}{}", resets(exceeded))
}

/// When a limit begins anew, as a sentence behind another.
fn resets(exceeded: &Exceeded) -> String {
    exceeded.resets_at.map_or_else(String::new, |at| {
        format!(" It begins anew at {}.", calendar::rfc3339(at.saturating_mul(1000)))
    })
}

/// Why a target was passed over, in words.
fn lack(target: &Target, missing: &Missing) -> String {
    match missing {
        Missing::Field(field) => match &field.param {
            Some(param) => format!("{} does not take `{param}`", target.name),
            None => format!("{} does not take the request", target.name),
        },
        Missing::Budget(budget) => format!("the budget `{budget}` of {} has no room", target.name),
        Missing::Price => format!("what {} costs is unknown", target.name),
        Missing::Health { why, .. } => format!("{} is left alone for now ({why})", target.name),
        missing => format!("{} lacks {missing}", target.name),
    }
}

/// Whether the client should come back later, and so has to be told when.
fn waits(code: Code) -> bool {
    matches!(code, Code::UpstreamRateLimited | Code::UpstreamUnavailable)
}

/// Why a target is left alone that its provider asked to be.
const RATE_LIMITED: &str = "rate_limited";

/// Why targets are left alone for a while.
fn left_alone(skipped: &[(Arc<Target>, Missing)]) -> impl Iterator<Item = &'static str> {
    skipped.iter().filter_map(|(_, missing)| match missing {
        Missing::Health { why, .. } => Some(*why),
        _ => None,
    })
}

/// The code for a chain whose tries all failed, from what all of them met, and from why others were left alone.
fn code(
    tried: &[Tried],
    skipped: &[(Arc<Target>, Missing)],
    last: &Failure,
    over: bool,
    chain: &Chain,
) -> Code {
    let all = |set: &[Outcome]| tried.iter().all(|tried| set.contains(&tried.outcome));
    let limited = || {
        all(&[Outcome::RateLimited, Outcome::QuotaExhausted])
            && left_alone(skipped).all(|why| why == RATE_LIMITED)
    };
    let pinned = !chain.configured && chain.targets.len() == 1;
    match last.outcome {
        Outcome::Rejected | Outcome::ContextTooLong => {
            Code::Passed(last.status.filter(StatusCode::is_client_error).unwrap_or(StatusCode::BAD_REQUEST))
        }
        Outcome::ModelUnknown if pinned => Code::ModelNotFound,
        _ if over => Code::UpstreamTimeout,
        _ if all(&[Outcome::Timeout]) => Code::UpstreamTimeout,
        _ if limited() => Code::UpstreamRateLimited,
        _ if all(&[Outcome::CredentialRejected, Outcome::Forbidden]) => Code::UpstreamCredentialsRejected,
        Outcome::InvalidAnswer => Code::UpstreamInvalidResponse,
        _ => Code::UpstreamUnavailable,
    }
}

fn message(code: Code, last: &Failure, tried: &[Tried]) -> String {
    let what = match code {
        Code::Passed(_) => return last.error.message.clone(),
        Code::ModelNotFound => "The provider does not know this model.",
        Code::UpstreamTimeout => "No upstream answered in time.",
        Code::UpstreamRateLimited => {
            "Every upstream is rate-limited; try again after the time in `retry-after`."
        }
        Code::UpstreamCredentialsRejected => {
            "The providers refused the gateway's own credentials; whoever runs this gateway has to mend them."
        }
        Code::UpstreamInvalidResponse => "The upstream's answer could not be read.",
        _ => "No upstream could answer; try again after the time in `retry-after`.",
    };
    let n = tried.iter().filter(|tried| tried.outcome != Outcome::Skipped).count();
    format!("{what} {n} {} made; `attempts` lists them.", if n == 1 { "try was" } else { "tries were" })
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::{
        base::deadline::Deadline,
        route::{Book, Rank, WantedBy},
    };

    fn chain() -> Chain {
        let config = serde_json::json!({
            "providers": { "p": {} },
            "models": { "a": { "provider": "p" }, "b": { "provider": "p" } },
            "routes": { "r": { "targets": ["a", "b"] } },
        });
        let book = Book::compile(&serde_json::from_value(config).unwrap(), |_| true);
        book.chain(&book.wanted(WantedBy::Name("r")).unwrap(), |_| Rank::default(), || 0.0)
    }

    fn refused(names: &[&str], chain: &Chain) -> Vec<(Arc<Target>, Missing)> {
        let field = |name: &&str| BadField { param: Some((*name).into()), message: format!("No `{name}`.") };
        chain.targets.iter().cloned().zip(names.iter().map(field).map(Missing::Field)).collect()
    }

    fn exhausted(chain: &Chain, last: Option<Failure>, trail: Trail) -> Refusal {
        let deadline = Deadline::after(Instant::now(), Duration::from_secs(9));
        let timing = Timing { deadline, by_client: false, bounds_stream: false, attempt: None };
        Refusal::exhausted(chain, last, trail, &timing, Duration::from_secs(4))
    }

    fn alone(why: &'static str) -> Missing {
        Missing::Health { why, until: None }
    }

    #[test]
    fn a_field_that_no_target_takes_is_named() {
        let chain = chain();
        let trail = Trail { skipped: refused(&["seed", "n"], &chain), ..Trail::default() };
        let refusal = exhausted(&chain, None, trail);
        assert_eq!((refusal.code, refusal.param.as_deref()), (Code::UnsupportedParameter, Some("seed")));
        assert!(
            refusal.message.contains("a does not take `seed`, b does not take `n`"),
            "{}",
            refusal.message
        );
        assert_eq!((refusal.skipped.len(), refusal.facts.unwrap().attempts), (2, 0));

        let trail = Trail { skipped: refused(&["seed"], &chain), ..Trail::default() };
        assert_eq!(exhausted(&chain, None, trail).message, "No `seed`.");
        assert_eq!(exhausted(&chain, None, Trail::default()).code, Code::UpstreamUnavailable);
    }

    #[test]
    fn a_try_that_failed_says_more_than_one_that_was_not_made() {
        let chain = chain();
        let tried = Tried {
            target: Arc::clone(&chain.targets[1]),
            outcome: Outcome::RateLimited,
            took: Duration::ZERO,
            retry_after: None,
            sent: true,
        };
        let trail = Trail { tried: vec![tried], skipped: refused(&["seed"], &chain), ..Trail::default() };
        let refusal = exhausted(&chain, Some(Failure::of(Outcome::RateLimited, "slow down")), trail);
        assert_eq!((refusal.code, refusal.param), (Code::UpstreamRateLimited, None));
        assert_eq!(refusal.skipped[0].1.as_str(), "seed");
    }

    #[test]
    fn all_limited_is_told_apart_from_some_down() {
        let chain = chain();
        let tried = |outcome| Tried {
            target: Arc::clone(&chain.targets[0]),
            outcome,
            took: Duration::ZERO,
            retry_after: Some(Duration::from_secs(900)),
            sent: true,
        };
        let (limited, down) = (Code::UpstreamRateLimited, Code::UpstreamUnavailable);
        for (met, other, code) in [
            (Some(Outcome::RateLimited), "rate_limited", limited),
            (Some(Outcome::QuotaExhausted), "rate_limited", limited),
            (Some(Outcome::RateLimited), "open", down),
            (Some(Outcome::ServerError), "rate_limited", down),
            (None, "rate_limited", limited),
            (None, "open", down),
        ] {
            let skipped = vec![(Arc::clone(&chain.targets[1]), alone(other))];
            let trail = Trail { tried: met.map(tried).into_iter().collect(), skipped, ..Trail::default() };
            let refusal = exhausted(&chain, met.map(|outcome| Failure::of(outcome, "no")), trail);
            assert_eq!(refusal.code, code, "{met:?}, {other}");
            // When one of them can be tried again, whatever a single try was told.
            assert_eq!(refusal.retry_after, Some(Duration::from_secs(4)), "{met:?}, {other}");
        }
    }
}
