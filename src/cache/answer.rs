//! A kept answer, which can be given whole or as a stream, however it came.

use bytes::Bytes;

use crate::openai::{Endpoint, Usage, sse::Event};

use super::{complete::Ends, fold::fold, unfold::unfold};

/// An answer that is kept.
#[derive(Debug)]
pub struct Kept {
    endpoint: Endpoint,
    form: Form,
    usage: Option<Usage>,
}

/// How it came, and is kept.
#[derive(Debug)]
enum Form {
    /// As a JSON object.
    Whole(Bytes),
    /// As events, in the sizes that they had; with the place of the one that tells the usage alone.
    Events(Bytes, Option<(usize, usize)>),
}

/// Why a complete answer is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It is too large.
    TooLarge,
    /// It cannot be read.
    Unreadable,
    /// It refuses, or was cut, or filtered.
    Incomplete,
}

impl Kept {
    /// Keeps a whole answer; `length` says whether the client set the length at which it may end.
    ///
    /// # Errors
    /// Why it is not kept.
    pub fn whole(endpoint: Endpoint, body: &[u8], length: bool, most: usize) -> Result<Self, Unfit> {
        if body.len() > most {
            return Err(Unfit::TooLarge);
        }
        let usage = Ends::of(endpoint, body, length)?;
        // A copy has its own size: what came may be a slice of more.
        Ok(Self { endpoint, usage, form: Form::Whole(Bytes::copy_from_slice(body)) })
    }

    /// The object, whole; `None` where it cannot be told so.
    pub fn object(&self) -> Option<Bytes> {
        match &self.form {
            Form::Whole(body) => Some(body.clone()),
            Form::Events(events, _) => whole_of(self.endpoint, events),
        }
    }

    /// Its events, `[DONE]` included, with the usage if it is wanted, in as many pieces as need no copy; `None` where it
    /// cannot be told so.
    pub fn events(&self, usage: bool) -> Option<Vec<Bytes>> {
        Some(match &self.form {
            Form::Whole(body) => vec![told(self.endpoint, body, usage)?],
            Form::Events(events, Some((start, end))) if !usage => {
                vec![events.slice(..*start), events.slice(*end..)]
            }
            Form::Events(events, _) => vec![events.clone()],
        })
    }

    /// The tokens that it took when it was made, where known.
    pub fn usage(&self) -> Option<&Usage> {
        self.usage.as_ref()
    }

    /// Its bytes.
    pub fn size(&self) -> usize {
        match &self.form {
            Form::Whole(body) => body.len(),
            Form::Events(events, _) => events.len(),
        }
    }
}

/// A stream that is written down while it passes.
#[derive(Debug)]
pub struct Recorder {
    events: Vec<u8>,
    usage: Option<(usize, usize)>,
    most: usize,
    too_large: bool,
}

impl Recorder {
    /// Writes down at most so many bytes.
    pub fn new(most: usize) -> Self {
        Self { events: Vec::new(), usage: None, most, too_large: false }
    }

    /// An event passes; `usage` says whether it tells the usage alone. Comments that stand alone belong to the moment.
    pub fn passes(&mut self, event: &[u8], usage: bool) {
        if self.too_large || is_comment(event) {
            return;
        }
        if self.events.len() + event.len() > self.most {
            (self.events, self.too_large) = (Vec::new(), true);
            return;
        }
        let start = self.events.len();
        self.events.extend_from_slice(event);
        if usage {
            self.usage = Some((start, self.events.len()));
        }
    }

    /// The whole answer that passed, as JSON; `None` where it cannot be told so.
    pub fn object(&self, endpoint: Endpoint) -> Option<Bytes> {
        (!self.too_large).then(|| whole_of(endpoint, &self.events)).flatten()
    }

    /// Keeps the answer that passed, which came to such `ends`; `length` says whether the client set the length at which
    /// it may end.
    ///
    /// # Errors
    /// Why it is not kept.
    pub fn finish(self, endpoint: Endpoint, ends: Ends, length: bool) -> Result<Kept, Unfit> {
        if self.too_large {
            return Err(Unfit::TooLarge);
        }
        let usage = ends.finish(length)?;
        let events = Bytes::from(self.events.into_boxed_slice());
        Ok(Kept { endpoint, usage, form: Form::Events(events, self.usage) })
    }
}

/// A whole answer as events, `[DONE]` included, with the usage if it is wanted; `None` where it cannot be told so.
pub fn told(endpoint: Endpoint, body: &[u8], usage: bool) -> Option<Bytes> {
    unfold(endpoint, body, usage).map(Bytes::from)
}

/// Whether there is nothing but comments in an event; a comment may stand before what is said, too.
fn is_comment(event: &[u8]) -> bool {
    event.first() == Some(&b':') && Event::new(Bytes::copy_from_slice(event)).is_comment()
}

