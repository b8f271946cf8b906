//! A second answer from a stronger route, where the first one fails a check.

use bytes::Bytes;

use crate::{
    base::boxed::boxed,
    config::QualityCheck,
    quality::Findings,
    route::{Cascade, Chain, Wanted},
    spend::Posted,
    upstream::{Errand, Executed, Trail, Won, execute},
};

use super::{budget, job::Job, plan};

/// A whole answer with the way to it.
pub(super) struct Whole {
    pub(super) body: Bytes,
    pub(super) posted: Posted,
    pub(super) findings: Findings,
    pub(super) trail: Trail,
    /// The output limit that a budget set for it.
    pub(super) max_output: Option<u64>,
}

/// The answer that the client gets.
pub(super) struct Served {
    pub(super) whole: Whole,
    /// The other answer's entry in the ledger.
    pub(super) also: Option<Posted>,
    /// The check that the first answer failed, where this is the second.
    pub(super) escalated: Option<QualityCheck>,
    /// Whether only the want of money kept it from being asked for once more.
    pub(super) unfunded: bool,
}

impl From<Whole> for Served {
    fn from(whole: Whole) -> Self {
        Self { whole, also: None, escalated: None, unfunded: false }
    }
}

/// The better of the first answer and of one from the route that its own names for answers like it. That one is only asked
/// if the budgets have room for both, and the first answer is kept until the other is there.
pub(super) async fn better(errand: &Errand<'_>, job: &Job, first: Whole) -> Served {
    let Some(cascade) = &errand.chain.cascade else { return first.into() };
    let Some(check) = first.findings.failed.and(cascade.on).worst() else { return first.into() };
    // Boxed: few answers fail, and the future of another way along a chain is large.
    boxed(|| escalate(errand, job, first, cascade, check)).await
}

/// Asks the other route.
async fn escalate(
    errand: &Errand<'_>,
    job: &Job,
    mut first: Whole,
    cascade: &Cascade,
    check: QualityCheck,
) -> Served {
    let count = |result| errand.metrics.escalated(&errand.chain.label, check, result);
    let Some(mut chain) = way(job, cascade, &first.trail) else {
        count("failed");
        return first.into();
    };
    if budget::pass(errand.purse, &mut chain, false).await.is_err() {
        tracing::info!(check = check.as_str(), to = %cascade.to, "no budget has room to escalate an answer");
        count("unfunded");
        return Served { unfunded: true, ..first.into() };
    }
    errand.purse.escalate();
    tracing::info!(check = check.as_str(), to = %cascade.to, "an answer is escalated");
    let also = Errand { chain: &chain, escalated: true, ..*errand };
    let Executed { result, mut trail } = execute(&also).await;
    trail.skipped.append(&mut chain.skipped);
    let Ok(Won::Whole { body, posted, findings }) = result else {
        count("failed");
        first.trail = behind(trail, first.trail);
        return first.into();
    };
    if !first.findings.yields_to(findings, cascade.on) {
        count("kept");
        first.trail = behind(trail, first.trail);
        return Served { also: Some(posted), ..first.into() };
    }
    count("answered");
    let trail = behind(first.trail, trail);
    let whole = Whole { body, posted, findings, trail, max_output: errand.purse.max_output() };
    Served { whole, also: Some(first.posted), escalated: Some(check), unfunded: false }
}

/// The targets that may do better; `None`: there are none.
fn way(job: &Job, cascade: &Cascade, before: &Trail) -> Option<Chain> {
    let wanted = job.snapshot.book.route(&cascade.to).ok()?;
    let Wanted::Route(route) = &wanted else { return None };
    let chain = plan::chain(job, std::slice::from_ref(&wanted), None).ok()?;
    let had = |name: &str| before.tried.iter().any(|tried| &*tried.target.name == name);
    let chain = chain.escalated(route, |target| had(&target.name));
    (!chain.targets.is_empty()).then_some(chain)
}

/// Two ways as one: the second is that of the answer which the client gets.
fn behind(mut first: Trail, mut second: Trail) -> Trail {
    first.tried.append(&mut second.tried);
    first.skipped.append(&mut second.skipped);
    Trail {
        tried: first.tried,
        skipped: first.skipped,
        fallbacks: first.fallbacks + second.fallbacks,
        dropped: second.dropped,
        waited: first.waited + second.waited,
    }
}
