//! Walking through JSON without building it: each object's fields are handed to a fold.

use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// What a value turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Null,
    Scalar,
    List,
    Object,
}

/// Takes what it wants out of an object's fields or a list's elements. The last of a repeated field wins, as
/// with the readers of most languages. The defaults take nothing.
pub(super) trait Fold<'de>: Sized {
    /// Reads the value of the field `name` from `map`; it must be read, if only by [`skip`].
    fn field<A: MapAccess<'de>>(&mut self, _name: &str, map: &mut A) -> Result<(), A::Error> {
        skip(map)
    }

    /// Reads one element from `list`; `false` at its end.
    fn element<A: SeqAccess<'de>>(&mut self, list: &mut A) -> Result<bool, A::Error> {
        Ok(list.next_element::<Skip>()?.is_some())
    }

    /// Takes a text that stands where an object or a list could.
    fn text(&mut self, _text: &str) {}
}

/// Any value, read and forgotten. Unlike serde's `IgnoredAny` in serde_json it needs no memory for nesting.
struct Skip;

struct Nothing;

impl Fold<'_> for Nothing {}

impl<'de> Deserialize<'de> for Skip {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        To(&mut Nothing).deserialize(deserializer).map(|_| Self)
    }
}

/// Reads a value of any shape and hands what is in it to a fold.
pub(super) struct To<'a, T>(pub &'a mut T);

impl<'de, T: Fold<'de>> DeserializeSeed<'de> for To<'_, T> {
    type Value = Shape;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Shape, D::Error> {
        deserializer.deserialize_any(Walk { fold: self.0, life: PhantomData })
    }
}

struct Walk<'a, 'de, T> {
    fold: &'a mut T,
    life: PhantomData<&'de ()>,
}

impl<'de, T: Fold<'de>> Visitor<'de> for Walk<'_, 'de, T> {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Shape, E> {
        Ok(Shape::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Shape, E> {
        Ok(Shape::Scalar)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Shape, E> {
        Ok(Shape::Scalar)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Shape, E> {
        Ok(Shape::Scalar)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Shape, E> {
        Ok(Shape::Scalar)
    }

    fn visit_str<E>(self, text: &str) -> Result<Shape, E> {
        self.fold.text(text);
        Ok(Shape::Scalar)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Shape, A::Error> {
        while self.fold.element(&mut list)? {}
        Ok(Shape::List)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape, A::Error> {
        while let Some(Name(name)) = map.next_key()? {
            self.fold.field(&name, &mut map)?;
        }
        Ok(Shape::Object)
    }
}

/// A field's name, borrowed unless it is written with escapes.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Name<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// Folds a whole JSON text, which must be one object.
///
/// # Errors
/// What is wrong with the JSON, with its place.
pub(super) fn object<'de, T: Fold<'de>>(text: &'de str, fold: &mut T) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let shape = To(fold).deserialize(&mut deserializer)?;
    deserializer.end()?;
    match shape {
        Shape::Object => Ok(()),
        _ => Err(serde::de::Error::custom("expected a JSON object")),
    }
}

/// Folds a value of any shape; whether it could be read to its end, which a number without bounds, say, prevents.
pub(super) fn value<'de, T: Fold<'de>>(raw: &'de RawValue, fold: &mut T) -> bool {
    To(fold).deserialize(&mut serde_json::Deserializer::from_str(raw.get())).is_ok()
}

/// Reads a value and forgets it.
pub(super) fn skip<'de, A: MapAccess<'de>>(map: &mut A) -> Result<(), A::Error> {
    map.next_value::<Skip>().map(|_| ())
}

/// The value's JSON text as it stands there.
pub(super) fn raw<'de, A: MapAccess<'de>>(map: &mut A) -> Result<&'de RawValue, A::Error> {
    map.next_value()
}

/// Whether JSON text is a string with something in it.
pub(super) fn is_text(raw: &RawValue) -> bool {
    raw.get().len() > 2 && raw.get().starts_with('"')
}

/// Whether JSON text says something: not `null`, `false`, `""`, `[]` or `{}`.
pub(super) fn is_something(raw: &RawValue) -> bool {
    !is_empty(raw.get())
}

fn is_empty(text: &str) -> bool {
    match text.as_bytes() {
        b"null" | b"false" | b"\"\"" => true,
        [b'[', inner @ .., b']'] | [b'{', inner @ .., b'}'] => inner.iter().all(u8::is_ascii_whitespace),
        _ => false,
    }
}

/// Reads a JSON string that may hold escapes; `None` for anything else.
pub(super) fn text<'a>(raw: &'a RawValue) -> Option<Cow<'a, str>> {
    serde_json::from_str::<Name<'a>>(raw.get()).ok().map(|name| name.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_only_whole_objects() {
        for good in ["{}", " {\"a\":[1,{\"b\":\"\\n\"}],\"a\":null} "] {
            assert!(object(good, &mut Nothing).is_ok(), "{good}");
        }
        for bad in ["", "1", "null", "[]", "{", "{}{}", "{\"a\"}", "\"a\"", "{\"a\":1,}"] {
            assert!(object(bad, &mut Nothing).is_err(), "{bad}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(object(&deep, &mut Nothing).is_err());
    }
}
