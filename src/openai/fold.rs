//! Walking through JSON without building it: each object's fields are handed to a fold.

use std::{borrow::Cow, ops::Range};

use serde::Deserialize;

use super::{
    scan::{Care, Escapes, Fault, Scan},
    stretch::{LONG, Stretch},
};

/// How many lists and objects may stand in each other.
const LEVELS: usize = 127;

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
    /// Reads the value of the field `name`.
    fn field(&mut self, _name: &str, value: Value<'_, 'de>) -> Result<(), Fault> {
        value.skip()
    }

    /// Reads one element of a list.
    fn element(&mut self, value: Value<'_, 'de>) -> Result<(), Fault> {
        value.skip()
    }

    /// Takes a text that stands where an object or a list could; at its end so many bytes are base64 for sure.
    fn text(&mut self, _text: &str, _base64: usize) {}
}

/// A value that is to be read, in one way or another: what is not is a fault.
#[must_use]
pub(super) struct Value<'a, 'de>(&'a mut Reader<'de>);

struct Reader<'de> {
    scan: Scan<'de>,
    /// How many lists and objects may still be opened in each other.
    levels: usize,
}

impl<'de> Value<'_, 'de> {
    /// Its JSON text as it stands there.
    pub(super) fn raw(self) -> Result<&'de str, Fault> {
        self.passed(Care::Grammar, usize::MAX).map(|(_, raw)| raw)
    }

    /// Its JSON text with the place where it begins; it may be nested no deeper than what is around it lets it.
    pub(super) fn placed(self) -> Result<(usize, &'de str), Fault> {
        let levels = self.0.levels;
        self.passed(Care::Grammar, levels)
    }

    /// Its first byte.
    pub(super) fn first(&mut self) -> Result<u8, Fault> {
        self.0.scan.peek()
    }

    /// Reads it and forgets it.
    pub(super) fn skip(self) -> Result<(), Fault> {
        let levels = self.0.levels;
        self.0.scan.pass(Care::Readable, levels)
    }

    /// Its JSON text, which is read as if it were skipped.
    pub(super) fn read(self) -> Result<&'de str, Fault> {
        let levels = self.0.levels;
        self.passed(Care::Readable, levels).map(|(_, raw)| raw)
    }

    /// Passes it, though it may not be readable.
    pub(super) fn ignore(self) -> Result<(), Fault> {
        self.0.scan.pass(Care::Grammar, usize::MAX)
    }

    /// Hands what is in it to a fold.
    pub(super) fn fold<T: Fold<'de>>(self, fold: &mut T) -> Result<Shape, Fault> {
        self.0.fold(fold)
    }

    /// Hands what is in it to a fold; the place where it stands.
    pub(super) fn fold_placed<T: Fold<'de>>(self, fold: &mut T) -> Result<Range<usize>, Fault> {
        self.0.scan.peek()?;
        let start = self.0.scan.at;
        self.0.fold(fold)?;
        Ok(start..self.0.scan.at)
    }

    /// Hands what is in it to a fold as [`value`] does, so that it is passed where it cannot be read to its end; whether
    /// it could be, with its JSON text.
    pub(super) fn try_fold<T: Fold<'de>>(self, fold: &mut T) -> Result<(bool, &'de str), Fault> {
        self.0.scan.peek()?;
        let start = self.0.scan.at;
        let levels = std::mem::replace(&mut self.0.levels, LEVELS);
        let is_read = self.0.fold(fold).is_ok();
        self.0.levels = levels;
        if !is_read {
            self.0.scan.at = start;
            self.0.scan.pass(Care::Grammar, usize::MAX)?;
        }
        Ok((is_read, &self.0.scan.text[start..self.0.scan.at]))
    }

    fn passed(self, care: Care, levels: usize) -> Result<(usize, &'de str), Fault> {
        let scan = &mut self.0.scan;
        scan.peek()?;
        let start = scan.at;
        scan.pass(care, levels)?;
        Ok((start, &scan.text[start..scan.at]))
    }
}

impl<'de> Reader<'de> {
    fn new(text: &'de str, levels: usize, passed: bool) -> Self {
        Self { scan: Scan { text, at: 0, passed, known: &[], found: None }, levels }
    }

