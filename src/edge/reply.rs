//! Makes HTTP answers of the pipeline's.

use std::{
    convert::Infallible,
    future::Future as _,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    body::{Body, HttpBody},
    http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header},
};
use bytes::Bytes;
use futures_util::Stream;
use http_body::Frame;
use http_body_util::Full;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::{
    base::decimal::Decimal,
    limit::bucket::{Taken, Wait},
    pipeline::{Answer, AnswerStream, Content, Facts, Money, StandIn},
};

use super::{names, ping::Pinged, record::Record};

/// How many headers an answer usually has, the library's own included.
const USUAL_HEADERS: usize = 24;

/// An answer that is there `now` as HTTP; `record` lives until its last byte. A stream that is quiet for `ping` gets a comment; one that
/// runs when `over` comes ends with an error.
pub fn answer(
    Answer { facts, content }: Answer,
    now: Instant,
    ping: Duration,
    over: &CancellationToken,
    mut record: Record,
) -> Response<Body> {
    // As many as there usually are: a map that grows sorts everything anew.
    let mut headers = HeaderMap::with_capacity(USUAL_HEADERS);
    fact_headers(&mut headers, &facts);
    headers.insert(names::CACHE, HeaderValue::from_static(facts.cache.word));
    if let Some(age) = facts.cache.age {
        headers.insert(header::AGE, age.as_secs().into());
    }
    let overhead = record.answered(now, StatusCode::OK.as_u16(), Some(facts));
    overhead_header(&mut headers, overhead);
    let body = match content {
        Content::Whole(bytes) => {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            Body::new(Recorded { body: Full::new(bytes), _record: record })
        }
        Content::Stream(stream) => {
            headers
                .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            headers.insert(names::ACCEL_BUFFERING, HeaderValue::from_static("no"));
            let over = Box::pin(over.clone().cancelled_owned());
            record.cut(stream.cut());
            Body::new(Frames { stream: Pinged::new(stream, ping), over, told: false, record })
        }
    };
    let mut response = Response::new(body);
    *response.headers_mut() = headers;
    response
}

/// The headers that say how an answer, or a refusal, came about.
pub fn fact_headers(headers: &mut HeaderMap, facts: &Facts) {
    let mut put = |header: HeaderName, value: &str| {
        // Names in a configuration may hold what no header may; such a header is left out.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(header, value);
        }
    };
    if !facts.route.is_empty() {
        put(names::ROUTE, &facts.route);
    }
    if let Some(target) = &facts.target {
        put(names::MODEL, &target.name);
        put(names::PROVIDER, &target.provider);
    }
    for (header, text) in [(names::TIER, &facts.verdict.tier), (names::TASK, &facts.verdict.task)] {
        if let Some(text) = text {
            put(header, text);
        }
    }
    if !facts.skipped.is_empty() {
        let skipped = facts.skipped.iter().map(|(target, missing)| format!("{}={missing}", target.name));
        put(names::SKIPPED, &skipped.collect::<Vec<_>>().join(","));
    }
    if !facts.dropped.is_empty() {
        put(names::DROPPED, &facts.dropped.join(","));
    }
    let Money { cost, saved, remaining, max_output, downgraded, replayed, .. } = &facts.money;
    for (header, amount) in [
        (names::COST, cost),
        (names::SAVED, saved),
        (names::DAILY_REMAINING, &remaining.daily),
        (names::MONTHLY_REMAINING, &remaining.monthly),
    ] {
        if let Some(amount) = amount {
            put(header, amount.text().as_str());
        }
    }
    if let Some(complexity) = facts.verdict.complexity {
        headers.insert(names::COMPLEXITY, number(Decimal::whole(complexity.into())));
    }
    headers.insert(names::ATTEMPTS, few(facts.attempts));
    headers.insert(names::FALLBACKS, few(facts.fallbacks));
    if let Some(max_output) = max_output {
        headers.insert(names::MAX_OUTPUT, number(Decimal::whole(*max_output)));
    }
    let mut say = |header: HeaderName, word: &'static str| {
        headers.insert(header, HeaderValue::from_static(word));
    };
    if let Some(check) = facts.escalated {
        say(names::ESCALATED, check.as_str());
    }
    let degraded = facts.stand_in.map(StandIn::as_str).or(downgraded.then_some("downgraded"));
    if let Some(degraded) = degraded {
        say(names::DEGRADED, degraded);
    }
    if *replayed {
        say(names::REPLAYED, "true");
    }
}

