//! `weir serve`: binds, serves, reloads, drains.

use std::{path::PathBuf, time::Duration};

use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use crate::{
    app,
    config::{self, Loaded},
    edge::{State, router, server},
};

use super::{block_on, log};

/// How often the configuration files are looked at.
const WATCH: Duration = Duration::from_secs(1);

/// Serves until SIGTERM or SIGINT.
pub fn run(files: Vec<PathBuf>) -> Result<(), String> {
    let loaded = config::load(&files).map_err(|faults| format!("the configuration has faults:\n{faults}"))?;
    log::start(&loaded.config.telemetry)?;
    block_on(serve(loaded, files))
}

async fn serve(loaded: Loaded, files: Vec<PathBuf>) -> Result<(), String> {
    let read = loaded.files.clone();
    let state = app::build(loaded, files).map_err(|faults| faults.join("\n"))?;
    let settings = state.snapshot().config.server.clone();
    let listener = server::bind(&settings.listen).await?;
    let admin = match settings.admin_listen.as_str() {
        "" => None,
        address => Some(server::bind(address).await?),
    };
    let scheme = if settings.tls.is_some() { "https" } else { "http" };
    tracing::info!("listening on {scheme}://{}", address(&listener)?);
    let both = admin.is_none();
    let stop = CancellationToken::new();
    tokio::spawn(watch_signals(state.clone(), stop.clone()));
    tokio::spawn(watch_files(state.clone(), read));
    let options = server::ServerOptions::new(&settings)?;
    let grace = settings.shutdown_grace.0;
    let clients = server::serve(listener, router(&state, false, both), options.clone(), stop.clone(), grace);
    let operators = async {
        match admin {
            Some(listener) => {
                tracing::info!("admin on http://{}", address(&listener)?);
                Ok(server::serve(
                    listener,
                    router(&state, true, false),
                    server::ServerOptions { tls: None, ..options.clone() },
                    stop.clone(),
                    grace,
                )
                .await)
            }
            None => Ok::<_, String>(0),
        }
    };
    let (cut, _) = tokio::join!(clients, operators);
    match cut {
        0 => tracing::info!("every request has ended; goodbye"),
        cut => tracing::warn!("{cut} connections were cut at the end of server.shutdown_grace; goodbye"),
    }
    Ok(())
}

fn address(listener: &TcpListener) -> Result<std::net::SocketAddr, String> {
    listener.local_addr().map_err(|error| format!("the listening socket is gone: {error}"))
}

/// Drains on SIGTERM or SIGINT, reloads on SIGHUP.
async fn watch_signals(state: State, stop: CancellationToken) {
    let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()];
    let [Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)] = kinds.map(signal) else {
        tracing::error!("signals cannot be watched: reload and graceful shutdown are off");
        return;
    };
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => reload(&state).await,
        }
    }
    tracing::info!("draining: new requests are refused, running ones may end");
    state.drain();
    stop.cancel();
}

/// Reloads when a file that was read has changed.
async fn watch_files(state: State, files: Vec<PathBuf>) {
    let mut ticks = interval(WATCH);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = stamps(&files).await;
    loop {
        ticks.tick().await;
        let now = stamps(&files).await;
        if now != before {
            before = now;
            reload(&state).await;
        }
    }
}

async fn reload(state: &State) {
    let reload = state.0.reload.clone();
    // Its result is logged where it is made; only a panic could end it otherwise.
    let _ = tokio::task::spawn_blocking(move || reload()).await;
}

/// What tells whether a file has changed: its time and its length.
async fn stamps(files: &[PathBuf]) -> Vec<Option<(std::time::SystemTime, u64)>> {
    let mut stamps = Vec::with_capacity(files.len());
    for file in files {
        let seen = tokio::fs::metadata(file).await.ok();
        stamps.push(seen.and_then(|seen| Some((seen.modified().ok()?, seen.len()))));
    }
    stamps
}
