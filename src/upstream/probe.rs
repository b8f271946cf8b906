//! What a try tells of itself in its trace.

mod asked;

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use serde::Deserialize;

use crate::{
    base::{money::Nanos, outcome::Outcome},
    cache::answer::Recorder,
    config::Provider,
    openai::{Ask, Endpoint, Usage},
    route::Target,
    spend::Spent,
    trace::{self, Open, Scope, content, key},
};

pub use asked::operation;

/// The largest request or answer that is taken apart to be shown.
const MAX_SHOWN: usize = 256 * 1024;
/// The most choices of which it is told how they ended.
const MAX_CHOICES: usize = 16;

/// Why a try is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Why {
    /// `first`, `retry`, `key`, `fallback`, `parallel`, `hedge` or `escalation`.
    pub word: &'static str,
    /// What became of the try before it, where it is made for that.
    pub after: Option<Outcome>,
}

/// What a try knows of its trace.
#[derive(Clone, Copy, Debug)]
pub struct Tracing<'a> {
    /// The request's place.
    pub scope: &'a Scope,
    /// Whether it tells what is said.
    pub shows: bool,
}

/// The span of a try under way.
#[derive(Debug)]
pub struct Probe {
    open: Open,
    stream: bool,
    endpoint: Endpoint,
    /// The request's body, where it is shown.
    asked: Option<Bytes>,
    recorder: Option<Recorder>,
    answer: Option<Bytes>,
    id: bool,
    model: bool,
    finish: Vec<(u64, String)>,
}

/// An answer, or a chunk of a stream, as far as a span tells of it.
#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    model: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    choices: Vec<Choice<'a>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    index: u64,
    #[serde(borrow, default)]
    finish_reason: Option<Cow<'a, str>>,
}

impl Probe {
    /// A try that is sent now; `None`: it is not recorded.
    pub fn begin(
        tracing: Tracing<'_>,
        (name, provider): (&str, &Provider),
        target: &Target,
        ask: &Ask,
        why: Why,
    ) -> Option<Self> {
        let name_of_span = format!("{} {}", operation(ask.endpoint()), trace::name(&target.upstream_model));
        let mut open = tracing.scope.call(name_of_span)?;
        asked::tell(&mut open, (name, provider), &target.upstream_model, ask);
        open.set_text(key::WEIR_MODEL, &target.name);
        open.set_text(key::WEIR_PROVIDER, name);
        open.set(key::WEIR_REASON, why.word);
        if let Some(after) = why.after {
            open.set(key::WEIR_AFTER, after.as_str());
        }
        Some(Self {
            open,
            stream: ask.stream(),
            endpoint: ask.endpoint(),
            asked: tracing.shows.then(|| ask.body().clone()),
            recorder: (tracing.shows && ask.stream()).then(|| Recorder::new(MAX_SHOWN)),
            answer: None,
            id: false,
            model: false,
            finish: Vec::new(),
        })
    }

    /// The `traceparent` for the upstream, if it gets one.
    pub fn header(tracing: Tracing<'_>, probe: Option<&Self>) -> Option<HeaderValue> {
        let header = tracing.scope.header(probe.map(|probe| &probe.open))?;
        Some(HeaderValue::try_from(header).expect("digits with dashes make a header value"))
    }

    /// The head of an answer came.
    pub fn status(&mut self, status: StatusCode) {
        self.open.set(key::STATUS, u64::from(status.as_u16()));
    }

    /// The first content came.
    pub fn first_content(&mut self) {
        if self.stream {
            self.open.set(key::FIRST_CHUNK, self.open.elapsed().as_secs_f64());
        }
    }

    /// Events of a stream came.
    pub fn frame(&mut self, frame: &[u8]) {
        if let Some(recorder) = &mut self.recorder {
            recorder.passes(frame, false);
        }
        for line in frame.split(|byte| *byte == b'\n') {
            if let Some(payload) = line.strip_prefix(b"data:") {
                self.said(payload);
            }
        }
    }

    /// The whole answer came.
    pub fn body(&mut self, body: &[u8]) {
        self.said(body);
        if self.asked.is_some() {
            self.answer = Some(Bytes::copy_from_slice(&body[..body.len().min(MAX_SHOWN)]));
        }
    }

    fn said(&mut self, payload: &[u8]) {
        let Ok(said) = serde_json::from_slice::<Said<'_>>(payload) else { return };
        for (known, key, text) in
            [(&mut self.id, key::RESPONSE_ID, &said.id), (&mut self.model, key::RESPONSE_MODEL, &said.model)]
        {
            if let (false, Some(text)) = (*known, text.as_deref().filter(|text| !text.is_empty())) {
                self.open.set_text(key, text);
                *known = true;
            }
        }
        for Choice { index, finish_reason } in said.choices {
            if let Some(reason) = finish_reason
                && self.finish.len() < MAX_CHOICES
                && self.finish.iter().all(|(known, _)| *known != index)
            {
                self.finish.push((index, reason.chars().take(64).collect()));
            }
        }
    }

    /// The try is over, with what it cost.
    pub fn over(mut self, number: u32, outcome: Outcome, spent: &Spent, cost: Nanos) {
        self.show();
        let open = &mut self.open;
        open.set(key::WEIR_ATTEMPT, u64::from(number));
        open.set(key::WEIR_OUTCOME, outcome.as_str());
        open.set(key::WEIR_COST, cost.dollars());
        if !self.finish.is_empty() {
            self.finish.sort_unstable_by_key(|(index, _)| *index);
            open.set(
                key::FINISH_REASONS,
                self.finish.into_iter().map(|(_, reason)| reason).collect::<Vec<_>>(),
            );
        }
        match *spent {
            Spent::Counted(usage) => took(open, &usage),
            Spent::Produced { output, reasoning } | Spent::Cut { output, reasoning } => {
                open.set(key::OUTPUT_TOKENS, output + reasoning);
                open.set(key::WEIR_ESTIMATED, true);
            }
            Spent::Lost | Spent::Overtaken | Spent::Nothing => {}
        }
        if !matches!(outcome, Outcome::Ok | Outcome::Overtaken) {
            open.fail(outcome.as_str());
        }
    }

    /// Shows what was said, where that is wanted.
    fn show(&mut self) {
        let Some(asked) = self.asked.take() else { return };
        let answer = match &self.recorder {
            Some(recorder) => recorder.object(self.endpoint),
            None => self.answer.take(),
        };
        let answered = answer.and_then(|answer| content::answered(&answer));
        let asked = (asked.len() <= MAX_SHOWN).then(|| content::asked(self.endpoint, &asked)).flatten();
        for (key, told) in [(key::INPUT_MESSAGES, asked), (key::OUTPUT_MESSAGES, answered)] {
            if let Some(told) = told {
                self.open.set(key, told);
            }
        }
    }
}

fn took(open: &mut Open, usage: &Usage) {
    open.set(key::INPUT_TOKENS, usage.prompt());
    open.set(key::OUTPUT_TOKENS, usage.completion());
    for (key, tokens) in [
        (key::CACHE_READ, usage.cached_input),
        (key::CACHE_WRITE, usage.cache_write + usage.cache_write_1h),
        (key::REASONING, usage.reasoning),
    ] {
        if tokens > 0 {
            open.set(key, tokens);
        }
    }
}
