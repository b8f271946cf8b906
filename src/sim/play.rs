//! A reply played out: each part at its time, with what the fault does to it.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use tokio::time::{Instant, sleep_until};

use super::{
    body::{SimBody, Step},
    choice::Chosen,
    fault::Ending,
    log::Finished,
    protocol::Protocol,
    reply::{Content, Event, Part, Reply},
    watch::Watch,
};

const HTML: &[u8] =
    b"<html><head><title>Sorry</title></head><body><h1>Something is not right</h1></body></html>\n";

/// Waits for the head's time; the rest follows in the body.
pub(crate) async fn play(
    reply: Reply,
    protocol: Protocol,
    chosen: &Chosen,
    mut watch: Watch,
) -> Response<SimBody> {
    watch.entry.status = Some(reply.status.as_u16());
    watch.entry.prompt_tokens = reply.prompt_tokens;
    let clock = Clock::new(chosen, watch.start());
    let ending = chosen.fault.ending.filter(|_| reply.status == StatusCode::OK);
    let finished = match chosen.fault.ending {
        // These answers come whole, as do those with nothing but odd usage.
        None | Some(Ending::Empty | Ending::Refusal | Ending::BrokenJson) => Finished::Complete,
        Some(_) => Finished::Fault,
    };
    let request_id = watch.entry.request_id.clone();
    let (content_type, body) = match reply.content {
        Content::Whole { json, tokens } => {
            // An error comes at once, unless its own fault has a pace.
            let due = match (reply.status.is_success(), chosen.fault.pace.first_token) {
                (true, _) => clock.at(tokens),
                (false, span) => watch.start() + span.unwrap_or_default(),
            };
            sleep_until(due).await;
            let steps = whole(json, tokens, due, ending);
            ("application/json", SimBody::new(steps, chosen.fault.drip, finished, Some(watch)).sized())
        }
        Content::Stream { events, failure } => {
            watch.entry.stream = true;
            watch.streams();
            watch.log();
            let steps = stream(events, failure, &clock, ending);
            (
                "text/event-stream; charset=utf-8",
                SimBody::new(steps, chosen.fault.drip, finished, Some(watch)),
            )
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = reply.status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    for (name, value) in protocol.headers(&request_id).into_iter().chain(reply.headers) {
        headers.insert(name, value);
    }
    response
}

/// When each token is due: on a schedule from the start, so that a slow reader does not slow it further.
struct Clock {
    start: Instant,
    first: Duration,
    tokens_per_second: f64,
}

impl Clock {
    fn new(chosen: &Chosen, start: Instant) -> Self {
        Self {
            start,
            first: chosen.pace.first_token.unwrap_or_default(),
            tokens_per_second: chosen.pace.tokens_per_second.unwrap_or_default(),
        }
    }

    /// When the token after so many is due.
    fn at(&self, tokens: u64) -> Instant {
        let after = if self.tokens_per_second > 0.0 { tokens as f64 / self.tokens_per_second } else { 0.0 };
        // A day is as good as never, and keeps clear of what an instant can hold.
        let after = Duration::from_secs_f64(after.min(86_400.0));
        self.start + (self.first + after).min(Duration::from_secs(30 * 86_400))
    }
}

fn whole(json: Bytes, tokens: u64, due: Instant, ending: Option<Ending>) -> Vec<Step> {
    let send = |bytes: Bytes, tokens| Step::Send { due, bytes, tokens, content: true };
    let half = json.slice(..json.len() / 2);
    match ending {
        Some(Ending::Garbage) => vec![send(Bytes::from_static(HTML), 0)],
        Some(Ending::Truncated | Ending::EndAfter(_)) => vec![send(half, tokens / 2)],
        Some(Ending::HangAfter(_)) => vec![send(half, tokens / 2), Step::Hang],
        Some(Ending::ResetAfter(_)) => vec![send(half, tokens / 2), Step::Break],
        _ => vec![send(json, tokens)],
    }
}

fn stream(events: Vec<Event>, failure: Bytes, clock: &Clock, ending: Option<Ending>) -> Vec<Step> {
    let frame = |due, bytes| Step::Send { due, bytes, tokens: 0, content: false };
    if ending == Some(Ending::Garbage) {
        return vec![frame(clock.at(0), Bytes::from_static(HTML))];
    }
    let limit = limit(ending, &events);
    let mut steps = Vec::with_capacity(events.len() + 1);
    let (mut tokens, mut contents) = (0, 0);
    for event in events {
        let content = event.part == Part::Content;
        // A short answer ends before the fault's place: then the fault stands before what would close it.
        if limit.is_some_and(|limit| event.part == Part::Close || (content && contents >= limit)) {
            break;
        }
        contents += usize::from(content);
        let due = match event.part {
            // A stream opens with its head: a role without content is not a first token.
            Part::Open => clock.start,
            Part::Content | Part::Close => clock.at(tokens),
        };
        tokens += u64::from(event.tokens);
        steps.push(Step::Send { due, bytes: event.bytes, tokens: event.tokens.into(), content });
    }
    match ending {
        Some(Ending::HangAfter(_)) => steps.push(Step::Hang),
        Some(Ending::ResetAfter(_)) => steps.push(Step::Break),
        Some(Ending::ErrorAfter(_)) => steps.push(frame(clock.at(tokens), failure)),
        Some(Ending::Truncated) => {
            if let Some(Step::Send { bytes, .. }) = steps.last_mut() {
                bytes.truncate(bytes.len() / 2);
            }
        }
        _ => {}
    }
    steps
}

/// After how many content chunks the fault comes.
fn limit(ending: Option<Ending>, events: &[Event]) -> Option<usize> {
    match ending? {
        Ending::HangAfter(chunks)
        | Ending::ResetAfter(chunks)
        | Ending::EndAfter(chunks)
        | Ending::ErrorAfter(chunks) => Some(chunks as usize),
        Ending::Truncated => {
            Some(events.iter().filter(|event| event.part == Part::Content).count().div_ceil(2))
        }
        _ => None,
    }
}
