//! Counting the tokens of an answer: the many forms of OpenAI's `usage` object as disjoint kinds.

use std::fmt;

use super::{
    fold::{self, Fold, Shape, Value},
    scan::Fault,
};

/// Tokens by kind. No token is in two kinds, so that each can have a price of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Read by the model anew.
    pub input: u64,
    /// Read from the provider's prompt cache.
    pub cached_input: u64,
    /// Read and written to the provider's prompt cache, for its usual time.
    pub cache_write: u64,
    /// Read and written to the provider's prompt cache, for an hour.
    pub cache_write_1h: u64,
    /// Heard, and not from the cache.
    pub audio_input: u64,
    /// Shown to the client.
    pub output: u64,
    /// Thought before or between what is shown.
    pub reasoning: u64,
    /// Spoken.
    pub audio_output: u64,
}

impl Usage {
    /// All that was read.
    pub fn prompt(&self) -> u64 {
        self.input + self.cached_input + self.cache_write + self.cache_write_1h + self.audio_input
    }

    /// All that was made.
    pub fn completion(&self) -> u64 {
        self.output + self.reasoning + self.audio_output
    }

    /// Reads the JSON text of a `usage` value; `None` if it is null or counts nothing.
    ///
    /// # Errors
    /// The field at fault.
    pub fn parse(text: &str) -> Result<Option<Self>, BadUsage> {
        let mut counts = Counts::default();
        match fold::shape(text, &mut counts) {
            Ok(shape) => counts.usage(shape),
            Err(Fault) => Err(BadUsage { field: "usage" }),
        }
    }
}

/// A count of tokens that cannot be one: negative, a fraction, above [`MAX_TOKENS`] or not a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadUsage {
    /// The field, like `usage.prompt_tokens`.
    pub field: &'static str,
}

impl fmt::Display for BadUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a count of tokens between 0 and 2^40", self.field)
    }
}

impl std::error::Error for BadUsage {}

/// The largest count that is believed: sums of it never overflow.
pub const MAX_TOKENS: u64 = 1 << 40;

/// The figures of a `usage` object as they stand there.
#[derive(Debug, Default)]
pub(super) struct Counts {
    prompt: Option<u64>,
    completion: Option<u64>,
    total: Option<u64>,
    cached: Option<u64>,
    cache_miss: Option<u64>,
    cache_write: Option<u64>,
    cache_write_1h: Option<u64>,
    audio_input: Option<u64>,
    reasoning: Option<u64>,
    audio_output: Option<u64>,
    fault: Option<BadUsage>,
}

impl Counts {
    /// The kinds, from an object of that shape.
    pub(super) fn usage(self, shape: Shape) -> Result<Option<Usage>, BadUsage> {
        match (self.fault, shape) {
            (Some(fault), _) => return Err(fault),
            (None, Shape::Null) => return Ok(None),
            (None, Shape::Object) => {}
            (None, Shape::Scalar | Shape::List) => return Err(BadUsage { field: "usage" }),
        }
        if self.prompt.or(self.completion).or(self.total).is_none() && self.cache_miss.is_none() {
            return Ok(None);
        }
        let known_hit = self.cached.unwrap_or(0);
        let prompt = self.prompt.or_else(|| self.cache_miss.map(|miss| miss + known_hit)).unwrap_or(0);
        // OpenAI leaves `completion_tokens` out when there are none; others leave it out and have a total.
        let completion = self.completion.unwrap_or_else(|| self.total.unwrap_or(0).saturating_sub(prompt));
        // xAI counts reasoning beside the completion, Gemini counts it in the total only.
        let outside = self.total.unwrap_or(0).saturating_sub(prompt + completion);
        let inside = self.reasoning.unwrap_or(0).saturating_sub(outside).min(completion);
        let mut input = prompt;
        let cached_input = take(&mut input, Some(known_hit));
        let mut cache_write = take(&mut input, self.cache_write);
        // The hour's tokens are among those written.
        let cache_write_1h = take(&mut cache_write, self.cache_write_1h);
        let audio_input = take(&mut input, self.audio_input);
        let mut output = completion - inside;
        let audio_output = take(&mut output, self.audio_output);
        Ok(Some(Usage {
            input,
            cached_input,
            cache_write,
            cache_write_1h,
            audio_input,
            output,
            reasoning: outside + inside,
            audio_output,
        }))
    }

    /// Reads a count; null is none, and a bad one is noted.
    fn count(&mut self, field: &'static str, value: Value<'_, '_>) -> Result<Option<u64>, Fault> {
        let text = value.raw()?;
        if text == "null" {
            return Ok(None);
        }
        let count = parse_count(text);
        if count.is_none() {
            self.fault.get_or_insert(BadUsage { field });
        }
        Ok(count)
    }
}

