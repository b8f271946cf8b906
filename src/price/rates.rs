//! The prices of one model with every kind filled in.

use crate::{
    base::money::{Nanos, Pico},
    config,
    openai::Usage,
};

/// The price of each kind of token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// Read anew.
    pub input: Pico,
    /// Read from the cache.
    pub cached_input: Pico,
    /// Written to the cache for its usual time.
    pub cache_write: Pico,
    /// Written to the cache for an hour.
    pub cache_write_1h: Pico,
    /// Heard.
    pub audio_input: Pico,
    /// Shown.
    pub output: Pico,
    /// Thought.
    pub reasoning: Pico,
    /// Spoken.
    pub audio_output: Pico,
}

/// The prices of one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    base: Rates,
    /// Prompt sizes beyond which other rates hold for the whole request, the smallest first.
    tiers: Vec<(u64, Rates)>,
    /// Whether the table says what spoken tokens cost.
    prices_audio: bool,
}

impl Rates {
    /// The higher rate of each kind.
    fn max(&self, other: &Self) -> Self {
        Self {
            input: self.input.max(other.input),
            cached_input: self.cached_input.max(other.cached_input),
            cache_write: self.cache_write.max(other.cache_write),
            cache_write_1h: self.cache_write_1h.max(other.cache_write_1h),
            audio_input: self.audio_input.max(other.audio_input),
            output: self.output.max(other.output),
            reasoning: self.reasoning.max(other.reasoning),
            audio_output: self.audio_output.max(other.audio_output),
        }
    }
}

/// What a request cost: every kind of token once, at the rates of its prompt's size, rounded up once.
pub fn cost(price: &Price, usage: &Usage) -> Nanos {
    let rates = price.rates(usage.prompt());
    Nanos::cost([
        (usage.input, rates.input),
        (usage.cached_input, rates.cached_input),
        (usage.cache_write, rates.cache_write),
        (usage.cache_write_1h, rates.cache_write_1h),
        (usage.audio_input, rates.audio_input),
        (usage.output, rates.output),
        (usage.reasoning, rates.reasoning),
        (usage.audio_output, rates.audio_output),
    ])
}

impl Price {
    /// The prices that a table says.
    pub fn new(table: &config::Price) -> Self {
        let cache_write = table.cache_write.unwrap_or(table.input);
        let base = Rates {
            input: table.input,
            cached_input: table.cached_input.unwrap_or(table.input),
            cache_write,
            cache_write_1h: table.cache_write_1h.unwrap_or(cache_write),
            audio_input: table.audio_input.unwrap_or(table.input),
            output: table.output,
            reasoning: table.reasoning.unwrap_or(table.output),
            audio_output: table.audio_output.unwrap_or(table.output),
        };
        let mut tiers: Vec<_> = table.tiers.iter().map(|tier| (tier.above, tiered(&base, tier))).collect();
        tiers.sort_by_key(|(above, _)| *above);
        Self { base, tiers, prices_audio: table.audio_output.is_some() }
    }

    /// Nothing for anything.
    pub fn free() -> Self {
        let base = Rates {
            input: Pico(0),
            cached_input: Pico(0),
            cache_write: Pico(0),
            cache_write_1h: Pico(0),
            audio_input: Pico(0),
            output: Pico(0),
            reasoning: Pico(0),
            audio_output: Pico(0),
        };
        Self { base, tiers: Vec::new(), prices_audio: true }
    }

    /// The rates of a request whose prompt has so many tokens.
    pub fn rates(&self, prompt_tokens: u64) -> &Rates {
        let holds = |tier: &&(u64, Rates)| prompt_tokens > tier.0;
        self.tiers.iter().rev().find(holds).map_or(&self.base, |(_, rates)| rates)
    }

    /// The highest rates of any prompt of at most so many tokens, kind by kind.
    pub fn highest(&self, prompt_tokens: u64) -> Rates {
        let reached = self.tiers.iter().filter(|(above, _)| prompt_tokens > *above);
        reached.fold(self.base, |highest, (_, rates)| highest.max(rates))
    }

    /// Whether it is known what spoken tokens cost. Text is no guide: they cost a multiple of it.
    pub fn prices_audio(&self) -> bool {
        self.prices_audio
    }

    /// The rates of a short prompt.
    pub fn base(&self) -> &Rates {
        &self.base
    }

    /// The prompt sizes beyond which other rates hold, the smallest first.
    pub fn tiers(&self) -> &[(u64, Rates)] {
        &self.tiers
    }
}

