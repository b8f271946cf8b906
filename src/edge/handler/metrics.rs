//! `/metrics`, for Prometheus.

use axum::{extract, http::header, response::IntoResponse};

use crate::edge::state::State;

/// The metrics page.
pub async fn page(extract::State(state): extract::State<State>) -> impl IntoResponse {
    let page = state.0.till.show(&state.snapshot().bound, || state.0.metrics.page());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], page)
}
