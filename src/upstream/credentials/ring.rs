//! Which of a provider's credentials may be used for which model: the pure state behind their turns.

use std::{
    cmp::Ordering,
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use crate::{base::outcome::Outcome, provider::quota::Quota};

use super::{
    ban::{Access, Ban},
    gate::Gate,
};

/// How long a credential without money rests.
const REST: Duration = Duration::from_secs(15 * 60);
/// How many models a credential keeps something about. Clients that pin models choose their names.
const MAX_MODELS: usize = 256;

/// Credentials in the order of their turns.
#[derive(Debug)]
pub struct Ring {
    slots: Vec<Slot>,
    turn: usize,
    /// Whether refusals put the credential out, or only its use for the model: where no key is sent, a refusal says
    /// nothing about other models.
    keyed: bool,
}

/// What a credential is worth, as the metrics have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Worth {
    /// Nothing is said against it.
    Good,
    /// It had no money the last time that it was used.
    WithoutMoney,
    /// It was refused, twice in a row.
    Refused,
}

/// What is known of one credential.
#[derive(Clone, Debug, Default)]
pub struct Slot {
    own: Marks,
    models: HashMap<Arc<str>, Pair>,
}

/// What is known of one credential and one model.
#[derive(Clone, Copy, Debug, Default)]
struct Pair {
    own: Marks,
    gate: Gate,
    /// The share of the provider's limit that is left, and until when that can be believed.
    left: Option<(f64, Instant)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Marks {
    ban: Ban,
    rests_until: Option<Instant>,
}

/// How far a request has come through the credentials; it begins at the one whose turn it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Turn {
    first: Option<usize>,
    gone: usize,
}

/// A credential for one try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    /// Its place in the ring.
    pub slot: usize,
    /// Whether this is the one try that shows whether it is known again: it has to be reported or given back.
    pub trial: Trial,
}

/// What a try is to show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trial {
    /// Whether the credential is known again.
    pub own: bool,
    /// Whether it may be used for the model again.
    pub model: bool,
}

/// Whether a target may be tried now, as far as credentials and limits say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It may.
    Usable,
    /// It may not.
    Shut(Shut),
}

/// Why nothing may be sent, and until when as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shut {
    /// [`Outcome::RateLimited`], [`Outcome::QuotaExhausted`], [`Outcome::CredentialRejected`] or
    /// [`Outcome::Forbidden`]: of all credentials' reasons the one that is over soonest.
    pub why: Outcome,
    /// When the first one may be used again.
    pub until: Instant,
}

/// What a report changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// What happened.
    pub event: Event,
    /// Whether it is about all models.
    pub all_models: bool,
    /// Until when it holds; the present for [`Event::Back`].
    pub until: Instant,
}

/// What may happen to a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It is at a rate limit.
    Limited,
    /// It rests: it has no money left.
    Rests,
    /// It is out: it was refused twice in a row.
    Out,
    /// It stays out: the one try was refused.
    StaysOut,
    /// It is used as before.
    Back,
}

impl Ring {
    /// A ring of `n` credentials; `keyed` is false for the one place of a provider that needs no key.
    pub fn new(n: usize, keyed: bool) -> Self {
        Self { slots: vec![Slot::default(); n], turn: 0, keyed }
    }

    /// The next credential that may be used for the model; each comes up once in a turn.
    pub fn next(&mut self, turn: &mut Turn, model: &str, now: Instant) -> Option<Pick> {
        let first = *turn.first.get_or_insert(self.turn);
        while turn.gone < self.slots.len() {
            let slot = (first + turn.gone) % self.slots.len();
            turn.gone += 1;
            if self.shut(slot, model, now).is_none() {
                self.turn = (slot + 1) % self.slots.len();
                return Some(Pick { slot, trial: self.begin_trial(slot, model, now) });
            }
        }
        None
    }

    /// Whether any credential may be used for the model.
    pub fn standing(&self, model: &str, now: Instant) -> Standing {
        let mut soonest: Option<Shut> = None;
        for slot in 0..self.slots.len() {
            let Some(shut) = self.shut(slot, model, now) else { return Standing::Usable };
            let sooner = |best: Shut| match hope(shut.why).cmp(&hope(best.why)) {
                Ordering::Equal => shut.until < best.until,
                hope => hope.is_gt(),
            };
            if soonest.is_none_or(sooner) {
                soonest = Some(shut);
            }
        }
        soonest.map_or(Standing::Usable, Standing::Shut)
    }