fn whole_of(endpoint: Endpoint, events: &[u8]) -> Option<Bytes> {
    let answer = fold(endpoint, events)?;
    serde_json::to_vec(&answer).ok().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const MOST: usize = 1 << 20;

    fn body(end: &str, message: Value) -> Vec<u8> {
        let choice = json!({ "index": 0, "message": message, "finish_reason": end });
        json!({ "choices": [choice], "usage": { "prompt_tokens": 3, "completion_tokens": 4 } })
            .to_string()
            .into()
    }

    fn text() -> Value {
        json!({ "role": "assistant", "content": "Hi." })
    }

    #[test]
    fn only_complete_answers_are_kept() {
        let kept = |body: &[u8], length| Kept::whole(Endpoint::Chat, body, length, MOST).map(drop);
        for end in ["stop", "tool_calls", "function_call"] {
            assert_eq!(kept(&body(end, text()), false), Ok(()), "{end}");
        }
        assert_eq!(kept(&body("length", text()), true), Ok(()));
        for (end, message) in [
            ("length", text()),
            ("content_filter", text()),
            ("error", text()),
            ("stop", json!({ "role": "assistant", "content": null, "refusal": "No." })),
        ] {
            assert_eq!(kept(&body(end, message), false), Err(Unfit::Incomplete), "{end}");
        }
        assert_eq!(kept(br#"{"choices":[]}"#, true), Err(Unfit::Incomplete));
        assert_eq!(kept(br#"{"choices":[{"message":{}}]}"#, true), Err(Unfit::Incomplete));
        assert_eq!(kept(b"nonsense", true), Err(Unfit::Unreadable));
        let body = body("stop", text());
        assert_eq!(Kept::whole(Endpoint::Chat, &body, true, body.len() - 1).map(drop), Err(Unfit::TooLarge));
        let vectors = |body: &str| Kept::whole(Endpoint::Embeddings, body.as_bytes(), false, MOST).map(drop);
        assert_eq!(vectors(r#"{"data":[{"embedding":[0.1]}]}"#), Ok(()));
        assert_eq!(vectors(r#"{"data":[]}"#), Err(Unfit::Incomplete));
    }

    fn stream(end: &str) -> Vec<Vec<u8>> {
        let chunk = |choices: Value, usage: Value| {
            format!("data: {}\n\n", json!({ "id": "c", "choices": choices, "usage": usage })).into_bytes()
        };
        let delta = |delta: Value, end: Value| {
            chunk(json!([{ "index": 0, "delta": delta, "finish_reason": end }]), Value::Null)
        };
        vec![
            b": ping\n\n".to_vec(),
            delta(json!({ "role": "assistant", "content": "" }), Value::Null),
            delta(json!({ "content": "Hi" }), Value::Null),
            delta(json!({ "content": "." }), Value::Null),
            delta(json!({}), json!(end)),
            chunk(json!([]), json!({ "prompt_tokens": 3, "completion_tokens": 4 })),
            b"data: [DONE]\n\n".to_vec(),
        ]
    }

    fn recorded(events: &[Vec<u8>], most: usize) -> Result<Kept, Unfit> {
        let (mut recorder, mut ends) = (Recorder::new(most), Ends::default());
        for event in events {
            let usage = ends.passes(&Bytes::copy_from_slice(event));
            recorder.passes(event, usage);
        }
        recorder.finish(Endpoint::Chat, ends, false)
    }

    #[test]
    fn a_stream_is_given_again_in_the_same_parts() {
        let events = stream("stop");
        let kept = recorded(&events, MOST).unwrap();
        assert_eq!(kept.events(true).unwrap().concat(), events[1..].concat());
        assert_eq!(kept.events(false).unwrap().concat(), [&events[1..5], &events[6..]].concat().concat());
        assert_eq!(kept.usage().map(|usage| (usage.prompt(), usage.completion())), Some((3, 4)));
        let object: Value = serde_json::from_slice(&kept.object().unwrap()).unwrap();
        assert_eq!(object["choices"][0]["message"]["content"], "Hi.");
        assert_eq!(object["usage"]["completion_tokens"], 4);
    }

    #[test]
    fn what_stands_behind_a_comment_is_kept() {
        let mut events = stream("stop");
        events[2] = [b": hm\n".to_vec(), events[2].clone()].concat();
        let kept = recorded(&events, MOST).unwrap();
        assert_eq!(kept.events(true).unwrap().concat(), events[1..].concat());
        let object: Value = serde_json::from_slice(&kept.object().unwrap()).unwrap();
        assert_eq!(object["choices"][0]["message"]["content"], "Hi.");
    }

    #[test]
    fn a_whole_answer_is_told_in_parts_too() {
        let kept = Kept::whole(Endpoint::Chat, &body("stop", text()), false, MOST).unwrap();
        let usage =
            |events: Vec<Bytes>| String::from_utf8(events.concat()).unwrap().contains("prompt_tokens");
        assert!(usage(kept.events(true).unwrap()) && !usage(kept.events(false).unwrap()));
        assert_eq!(kept.usage().map(Usage::completion), Some(4));
    }

    #[test]
    fn what_is_cut_or_too_large_is_not_kept() {
        let events = stream("stop");
        assert_eq!(recorded(&events[..4], MOST).map(drop), Err(Unfit::Incomplete));
        assert_eq!(recorded(&stream("content_filter"), MOST).map(drop), Err(Unfit::Incomplete));
        assert_eq!(recorded(&events, 100).map(drop), Err(Unfit::TooLarge));
        assert_eq!(recorded(&[], MOST).map(drop), Err(Unfit::Unreadable));
    }

    #[test]
    fn usage_alone_is_told_from_usage_beside_something() {
        let tells_usage_alone = |event: &[u8]| Ends::default().passes(&Bytes::copy_from_slice(event));
        let event = |json: Value| tells_usage_alone(format!("data: {json}\n\n").as_bytes());
        let usage = json!({ "prompt_tokens": 1, "completion_tokens": 1 });
        assert!(event(json!({ "choices": [], "usage": usage })));
        assert!(!event(json!({ "choices": [{ "delta": { "content": "\"usage\"" } }], "usage": usage })));
        assert!(!event(json!({ "choices": [], "usage": null })));
        assert!(!tells_usage_alone(b"data: [DONE]\n\n"));
    }
}
