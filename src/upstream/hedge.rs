//! Whether a try that is silent is worth a second one.

use std::time::Duration;

use tokio::time::Instant;

use crate::{config::HedgeAfter, health::Towards, route::Target};

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

    /// Takes a hedge towards a target out of what the traffic allows.
    ///
    /// # Errors
    /// Why there is none, in a word.
    pub(super) fn may_hedge(&self, target: &Target) -> Result<(), &'static str> {
        let Some(patient) = self.fleet.patient(target) else { return Err("off") };
        let now = Instant::now();
        let full = usize::try_from(self.metrics.under_way()).is_ok_and(|under_way| under_way >= self.room);
        let towards = Towards {
            failing: patient.connections.failing(now),
            limited_at: patient.connections.limited_at(),
            full,
        };
        self.fleet.hedges().ask(towards, now, self.retry).map_err(|why| why.as_str())
    }
}
