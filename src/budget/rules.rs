//! The budgets as configured, compiled for admission.

use std::sync::Arc;

use crate::{
    base::{
        account::{AccountKey, Period},
        calendar::Zone,
        map::NameMap,
        money::Nanos,
    },
    config::{Budget, Enforce, Scope},
};

use super::hold::{TargetName, Unit, Who};

/// A share of a limit in millionths, so that it is compared without rounding.
const WHOLE: i128 = 1_000_000;

/// All budgets and quotas. What applies to a request is looked up, never searched.
#[derive(Debug, Default)]
pub struct Rules {
    pub(super) rules: Vec<Rule>,
    index: Index,
}

/// One budget, or the quota of one key.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) name: Arc<str>,
    pub(super) scope: Scope,
    /// The scope as it was written.
    pub(super) scope_text: Arc<str>,
    /// Whose it is in the ledger where that is always the same; unused for [`Scope::EachKey`].
    pub(super) holder: Arc<str>,
    pub(super) unit: Unit,
    pub(super) lines: Vec<Line>,
    pub(super) per_request: Option<Nanos>,
    pub(super) enforce: Enforce,
    pub(super) downgrade: Option<Arc<str>>,
    pub(super) default_max_output: u64,
    pub(super) min_output: u64,
    pub(super) picture_tokens: u64,
    pub(super) file_tokens: u64,
    pub(super) zone: Zone,
}

/// One limit of a budget.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) period: Period,
    pub(super) limit: i64,
    /// From this much on requests are downgraded.
    pub(super) downgrade_at: Option<i64>,
    /// The shares at which an alert is raised, each with its amount.
    pub(super) alerts: Vec<(f64, i64)>,
}

impl Rule {
    pub(super) fn is_hard_money(&self) -> bool {
        self.unit == Unit::Money && self.enforce == Enforce::Hard
    }

    fn compile(budget: &Budget) -> Result<Self, String> {
        let wrong = |what: &str| format!("the budget `{}` has no readable `{what}`", budget.name);
        let downgrade = budget.cheaper().ok_or_else(|| wrong("on_exceeded"))?.map(Arc::from);
        let share_of = |limit: i64, share: f64| {
            let millionths = (share.clamp(0.0, 1.0) * WHOLE as f64).round() as i128;
            // At most the limit, so it fits.
            (i128::from(limit) * millionths + WHOLE - 1).div_euclid(WHOLE) as i64
        };
        let line = |(period, Nanos(limit)): (Period, Nanos)| Line {
            period,
            limit,
            downgrade_at: budget
                .downgrade_from
                .filter(|_| downgrade.is_some())
                .map(|share| share_of(limit, share)),
            alerts: budget.alert_at.iter().map(|share| (*share, share_of(limit, *share))).collect(),
        };
        Ok(Self {
            name: budget.name.as_str().into(),
            scope: Scope::parse(&budget.scope).ok_or_else(|| wrong("scope"))?,
            scope_text: budget.scope.as_str().into(),
            holder: "".into(),
            unit: Unit::Money,
            lines: budget.limits().map(line).collect(),
            per_request: budget.per_request,
            enforce: budget.enforce,
            default_max_output: budget.default_max_output,
            min_output: budget.min_output,
            picture_tokens: budget.picture_tokens,
            file_tokens: budget.file_tokens,
            zone: Zone::parse(&budget.timezone).map_err(|_| wrong("timezone"))?,
            downgrade,
        })
    }

    /// The quota of a key: so many requests a calendar month (UTC).
    fn quota(key: &str, requests: u64) -> Self {
        let limit = i64::try_from(requests).unwrap_or(i64::MAX);
        Self {
            name: AccountKey::REQUESTS_PER_MONTH.into(),
            scope: Scope::Key(key.to_owned()),
            scope_text: format!("key:{key}").into(),
            holder: key.into(),
            unit: Unit::Requests,
            lines: vec![Line { period: Period::Monthly, limit, downgrade_at: None, alerts: Vec::new() }],
            per_request: None,
            enforce: Enforce::Hard,
            downgrade: None,
            default_max_output: u64::MAX,
            min_output: 0,
            picture_tokens: 0,
            file_tokens: 0,
            zone: Zone::UTC,
        }
    }
}

