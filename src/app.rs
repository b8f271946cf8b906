//! The composition root: a configuration in, a running gateway's state out.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak, atomic::AtomicBool},
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    base::clock::Clock,
    budget::{Accounts, Rules},
    config::{Config, Faults, Loaded, needs_a_key},
    edge::{Shared, State, dashboard::Board},
    ledger::{KeyRow, Ledger, LedgerError},
    limit::{failures::Failures, registry::Limits},
    metrics::{Metrics, money::MoneyMetrics},
    news::{Bell, Told},
    otlp,
    pipeline::{Snapshot, Vault, pipeline},
    spend::Till,
    upstream::{Diary, Outages, keep_checking},
};

/// Builds the state of a gateway, and the news that it raises. A reload reads the configuration by `read`. Blocks.
///
/// # Errors
/// Everything that could not be built, each with its key.
pub fn build(
    loaded: Loaded,
    read: impl Fn() -> Result<Loaded, Faults> + Send + Sync + 'static,
    clock: Clock,
) -> Result<(State, mpsc::Receiver<Told>), Vec<String>> {
    let metrics = Arc::new(Metrics::new().map_err(|error| vec![error.to_string()])?);
    loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let (till, news) = till(&loaded.config, &metrics, clock).map_err(|fault| vec![fault])?;
    // Before the first request: a key that was revoked never works, one that was made does at once.
    let (seen, made) =
        Handle::current().block_on(made_keys(&till)).map_err(|fault| vec![fault.to_string()])?;
    let snapshot = Snapshot::build(loaded.config, None, &metrics, &till, made)?;
    Handle::current().block_on(Diary::recall(&snapshot.fleet, &till.ledger, &till.clock));
    check_door(&snapshot).map_err(|fault| vec![fault])?;
    announce(&snapshot);
    let server = &snapshot.config.server;
    let vault = Vault::new(&snapshot.config.cache, &metrics, &till);
    let (tracer, exporter) =
        otlp::start(&snapshot.config.telemetry, metrics.trace()).map_err(|fault| vec![fault])?;
    let shared = Arc::new_cyclic(|weak: &Weak<Shared>| {
        let weak = weak.clone();
        Shared {
            room: semaphore(server.max_in_flight),
            body_room: semaphore(server.max_body_memory.bytes() / 1024),
            failures: Failures::new(server.auth_failures_per_minute),
            limits: Limits::default(),
            pipeline: pipeline(&metrics, &till, &vault),
            vault,
            board: Board::new(till.clock.clone()),
            till,
            tracer,
            exporter,
            metrics: Arc::clone(&metrics),
            draining: AtomicBool::new(false),
            over: CancellationToken::new(),
            reload: Arc::new(move || {
                let Some(shared) = weak.upgrade() else { return Ok(()) };
                // One at a time: else a reload that read an older file could be the last to take effect.
                let _turn = shared.turn.lock().unwrap_or_else(PoisonError::into_inner);
                reload(&shared, read())
            }),
            snapshot: ArcSwap::new(Arc::clone(&snapshot)),
            turn: Mutex::new(()),
            keys_seen: tokio::sync::Mutex::new(Some(seen)),
        }
    });
    Ok((State(shared), news))
}

/// Opens the ledger and takes over what it knows of every account.
fn till(
    config: &Config,
    metrics: &Metrics,
    clock: Clock,
) -> Result<(Arc<Till>, mpsc::Receiver<Told>), String> {
    let money = MoneyMetrics::new(metrics).map_err(|error| error.to_string())?;
    let (ledger, opened) =
        Ledger::open(&config.ledger, metrics, clock.clone()).map_err(|error| error.to_string())?;
    let accounts = Accounts::new();
    accounts.load(opened.accounts);
    let (bell, news) = Bell::new(metrics, clock.clone());
    Ok((Till::new(accounts, ledger, money, clock, bell), news))
}

/// The ledger's keys with their version.
async fn made_keys(till: &Till) -> Result<(i64, Arc<[KeyRow]>), LedgerError> {
    let books = till.ledger.books();
    // Before the keys: what changes in between is seen the next time.
    let seen = books.keys_version().await?;
    Ok((seen, books.keys().await?.into()))
}

/// Refuses an address that others can reach where there is no key, neither in the configuration nor in the ledger.
fn check_door(snapshot: &Snapshot) -> Result<(), String> {
    match needs_a_key(&snapshot.config) {
        Some(fault) if snapshot.has_no_keys() => Err(fault),
        _ => Ok(()),
    }
}

/// Looks twice a second whether the ledger's keys have changed: a change made by another process, like `weir keys`,
/// holds within a second.
pub async fn watch_keys(state: State) {
    let mut ticks = interval(Duration::from_millis(500));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        ticks.tick().await;
        let result = state.refresh_keys().await;
        if let (Err(error), false) = (&result, failing) {
            tracing::warn!("changed keys are not seen until the ledger can be read again: {error}");
        }
        failing = result.is_err();
    }
}

