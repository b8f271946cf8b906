//! Finding the texts in a chunk of a stream or in a whole answer.

use super::{
    fold::{self, Fold, Value},
    scan::Fault,
};

/// What a text is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Said,
    Refused,
    Thought,
    /// Which tool is called.
    Name,
    /// What a tool is called with, of several calls the one with this number.
    Called(u64),
    /// No text: sound, or pictures.
    Shown,
    /// Why the choice ended.
    Ended,
}

/// Takes a text of a choice, as JSON; what is no text may come too.
type Sink<'a> = dyn FnMut(u64, Kind, &str) + 'a;

/// Hands every text of a chunk or an answer over. What cannot be read has none, save what stands before the fault.
pub(super) fn each(data: &[u8], sink: &mut Sink<'_>) {
    if let Ok(text) = std::str::from_utf8(data) {
        // In one pass: each part that is set apart to be read later is read once more.
        let _ = fold::object(text, &mut Chunk(sink));
    }
}

struct Chunk<'a, 's>(&'a mut Sink<'s>);

impl<'de> Fold<'de> for Chunk<'_, '_> {
    fn field(&mut self, name: &str, value: Value<'_, 'de>) -> Result<(), Fault> {
        match name {
            "choices" => value.fold(&mut Choices(self.0)).map(drop),
            _ => value.ignore(),
        }
    }
}

struct Choices<'a, 's>(&'a mut Sink<'s>);

impl<'de> Fold<'de> for Choices<'_, '_> {
    fn element(&mut self, value: Value<'_, 'de>) -> Result<(), Fault> {
        let mut choice = Choice::default();
        value.fold(&mut choice)?;
        choice.tell(self.0);
        Ok(())
    }
}

/// A choice of an answer, whose parts are set apart.
#[derive(Default)]
pub(super) struct Choice<'de> {
    index: u64,
    delta: Option<&'de str>,
    text: Option<&'de str>,
    ended: Option<&'de str>,
}

impl<'de> Choice<'de> {
    /// Why it ended, as JSON.
    pub(super) fn ended(&self) -> Option<&'de str> {
        self.ended
    }

    /// Hands its texts over.
    pub(super) fn tell(self, sink: &mut Sink<'_>) {
        if let Some(text) = self.text {
            sink(self.index, Kind::Said, text);
        }
        if let Some(ended) = self.ended {
            sink(self.index, Kind::Ended, ended);
        }
        if let Some(delta) = self.delta {
            let mut fold = Delta { sink, choice: self.index, thought: [None; 2] };
            fold::value(delta, &mut fold);
            // Some providers tell it under both names.
            let thought = fold.thought.into_iter().flatten().find(|raw| fold::is_text(raw));
            if let Some(thought) = thought {
                sink(self.index, Kind::Thought, thought);
            }
        }
    }
}

impl<'de> Fold<'de> for Choice<'de> {
    fn field(&mut self, name: &str, value: Value<'_, 'de>) -> Result<(), Fault> {
        let raw = value.raw()?;
        match name {
            "index" => self.index = raw.parse().unwrap_or_default(),
            "delta" | "message" => self.delta = Some(raw),
            "text" => self.text = Some(raw),
            "finish_reason" => self.ended = Some(raw),
            _ => {}
        }
        Ok(())
    }
}

struct Delta<'a, 's, 'de> {
    sink: &'a mut Sink<'s>,
    choice: u64,
    thought: [Option<&'de str>; 2],
}

impl<'de> Fold<'de> for Delta<'_, '_, 'de> {
    fn field(&mut self, name: &str, value: Value<'_, 'de>) -> Result<(), Fault> {
        let raw = value.raw()?;
        match name {
            "content" if raw.starts_with('[') => {
                fold::value(raw, &mut Parts { sink: self.sink, choice: self.choice, kind: Kind::Said });
            }
            "content" => (self.sink)(self.choice, Kind::Said, raw),
            "refusal" => (self.sink)(self.choice, Kind::Refused, raw),
            "reasoning_content" => self.thought[0] = Some(raw),
            "reasoning" => self.thought[1] = Some(raw),
            "tool_calls" | "function_call" => {
                let mut calls =
                    Calls { sink: self.sink, choice: self.choice, index: 0, begun: 0, inside: false };
                fold::value(raw, &mut calls);
            }
            "audio" => {
                (self.sink)(self.choice, Kind::Shown, raw);
                fold::value(raw, &mut Transcript { sink: self.sink, choice: self.choice });
            }
            "images" => (self.sink)(self.choice, Kind::Shown, raw),
            _ => {}
        }
        Ok(())
    }
}

/// An answer in parts, as Mistral's models think aloud.
struct Parts<'a, 's> {
    sink: &'a mut Sink<'s>,
    choice: u64,
    kind: Kind,
}

impl<'de> Fold<'de> for Parts<'_, '_> {
    fn field(&mut self, name: &str, value: Value<'_, 'de>) -> Result<(), Fault> {
        let raw = value.raw()?;
        match name {
            "text" | "refusal" => (self.sink)(self.choice, self.kind, raw),
            "thinking" if raw.starts_with('[') && self.kind == Kind::Said => {
                let kind = Kind::Thought;
                fold::value(raw, &mut Parts { sink: self.sink, choice: self.choice, kind });
            }
            "thinking" => (self.sink)(self.choice, Kind::Thought, raw),
            _ => {}
        }
        Ok(())
    }

    fn element(&mut self, value: Value<'_, 'de>) -> Result<(), Fault> {
        let raw = value.raw()?;
        match raw.as_bytes().first() {
            Some(b'"') => (self.sink)(self.choice, self.kind, raw),
            Some(b'{') => {
                fold::value(raw, self);
            }
            _ => {}
        }
        Ok(())
    }
}

/// Calls of tools, with whatever they are wrapped in.
struct Calls<'a, 's> {
    sink: &'a mut Sink<'s>,
    choice: u64,
    index: u64,
    /// Calls of this list.
    begun: u64,
    /// This is what is wrapped.
    inside: bool,
}

impl<'de> Fold<'de> for Calls<'_, '_> {
    fn field(&mut self, name: &str, value: Value<'_, 'de>) -> Result<(), Fault> {
        let raw = value.raw()?;
        match name {
            "index" => self.index = raw.parse().unwrap_or(self.index),
            "function" | "custom" if !self.inside => {
                self.inside = true;
                fold::value(raw, self);
                self.inside = false;
            }
            "name" => (self.sink)(self.choice, Kind::Name, raw),
            "arguments" | "input" => (self.sink)(self.choice, Kind::Called(self.index), raw),
            _ => {}
        }
        Ok(())
    }

    fn element(&mut self, value: Value<'_, 'de>) -> Result<(), Fault> {
        let raw = value.raw()?;
        // In whole answers calls have no number.
        self.index = self.begun;
        self.begun += 1;
        if raw.starts_with('{') && !self.inside {
            fold::value(raw, self);
        }
        Ok(())
    }
}

/// What is spoken, in words.
struct Transcript<'a, 's> {
    sink: &'a mut Sink<'s>,
    choice: u64,
}

impl<'de> Fold<'de> for Transcript<'_, '_> {
    fn field(&mut self, name: &str, value: Value<'_, 'de>) -> Result<(), Fault> {
        let raw = value.raw()?;
        if name == "transcript" {
            (self.sink)(self.choice, Kind::Said, raw);
        }
        Ok(())
    }
}
