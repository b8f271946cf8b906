//! What a request gives the model to read: texts, pictures, files.

use std::borrow::Cow;

use super::{
    ask::{Ask, Endpoint},
    bounds::Attachment,
    fold::{self, Fold, Value},
    scan::Fault,
    stretch::is_base64,
};
use crate::base::tokens;

/// What was found in messages, a prompt or an input.
#[derive(Clone, Debug, Default)]
pub(super) struct Contents {
    /// Texts are counted in tokens; else they are passed over.
    count: bool,
    /// Tokens of all texts, names included.
    pub(super) tokens: u64,
    /// Messages, or inputs of the older endpoints.
    pub(super) messages: u64,
    /// Inputs of the older endpoints: a token for each number, for texts one for each byte.
    pub(super) most: u64,
    /// Pictures.
    pub(super) pictures: u64,
    /// Files, sounds, films.
    pub(super) files: u64,
    /// Bytes of these that are no text.
    pub(super) opaque: u64,
    /// Bytes of these that may be text.
    pub(super) unread: u64,
    /// There is something to hear.
    pub(super) audio: bool,
}

/// The kinds of parts that are nothing but text.
const TEXTS: [&str; 7] =
    ["text", "refusal", "thinking", "redacted_thinking", "reasoning", "input_text", "output_text"];

impl Contents {
    /// Reads what the endpoint's question holds. With `count`, which takes its time, texts are cut into tokens.
    pub(super) fn of(ask: &Ask, count: bool) -> Self {
        let mut contents = Self { count, ..Self::default() };
        let names: &[&str] = match ask.endpoint() {
            Endpoint::Chat => {
                if let Some(messages) = ask.messages() {
                    messages.fold(&mut Messages(&mut contents));
                }
                return contents;
            }
            Endpoint::Completions => &["prompt", "suffix"],
            Endpoint::Embeddings => &["input"],
        };
        for input in names.iter().filter_map(|name| ask.json(name)) {
            match input.as_bytes().first() {
                Some(b'[') => {
                    fold::value(input, &mut Inputs { contents: &mut contents, numbers: false });
                }
                _ => contents.input(input),
            }
        }
        contents
    }

    /// How many prompts a completion continues.
    pub(super) fn prompts(ask: &Ask) -> u64 {
        let mut prompts = Prompts::default();
        ask.json("prompt").map(|raw| fold::value(raw, &mut prompts));
        match prompts.numbers {
            true => prompts.others + 1,
            false => prompts.others.max(1),
        }
    }

    /// The most tokens of all that is no text.
    pub(super) fn attached(&self, per: &Attachment) -> u64 {
        self.pictures.saturating_mul(per.picture).saturating_add(self.files.saturating_mul(per.file))
    }

    /// Takes a text.
    fn text(&mut self, raw: &str) {
        if self.count && raw.starts_with('"') {
            // What is no text after all, like half a surrogate pair, is counted as it stands.
            let text = fold::text(raw).unwrap_or(Cow::Borrowed(raw));
            self.tokens += tokens::count(&text) as u64;
        }
    }

    /// Takes one input of the older endpoints that is no list.
    fn input(&mut self, raw: &str) {
        self.messages += 1;
        self.most += raw.len() as u64;
        self.text(raw);
    }

    /// Takes something of which `media` is known.
    fn attach(&mut self, raw: &str, media: &Media, picture: bool) {
        let pieces = media.pieces.max(1);
        match picture {
            true => self.pictures += pieces,
            false => self.files += pieces,
        }
        let opaque = media.opaque();
        self.opaque += opaque;
        self.unread += (raw.len() as u64).saturating_sub(opaque);
    }
}

/// Several texts, a text in tokens, or several of these.
struct Inputs<'a> {
    contents: &'a mut Contents,
    /// This is one of several lists.
    numbers: bool,
}

impl<'de> Fold<'de> for Inputs<'_> {
    fn element(&mut self, value: Value<'_, 'de>) -> Result<(), Fault> {
        let raw = value.raw()?;
        match raw.as_bytes().first() {
            Some(b'-' | b'0'..=b'9') => {
                self.contents.most += 1;
                self.contents.tokens += 1;
            }
            Some(b'[') if !self.numbers => {
                fold::value(raw, &mut Inputs { contents: self.contents, numbers: true });
            }
            _ => self.contents.input(raw),
        }
        Ok(())
    }
}

/// How many prompts there are; numbers are one in tokens.
#[derive(Default)]
struct Prompts {
    numbers: bool,
    others: u64,
}

impl<'de> Fold<'de> for Prompts {
    fn element(&mut self, value: Value<'_, 'de>) -> Result<(), Fault> {
        let raw = value.raw()?;
        match raw.as_bytes().first() {
            Some(b'-' | b'0'..=b'9') => self.numbers = true,
            _ => self.others += 1,
        }
        Ok(())
    }
}

struct Messages<'a>(&'a mut Contents);

impl<'de> Fold<'de> for Messages<'_> {
    fn element(&mut self, value: Value<'_, 'de>) -> Result<(), Fault> {
        self.0.messages += 1;
        value.fold(&mut Message(self.0)).map(drop)
    }
}

struct Message<'a>(&'a mut Contents);