/// The rates of a tier. A kind that it leaves out keeps its proportion to the kind that it would default to.
fn tiered(base: &Rates, tier: &config::PriceTier) -> Rates {
    let kind = |own: Option<Pico>, below: Pico, parent: Pico, parent_below: Pico| {
        own.or_else(|| below.times(parent, parent_below)).unwrap_or_else(|| below.max(parent))
    };
    let cache_write = kind(tier.cache_write, base.cache_write, tier.input, base.input);
    Rates {
        input: tier.input,
        cached_input: kind(tier.cached_input, base.cached_input, tier.input, base.input),
        cache_write,
        cache_write_1h: kind(tier.cache_write_1h, base.cache_write_1h, cache_write, base.cache_write),
        audio_input: kind(tier.audio_input, base.audio_input, tier.input, base.input),
        output: tier.output,
        reasoning: kind(tier.reasoning, base.reasoning, tier.output, base.output),
        audio_output: kind(tier.audio_output, base.audio_output, tier.output, base.output),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn price(table: serde_json::Value) -> Price {
        Price::new(&serde_json::from_value(table).unwrap())
    }

    #[test]
    fn each_kind_is_priced_once() {
        let price = price(json!({
            "input": 2.0, "cached_input": 0.5, "cache_write": 2.5, "cache_write_1h": 4, "audio_input": 32,
            "output": 8, "reasoning": 10, "audio_output": 64,
        }));
        let usage = Usage {
            input: 1_000_000,
            cached_input: 1_000_000,
            cache_write: 1_000_000,
            cache_write_1h: 1_000_000,
            audio_input: 1_000_000,
            output: 1_000_000,
            reasoning: 1_000_000,
            audio_output: 1_000_000,
        };
        assert_eq!(cost(&price, &usage).to_string(), "123");
        assert_eq!(cost(&price, &Usage::default()), Nanos::ZERO);
    }

    #[test]
    fn kinds_without_a_price_cost_what_they_would_cost_otherwise() {
        let price = price(json!({ "input": 2.0, "output": "8" }));
        let usage =
            Usage { cached_input: 1, cache_write_1h: 1, audio_input: 1, reasoning: 1, ..Usage::default() };
        assert_eq!(cost(&price, &usage), Nanos(2_000 * 3 + 8_000));
    }

    #[test]
    fn speech_has_a_price_only_where_one_is_given() {
        assert!(!price(json!({ "input": 2, "output": 8 })).prices_audio());
        assert!(price(json!({ "input": 2, "output": 8, "audio_output": 64 })).prices_audio());
    }

    #[test]
    fn the_whole_prompt_chooses_the_tier() {
        let price = price(json!({
            "input": 0.1, "cached_input": 0.01, "cache_write": 0.125, "cache_write_1h": 0.2, "output": 0.5,
            "tiers": [
                { "above": 500_000, "input": 1, "output": 5 },
                { "above": 100_000, "input": 0.5, "cached_input": 0.05, "cache_write": 0.625, "output": 2.5 },
            ],
        }));
        assert_eq!(price.rates(100_000).input, Pico(100_000));
        let middle = price.rates(100_001);
        assert_eq!(
            (middle.input, middle.cache_write_1h, middle.reasoning),
            (Pico(500_000), Pico(1_000_000), Pico(2_500_000))
        );
        let upper = price.rates(500_001);
        assert_eq!(
            (upper.cached_input, upper.cache_write, upper.cache_write_1h),
            (Pico(100_000), Pico(1_250_000), Pico(2_000_000))
        );
        // Cached tokens count as prompt.
        let usage = Usage { input: 1, cached_input: 100_000, output: 1, ..Usage::default() };
        assert_eq!(cost(&price, &usage), Nanos((500_000 + 100_000 * 50_000_i64 + 2_500_000) / 1000));
    }

    #[test]
    fn what_was_free_below_a_tier_is_not_free_of_doubt_above() {
        let price =
            price(json!({ "input": 0, "output": 0, "tiers": [{ "above": 1, "input": 1, "output": 2 }] }));
        assert_eq!(
            (price.rates(2).cached_input, price.rates(2).reasoning),
            (Pico(1_000_000), Pico(2_000_000))
        );
    }

    proptest! {
        #[test]
        fn more_tokens_never_cost_less(a in 0..1_u64 << 40, b in 0..1_u64 << 40, input in 0..10_000_000_u64, output in 0..10_000_000_u64) {
            let price = price(json!({ "input": Pico(input), "output": Pico(output) }));
            let usage = |input, output| Usage { input, output, ..Usage::default() };
            prop_assert!(cost(&price, &usage(a, b)) <= cost(&price, &usage(a + 1, b)));
            prop_assert!(cost(&price, &usage(a, b)) <= cost(&price, &usage(a, b + 1)));
        }
    }
}
