//! `/metrics`, for Prometheus.

use axum::{extract, http::header, response::IntoResponse};
use tokio::time::Instant;

use crate::{edge::state::State, upstream::targets_up};

/// The metrics page.
pub async fn page(extract::State(state): extract::State<State>) -> impl IntoResponse {
    let (snapshot, metrics) = (state.snapshot(), &state.0.metrics);
    // One page at a time: what is forgotten for one does not lack on another.
    let page = state.0.till.show(&snapshot.bound, || {
        metrics.forget();
        snapshot.fleet.show(metrics, Instant::now());
        for (route, up) in targets_up(&snapshot.book, &snapshot.fleet) {
            metrics.health().targets_up(&route, up);
        }
        metrics.page()
    });
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], page)
}