impl Rules {
    /// Compiles checked budgets, and the quotas of keys (`requests_per_month`; 0: none). Budgets of keys that were
    /// made at run time come as budgets of the scope `key:NAME`.
    ///
    /// # Errors
    /// The budgets that cannot be read, each with its name.
    pub fn compile<'a>(
        budgets: impl IntoIterator<Item = &'a Budget>,
        quotas: impl IntoIterator<Item = (&'a str, u64)>,
    ) -> Result<Self, Vec<String>> {
        let (mut out, mut faults) = (Self::default(), Vec::new());
        for budget in budgets {
            match Rule::compile(budget) {
                Ok(rule) if out.rules.iter().any(|known| known.name == rule.name) => {
                    faults.push(format!("two budgets are called `{}`", rule.name));
                }
                Ok(rule) => out.push(rule),
                Err(fault) => faults.push(fault),
            }
        }
        for (key, requests) in quotas.into_iter().filter(|(_, requests)| *requests > 0) {
            out.push(Rule::quota(key, requests));
        }
        if faults.is_empty() { Ok(out) } else { Err(faults) }
    }

    fn push(&mut self, rule: Rule) {
        self.index.insert(&rule.scope, self.rules.len());
        self.rules.push(rule);
    }

    /// Whether there is no budget at all.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The models without a price that some budget of money may apply to, with the budget's name: requests to them
    /// are refused. Takes the targets as model, provider, whether the price is known.
    pub fn unpriced<'a>(
        &self,
        targets: impl IntoIterator<Item = (&'a str, &'a str, bool)>,
    ) -> Vec<(Arc<str>, Vec<&'a str>)> {
        let unpriced: Vec<_> = targets.into_iter().filter(|(.., priced)| !priced).collect();
        let counts = |rule: &Rule, model: &str, provider: &str| match &rule.scope {
            Scope::Model(name) => name == model,
            Scope::Provider(name) => name == provider,
            _ => true,
        };
        let money = self.rules.iter().filter(|rule| rule.unit == Unit::Money);
        let found = money.map(|rule| {
            let models = unpriced.iter().filter(|(model, provider, _)| counts(rule, model, provider));
            (rule.name.clone(), models.map(|(model, ..)| *model).collect::<Vec<_>>())
        });
        found.filter(|(_, models)| !models.is_empty()).collect()
    }

    /// Calls with each rule that applies, by its place.
    pub(super) fn applying(&self, who: &Who<'_>, target: Option<&TargetName<'_>>, each: impl FnMut(usize)) {
        self.index.applying(who, target, each);
    }
}

type ByName = NameMap<Box<str>, Vec<usize>>;

/// Which rules apply to whom.
#[derive(Debug, Default)]
struct Index {
    always: Vec<usize>,
    keys: ByName,
    routes: ByName,
    models: ByName,
    providers: ByName,
    /// By the tag's key, then by its value.
    tags: Vec<(Box<str>, ByName)>,
}

impl Index {
    fn insert(&mut self, scope: &Scope, at: usize) {
        let (map, name) = match scope {
            Scope::Global | Scope::EachKey => return self.always.push(at),
            Scope::Key(name) => (&mut self.keys, name),
            Scope::Route(name) => (&mut self.routes, name),
            Scope::Model(name) => (&mut self.models, name),
            Scope::Provider(name) => (&mut self.providers, name),
            Scope::Tag(key, value) => {
                let known = self.tags.iter().position(|(known, _)| **known == **key);
                let place = known.unwrap_or_else(|| {
                    self.tags.push((key.as_str().into(), ByName::default()));
                    self.tags.len() - 1
                });
                (&mut self.tags[place].1, value)
            }
        };
        map.entry(name.as_str().into()).or_default().push(at);
    }

