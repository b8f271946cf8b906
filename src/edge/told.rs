//! What a request tells of itself in its trace.

use std::time::Duration;

use axum::http::HeaderMap;

use crate::{
    base::id::RequestId,
    keys::VirtualKey,
    openai::{Ask, Endpoint},
    pipeline::{CLIENT_LEFT, Facts, StandIn},
    trace::{self, Open, Scope, Tracer, key},
    upstream::operation,
};

/// How a request ended.
pub struct End<'a> {
    /// The status that the client saw.
    pub status: u16,
    /// The code of its refusal, or what cut its answer short.
    pub error: Option<&'static str>,
    /// How its answer came about.
    pub facts: Option<&'a Facts>,
    /// How long Weir itself took to the head of the answer, if there was one.
    pub overhead: Option<Duration>,
}

/// The place of a request in its trace: its client's, if that has one. A `traceparent` that cannot be read begins a trace
/// of its own, as the standard says: tracing breaks no request.
pub fn begin(tracer: &Tracer, headers: &HeaderMap) -> Option<Scope> {
    tracer.begin(|| {
        let mut values = headers.get_all("traceparent").iter();
        let value = values.next()?.to_str().ok()?;
        // Of two nobody knows which one is meant.
        values.next().is_none().then_some(value)
    })
}

/// The span of a request that begins; `None`: it is not recorded.
pub fn open(scope: &Scope, id: &RequestId, key: Option<&VirtualKey>, endpoint: Endpoint) -> Option<Open> {
    let path = match endpoint {
        Endpoint::Chat => "/v1/chat/completions",
        Endpoint::Completions => "/v1/completions",
        Endpoint::Embeddings => "/v1/embeddings",
    };
    let mut open = scope.request(format!("POST {path}"))?;
    open.set(key::METHOD, "POST");
    open.set(key::ROUTE, path);
    open.set(key::OPERATION, operation(endpoint));
    open.set_text(key::WEIR_REQUEST, id.as_str());
    if let Some(key) = key {
        open.set_text(key::WEIR_KEY, key.name());
    }
    Some(open)
}

/// It is known what is asked.
pub fn asked(open: &mut Open, ask: &Ask) {
    open.set_text(key::REQUEST_MODEL, ask.model());
    open.set(key::REQUEST_STREAM, ask.stream());
}

/// It is over.
pub fn ended(mut open: Open, end: &End<'_>) {
    open.set(key::STATUS, u64::from(end.status));
    if let Some(overhead) = end.overhead {
        open.set(key::WEIR_OVERHEAD, overhead.as_secs_f64() * 1000.0);
    }
    if let Some(facts) = end.facts {
        came_about(&mut open, facts);
    }
    match (end.error, end.status) {
        (Some(code), _) => open.fail(code),
        (None, 499) => open.fail(CLIENT_LEFT),
        (None, 500..) => open.fail("internal"),
        (None, _) => {}
    }
}

fn came_about(open: &mut Open, facts: &Facts) {
    if !facts.route.is_empty() {
        open.set_text(key::WEIR_ROUTE, &facts.route);
    }
    if let Some(target) = &facts.target {
        open.set_text(key::WEIR_MODEL, &target.name);
        open.set_text(key::WEIR_PROVIDER, &target.provider);
    }
    for (key, text) in [(key::WEIR_TIER, &facts.verdict.tier), (key::WEIR_TASK, &facts.verdict.task)] {
        if let Some(text) = text {
            open.set_text(key, text);
        }
    }
    if let Some(complexity) = facts.verdict.complexity {
        open.set(key::WEIR_COMPLEXITY, u64::from(complexity));
    }
    open.set(key::WEIR_ATTEMPTS, facts.attempts as u64);
    open.set(key::WEIR_FALLBACKS, facts.fallbacks as u64);
    if !facts.skipped.is_empty() {
        let skipped = facts.skipped.iter().take(16);
        let skipped = skipped.map(|(target, missing)| format!("{}={missing}", trace::name(&target.name)));
        open.set(key::WEIR_SKIPPED, skipped.collect::<Vec<_>>());
    }
    open.set(key::WEIR_CACHE, facts.cache.word);
    let degraded = facts.stand_in.map(StandIn::as_str).or(facts.money.downgraded.then_some("downgraded"));
    if let Some(degraded) = degraded {
        open.set(key::WEIR_DEGRADED, degraded);
    }
    if let Some(check) = facts.escalated {
        open.set(key::WEIR_ESCALATED, check.as_str());
    }
    if let Some(cost) = facts.money.cost {
        open.set(key::WEIR_COST, cost.dollars());
    }
}
