//! One Rust file, parsed, with the lines that belong to its tests.

use std::{fmt, ops::RangeInclusive, str::FromStr as _};

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::{Attribute, spanned::Spanned as _, visit::Visit};

/// A rule that a file breaks.
pub struct Violation {
    pub path: String,
    pub line: usize,
    pub rule: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.rule)
    }
}

/// A parsed file.
pub struct Source {
    /// Its path from the project's root, with `/`.
    pub path: String,
    pub text: String,
    pub file: syn::File,
    pub tokens: TokenStream,
    lines: Vec<String>,
    tests: Vec<RangeInclusive<usize>>,
}

impl Source {
    /// Parses a file. A name that ends in `tests.rs` is a test module's own file: all of it is test code, and so is
    /// all of `tests/`.
    pub fn parse(path: &str, text: &str) -> Result<Self, String> {
        let wrong = |error: &dyn fmt::Display| format!("{path}: {error}");
        let file = syn::parse_file(text).map_err(|error| wrong(&error))?;
        let tokens = TokenStream::from_str(text).map_err(|error| wrong(&error))?;
        let mut finder = TestFinder::default();
        if path.ends_with("tests.rs") || path.contains("/tests/") || path.starts_with("tests/") {
            finder.found.push(1..=usize::MAX);
        }
        finder.visit_file(&file);
        Ok(Self {
            path: path.to_owned(),
            text: text.to_owned(),
            file,
            tokens,
            lines: text.lines().map(str::to_owned).collect(),
            tests: finder.found,
        })
    }

    /// Whether a line belongs to code that only tests compile.
    pub fn is_test(&self, line: usize) -> bool {
        self.tests.iter().any(|lines| lines.contains(&line))
    }

    /// Whether the token at `span` is a doc comment, which the parser shows as an attribute.
    pub fn is_doc_comment(&self, span: Span) -> bool {
        let start = span.start();
        self.lines[start.line - 1].chars().nth(start.column) == Some('/')
    }

    /// A violation of `rule` at `line`.
    pub fn broken(&self, line: usize, rule: impl Into<String>) -> Violation {
        Violation { path: self.path.clone(), line, rule: rule.into() }
    }
}

/// All tokens in order, groups opened up.
pub fn flat(tokens: &TokenStream) -> Vec<TokenTree> {
    let mut all = Vec::new();
    for token in tokens.clone() {
        all.push(token.clone());
        if let TokenTree::Group(group) = token {
            all.extend(flat(&group.stream()));
        }
    }
    all
}

#[derive(Default)]
struct TestFinder {
    found: Vec<RangeInclusive<usize>>,
}

impl TestFinder {
    fn note(&mut self, attributes: &[Attribute], span: Span) {
        if attributes.iter().any(is_test_attribute) {
            self.found.push(span.start().line..=span.end().line);
        }
    }
}

/// `#[test]`, `#[tokio::test]`, `#[cfg(test)]`, `#[cfg(all(test, ...))]`; not `#[cfg(not(test))]`.
fn is_test_attribute(attribute: &Attribute) -> bool {
    let path = attribute.path();
    if path.segments.last().is_some_and(|last| last.ident == "test") {
        return true;
    }
    let words: Vec<String> = match &attribute.meta {
        syn::Meta::List(list) => flat(&list.tokens).iter().map(ToString::to_string).collect(),
        _ => Vec::new(),
    };
    let has = |word: &str| words.iter().any(|w| w == word);
    path.is_ident("cfg") && has("test") && !has("not") && !has("any")
}

impl<'ast> Visit<'ast> for TestFinder {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        use syn::Item;
        let attributes: &[Attribute] = match item {
            Item::Const(i) => &i.attrs,
            Item::Enum(i) => &i.attrs,
            Item::Fn(i) => &i.attrs,
            Item::Impl(i) => &i.attrs,
            Item::Macro(i) => &i.attrs,
            Item::Mod(i) => &i.attrs,
            Item::Static(i) => &i.attrs,
            Item::Struct(i) => &i.attrs,
            Item::Trait(i) => &i.attrs,
            Item::Type(i) => &i.attrs,
            Item::Use(i) => &i.attrs,
            _ => &[],
        };
        self.note(attributes, item.span());
        syn::visit::visit_item(self, item);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.note(&function.attrs, function.span());
        syn::visit::visit_impl_item_fn(self, function);
    }
}
