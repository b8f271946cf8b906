//! A finished report: the object that `weir report --json` prints, the same as `/admin/report` gives.

use std::collections::HashMap;

use serde::Serialize;

use super::{
    By, Figures, Forecast, NameId, Report, Rest, Usd,
    groups::{Groups, SHOWN, heaviest},
    share, utc,
};
use crate::base::calendar;

/// The group of rows that have no such thing, like the model of a refused request.
const NONE: &str = "none";

/// How the numbers in rows are turned into names.
pub trait Names {
    /// The name of a number; empty for none.
    fn name(&self, id: NameId) -> String;
    /// The `name=value` pairs of a set of tags.
    fn tags(&self, id: NameId) -> Vec<String>;
}

/// A report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The first moment of the period.
    pub since: String,
    /// The moment behind its last.
    pub until: String,
    /// How its groups are made.
    pub by: &'static str,
    /// What all rows come to.
    pub totals: Figures,
    /// The groups: days and positions in order, others by cost, the dearest first.
    pub groups: Vec<Group>,
    /// The groups that are too many to be shown; absent where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other: Option<Rest>,
    /// What crashes may have left unwritten, a budget a line.
    pub adjustments: Vec<Adjustment>,
    /// Where in their chains the targets stood that answered.
    pub positions: Vec<Position>,
    /// What fallbacks cost, an ISO week a line.
    pub fallback_weeks: Vec<Week>,
    /// How much was answered.
    pub availability: Availability,
    /// How the month will end.
    pub forecast: Forecast,
}

/// A group of rows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Group {
    /// Its name; `none` for rows that have none.
    pub name: String,
    /// What its rows come to.
    #[serde(flatten)]
    pub figures: Figures,
}

/// Adjustments of a budget.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Adjustment {
    /// The budget.
    pub budget: String,
    /// How many.
    pub rows: u64,
    /// Their sum.
    pub cost_usd: Usd,
}

/// What a place in the chains answered.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Position {
    /// The place, from 1.
    pub position: i64,
    /// The requests that it answered.
    pub answered: u64,
    /// Their part of all that targets answered, from 0 to 1.
    pub share: Option<f64>,
    /// What these answers cost.
    pub cost_usd: Usd,
}

/// What fallbacks cost in a week.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Week {
    /// The ISO week, like `2026-W47`.
    pub week: String,
    /// Tries on later targets of a chain.
    pub attempts: u64,
    /// What they cost.
    pub cost_usd: Usd,
    /// What they cost more than they would have on the first targets.
    pub fallback_usd: Usd,
    /// Tries for which that is not known.
    pub fallback_unknown: u64,
}

/// How much was answered.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Availability {
    /// Of every route.
    pub routes: Vec<Route>,
    /// Of every provider.
    pub providers: Vec<Provider>,
}

/// A route's availability.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Route {
    /// Its name.
    pub name: String,
    /// Requests.
    pub asked: u64,
    /// Those that were answered.
    pub answered: u64,
    /// Their share, from 0 to 1.
    pub availability: Option<f64>,
}

/// A provider's availability.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Provider {
    /// Its name.
    pub name: String,
    /// Tries.
    pub attempts: u64,
    /// Those that were answered.
    pub answered: u64,
    /// Their share, from 0 to 1.
    pub availability: Option<f64>,
}

impl Summary {
    pub(super) fn of(report: Report, names: &impl Names) -> Self {
        let by = report.question.by;
        let (groups, rest) = grouped(report.groups, by, names);
        let adjustment = |(budget, (rows, cost)): (NameId, (u64, i128))| Adjustment {
            budget: named(names.name(budget)),
            rows,
            cost_usd: Usd(cost),
        };
        Self {
            since: calendar::rfc3339(report.question.period.since),
            until: calendar::rfc3339(report.question.period.until),
            by: by.as_str(),
            totals: report.totals,
            groups,
            other: (rest.groups > 0).then_some(rest),
            adjustments: report.adjustments.into_iter().map(adjustment).collect(),
            positions: positions(report.positions),
            fallback_weeks: weeks(report.weeks),
            availability: Availability {
                routes: routes(report.routes, names),
                providers: providers(report.providers, names),
            },
            forecast: report.outlook.finish(),
        }
    }
}