/// How long Weir itself took, in milliseconds with three decimals.
pub fn overhead_header(headers: &mut HeaderMap, overhead: Duration) {
    let us = overhead.saturating_add(Duration::from_nanos(500)).as_micros();
    let us = u64::try_from(us).unwrap_or(u64::MAX);
    headers.insert(names::OVERHEAD, number(Decimal::exact(us, 3)));
}

fn number(text: Decimal) -> HeaderValue {
    HeaderValue::from_bytes(text.as_bytes()).expect("digits and a point make a header value")
}

/// A number that is nearly always a digit.
fn few(count: usize) -> HeaderValue {
    const DIGITS: [&str; 4] = ["0", "1", "2", "3"];
    match DIGITS.get(count) {
        Some(digit) => HeaderValue::from_static(digit),
        None => number(Decimal::whole(count as u64)),
    }
}

/// What a key's limit of requests says after one more.
#[derive(Clone, Copy, Debug)]
pub struct RateLimit {
    limit: u32,
    remaining: u32,
    reset: Duration,
}

impl RateLimit {
    /// What is left after one more request.
    pub fn taken(taken: &Taken) -> Self {
        Self { limit: taken.limit, remaining: taken.remaining, reset: taken.reset_after }
    }

    /// Nothing is left.
    pub fn spent(wait: &Wait) -> Self {
        Self { limit: wait.limit, remaining: 0, reset: wait.reset_after }
    }
}

/// OpenAI's `x-ratelimit-*` headers of a key; a limit that it does not have is left out.
pub fn rate_headers(headers: &mut HeaderMap, requests: Option<RateLimit>, tokens: Option<RateLimit>) {
    let mut text = String::new();
    for (limit, [most, left, reset]) in [
        (requests, [names::LIMIT_REQUESTS, names::REMAINING_REQUESTS, names::RESET_REQUESTS]),
        (tokens, [names::LIMIT_TOKENS, names::REMAINING_TOKENS, names::RESET_TOKENS]),
    ] {
        let Some(limit) = limit else { continue };
        headers.insert(most, number(Decimal::whole(limit.limit.into())));
        headers.insert(left, number(Decimal::whole(limit.remaining.into())));
        text.clear();
        go_duration(&mut text, limit.reset);
        headers.insert(reset, HeaderValue::from_str(&text).expect("digits and letters make a header value"));
    }
}

/// Writes a duration as OpenAI does, which is Go's way: `17ms`, `8.64s`, `6m0s`; rounded up to a millisecond.
fn go_duration(text: &mut String, duration: Duration) {
    let ms = duration.as_secs().saturating_mul(1000) + u64::from(duration.subsec_nanos().div_ceil(1_000_000));
    let mut put = |number: Decimal, unit| {
        text.push_str(number.as_str());
        text.push_str(unit);
    };
    if ms < 1000 {
        return put(Decimal::whole(ms), "ms");
    }
    let (minutes, ms) = (ms / 60_000, ms % 60_000);
    if minutes >= 60 {
        put(Decimal::whole(minutes / 60), "h");
    }
    if minutes > 0 {
        put(Decimal::whole(minutes % 60), "m");
    }
    put(Decimal::short(false, ms, 3), "s");
}

pin_project_lite::pin_project! {
    /// A body with the record that ends with it.
    struct Recorded<B> {
        #[pin]
        body: B,
        _record: Record,
    }
}

impl<B: HttpBody> HttpBody for Recorded<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().body.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

/// The frames of a stream as a body, with the record that ends with it.
struct Frames {
    stream: Pinged<AnswerStream>,
    /// Comes when the gateway can wait no longer.
    over: Pin<Box<WaitForCancellationFutureOwned>>,
    told: bool,
    record: Record,
}

impl HttpBody for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if !self.told && self.over.as_mut().poll(cx).is_ready() {
            self.told = true;
            self.stream.get_mut().stop();
        }
        let frame = ready!(Pin::new(&mut self.stream).poll_next(cx));
        let cut = self.stream.get_ref().cut();
        self.record.cut(cut);
        Poll::Ready(frame.map(|bytes| Ok(Frame::data(bytes))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_openai_does() {
        for (us, text) in [
            (0, "0ms"),
            (1, "1ms"),
            (17_000, "17ms"),
            (999_001, "1s"),
            (8_640_000, "8.64s"),
            (60_000_000, "1m0s"),
            (360_000_000, "6m0s"),
            (61_005_000, "1m1.005s"),
            (3_600_000_000, "1h0m0s"),
        ] {
            let mut written = String::new();
            go_duration(&mut written, Duration::from_micros(us));
            assert_eq!(written, text);
        }
    }
}
