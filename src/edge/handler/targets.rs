//! `/admin/status`, `/admin/targets`: how every target does, taken out or back by hand.

use std::{sync::atomic::Ordering, time::Duration};

use axum::{
    extract::{self, Path},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    edge::{error, state},
    health::{Force, ProviderHealth, State},
    pipeline::{Code, Refusal},
    quality::Mean,
    upstream::{Patient, Unit, Vitals, word},
};

/// `GET /admin/status`: breaker, health score with its parts, times, limits, the last error of every target; beside them
/// every provider's breaker of connections and its last health check, and the routes that live on answers which stand in.
pub async fn status(extract::State(state): extract::State<state::State>) -> Response {
    let snapshot = state.snapshot();
    let now = Instant::now();
    let data: Vec<Value> = snapshot.fleet.vitals(now).iter().map(|vitals| row(vitals, now)).collect();
    let providers = snapshot.fleet.providers().map(|(unit, connections)| provider_row(unit, connections));
    let providers: Vec<Value> = providers.collect();
    let degraded = state.0.vault.degraded();
    let degraded: Vec<&str> = degraded.iter().map(|route| &**route).collect();
    answer(&json!({ "data": data, "next": null, "providers": providers, "degraded": degraded }))
}

/// `POST /admin/targets/{model}/{open|close|reset}`: takes a target out, back, or makes it as if it were new.
pub async fn force(
    extract::State(state): extract::State<state::State>,
    Path(path): Path<String>,
) -> Response {
    let Some((model, action)) = path.rsplit_once('/') else {
        return refuse("Name a model with what to do: /admin/targets/MODEL/open, close or reset.");
    };
    let force = match action {
        "open" => Force::Open,
        "close" => Force::Close,
        "reset" => Force::Reset,
        _ => return refuse("A target can be told `open`, `close` or `reset`."),
    };
    let snapshot = state.snapshot();
    let Some(patient) = snapshot.fleet.patients().find(|patient| *patient.name == *model) else {
        return refuse("There is no such target; GET /admin/status lists them.");
    };
    patient.force(force);
    let now = Instant::now();
    let vitals = snapshot.fleet.vitals(now);
    let told = vitals.iter().find(|vitals| *vitals.patient.name == *model).map(|vitals| row(vitals, now));
    answer(&told.unwrap_or_default())
}

/// A target as operators see it.
pub fn row(Vitals { patient, standing, score }: &Vitals, now: Instant) -> Value {
    let ms = |span: Option<std::time::Duration>| span.map(|span| span.as_millis() as u64);
    let left = |until: Option<Instant>| ms(until.map(|until| until.saturating_duration_since(now)));
    json!({
        "model": patient.name,
        "provider": patient.provider,
        "status": standing.status.as_str(),
        "breaker": word(standing.state),
        "free_in_ms": left(standing.free_at()),
        "rate_limited_ms": left(standing.limited_until),
        "health": { "score": score.h, "success": score.s, "speed": score.t, "room": score.q },
        "in_flight": patient.in_flight.load(Ordering::Relaxed),
        "admitted_share": standing.weight,
        "first_token_ms": { "p50": ms(standing.first_token.p50), "p95": ms(standing.first_token.p95) },
        "answer_ms": { "p50": ms(standing.whole.p50), "p95": ms(standing.whole.p95) },
        // The current minute first.
        "minutes": patient.health.history(now).map(|minute| json!({
            "calls": minute.calls(),
            "ok": minute.ok,
            "failed": minute.failed,
            "rate_limited": minute.limited,
            "mean_ms": ms(minute.mean()),
        })),
        "quality": quality(patient),
        "last_error": standing.last_error.map(|outcome| outcome.as_str()),
    })
}

/// What a target's answers are worth; null before the first one.
fn quality(patient: &Patient) -> Value {
    let mean = |mean: Mean| json!({ "mean": mean.mean, "answers": mean.answers });
    let parts = patient.worth().zip(patient.passed.mean());
    parts.map_or(Value::Null, |(score, passed)| {
        json!({ "score": score, "passed": mean(passed), "grades": patient.grades.mean().map(mean) })
    })
}

fn provider_row(unit: &Unit, connections: &ProviderHealth) -> Value {
    let (now, state) = (Instant::now(), connections.state());
    let until = match state {
        State::Open { until } => Some(until.saturating_duration_since(now)),
        _ => None,
    };
    let ms = |span: Duration| span.as_millis() as u64;
    let check = unit.settings.health_check.as_ref().map(|check| {
        let last = unit.checkup.last().map(|shown| {
            let (age, took) = (ms(now.saturating_duration_since(shown.at)), ms(shown.took));
            json!({ "result": shown.result, "age_ms": age, "took_ms": took })
        });
        json!({ "path": check.path, "every_ms": ms(check.every.0), "last": last })
    });
    json!({
        "provider": unit.name,
        "connections": word(state),
        "free_in_ms": until.map(ms),
        "health_check": check,
    })
}

fn answer(body: &Value) -> Response {
    (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

fn refuse(message: &str) -> Response {
    error::plain(&Refusal::new(Code::NotFound, message))
}