    /// Folds a whole text, which must be one object.
    fn whole<T: Fold<'de>>(&mut self, fold: &mut T) -> Result<(), Fault> {
        match self.fold(fold)? {
            Shape::Object if self.scan.is_over() => Ok(()),
            _ => Err(Fault),
        }
    }

    fn fold<T: Fold<'de>>(&mut self, fold: &mut T) -> Result<Shape, Fault> {
        match self.scan.peek()? {
            b'{' => self.within(|reader| reader.fields(fold)).map(|()| Shape::Object),
            b'[' => self.within(|reader| reader.elements(fold)).map(|()| Shape::List),
            b'"' => self.text(fold).map(|()| Shape::Scalar),
            first => {
                self.scan.scalar(first, Care::Readable)?;
                Ok(if first == b'n' { Shape::Null } else { Shape::Scalar })
            }
        }
    }

    /// Reads what is in a list or an object, at whose first byte it stands.
    fn within(&mut self, read: impl FnOnce(&mut Self) -> Result<(), Fault>) -> Result<(), Fault> {
        self.levels = self.levels.checked_sub(1).ok_or(Fault)?;
        self.scan.at += 1;
        read(self)?;
        self.levels += 1;
        Ok(())
    }

    fn fields<T: Fold<'de>>(&mut self, fold: &mut T) -> Result<(), Fault> {
        if self.ends(b'}')? {
            return Ok(());
        }
        loop {
            match self.scan.name()? {
                (name, Escapes::None) => fold.field(&name[1..name.len() - 1], Value(self))?,
                (name, _) => fold.field(&text(name).ok_or(Fault)?, Value(self))?,
            }
            if !self.goes_on(b'}')? {
                return Ok(());
            }
        }
    }

    fn elements<T: Fold<'de>>(&mut self, fold: &mut T) -> Result<(), Fault> {
        if self.ends(b']')? {
            return Ok(());
        }
        loop {
            fold.element(Value(self))?;
            if !self.goes_on(b']')? {
                return Ok(());
            }
        }
    }

    /// Whether a list or an object is empty.
    fn ends(&mut self, end: u8) -> Result<bool, Fault> {
        let ends = self.scan.peek()? == end;
        self.scan.at += usize::from(ends);
        Ok(ends)
    }

    /// Whether a comma follows, else `end` has to.
    fn goes_on(&mut self, end: u8) -> Result<bool, Fault> {
        let byte = self.scan.peek()?;
        self.scan.at += 1;
        if byte == b',' || byte == end { Ok(byte == b',') } else { Err(Fault) }
    }

    fn text<T: Fold<'de>>(&mut self, fold: &mut T) -> Result<(), Fault> {
        let start = self.scan.at;
        let escapes = self.scan.string()?;
        let raw = &self.scan.text[start..self.scan.at];
        let known = if raw.len() < LONG { None } else { self.scan.known(start) };
        match escapes {
            Escapes::None => fold.text(&raw[1..raw.len() - 1], known.map_or(0, |known| known.base64)),
            _ => fold.text(&text(raw).ok_or(Fault)?, 0),
        }
        Ok(())
    }
}

/// Folds a whole JSON text, which must be one object.
///
/// # Errors
/// It is none.
pub(super) fn object<'de, T: Fold<'de>>(text: &'de str, fold: &mut T) -> Result<(), Fault> {
    Reader::new(text, LEVELS, false).whole(fold)
}

/// As [`object`], with no more than `levels` lists and objects in each other; the long texts in it.
///
/// # Errors
/// It is none.
pub(super) fn within<'de, T: Fold<'de>>(
    text: &'de str,
    levels: usize,
    fold: &mut T,
) -> Result<Vec<Stretch>, Fault> {
    let mut reader = Reader::new(text, levels, false);
    reader.scan.found = Some(Vec::new());
    reader.whole(fold)?;
    Ok(reader.scan.found.unwrap_or_default())
}

/// A value in a text that was passed before, with what is known of that.
#[derive(Clone, Copy)]
pub(super) struct Passage<'a> {
    /// The whole text.
    pub(super) text: &'a str,
    /// Where the value begins.
    pub(super) at: usize,
    /// The text's long texts.
    pub(super) known: &'a [Stretch],
}

