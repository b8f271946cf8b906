//! What an attempt may cost at most.

use std::sync::{Arc, OnceLock};

use crate::{
    base::money::Nanos,
    budget::Estimate,
    openai::{Ask, Attachment, Bounds},
    price::Price,
    route::Target,
};

/// What a request can take at most, whichever target it goes to.
#[derive(Debug)]
pub struct Demand {
    ask: Arc<Ask>,
    defaults: Arc<[(String, String)]>,
    per: Attachment,
    bounds: Bounds,
    tight: OnceLock<u64>,
}

impl Demand {
    /// The demand of a request, with the defaults of its route.
    pub fn new(ask: Arc<Ask>, defaults: Arc<[(String, String)]>, per: Attachment) -> Self {
        let bounds = ask.bounds(&defaults, None, &per);
        Self { ask, defaults, per, bounds, tight: OnceLock::new() }
    }

    /// What it may cost on a target at most. `tight`: count its tokens instead of its bytes, which takes longer.
    pub fn estimate(&self, target: &Target, price: &Price, tight: bool, usual: u64) -> Estimate {
        let prefix = target.system_prefix.as_ref().map_or(0, |prefix| prefix.len() as u64);
        let input = prefix + if tight { self.tight() } else { self.bounds.input };
        let rates = price.highest(input);
        let reading = [
            Some(rates.input.max(rates.cached_input)),
            // Some providers write to their cache unasked, at the price for its usual time.
            Some(rates.cache_write),
            self.bounds.cache_control.then_some(rates.cache_write_1h),
            self.bounds.audio_input.then_some(rates.audio_input),
        ];
        let reading = reading.into_iter().flatten().max().unwrap_or_default();
        let writing = rates.output.max(rates.reasoning);
        let writing = if self.bounds.audio_output { writing.max(rates.audio_output) } else { writing };
        Estimate {
            input: Nanos::cost([(input, reading), (self.bounds.extra_output * self.bounds.answers, writing)]),
            output_pico: u128::from(writing.0) * u128::from(self.bounds.answers),
            wanted: self.wanted(target),
            client_gave: self.bounds.limit.is_some(),
            usual,
            ceiling: None,
            counts: true,
        }
    }

    /// The estimate on a target whose price nobody knows, where no budget counts money.
    pub fn unpriced() -> Estimate {
        Estimate {
            input: Nanos::ZERO,
            output_pico: 0,
            wanted: u64::MAX,
            client_gave: false,
            usual: 0,
            ceiling: None,
            counts: true,
        }
    }

    /// The tokens that client and model allow one answer to have; `u64::MAX` where neither says.
    pub fn wanted(&self, target: &Target) -> u64 {
        let client = self.bounds.limit.unwrap_or(u64::MAX);
        client.min(target.max_output_tokens.unwrap_or(u64::MAX))
    }

    /// The tokens that the client allows one answer to have.
    pub fn limit(&self) -> Option<u64> {
        self.bounds.limit
    }

    /// How many answers it asks for at once.
    pub fn answers(&self) -> u64 {
        self.bounds.answers
    }

    /// The tokens of its input, as the model most likely counts them.
    pub fn count_input(&self, target: &Target) -> u64 {
        self.ask.count_input(target.system_prefix.as_deref(), &self.per)
    }

    fn tight(&self) -> u64 {
        *self.tight.get_or_init(|| self.ask.tight_bound(&self.defaults, None, &self.per))
    }
}
