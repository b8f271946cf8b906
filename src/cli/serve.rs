//! `weir serve`: binds, serves, reloads, drains.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    task::spawn_blocking,
    time::{Instant, MissedTickBehavior, interval, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::{
    alerts, app,
    base::{clock::Clock, tokens},
    config::{self, Loaded},
    edge::{State, dashboard, router, server},
    news::Told,
};

use super::{block_on, log};

/// How long requests that were cut may take to say what they cost.
const SETTLES_WITHIN: Duration = Duration::from_secs(1);
/// How often the configuration files are looked at.
const WATCH: Duration = Duration::from_secs(1);

/// Serves until SIGTERM or SIGINT.
pub fn run(files: Vec<PathBuf>) -> Result<(), String> {
    let loaded = config::load(&files).map_err(|faults| format!("the configuration has faults:\n{faults}"))?;
    // Before anything else takes its time: a change from now on is one that a reload has to take.
    let seen = stamps(&loaded.files);
    log::start(&loaded.config.telemetry)?;
    raise_open_files();
    block_on(serve(loaded, seen))
}

/// Takes as many open files as the system grants: each connection is one, and the usual soft limit is 1,024.
pub(super) fn raise_open_files() {
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!("the limit of open files stays as it is: {error}");
    }
}

async fn serve(loaded: Loaded, seen: Vec<Stamp>) -> Result<(), String> {
    let signals = Signals::watch()?;
    let read = loaded.files.clone();
    let files = read.clone();
    // Opening the ledger blocks.
    let built = spawn_blocking(move || app::build(loaded, move || config::load(&files), Clock::system()));
    let built = built.await.map_err(|error| format!("the start broke off: {error}"))?;
    let (state, news) = built.map_err(|faults| faults.join("\n"))?;
    tokio::spawn(tell(state.clone(), news));
    spawn_upkeep(&state);
    let settings = state.snapshot().config.server.clone();
    let options = server::ServerOptions::new(&settings)?;
    let listener = server::bind("server.listen", &settings.listen).await?;
    let admin = match settings.admin_listen.as_str() {
        "" => None,
        address => Some(server::bind("server.admin_listen", address).await?),
    };
    let scheme = if settings.tls.is_some() { "https" } else { "http" };
    tracing::info!("listening on {scheme}://{}", address(&listener)?);
    let both = admin.is_none();
    let stop = CancellationToken::new();
    tokio::spawn(obey(signals, state.clone(), stop.clone()));
    tokio::spawn(watch_files(state.clone(), read, seen));
    let grace = settings.shutdown_grace.0;
    let over = || state.0.over.clone();
    let front = router(&state, false, both);
    let desk = move |peer| front.desk(peer);
    let clients = server::serve(listener, desk, options.clone(), stop.clone(), over(), grace);
    let operators = async {
        match admin {
            Some(listener) => {
                tracing::info!("admin on http://{}", address(&listener)?);
                let front = router(&state, true, false);
                Ok(server::serve(
                    listener,
                    move |peer| front.desk(peer),
                    server::ServerOptions { tls: None, ..options.clone() },
                    stop.clone(),
                    over(),
                    grace,
                )
                .await)
            }
            None => Ok::<_, String>(0),
        }
    };
    let (cut, _) = tokio::join!(clients, operators);
    close_ledger(&state).await;
    if let Some(exporter) = &state.0.exporter {
        exporter.finish().await;
    }
    match cut {
        0 => tracing::info!("every request has ended; goodbye"),
        cut => tracing::warn!("{cut} connections were cut at the end of server.shutdown_grace; goodbye"),
    }
    Ok(())
}

/// Begins what goes on beside requests.
pub(super) fn spawn_upkeep(state: &State) {
    drop(spawn_blocking(tokens::warm));
    tokio::spawn(close_windows(state.clone()));
    tokio::spawn(app::watch_keys(state.clone()));
    tokio::spawn(app::watch_routes(state.clone()));
    tokio::spawn(app::check_providers(state.clone()));
    tokio::spawn(app::keep_health(state.clone()));
    tokio::spawn(dashboard::keep(state.clone()));
}

/// Closes the ledger. Where something is held still, by a request that was cut and has not yet said what it cost, the
/// next start counts that as spent.
pub(super) async fn close_ledger(state: &State) {
    let till = &state.0.till;
    let until = Instant::now() + SETTLES_WITHIN;
    while till.accounts.holds() && Instant::now() < until {
        sleep(Duration::from_millis(20)).await;
    }
    app::keep_health_once(state);
    let closed =
        if till.accounts.holds() { till.ledger.close_holding().await } else { till.ledger.close().await };
    if closed.is_err() {
        tracing::error!(
            "the ledger could not be closed: what is still held counts as spent at the next start"
        );
    }
}

/// Closes the windows of budgets that are over, each minute.
async fn close_windows(state: State) {
    let mut ticks = interval(Duration::from_secs(60));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        state.0.till.close_windows().await;
    }
}

/// Passes news on to the webhook of the configuration, if there is one.
async fn tell(state: State, news: mpsc::Receiver<Told>) {
    let metrics = state.0.metrics.alerts().clone();
    let settings = move || {
        let snapshot = state.snapshot();
        let config::Alerts { webhook, min_interval } = &snapshot.config.alerts;
        let webhook = webhook.as_ref().and_then(|source| source.resolve().ok().flatten());
        alerts::Settings { webhook, min_interval: min_interval.0 }
    };
    alerts::tell(news, metrics, settings).await;
}

fn address(listener: &TcpListener) -> Result<std::net::SocketAddr, String> {
    listener.local_addr().map_err(|error| format!("the listening socket is gone: {error}"))
}

/// The signals that Weir knows.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Watches from now on; without that a signal would end the process at once.
    fn watch() -> Result<Self, String> {
        let watch = |kind| signal(kind).map_err(|error| format!("signals cannot be watched: {error}"));
        Ok(Self {
            terminate: watch(SignalKind::terminate())?,
            interrupt: watch(SignalKind::interrupt())?,
            hangup: watch(SignalKind::hangup())?,
        })
    }
}

/// Drains on SIGTERM or SIGINT, reloads on SIGHUP.
async fn obey(mut signals: Signals, state: State, stop: CancellationToken) {
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => break,
            _ = signals.interrupt.recv() => break,
            _ = signals.hangup.recv() => reload(&state).await,
        }
    }
    tracing::info!("draining: new requests are refused, running ones may end");
    state.drain();
    stop.cancel();
}

/// Reloads when a file is no more as it was `seen`.
async fn watch_files(state: State, files: Vec<PathBuf>, mut seen: Vec<Stamp>) {
    let files = Arc::new(files);
    let mut ticks = interval(WATCH);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let files = Arc::clone(&files);
        // Looking at files blocks.
        let Ok(now) = spawn_blocking(move || stamps(&files)).await else { continue };
        if now != seen {
            seen = now;
            reload(&state).await;
        }
    }
}

async fn reload(state: &State) {
    let reload = state.0.reload.clone();
    // Its result is logged where it is made; only a panic could end it otherwise.
    let _ = spawn_blocking(move || reload()).await;
}

/// What tells whether a file has changed: its time with its length; `None` where it cannot be looked at.
type Stamp = Option<(SystemTime, u64)>;

fn stamps(files: &[PathBuf]) -> Vec<Stamp> {
    let stamp = |file: &PathBuf| {
        let seen = std::fs::metadata(file).ok()?;
        Some((seen.modified().ok()?, seen.len()))
    };
    files.iter().map(stamp).collect()
}
