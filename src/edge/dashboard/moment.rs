//! What is told of the whole gateway each second.

use std::{cmp::Reverse, sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::{
    edge::{
        handler::{budgets, targets},
        state::State,
    },
    health,
    upstream::{Vitals, word},
};

use super::history::Light;

/// How many targets are told of.
const TARGETS: usize = 200;
/// How many limits of budgets are told of.
const LIMITS: usize = 50;

/// Looks every second, and tells those who want to know; until the process ends.
pub async fn keep(state: State) {
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let vitals = state.snapshot().fleet.vitals(Instant::now());
        let board = &state.0.board;
        let lights = vitals.iter().map(|vitals| (&vitals.patient.name, light(vitals)));
        board.look(state.0.till.metrics.totals(), lights);
        if board.is_watched() {
            board.tell(event("moment", &moment(&state, vitals)));
        }
    }
}

/// An event of the stream.
pub fn event(name: &str, told: &Value) -> Bytes {
    // JSON has no line ends of its own.
    format!("event: {name}\ndata: {told}\n\n").into()
}

/// The gateway now.
pub fn now(state: &State) -> Value {
    moment(state, state.snapshot().fleet.vitals(Instant::now()))
}

fn moment(state: &State, mut vitals: Vec<Vitals>) -> Value {
    let (snapshot, now) = (state.snapshot(), Instant::now());
    let board = &state.0.board;
    // Where there are too many, those with troubles and those at work are worth more than the others.
    vitals.sort_by_cached_key(|vitals| {
        (Reverse(light(vitals)), Reverse(vitals.patient.in_flight.load(Ordering::Relaxed)))
    });
    let left_out = vitals.len().saturating_sub(TARGETS);
    let rows = vitals.iter().take(TARGETS).map(|vitals| {
        let mut row = targets::row(vitals, now);
        let calls =
            row["minutes"].as_array().into_iter().flatten().filter_map(|minute| minute["calls"].as_u64());
        row["calls"] = json!(calls.sum::<u64>());
        row["minutes"] = Value::Null;
        row["lights"] = json!(board.lights(&vitals.patient.name));
        row
    });
    let rows: Vec<Value> = rows.collect();
    let till = &state.0.till;
    let budgets = till.accounts.fullest(&snapshot.bound, till.clock.seconds());
    let budgets = budgets.iter().take(LIMITS).map(|account| {
        let mut row = budgets::row(account);
        // Of several holders the fullest is told: these are of none.
        (row["holder"], row["remaining_usd"]) = (Value::Null, Value::Null);
        row
    });
    let totals = till.metrics.totals();
    let providers = snapshot.fleet.providers().map(
        |(unit, connections)| json!({ "provider": unit.name, "connections": word(connections.state()) }),
    );
    let mut moment = board.moment();
    let told = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "simulated": snapshot.fleet.is_simulated(),
        "draining": state.is_draining(),
        "in_flight": state.0.metrics.under_way(),
        "cost_usd": totals.cost,
        "saved_by_routing_usd": totals.routing,
        "saved_by_cache_usd": totals.cache,
        "targets": rows,
        "targets_left_out": left_out,
        "providers": providers.collect::<Vec<_>>(),
        "degraded": state.0.vault.degraded(),
        "budgets": budgets.collect::<Vec<_>>(),
        "has_baseline": snapshot.baseline.is_some(),
        "has_cache": snapshot.config.cache.enabled,
    });
    if let (Value::Object(moment), Value::Object(told)) = (&mut moment, told) {
        moment.extend(told);
    }
    moment
}

fn light(Vitals { patient, standing, .. }: &Vitals) -> Light {
    match (standing.state, patient.connections.state()) {
        (health::State::Out, _) => Light::Out,
        (health::State::Open { .. }, _) | (_, health::State::Open { .. }) => Light::Open,
        (health::State::HalfOpen, _) | (_, health::State::HalfOpen) => Light::HalfOpen,
        _ if standing.limited_until.is_some_and(|until| until > Instant::now()) => Light::Limited,
        _ => Light::On,
    }
}
