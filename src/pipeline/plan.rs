//! The chain of a request.

use super::{
    job::{Missed, Planned},
    refusal::Refusal,
};

/// Resolves what is wanted to the targets that are tried, in order.
pub fn step(Missed { job, wanted }: Missed) -> Result<Planned, Box<Refusal>> {
    let mut chain = job.snapshot.book.chain(&wanted, rand::random);
    if job.wishes.no_fallback {
        chain = chain.without_fallback();
    }
    match chain.targets.is_empty() {
        true => Err(Box::new(Refusal::nothing_on(&chain))),
        false => Ok(Planned { job, chain }),
    }
}
