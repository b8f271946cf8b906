//! Asks the budgets for one attempt of a request.

use std::{
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::{timeout, timeout_at};

use crate::{
    base::money::Nanos,
    budget::{Action, Admission, Ask as Wish, Estimate, Exceeded, Held, TargetName, Unit},
    openai::Attachment,
    route::Target,
};

use super::{
    demand::Demand,
    purse::{Inner, Open},
    unfunded::Unfunded,
};

/// How long a request waits for others to settle what they hold, before it does not fit.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long it waits for the ledger to allow more: a disk that hangs is one that cannot record.
const RAISE_PATIENCE: Duration = Duration::from_secs(1);

/// What a picture and a file count as where only the client limits the cost: as budgets do by default.
const ASSUMED: Attachment = Attachment { picture: 4096, file: 131_072 };

impl Inner {
    /// What an attempt on the target may cost.
    fn estimate(&self, target: &Target, tight: bool) -> Result<Estimate, Unfunded> {
        let name = TargetName { model: &target.name, provider: &target.provider };
        let bounds = || self.bound.bounds(&self.who(), Some(&name));
        let Some(price) = target.price.as_ref().filter(|price| self.demand.is_priced_by(price)) else {
            return match bounds().is_some() || self.ceiling.is_some() {
                true => Err(Unfunded::Unpriced(Arc::clone(&target.name))),
                false => Ok(Demand::unpriced()),
            };
        };
        let per = || {
            bounds().map_or(ASSUMED, |bounds| Attachment {
                picture: bounds.picture_tokens,
                file: bounds.file_tokens,
            })
        };
        let usual = self.till.usual.of(target).output;
        // Attempts that run beside this one may cost all that is held for them.
        let out = self.out.load(Ordering::Relaxed);
        let spent = Nanos(self.cost.load(Ordering::Relaxed).saturating_add(out));
        let estimate = self.demand.estimate(target, price, per, tight);
        Ok(Estimate { ceiling: self.ceiling, spent, usual, ..estimate })
    }

    /// Asks the budgets once for an attempt on the target. What is held for another attempt is given back in the same step.
    pub(super) fn ask(&self, target: &Target, tight: bool) -> Result<Admission, Unfunded> {
        // Anew each time: what runs beside it may have taken its share of the request's own limit.
        let estimate = self.estimate(target, tight)?;
        let mut open = self.lock();
        let (swap, swap_for) = open.spare.take().unzip();
        let wish = self.wish(&open, target, estimate);
        drop(open);
        Ok(match self.till.accounts.admit(&self.bound, &wish, swap, self.till.clock.seconds()) {
            Admission::Held(mut held) => {
                if let Some(count) = held.take_count() {
                    self.lock().count = Some(count);
                }
                Admission::Held(held)
            }
            Admission::Raise { marks, swap: kept } => {
                // Back in its place while this waits: a client that leaves now must not leave it held for ever.
                self.lock().spare = kept.zip(swap_for);
                Admission::Raise { marks, swap: None }
            }
            exceeded @ Admission::Exceeded(_) => exceeded,
        })
    }

    /// Goes on asking after a first answer that gave no leave, as long as that may help.
    pub(super) async fn insist(
        &self,
        target: &Target,
        wait: bool,
        first: Admission,
    ) -> Result<Held, Unfunded> {
        let till = &self.till;
        let until = self.deadline.at_most(self.begun, PATIENCE).instant();
        let waits = |exceeded: &Exceeded| exceeded.may_free && (wait || !exceeded.target_only);
        let (mut answer, mut tight) = (first, false);
        loop {
            answer = match answer {
                Admission::Held(held) => return Ok(held),
                Admission::Raise { marks, .. } => {
                    let raised = timeout(RAISE_PATIENCE, till.ledger.raise(marks.clone())).await;
                    raised.ok().and_then(Result::ok).ok_or(Unfunded::Ledger)?;
                    till.accounts.raised(&marks);
                    self.ask(target, tight)?
                }
                Admission::Exceeded(exceeded) if !tight && counting_may_help(&exceeded) => {
                    tight = true;
                    self.ask(target, tight)?
                }
                Admission::Exceeded(exceeded) if !waits(&exceeded) => return Err(self.unfunded(exceeded)),
                Admission::Exceeded(_) => {
                    // Listened to before asking: a release between the two must not be missed.
                    let mut changed = pin!(till.accounts.changed());
                    changed.as_mut().enable();
                    match self.ask(target, tight)? {
                        Admission::Exceeded(exceeded) if waits(&exceeded) => {
                            if timeout_at(until, changed).await.is_err() {
                                return Err(self.unfunded(exceeded));
                            }
                            self.ask(target, tight)?
                        }
                        answer => answer,
                    }
                }
            }
        }
    }

    fn unfunded(&self, exceeded: Exceeded) -> Unfunded {
        self.till.metrics.refused(&exceeded.budget, action(&exceeded));
        Unfunded::Budget(exceeded)
    }

    fn wish<'a>(&'a self, open: &Open, target: &'a Target, estimate: Estimate) -> Wish<'a> {
        Wish {
            who: self.who(),
            target: Some(TargetName { model: &target.name, provider: &target.provider }),
            estimate: Estimate { counts: !open.counted && open.count.is_none(), ..estimate },
            downgraded: open.downgraded,
        }
    }
}

/// Whether counting tokens instead of bytes may let a try fit.
fn counting_may_help(exceeded: &Exceeded) -> bool {
    exceeded.unit == Unit::Money && exceeded.room > Nanos::ZERO
}

/// What becomes of a try that does not fit, as metrics name it.
fn action(exceeded: &Exceeded) -> &'static str {
    match exceeded.action {
        _ if exceeded.target_only => "skip",
        Action::Reject => "reject",
        Action::Downgrade(_) => "downgrade",
    }
}
