//! What all handlers share.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;

use crate::{
    limit::{failures::Failures, registry::Limits},
    metrics::Metrics,
    pipeline::{Pipeline, Snapshot},
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
    /// The pipeline; cloned for each request.
    pub pipeline: Pipeline,
    /// The counters.
    pub metrics: Arc<Metrics>,
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

    /// Refuses new requests from now on.
    pub fn drain(&self) {
        self.0.draining.store(true, Ordering::Release);
    }
}
