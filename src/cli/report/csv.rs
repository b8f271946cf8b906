//! The groups of a report as CSV (RFC 4180), a line each; money in USD with all its digits.

use std::io;

use crate::ledger::report::{Figures, Summary};

/// Prints a line of headers, the groups, the groups that are too many as `other`.
pub fn print(summary: &Summary, out: &mut impl io::Write) -> io::Result<()> {
    let names = fields(&Figures::default()).map(|(name, _)| name.to_owned());
    line(summary.by, &names, out)?;
    for group in &summary.groups {
        line(&group.name, &fields(&group.figures).map(|(_, value)| value), out)?;
    }
    match &summary.other {
        Some(rest) => line("other", &fields(&rest.figures).map(|(_, value)| value), out),
        None => Ok(()),
    }
}

/// The figures under the names that they have in JSON.
fn fields(figures: &Figures) -> [(&'static str, String); 15] {
    [
        ("asked", figures.asked.to_string()),
        ("answered", figures.answered.to_string()),
        ("attempts", figures.attempts.to_string()),
        ("input_tokens", figures.input_tokens.to_string()),
        ("cached_input_tokens", figures.cached_input_tokens.to_string()),
        ("cache_write_tokens", figures.cache_write_tokens.to_string()),
        ("output_tokens", figures.output_tokens.to_string()),
        ("reasoning_tokens", figures.reasoning_tokens.to_string()),
        ("cost_usd", figures.cost_usd.to_string()),
        ("estimated_usd", figures.estimated_usd.to_string()),
        ("unpriced", figures.unpriced.to_string()),
        ("saved_by_routing_usd", figures.saved_by_routing_usd.to_string()),
        ("saved_by_cache_usd", figures.saved_by_cache_usd.to_string()),
        ("fallback_usd", figures.fallback_usd.to_string()),
        ("fallback_unknown", figures.fallback_unknown.to_string()),
    ]
}

fn line(first: &str, others: &[String], out: &mut impl io::Write) -> io::Result<()> {
    write!(out, "{}", quoted(first))?;
    for other in others {
        write!(out, ",{}", quoted(other))?;
    }
    out.write_all(b"\r\n")
}

/// A field; in quotes where it holds what would end it.
fn quoted(field: &str) -> String {
    match field.contains(['"', ',', '\r', '\n']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.to_owned(),
    }
}
