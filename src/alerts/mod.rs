//! Tells a webhook what happened.

mod spacing;

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    base::{calendar, secret::Secret},
    egress,
    metrics::alerts::AlertMetrics,
    news::Told,
};

use spacing::{Due, Spacing};

/// The pauses between tries on a webhook that does not take an alert.
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(30)];

/// Where alerts go at a moment.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The address; `None`: nobody is told.
    pub webhook: Option<Secret>,
    /// The least time between two alerts about the same.
    pub min_interval: Duration,
}

/// Sends each alert to the address that `settings` give at that moment, until no more can come.
pub async fn tell(
    mut news: mpsc::Receiver<Told>,
    metrics: AlertMetrics,
    settings: impl Fn() -> Settings + Send,
) {
    let mut spacing = Spacing::default();
    loop {
        let interval = settings().min_interval;
        let next = spacing.next(interval);
        let waits = async {
            match next {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let due = tokio::select! {
            told = news.recv() => {
                let Some(told) = told else { return };
                let now = settings();
                // Without a webhook nothing is kept for one that comes later.
                if now.webhook.is_none() {
                    continue;
                }
                let (due, replaced) = spacing.offer(told, Instant::now(), now.min_interval);
                if let Some(replaced) = replaced {
                    metrics.coalesced(replaced.event.name());
                }
                due
            }
            () = waits => spacing.due(Instant::now(), interval),
        };
        if let (Some(due), Some(webhook)) = (due, settings().webhook) {
            post(&webhook, &due, &metrics).await;
        }
    }
}

async fn post(webhook: &Secret, due: &Due, metrics: &AlertMetrics) {
    let event = due.told.event.name();
    match send(webhook, &body(due)).await {
        Ok(()) => metrics.sent(event),
        Err(why) => {
            metrics.failed(event);
            tracing::error!(event, "the webhook (alerts.webhook) did not take an alert: {why}");
        }
    }
}

async fn send(address: &Secret, body: &Value) -> Result<(), String> {
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

/// What is sent: the fields of the event, and `text`, which is all that Slack reads.
fn body(due: &Due) -> Value {
    let Due { told: Told { event, at }, unsaid } = due;
    let mut text = format!("Weir: {}", event.text());
    let mut body = event.fields();
    if *unsaid > 0 {
        body["unsaid"] = json!(unsaid);
        text.push_str(&format!(" It changed {unsaid} times more since the last alert."));
    }
    body["event"] = json!(event.name());
    body["time"] = json!(calendar::rfc3339(*at));
    body["text"] = json!(escaped(&text));
    body
}

/// Slack reads `<...>` as a link, or as a call to everybody: names must not make one.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::news::Event;

    #[test]
    fn the_body_has_fields_for_programs_and_a_text_for_people() {
        let event = Event::Breaker {
            model: "<!channel>".into(),
            provider: "p".into(),
            open: true,
            cause: "2 of 10 tries succeeded".into(),
        };
        let mut due = Due { told: Told { event, at: 0 }, unsaid: 0 };
        let text = "Weir: Model &lt;!channel&gt; at p is left alone: 2 of 10 tries succeeded.";
        let mut expected = json!({
            "event": "breaker_open", "time": "1970-01-01T00:00:00Z", "model": "<!channel>", "provider": "p",
            "cause": "2 of 10 tries succeeded", "text": text,
        });
        let told = body(&due);
        expected["time"] = told["time"].clone();
        assert_eq!(told, expected);
        assert!(told["time"].as_str().unwrap().starts_with("1970-01-01T00:00:00"));
        due.unsaid = 3;
        assert_eq!(body(&due)["unsaid"], 3);
        assert!(
            body(&due)["text"].as_str().unwrap().ends_with("It changed 3 times more since the last alert.")
        );
    }
}
