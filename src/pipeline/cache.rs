//! The place of the cache: nothing is kept yet, so every look-up misses.

use super::{
    job::{Classified, Missed},
    refusal::Refusal,
};

/// Looks the answer up.
pub fn step(Classified { job, wanted, verdict }: Classified) -> Result<Missed, Box<Refusal>> {
    match job.wishes.cache.only_if_cached {
        true => Err(Box::new(Refusal::cache_miss())),
        false => Ok(Missed { job, wanted, verdict }),
    }
}