/// Looks every second which routes have no target left, or live on answers that stand in, and tells when that begins or
/// ends.
pub async fn watch_routes(state: State) {
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut outages = Outages::default();
    loop {
        ticks.tick().await;
        let snapshot = state.snapshot();
        for event in outages.look(&snapshot.book, &snapshot.fleet) {
            tracing::warn!("{}", event.text());
            state.0.till.bell.ring(event);
        }
        state.0.vault.look(&snapshot.config);
    }
}

/// Asks the providers that are to be asked whether they are there, whatever requests come.
pub async fn check_providers(state: State) {
    let (metrics, bell) = (Arc::clone(&state.0.metrics), state.0.till.bell.clone());
    keep_checking(move || Arc::clone(&state.snapshot().fleet), &metrics, &bell).await;
}

/// How often it is looked whether a reload has switched on what is switched off.
const LOOK: Duration = Duration::from_secs(10);

/// Writes down again and again how the targets do, as `ledger.health_every` says.
pub async fn keep_health(state: State) {
    let mut diary = Diary::default();
    loop {
        let every = state.snapshot().config.ledger.health_every.0;
        sleep(if every.is_zero() { LOOK } else { every }).await;
        if !every.is_zero() {
            let till = &state.0.till;
            diary.write(&state.snapshot().fleet, &till.ledger, &till.clock).await;
        }
    }
}

/// Gives all of that to the ledger once more, before it closes.
pub fn keep_health_once(state: &State) {
    let (snapshot, till) = (state.snapshot(), &state.0.till);
    if !snapshot.config.ledger.health_every.0.is_zero() {
        // Closing the ledger waits for it.
        drop(till.ledger.keep_pasts(Diary::default().new_in(&snapshot.fleet, &till.clock)));
    }
}

fn semaphore(permits: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)))
}

/// Takes the configuration that was read. Requests under way keep the one that they began with.
fn reload(shared: &Shared, read: Result<Loaded, Faults>) -> Result<(), String> {
    let before = shared.snapshot.load_full();
    let result = read.map_err(|faults| faults.to_string()).and_then(|loaded| swap(shared, &before, loaded));
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
        Snapshot::build(loaded.config, Some(before), &shared.metrics, &shared.till, Arc::clone(&before.made))
            .map_err(|faults| faults.join("\n"))?;
    check_door(&after)?;
    announce(&after);
    needs_restart(&before.config, &after.config);
    shared.till.ledger.reload(&after.config.ledger);
    shared.vault.reload(&after.config.cache);
    shared.limits.reload(after.keys.iter(), Instant::now());
    shared.failures.set_limit(after.config.server.auth_failures_per_minute);
    shared.snapshot.store(after);
    Ok(())
}

/// Says loudly what an operator has to know of a configuration.
fn announce(snapshot: &Snapshot) {
    snapshot.keys.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
    warn_of_unpriced(snapshot);
    if snapshot.fleet.is_simulated() {
        tracing::warn!(
            "NO PROVIDER HAS ITS KEYS: the simulated provider answers in place of all of them. \
             Its answers are made up. Set a provider's key, like OPENAI_API_KEY, to get real ones."
        );
    }
}

/// Names the models that a budget refuses because nobody knows what they cost.
fn warn_of_unpriced(snapshot: &Snapshot) {
    let Ok(rules) = Rules::compile(&snapshot.config.budgets, []) else { return };
    let targets = snapshot.book.targets().filter(|target| snapshot.fleet.is_on(&target.provider));
    let priced = targets.map(|target| (&*target.name, &*target.provider, target.price.is_some()));
    for (budget, models) in rules.unpriced(priced) {
        tracing::warn!(%budget, "nobody knows what these models cost, so the budget refuses them: {}", models.join(", "));
    }
}

/// Names the settings that changed and that a reload does not take.
fn needs_restart(before: &Config, after: &Config) {
    let fixed = |config: &Config| {
        let mut server = serde_json::to_value(&config.server).unwrap_or_default();
        let telemetry = serde_json::to_value(&config.telemetry).unwrap_or_default();
        server["telemetry"] = telemetry;
        server["ledger.url"] = config.ledger.url.as_str().into();
        server["ledger.max_queue"] = config.ledger.max_queue.into();
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
        "ledger.url",
        "ledger.max_queue",
    ] {
        if before[key] != after[key] {
            let table = if key == "telemetry" || key.contains('.') { "" } else { "server." };
            tracing::warn!("{table}{key} has changed: a restart is needed for it to count");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{KeyRow, KeySettings};

    #[test]
    fn a_key_in_the_ledger_lets_others_reach_the_gateway() {
        let mut config = Config::default();
        config.server.listen = "0.0.0.0:8080".into();
        let metrics = Metrics::new().unwrap();
        let till = Till::in_memory(&metrics);
        let snapshot = Snapshot::build(config, None, &metrics, &till, Arc::default()).unwrap();
        assert!(check_door(&snapshot).unwrap_err().contains("no key is configured"));
        let row = KeyRow {
            name: "bot".into(),
            hash: crate::keys::generate().hash,
            settings: KeySettings::default(),
            created: 1,
            revoked: Some(2),
        };
        assert_eq!(check_door(&snapshot.with_keys([row].into(), &till).0), Ok(()));
    }
}
