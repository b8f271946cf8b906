//! The gateway of the demo, inside this process.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    net::TcpListener,
    sync::mpsc,
    task::{JoinHandle, spawn_blocking},
};
use tokio_util::sync::CancellationToken;

use crate::{
    app,
    base::clock::Clock,
    cli::serve::{close_ledger, spawn_upkeep},
    config::{Faults, Loaded},
    edge::{State, router, server},
    news::Told,
    sim::Order,
};

/// How long requests under way may take at the end.
const GRACE: Duration = Duration::from_secs(1);

/// A gateway that serves.
pub struct Gateway {
    /// What it knows.
    pub state: State,
    /// Where it listens.
    pub address: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<usize>,
}

impl Gateway {
    /// Starts it; gives its news too. A reload reads the configuration by `read`.
    ///
    /// # Errors
    /// Why it cannot serve.
    pub async fn start(
        loaded: Loaded,
        read: impl Fn() -> Result<Loaded, Faults> + Send + Sync + 'static,
    ) -> Result<(Self, mpsc::Receiver<Told>), String> {
        // Opening the ledger blocks.
        let built = spawn_blocking(move || app::build(loaded, read, Clock::system()));
        let built = built.await.map_err(|error| format!("the start broke off: {error}"))?;
        let (state, news) = built.map_err(|faults| faults.join("\n"))?;
        spawn_upkeep(&state);
        let settings = state.snapshot().config.server.clone();
        let options = server::ServerOptions::new(&settings)?;
        let listener: TcpListener = server::bind("--listen", &settings.listen).await?;
        let address = listener.local_addr();
        let address = address.map_err(|error| format!("the listening socket is gone: {error}"))?;
        let stop = CancellationToken::new();
        let over = state.0.over.clone();
        let front = router(&state, false, true);
        let desk = move |peer| front.desk(peer);
        let serving = tokio::spawn(server::serve(listener, desk, options, stop.clone(), over, GRACE));
        Ok((Self { state, address, stop, serving }, news))
    }

    /// The address of a path, as a program of this machine reaches it.
    pub fn url(&self, path: &str) -> String {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(if address.is_ipv4() {
                [127, 0, 0, 1].into()
            } else {
                [0, 0, 0, 0, 0, 0, 0, 1].into()
            });
        }
        format!("http://{address}{path}")
    }

    /// Ends all trouble of the simulated providers; one of them gets a new fault.
    pub fn trouble(&self, new: Option<(&str, String)>) -> Result<(), String> {
        let snapshot = self.state.snapshot();
        for (unit, _) in snapshot.fleet.providers() {
            // With files laid over the demo's own a provider may be a real one: that is left alone.
            let Some(sim) = unit.sim() else { continue };
            sim.reset();
            if let Some((_, fault)) = new.as_ref().filter(|(provider, _)| **provider == *unit.name) {
                sim.order(Order { fault: Some(fault.clone()), ..Order::default() })?;
            }
        }
        Ok(())
    }

    /// Ends it.
    pub async fn close(self) {
        self.state.drain();
        self.stop.cancel();
        // It gives up after its grace by itself.
        let _ = self.serving.await;
        close_ledger(&self.state).await;
    }
}
