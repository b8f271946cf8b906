//! What all handlers share.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::dashboard::Board;
use crate::{
    limit::{failures::Failures, registry::Limits},
    metrics::Metrics,
    otlp::Exporter,
    pipeline::{Pipeline, Snapshot, Vault},
    spend::Till,
    trace::Tracer,
};

/// Reloads the configuration; says what is wrong with it otherwise.
pub type Reload = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// The state of a running gateway.
#[derive(Clone)]
pub struct State(pub Arc<Shared>);

/// What [`State`] shares.
pub struct Shared {
    /// The configuration that new requests see.
    pub snapshot: ArcSwap<Snapshot>,
    /// Who changes the snapshot, one at a time.
    pub turn: Mutex<()>,
    /// The version of the ledger's keys that the snapshot has.
    pub keys_seen: tokio::sync::Mutex<Option<i64>>,
    /// The pipeline; cloned for each request.
    pub pipeline: Pipeline,
    /// Kept answers.
    pub vault: Arc<Vault>,
    /// Begins the spans of requests.
    pub tracer: Tracer,
    /// Sends them; `None`: nothing is traced.
    pub exporter: Option<Exporter>,
    /// What the dashboard shows.
    pub board: Arc<Board>,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// The accounts and the ledger, where keys made at run time are too.
    pub till: Arc<Till>,
    /// Limits of virtual keys.
    pub limits: Limits,
    /// Failed authentications.
    pub failures: Failures,
    /// Room for requests under way.
    pub room: Arc<Semaphore>,
    /// Room for bodies under way, in KiB.
    pub body_room: Arc<Semaphore>,
    /// Whether the gateway is shutting down.
    pub draining: AtomicBool,
    /// Tells streams that the time to end is over.
    pub over: CancellationToken,
    /// How `/admin/reload` reloads.
    pub reload: Reload,
}

impl State {
    /// The configuration that a request which begins now sees.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.0.snapshot.load_full()
    }

    /// Whether the gateway is shutting down.
    pub fn is_draining(&self) -> bool {
        self.0.draining.load(Ordering::Acquire)
    }

    /// Refuses new requests from now on; dashboards are told goodbye, so that nobody waits for them.
    pub fn drain(&self) {
        self.0.draining.store(true, Ordering::Release);
        self.0.board.closed.cancel();
    }
}
