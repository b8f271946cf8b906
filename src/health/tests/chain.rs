//! A chain of targets as an attempt loop would walk it: the written order, degraded ones last, then the last resort.

use tokio::time::Instant;

use super::{Chance, TargetHealth};
use crate::health::{Permit, Status};

/// The target to try next, of those not tried yet.
pub(super) fn pick(
    targets: &[TargetHealth],
    tried: &[bool],
    now: Instant,
    chance: &mut Chance,
) -> Option<(usize, Permit)> {
    let standing: Vec<_> = targets.iter().map(|target| target.standing(now)).collect();
    let mut order: Vec<usize> = (0..targets.len()).filter(|at| !tried[*at]).collect();
    order.sort_by_key(|at| standing[*at].status == Status::Degraded);
    let admitted = order.iter().find_map(|at| Some((*at, targets[*at].try_admit(now, chance.draw()).ok()?)));
    if admitted.is_some() {
        return admitted;
    }
    // The one that is free the earliest goes first.
    order.sort_by_key(|at| standing[*at].free_at());
    order.iter().find_map(|at| Some((*at, targets[*at].last_resort(now).ok()?)))
}
