//! Whether a try that is silent is worth a second one.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    config::HedgeAfter,
    health::{NoHedge, Towards},
    route::Target,
};

use super::execute::Errand;

impl Errand<'_> {
    /// How long a target may be silent before another one starts; `None`: nobody knows yet.
    pub(super) fn patience(&self, target: &Target) -> Option<Duration> {
        let kind = self.kind();
        match self.chain.race.hedge_after {
            HedgeAfter::Never => None,
            HedgeAfter::Time(span) => Some(span.0),
            HedgeAfter::P95 => {
                self.fleet.patient(target)?.health.hedge_after(kind.stream, kind.prompt, self.retry)
            }
        }
    }

    /// The first of these targets that may have a hedge, which is taken out of what the traffic allows.
    pub(super) fn choose_hedge(&self, targets: &[Arc<Target>]) -> Option<usize> {
        for (at, target) in targets.iter().enumerate() {
            match self.may_hedge(target) {
                Ok(()) => return Some(at),
                Err(why) => {
                    self.count_hedge(why.as_str());
                    if matches!(why, NoHedge::Full | NoHedge::Spent) {
                        return None;
                    }
                }
            }
        }
        None
    }

    fn may_hedge(&self, target: &Target) -> Result<(), NoHedge> {
        let now = Instant::now();
        let full = usize::try_from(self.metrics.under_way()).is_ok_and(|under_way| under_way >= self.room);
        // One whose provider is off is passed over when it is tried.
        let connections = self.fleet.patient(target).map(|patient| &patient.connections);
        let towards = Towards {
            failing: connections.map_or(0.0, |connections| connections.failing(now)),
            limited_at: connections.and_then(|connections| connections.limited_at()),
            full,
        };
        self.fleet.hedges().ask(towards, now, self.retry)
    }
}
