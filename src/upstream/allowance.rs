//! What a provider may be sent a minute by our own limits.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    base::outcome::Outcome,
    config::Provider,
    limit::bucket::{Bucket, Wait},
    spend::Spent,
};

/// Requests and tokens a minute. Providers whose limits are known are never sent more.
#[derive(Debug)]
pub struct Allowance {
    rpm: Bucket,
    tpm: Bucket,
    limits: (u32, u32),
}

/// Room for one request. One that was not sent gives it back.
#[derive(Debug)]
#[must_use = "dropping it gives the room back"]
pub struct Room {
    of: Arc<Allowance>,
    tokens: u32,
    sent: bool,
}

impl Allowance {
    /// The allowance of a provider, all of it unused.
    pub fn new(settings: &Provider, now: Instant) -> Self {
        let (rpm, tpm) = (settings.rpm, settings.tpm);
        Self { rpm: Bucket::new(rpm, now), tpm: Bucket::new(tpm, now), limits: (rpm, tpm) }
    }

    /// Whether it allows the same.
    pub fn is_same(&self, other: &Self) -> bool {
        self.limits == other.limits
    }

    /// Whether it counts tokens.
    pub fn counts_tokens(&self) -> bool {
        self.limits.1 > 0
    }

    /// Takes room for a request of about so many tokens. One that is larger than the limit takes all of it.
    ///
    /// # Errors
    /// How long to wait; then nothing is taken.
    pub fn take(self: &Arc<Self>, tokens: u64, now: Instant) -> Result<Room, Duration> {
        let ready = |wait: Wait| wait.retry_after;
        let wanted = u32::try_from(tokens).unwrap_or(u32::MAX);
        // Most providers have no limits of ours: then nothing is asked.
        let (rpm, tpm) = self.limits;
        let tokens = if tpm > 0 { self.tpm.try_take_capped(wanted, now).map_err(ready)? } else { 0 };
        if rpm > 0
            && let Err(wait) = self.rpm.try_take(1, now)
        {
            self.tpm.give_back(tokens, now);
            return Err(wait.retry_after);
        }
        Ok(Room { of: Arc::clone(self), tokens, sent: false })
    }

    /// How long until there is room for a small request; zero where there is some now.
    pub fn ready_in(&self, now: Instant) -> Duration {
        self.rpm.ready_in(1, now).max(self.tpm.ready_in(1, now))
    }
}

impl Room {
    /// The request goes out: from here on the provider counts it.
    pub fn sent(&mut self) {
        self.sent = true;
    }

    /// What the request took in the place of what was reserved; where nobody knows, the reservation stands. One that
    /// was passed over after all gives everything back.
    pub fn over(mut self, outcome: Outcome, spent: &Spent, now: Instant) {
        if outcome == Outcome::Skipped {
            self.sent = false;
            return;
        }
        if !self.of.counts_tokens() {
            return;
        }
        let taken = match spent {
            Spent::Counted(usage) => u32::try_from(usage.prompt() + usage.completion()).unwrap_or(u32::MAX),
            Spent::Nothing => 0,
            Spent::Produced { .. } | Spent::Cut { .. } | Spent::Lost | Spent::Overtaken => self.tokens,
        };
        match taken.checked_sub(self.tokens) {
            Some(more) => self.of.tpm.charge(more, now),
            None => self.of.tpm.give_back(self.tokens - taken, now),
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if !self.sent {
            let now = Instant::now();
            self.of.rpm.give_back(1, now);
            self.of.tpm.give_back(self.tokens, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openai::Usage;

    const SECOND: Duration = Duration::from_secs(1);

    fn allowance(rpm: u32, tpm: u32) -> (Arc<Allowance>, Instant) {
        let now = Instant::now();
        (Arc::new(Allowance::new(&Provider { rpm, tpm, ..Provider::default() }, now)), now)
    }

    fn sent(allowance: &Arc<Allowance>, tokens: u64, now: Instant) -> Result<Room, Duration> {
        allowance.take(tokens, now).map(|mut room| {
            room.sent();
            room
        })
    }

    #[tokio::test(start_paused = true)]
    async fn never_more_requests_than_allowed() {
        let (allowance, now) = allowance(2, 0);
        assert!(!allowance.counts_tokens());
        drop(allowance.take(9, now).unwrap());
        for _ in 0..2 {
            sent(&allowance, 9, now).unwrap().over(Outcome::ServerError, &Spent::Nothing, now);
        }
        assert_eq!(allowance.take(9, now).unwrap_err(), 30 * SECOND);
        assert_eq!(
            (allowance.ready_in(now), allowance.ready_in(now + 30 * SECOND)),
            (30 * SECOND, Duration::ZERO)
        );
        // One that found the provider full was not sent.
        let later = now + 30 * SECOND;
        sent(&allowance, 9, later).unwrap().over(Outcome::Skipped, &Spent::Nothing, later);
        let _room = allowance.take(9, later).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_are_corrected_by_what_was_used() {
        let (allowance, now) = allowance(0, 600);
        let usage = |output| Spent::Counted(Usage { input: 100, output, ..Usage::default() });
        sent(&allowance, 500, now).unwrap().over(Outcome::Ok, &usage(100), now);
        assert_eq!(allowance.take(500, now).unwrap_err(), 10 * SECOND);
        // More than was reserved is a debt.
        sent(&allowance, 400, now).unwrap().over(Outcome::Ok, &usage(500), now);
        assert_eq!(allowance.ready_in(now), 20 * SECOND + SECOND / 10);
        // What nobody counted stands as it was reserved; what failed took nothing.
        let now = now + 80 * SECOND;
        sent(&allowance, 500, now).unwrap().over(Outcome::Truncated, &Spent::Lost, now);
        assert_eq!(allowance.take(600, now).unwrap_err(), 50 * SECOND);
        sent(&allowance, 100, now).unwrap().over(Outcome::RateLimited, &Spent::Nothing, now);
        drop(sent(&allowance, 100, now).unwrap());
        assert!(allowance.take(1, now).is_err());
    }
}
