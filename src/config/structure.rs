//! The check of the merged tree against the schema: names, types, ranges.

use crate::base::money::{Nanos, Pico};

use super::{
    HedgeAfter, Size, Span,
    fault::Fault,
    path::KeyPath,
    schema::Shape,
    tree::Tree,
    wording::{shown, suggestion},
};
use jsonschema::{ValidationError, error::ValidationErrorKind};

/// What the check found.
#[derive(Default)]
pub(crate) struct Structure {
    /// All that does not fit the schema.
    pub(crate) faults: Vec<Fault>,
    /// What to leave out so that the rest can be read.
    pub(crate) faulty: Vec<KeyPath>,
}

/// Checks a tree; finds every fault of structure at once.
pub(crate) fn check(tree: &Tree, shape: &Shape) -> Structure {
    let validator = shape.validator();
    let mut found = Structure::default();
    // The quick answer for the usual case: collecting errors costs more than finding none.
    if validator.is_valid(&tree.root) {
        return found;
    }
    for error in validator.iter_errors(&tree.root) {
        Explain { tree, shape, found: &mut found }.explain(&error);
    }
    found
}

struct Explain<'a> {
    tree: &'a Tree,
    shape: &'a Shape,
    found: &'a mut Structure,
}

impl Explain<'_> {
    fn explain(&mut self, error: &ValidationError<'_>) {
        let path = self.tree.path_of(error.instance_path().as_str());
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                unexpected.iter().for_each(|key| self.unknown(&path, key));
            }
            ValidationErrorKind::Required { property } => {
                self.missing(&path, property.as_str().unwrap_or_default());
            }
            ValidationErrorKind::AnyOf { context } => match meant(error, context) {
                Some(errors) => errors.iter().for_each(|error| self.explain(error)),
                None => self.unfit(&path, error),
            },
            _ => self.unfit(&path, error),
        }
    }

    fn unknown(&mut self, table: &KeyPath, key: &str) {
        let known = self.shape.keys(table);
        let remedy = suggestion(key, known.iter().copied(), "known keys here");
        let path = table.key(key);
        self.push(&path, "unknown key".to_owned(), remedy);
        self.found.faulty.push(path);
    }

    fn missing(&mut self, table: &KeyPath, key: &str) {
        let path = table.key(key);
        let remedy = self.remedy(&path);
        self.push(&path, "is missing".to_owned(), remedy);
        self.leave_out(table.clone());
    }

    fn unfit(&mut self, path: &KeyPath, error: &ValidationError<'_>) {
        let value = shown(error.instance(), self.shape.holds_secret(path));
        let (problem, remedy) = match error.kind() {
            ValidationErrorKind::Format { format } => {
                let (what, form) = match format.as_str() {
                    "span" => ("a span of time", Span::FORM),
                    "hedge" => ("a time for hedges", HedgeAfter::FORM),
                    "price" => ("a price", Pico::FORM),
                    "money" => ("an amount of money", Nanos::FORM),
                    _ => ("a size", Size::FORM),
                };
                let remedy = format!("Write {form}. {}", self.shape.meaning(path));
                (format!("{value} is not {what}"), remedy)
            }
            ValidationErrorKind::Minimum { .. } | ValidationErrorKind::ExclusiveMinimum { .. } => {
                (format!("{value} is too small"), self.remedy(path))
            }
            ValidationErrorKind::Maximum { .. } | ValidationErrorKind::ExclusiveMaximum { .. } => {
                (format!("{value} is too large"), self.remedy(path))
            }
            _ => (format!("{value} does not fit here"), self.remedy(path)),
        };
        self.push(path, problem, remedy.trim_end().to_owned());
        self.leave_out(path.clone());
    }

    fn remedy(&self, path: &KeyPath) -> String {
        let mut remedy = match self.shape.expectation(path) {
            expected if expected.is_empty() => String::new(),
            expected => format!("Write {expected}."),
        };
        let meaning = self.shape.meaning(path);
        if !meaning.is_empty() {
            remedy.push(' ');
            remedy.push_str(&meaning);
        }
        remedy
    }

    fn push(&mut self, path: &KeyPath, problem: String, remedy: String) {
        let source = self.tree.origin(path).to_owned();
        self.found.faults.push(Fault { source, key: path.to_string(), problem, remedy });
    }

    /// Leaves out a value, with the tables around it that cannot be read without it.
    fn leave_out(&mut self, mut path: KeyPath) {
        while self.shape.is_required(&path) {
            match path.parent() {
                Some(parent) => path = parent,
                None => break,
            }
        }
        self.found.faulty.push(path);
    }
}

/// The errors of the one alternative whose type the value has: those are the ones its author wants to read.
fn meant<'a>(
    error: &ValidationError<'_>,
    context: &'a [Vec<ValidationError<'static>>],
) -> Option<&'a Vec<ValidationError<'static>>> {
    let here = error.instance_path().as_str();
    let of_type = |errors: &&Vec<ValidationError<'static>>| {
        !errors.iter().any(|inner| {
            matches!(inner.kind(), ValidationErrorKind::Type { .. }) && inner.instance_path().as_str() == here
        })
    };
    let mut fitting = context.iter().filter(of_type);
    match (fitting.next(), fitting.next()) {
        (Some(errors), None) if !errors.is_empty() => Some(errors),
        _ => None,
    }
}
