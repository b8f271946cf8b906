//! Brings spans to a collector, by OTLP over HTTP in JSON.

mod encode;
mod exporter;

use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::{
    base::secret::Secret,
    egress,
    metrics::trace::TraceMetrics,
    trace::{Queued, Spans},
};

pub use encode::Resource;
pub use exporter::{Exporter, start};

/// The most spans that go out at once.
const BATCH: usize = 512;
/// How long a span waits for others to go with it.
const GATHER: Duration = Duration::from_secs(1);
/// The pauses between tries on a collector that does not take spans, though it did before.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];
/// The most that is read of what a collector says.
const MAX_ANSWER: usize = 64 * 1024;
/// How long the last spans may take when the process ends.
pub const FLUSH: Duration = Duration::from_secs(3);

/// Where spans go.
#[derive(Debug)]
pub struct Settings {
    /// The whole address; it may hold a secret.
    pub address: Secret,
    /// Headers of each request.
    pub headers: HeaderMap,
    /// Who sends.
    pub resource: Resource,
}

/// How the sending of a batch ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// It was taken, save for so many.
    Taken(u64),
    /// The collector wants no such thing: another try would be for nothing.
    Refused(String),
    Failed(String),
}

/// The address for traces at a collector's address.
pub fn address(base: &str) -> String {
    const PATH: &str = "/v1/traces";
    let base = base.trim_end_matches('/');
    if base.ends_with(PATH) { base.to_owned() } else { format!("{base}{PATH}") }
}

/// Sends spans as they come, one batch at a time, until `stop`; then those that wait. Whoever stops it waits for [`FLUSH`]
/// at most.
pub async fn run(mut spans: Spans, settings: Settings, metrics: TraceMetrics, stop: CancellationToken) {
    let client = match egress::operators() {
        Ok(client) => client,
        Err(why) => return tracing::error!("no spans can be sent: {why}"),
    };
    let send = async |body: Vec<u8>| {
        let request = client.post(settings.address.expose()).headers(settings.headers.clone()).body(body);
        match request.send().await {
            Ok(mut answer) => {
                let (status, wait) = (answer.status().as_u16(), wait(answer.headers()));
                let mut said = Vec::new();
                // Read to its end, or the connection is lost for the next batch.
                while let Ok(Some(chunk)) = answer.chunk().await {
                    said.extend_from_slice(&chunk);
                    if said.len() > MAX_ANSWER {
                        break;
                    }
                }
                (judge(status, &said), wait)
            }
            // The address may hold a secret.
            Err(error) => (End::Failed(egress::reason(&error.without_url())), None),
        }
    };
    let mut known = Known::default();
    while let Some(batch) = gather(&mut spans, &stop).await {
        let mut pauses = if known.failing { [].iter() } else { PAUSES.iter() };
        let (end, wait) = loop {
            // Anew for each try: what is kept in between is bounded with the spans themselves.
            let (end, wait) = send(encode::export(&settings.resource, &batch)).await;
            let (End::Failed(_), Some(pause)) = (&end, pauses.next()) else { break (end, wait) };
            let pause = wait.unwrap_or_default().max(*pause);
            // At the end of the process nobody waits any more.
            if stop.run_until_cancelled(sleep(pause)).await.is_none() {
                break (end, wait);
            }
        };
        known.count(&metrics, batch.len() as u64, end);
        if known.failing {
            // Under load a batch is full at once: they would follow each other as fast as the collector fails.
            stop.run_until_cancelled(sleep(wait.unwrap_or_default().max(PAUSES[0]))).await;
        }
    }
}

/// The next spans; `None`: no more come.
async fn gather(spans: &mut Spans, stop: &CancellationToken) -> Option<Vec<Queued>> {
    let first = match stop.run_until_cancelled(spans.next()).await {
        Some(first) => first?,
        None => spans.ready()?,
    };
    let by = Instant::now() + GATHER;
    let mut batch = vec![first];
    while batch.len() < BATCH {
        let next = match stop.run_until_cancelled(timeout_at(by, spans.next())).await {
            Some(next) => next.ok().flatten(),
            None => spans.ready(),
        };
        match next {
            Some(span) => batch.push(span),
            None => break,
        }
    }
    Some(batch)
}

