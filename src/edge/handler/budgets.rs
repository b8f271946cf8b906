//! `/admin/budgets`: where every budget stands.

use axum::{
    extract,
    http::header,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::{
    base::calendar,
    budget::{AccountReport, Unit},
    config::Enforce,
    edge::state::State,
};

/// `GET /admin/budgets`: every limit of every budget, quotas of keys included.
pub async fn list(extract::State(state): extract::State<State>) -> Response {
    let till = &state.0.till;
    let accounts = till.accounts.list(&state.snapshot().bound, till.clock.seconds());
    let data: Vec<Value> = accounts.iter().map(row).collect();
    let body = json!({ "data": data, "next": null });
    ([(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

fn row(account: &AccountReport) -> Value {
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