impl<'de> Fold<'de> for Message<'_> {
    fn field(&mut self, name: &str, mut value: Value<'_, 'de>) -> Result<(), Fault> {
        // They may be long: they are read once.
        if name == "content" && value.first()? == b'[' {
            return value.try_fold(&mut Parts(self.0)).map(drop);
        }
        let raw = value.raw()?;
        match name {
            "content" | "refusal" | "reasoning_content" | "reasoning" => self.0.text(raw),
            "name" => {
                self.0.text(raw);
                self.0.tokens += u64::from(self.0.count);
            }
            "tool_calls" | "function_call" => {
                fold::value(raw, &mut Calls { contents: self.0, inside: false });
            }
            // Pictures that the model itself had drawn.
            "images" => {
                fold::value(raw, &mut Pictures(self.0));
            }
            // What the model itself had said, by its id.
            "audio" if fold::is_something(raw) => {
                self.0.files += 1;
                self.0.audio = true;
            }
            _ => {}
        }
        Ok(())
    }
}

/// Calls of tools, with whatever they are wrapped in.
struct Calls<'a> {
    contents: &'a mut Contents,
    /// This is what is wrapped.
    inside: bool,
}

impl<'de> Fold<'de> for Calls<'_> {
    fn field(&mut self, name: &str, value: Value<'_, 'de>) -> Result<(), Fault> {
        let raw = value.raw()?;
        match name {
            "function" | "custom" if !self.inside => {
                fold::value(raw, &mut Calls { contents: self.contents, inside: true });
            }
            "name" | "arguments" | "input" => self.contents.text(raw),
            _ => {}
        }
        Ok(())
    }

    fn element(&mut self, value: Value<'_, 'de>) -> Result<(), Fault> {
        let raw = value.raw()?;
        if raw.starts_with('{') && !self.inside {
            fold::value(raw, self);
        }
        Ok(())
    }
}

struct Pictures<'a>(&'a mut Contents);

impl<'de> Fold<'de> for Pictures<'_> {
    fn element(&mut self, value: Value<'_, 'de>) -> Result<(), Fault> {
        let mut media = Media::default();
        let raw = media.read(value)?;
        self.0.attach(raw, &media, true);
        Ok(())
    }
}

struct Parts<'a>(&'a mut Contents);

impl<'de> Fold<'de> for Parts<'_> {
    fn element(&mut self, value: Value<'_, 'de>) -> Result<(), Fault> {
        let mut part = Part { contents: self.0, kind: None, media: Media::default() };
        let (_, raw) = value.try_fold(&mut part)?;
        let Part { kind, media, .. } = part;
        match kind.as_deref() {
            // Bare texts are taken by some providers.
            None if raw.starts_with('"') => self.0.text(raw),
            Some(kind) if TEXTS.contains(&kind) => {}
            kind => {
                let kind = kind.unwrap_or_default();
                self.0.audio |= kind.contains("audio");
                self.0.attach(raw, &media, kind.contains("image"));
            }
        }
        Ok(())
    }
}

struct Part<'a, 'de> {
    contents: &'a mut Contents,
    kind: Option<Cow<'de, str>>,
    media: Media,
}

impl<'de> Fold<'de> for Part<'_, 'de> {
    fn field(&mut self, name: &str, value: Value<'_, 'de>) -> Result<(), Fault> {
        match name {
            // Should it stand there twice, what is more than text counts.
            "type" if self.kind.as_deref().is_none_or(|kind| TEXTS.contains(&kind)) => {
                self.kind = fold::text(value.raw()?);
            }
            "type" => value.ignore()?,
            "text" | "refusal" | "thinking" => self.contents.text(value.raw()?),
            _ => drop(self.media.read(value)?),
        }
        Ok(())
    }
}

/// The texts of a part that is more than text. Those that can only be data are not read by the model as they stand.
#[derive(Debug, Default)]
struct Media {
    pieces: u64,
    bytes: u64,
    /// Something says that the data is text.
    plain: bool,
    /// Not all of it could be read.
    broken: bool,
}

impl Media {
    /// Takes what is in a value, whose JSON text comes back.
    fn read<'de>(&mut self, value: Value<'_, 'de>) -> Result<&'de str, Fault> {
        let (is_read, raw) = value.try_fold(self)?;
        self.broken |= !is_read;
        Ok(raw)
    }

    /// The bytes that are no text for sure.
    fn opaque(&self) -> u64 {
        if self.plain || self.broken { 0 } else { self.bytes }
    }
}

impl<'de> Fold<'de> for Media {
    fn field(&mut self, _: &str, value: Value<'_, 'de>) -> Result<(), Fault> {
        value.fold(self).map(drop)
    }

    fn element(&mut self, value: Value<'_, 'de>) -> Result<(), Fault> {
        value.fold(self).map(drop)
    }

    fn text(&mut self, text: &str, base64: usize) {
        if text == "text" || is_text_type(text) {
            self.plain = true;
        } else if is_data(text, base64) {
            self.pieces += 1;
            self.bytes += text.len() as u64;
        }
    }
}

fn is_text_type(text: &str) -> bool {
    text.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("text/"))
}

/// Whether a text is base64, alone or in a `data:` address, of something that is not text itself; its last `known` bytes
/// are base64 for sure.
fn is_data(text: &str, known: usize) -> bool {
    let is_base64 = |data: &str| is_base64(&data.as_bytes()[..data.len().saturating_sub(known)]);
    match text.strip_prefix("data:") {
        Some(rest) => rest.split_once(',').is_some_and(|(head, data)| !is_text_type(head) && is_base64(data)),
        // Shorter ones may be words.
        None => text.len() > 64 && is_base64(text),
    }
}