/// Takes a part of a count out of it: no more than there is.
fn take(whole: &mut u64, part: Option<u64>) -> u64 {
    let part = part.unwrap_or(0).min(*whole);
    *whole -= part;
    part
}

/// A whole number in any notation of JSON, at most [`MAX_TOKENS`].
fn parse_count(text: &str) -> Option<u64> {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().ok().filter(|count| *count <= MAX_TOKENS);
    }
    let number: f64 = text.parse().ok()?;
    let fits = number.fract() == 0.0 && (0.0..=MAX_TOKENS as f64).contains(&number);
    fits.then_some(number as u64)
}

impl<'de> Fold<'de> for Counts {
    fn field(&mut self, name: &str, value: Value<'_, 'de>) -> Result<(), Fault> {
        match name {
            "prompt_tokens" => self.prompt = self.count("usage.prompt_tokens", value)?,
            "completion_tokens" => self.completion = self.count("usage.completion_tokens", value)?,
            "total_tokens" => self.total = self.count("usage.total_tokens", value)?,
            "prompt_tokens_details" => drop(value.fold(&mut PromptDetails(self))?),
            "completion_tokens_details" => drop(value.fold(&mut CompletionDetails(self))?),
            "prompt_cache_hit_tokens" => {
                let count = self.count("usage.prompt_cache_hit_tokens", value)?;
                self.cached = self.cached.max(count);
            }
            "prompt_cache_miss_tokens" => {
                self.cache_miss = self.count("usage.prompt_cache_miss_tokens", value)?;
            }
            // Moonshot and Together; Mistral.
            "cached_tokens" => {
                let count = self.count("usage.cached_tokens", value)?;
                self.cached = self.cached.max(count);
            }
            "num_cached_tokens" => {
                let count = self.count("usage.num_cached_tokens", value)?;
                self.cached = self.cached.max(count);
            }
            _ => value.skip()?,
        }
        Ok(())
    }
}

struct PromptDetails<'a>(&'a mut Counts);

impl<'de> Fold<'de> for PromptDetails<'_> {
    fn field(&mut self, name: &str, value: Value<'_, 'de>) -> Result<(), Fault> {
        match name {
            "cached_tokens" => {
                let count = self.0.count("usage.prompt_tokens_details.cached_tokens", value)?;
                self.0.cached = self.0.cached.max(count);
            }
            "cache_write_tokens" => {
                let field = "usage.prompt_tokens_details.cache_write_tokens";
                let count = self.0.count(field, value)?;
                self.0.cache_write = self.0.cache_write.max(count);
            }
            // LiteLLM's proxy, which passes Anthropic's figures on.
            "cache_creation_tokens" => {
                let field = "usage.prompt_tokens_details.cache_creation_tokens";
                let count = self.0.count(field, value)?;
                self.0.cache_write = self.0.cache_write.max(count);
            }
            "cache_creation_token_details" => drop(value.fold(&mut WriteDetails(self.0))?),
            "audio_tokens" => {
                self.0.audio_input = self.0.count("usage.prompt_tokens_details.audio_tokens", value)?;
            }
            _ => value.skip()?,
        }
        Ok(())
    }
}

struct WriteDetails<'a>(&'a mut Counts);

impl<'de> Fold<'de> for WriteDetails<'_> {
    fn field(&mut self, name: &str, value: Value<'_, 'de>) -> Result<(), Fault> {
        match name {
            "ephemeral_1h_input_tokens" => {
                let field =
                    "usage.prompt_tokens_details.cache_creation_token_details.ephemeral_1h_input_tokens";
                self.0.cache_write_1h = self.0.count(field, value)?;
            }
            _ => value.skip()?,
        }
        Ok(())
    }
}

struct CompletionDetails<'a>(&'a mut Counts);

