//! How long files may be, how long functions.

use std::collections::BTreeSet;

use proc_macro2::{Span, TokenTree};
use syn::{spanned::Spanned as _, visit::Visit};

use super::source::{Source, Violation, flat};

/// What a file should keep to, in lines of code.
pub const FILE_TARGET: usize = 300;
/// What no file may pass.
const FILE_LIMIT: usize = 400;
const FUNCTION_LIMIT: usize = 70;

/// The number of a file's lines that hold code: not blank, not only a comment, not of its tests.
pub fn code_lines(source: &Source) -> usize {
    lines_with_code(source).iter().filter(|line| !source.is_test(**line)).count()
}

/// Finds files and functions that are too long.
pub fn check(source: &Source) -> Vec<Violation> {
    let mut found = Vec::new();
    let lines = code_lines(source);
    if lines > FILE_LIMIT {
        let rule = format!("{lines} lines of code; the target is {FILE_TARGET}, the limit {FILE_LIMIT}");
        found.push(source.broken(1, rule));
    }
    let code = lines_with_code(source);
    let mut functions = Functions::default();
    functions.visit_file(&source.file);
    for (name, first, last) in functions.found {
        let length = code.range(first..=last).count();
        if length > FUNCTION_LIMIT && !source.is_test(first) {
            let rule = format!("`{name}` has {length} lines of code; the limit is {FUNCTION_LIMIT}");
            found.push(source.broken(first, rule));
        }
    }
    found
}

fn lines_with_code(source: &Source) -> BTreeSet<usize> {
    let mut lines = BTreeSet::new();
    let mut add = |span: Span| lines.extend(span.start().line..=span.end().line);
    let tokens = flat(&source.tokens);
    for token in &tokens {
        if source.is_doc_comment(token.span()) && !is_slash(token) {
            continue;
        }
        match token {
            TokenTree::Group(group) => {
                add(group.span_open());
                add(group.span_close());
            }
            other => add(other.span()),
        }
    }
    lines
}

/// A division sign begins with a slash too, yet it is code.
fn is_slash(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Punct(p) if p.as_char() == '/')
}

#[derive(Default)]
struct Functions {
    found: Vec<(String, usize, usize)>,
}

impl Functions {
    fn note(&mut self, signature: &syn::Signature, body: &syn::Block) {
        let lines = (signature.span().start().line, body.span().end().line);
        self.found.push((signature.ident.to_string(), lines.0, lines.1));
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.note(&function.sig, &function.block);
        syn::visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.note(&function.sig, &function.block);
        syn::visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(body) = &function.default {
            self.note(&function.sig, body);
        }
        syn::visit::visit_trait_item_fn(self, function);
    }
}
