//! `weir report`: what the ledger's rows come to.

mod columns;
mod csv;
mod text;

use std::{io, path::PathBuf};

use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser as _},
};

use crate::{
    base::clock::Clock,
    config,
    ledger::{
        self,
        report::{By, Period, Question, Summary, parse_time},
    },
};

/// Spend, savings, what fallbacks cost, availability. The ledger's file is only read; a server may be using it.
#[derive(Args, Clone, Debug)]
pub struct ReportArgs {
    /// From when on: so long ago, like 7d or 12h, a day of UTC, like 2026-11-01, or a time, like 2026-11-01T08:00:00Z
    #[arg(long, value_name = "WHEN", default_value = "7d")]
    since: String,
    /// Up to when, in the same forms; absent: now
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
    /// What the rows are grouped by
    #[arg(long, default_value = "model", value_parser = by_parser())]
    by: By,
    /// Print JSON, the same object as /admin/report gives
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print the groups as CSV
    #[arg(long)]
    csv: bool,
}

fn by_parser() -> impl clap::builder::TypedValueParser<Value = By> {
    PossibleValuesParser::new(By::ALL.map(By::as_str)).try_map(|name| By::parse(&name))
}

/// Reads the ledger of the configuration; prints what it comes to.
///
/// # Errors
/// A bad time, a faulty configuration, a ledger that cannot be read, or a failure of `out`.
pub fn run(files: &[PathBuf], args: &ReportArgs, out: &mut impl io::Write) -> Result<(), String> {
    let question = question(args, Clock::system().millis())?;
    let loaded = config::load(files).map_err(|faults| format!("the configuration has faults:\n{faults}"))?;
    let summary = ledger::read::report(&loaded.config.ledger, question).map_err(|error| error.to_string())?;
    match print(&summary, args, out).and_then(|()| out.flush()) {
        // Whoever reads, like `head`, has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(|error| format!("the report cannot be printed: {error}")),
    }
}

/// Prints the table of a report's groups alone.
///
/// # Errors
/// Those of `out`.
pub(super) fn groups(summary: &Summary, out: &mut impl io::Write) -> io::Result<()> {
    text::groups(summary).print(out)
}

fn question(args: &ReportArgs, now: i64) -> Result<Question, String> {
    let time =
        |name, text: &str| parse_time(text, now).map_err(|problem| format!("--{name} `{text}`: {problem}"));
    let since = time("since", &args.since)?;
    let until = args.until.as_deref().map(|text| time("until", text)).transpose()?;
    let period = Period::new(since, until, now).map_err(|problem| format!("--since: {problem}"))?;
    Ok(Question { period, by: args.by, now })
}

fn print(summary: &Summary, args: &ReportArgs, out: &mut impl io::Write) -> io::Result<()> {
    if args.json {
        serde_json::to_writer_pretty(&mut *out, summary)?;
        return writeln!(out);
    }
    match args.csv {
        true => csv::print(summary, out),
        false => text::print(summary, out),
    }
}

#[cfg(test)]
mod tests;