/// What is known of a collector. The log hears of it when it changes.
#[derive(Debug, Default)]
struct Known {
    /// Whether it took nothing the last time.
    failing: bool,
    /// Why it refused spans the last time that it did.
    refusal: String,
}

impl Known {
    /// Counts what became of a batch.
    fn count(&mut self, metrics: &TraceMetrics, spans: u64, end: End) {
        match end {
            End::Taken(refused) => {
                let refused = refused.min(spans);
                metrics.sent(spans - refused);
                metrics.refused(refused);
                if std::mem::take(&mut self.failing) {
                    tracing::info!("the collector (telemetry.otlp_endpoint) takes spans again");
                }
            }
            End::Refused(why) => {
                metrics.refused(spans);
                if self.refusal != why {
                    tracing::warn!(spans, "the collector (telemetry.otlp_endpoint) refused spans: {why}");
                    self.refusal = why;
                }
            }
            End::Failed(why) => {
                metrics.failed(spans);
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(
                        "the collector (telemetry.otlp_endpoint) takes no spans, they are lost: {why}"
                    );
                }
            }
        }
    }
}

/// What an answer means. By OTLP these statuses are worth another try, and no others.
fn judge(status: u16, said: &[u8]) -> End {
    match status {
        200..=299 => End::Taken(not_taken(said)),
        429 | 502..=504 => End::Failed(format!("it answered {status}")),
        // Not by OTLP, but a proxy in front of it may not know that.
        500 => End::Failed(format!("it answered {status}")),
        _ => End::Refused(format!("it answered {status}")),
    }
}

/// How many spans of a batch a collector says that it did not want.
fn not_taken(said: &[u8]) -> u64 {
    let said: Value = serde_json::from_slice(said).unwrap_or_default();
    let refused = &said["partialSuccess"]["rejectedSpans"];
    // A 64-bit number: as text by the standard, as a number by many.
    refused.as_u64().or_else(|| refused.as_str()?.parse().ok()).unwrap_or(0)
}

/// How long a collector asks to be left alone, half a minute at most.
fn wait(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.min(30)))
}

/// Headers of requests to a collector.
///
/// # Errors
/// The name of one that cannot be sent.
pub fn headers(extra: impl IntoIterator<Item = (String, Secret)>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in extra {
        let parsed = http::HeaderName::try_from(&name).map_err(|_| name.clone())?;
        let mut value = HeaderValue::from_str(value.expose()).map_err(|_| name)?;
        value.set_sensitive(true);
        headers.insert(parsed, value);
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_added_where_it_lacks() {
        for base in ["http://c:4318", "http://c:4318/", "http://c:4318/v1/traces", "http://c:4318/v1/traces/"]
        {
            assert_eq!(address(base), "http://c:4318/v1/traces");
        }
        assert_eq!(address("https://c/otlp"), "https://c/otlp/v1/traces");
    }

    #[test]
    fn an_answer_decides_whether_to_try_again() {
        assert_eq!(judge(200, b"{}"), End::Taken(0));
        assert_eq!(judge(202, b""), End::Taken(0));
        assert_eq!(judge(200, br#"{"partialSuccess":{"rejectedSpans":"3"}}"#), End::Taken(3));
        assert_eq!(
            judge(200, br#"{"partialSuccess":{"rejectedSpans":3,"errorMessage":"no"}}"#),
            End::Taken(3)
        );
        for status in [429, 500, 502, 503, 504] {
            assert!(matches!(judge(status, b""), End::Failed(_)), "{status}");
        }
        for status in [301, 400, 401, 404, 413] {
            assert!(matches!(judge(status, b""), End::Refused(_)), "{status}");
        }
    }

    #[test]
    fn headers_hide_what_they_hold() {
        let named = |name: &str, value: &str| headers([(name.to_owned(), Secret::new(value))]);
        let kept = named("x-api-key", "canary").unwrap();
        assert_eq!(kept["x-api-key"], "canary");
        assert!(!format!("{kept:?}").contains("canary"));
        assert_eq!(named("bad name", "x").unwrap_err(), "bad name");
        assert_eq!(named("x-a", "line\nbreak").unwrap_err(), "x-a");
    }
}
