//! A kept answer as a request wants it.

use std::sync::Arc;

use futures_util::future::Either;

use crate::{base::money::Nanos, cache::store::Slot};

use super::{
    super::{
        answer::{Answer, AnswerStream, Cached, Content, Facts, Money, Summary},
        job::Missed,
        refusal::Refusal,
    },
    Vault,
    asking::Asking,
    fly::Note,
    receipt::Receipt,
};

impl Vault {
    /// An answer that is kept; `None`: it cannot be told as the client wants it.
    pub(super) fn kept(&self, asking: &Asking, slot: &Slot<Note>) -> Result<Option<Answer>, Box<Refusal>> {
        let Asking { missed, begun, .. } = asking;
        let (ask, note) = (&missed.job.ask, &slot.note);
        let told = match ask.stream() {
            true => slot.answer.events(ask.include_usage()).map(Either::Left),
            false => slot.answer.object().map(Either::Right),
        };
        let Some(told) = told else { return Ok(None) };
        if self.till.ledger.check().is_err() {
            return Err(Box::new(Refusal::ledger_unavailable()));
        }
        self.metrics.hit();
        let receipt = Receipt::new(&self.till, missed, &note.route, "hit").of(note.target.as_ref());
        let saved = receipt.answered(slot.answer.usage());
        let given = Facts::given(Arc::clone(&note.route), Arc::clone(&note.route_label));
        let mut facts = Box::new(Facts {
            target: note.target.clone(),
            dropped: note.dropped.clone(),
            cache: Cached { word: "hit", age: Some(slot.age(*begun)) },
            ..given.at_no_cost()
        });
        facts.money.saved = saved.filter(|_| missed.job.wishes.savings);
        let content = match told {
            Either::Left(events) => Content::Stream(AnswerStream::kept(events, summary(missed, &facts))),
            Either::Right(body) => Content::Whole(body),
        };
        Ok(Some(Answer { facts, content }))
    }
}

/// What is told before the end of a stream that costs nothing, where the client wishes for it.
pub fn summary(missed: &Missed, facts: &Facts) -> Option<Summary> {
    let target = facts.target.as_ref().filter(|_| missed.job.wishes.stream_summary)?;
    Some(Summary { model: Arc::clone(&target.name), purse: None, savings: false })
}

impl Facts {
    /// The facts of an answer that cost nothing.
    pub(super) fn free() -> Self {
        Self::again().at_no_cost()
    }

    fn at_no_cost(mut self) -> Self {
        self.money = Money { cost: Some(Nanos::ZERO), ..Money::default() };
        self
    }

    /// The same answer's facts for one who did not ask for it first.
    pub(super) fn shared(self) -> Self {
        let Money { max_output, downgraded, .. } = self.money;
        let free = Self::given(self.route, self.route_label).at_no_cost();
        Self {
            target: self.target,
            dropped: self.dropped,
            cache: Cached { word: "hit", age: Some(std::time::Duration::ZERO) },
            money: Money { max_output, downgraded, ..free.money },
            ..free
        }
    }
}
