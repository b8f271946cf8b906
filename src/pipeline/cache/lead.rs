//! One request that makes its answer for all who come to ask the same.

use std::sync::Arc;

use crate::cache::flight::{Lead, Start};

use super::{
    super::{
        answer::{Answer, AnswerStream, Content},
        refusal::Refusal,
    },
    Maker, Vault,
    asking::Asking,
    fly::{Keeper, fly},
    follow::lost,
    follower::Follower,
    head::{Head, Place, Turned},
};

impl Vault {
    /// Makes the answer, for all who come to ask the same.
    pub(super) async fn lead<S: Maker>(
        self: &Arc<Self>,
        asking: Asking,
        lead: Lead<Head, Turned>,
        mut seat: Place,
        inner: S,
    ) -> Result<Answer, Box<Refusal>> {
        let Asking { question, mut missed, .. } = asking;
        let keeper = Keeper::new(self, question, &missed);
        let job = &mut *missed.job;
        let word = if job.wishes.cache.no_cache { "bypass" } else { "miss" };
        job.cache = word;
        if word == "miss" {
            self.metrics.missed();
        }
        let usage = job.ask.include_usage();
        let over_by = job.timing.bounds_stream.then_some(job.timing.deadline);
        // Each of those who follow has an end of its own, and some may want to know what it took.
        job.timing.bounds_stream = false;
        if job.ask.stream() && !usage {
            job.ask = Arc::new(job.ask.telling_usage());
        }
        lead.fly(|lead| Box::pin(fly(lead, keeper, inner, missed)));
        let Head { mut facts, whole, summary, .. } = match seat.start().await {
            Start::Answered(head) => head,
            Start::Refused(turned) => return Err(turned.refusal()),
            Start::Lost => return Err(lost()),
        };
        facts.cache.word = word;
        let content = match whole {
            Some(whole) => Content::Whole(whole.body.clone()),
            None => {
                let follower = Follower::new(seat, usage, over_by, None);
                Content::Stream(AnswerStream::shared(follower, summary))
            }
        };
        Ok(Answer { facts, content })
    }
}
