//! When an error says to come back, in the words of each protocol.

use std::time::{Duration, SystemTime};

use http::{HeaderName, HeaderValue, header};

use super::fault::{Fault, RetryAfter};

/// The headers that say so.
pub(crate) fn headers(fault: &Fault) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = Vec::new();
    match fault.retry_after {
        Some(RetryAfter::Seconds(seconds)) => headers.push((header::RETRY_AFTER, seconds.into())),
        Some(RetryAfter::Date(seconds)) => {
            let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(seconds));
            headers.extend(HeaderValue::from_str(&date).map(|value| (header::RETRY_AFTER, value)));
        }
        None => {}
    }
    if let Some(ms) = fault.retry_after_ms {
        headers.push((HeaderName::from_static("retry-after-ms"), ms.into()));
    }
    headers
}

/// The span that says so, where a protocol has no header for it.
pub(crate) fn span(fault: &Fault) -> Option<Duration> {
    match (fault.retry_after_ms, fault.retry_after) {
        (Some(ms), _) => Some(Duration::from_millis(ms)),
        (None, Some(RetryAfter::Seconds(seconds) | RetryAfter::Date(seconds))) => {
            Some(Duration::from_secs(seconds))
        }
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_as_told() {
        let fault: Fault = "status=429,retry-after-date=60,retry-after-ms=1500".parse().unwrap();
        let headers = headers(&fault);
        assert!(httpdate::parse_http_date(headers[0].1.to_str().unwrap()).unwrap() > SystemTime::now());
        assert_eq!(headers[1].1, "1500");
    }
}
