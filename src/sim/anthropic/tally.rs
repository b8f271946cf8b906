//! What a prompt comes to, with the places up to which it is to be cached.

use serde_json::Value;

use super::{
    error::Refusal,
    field::{self, Object, inside},
};
use crate::sim::{prefix::Prefixes, tokens};

/// How many breakpoints one request may have.
const BREAKPOINTS: usize = 4;
/// The fewest tokens that are cached.
const LEAST: u64 = 1024;

/// What was read of a prompt so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) tokens: u64,
    /// All of it, as far as it counts for the cache.
    text: String,
    breaks: Vec<Break>,
}

#[derive(Clone, Copy, Debug)]
struct Break {
    length: usize,
    tokens: u64,
    hour: bool,
}

/// The input tokens of a request by what the cache had to do with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Input {
    pub(crate) plain: u64,
    /// Written to the cache: for 5 minutes, or for an hour.
    pub(crate) written: (u64, u64),
    pub(crate) read: u64,
}

impl Tally {
    /// The tally of an empty prompt, with what frames it.
    pub(crate) fn begin() -> Self {
        Self { tokens: 3, ..Self::default() }
    }

    /// Adds a block, tool or the like, that costs so many tokens beside its text.
    ///
    /// # Errors
    /// As Anthropic does where its `cache_control` is not good.
    pub(crate) fn add(&mut self, object: &Object, place: &str, extra: u64) -> Result<(), Refusal> {
        let mut plain = object.clone();
        plain.remove("cache_control");
        // What is long and no text costs what the caller says.
        plain.remove("source");
        let json = Value::Object(plain).to_string();
        self.tokens += tokens::count(&words(object)) + extra;
        self.text.push_str(&json);
        if let Some(source) = object.get("source") {
            self.text.push_str(&source.to_string());
        }
        self.control(object, place)
    }

    /// Adds a text that is no block.
    pub(crate) fn add_text(&mut self, text: &str, extra: u64) {
        self.tokens += tokens::count(text) + extra;
        self.text.push_str(text);
        self.text.push('\n');
    }

    /// Takes note of `cache_control`.
    ///
    /// # Errors
    /// As Anthropic refuses it.
    pub(crate) fn control(&mut self, object: &Object, place: &str) -> Result<(), Refusal> {
        let control = match object.get("cache_control") {
            None | Some(Value::Null) => return Ok(()),
            Some(control) => control,
        };
        let place = inside(place, "cache_control");
        let (kind, control) = field::tagged(control, &place, &["ephemeral"])?;
        let place = inside(&place, kind);
        field::only(control, &place, &["type", "ttl", "scope"])?;
        let hour = match control.get("ttl") {
            None => false,
            Some(ttl) => field::one_of(ttl, &inside(&place, "ttl"), &["5m", "1h"])? == "1h",
        };
        self.breaks.push(Break { length: self.text.len(), tokens: self.tokens, hour });
        if self.breaks.len() > BREAKPOINTS {
            let found = self.breaks.len();
            let message = format!(
                "A maximum of {BREAKPOINTS} blocks with cache_control may be provided. Found {found}."
            );
            return Err(Refusal::bad(message));
        }
        Ok(())
    }

    /// The input tokens, now that the cache was asked.
    pub(crate) fn input(&self, model: &str, prefixes: &Prefixes) -> Input {
        let Some(last) = self.breaks.iter().rfind(|point| point.tokens >= LEAST) else {
            return Input { plain: self.tokens, ..Input::default() };
        };
        let seen = self.breaks.iter().filter(|point| point.tokens >= LEAST).filter(|point| {
            let text = &self.text[..point.length];
            prefixes.seen(model, text)
        });
        let read = seen.map(|point| point.tokens).max().unwrap_or_default();
        let new = last.tokens - read;
        let written = if last.hour { (0, new) } else { (new, 0) };
        Input { plain: self.tokens - last.tokens, written, read }
    }
}

/// All texts in a block that a model reads.
fn words(object: &Object) -> String {
    let mut words = String::new();
    for (key, value) in object {
        match (key.as_str(), value) {
            ("type" | "source" | "cache_control" | "signature" | "data" | "id" | "tool_use_id", _) => {}
            (_, Value::String(text)) => words.push_str(text),
            (_, Value::Array(items)) if key == "content" => {
                items.iter().filter_map(Value::as_object).for_each(|item| words.push_str(&self::words(item)));
            }
            (_, other) => words.push_str(&other.to_string()),
        }
        words.push(' ');
    }
    words.truncate(words.trim_end().len());
    words
}