    /// Whether every credential was refused for the model, or ran out of money, and none was answered since.
    pub fn is_dead(&self, model: &str) -> bool {
        self.slots
            .iter()
            .all(|slot| slot.own.is_bad() || slot.models.get(model).is_some_and(|pair| pair.own.is_bad()))
    }

    /// The worst that its latest answers told of a credential: for all models, or for one of these.
    pub fn worth(&self, slot: usize, models: &BTreeSet<Arc<str>>) -> Worth {
        let Slot { own, models: known } = &self.slots[slot];
        let pairs =
            known.iter().filter(|(model, _)| models.contains(*model)).map(|(_, pair)| pair.own.worth());
        pairs.chain([own.worth()]).max().unwrap_or(Worth::Good)
    }

    /// The largest share of the provider's own limit that a usable credential has left for the model, 0 to 1; `None`
    /// where one of them does not know.
    pub fn left(&self, model: &str, now: Instant) -> Option<f64> {
        let usable = (0..self.slots.len()).filter(|slot| self.shut(*slot, model, now).is_none());
        let known = usable.map(|slot| {
            let (share, until) = self.slots[slot].models.get(model)?.left?;
            (until > now).then_some(share)
        });
        known.collect::<Option<Vec<f64>>>()?.into_iter().reduce(f64::max)
    }

    /// Why a credential may not be used for the model now: of several reasons the one that holds longest.
    fn shut(&self, slot: usize, model: &str, now: Instant) -> Option<Shut> {
        let slot = &self.slots[slot];
        let pair = slot.models.get(model).copied().unwrap_or_default();
        let refused = if self.keyed { Outcome::Forbidden } else { Outcome::CredentialRejected };
        let ends = [
            (Outcome::RateLimited, pair.gate.shut_until(now)),
            (Outcome::QuotaExhausted, slot.own.rests(now).max(pair.own.rests(now))),
            (Outcome::CredentialRejected, slot.own.out(now)),
            (refused, pair.own.out(now)),
        ];
        let ends = ends.into_iter().filter_map(|(why, until)| Some(Shut { why, until: until? }));
        ends.max_by_key(|shut| shut.until)
    }

    fn begin_trial(&mut self, slot: usize, model: &str, now: Instant) -> Trial {
        let slot = &mut self.slots[slot];
        let begin = |ban: &mut Ban| {
            let due = ban.access(now) == Access::OnTrial;
            if due {
                ban.begin_trial();
            }
            due
        };
        let own = begin(&mut slot.own.ban);
        Trial { own, model: slot.models.get_mut(model).is_some_and(|pair| begin(&mut pair.own.ban)) }
    }

    /// A try is over, whatever it showed.
    pub fn give_back(&mut self, pick: Pick, model: &str) {
        let slot = &mut self.slots[pick.slot];
        if pick.trial.own {
            slot.own.ban.end_trial();
        }
        if let Some(pair) = slot.models.get_mut(model).filter(|_| pick.trial.model) {
            pair.own.ban.end_trial();
        }
    }

    /// What became of a try. `hint`: how long the provider asks to be left alone. `draw` lies in [0, 1).
    pub fn report(
        &mut self,
        pick: Pick,
        model: &Arc<str>,
        (outcome, hint): (Outcome, Option<Duration>),
        now: Instant,
        draw: f64,
    ) -> Option<Change> {
        let keyed = self.keyed;
        let slot = &mut self.slots[pick.slot];
        let change = match outcome {
            Outcome::RateLimited => {
                let gate = &mut slot.pair(model, now).gate;
                gate.shut(hint, now, draw)
                    .then(|| Change::of(Event::Limited, false, gate.shut_until(now), now))
            }
            Outcome::QuotaExhausted => {
                let marks = if keyed { &mut slot.own } else { &mut slot.pair(model, now).own };
                let awake = marks.rests(now).is_none();
                let until = awake.then(|| *marks.rests_until.insert(now + REST));
                slot.accepted(model, false, now);
                until.map(|until| Change { event: Event::Rests, all_models: keyed, until })
            }
            Outcome::CredentialRejected if keyed => slot.own.refused(true, now),
            Outcome::CredentialRejected => slot.pair(model, now).own.refused(false, now),
            Outcome::Forbidden => {
                slot.own.ban.accepted();
                slot.pair(model, now).own.refused(false, now)
            }
            Outcome::Ok | Outcome::Rejected | Outcome::ContextTooLong => {
                slot.accepted(model, outcome == Outcome::Ok, now)
            }
            _ => None,
        };
        self.give_back(pick, model);
        change
    }

