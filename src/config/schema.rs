//! The JSON Schema derived from the configuration's types, as a thing to ask.

use serde_json::{Value, json};

use crate::base::money::{Nanos, Pico};

use super::{
    Config, HedgeAfter, Size, Span,
    path::{KeyPath, Step},
    wording::listed,
};

/// How deep a search through the schema goes. The types are no deeper than 8; the bound keeps a type that
/// holds itself from looping.
const DEEPEST: usize = 16;

/// What a configuration may look like.
pub(crate) struct Shape {
    root: Value,
}

impl Shape {
    /// Derives the schema from [`Config`].
    pub(crate) fn new() -> Self {
        let mut root = schemars::schema_for!(Config).to_value();
        bound_integers(&mut root, 0);
        Self { root }
    }

    /// The schema itself.
    pub(crate) fn root(&self) -> &Value {
        &self.root
    }

    /// What may stand at a place: the alternatives, references followed; empty where nothing is known.
    pub(crate) fn at(&self, path: &KeyPath) -> Vec<&Value> {
        let start = self.alternatives(&self.root);
        path.0.iter().fold(start, |nodes, step| {
            nodes
                .into_iter()
                .filter_map(|node| child(node, step))
                .flat_map(|node| self.alternatives(node))
                .collect()
        })
    }

    /// What a node allows besides nothing: references followed, `anyOf` taken apart.
    pub(crate) fn alternatives<'a>(&'a self, node: &'a Value) -> Vec<&'a Value> {
        let mut found = Vec::new();
        self.collect(node, DEEPEST, &mut found);
        found
    }

    fn collect<'a>(&'a self, node: &'a Value, depth: usize, found: &mut Vec<&'a Value>) {
        if depth == 0 || node.get("type").is_some_and(|kind| kind == "null") {
            return;
        }
        if let Some(target) = node.get("$ref").and_then(Value::as_str) {
            if let Some(node) = target.strip_prefix('#').and_then(|at| self.root.pointer(at)) {
                self.collect(node, depth - 1, found);
            }
        } else if let Some(several) = node.get("anyOf").and_then(Value::as_array) {
            for node in several {
                self.collect(node, depth - 1, found);
            }
        } else {
            found.push(node);
        }
    }

    /// The words of the documentation about the value at a place, on one line.
    pub(crate) fn meaning(&self, path: &KeyPath) -> String {
        let Some((last, parents)) = path.0.split_last() else {
            return String::new();
        };
        self.at(&KeyPath(parents.to_vec()))
            .into_iter()
            .filter_map(|node| child(node, last))
            .find_map(|node| node.get("description").and_then(Value::as_str))
            .map(|text| text.replace('\n', " "))
            .unwrap_or_default()
    }

    /// Whether a secret may stand at the place or below it.
    pub(crate) fn holds_secret(&self, path: &KeyPath) -> bool {
        self.at(path).into_iter().any(|node| self.has_secret(node, DEEPEST))
    }

    fn has_secret(&self, node: &Value, depth: usize) -> bool {
        if depth == 0 {
            return false;
        }
        if node.get("format").is_some_and(|format| format == "secret") {
            return true;
        }
        let fields = node.get("properties").and_then(Value::as_object);
        let inner = fields.into_iter().flat_map(serde_json::Map::values);
        inner
            .chain(node.get("items"))
            .chain(node.get("additionalProperties"))
            .flat_map(|node| self.alternatives(node))
            .any(|node| self.has_secret(node, depth - 1))
    }

    /// Whether a price or an amount of money stands at the place.
    pub(crate) fn holds_money(&self, path: &KeyPath) -> bool {
        self.at(path).into_iter().any(|node| {
            node.get("format")
                .and_then(Value::as_str)
                .is_some_and(|format| ["price", "money"].contains(&format))
        })
    }

    /// The keys that a table at the place may have by name.
    pub(crate) fn keys(&self, path: &KeyPath) -> Vec<&str> {
        let tables = self.at(path).into_iter();
        tables
            .filter_map(|node| node.get("properties").and_then(Value::as_object))
            .flat_map(|fields| fields.keys().map(String::as_str))
            .collect()
    }

    /// Whether the table around the place cannot be read without it.
    pub(crate) fn is_required(&self, path: &KeyPath) -> bool {
        let (Some(parent), Some(key)) = (path.parent(), path.last_key()) else {
            return false;
        };
        self.at(&parent).into_iter().any(|node| {
            let required = node.get("required").and_then(Value::as_array);
            required.is_some_and(|keys| keys.iter().any(|required| required == key))
        })
    }

    /// Whether a value of a JSON Schema type (`string`, `integer`, ...) may stand at the place.
    pub(crate) fn takes(&self, path: &KeyPath, kind: &str) -> bool {
        self.at(path).into_iter().any(|node| types(node).any(|own| own == kind))
    }

    /// What to write at the place, as in `a whole number from 0`.
    pub(crate) fn expectation(&self, path: &KeyPath) -> String {
        self.expected(&self.at(path))
    }

    fn expected(&self, nodes: &[&Value]) -> String {
        let mut ways: Vec<String> = nodes.iter().map(|node| self.expected_one(node)).collect();
        ways.dedup();
        ways.join(", or ")
    }

    fn expected_one(&self, node: &Value) -> String {
        let choices = choices(node);
        if !choices.is_empty() {
            // In TOML's quotes, so that `http = 2` is told to become `http = "2"`.
            let choices: Vec<String> = choices.iter().map(|choice| format!("{choice:?}")).collect();
            return format!("one of {}", choices.join(", "));
        }
        match node.get("format").and_then(Value::as_str) {
            Some("span") => return format!("a span of time: {}", Span::FORM),
            Some("size") => return format!("a size: {}, or a number of bytes", Size::FORM),
            Some("hedge") => return HedgeAfter::FORM.into(),
            Some("price") => return Pico::FORM.into(),
            Some("money") => return Nanos::FORM.into(),
            Some("secret") => {
                return "a text: \"env:NAME\", \"file:/path/to/it\", or the secret itself".into();
            }
            _ => {}
        }
        let kind = types(node).find(|kind| *kind != "null").unwrap_or("value").to_owned();
        match kind.as_str() {
            "string" => "a text".into(),
            "boolean" => "true or false".into(),
            "number" => "a number".into(),
            "integer" => match (node.get("minimum"), node.get("maximum")) {
                (Some(least), Some(most)) => format!("a whole number from {least} to {most}"),
                (Some(least), None) => format!("a whole number from {least}"),
                _ => "a whole number".into(),
            },
            "array" => {
                let items = node.get("items").map(|items| self.alternatives(items));
                format!("an array, each element {}", self.expected(&items.unwrap_or_default()))
            }
            "object" => match node.get("required").and_then(Value::as_array) {
                Some(keys) => {
                    let keys: Vec<&str> = keys.iter().filter_map(Value::as_str).collect();
                    format!("a table with {}", listed(&keys))
                }
                None => "a table".into(),
            },
            _ => "another value".into(),
        }
    }
}

