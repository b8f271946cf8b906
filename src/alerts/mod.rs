//! Tells a webhook what happened.

mod spacing;

use std::{pin::Pin, time::Duration};

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

use spacing::{Due, Offered, Spacing};

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

/// How the sending of an alert ended.
#[derive(Debug)]
enum End {
    Taken,
    /// The address wants no such thing: another try would be for nothing.
    Refused(String),
    Failed(String),
}

/// Sends each alert to the address that `settings` give at that moment, until no more can come.
pub async fn tell(news: mpsc::Receiver<Told>, metrics: AlertMetrics, settings: impl Fn() -> Settings + Send) {
    deliver(news, metrics, settings, send).await;
}

/// Hands one alert after the other to `send`, with the address and the pauses between tries. News are taken in meanwhile.
async fn deliver<F: Future<Output = End> + Send>(
    mut news: mpsc::Receiver<Told>,
    metrics: AlertMetrics,
    settings: impl Fn() -> Settings + Send,
    send: impl Fn(Secret, Due, &'static [Duration]) -> F + Send,
) {
    let mut spacing = Spacing::default();
    let mut posting: Option<Pin<Box<F>>> = None;
    // The address and the kind of the alert that is on its way.
    let mut sent = None;
    let mut failing: Option<Secret> = None;
    loop {
        let Settings { webhook, min_interval } = settings();
        if posting.is_none()
            && let Some(due) = spacing.due(Instant::now(), min_interval)
            // Without a webhook nothing is kept for one that comes later.
            && let Some(webhook) = webhook
        {
            // While the address takes nothing, each alert gets one try: the others wait behind it.
            let pauses: &[Duration] = if failing.as_ref() == Some(&webhook) { &[] } else { &PAUSES };
            sent = Some((webhook.clone(), due.told.event.name()));
            posting = Some(Box::pin(send(webhook, due, pauses)));
        }
        let next = spacing.next(min_interval).filter(|_| posting.is_none());
        let ended = tokio::select! {
            told = news.recv() => match told {
                Some(told) => {
                    if settings().webhook.is_some() {
                        take(&mut spacing, told, min_interval, &metrics);
                    }
                    continue;
                }
                None => match &mut posting {
                    Some(posting) => posting.await,
                    None => return,
                },
            },
            end = ready(posting.as_mut()) => end,
            () = ready(next.map(sleep_until)) => continue,
        };
        posting = None;
        if let Some((webhook, event)) = sent.take() {
            match &ended {
                End::Taken => failing = None,
                End::Failed(_) => failing = Some(webhook),
                End::Refused(_) => {}
            }
            count(event, ended, &metrics);
        }
    }
}

/// Waits for a future that is there; else for ever.
async fn ready<F: Future>(future: Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

fn take(spacing: &mut Spacing, told: Told, interval: Duration, metrics: &AlertMetrics) {
    match spacing.offer(told, Instant::now(), interval) {
        Offered::Waits => {}
        Offered::Replaces(before) => metrics.coalesced(before.event.name()),
        Offered::NoRoom(told) => {
            let event = told.event.name();
            metrics.dropped(event);
            tracing::warn!(event, "too many alerts wait for the webhook: this one is only in the log");
        }
    }
}

fn count(event: &str, end: End, metrics: &AlertMetrics) {
    match end {
        End::Taken => metrics.sent(event),
        End::Refused(why) | End::Failed(why) => {
            metrics.failed(event);
            tracing::error!(event, "the webhook (alerts.webhook) did not take an alert: {why}");
        }
    }
}

async fn send(address: Secret, due: Due, pauses: &'static [Duration]) -> End {
    let body = body(&due);
    let client = match egress::operators() {
        Ok(client) => client,
        Err(why) => return End::Failed(why),
    };
    let mut pauses = pauses.iter();
    loop {
        let why = match client.post(address.expose()).json(&body).send().await {
            Ok(answer) if answer.status().is_success() => return End::Taken,
            Ok(answer) => {
                let why = format!("it answered {}", answer.status());
                if refuses(answer.status().as_u16()) {
                    return End::Refused(why);
                }
                why
            }
            // The address may hold a secret.
            Err(error) => error.without_url().to_string(),
        };
        match pauses.next() {
            Some(pause) => sleep(*pause).await,
            None => return End::Failed(why),
        }
    }
}

/// Whether the same would be refused again.
fn refuses(status: u16) -> bool {
    matches!(status, 400..=499) && !matches!(status, 408 | 429)
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
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::{
        base::clock::Clock,
        metrics::Metrics,
        news::{Bell, Event},
    };

    fn breaker(model: String, open: bool) -> Event {
        Event::Breaker { model: model.into(), provider: "p".into(), open, cause: String::new() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_webhook_that_hangs_learns_at_last_how_things_are() {
        let metrics = Metrics::new().unwrap();
        let (bell, news) = Bell::new(&metrics, Clock::of(|| 7));
        let told = Arc::new(Mutex::new(Vec::new()));
        let start = Instant::now();
        // It is down for ten minutes, which takes 10 s a try to find out.
        let send = |_: Secret, due: Due, pauses: &'static [Duration]| {
            let told = Arc::clone(&told);
            async move {
                sleep(Duration::from_secs(10)).await;
                let up = start.elapsed() > Duration::from_secs(600);
                told.lock().unwrap().push((
                    due.told.event.subject(),
                    due.told.event.name(),
                    pauses.len(),
                    up,
                ));
                if up { End::Taken } else { End::Failed(String::new()) }
            }
        };
        let settings =
            || Settings { webhook: Some(Secret::new("http://hook")), min_interval: Duration::ZERO };
        let ringing = async {
            for round in 0..601 {
                for model in 0..3 {
                    bell.ring(breaker(format!("m{model}"), round % 2 == 0 && round < 600));
                }
                sleep(Duration::from_secs(1)).await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = deliver(news, metrics.alerts().clone(), settings, send) => {}
            () = ringing => {}
            () = sleep(Duration::from_secs(700)) => {}
        }
        let told = told.lock().unwrap();
        let (first, others) = told.split_first().unwrap();
        assert_eq!((first.2, first.3), (PAUSES.len(), false));
        assert!(others.iter().filter(|told| !told.3).all(|told| told.2 == 0), "one try each: {told:?}");
        for model in 0..3 {
            let subject = format!("breaker\nm{model}");
            let last = told.iter().rfind(|told| told.0 == subject).unwrap();
            assert_eq!((last.1, last.3), ("breaker_close", true), "{told:?}");
        }
        let page = String::from_utf8(metrics.page()).unwrap();
        assert!(!page.contains("result=\"dropped\""), "{page}");
    }

    #[test]
    fn what_is_refused_is_not_tried_again() {
        let refused = [400, 404, 410].map(refuses);
        assert_eq!((refused, [200, 302, 408, 429, 500].map(refuses)), ([true; 3], [false; 5]));
    }

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
