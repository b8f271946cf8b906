//! One request that gets the answer which another one leads to.

use bytes::Bytes;
use serde_json::Value;
use tokio::time::timeout_at;

use crate::{
    cache::flight::{Ended, Start},
    openai::{answer, sse::Event},
};

use super::{
    super::{
        answer::{Answer, AnswerStream, Content},
        refusal::{Code, Refusal},
    },
    Vault,
    asking::Asking,
    follower::Follower,
    head::{Head, Place},
    hit::summary,
    receipt::Receipt,
};

/// What the client is told; or the request itself, which asks anew: what the other one was told is for that one alone.
pub type Followed = Result<Result<Answer, Box<Refusal>>, Box<Asking>>;

impl Vault {
    /// Gets the answer that another one leads to.
    pub(super) async fn follow(&self, mut asking: Asking, mut seat: Place) -> Followed {
        let by = asking.missed.job.timing.deadline.instant();
        // Written where the client leaves before anything begins.
        let waits = Receipt::new(&self.till, &asking.missed, &asking.question.labels.route, "miss");
        let Ok(start) = timeout_at(by, seat.start()).await else {
            return self.refused(waits, too_late());
        };
        let head = match start {
            Start::Answered(head) => head,
            Start::Refused(turned) => match asking.shares(&turned) {
                true => return self.refused(waits, turned.refusal()),
                false => {
                    waits.void();
                    return Err(Box::new(asking));
                }
            },
            // Whatever broke there may break again, and be paid for each time.
            Start::Lost => return self.refused(waits, lost()),
        };
        waits.void();
        if !asking.takes(&head.facts, &head.key) {
            asking.lane.own_key = true;
            return Err(Box::new(asking));
        }
        if self.till.ledger.check().is_err() {
            return Ok(Err(Box::new(Refusal::ledger_unavailable())));
        }
        self.shared(asking, head, seat).await
    }

    /// The answer of a flight as this client wants it.
    async fn shared(&self, mut asking: Asking, head: Head, seat: Place) -> Followed {
        let missed = &asking.missed;
        let job = &*missed.job;
        let (ask, endpoint, deadline) = (&job.ask, job.ask.endpoint(), job.timing.deadline);
        let receipt =
            Receipt::new(&self.till, missed, &head.facts.route, "hit").of(head.facts.target.as_ref());
        let mut facts = Box::new(head.facts.shared());
        let told = match &head.whole {
            None if ask.stream() => {
                self.metrics.shared();
                let over_by = job.timing.bounds_stream.then_some(deadline);
                let follower = Follower::new(seat, ask.include_usage(), over_by, Some(receipt));
                let content = Content::Stream(AnswerStream::shared(follower, summary(missed, &facts)));
                facts.waited = asking.begun.elapsed();
                return Ok(Ok(Answer { facts, content }));
            }
            None => {
                let ended = timeout_at(deadline.instant(), seat.whole(endpoint)).await;
                object(ended.ok()).map(|body| (body.clone(), Content::Whole(body)))
            }
            Some(whole) if ask.stream() => {
                let events = whole.events(endpoint, ask.include_usage()).ok_or(None);
                let stream =
                    |events| Content::Stream(AnswerStream::kept(vec![events], summary(missed, &facts)));
                events.map(|events| (whole.body.clone(), stream(events)))
            }
            Some(whole) => Ok((whole.body.clone(), Content::Whole(whole.body.clone()))),
        };
        let (body, content) = match told {
            Ok(told) => told,
            Err(None) if asking.asks_for_its_form() => {
                receipt.void();
                return Err(Box::new(asking));
            }
            Err(refusal) => {
                let refusal = refusal.unwrap_or_else(lost);
                self.metrics.shared();
                receipt.failed(refusal.code.as_str());
                return Ok(Err(refusal));
            }
        };
        self.metrics.shared();
        receipt.answered(answer::inspect(&body, endpoint).ok().and_then(|facts| facts.usage?.ok()).as_ref());
        facts.waited = asking.begun.elapsed();
        Ok(Ok(Answer { facts, content }))
    }

    /// Writes down that a request which followed another got no answer.
    fn refused(&self, receipt: Receipt, refusal: Box<Refusal>) -> Followed {
        self.metrics.shared();
        receipt.failed(refusal.code.as_str());
        Ok(Err(refusal))
    }
}

/// A stream that others see, as an object; `None` in place of an error where it cannot be told so. A stream that broke
/// is broken for all: what came of it is paid, and another call for each who waited would be one more each.
fn object(ended: Option<Ended>) -> Result<Bytes, Option<Box<Refusal>>> {
    match ended {
        Some(Ended::Whole(body)) => Ok(body),
        Some(Ended::Unfit) => Err(None),
        Some(Ended::Cut(words)) => Err(Some(broken(words))),
        Some(Ended::Lost) => Err(Some(lost())),
        None => Err(Some(too_late())),
    }
}

/// What the last event of a stream that broke says, as a refusal.
fn broken(words: Bytes) -> Box<Refusal> {
    let event = Event::new(words);
    let said: Value = event.data().and_then(|data| serde_json::from_slice(&data).ok()).unwrap_or_default();
    let error = &said["error"];
    if error["code"] == Code::LedgerUnavailable.as_str() {
        return Box::new(Refusal::ledger_unavailable());
    }
    let message = error["message"].as_str().unwrap_or("The answer broke off before its end.");
    Box::new(Refusal::new(Code::UpstreamStreamBroken, message))
}

/// The refusal of one who waited too long for others' answer.
fn too_late() -> Box<Refusal> {
    Box::new(Refusal::new(Code::UpstreamTimeout, "The deadline of the request is over."))
}

/// The refusal of those whose call ended by a fault of Weir's.
pub fn lost() -> Box<Refusal> {
    Box::new(Refusal::new(Code::Internal, "The gateway failed at this request. This is a fault of Weir's."))
}
