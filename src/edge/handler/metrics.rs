//! `/metrics`, for Prometheus.

use axum::{extract, http::header, response::IntoResponse};
use tokio::time::Instant;

use crate::edge::state::State;

/// The metrics page.
pub async fn page(extract::State(state): extract::State<State>) -> impl IntoResponse {
    let snapshot = state.snapshot();
    snapshot.fleet.show_health();
    snapshot.fleet.show(&state.0.metrics, Instant::now());
    let page = state.0.till.show(&snapshot.bound, || state.0.metrics.page());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], page)
}
