//! The composition root: a configuration in, a running gateway's state out.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, Weak, atomic::AtomicBool},
};

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::{
    config::{Config, Loaded, load},
    edge::{Shared, State},
    limit::{failures::Failures, registry::Limits},
    metrics::Metrics,
    pipeline::{Snapshot, pipeline},
};

/// Builds the state of a gateway. `files` are read again at a reload.
///
/// # Errors
/// Everything that could not be built, each with its key.
pub fn build(loaded: Loaded, files: Vec<PathBuf>) -> Result<State, Vec<String>> {
    let metrics = Arc::new(Metrics::new().map_err(|error| vec![error.to_string()])?);
    loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let snapshot = Snapshot::build(loaded.config, None, &metrics)?;
    announce(&snapshot);
    let server = &snapshot.config.server;
    let shared = Arc::new_cyclic(|weak: &Weak<Shared>| {
        let (weak, turn) = (weak.clone(), Mutex::new(()));
        Shared {
            room: semaphore(server.max_in_flight),
            body_room: semaphore(server.max_body_memory.bytes() / 1024),
            failures: Failures::new(server.auth_failures_per_minute),
            limits: Limits::default(),
            pipeline: pipeline(&metrics),
            metrics: Arc::clone(&metrics),
            draining: AtomicBool::new(false),
            reload: Arc::new(move || {
                // One at a time: else a reload that read an older file could be the last to take effect.
                let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
                weak.upgrade().map_or(Ok(()), |shared| reload(&shared, &files))
            }),
            snapshot: ArcSwap::new(Arc::clone(&snapshot)),
        }
    });
    Ok(State(shared))
}

fn semaphore(permits: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)))
}

/// Reads the configuration again. Requests under way keep the one that they began with.
fn reload(shared: &Shared, files: &[PathBuf]) -> Result<(), String> {
    let before = shared.snapshot.load_full();
    let result =
        load(files).map_err(|faults| faults.to_string()).and_then(|loaded| swap(shared, &before, loaded));
    shared.metrics.reload(result.is_ok());
    match &result {
        Ok(()) => tracing::info!("the configuration was reloaded"),
        Err(faults) => tracing::error!("the configuration was not reloaded, nothing has changed:\n{faults}"),
    }
    result
}

fn swap(shared: &Shared, before: &Snapshot, loaded: Loaded) -> Result<(), String> {
    loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let after =
        Snapshot::build(loaded.config, Some(before), &shared.metrics).map_err(|faults| faults.join("\n"))?;
    announce(&after);
    needs_restart(&before.config, &after.config);
    shared.limits.reload(after.keys.iter(), Instant::now());
    shared.failures.set_limit(after.config.server.auth_failures_per_minute);
    shared.snapshot.store(after);
    Ok(())
}

/// Says loudly what an operator has to know of a configuration.
fn announce(snapshot: &Snapshot) {
    snapshot.keys.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
    if snapshot.fleet.is_simulated() {
        tracing::warn!(
            "NO PROVIDER HAS ITS KEYS: the simulated provider answers in place of all of them. \
             Its answers are made up. Set a provider's key, like OPENAI_API_KEY, to get real ones."
        );
    }
}

/// Names the settings that changed and that a reload does not take.
fn needs_restart(before: &Config, after: &Config) {
    let fixed = |config: &Config| {
        let mut server = serde_json::to_value(&config.server).unwrap_or_default();
        let telemetry = serde_json::to_value(&config.telemetry).unwrap_or_default();
        server["telemetry"] = telemetry;
        server
    };
    let (before, after) = (fixed(before), fixed(after));
    for key in [
        "listen",
        "admin_listen",
        "max_in_flight",
        "max_body_memory",
        "max_connections",
        "header_timeout",
        "write_timeout",
        "max_header_bytes",
        "shutdown_grace",
        "tls",
        "telemetry",
    ] {
        if before[key] != after[key] {
            let table = if key == "telemetry" { "" } else { "server." };
            tracing::warn!("{table}{key} has changed: a restart is needed for it to count");
        }
    }
}
