//! The check of the merged tree against the schema: names, types, ranges.

use crate::base::money::{Nanos, Pico};

use super::{
    HedgeAfter, Size, Span,
    fault::Fault,
    misfit::{Kind, Misfit, misfits},
    path::KeyPath,
    schema::Shape,
    tree::Tree,
    wording::{shown, suggestion},
};

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
    let mut found = Structure::default();
    for misfit in misfits(shape.root(), &tree.root) {
        Explain { tree, shape, found: &mut found }.explain(&misfit);
    }
    found
}

struct Explain<'a> {
    tree: &'a Tree,
    shape: &'a Shape,
    found: &'a mut Structure,
}

impl Explain<'_> {
    fn explain(&mut self, misfit: &Misfit<'_>) {
        match &misfit.kind {
            Kind::Unknown(key) => self.unknown(&misfit.path, key),
            Kind::Missing(key) => self.missing(&misfit.path, key),
            Kind::Neither(several) => match meant(misfit, several) {
                Some(misfits) => misfits.iter().for_each(|misfit| self.explain(misfit)),
                None => self.unfit(misfit),
            },
            _ => self.unfit(misfit),
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

    fn unfit(&mut self, misfit: &Misfit<'_>) {
        let path = &misfit.path;
        let value = shown(misfit.value, self.shape.holds_secret(path));
        let (problem, remedy) = match misfit.kind {
            Kind::Format(format) => {
                let (what, form) = match format {
                    "span" => ("a span of time", Span::FORM),
                    "hedge" => ("a time for hedges", HedgeAfter::FORM),
                    "price" => ("a price", Pico::FORM),
                    "money" => ("an amount of money", Nanos::FORM),
                    _ => ("a size", Size::FORM),
                };
                let remedy = format!("Write {form}. {}", self.shape.meaning(path));
                (format!("{value} is not {what}"), remedy)
            }
            Kind::Small => (format!("{value} is too small"), self.remedy(path)),
            Kind::Large => (format!("{value} is too large"), self.remedy(path)),
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

/// The findings of the one alternative whose type the value has: those are the ones its author wants to read.
fn meant<'a, 'v>(misfit: &Misfit<'_>, several: &'a [Vec<Misfit<'v>>]) -> Option<&'a Vec<Misfit<'v>>> {
    let of_type = |found: &&Vec<Misfit<'_>>| {
        !found.iter().any(|inner| matches!(inner.kind, Kind::Type) && inner.path == misfit.path)
    };
    let mut fitting = several.iter().filter(of_type);
    match (fitting.next(), fitting.next()) {
        (Some(found), None) => Some(found),
        _ => None,
    }
}
