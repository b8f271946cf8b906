//! The place of the budgets: there are none yet, so every request may spend.

use super::{
    job::{Funded, Planned},
    refusal::Refusal,
};

/// Takes leave to spend.
pub fn step(Planned { job, chain }: Planned) -> Result<Funded, Box<Refusal>> {
    Ok(Funded { job, chain })
}
