//! What the ledger's rows come to: spend, savings, what fallbacks cost, availability.
//!
//! A report is one scan: rows are folded in one by one, in any order, and only groups are kept. Its words:
//!
//! - *asked*: requests. Every request has exactly one row whose attempt is 0 (it came to no attempt: refused, or
//!   answered by the cache) or 1, and that row is counted. Grouped by what belongs to a target, a request stands
//!   where its first try was.
//! - *answered*: requests with a row whose outcome is `ok`. Where the checks of an answer led to another one, that one's
//!   row has no position: what it cost counts, a second answer to the request it is not.
//! - *availability*: of a route answered / asked, of a provider answered / attempts.
//! - *adjustments* stand by themselves: they are no request and belong to no model, and one cent that a crash may
//!   have lost can be in several, since every budget that held it has one.

mod by;
mod figures;
mod forecast;
mod groups;
mod period;
mod row;
mod summary;
mod utc;

use std::collections::BTreeMap;

pub use by::By;
pub use figures::{Figures, Usd, share};
pub use forecast::{Forecast, Outlook};
pub use groups::Rest;
pub use period::{Period, parse_time};
pub use row::{NO_NAME, NameId, Row, Tokens, is_from_cache};
pub use summary::{Adjustment, Availability, Group, Names, Position, Provider, Route, Summary, Week};

use crate::ledger::Kind;
use groups::Groups;

/// How many budgets can have a line of adjustments of their own; those beyond share one without a name.
const MAX_BUDGETS: usize = 1_000;

/// What is asked of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// The rows of which time.
    pub period: Period,
    /// How they are grouped.
    pub by: By,
    /// The time of asking, in milliseconds since 1970; the forecast is made from here.
    pub now: i64,
}

/// A report in the making.
#[derive(Debug)]
pub struct Report {
    question: Question,
    totals: Figures,
    groups: Groups,
    routes: Groups,
    providers: Groups,
    positions: Groups,
    weeks: Groups,
    adjustments: BTreeMap<NameId, (u64, i128)>,
    outlook: Outlook,
}

impl Report {
    /// A report of no rows yet.
    pub fn new(question: Question) -> Self {
        Self {
            question,
            totals: Figures::default(),
            groups: Groups::default(),
            routes: Groups::default(),
            providers: Groups::default(),
            positions: Groups::default(),
            weeks: Groups::default(),
            adjustments: BTreeMap::new(),
            outlook: Outlook::new(question.now),
        }
    }

    /// Counts a row of the ledger; one outside the period is passed over.
    pub fn fold(&mut self, row: &Row) {
        if !self.question.period.holds(row.time) {
            return;
        }
        if row.kind == Kind::Adjustment {
            return self.adjust(row.budget, 1, row.cost.0.into());
        }
        self.totals.add(row);
        self.groups.add(group_of(row, self.question.by), row);
        self.routes.add(row.route, row);
        if row.is_attempt() {
            // A provider has answered whatever it was asked for.
            self.providers.add(row.provider, &Row { position: row.position.max(1), ..*row });
            if row.answered && !row.is_escalated() {
                self.positions.add(row.position.into(), row);
            }
        }
        if row.is_fallback() {
            self.weeks.add(utc::monday(utc::day_of(row.time)), row);
        }
    }

    fn adjust(&mut self, budget: NameId, rows: u64, cost: i128) {
        let known = self.adjustments.contains_key(&budget) || self.adjustments.len() < MAX_BUDGETS;
        let sums = self.adjustments.entry(if known { budget } else { NO_NAME }).or_default();
        sums.0 += rows;
        sums.1 += cost;
    }

    /// Adds what another report of the same question has counted.
    pub fn merge(&mut self, other: Self) {
        self.totals.merge(&other.totals);
        self.groups.merge(other.groups);
        self.routes.merge(other.routes);
        self.providers.merge(other.providers);
        self.positions.merge(other.positions);
        self.weeks.merge(other.weeks);
        for (budget, (rows, cost)) in other.adjustments {
            self.adjust(budget, rows, cost);
        }
        self.outlook.merge(&other.outlook);
    }

    /// From when on [`Self::spent`] wants to be told, in milliseconds since 1970.
    pub fn outlook_since(&self) -> i64 {
        self.outlook.since()
    }

    /// Tells when the first row of the whole ledger was, in milliseconds since 1970, for the forecast.
    pub fn began(&mut self, first: Option<i64>) {
        self.outlook.began(first);
    }

    /// Counts what was spent at a time for the forecast, whatever the period: all rows but adjustments.
    pub fn spent(&mut self, time: i64, cost: i64) {
        self.outlook.add(time, cost);
    }

    /// The report. Names are asked for once each.
    pub fn finish(self, names: &impl Names) -> Summary {
        Summary::of(self, names)
    }
}

/// The number of the group that a row belongs to.
fn group_of(row: &Row, by: By) -> i64 {
    match by {
        By::Model => row.model,
        By::Key => row.key,
        By::Route => row.route,
        By::Tier => row.tier,
        By::Provider => row.provider,
        By::Tag => row.tags,
        By::Position => row.position.into(),
        By::Day => utc::day_of(row.time),
    }
}

#[cfg(test)]
mod tests;