/// The texts that a node allows, where it allows only some.
pub(crate) fn choices(node: &Value) -> Vec<&str> {
    let listed = node.get("enum").and_then(Value::as_array);
    let described = node.get("oneOf").and_then(Value::as_array);
    let described = described.into_iter().flatten().filter_map(|node| node.get("const"));
    let choices = listed.into_iter().flatten().chain(described);
    choices.filter_map(Value::as_str).collect()
}

/// The types that a node allows.
pub(crate) fn types(node: &Value) -> impl Iterator<Item = &str> {
    let several = node.get("type").and_then(Value::as_array);
    let one = node.get("type").filter(|kind| kind.is_string());
    let choice = (!choices(node).is_empty()).then_some("string");
    let named = several.into_iter().flatten().chain(one).filter_map(Value::as_str);
    named.chain(choice)
}

fn child<'a>(node: &'a Value, step: &Step) -> Option<&'a Value> {
    match step {
        Step::Index(_) => node.get("items"),
        Step::Key(key) => {
            let own = node.get("properties").and_then(|fields| fields.get(key));
            own.or_else(|| node.get("additionalProperties").filter(|rest| rest.is_object()))
        }
    }
}

/// Gives 32-bit numbers their upper bound, which the derive leaves to the format's name.
fn bound_integers(node: &mut Value, depth: usize) {
    if depth > DEEPEST {
        return;
    }
    match node {
        Value::Object(fields) => {
            if fields.get("format").is_some_and(|format| format == "uint32") {
                fields.insert("maximum".into(), json!(u32::MAX));
            }
            fields.values_mut().for_each(|node| bound_integers(node, depth + 1));
        }
        Value::Array(items) => items.iter_mut().for_each(|node| bound_integers(node, depth + 1)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_tells_what_fits() {
        let shape = Shape::new();
        let at = |keys: &[&str]| shape.expectation(&KeyPath::of(keys));
        assert_eq!(at(&["auth", "mode"]), "one of \"keys\", \"open\"");
        assert_eq!(at(&["models", "any", "retries"]), "a whole number from 0 to 4294967295");
        assert_eq!(at(&["server", "tls"]), "a table with `cert`, `key`");
        let targets = KeyPath::of(&["routes", "r", "targets"]);
        assert_eq!(shape.expectation(&targets.index(0)), "a text, or a table with `model`");
        assert_eq!(at(&["nowhere"]), "");
    }

    #[test]
    fn secrets_are_found_through_arrays_and_tables() {
        let shape = Shape::new();
        let holds = |keys: &[&str]| shape.holds_secret(&KeyPath::of(keys));
        assert!(holds(&["server", "admin_token"]));
        assert!(holds(&["providers", "p", "api_keys"]));
        assert!(holds(&["providers"]));
        assert!(!holds(&["server", "listen"]));
        assert!(!holds(&["routes"]));
    }
}