impl<'a> Passage<'a> {
    /// Folds it, as [`value`] does.
    pub(super) fn fold<T: Fold<'a>>(self, fold: &mut T) -> bool {
        let Self { text, at, known } = self;
        Reader { scan: Scan { text, at, passed: true, known, found: None }, levels: LEVELS }
            .fold(fold)
            .is_ok()
    }
}

/// Folds a value of any shape that was passed before; whether it could be read to its end, which a number without
/// bounds, say, prevents.
pub(super) fn value<'de, T: Fold<'de>>(raw: &'de str, fold: &mut T) -> bool {
    Reader::new(raw, LEVELS, true).fold(fold).is_ok()
}

/// Folds the value with which a text begins; its shape.
///
/// # Errors
/// It cannot be read.
pub(super) fn shape<'de, T: Fold<'de>>(text: &'de str, fold: &mut T) -> Result<Shape, Fault> {
    Reader::new(text, LEVELS, false).fold(fold)
}

/// Whether JSON text is a string with something in it.
pub(super) fn is_text(raw: &str) -> bool {
    raw.len() > 2 && raw.starts_with('"')
}

/// Whether JSON text says something: not `null`, `false`, `""`, `[]` or `{}`.
pub(super) fn is_something(raw: &str) -> bool {
    !is_empty(raw)
}

fn is_empty(text: &str) -> bool {
    match text.as_bytes() {
        b"null" | b"false" | b"\"\"" => true,
        [b'[', inner @ .., b']'] | [b'{', inner @ .., b'}'] => inner.iter().all(u8::is_ascii_whitespace),
        _ => false,
    }
}

