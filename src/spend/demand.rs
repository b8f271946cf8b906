//! What an attempt may cost at most.

use std::sync::{Arc, OnceLock};

use crate::{
    base::money::Nanos,
    budget::Estimate,
    openai::{Ask, Attachment, Bounds, Endpoint},
    price::Price,
    route::Target,
};

/// What pictures and files are taken for where an attempt is only estimated when it is over.
const TYPICAL: Attachment = Attachment { picture: 1024, file: 4096 };

/// The largest request whose tokens are counted when its attempt is over, in bytes: a larger one is estimated by its
/// length, since the counting may stand in a drop.
const MOST_COUNTED: usize = 256 * 1024;

/// How many bytes make a token, about.
const BYTES_A_TOKEN: u64 = 4;

/// What a request can take at most, whichever target it goes to.
#[derive(Debug)]
pub struct Demand {
    ask: Arc<Ask>,
    defaults: Arc<[(String, String)]>,
    /// Save that pictures and files count for nothing; once somebody asked.
    bounds: OnceLock<Bounds>,
}

impl Demand {
    /// The demand of a request, with the defaults of its route.
    pub fn new(ask: Arc<Ask>, defaults: Arc<[(String, String)]>) -> Self {
        Self { ask, defaults, bounds: OnceLock::new() }
    }

    /// Looked for where money depends on it: a body may be long.
    fn bounds(&self) -> &Bounds {
        let nothing = Attachment { picture: 0, file: 0 };
        self.bounds.get_or_init(|| self.ask.bounds(&self.defaults, None, &nothing))
    }

    /// What it may cost on a target at most, where pictures and files count as `per` says. `tight`: count its tokens
    /// instead of its bytes, which takes longer.
    pub fn estimate(
        &self,
        target: &Target,
        price: &Price,
        per: impl FnOnce() -> Attachment,
        tight: bool,
    ) -> Estimate {
        let prefix = target.system_prefix.as_ref().map_or(0, |prefix| prefix.len() as u64);
        let bounds = self.bounds();
        let input = prefix.saturating_add(match (tight, self.ask.has_parts()) {
            (true, _) => self.ask.tight_bound(&self.defaults, None, &per()),
            (false, true) => self.ask.bounds(&self.defaults, None, &per()).input,
            (false, false) => bounds.input,
        });
        let rates = price.highest(input);
        let reading = [
            Some(rates.input.max(rates.cached_input)),
            // Some providers write to their cache unasked, at the price for its usual time.
            Some(rates.cache_write),
            bounds.cache_control.then_some(rates.cache_write_1h),
            bounds.audio_input.then_some(rates.audio_input),
        ];
        let reading = reading.into_iter().flatten().max().unwrap_or_default();
        let writing = rates.output.max(rates.reasoning);
        let writing = if bounds.audio_output { writing.max(rates.audio_output) } else { writing };
        let extra = bounds.extra_output.saturating_mul(bounds.answers);
        Estimate {
            input: Nanos::cost([(input, reading), (extra, writing)]),
            output_pico: u128::from(writing.0) * u128::from(bounds.answers),
            wanted: self.wanted(target),
            client: bounds.limit,
            ..Self::unpriced()
        }
    }

    /// The limit of an answer that Weir takes a provider to have where nobody says one.
    pub fn assumed_limit(&self) -> Option<u64> {
        if self.ask.endpoint() != Endpoint::Completions {
            return None;
        }
        let said = self.ask.field("max_tokens").is_some()
            || self.defaults.iter().any(|(name, _)| name == "max_tokens");
        self.bounds().limit.filter(|_| !said)
    }

    /// Whether the price says what the request may take: speech is priced apart.
    pub fn is_priced_by(&self, price: &Price) -> bool {
        price.prices_audio() || !self.bounds().audio_output
    }

    /// The estimate on a target whose price nobody knows, where no budget counts money.
    pub fn unpriced() -> Estimate {
        Estimate {
            input: Nanos::ZERO,
            output_pico: 0,
            wanted: u64::MAX,
            client: None,
            usual: 0,
            spent: Nanos::ZERO,
            ceiling: None,
            counts: true,
        }
    }

    /// The tokens that client and model allow one answer to have; `u64::MAX` where neither says.
    pub fn wanted(&self, target: &Target) -> u64 {
        let client = self.bounds().limit.unwrap_or(u64::MAX);
        client.min(target.max_output_tokens.unwrap_or(u64::MAX))
    }

    /// How many answers it asks for at once.
    pub fn answers(&self) -> u64 {
        self.bounds().answers
    }

    /// The tokens of its input, as the model most likely counts them.
    pub fn count_input(&self, target: &Target) -> u64 {
        match self.ask.body().len() {
            0..=MOST_COUNTED => self.ask.count_input(target.system_prefix.as_deref(), &TYPICAL),
            _ => self.ask.bounds(&self.defaults, None, &TYPICAL).input.div_ceil(BYTES_A_TOKEN),
        }
    }
}
