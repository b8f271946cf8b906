//! Makes HTTP answers of the pipeline's.

use std::{
    convert::Infallible,
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

use crate::{
    limit::bucket::{Taken, Wait},
    pipeline::{Answer, AnswerStream, Content, Facts},
};

use super::record::Record;

/// An answer as HTTP; `record` lives until its last byte.
pub fn answer(Answer { facts, content }: Answer, mut record: Record) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    fact_headers(headers, &facts);
    headers.insert(name("x-weir-cache"), HeaderValue::from_static("bypass"));
    let overhead = record.answered(StatusCode::OK.as_u16(), Some(facts));
    overhead_header(headers, overhead);
    match content {
        Content::Whole(bytes) => {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *response.body_mut() = Body::new(Recorded { body: Full::new(bytes), _record: record });
        }
        Content::Stream(stream) => {
            headers
                .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            headers.insert(name("x-accel-buffering"), HeaderValue::from_static("no"));
            *response.body_mut() = Body::new(Recorded { body: Frames(stream), _record: record });
        }
    }
    response
}

/// The headers that say how an answer, or a refusal, came about.
pub fn fact_headers(headers: &mut HeaderMap, facts: &Facts) {
    let mut put = |header: &'static str, value: &str| {
        // Names in a configuration may hold what no header may; such a header is left out.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name(header), value);
        }
    };
    put("x-weir-route", &facts.route);
    if let Some(target) = &facts.target {
        put("x-weir-model", &target.name);
        put("x-weir-provider", &target.provider);
    }
    put("x-weir-attempts", &facts.attempts.to_string());
    put("x-weir-fallbacks", &facts.fallbacks.to_string());
    if !facts.skipped.is_empty() {
        let skipped = facts.skipped.iter().map(|(target, missing)| format!("{}={missing}", target.name));
        put("x-weir-skipped", &skipped.collect::<Vec<_>>().join(","));
    }
    if !facts.dropped.is_empty() {
        put("x-weir-dropped", &facts.dropped.join(","));
    }
}

/// How long Weir itself took, in milliseconds with three decimals.
pub fn overhead_header(headers: &mut HeaderMap, overhead: Duration) {
    let text = format!("{:.3}", overhead.as_secs_f64() * 1000.0);
    let value = HeaderValue::from_str(&text).expect("digits and a point make a header value");
    headers.insert(name("x-weir-overhead-ms"), value);
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

/// OpenAI's `x-ratelimit-*-requests` headers; the reset is a Go duration in milliseconds, as theirs.
pub fn rate_headers(headers: &mut HeaderMap, limit: Option<RateLimit>) {
    let Some(limit) = limit else { return };
    headers.insert(name("x-ratelimit-limit-requests"), limit.limit.into());
    headers.insert(name("x-ratelimit-remaining-requests"), limit.remaining.into());
    let reset = format!("{}ms", limit.reset.as_millis());
    let value = HeaderValue::from_str(&reset).expect("digits and letters make a header value");
    headers.insert(name("x-ratelimit-reset-requests"), value);
}

fn name(text: &'static str) -> HeaderName {
    HeaderName::from_static(text)
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

/// The frames of a stream as a body.
struct Frames(AnswerStream);

impl HttpBody for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = ready!(Pin::new(&mut self.0).poll_next(cx));
        Poll::Ready(frame.map(|bytes| Ok(Frame::data(bytes))))
    }
}
