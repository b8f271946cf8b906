//! Tells a webhook what happened to budgets.

use std::time::Duration;

use serde_json::json;
use tokio::{sync::mpsc, time::sleep};

use crate::{
    base::{calendar, clock::Clock, secret::Secret},
    budget::Crossed,
    egress,
};

/// How many alerts may wait for the webhook.
pub const ROOM: usize = 256;

/// The pauses between tries on a webhook that does not take an alert.
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(30)];

/// Sends each alert to the address that `webhook` gives at that moment, until no more can come.
pub async fn tell(
    mut alerts: mpsc::Receiver<Crossed>,
    clock: Clock,
    webhook: impl Fn() -> Option<Secret> + Send,
) {
    while let Some(crossed) = alerts.recv().await {
        let Some(address) = webhook() else { continue };
        if let Err(why) = send(&address, &body(&crossed, clock.millis())).await {
            tracing::error!(budget = %crossed.budget, "the webhook (alerts.webhook) did not take an alert: {why}");
        }
    }
}

async fn send(address: &Secret, body: &serde_json::Value) -> Result<(), String> {
    let client = egress::operators()?;
    let mut pauses = PAUSES.into_iter();
    loop {
        let why = match client.post(address.expose()).json(body).send().await {
            Ok(answer) if answer.status().is_success() => return Ok(()),
            Ok(answer) => format!("it answered {}", answer.status()),
            // The address may hold a secret.
            Err(error) => error.without_url().to_string(),
        };
        match pauses.next() {
            Some(pause) => sleep(pause).await,
            None => return Err(why),
        }
    }
}

fn body(crossed: &Crossed, now: i64) -> serde_json::Value {
    json!({
        "event": "budget_alert",
        "time": calendar::rfc3339(now),
        "budget": crossed.budget,
        "holder": crossed.holder,
        "window": crossed.period.as_str(),
        "fraction": crossed.fraction,
        "spent_usd": crossed.spent,
        "limit_usd": crossed.limit,
    })
}
