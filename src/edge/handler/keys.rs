//! `/admin/keys`: keys that are made while the gateway runs.

use axum::{
    body::to_bytes,
    extract::{self, Path, Request},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::{
    config::KeyFault,
    edge::{error, state::State},
    ledger::{self, LedgerError, Minted, Wanted},
    pipeline::{Code, Refusal},
};

/// The most bytes that a wanted key may take.
const MAX_BODY: usize = 256 * 1024;

/// `GET /admin/keys`: every key, with no secret.
pub async fn list(extract::State(state): extract::State<State>) -> Response {
    // Keys that another process made a moment ago are in the list.
    if let Err(error) = state.refresh_keys().await {
        return failed(&error);
    }
    let snapshot = state.snapshot();
    answer(StatusCode::OK, &ledger::listing(&snapshot.config, &snapshot.made))
}

/// `POST /admin/keys`: makes a key; its secret is in this answer and nowhere else.
pub async fn create(extract::State(state): extract::State<State>, request: Request) -> Response {
    let Ok(body) = to_bytes(request.into_body(), MAX_BODY).await else {
        let message = format!("The body is larger than {MAX_BODY} bytes, or broke off.");
        return error::plain(&Refusal::new(Code::RequestTooLarge, message));
    };
    let wanted = match Wanted::parse(&body) {
        Ok(wanted) => wanted,
        Err(fault) => return faulty(&[fault]),
    };
    let snapshot = state.snapshot();
    if snapshot.config.keys.iter().any(|key| key.name == wanted.name) {
        let message = format!("The configuration has a key `{}` already; choose another name.", wanted.name);
        return conflict("name", message);
    }
    let Minted { row, secret } = match wanted.mint(&snapshot.config, state.0.till.clock.millis()) {
        Ok(minted) => minted,
        Err(faults) => return faulty(&faults),
    };
    if let Err(error) = state.0.till.ledger.books().put_key(row.clone()).await {
        return failed(&error);
    }
    tracing::info!(key = %row.name, "a key was made");
    told(state.refresh_keys().await);
    let mut shown = ledger::shown(&row);
    shown["secret"] = secret.expose().into();
    answer(StatusCode::CREATED, &shown)
}

/// `DELETE /admin/keys/{name}`: revokes a key; requests under way go on.
pub async fn revoke(extract::State(state): extract::State<State>, Path(name): Path<String>) -> Response {
    let configured = state.snapshot().config.keys.iter().any(|key| key.name == name);
    match state.0.till.ledger.books().revoke_key(name.clone(), state.0.till.clock.millis()).await {
        Ok(()) => {}
        Err(LedgerError::NoSuchKey(_)) if configured => {
            let message = format!(
                "The key `{name}` stands in the configuration: take it out of the [[keys]] there and reload."
            );
            return conflict("name", message);
        }
        Err(error) => return failed(&error),
    }
    tracing::info!(key = %name, "a key was revoked");
    told(state.refresh_keys().await);
    answer(StatusCode::OK, &json!({ "name": name, "revoked": true }))
}

fn answer(status: StatusCode, body: &Value) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, body.to_string()).into_response()
}

fn faulty(faults: &[KeyFault]) -> Response {
    let message = faults.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let param = faults.first().map(|fault| fault.field.to_string());
    error::plain(&Refusal { param, ..Refusal::new(Code::InvalidRequest, message) })
}

fn conflict(param: &str, message: String) -> Response {
    error::plain(&Refusal { param: Some(param.to_owned()), ..Refusal::new(Code::Conflict, message) })
}

fn failed(error: &LedgerError) -> Response {
    match error {
        LedgerError::KeyExists(_) => conflict("name", format!("{error}.")),
        LedgerError::NoSuchKey(_) => error::plain(&Refusal {
            param: Some("name".into()),
            ..Refusal::new(Code::NotFound, format!("{error}."))
        }),
        _ => {
            tracing::error!("{error}");
            let message = "The ledger cannot be read or written now; the log says why.";
            let wait = std::time::Duration::from_secs(1);
            error::plain(&Refusal::new(Code::LedgerUnavailable, message).after(wait))
        }
    }
}

/// The key is written; that this process does not know it yet is mended within a second.
fn told(refreshed: Result<(), LedgerError>) {
    if let Err(error) = refreshed {
        tracing::warn!("{error}");
    }
}
