//! `/admin`: what operators do while the gateway runs.

use axum::{
    extract,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::edge::state::State;

/// `POST /admin/reload`: reads the configuration again; a bad one changes nothing.
pub async fn reload(extract::State(state): extract::State<State>) -> Response {
    let reload = state.0.reload.clone();
    // Reading files blocks.
    let result = tokio::task::spawn_blocking(move || reload()).await;
    let (status, body) = match result {
        Ok(Ok(())) => (StatusCode::OK, serde_json::json!({ "reloaded": true })),
        Ok(Err(faults)) => {
            (StatusCode::UNPROCESSABLE_ENTITY, serde_json::json!({ "reloaded": false, "faults": faults }))
        }
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, serde_json::json!({ "reloaded": false })),
    };
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
