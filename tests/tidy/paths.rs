//! The paths that a file's tokens spell, in `use` trees, in code, inside macros.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A path as written, like `crate::base::id`, with its line.
#[derive(Debug, PartialEq, Eq)]
pub struct Spelled {
    pub segments: Vec<String>,
    pub line: usize,
}

/// Every path of two or more segments, besides single names after `use`. Groups of a `use` tree are multiplied out.
pub fn spelled(tokens: &TokenStream) -> Vec<Spelled> {
    let mut found = Vec::new();
    scan(&tokens.clone().into_iter().collect::<Vec<_>>(), &mut found);
    found
}

fn scan(tokens: &[TokenTree], found: &mut Vec<Spelled>) {
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at] {
            TokenTree::Ident(word) if word == "use" => {
                let end = semicolon(tokens, at);
                tree(&tokens[at + 1..end], &[], found);
                at = end;
            }
            TokenTree::Ident(word) => {
                let line = word.span().start().line;
                let mut segments = vec![word.to_string()];
                at += 1;
                while let (true, Some(TokenTree::Ident(next))) = (colons(tokens, at), tokens.get(at + 2)) {
                    segments.push(next.to_string());
                    at += 3;
                }
                if segments.len() > 1 {
                    found.push(Spelled { segments, line });
                }
            }
            TokenTree::Group(group) => {
                scan(&group.stream().into_iter().collect::<Vec<_>>(), found);
                at += 1;
            }
            _ => at += 1,
        }
    }
}

/// Reads a `use` tree whose leading segments are `prefix`.
fn tree(tokens: &[TokenTree], prefix: &[String], found: &mut Vec<Spelled>) {
    for branch in tokens.split(|token| matches!(token, TokenTree::Punct(p) if p.as_char() == ',')) {
        let mut segments = prefix.to_vec();
        let mut line = None;
        let mut open = true;
        for token in branch {
            match token {
                TokenTree::Ident(word) if word == "as" => break,
                TokenTree::Ident(word) => {
                    line.get_or_insert(word.span().start().line);
                    segments.push(word.to_string());
                }
                TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                    tree(&group.stream().into_iter().collect::<Vec<_>>(), &segments, found);
                    open = false;
                }
                _ => {}
            }
        }
        if let (true, Some(line)) = (open, line) {
            found.push(Spelled { segments, line });
        }
    }
}

/// Whether `::` stands at `at`.
fn colons(tokens: &[TokenTree], at: usize) -> bool {
    let colon = |token: Option<&TokenTree>| matches!(token, Some(TokenTree::Punct(p)) if p.as_char() == ':');
    colon(tokens.get(at)) && colon(tokens.get(at + 1))
}

fn semicolon(tokens: &[TokenTree], from: usize) -> usize {
    let found =
        tokens[from..].iter().position(|token| matches!(token, TokenTree::Punct(p) if p.as_char() == ';'));
    found.map_or(tokens.len(), |distance| from + distance)
}

#[test]
fn trees_are_multiplied_out() {
    let text = "use crate::{a::{b, c as d}, e::*}; fn f() { m!(x::y::<z::Z>(1)); }";
    let found = spelled(&text.parse().unwrap());
    let found: Vec<String> = found.iter().map(|path| path.segments.join("::")).collect();
    assert_eq!(found, ["crate::a::b", "crate::a::c", "crate::e", "x::y", "z::Z"]);
}
