//! What each step of the pipeline hands to the next.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    base::{id::RequestId, money::Nanos},
    keys::VirtualKey,
    limit::tokens::TokenReservation,
    openai::Ask,
    route::{Chain, Wanted},
    spend::Purse,
    trace::Scope,
    upstream::Timing,
};

use super::{snapshot::Snapshot, verdict::Verdict};

/// A request with everything that holds from its beginning to its end.
#[derive(Debug)]
pub struct Job {
    /// Its id.
    pub id: RequestId,
    /// What is asked.
    pub ask: Arc<Ask>,
    /// What the client's headers wish for.
    pub wishes: Wishes,
    /// The key of who asks; `None` where none is needed.
    pub key: Option<Arc<VirtualKey>>,
    /// What the request is counted under: the tags of its key, with those that the client may set.
    pub tags: Arc<BTreeMap<String, String>>,
    /// What it holds of its key's tokens a minute; `None` where the key has no such limit.
    pub tokens: Option<TokenReservation>,
    /// The configuration that this request sees.
    pub snapshot: Arc<Snapshot>,
    /// How long it may take.
    pub timing: Timing,
    /// What the cache did, for its row.
    pub cache: &'static str,
    /// Its place in a trace; `None`: nothing is traced.
    pub trace: Option<Scope>,
}

/// The wishes of a client, from its `x-weir-*` headers, and its `idempotency-key`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// `x-weir-models`: its own ordered list.
    pub models: Vec<String>,
    /// `x-weir-route`.
    pub route: Option<String>,
    /// `x-weir-tier`.
    pub tier: Option<String>,
    /// `x-weir-task`.
    pub task: Option<String>,
    /// `x-weir-timeout-ms`.
    pub timeout: Option<Duration>,
    /// `x-weir-attempt-timeout-ms`.
    pub attempt_timeout: Option<Duration>,
    /// `x-weir-fallback: off`.
    pub no_fallback: bool,
    /// `x-weir-cache`.
    pub cache: CacheWish,
    /// `x-weir-max-cost-usd`, more than nothing.
    pub max_cost: Option<Nanos>,
    /// `x-weir-stream-summary: true`.
    pub stream_summary: bool,
    /// `x-weir-savings: true`.
    pub savings: bool,
    /// `idempotency-key`.
    pub idempotency_key: Option<Arc<str>>,
}

/// What a client wishes of the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheWish {
    /// Do not read from it.
    pub no_cache: bool,
    /// Do not write to it.
    pub no_store: bool,
    /// Answer from it or not at all.
    pub only_if_cached: bool,
    /// How long the answer may be kept.
    pub ttl: Option<Duration>,
}

/// A request at the entry of the pipeline.
#[derive(Debug)]
pub struct Asked(pub Box<Job>);

/// A request of which it is known what it asks for, and that its key may.
#[derive(Debug)]
pub struct Classified {
    /// The request.
    pub job: Box<Job>,
    /// What the client named, or what was chosen for it.
    pub wanted: Vec<Wanted>,
    /// What the classifier made of it.
    pub verdict: Verdict,
}

/// A request that the cache cannot answer.
#[derive(Debug)]
pub struct Missed {
    /// The request.
    pub job: Box<Job>,
    /// What the client named, or what was chosen for it.
    pub wanted: Vec<Wanted>,
    /// What the classifier made of it.
    pub verdict: Verdict,
}

/// A request with its chain.
#[derive(Debug)]
pub struct Planned {
    /// The request.
    pub job: Box<Job>,
    /// The targets to try.
    pub chain: Chain,
    /// What the classifier made of it.
    pub verdict: Verdict,
}

/// A request that may spend.
#[derive(Debug)]
pub struct Funded {
    /// The request.
    pub job: Box<Job>,
    /// The targets to try.
    pub chain: Chain,
    /// What pays for it; the first try is held already.
    pub purse: Purse,
    /// Whether a budget sent it to a cheaper route.
    pub downgraded: bool,
}
