//! What a chat's messages are, as far as they tell it in passing.

use std::ops::Range;

use super::{
    fold::{self, Fold, Shape, Value},
    scan::Fault,
};

/// The most messages in one request.
pub(super) const MOST: usize = 10_000;

/// A chat's messages, in short.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns {
    /// How many there are.
    pub(super) count: usize,
    /// Messages of the user.
    pub(super) user: usize,
    /// Bytes of the messages of the system and the developer, as JSON.
    pub(super) system_bytes: usize,
    /// Where the content of the user's last message stands.
    pub(super) last: Option<Range<usize>>,
    /// Some message consists of parts rather than of one text.
    pub(super) parts: bool,
    /// The place of the last answer among the messages.
    pub(super) answer: Option<usize>,
    /// Some message calls a tool, or is what came of a call.
    calls: bool,
    /// Some message has pictures or sounds beside its content.
    shown: bool,
    /// Something about a message is not as it usually is: it may be wrong.
    odd: bool,
}

impl Turns {
    /// Whether they may hold something that is no text.
    pub(super) fn may_show(&self) -> bool {
        self.parts || self.shown || self.odd
    }

    /// Whether there may be calls of tools.
    pub(super) fn may_call(&self) -> bool {
        self.calls || self.odd
    }

    /// Whether they are surely well-formed.
    pub(super) fn are_plain(&self) -> bool {
        !self.odd && (1..=MOST).contains(&self.count)
    }

    /// What the messages are that stand as a list at `start` of a body, and may be wrong.
    pub(super) fn doubtful(list: &str, start: usize) -> Self {
        let mut turns = Self { odd: true, ..Self::default() };
        fold::value(list, &mut turns);
        turns.last = turns.last.map(|place| start + place.start..start + place.end);
        turns
    }

    fn add(&mut self, message: Message<'_>) {
        self.count += 1;
        let content = message.content.map_or("null", |(_, raw)| raw);
        let first = content.as_bytes().first();
        self.parts |= first == Some(&b'[');
        self.shown |= message.shown;
        self.calls |= message.calls;
        self.odd |= message.odd || !matches!(first, Some(b'"' | b'[' | b'n'));
        let Some(role) = message.role.and_then(fold::text).filter(|role| !role.is_empty()) else {
            self.odd = true;
            return;
        };
        match &*role {
            "user" => {
                self.user += 1;
                self.last = message.content.map(|(start, raw)| start..start + raw.len());
            }
            "assistant" => self.answer = Some(self.count - 1),
            "system" | "developer" => self.system_bytes += message.content.map_or(0, |(_, raw)| raw.len()),
            _ => {}
        }
    }
}

impl<'de> Fold<'de> for Turns {
    fn element(&mut self, value: Value<'_, 'de>) -> Result<(), Fault> {
        let mut message = Message::default();
        message.odd = value.fold(&mut message)? != Shape::Object || message.odd;
        self.add(message);
        Ok(())
    }
}

#[derive(Default)]
struct Message<'de> {
    role: Option<&'de str>,
    /// The place where it begins, its JSON.
    content: Option<(usize, &'de str)>,
    /// There is a field for pictures or sounds.
    shown: bool,
    /// There is a field for calls of tools.
    calls: bool,
    /// A field stands there twice.
    odd: bool,
}

impl<'de> Fold<'de> for Message<'de> {
    fn field(&mut self, name: &str, value: Value<'_, 'de>) -> Result<(), Fault> {
        let placed = value.placed()?;
        match name {
            "role" => self.odd |= self.role.replace(placed.1).is_some(),
            "content" => self.odd |= self.content.replace(placed).is_some(),
            "images" | "audio" => self.shown = true,
            "tool_calls" | "tool_call_id" => self.calls = true,
            _ => {}
        }
        Ok(())
    }
}
