//! How long a provider asks to be left alone.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::quota;
use crate::openai::ErrorBody;

/// No hint is believed beyond this.
const MAX_DELAY: Duration = Duration::from_secs(24 * 3600);

/// The delay that `retry-after-ms`, `retry-after`, Gemini's `RetryInfo` or, on a 429, the headers of the provider's
/// limits ask for. Dates are counted from the answer's own `date`, as its clock may differ from ours; from `now` where
/// it has none. Of those that are there the longest counts: Azure sends `retry-after: 1` with `retry-after-ms: 0`.
/// `error` tells which limit was hit.
pub fn retry_after(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    error: &ErrorBody,
    now: SystemTime,
) -> Option<Duration> {
    let now = quota::served_at(headers, now);
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let millis = text("retry-after-ms").and_then(|ms| seconds(ms, 1000.0));
    let hint = text("retry-after").and_then(|after| seconds(after, 1.0).or_else(|| date(after, now)));
    let in_body = || {
        if has_retry_info(body) { retry_info(body) } else { None }
    };
    let explicit = millis.max(hint).max(in_body());
    if explicit.is_none() && status == StatusCode::TOO_MANY_REQUESTS {
        let reset = reset(&text, error, now).or_else(|| quota::read(headers, now).spent_for);
        return reset.map(|delay| delay.min(MAX_DELAY));
    }
    explicit.map(|delay| delay.min(MAX_DELAY))
}

/// When the limit that was hit is full again: the one that the error names, else the ones that are used up,
/// else the one that is reset first.
fn reset<'a>(
    text: &impl Fn(&str) -> Option<&'a str>,
    error: &ErrorBody,
    now: SystemTime,
) -> Option<Duration> {
    let after = |name| text(name).and_then(|reset| quota::reset_after(reset, now));
    let requests = after("x-ratelimit-reset-requests");
    let tokens = after("x-ratelimit-reset-tokens");
    match error.kind.as_deref() {
        Some("requests") if requests.is_some() => return requests,
        Some("tokens") if tokens.is_some() => return tokens,
        _ => {}
    }
    let spent = |name: &str| text(name) == Some("0");
    let requests_spent = requests.filter(|_| spent("x-ratelimit-remaining-requests"));
    let tokens_spent = tokens.filter(|_| spent("x-ratelimit-remaining-tokens"));
    requests_spent.max(tokens_spent).or_else(|| [requests, tokens].into_iter().flatten().min())
}

/// A number of seconds, or of parts of a second.
fn seconds(text: &str, per_second: f64) -> Option<Duration> {
    let number: f64 = text.parse().ok()?;
    (number >= 0.0).then(|| Duration::try_from_secs_f64(number / per_second).unwrap_or(MAX_DELAY))
}

/// An HTTP date; one that is over asks for no delay.
fn date(text: &str, now: SystemTime) -> Option<Duration> {
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// Spares most bodies from being read a second time.
fn has_retry_info(body: &[u8]) -> bool {
    body.len() <= 64 * 1024 && body.windows(10).any(|window| window == b"retryDelay")
}

/// Google's `{"error": {"details": [{"@type": ".../RetryInfo", "retryDelay": "34.4s"}]}}`, which its OpenAI format
/// wraps in a list.
fn retry_info(body: &[u8]) -> Option<Duration> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let value = value.get(0).unwrap_or(&value);
    let details = value["error"]["details"].as_array()?;
    let delay = details.iter().find_map(|detail| detail["retryDelay"].as_str())?;
    seconds(delay.strip_suffix('s')?, 1.0)
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn delay(
        status: u16,
        headers: &[(&'static str, &'static str)],
        body: &str,
        kind: &'static str,
    ) -> Option<u128> {
        let map = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        let error = ErrorBody { kind: Some(kind.into()), ..ErrorBody::default() };
        let now = httpdate::parse_http_date("Wed, 19 Aug 2026 14:38:35 GMT").unwrap();
        let status = StatusCode::from_u16(status).unwrap();
        retry_after(status, &map, body.as_bytes(), &error, now).map(|delay| delay.as_millis())
    }

    #[test]
    fn reads_every_form_of_delay() {
        let cases = [
            (&[][..], None),
            (&[("retry-after", "7")], Some(7000)),
            (&[("retry-after", " 0.5 ")], Some(500)),
            (&[("retry-after-ms", "1480")], Some(1480)),
            (&[("retry-after", "1"), ("retry-after-ms", "0")], Some(1000)),
            (&[("retry-after", "2"), ("retry-after-ms", "1480")], Some(2000)),
            (&[("retry-after", "Wed, 19 Aug 2026 14:38:42 GMT")], Some(7000)),
            (&[("retry-after", "Wed, 19 Aug 2020 14:38:42 GMT")], Some(0)),
            (
                &[
                    ("retry-after", "Wed, 19 Aug 2026 14:38:42 GMT"),
                    ("date", "Wed, 19 Aug 2026 14:38:40 GMT"),
                ],
                Some(2000),
            ),
            (&[("retry-after", "-3")], None),
            (&[("retry-after", "NaN")], None),
            (&[("retry-after", "soon")], None),
            (&[("retry-after", "1e300")], Some(86_400_000)),
            (&[("retry-after", "inf")], Some(86_400_000)),
            (&[("retry-after", "99999999")], Some(86_400_000)),
        ];
        for (headers, expected) in cases {
            assert_eq!(delay(503, headers, "", ""), expected, "{headers:?}");
        }
    }

    #[test]
    fn reset_headers_count_only_on_a_429_without_a_delay() {
        let both = [("x-ratelimit-reset-requests", "20m52.666s"), ("x-ratelimit-reset-tokens", "9ms")];
        assert_eq!(delay(503, &both, "", ""), None);
        assert_eq!(delay(429, &both, "", ""), Some(9));
        assert_eq!(delay(429, &both, "", "requests"), Some(1_252_666));
        assert_eq!(delay(429, &both, "", "tokens"), Some(9));
        let spent = [both[0], both[1], ("x-ratelimit-remaining-requests", "0")];
        assert_eq!(delay(429, &spent, "", ""), Some(1_252_666));
        let anthropic = [
            ("anthropic-ratelimit-requests-remaining", "0"),
            ("anthropic-ratelimit-requests-reset", "2026-08-19T14:38:44Z"),
        ];
        assert_eq!(delay(429, &anthropic, "", ""), Some(9000));
        let hinted = [both[0], ("retry-after", "3")];
        assert_eq!(delay(429, &hinted, "", "requests"), Some(3000));
    }

    #[test]
    fn reads_retry_info() {
        let body = r#"{"error":{"code":429,"details":[{"@type":"x"},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"34.4s"}]}}"#;
        assert_eq!(delay(429, &[], body, ""), Some(34_400));
        assert_eq!(delay(429, &[], &format!("[{body}]"), ""), Some(34_400));
        assert_eq!(delay(429, &[], r#"{"error":{"details":[{"retryDelay":"x"}]}}"#, ""), None);
    }
}
