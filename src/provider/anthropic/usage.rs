//! Anthropic's figures of usage as disjoint kinds.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::openai::{Usage, usage::MAX_TOKENS};

/// The figures of a `usage` object. In a stream later ones take the place of earlier ones, field by field.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Counts {
    input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    output_tokens_details: Option<Details>,
    cache_creation: Option<Written>,
    /// A figure could not be one.
    #[serde(skip)]
    broken: bool,
}

/// The part of what was written to the cache that stays there for an hour.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Written {
    ephemeral_1h_input_tokens: Option<u64>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct Details {
    thinking_tokens: Option<u64>,
}

impl Counts {
    /// Takes the figures of another `usage` object.
    pub fn update(&mut self, usage: &RawValue) {
        let Ok(new) = serde_json::from_str::<Self>(usage.get()) else {
            self.broken = true;
            return;
        };
        self.input_tokens = new.input_tokens.or(self.input_tokens);
        self.cache_creation_input_tokens =
            new.cache_creation_input_tokens.or(self.cache_creation_input_tokens);
        self.cache_read_input_tokens = new.cache_read_input_tokens.or(self.cache_read_input_tokens);
        self.output_tokens = new.output_tokens.or(self.output_tokens);
        self.cache_creation = new.cache_creation.or(self.cache_creation);
        self.output_tokens_details = new.output_tokens_details.or(self.output_tokens_details);
    }

    /// The kinds; `None` if nothing was counted, or something that cannot be.
    pub fn usage(&self) -> Option<Usage> {
        self.input_tokens.or(self.output_tokens)?;
        let input = self.input_tokens.unwrap_or(0);
        let cached_input = self.cache_read_input_tokens.unwrap_or(0);
        let written = self.cache_creation_input_tokens.unwrap_or(0);
        let hour = self.cache_creation.and_then(|written| written.ephemeral_1h_input_tokens).unwrap_or(0);
        let cache_write_1h = hour.min(written);
        let completion = self.output_tokens.unwrap_or(0);
        // What was thought is counted in the output.
        let thought = self.output_tokens_details.and_then(|details| details.thinking_tokens).unwrap_or(0);
        let reasoning = thought.min(completion);
        let usage = Usage {
            input,
            cached_input,
            cache_write: written - cache_write_1h,
            cache_write_1h,
            output: completion - reasoning,
            reasoning,
            ..Usage::default()
        };
        let possible = [input, cached_input, written, completion].iter().all(|count| *count <= MAX_TOKENS);
        (possible && !self.broken).then_some(usage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(objects: &[&str]) -> Option<Usage> {
        let mut counts = Counts::default();
        for object in objects {
            counts.update(serde_json::from_str(object).unwrap());
        }
        counts.usage()
    }

    #[test]
    fn kinds_are_disjoint() {
        let object = r#"{"input_tokens":4,"cache_creation_input_tokens":426,"cache_read_input_tokens":14210,
            "cache_creation":{"ephemeral_5m_input_tokens":400,"ephemeral_1h_input_tokens":26},"output_tokens":290,"output_tokens_details":{"thinking_tokens":15},"service_tier":"standard"}"#;
        let expected = Usage {
            input: 4,
            cached_input: 14_210,
            cache_write: 400,
            cache_write_1h: 26,
            output: 275,
            reasoning: 15,
            ..Usage::default()
        };
        assert_eq!(counted(&[object]), Some(expected));
    }

    #[test]
    fn later_figures_take_the_place_of_earlier_ones() {
        let start = r#"{"input_tokens":11,"cache_read_input_tokens":7,"output_tokens":1}"#;
        let usage = counted(&[start, r#"{"input_tokens":12,"output_tokens":100}"#]).unwrap();
        assert_eq!((usage.input, usage.cached_input, usage.output), (12, 7, 100));
        assert_eq!(counted(&[start, r#"{"output_tokens":5,"input_tokens":null}"#]).unwrap().input, 11);
    }

    #[test]
    fn impossible_figures_are_none() {
        for objects in [
            &["{}"][..],
            &[r#"{"input_tokens":-1}"#],
            &[r#"{"input_tokens":1e99}"#],
            &[r#"{"input_tokens":9999999999999}"#],
            &[r#"{"input_tokens":1}"#, "3"],
        ] {
            assert_eq!(counted(objects), None, "{objects:?}");
        }
    }
}
