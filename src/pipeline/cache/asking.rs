//! How one request asks the cache: with whom it shares its way, for which part of others' fate it stays.

use tokio::time::Instant;

use crate::{
    cache::key::Key,
    config::Scope,
    route::{Missing, Wanted},
};

use super::{
    super::{
        answer::Facts,
        job::{Job, Missed},
        refusal::{Code, Refusal},
    },
    Question,
    head::Turned,
};

/// So often a request asks anew among all because a leader had no money; then only with those of its own key. Else many
/// keys without money would try one after the other, each waiting for all before it.
const MOST_TURNED: u32 = 2;

/// How one request asks.
pub struct Asking {
    pub question: Question,
    pub missed: Missed,
    /// When it came to the cache.
    pub begun: Instant,
    /// With whom it shares its way: all who ask the same, or fewer of them.
    pub lane: Lane,
    /// Whether what is kept can be told in the form that it wants.
    pub tellable: bool,
    turned: u32,
}

/// A part of all who ask the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lane {
    /// Those of the same key alone.
    pub own_key: bool,
    /// Those alone who want the answer in the same form.
    pub own_form: bool,
}

impl Asking {
    /// A request that comes now.
    pub fn new(question: Question, missed: Missed) -> Self {
        // A whole answer may be asked for once more, elsewhere, and a stream is not: neither is like the other.
        let own_form = missed
            .wanted
            .iter()
            .any(|wanted| matches!(wanted, Wanted::Route(route) if route.cascade.is_some()));
        let lane = Lane { own_form, ..Lane::default() };
        Self { question, missed, begun: Instant::now(), lane, tellable: true, turned: 0 }
    }

    /// From now on it asks with those alone who want the same form, as the answer cannot be told in the other; false: it did
    /// so already.
    pub fn asks_for_its_form(&mut self) -> bool {
        self.tellable = false;
        !std::mem::replace(&mut self.lane.own_form, true)
    }

    /// Under what it looks for others.
    pub fn flight(&self) -> Key {
        let Lane { own_key, own_form } = self.lane;
        if self.lane == Lane::default() {
            return self.question.flight();
        }
        let key = if own_key { self.key().as_bytes() } else { b"" };
        let form = match (own_form, self.missed.job.ask.stream()) {
            (false, _) => "any",
            (true, false) => "object",
            (true, true) => "events",
        };
        self.question.flight().among([&[own_key.into()], key, form.as_bytes()])
    }

    /// Whether what a leader is told is told to this one too. If not, it asks anew, and this counts it.
    pub fn shares(&mut self, turned: &Turned) -> bool {
        if turned.late {
            // Who has about as little time left as was not enough would only pay for another call in vain.
            let (now, by) = (Instant::now(), self.missed.job.timing.deadline);
            return by.left(now) * 2 < by.left(self.begun);
        }
        if turned.key == self.question.labels.key || !is_of_a_purse(&turned.refusal, &self.missed.job) {
            return true;
        }
        self.turned += 1;
        self.lane.own_key |= self.turned > MOST_TURNED;
        false
    }

    /// Whether an answer that came about so is for this one too, where `key` leads.
    pub fn takes(&self, facts: &Facts, key: &str) -> bool {
        let purse = facts.money.downgraded || facts.money.squeezed || passed_over(facts, &self.missed.job);
        !purse || *key == **self.key()
    }

    fn key(&self) -> &std::sync::Arc<str> {
        &self.question.labels.key
    }
}

/// Whether a refusal says something of the leader's money that does not hold for this request too.
fn is_of_a_purse(refusal: &Refusal, job: &Job) -> bool {
    let own = match refusal.code {
        Code::QuotaExceeded | Code::ModelUnpriced => true,
        // What only some targets have no room for may be due to a cheaper route, to which only the leader was sent.
        Code::BudgetExceeded => refusal.budget.as_deref().is_none_or(|name| !counts(job, name, false)),
        _ => false,
    };
    own || refusal.diverted || refusal.facts.as_ref().is_some_and(|facts| passed_over(facts, job))
}

/// Whether targets were passed over for want of money that this request might have.
fn passed_over(facts: &Facts, job: &Job) -> bool {
    facts.skipped.iter().any(|(_, missing)| match missing {
        Missing::Budget(name) => !counts(job, name, true),
        // Only limits on what the leader spends make a price necessary.
        Missing::Price => true,
        _ => false,
    })
}

/// Whether a budget counts this request as it does each of those that ask the same; `target`: also if it counts only what
/// some target answers.
fn counts(job: &Job, name: &str, target: bool) -> bool {
    if name.is_empty() {
        // The limit is the client's own, and those who share a flight set the same.
        return true;
    }
    let budgets = &job.snapshot.config.budgets;
    let scope =
        budgets.iter().find(|budget| budget.name == name).and_then(|budget| Scope::parse(&budget.scope));
    match scope {
        Some(Scope::Global | Scope::Route(_)) => true,
        Some(Scope::Model(_) | Scope::Provider(_)) => target,
        Some(Scope::Tag(tag, value)) => {
            job.key.as_ref().is_some_and(|key| key.tags().get(&tag) == Some(&value))
        }
        Some(Scope::Key(_) | Scope::EachKey) | None => false,
    }
}