impl<'de> Fold<'de> for CompletionDetails<'_> {
    fn field(&mut self, name: &str, value: Value<'_, 'de>) -> Result<(), Fault> {
        match name {
            "reasoning_tokens" => {
                let field = "usage.completion_tokens_details.reasoning_tokens";
                self.0.reasoning = self.0.count(field, value)?;
            }
            "audio_tokens" => {
                self.0.audio_output = self.0.count("usage.completion_tokens_details.audio_tokens", value)?;
            }
            _ => value.skip()?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// input, cached input, cache write, output, reasoning
    fn kinds(text: &str) -> [u64; 5] {
        let usage = Usage::parse(text).unwrap().unwrap();
        [usage.input, usage.cached_input, usage.cache_write, usage.output, usage.reasoning]
    }

    #[test]
    fn kinds_are_disjoint_in_every_dialect() {
        let cases = [
            (r#"{"prompt_tokens":12,"completion_tokens":8,"total_tokens":20}"#, [12, 0, 0, 8, 0]),
            // OpenAI: cached and written tokens inside the prompt, reasoning inside the completion.
            (
                r#"{"prompt_tokens":100,"completion_tokens":50,"total_tokens":150,
                   "prompt_tokens_details":{"cached_tokens":60,"cache_write_tokens":30,"audio_tokens":0},
                   "completion_tokens_details":{"reasoning_tokens":20}}"#,
                [10, 60, 30, 30, 20],
            ),
            // DeepSeek, with its own figures only.
            (r#"{"prompt_tokens":10,"prompt_cache_hit_tokens":4,"completion_tokens":1}"#, [6, 4, 0, 1, 0]),
            (
                r#"{"prompt_cache_hit_tokens":4,"prompt_cache_miss_tokens":6,"completion_tokens":1}"#,
                [6, 4, 0, 1, 0],
            ),
            // Mistral and Moonshot.
            (r#"{"prompt_tokens":175,"num_cached_tokens":174,"completion_tokens":39}"#, [1, 174, 0, 39, 0]),
            (r#"{"prompt_tokens":20,"cached_tokens":10,"completion_tokens":30}"#, [10, 10, 0, 30, 0]),
            // xAI: reasoning beside the completion.
            (
                r#"{"prompt_tokens":12,"completion_tokens":1,"total_tokens":303,
                   "completion_tokens_details":{"reasoning_tokens":290}}"#,
                [12, 0, 0, 1, 290],
            ),
            // Gemini's OpenAI format: reasoning in the total only.
            (r#"{"prompt_tokens":35,"completion_tokens":12,"total_tokens":109}"#, [35, 0, 0, 12, 62]),
            // OpenRouter: more reasoning than completion.
            (
                r#"{"prompt_tokens":43,"completion_tokens":10,"total_tokens":53,
                   "completion_tokens_details":{"reasoning_tokens":11}}"#,
                [43, 0, 0, 0, 10],
            ),
            // Nothing was made, or only the total says how much.
            (r#"{"prompt_tokens":11,"total_tokens":11}"#, [11, 0, 0, 0, 0]),
            (r#"{"prompt_tokens":11,"total_tokens":15}"#, [11, 0, 0, 4, 0]),
            // More cached than there is.
            (
                r#"{"prompt_tokens":5,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":9,"cache_write_tokens":9}}"#,
                [0, 5, 0, 1, 0],
            ),
            (
                r#"{"prompt_tokens":5.0,"completion_tokens":1e1,"total_tokens":null,"prompt_tokens_details":null,
                   "completion_tokens_details":{"reasoning_tokens":null},"cost":0.1}"#,
                [5, 0, 0, 10, 0],
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(kinds(text), expected, "{text}");
        }
    }

    #[test]
    fn audio_and_hour_long_writes_are_kinds_of_their_own() {
        let usage = Usage::parse(
            r#"{"prompt_tokens":100,"completion_tokens":50,"total_tokens":150,
               "prompt_tokens_details":{"cached_tokens":60,"audio_tokens":70,"cache_creation_tokens":30,
                 "cache_creation_token_details":{"ephemeral_1h_input_tokens":20,"ephemeral_5m_input_tokens":10}},
               "completion_tokens_details":{"reasoning_tokens":5,"audio_tokens":40,"text_tokens":5}}"#,
        );
        let usage = usage.unwrap().unwrap();
        let expected = Usage {
            input: 0,
            cached_input: 60,
            cache_write: 10,
            cache_write_1h: 20,
            // Seventy were heard; of those no more than ten can be neither cached nor written.
            audio_input: 10,
            output: 5,
            reasoning: 5,
            audio_output: 40,
        };
        assert_eq!(usage, expected);
        assert_eq!((usage.prompt(), usage.completion()), (100, 50));
    }

    #[test]
    fn nothing_counted_is_no_usage() {
        for text in ["null", "{}", r#"{"prompt_tokens":null}"#, r#"{"cost":1}"#] {
            assert_eq!(Usage::parse(text), Ok(None), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_a_count_is_named() {
        for bad in ["-1", "1.5", "1099511627777", "1e300", "99999999999999999999999", "\"5\"", "true", "[]"] {
            let text = format!(r#"{{"completion_tokens":{bad}}}"#);
            assert_eq!(Usage::parse(&text), Err(BadUsage { field: "usage.completion_tokens" }), "{bad}");
            let text = format!(r#"{{"prompt_tokens":3,"prompt_tokens_details":{{"cached_tokens":{bad}}}}}"#);
            let field = "usage.prompt_tokens_details.cached_tokens";
            assert_eq!(Usage::parse(&text), Err(BadUsage { field }), "{bad}");
        }
        for bad in ["NaN", "7", "[1]", "\"x\"", "{\"prompt_tokens\":NaN}", ""] {
            assert_eq!(Usage::parse(bad), Err(BadUsage { field: "usage" }), "{bad}");
        }
    }
}
