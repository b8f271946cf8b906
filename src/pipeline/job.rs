//! What each step of the pipeline hands to the next.

use std::{sync::Arc, time::Duration};

use crate::{keys::VirtualKey, openai::Ask, route::Chain, route::Wanted, upstream::Timing};

use super::snapshot::Snapshot;

/// A request with everything that holds from its beginning to its end.
#[derive(Debug)]
pub struct Job {
    /// What is asked.
    pub ask: Ask,
    /// What the client's headers wish for.
    pub wishes: Wishes,
    /// The key of who asks; `None` where none is needed.
    pub key: Option<Arc<VirtualKey>>,
    /// The configuration that this request sees.
    pub snapshot: Arc<Snapshot>,
    /// How long it may take.
    pub timing: Timing,
}

/// The wishes of a client, from its `x-weir-*` headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// `x-weir-models`: its own ordered list.
    pub models: Vec<String>,
    /// `x-weir-route`.
    pub route: Option<String>,
    /// `x-weir-timeout-ms`.
    pub timeout: Option<Duration>,
    /// `x-weir-attempt-timeout-ms`.
    pub attempt_timeout: Option<Duration>,
    /// `x-weir-fallback: off`.
    pub no_fallback: bool,
    /// `x-weir-cache`.
    pub cache: CacheWish,
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
    /// What the client named.
    pub wanted: Vec<Wanted>,
}

/// A request that the cache cannot answer.
#[derive(Debug)]
pub struct Missed {
    /// The request.
    pub job: Box<Job>,
    /// What the client named.
    pub wanted: Vec<Wanted>,
}

/// A request with its chain.
#[derive(Debug)]
pub struct Planned {
    /// The request.
    pub job: Box<Job>,
    /// The targets to try.
    pub chain: Chain,
}

/// A request that may spend.
#[derive(Debug)]
pub struct Funded {
    /// The request.
    pub job: Box<Job>,
    /// The targets to try.
    pub chain: Chain,
}