/// A text, borrowed unless it is written with escapes.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// Reads a JSON string that may hold escapes; `None` for anything else. `raw` has to be JSON.
pub(super) fn text(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    match memchr::memchr(b'\\', inner.as_bytes()) {
        None => Some(Cow::Borrowed(inner)),
        Some(_) => serde_json::from_str::<Text<'_>>(raw).ok().map(|text| text.0),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;

    struct Nothing;

    impl Fold<'_> for Nothing {}

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
        let deep = |n| format!("{{\"a\":{}{}}}", "[".repeat(n), "]".repeat(n));
        assert!(object(&deep(126), &mut Nothing).is_ok());
        assert!(object(&deep(127), &mut Nothing).is_err());
        assert!(object(&deep(100_000), &mut Nothing).is_err());
    }

    /// All there is, by fold or passed over, to be compared with another reader's findings.
    #[derive(Default)]
    struct All<'de>(Vec<(String, &'de str)>);

    impl<'de> Fold<'de> for All<'de> {
        fn field(&mut self, name: &str, value: Value<'_, 'de>) -> Result<(), Fault> {
            let raw = value.raw()?;
            self.0.push((name.to_owned(), raw));
            Ok(())
        }

        fn element(&mut self, value: Value<'_, 'de>) -> Result<(), Fault> {
            let raw = value.raw()?;
            self.0.push((String::new(), raw));
            Ok(())
        }
    }

    /// Reads the text with both, in each way.
    fn agree(text: &str) -> Result<(), TestCaseError> {
        let is_object = text.trim_start().starts_with('{');
        let strict = serde_json::from_str::<serde_json::Value>(text);
        prop_assert_eq!(object(text, &mut Nothing).is_ok(), strict.is_ok() && is_object, "{}", text);
        let raw = serde_json::from_str::<&RawValue>(text);
        let mut all = All::default();
        if let Ok(raw) = raw {
            let whole = raw.get();
            let mut scan = Scan { text: whole, at: 0, passed: false, known: &[], found: None };
            prop_assert_eq!(scan.pass(Care::Grammar, usize::MAX), Ok(()), "{}", text);
            prop_assert_eq!(scan.at, whole.len());
            prop_assert_eq!(value(whole, &mut Nothing), strict.is_ok(), "{}", text);
        }
        let fields = serde_json::from_str::<std::collections::BTreeMap<String, &RawValue>>(text);
        prop_assert_eq!(object(text, &mut all).is_ok(), fields.is_ok() && is_object, "{}", text);
        if let Ok(fields) = fields {
            let mine: std::collections::BTreeMap<String, &str> = all.0.into_iter().collect();
            let theirs: std::collections::BTreeMap<_, _> =
                fields.into_iter().map(|(name, raw)| (name, raw.get())).collect();
            prop_assert_eq!(mine, theirs);
        }
        Ok(())
    }

    fn json() -> impl Strategy<Value = String> {
        let text = prop_oneof![
            "[a-z\"\\\\é\u{0}-\u{1f} ]{0,12}".prop_map(|text| serde_json::to_string(&text).unwrap()),
            prop::sample::select(
                &[
                    "\"\\ud83d\\ude00\"",
                    "\"\\ud83d\"",
                    "\"\\ude00x\"",
                    "\"\\uD7ff\\uE000\"",
                    "\"\\u12\"",
                    "\"a\tb\"",
                    "\"\\x\"",
                    "\"\\/\\b\\f\"",
                ][..]
            )
            .prop_map(str::to_owned),
            "\"[a-zé]{0,200}\"",
        ];
        let number = prop::sample::select(
            &[
                "0",
                "-0",
                "01",
                "1.",
                ".5",
                "1e5",
                "1E+",
                "1e999",
                "-1e-999",
                "1.5e3",
                "-",
                "--1",
                "123456789012345678901234567890",
                "+1",
                "1e",
                "0x1",
                "1.0",
            ][..],
        );
        let leaf = prop_oneof![
            3 => text.clone(),
            2 => number.prop_map(str::to_owned),
            2 => prop::sample::select(&["null", "true", "false", "nul", "tru", "falsey", ""][..]).prop_map(str::to_owned),
        ];
        let space = || prop::sample::select(&["", "", " ", "\n\t\r", "\u{b}"][..]);
        leaf.prop_recursive(4, 24, 4, move |inner| {
            let list = (prop::collection::vec((space(), inner.clone(), space()), 0..4)).prop_map(|list| {
                let list: Vec<_> = list.into_iter().map(|(a, b, c)| format!("{a}{b}{c}")).collect();
                format!("[{}]", list.join(","))
            });
            let object =
                prop::collection::vec((space(), text.clone(), space(), inner), 0..4).prop_map(|list| {
                    let list: Vec<_> =
                        list.into_iter().map(|(a, b, c, d)| format!("{a}{b}{c}:{a}{d}{c}")).collect();
                    format!("{{{}}}", list.join(","))
                });
            prop_oneof![list, object.clone(), object]
        })
    }

    proptest! {
        #[test]
        fn any_text_is_read_as_others_read_it(text in ".{0,40}") {
            agree(&text)?;
        }

        #[test]
        fn any_json_is_read_as_others_read_it(text in json(), cut in any::<prop::sample::Index>()) {
            agree(&text)?;
            agree(&format!("{{\"a\":{text}}}"))?;
            agree(&format!(" {{ \"a\" :{text}\n, \"b\":1}} "))?;
            let end = text.floor_char_boundary(cut.index(text.len() + 1));
            let (before, behind) = text.split_at(end);
            agree(before)?;
            agree(&format!("{before}{}", behind.chars().skip(1).collect::<String>()))?;
        }

        #[test]
        fn marks_in_any_order_are_read_as_others_read_them(parts in prop::collection::vec(prop::sample::select(&[
            "{", "}", "[", "]", ":", ",", "\"a\"", "\"b", "\"", "\\", "1", "-", "e1", ".", "null", " ", "\"\\u0000\"", "true",
        ][..]), 0..24)) {
            agree(&parts.concat())?;
            agree(&format!("{{\"a\":{}}}", parts.concat()))?;
        }

        #[test]
        fn a_text_ends_where_it_ends(before in "[ -~é]{0,300}", at in 0_usize..300, odd in prop::sample::select(&["\"", "\\", "\u{1}", "\u{1f}", "\u{7f}", "\u{80}"][..])) {
            let mut text = before.replace(['"', '\\'], "");
            let at = text.floor_char_boundary(at.min(text.len()));
            text.insert_str(at, odd);
            agree(&format!("{{\"a\":\"{text}\"}}"))?;
        }
    }
}
