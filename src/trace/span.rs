//! A span as it is exported.

use std::borrow::Cow;

use super::context::{SpanId, TraceId};

/// The longest text of an attribute, in bytes; only content may be longer.
const MAX_TEXT: usize = 1024;
/// The longest name, in bytes.
const MAX_NAME: usize = 256;

/// A name that somebody else chose, cut where it is long.
pub fn name(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_NAME)]
}

/// Which side of a call a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A client's request, as Weir serves it.
    Server,
    /// A call to an upstream.
    Client,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A text.
    Text(Cow<'static, str>),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// Yes or no.
    Flag(bool),
    /// Several texts.
    Texts(Vec<String>),
}

/// A span that is over.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Its trace.
    pub trace: TraceId,
    /// Its own id.
    pub id: SpanId,
    /// The span that it is part of.
    pub parent: Option<SpanId>,
    /// What it is called.
    pub name: String,
    /// Which side it is.
    pub kind: Kind,
    /// When it began, in nanoseconds since 1970.
    pub begun: u64,
    /// When it ended.
    pub ended: u64,
    /// What is known of it.
    pub attributes: Vec<(&'static str, Value)>,
    /// Whether it failed.
    pub failed: bool,
}

impl Span {
    /// About how many bytes it takes in memory.
    pub fn weight(&self) -> usize {
        let texts = self.attributes.iter().map(|(_, value)| match value {
            Value::Text(Cow::Owned(text)) => text.len(),
            Value::Texts(texts) => texts.iter().map(|text| text.len() + size_of::<String>()).sum(),
            _ => 0,
        });
        let attributes = self.attributes.capacity() * size_of::<(&'static str, Value)>();
        size_of::<Self>() + self.name.len() + attributes + texts.sum::<usize>()
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<Vec<String>> for Value {
    fn from(texts: Vec<String>) -> Self {
        Self::Texts(texts)
    }
}

impl Value {
    /// A text that somebody else chose: cut where it is long.
    pub fn text(text: &str) -> Self {
        Self::Text(Cow::Owned(text[..text.floor_char_boundary(MAX_TEXT)].to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut() {
        let Value::Text(text) = Value::text(&"ä".repeat(4000)) else { panic!("no text") };
        assert_eq!(text.len(), MAX_TEXT);
        assert_eq!((name(&"ä".repeat(4000)).len(), name("short")), (MAX_NAME, "short"));
        assert_eq!(Value::text("short"), Value::from("short"));
        assert_eq!(Value::from(u64::MAX), Value::Int(i64::MAX));
    }
}
