//! A call's arguments that come in pieces, each with its place.

use serde_json::{Map, Value};

use super::response::PartialArg;

/// The most bytes of one call's arguments, each piece with its path.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// How deep a path leads.
const MAX_DEPTH: usize = 64;

/// Arguments in the making.
#[derive(Debug)]
pub struct Pieces {
    root: Value,
    bytes: usize,
}

/// A piece that has no place, or one too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Misplaced;

enum Step {
    Name(String),
    At(usize),
}

impl Pieces {
    /// None so far, or what came whole.
    pub fn new(whole: Option<&str>) -> Self {
        let root = whole.and_then(|text| serde_json::from_str(text).ok()).filter(Value::is_object);
        Self { root: root.unwrap_or_else(|| Value::Object(Map::new())), bytes: whole.map_or(0, str::len) }
    }

    /// Puts a piece where it belongs. Texts at the same place are joined.
    ///
    /// # Errors
    /// Its path leads nowhere, or there are too many pieces.
    pub fn add(&mut self, piece: PartialArg) -> Result<(), Misplaced> {
        let value = match (piece.string_value, piece.number_value, piece.bool_value) {
            (Some(text), ..) => Value::String(text),
            (_, Some(number), _) => Value::Number(number),
            (_, _, Some(truth)) => Value::Bool(truth),
            _ => Value::Null,
        };
        self.bytes += piece.json_path.len() + value.as_str().map_or(16, str::len);
        if self.bytes > MAX_BYTES {
            return Err(Misplaced);
        }
        let mut place = &mut self.root;
        for step in steps(&piece.json_path).ok_or(Misplaced)? {
            place = match step {
                Step::Name(name) => {
                    if place.is_null() {
                        *place = Value::Object(Map::new());
                    }
                    place.as_object_mut().ok_or(Misplaced)?.entry(name).or_insert(Value::Null)
                }
                Step::At(at) => {
                    if place.is_null() {
                        *place = Value::Array(Vec::new());
                    }
                    let list = place.as_array_mut().ok_or(Misplaced)?;
                    if at == list.len() {
                        list.push(Value::Null);
                    }
                    list.get_mut(at).ok_or(Misplaced)?
                }
            };
        }
        match (place, value) {
            (Value::String(text), Value::String(more)) => text.push_str(&more),
            (place, value) if place.is_null() => *place = value,
            _ => return Err(Misplaced),
        }
        Ok(())
    }

    /// The arguments as JSON.
    pub fn json(&self) -> String {
        self.root.to_string()
    }
}

/// The steps of a path like `$.a[0]['b c']`, at least one.
fn steps(path: &str) -> Option<Vec<Step>> {
    let mut rest = path.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() && steps.len() < MAX_DEPTH {
        if let Some(name) = rest.strip_prefix('.') {
            let end = name.find(['.', '[']).unwrap_or(name.len());
            steps.push(Step::Name(name[..end].to_owned()));
            rest = &name[end..];
        } else {
            let (inside, after) = bracket(rest)?;
            steps.push(inside);
            rest = after;
        }
    }
    (rest.is_empty() && !steps.is_empty()).then_some(steps)
}

/// `[0]`, `['name']` or `["name"]`, with what comes after it.
fn bracket(text: &str) -> Option<(Step, &str)> {
    let inside = text.strip_prefix('[')?;
    for quote in ['\'', '"'] {
        if let Some(name) = inside.strip_prefix(quote) {
            let (name, after) = name.split_once(quote)?;
            return Some((Step::Name(name.to_owned()), after.strip_prefix(']')?));
        }
    }
    let (number, after) = inside.split_once(']')?;
    Some((Step::At(number.parse().ok()?), after))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn piece(path: &str, value: Value) -> PartialArg {
        PartialArg {
            json_path: path.into(),
            string_value: value.as_str().map(Into::into),
            number_value: value.as_number().cloned(),
            bool_value: value.as_bool(),
        }
    }

    #[test]
    fn pieces_find_their_place() {
        let mut pieces = Pieces::new(None);
        for (path, value) in [
            ("$.id", json!("A")),
            ("$.id", json!("B")),
            ("$.list[0].x", json!(1)),
            ("$.list[1]", json!(true)),
            ("$['a.b'][\"c\"]", json!(null)),
        ] {
            pieces.add(piece(path, value)).unwrap();
        }
        let expected = json!({"id": "AB", "list": [{"x": 1}, true], "a.b": {"c": null}});
        assert_eq!(serde_json::from_str::<Value>(&pieces.json()).unwrap(), expected);
        assert_eq!(Pieces::new(None).json(), "{}");
        assert_eq!(Pieces::new(Some("{\"a\":1}")).json(), "{\"a\":1}");
    }

    #[test]
    fn pieces_without_a_place_are_refused() {
        for path in ["", "$", "id", "$.list[1]", "$.list[x]", "$['a", "$.id.x", "$.id[0]", "$x"] {
            let mut pieces = Pieces::new(Some("{\"id\":1}"));
            assert_eq!(pieces.add(piece(path, json!("v"))), Err(Misplaced), "{path}");
        }
        let mut pieces = Pieces::new(None);
        assert_eq!(pieces.add(piece(&"$.a".repeat(99), json!("v"))), Err(Misplaced));
        let long = "x".repeat(MAX_BYTES);
        assert_eq!(pieces.add(piece("$.a", json!(long))), Err(Misplaced));
    }

    proptest! {
        #[test]
        fn any_path_is_taken_or_refused(paths in prop::collection::vec(r#"\$?([.\[\]'"a0-9]){0,12}"#, 0..9)) {
            let mut pieces = Pieces::new(None);
            for path in paths {
                let _ = pieces.add(piece(&path, json!("v")));
            }
            prop_assert!(serde_json::from_str::<Value>(&pieces.json()).is_ok());
        }
    }
}
