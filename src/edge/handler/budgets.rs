//! `/admin/budgets`: where every budget stands.

use axum::{
    extract,
    http::{Uri, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::{
    base::calendar,
    budget::{AccountReport, Cursor, Unit},
    config::Enforce,
    edge::{error, parameters::Parameters, state::State},
    pipeline::Refusal,
};

/// How many limits a page shows where nobody says, and at most.
const LIMIT: usize = 1000;

/// `GET /admin/budgets`: every limit of every budget, quotas of keys included, page by page.
pub async fn list(extract::State(state): extract::State<State>, uri: Uri) -> Response {
    let (from, limit) = match question(&uri) {
        Ok(question) => question,
        Err(refusal) => return error::refused(&state, &refusal),
    };
    let till = &state.0.till;
    let bound = &state.snapshot().bound;
    let (accounts, next) = till.accounts.page(bound, from, limit, till.clock.seconds());
    let data: Vec<Value> = accounts.iter().map(row).collect();
    let body = json!({ "data": data, "next": next.map(|next| next.to_string()) });
    ([(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

fn question(uri: &Uri) -> Result<(Cursor, usize), Box<Refusal>> {
    let parameters = Parameters::read(uri, &["limit", "cursor"])?;
    let limit = |text: &str| match text.parse() {
        Ok(limit @ 1..=LIMIT) => Ok(limit),
        _ => Err(format!("it must be a whole number from 1 to {LIMIT}")),
    };
    let cursor = |text: &str| text.parse().map_err(str::to_owned);
    Ok((
        parameters.parsed("cursor", cursor)?.unwrap_or_default(),
        parameters.parsed("limit", limit)?.unwrap_or(LIMIT),
    ))
}

/// A limit as operators see it.
pub fn row(account: &AccountReport) -> Value {
    let time = |seconds: i64| calendar::rfc3339(seconds.saturating_mul(1000));
    let mut row = json!({
        "budget": account.budget,
        "scope": account.scope,
        "holder": account.holder,
        "window": account.period.as_str(),
        "enforce": match account.enforce {
            Enforce::Hard => "hard",
            Enforce::Soft => "soft",
        },
        "began_at": (account.start > 0).then(|| time(account.start)),
        "resets_at": account.resets_at.map(time),
        "overruns": account.overruns,
    });
    let figures = [
        ("limit", account.limit),
        ("spent", account.spent),
        ("held", account.held),
        ("remaining", account.remaining),
    ];
    for (name, amount) in figures {
        match account.unit {
            Unit::Money => row[format!("{name}_usd")] = json!(amount),
            Unit::Requests => row[format!("{name}_requests")] = json!(amount.0),
        }
    }
    row
}