    fn applying(&self, who: &Who<'_>, target: Option<&TargetName<'_>>, mut each: impl FnMut(usize)) {
        self.always.iter().copied().for_each(&mut each);
        let mut named = |map: &ByName, name: &str| {
            map.get(name).into_iter().flatten().copied().for_each(&mut each);
        };
        named(&self.keys, who.key);
        who.routes.iter().for_each(|route| named(&self.routes, route));
        for (key, values) in &self.tags {
            if let Some(value) = who.tags.get(&**key) {
                named(values, value);
            }
        }
        if let Some(target) = target {
            named(&self.models, target.model);
            named(&self.providers, target.provider);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn shares_of_a_limit_are_exact() {
        let budget = Budget {
            daily: Some(Nanos::MAX),
            monthly: Some(Nanos(3)),
            alert_at: vec![0.5, 1.0],
            downgrade_from: Some(0.8),
            on_exceeded: "downgrade:cheap".into(),
            ..Budget::named("b")
        };
        let rule = Rule::compile(&budget).unwrap();
        assert_eq!(rule.lines[0].alerts, [(0.5, i64::MAX / 2 + 1), (1.0, i64::MAX)]);
        assert_eq!(rule.lines[1].alerts, [(0.5, 2), (1.0, 3)]);
        assert_eq!(rule.lines[1].downgrade_at, Some(3));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let bad = |name: &str, change: fn(&mut Budget)| {
            let mut budget = Budget::named(name);
            change(&mut budget);
            budget
        };
        let budgets = [
            bad("a", |budget| budget.scope = "keys".into()),
            bad("b", |budget| budget.timezone = "Mars".into()),
            bad("c", |budget| budget.on_exceeded = "downgrade".into()),
            bad("d", |_| ()),
            bad("d", |_| ()),
        ];
        let faults = Rules::compile(&budgets, []).unwrap_err();
        assert_eq!(faults.len(), 4, "{faults:?}");
        assert!(faults[0].contains("`a`") && faults[0].contains("`scope`"), "{faults:?}");
    }

    #[test]
    fn unpriced_models_are_told_where_a_budget_counts_them() {
        let budgets = ["global", "model:m", "provider:q"]
            .map(|scope| Budget { scope: scope.into(), ..Budget::named(scope) });
        let rules = Rules::compile(&budgets, [("bot", 5)]).unwrap();
        let found = rules.unpriced([("m", "p", true), ("n", "q", false), ("o", "p", false)]);
        assert_eq!(found, [("global".into(), vec!["n", "o"]), ("provider:q".into(), vec!["n"])]);
    }

    #[test]
    fn rules_apply_by_their_scopes() {
        let scopes = [
            "global",
            "each-key",
            "key:bot",
            "route:fast",
            "tag:team=x",
            "tag:team=y",
            "model:m",
            "provider:p",
        ];
        let budgets: Vec<Budget> =
            scopes.iter().map(|scope| Budget { scope: (*scope).into(), ..Budget::named(*scope) }).collect();
        let rules = Rules::compile(&budgets, [("bot", 5), ("other", 0)]).unwrap();
        let tags = BTreeMap::from([("team".to_owned(), "y".to_owned())]);
        let found = |key, route: &str, target: Option<TargetName<'_>>| {
            let mut found = Vec::new();
            let routes: Vec<Arc<str>> = route.split(',').map(Arc::from).collect();
            let who = Who { key, tags: &tags, routes: &routes };
            rules.applying(&who, target.as_ref(), |at| found.push(&*rules.rules[at].name));
            found.sort_unstable();
            found
        };
        assert_eq!(found("", "", None), ["each-key", "global", "tag:team=y"]);
        assert_eq!(
            found("bot", "cheap,fast", Some(TargetName { model: "m", provider: "q" })),
            ["each-key", "global", "key:bot", "model:m", "requests_per_month", "route:fast", "tag:team=y",]
        );
    }
}
