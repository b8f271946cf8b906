//! The chain of a request.

use crate::{route::fits, upstream::Trail};

use super::{
    job::{Missed, Planned},
    refusal::Refusal,
};

/// Resolves what is wanted to the targets that are tried, in order; those that cannot do what the request needs
/// are passed over.
pub fn step(Missed { job, wanted }: Missed) -> Result<Planned, Box<Refusal>> {
    let mut chain = job.snapshot.book.chain(&wanted, rand::random);
    if job.wishes.no_fallback {
        chain = chain.without_fallback();
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
        false => Ok(Planned { job, chain }),
    }
}
