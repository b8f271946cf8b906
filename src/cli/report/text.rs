//! A report for people.

use std::io;

use super::columns::{Columns, bar, shown, whole};
use crate::ledger::report::{Figures, Summary, Usd, share};

/// Prints the whole report.
pub fn print(summary: &Summary, out: &mut impl io::Write) -> io::Result<()> {
    writeln!(out, "From {} until {} (UTC)", minute(&summary.since), minute(&summary.until))?;
    writeln!(out)?;
    totals(summary, out)?;
    groups(summary).print(out)?;
    if let Some(rest) = &summary.other {
        writeln!(out, "(other: {} groups that cost less than those above)", whole(rest.groups))?;
    }
    positions(summary).print(out)?;
    availability(summary, out)?;
    weeks(summary).print(out)?;
    adjustments(summary, out)
}

/// `2026-11-21T02:57:25.123Z` as `2026-11-21 02:57`.
fn minute(stamp: &str) -> String {
    stamp.chars().take(16).map(|c| if c == 'T' { ' ' } else { c }).collect()
}

fn totals(summary: &Summary, out: &mut impl io::Write) -> io::Result<()> {
    let totals = &summary.totals;
    let answered = percent(share(totals.answered, totals.asked));
    writeln!(
        out,
        "Requests   {} asked, {} answered ({answered}), {} attempts",
        whole(totals.asked),
        whole(totals.answered),
        whole(totals.attempts)
    )?;
    writeln!(
        out,
        "Tokens     {} in ({} of them from a provider's cache), {} out ({} of them thought)",
        whole(read(totals)),
        whole(totals.cached_input_tokens),
        whole(made(totals)),
        whole(totals.reasoning_tokens)
    )?;
    write!(out, "Cost       {}, of it {} estimated", money(totals.cost_usd), money(totals.estimated_usd))?;
    match totals.unpriced {
        0 => writeln!(out)?,
        count => writeln!(out, " (attempts not in it, for want of a price: {})", whole(count))?,
    }
    writeln!(
        out,
        "Saved      {} by routing, {} by the cache, against the baseline model",
        money(totals.saved_by_routing_usd),
        money(totals.saved_by_cache_usd)
    )?;
    writeln!(out, "Fallbacks  {} more than the first choices would have cost", money(totals.fallback_usd))?;
    let forecast = &summary.forecast;
    writeln!(
        out,
        "Month      {} spent in {}, {} at its end if {} days more cost {} each, like the last ones",
        money(forecast.spent_usd),
        forecast.month,
        money(forecast.month_usd),
        forecast.days_left,
        money(forecast.daily_usd)
    )
}

/// The groups, each with a bar.
pub fn groups(summary: &Summary) -> Columns {
    let mut columns = Columns::new(&[
        heading(summary.by),
        "asked",
        "answered",
        "attempts",
        "tokens in",
        "tokens out",
        "cost",
        "saved",
        "",
    ]);
    let rest = summary.other.as_ref().map(|rest| ("(other)", &rest.figures));
    let all = summary.groups.iter().map(|group| (group.name.as_str(), &group.figures)).chain(rest);
    let all: Vec<(&str, &Figures)> = all.collect();
    // Where nothing costs anything, the traffic is what there is to compare.
    let free = all.iter().all(|(_, figures)| figures.cost_usd.0 == 0);
    let size = |figures: &Figures| if free { i128::from(figures.asked) } else { figures.cost_usd.0 };
    let largest = all.iter().map(|(_, figures)| size(figures)).max().unwrap_or(0);
    for (name, figures) in all {
        columns.line([
            name.to_owned(),
            whole(figures.asked),
            whole(figures.answered),
            whole(figures.attempts),
            whole(read(figures)),
            whole(made(figures)),
            money(figures.cost_usd),
            money(Usd(figures.saved_by_routing_usd.0 + figures.saved_by_cache_usd.0)),
            bar(size(figures), largest),
        ]);
    }
    columns
}

fn heading(by: &str) -> &'static str {
    match by {
        "model" => "Model",
        "key" => "Key",
        "route" => "Route",
        "tier" => "Tier",
        "provider" => "Provider",
        "tag" => "Tag",
        "position" => "Position",
        _ => "Day",
    }
}

fn positions(summary: &Summary) -> Columns {
    let mut columns = Columns::new(&["Place in the chain", "answered", "share", "cost", ""]);
    let largest = summary.positions.iter().map(|position| position.answered).max().unwrap_or(0);
    for position in &summary.positions {
        columns.line([
            position.position.to_string(),
            whole(position.answered),
            percent(position.share),
            money(position.cost_usd),
            bar(position.answered.into(), largest.into()),
        ]);
    }
    columns
}

fn availability(summary: &Summary, out: &mut impl io::Write) -> io::Result<()> {
    let mut routes = Columns::new(&["Route", "asked", "answered", "availability"]);
    for route in &summary.availability.routes {
        routes.line([
            route.name.clone(),
            whole(route.asked),
            whole(route.answered),
            percent(route.availability),
        ]);
    }
    routes.print(out)?;
    let mut providers = Columns::new(&["Provider", "attempts", "answered", "availability"]);
    for provider in &summary.availability.providers {
        providers.line([
            provider.name.clone(),
            whole(provider.attempts),
            whole(provider.answered),
            percent(provider.availability),
        ]);
    }
    providers.print(out)
}

fn weeks(summary: &Summary) -> Columns {
    let mut columns =
        Columns::new(&["Fallbacks in", "attempts", "cost", "more than first choice", "not known"]);
    for week in &summary.fallback_weeks {
        columns.line([
            week.week.clone(),
            whole(week.attempts),
            money(week.cost_usd),
            money(week.fallback_usd),
            whole(week.fallback_unknown),
        ]);
    }
    columns
}

fn adjustments(summary: &Summary, out: &mut impl io::Write) -> io::Result<()> {
    for (at, line) in summary.adjustments.iter().enumerate() {
        if at == 0 {
            writeln!(
                out,
                "\nAdjustments after a crash (what it may have left unwritten; in no figure above)"
            )?;
        }
        let budget = shown(&line.budget);
        writeln!(out, "  {budget}: {} (rows: {})", money(line.cost_usd), whole(line.rows))?;
    }
    Ok(())
}

/// All tokens that were read.
fn read(figures: &Figures) -> u64 {
    let cached = figures.cached_input_tokens.saturating_add(figures.cache_write_tokens);
    figures.input_tokens.saturating_add(cached)
}

/// All tokens that were made.
fn made(figures: &Figures) -> u64 {
    figures.output_tokens.saturating_add(figures.reasoning_tokens)
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".into(), |share| format!("{:.2}%", share * 100.0))
}

/// USD with four decimals, rounded to the nearest; less than that is not shown as nothing.
fn money(amount: Usd) -> String {
    const UNIT: u128 = 100_000;
    let sign = if amount.0 < 0 { "-" } else { "" };
    let nanos = amount.0.unsigned_abs();
    let units = nanos.saturating_add(UNIT / 2) / UNIT;
    match (nanos, units) {
        (1.., 0) => format!("{sign}$<0.0001"),
        _ => format!("{sign}${}.{:04}", units / 10_000, units % 10_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_rounded_but_never_to_nothing() {
        for (nanos, text) in [
            (0, "$0.0000"),
            (1, "$<0.0001"),
            (-49_999, "-$<0.0001"),
            (50_000, "$0.0001"),
            (1_234_567_890_123, "$1234.5679"),
            (-1_999_960_000, "-$2.0000"),
        ] {
            assert_eq!(money(Usd(nanos)), text);
        }
    }
}
