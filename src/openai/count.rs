//! Counting what a request gives the model to read.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    ask::{Ask, Endpoint},
    bounds::{Attachment, FRAME, Said},
    contents::Contents,
};
use crate::base::tokens;

/// Tokens around a message, its role included, and before the answer: OpenAI's recipe.
const MESSAGE: u64 = 4;
const REPLY: u64 = 3;
/// Tokens around tools.
const TOOLS: u64 = 12;

/// Fields that are counted, or that no model reads.
const ACCOUNTED: [&str; 10] = [
    "messages",
    "prompt",
    "suffix",
    "input",
    "tools",
    "functions",
    "response_format",
    "model",
    "models",
    "prediction",
];

impl Ask {
    /// An estimate of the tokens that the model reads, by OpenAI's tokenizer and recipe: for answers that do not say
    /// it. It takes a millisecond for some ten thousand tokens.
    pub fn count_input(&self, system_prefix: Option<&str>, per: &Attachment) -> u64 {
        let contents = Contents::of(self, true);
        let mut count = contents.tokens.saturating_add(contents.attached(per));
        if self.endpoint() == Endpoint::Chat {
            count += MESSAGE * contents.messages + REPLY + self.count_settings();
            count += system_prefix.map_or(0, |prefix| tokens::count(prefix) as u64);
        }
        count
    }

    /// A bound of the tokens that the model reads below that of [`Ask::bounds`], for where that does not fit: twice
    /// the count of OpenAI's tokenizer, since others differ. It costs as much as [`Ask::count_input`].
    pub fn tight_bound(
        &self,
        defaults: &[(String, String)],
        system_prefix: Option<&str>,
        per: &Attachment,
    ) -> u64 {
        let said = Said { ask: self, defaults };
        let contents = Contents::of(self, true);
        let settings = if self.endpoint() == Endpoint::Chat { self.count_settings() } else { 0 };
        let tight = (2 * (contents.tokens + settings) + FRAME * (contents.messages + 1))
            .saturating_add(self.unaccounted() + contents.unread)
            .saturating_add(contents.attached(per))
            .saturating_add(said.beside(system_prefix, per));
        tight.min(self.bounds(defaults, system_prefix, per).input)
    }

    /// The tokens of tools with the schema of the answer.
    fn count_settings(&self) -> u64 {
        let count = |raw: &[u8]| tokens::count(&compact(raw)) as u64;
        let tools = ["tools", "functions"].into_iter().filter_map(|name| self.field(name));
        let tools: u64 = tools.filter(|raw| *raw != b"[]").map(|raw| count(raw) + TOOLS).sum();
        let format = self.field("response_format");
        let format = format.and_then(|raw| serde_json::from_slice::<Format<'_>>(raw).ok());
        let schema = format.and_then(|format| format.json_schema?.schema);
        tools + schema.map_or(0, |raw| count(raw.get().as_bytes()))
    }

    /// The bytes of fields that the model may or may not read.
    fn unaccounted(&self) -> u64 {
        let names = self.present().filter(|name| !ACCOUNTED.contains(name));
        let raws = names.filter_map(|name| self.field(name));
        raws.filter(|raw| matches!(raw.first(), Some(b'"' | b'[' | b'{'))).map(|raw| raw.len() as u64).sum()
    }
}

#[derive(Deserialize)]
struct Format<'a> {
    #[serde(borrow)]
    json_schema: Option<Schema<'a>>,
}

#[derive(Deserialize)]
struct Schema<'a> {
    #[serde(borrow)]
    schema: Option<&'a RawValue>,
}

/// JSON without the space between its values.
fn compact(raw: &[u8]) -> String {
    let (mut quoted, mut escaped) = (false, false);
    let kept = raw.iter().copied().filter(|byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted,
            b'"' => quoted = !quoted,
            _ => {}
        }
        quoted || !byte.is_ascii_whitespace()
    });
    String::from_utf8_lossy(&kept.collect::<Vec<u8>>()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_between_values_goes() {
        assert_eq!(compact(b"{ \"a b\\\" c\" :\n[1, \"\\\\\" ] }"), r#"{"a b\" c":[1,"\\"]}"#);
    }
}