    /// An answer told what is left of the provider's limits.
    pub fn saw(
        &mut self,
        pick: Pick,
        model: &Arc<str>,
        quota: &Quota,
        now: Instant,
        draw: f64,
    ) -> Option<Change> {
        if *quota == Quota::default() {
            return None;
        }
        let pair = self.slots[pick.slot].pair(model, now);
        pair.left = quota.left.map(|left| (left.share, now + left.resets_in.min(Duration::from_secs(300))));
        let newly = quota.spent_for.is_some_and(|span| pair.gate.shut(Some(span), now, draw));
        newly.then(|| Change::of(Event::Limited, false, pair.gate.shut_until(now), now))
    }

    /// An operator has looked after the credentials: those that were refused or had no money are tried again.
    pub fn pardon(&mut self) {
        for slot in &mut self.slots {
            slot.own = Marks::default();
            slot.models.values_mut().for_each(|pair| pair.own = Marks::default());
        }
    }

    /// What is known of a credential.
    pub fn slot(&self, slot: usize) -> Slot {
        self.slots[slot].clone()
    }

    /// Goes on with what was known of a credential under other settings.
    pub fn set_slot(&mut self, slot: usize, known: Slot) {
        self.slots[slot] = known;
    }
}

impl Slot {
    /// About how many models something is known.
    #[cfg(test)]
    pub fn models(&self) -> usize {
        self.models.len()
    }

    /// The pair with a model, made where there is none.
    fn pair(&mut self, model: &Arc<str>, now: Instant) -> &mut Pair {
        if self.models.len() >= MAX_MODELS && !self.models.contains_key(model) {
            self.models.retain(|_, pair| pair.ends().is_some_and(|end| end > now));
            if self.models.len() >= MAX_MODELS {
                let soonest = self.models.iter().min_by_key(|(_, pair)| pair.ends());
                let soonest = soonest.map(|(name, _)| Arc::clone(name));
                soonest.map(|name| self.models.remove(&name));
            }
        }
        self.models.entry(Arc::clone(model)).or_default()
    }

    /// The provider knows the credential, and for the model if `answered`.
    fn accepted(&mut self, model: &str, answered: bool, now: Instant) -> Option<Change> {
        let mut back = self.own.accepted(answered, now).then_some(true);
        if let Some(pair) = self.models.get_mut(model) {
            if answered {
                pair.gate.answered();
            }
            if pair.own.accepted(answered, now) {
                back = back.or(Some(false));
            }
        }
        back.map(|all_models| Change { event: Event::Back, all_models, until: now })
    }
}

impl Pair {
    /// When nothing of it matters any more.
    fn ends(&self) -> Option<Instant> {
        let left = self.left.map(|(_, until)| until);
        self.gate.ends().max(left).max(self.own.rests_until).max(self.own.ban.ends())
    }
}

impl Marks {
    fn rests(&self, now: Instant) -> Option<Instant> {
        self.rests_until.filter(|until| *until > now)
    }

    fn out(&self, now: Instant) -> Option<Instant> {
        match self.ban.access(now) {
            Access::Out(until) => Some(until),
            Access::In | Access::OnTrial => None,
        }
    }

    /// Whether it was refused or out of money the last time that it was used.
    fn is_bad(&self) -> bool {
        self.worth() != Worth::Good
    }

    fn worth(&self) -> Worth {
        match (self.ban.ends(), self.rests_until) {
            (Some(_), _) => Worth::Refused,
            (None, Some(_)) => Worth::WithoutMoney,
            (None, None) => Worth::Good,
        }
    }

    fn refused(&mut self, all_models: bool, now: Instant) -> Option<Change> {
        let event = if self.ban.ends().is_some() { Event::StaysOut } else { Event::Out };
        self.ban.refused(now).then(|| Change::of(event, all_models, self.out(now), now))
    }

    /// True where it was out, or had rested.
    fn accepted(&mut self, answered: bool, now: Instant) -> bool {
        let rested = answered && self.rests_until.take_if(|until| *until <= now).is_some();
        self.ban.accepted() || rested
    }
}

impl Change {
    fn of(event: Event, all_models: bool, until: Option<Instant>, now: Instant) -> Self {
        Self { event, all_models, until: until.unwrap_or(now) }
    }
}

/// How soon a reason may be over by itself: a limit before an empty purse before a refusal.
pub fn hope(why: Outcome) -> u8 {
    match why {
        Outcome::RateLimited => 2,
        Outcome::QuotaExhausted => 1,
        _ => 0,
    }
}