fn named(name: String) -> String {
    if name.is_empty() { NONE.to_owned() } else { name }
}

fn grouped(groups: Groups, by: By, names: &impl Names) -> (Vec<Group>, Rest) {
    let (groups, mut rest) = groups.finish();
    let group = |(name, figures)| Group { name, figures };
    if matches!(by, By::Day | By::Position) {
        let text = |number| match (by, number) {
            (By::Day, day) => utc::date_text(day),
            (_, 0) => NONE.to_owned(),
            (_, position) => position.to_string(),
        };
        let sorted = in_order(groups);
        return (sorted.into_iter().map(|(number, figures)| group((text(number), figures))).collect(), rest);
    }
    // Two numbers may have one name: all sets of tags that share a pair.
    let mut by_name: HashMap<String, Figures> = HashMap::new();
    for (id, figures) in groups {
        let of_group = if by == By::Tag { names.tags(id) } else { vec![names.name(id)] };
        let of_group = if of_group.is_empty() { vec![String::new()] } else { of_group };
        for name in of_group {
            by_name.entry(named(name)).or_default().merge(&figures);
        }
    }
    let (shown, others) = heaviest(by_name.into_iter().collect(), SHOWN);
    others.iter().for_each(|(_, figures)| rest.take(figures));
    (shown.into_iter().map(group).collect(), rest)
}

fn in_order(mut groups: Vec<(i64, Figures)>) -> Vec<(i64, Figures)> {
    groups.sort_by_key(|(number, _)| *number);
    groups
}

fn positions(groups: Groups) -> Vec<Position> {
    let groups = in_order(groups.finish().0);
    let all = groups.iter().map(|(_, figures)| figures.answered).sum();
    let position = |(position, figures): (i64, Figures)| Position {
        position,
        answered: figures.answered,
        share: share(figures.answered, all),
        cost_usd: figures.cost_usd,
    };
    groups.into_iter().map(position).collect()
}

fn weeks(groups: Groups) -> Vec<Week> {
    let week = |(monday, figures): (i64, Figures)| Week {
        week: utc::week_text(monday),
        attempts: figures.attempts,
        cost_usd: figures.cost_usd,
        fallback_usd: figures.fallback_usd,
        fallback_unknown: figures.fallback_unknown,
    };
    in_order(groups.finish().0).into_iter().map(week).collect()
}

/// Those with the most traffic, in the order of their names.
fn busiest(groups: Groups, names: &impl Names) -> Vec<(String, Figures)> {
    let (mut groups, _) = groups.finish();
    groups.sort_by_key(|(id, figures)| (std::cmp::Reverse(figures.asked.max(figures.attempts)), *id));
    groups.truncate(SHOWN);
    let mut named: Vec<(String, Figures)> =
        groups.into_iter().map(|(id, figures)| (named(names.name(id)), figures)).collect();
    named.sort_by(|(a, _), (b, _)| a.cmp(b));
    named
}

fn routes(groups: Groups, names: &impl Names) -> Vec<Route> {
    let route = |(name, figures): (String, Figures)| Route {
        name,
        asked: figures.asked,
        answered: figures.answered,
        availability: share(figures.answered, figures.asked),
    };
    busiest(groups, names).into_iter().map(route).collect()
}

fn providers(groups: Groups, names: &impl Names) -> Vec<Provider> {
    let provider = |(name, figures): (String, Figures)| Provider {
        name,
        attempts: figures.attempts,
        answered: figures.answered,
        availability: share(figures.answered, figures.attempts),
    };
    busiest(groups, names).into_iter().map(provider).collect()
}
