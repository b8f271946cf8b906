//! What in a tree does not fit the schema.
//!
//! The schema is Weir's own, derived from its types, so only the keywords are read that occur there; a test says so, another
//! one compares the findings with those of a complete validator.

use serde_json::{Map, Number, Value};

use crate::base::money::{Nanos, Pico};

use super::{HedgeAfter, Size, Span, path::KeyPath};

/// A value that does not fit.
#[derive(Debug)]
pub(crate) struct Misfit<'a> {
    /// Where it stands.
    pub(crate) path: KeyPath,
    /// The value.
    pub(crate) value: &'a Value,
    /// Why it does not fit.
    pub(crate) kind: Kind<'a>,
}

/// Why a value does not fit.
#[derive(Debug)]
pub(crate) enum Kind<'a> {
    /// A table has a key that nobody knows.
    Unknown(&'a str),
    /// A table lacks a key.
    Missing(&'a str),
    /// It is of another type.
    Type,
    /// It is not written as this format asks for.
    Format(&'a str),
    /// It is too small a number.
    Small,
    /// It is too large a number.
    Large,
    /// It fits none of the alternatives: the findings of each.
    Neither(Vec<Vec<Misfit<'a>>>),
    /// It is not among what is listed.
    Other,
}

/// The keywords that are read, in the order in which they are asked.
const KEYWORDS: [&str; 11] =
    ["type", "const", "enum", "minimum", "maximum", "required", "format", "items", "anyOf", "oneOf", "$ref"];

/// All that in `value` does not fit the schema at `root`.
pub(crate) fn misfits<'a>(root: &'a Value, value: &'a Value) -> Vec<Misfit<'a>> {
    let mut found = Vec::new();
    Look { root, found: &mut found }.compare(root, value, &KeyPath::default());
    found
}

struct Look<'a, 'f> {
    root: &'a Value,
    found: &'f mut Vec<Misfit<'a>>,
}

impl<'a> Look<'a, '_> {
    fn compare(&mut self, schema: &'a Value, value: &'a Value, path: &KeyPath) {
        let Value::Object(rules) = schema else { return };
        for keyword in KEYWORDS {
            if let Some(rule) = rules.get(keyword) {
                self.ask(keyword, rule, value, path);
            }
        }
        if let Value::Object(table) = value {
            self.entries(rules, table, value, path);
        }
    }

    fn ask(&mut self, keyword: &str, rule: &'a Value, value: &'a Value, path: &KeyPath) {
        match (keyword, value) {
            ("type", _) if !has_type(rule, value) => self.push(path, value, Kind::Type),
            ("const", _) if rule != value => self.push(path, value, Kind::Other),
            ("enum", _) if !listed(rule).any(|choice| choice == value) => {
                self.push(path, value, Kind::Other);
            }
            ("minimum", Value::Number(number)) if is_less(number, rule) => {
                self.push(path, value, Kind::Small);
            }
            ("maximum", Value::Number(number)) if is_more(number, rule) => {
                self.push(path, value, Kind::Large);
            }
            ("required", Value::Object(table)) => {
                for key in listed(rule).filter_map(Value::as_str).filter(|key| !table.contains_key(*key)) {
                    self.push(path, value, Kind::Missing(key));
                }
            }
            ("format", Value::String(text)) => {
                if let Some(format) = rule.as_str().filter(|format| !is_written(format, text)) {
                    self.push(path, value, Kind::Format(format));
                }
            }
            ("items", Value::Array(items)) => {
                for (at, item) in items.iter().enumerate() {
                    self.compare(rule, item, &path.index(at));
                }
            }
            ("anyOf", _) => self.any(rule, value, path),
            ("oneOf", _) if listed(rule).filter(|&schema| self.fits(schema, value)).count() != 1 => {
                self.push(path, value, Kind::Other);
            }
            ("$ref", _) => {
                let target = rule.as_str().and_then(|target| target.strip_prefix('#'));
                if let Some(schema) = target.and_then(|target| self.root.pointer(target)) {
                    self.compare(schema, value, path);
                }
            }
            _ => {}
        }
    }
}

impl<'a> Look<'a, '_> {
    /// `properties`, `additionalProperties`.
    fn entries(
        &mut self,
        rules: &'a Map<String, Value>,
        table: &'a Map<String, Value>,
        value: &'a Value,
        path: &KeyPath,
    ) {
        let known = rules.get("properties").and_then(Value::as_object);
        let others = rules.get("additionalProperties");
        for (key, entry) in table {
            match known.and_then(|known| known.get(key)).or(others) {
                Some(Value::Bool(false)) => self.push(path, value, Kind::Unknown(key)),
                Some(schema) => self.compare(schema, entry, &path.key(key)),
                None => {}
            }
        }
    }

    fn any(&mut self, alternatives: &'a Value, value: &'a Value, path: &KeyPath) {
        let mut findings = Vec::new();
        for schema in listed(alternatives) {
            let mut found = Vec::new();
            Look { root: self.root, found: &mut found }.compare(schema, value, path);
            if found.is_empty() {
                return;
            }
            findings.push(found);
        }
        self.push(path, value, Kind::Neither(findings));
    }

    fn fits(&self, schema: &'a Value, value: &'a Value) -> bool {
        let mut found = Vec::new();
        Look { root: self.root, found: &mut found }.compare(schema, value, &KeyPath::default());
        found.is_empty()
    }

    fn push(&mut self, path: &KeyPath, value: &'a Value, kind: Kind<'a>) {
        self.found.push(Misfit { path: path.clone(), value, kind });
    }
}

fn listed(rule: &Value) -> impl Iterator<Item = &Value> {
    rule.as_array().into_iter().flatten()
}

fn has_type(rule: &Value, value: &Value) -> bool {
    let is = |kind: &Value| match (kind.as_str(), value) {
        (Some("null"), Value::Null)
        | (Some("boolean"), Value::Bool(_))
        | (Some("string"), Value::String(_))
        | (Some("array"), Value::Array(_))
        | (Some("object"), Value::Object(_))
        | (Some("number"), Value::Number(_)) => true,
        // A number written with a point may be whole.
        (Some("integer"), Value::Number(number)) => {
            whole(number).is_some() || number.as_f64().is_some_and(|number| number.fract() == 0.0)
        }
        _ => false,
    };
    if rule.is_array() { listed(rule).any(is) } else { is(rule) }
}

fn whole(number: &Number) -> Option<i128> {
    number.as_i64().map(i128::from).or(number.as_u64().map(i128::from))
}

fn is_less(number: &Number, limit: &Value) -> bool {
    limit.as_number().is_some_and(|limit| match (whole(number), whole(limit)) {
        (Some(number), Some(limit)) => number < limit,
        _ => number.as_f64() < limit.as_f64(),
    })
}

fn is_more(number: &Number, limit: &Value) -> bool {
    limit.as_number().is_some_and(|limit| match (whole(number), whole(limit)) {
        (Some(number), Some(limit)) => number > limit,
        _ => number.as_f64() > limit.as_f64(),
    })
}

/// Whether a text is written as a format asks for; one that is not known here asks for nothing.
fn is_written(format: &str, text: &str) -> bool {
    match format {
        "span" => Span::parse(text).is_ok(),
        "size" => Size::parse(text).is_ok(),
        "hedge" => HedgeAfter::parse(text).is_ok(),
        "price" => Pico::parse(text).is_ok(),
        "money" => Nanos::parse(text).is_ok(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use jsonschema::{ValidationError, error::ValidationErrorKind};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::config::schema::Shape;

    /// What says something of a value, and is not read here: words for people, names of formats that ask for nothing.
    const SILENT: [&str; 5] = ["$schema", "title", "description", "default", "$defs"];
    const FORMATS: [&str; 13] = [
        "span", "size", "hedge", "price", "money", "secret", "double", "uint", "int8", "uint32", "uint64",
        "uint16", "uint8",
    ];

    fn known(schema: &Value) {
        let Value::Object(rules) = schema else { return assert!(schema.is_boolean(), "{schema}") };
        for (keyword, rule) in rules {
            match keyword.as_str() {
                "properties" | "$defs" => rule.as_object().unwrap().values().for_each(known),
                "additionalProperties" | "items" => known(rule),
                "anyOf" | "oneOf" => listed(rule).for_each(known),
                "format" => assert!(FORMATS.contains(&rule.as_str().unwrap()), "{rule}"),
                keyword => assert!(KEYWORDS.contains(&keyword) || SILENT.contains(&keyword), "{keyword}"),
            }
        }
    }

    #[test]
    fn every_keyword_is_known() {
        known(Shape::new().root());
    }

    fn own(found: &[Misfit<'_>]) -> Vec<String> {
        let mut told: Vec<String> = found
            .iter()
            .map(|Misfit { path, value, kind }| match kind {
                Kind::Neither(several) => {
                    format!("{path} {value} {:?}", several.iter().map(|found| own(found)).collect::<Vec<_>>())
                }
                kind => format!("{path} {value} {kind:?}"),
            })
            .collect();
        told.sort();
        told
    }

    /// Reads a JSON pointer. Whether `/0` is an element or an entry is told by the values.
    fn path_of(root: &Value, pointer: &str) -> KeyPath {
        let (mut path, mut at) = (KeyPath::default(), Some(root));
        for token in pointer.split('/').skip(1) {
            let token = token.replace("~1", "/").replace("~0", "~");
            (path, at) = match (at, token.parse()) {
                (Some(Value::Array(items)), Ok(index)) => (path.index(index), items.get(index)),
                (value, _) => (path.key(&token), value.and_then(|value| value.get(&token))),
            };
        }
        path
    }

    fn theirs(root: &Value, errors: &[ValidationError<'_>]) -> Vec<String> {
        let mut told = Vec::new();
        for error in errors {
            let at = format!("{} {}", path_of(root, error.instance_path().as_str()), error.instance());
            match error.kind() {
                ValidationErrorKind::AdditionalProperties { unexpected } => {
                    told.extend(unexpected.iter().map(|key| format!("{at} {:?}", Kind::Unknown(key))));
                }
                ValidationErrorKind::Required { property } => {
                    told.push(format!("{at} {:?}", Kind::Missing(property.as_str().unwrap())));
                }
                ValidationErrorKind::Type { .. } => told.push(format!("{at} {:?}", Kind::Type)),
                ValidationErrorKind::Format { format } => {
                    told.push(format!("{at} {:?}", Kind::Format(format)));
                }
                ValidationErrorKind::Minimum { .. } => told.push(format!("{at} {:?}", Kind::Small)),
                ValidationErrorKind::Maximum { .. } => told.push(format!("{at} {:?}", Kind::Large)),
                ValidationErrorKind::AnyOf { context } => {
                    let context: Vec<_> = context.iter().map(|errors| theirs(root, errors)).collect();
                    told.push(format!("{at} {context:?}"));
                }
                _ => told.push(format!("{at} {:?}", Kind::Other)),
            }
        }
        told.sort();
        told
    }

    /// Values about as the schema has them, some of them broken.
    struct Maker<'a> {
        root: &'a Value,
        state: u64,
    }

    impl Maker<'_> {
        fn below(&mut self, limit: usize) -> usize {
            self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (self.state >> 33) as usize % limit
        }

        fn odd(&mut self) -> Value {
            let odd = [
                json!("word"),
                json!("5s"),
                json!("1MiB"),
                json!("p95"),
                json!("0.5"),
                json!(""),
                json!(-1),
                json!(0),
                json!(3),
                json!(7.0),
                json!(0.5),
                json!(-0.5),
                json!(1e300),
                json!(5_000_000_000_u64),
                json!(u64::MAX),
                json!(i64::MIN),
                json!(true),
                json!(null),
                json!([]),
                json!(["word", 1]),
                json!({}),
                json!({ "a/b~c": { "model": 1 }, "0": [0] }),
            ];
            odd[self.below(odd.len())].clone()
        }

        fn make(&mut self, schema: &Value, depth: u32) -> Value {
            if depth > 12 || self.below(30) == 0 {
                return self.odd();
            }
            if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
                return self.make(self.root.pointer(&target[1..]).unwrap(), depth + 1);
            }
            for several in ["anyOf", "oneOf", "enum"] {
                if let Some(several) = schema.get(several).and_then(Value::as_array) {
                    let one = &several[self.below(several.len())];
                    return if one.is_object() { self.make(one, depth + 1) } else { one.clone() };
                }
            }
            if let Some(only) = schema.get("const") {
                return only.clone();
            }
            if let Some(schema) = schema.get("items") {
                return (0..self.below(4)).map(|_| self.make(schema, depth + 1)).collect();
            }
            let (known, others) = (schema.get("properties"), schema.get("additionalProperties"));
            if known.is_none() && others.is_none() {
                return self.odd();
            }
            let mut table = Map::new();
            for (key, schema) in known.and_then(Value::as_object).into_iter().flatten() {
                if self.below(3) == 0 {
                    table.insert(key.clone(), self.make(schema, depth + 1));
                }
            }
            for key in ["a", "0", "b/c"] {
                if self.below(12) == 0 || others.is_some_and(Value::is_object) {
                    table.insert(key.into(), self.make(others.unwrap_or(&Value::Null), depth + 1));
                }
            }
            table.into()
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn a_complete_validator_finds_the_same(state: u64) {
            let shape = Shape::new();
            let validator = jsonschema::draft202012::options()
                .should_validate_formats(true)
                .with_format("span", |text: &str| Span::parse(text).is_ok())
                .with_format("size", |text: &str| Size::parse(text).is_ok())
                .with_format("hedge", |text: &str| HedgeAfter::parse(text).is_ok())
                .with_format("price", |text: &str| Pico::parse(text).is_ok())
                .with_format("money", |text: &str| Nanos::parse(text).is_ok())
                .build(shape.root())
                .unwrap();
            let mut maker = Maker { root: shape.root(), state };
            for _ in 0..20 {
                let root = maker.make(shape.root(), 0);
                let errors: Vec<_> = validator.iter_errors(&root).collect();
                prop_assert_eq!(own(&misfits(shape.root(), &root)), theirs(&root, &errors));
            }
        }
    }
}
