//! The chain of a request.

use crate::{
    route::{Chain, Target, Wanted, fits},
    upstream::Trail,
};

use super::{
    job::{Job, Missed, Planned},
    refusal::Refusal,
};

/// Resolves what is wanted to the targets that are tried, in order; those that cannot do what the request needs
/// are passed over.
pub fn step(Missed { job, wanted, verdict }: Missed) -> Result<Planned, Box<Refusal>> {
    let chain = chain(&job, &wanted, verdict.keep.as_deref())?;
    Ok(Planned { job, chain, verdict })
}

/// The chain behind what is wanted; a healthy target called `keep` comes first in its own route.
///
/// # Errors
/// No target is on, or none can do what the request needs.
pub fn chain(job: &Job, wanted: &[Wanted], keep: Option<&str>) -> Result<Chain, Box<Refusal>> {
    let stream = job.ask.stream();
    let rank = |target: &Target| job.snapshot.fleet.rank(target, stream);
    let mut chain = job.snapshot.book.chain(wanted, rank, rand::random);
    if let (Some(keep), [Wanted::Route(route)]) = (keep, wanted) {
        let kept = chain.targets.iter().find(|target| &*target.name == keep);
        if kept.is_some_and(|target| !rank(target).degraded) {
            chain = chain.led_by(keep, route);
        }
    }
    if job.wishes.no_fallback {
        chain = chain.without_fallback();
    }
    if job.key.as_ref().is_some_and(|key| key.is_own()) {
        // What Weir asks for itself is for no route's checks.
        (chain.cascade, chain.least) = (None, 0);
    }
    if chain.targets.is_empty() {
        return Err(Box::new(Refusal::nothing_on(&chain)));
    }
    let window = chain.targets.iter().filter_map(|target| target.context_window).min();
    let needs = job.ask.needs(window);
    let chain = chain.fitting(|target| fits(&needs, target));
    for (target, missing) in &chain.skipped {
        tracing::info!(model = %target.name, lacks = %missing, "is passed over");
    }
    match chain.targets.is_empty() {
        true => Err(Box::new(Refusal::unfit(&chain, &Trail::default()))),
        false => Ok(chain),
    }
}
