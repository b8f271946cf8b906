//! What is counted of money.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use prometheus::{CounterVec, GaugeVec, IntCounterVec};

use super::{Maker, Metrics};
use crate::base::{account::Period, money::Nanos};

/// The metrics of budgets and costs. Amounts are floats here and nowhere else: Prometheus knows nothing better.
#[derive(Clone, Debug)]
pub struct MoneyMetrics {
    cost: CounterVec,
    saved: CounterVec,
    fallback_cost: CounterVec,
    unpriced: IntCounterVec,
    limit: GaugeVec,
    spent: GaugeVec,
    held: GaugeVec,
    refusals: IntCounterVec,
    overruns: IntCounterVec,
    alerts: IntCounterVec,
    sums: Arc<Sums>,
}

/// The exact sums over all models.
#[derive(Debug, Default)]
struct Sums {
    cost: AtomicI64,
    routing: AtomicI64,
    cache: AtomicI64,
}

/// What was spent since the start of the process, and what was saved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// What tries cost.
    pub cost: Nanos,
    /// What routing saved; below zero where it cost more.
    pub routing: Nanos,
    /// What the cache saved.
    pub cache: Nanos,
}

/// Where one limit of a budget stands.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    /// The budget.
    pub budget: &'a str,
    /// The period of the limit.
    pub period: Period,
    /// The limit.
    pub limit: Nanos,
    /// What is spent.
    pub spent: Nanos,
    /// What is held.
    pub held: Nanos,
}

impl MoneyMetrics {
    /// Metrics in the registry of `metrics`.
    ///
    /// # Errors
    /// They are there already.
    pub fn new(metrics: &Metrics) -> Result<Self, prometheus::Error> {
        let maker = Maker(metrics.registry.clone());
        let window = &["budget", "window"];
        Ok(Self {
            cost: maker.amounts("cost_usd_total", "What tries cost.", &["model", "provider"])?,
            saved: maker.amounts(
                "saved_usd_total",
                "What answers cost less, or more, than they had on the baseline model.",
                &["reason", "sign"],
            )?,
            fallback_cost: maker.amounts(
                "fallback_cost_usd_total",
                "What fallbacks cost less, or more, than the first choice had.",
                &["route", "sign"],
            )?,
            unpriced: maker.counters(
                "unpriced_attempts_total",
                "Tries on models whose price nobody knows.",
                &["model", "provider"],
            )?,
            limit: maker.levels("budget_limit_usd", "The limit.", window)?,
            spent: maker.levels(
                "budget_spent_usd",
                "What is spent of it; the fullest share of several.",
                window,
            )?,
            held: maker.levels("budget_held_usd", "What is held of it for requests under way.", window)?,
            refusals: maker.counters(
                "budget_refusals_total",
                "Tries that did not fit, by what became of them.",
                &["budget", "action"],
            )?,
            overruns: maker.counters(
                "budget_overruns_total",
                "Tries for which an upstream charged more than it was allowed.",
                &["budget"],
            )?,
            alerts: maker.counters("budget_alerts_total", "Alerts raised.", window)?,
            sums: Arc::default(),
        })
    }

    /// Counts what a try cost.
    pub fn cost(&self, model: &str, provider: &str, cost: Nanos) {
        self.cost.with_label_values(&[model, provider]).inc_by(usd(cost));
        self.sums.cost.fetch_add(cost.0, Ordering::Relaxed);
    }

    /// What was spent and saved since the start of the process.
    pub fn totals(&self) -> Totals {
        let sum = |sum: &AtomicI64| Nanos(sum.load(Ordering::Relaxed));
        Totals { cost: sum(&self.sums.cost), routing: sum(&self.sums.routing), cache: sum(&self.sums.cache) }
    }

    /// Counts a try without a price.
    pub fn unpriced(&self, model: &str, provider: &str) {
        self.unpriced.with_label_values(&[model, provider]).inc();
    }

    /// Counts what was saved, or spent more if below zero, and why.
    pub fn saved(&self, reason: &'static str, amount: Nanos) {
        let sign = if amount < Nanos::ZERO { "more" } else { "less" };
        self.saved.with_label_values(&[reason, sign]).inc_by(usd(amount).abs());
        let sum = if reason == "cache" { &self.sums.cache } else { &self.sums.routing };
        sum.fetch_add(amount.0, Ordering::Relaxed);
    }

    /// Counts what a fallback cost more, or less if below zero, than the first choice would have.
    pub fn fallback_cost(&self, route: &str, amount: Nanos) {
        let sign = if amount < Nanos::ZERO { "less" } else { "more" };
        self.fallback_cost.with_label_values(&[route, sign]).inc_by(usd(amount).abs());
    }

    /// Makes the counters of a budget's refusals, so that the first one is seen to come: a series that begins at 1 has
    /// not grown.
    pub fn budget(&self, budget: &str) {
        for action in ["reject", "downgrade", "skip"] {
            self.refusals.with_label_values(&[budget, action]);
        }
    }

    /// Counts a try that did not fit.
    pub fn refused(&self, budget: &str, action: &'static str) {
        self.refusals.with_label_values(&[budget, action]).inc();
    }

    /// Counts a try that cost more than was held.
    pub fn overrun(&self, budget: &str) {
        self.overruns.with_label_values(&[budget]).inc();
    }

    /// Counts an alert.
    pub fn alert(&self, budget: &str, period: Period) {
        self.alerts.with_label_values(&[budget, period.as_str()]).inc();
    }

    /// Says where the budgets stand, once a limit.
    pub fn standings<'a>(&self, standings: impl Iterator<Item = Standing<'a>>) {
        self.limit.reset();
        self.spent.reset();
        self.held.reset();
        for now in standings {
            let labels = [now.budget, now.period.as_str()];
            self.limit.with_label_values(&labels).set(usd(now.limit));
            self.spent.with_label_values(&labels).set(usd(now.spent));
            self.held.with_label_values(&labels).set(usd(now.held));
        }
    }
}

fn usd(amount: Nanos) -> f64 {
    amount.0 as f64 / 1e9
}
