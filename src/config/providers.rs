//! `[providers.NAME]`: the upstream services.

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Preset, Quirks, SecretSource, Size, Span};
use crate::base::secret::Secret;

/// An upstream service.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Provider {
    /// A provider that Weir knows: it fills in what is not said here (protocol, address, catalogue, quirks).
    pub preset: Option<Preset>,
    /// The protocol it speaks.
    pub protocol: Protocol,
    /// Its address with the version segment, like `https://api.openai.com/v1`; for `azure` also
    /// `https://NAME.openai.azure.com`. Not used by `sim`.
    pub base_url: String,
    /// Its API keys; several take turns. A provider whose keys are all unset is off, with a warning.
    /// Absent: the provider needs none.
    pub api_keys: Option<Vec<SecretSource>>,
    /// Headers added to each request to it.
    pub headers: BTreeMap<String, SecretSource>,
    /// Leave out what the provider cannot take, and name it in the answer's header `x-weir-dropped`; else such a
    /// request is refused with a 400 that names it.
    pub drop_unsupported: bool,
    /// How it differs from OpenAI; for the protocols `openai` and `azure`.
    pub quirks: Quirks,
    /// The table of the price catalogue that its models stand in, like `openai`; absent: none.
    pub catalogue: Option<String>,
    /// The `api-version` of Azure's API; absent: a current one. Addresses that end in `/openai/v1` need none.
    pub api_version: Option<String>,
    /// HTTP version: `auto` (HTTP/2 where TLS offers it), `1`, or `2` (also without TLS).
    pub http: HttpVersion,
    /// A file of certificate authorities (PEM) to trust instead of the built-in ones.
    pub ca_file: Option<PathBuf>,
    /// How long connecting may take, TLS included.
    pub connect_timeout: Span,
    /// How long a stream's first token may take; past it the next target is tried.
    pub first_byte_timeout: Span,
    /// How long a whole non-streaming answer may take.
    pub answer_timeout: Span,
    /// How long a stream may be silent between two chunks.
    pub idle_timeout: Span,
    /// How long an unused connection is kept.
    pub idle_connection_timeout: Span,
    /// The largest non-streaming answer.
    pub max_answer: Size,
    /// How many requests may be under way to it; past it the next target is tried.
    pub max_concurrent: usize,
    /// How many requests it may be sent a minute; 0: no limit. Past it the next target is tried.
    pub rpm: u32,
    /// How many tokens it may be sent and asked for a minute; 0: no limit. What a request may take is reserved before
    /// it is sent and corrected when it is over; past it the next target is tried.
    pub tpm: u32,
    /// How many streams share one HTTP/2 connection before another is opened.
    pub streams_per_connection: usize,
    /// How it is asked whether it is there when no request tells; absent: it is not.
    pub health_check: Option<HealthCheck>,
    /// How the simulated provider answers; only for `protocol = "sim"`.
    pub sim: SimOptions,
}

impl Default for Provider {
    fn default() -> Self {
        Self {
            preset: None,
            protocol: Protocol::Openai,
            base_url: String::new(),
            api_keys: None,
            headers: BTreeMap::new(),
            drop_unsupported: false,
            quirks: Quirks::default(),
            catalogue: None,
            api_version: None,
            http: HttpVersion::Auto,
            ca_file: None,
            connect_timeout: Span::secs(5),
            first_byte_timeout: Span::secs(60),
            answer_timeout: Span::secs(600),
            idle_timeout: Span::secs(60),
            idle_connection_timeout: Span::secs(25),
            max_answer: Size::mib(32),
            max_concurrent: 4096,
            rpm: 0,
            tpm: 0,
            streams_per_connection: 100,
            health_check: None,
            sim: SimOptions::default(),
        }
    }
}

impl Provider {
    /// Its keys as they are now, those that are unset left out; `None`: it needs none. An empty list means that
    /// the provider is off.
    ///
    /// # Errors
    /// Names a file that is there and cannot be read.
    pub fn resolve_keys(&self) -> Result<Option<Vec<Secret>>, String> {
        let Some(sources) = self.api_keys.as_ref().filter(|_| self.protocol != Protocol::Sim) else {
            return Ok(None);
        };
        let mut keys = Vec::new();
        for source in sources {
            keys.extend(source.resolve()?);
        }
        Ok(Some(keys))
    }
}

/// How a provider is asked whether it is there. A check without an answer counts as a connection that failed, unless its
/// breaker is open already; any answer, a 5xx too, counts as one that works. It costs nothing and proves nothing of answers: breakers of models are not closed
/// by it. A key that is refused (401) or without money (402) is told by it as by any request; its success clears no key, as
/// many lists need none.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HealthCheck {
    /// The time from one check to the next, give or take a tenth; five times as often while it fails. 1s at least.
    pub every: Span,
    /// What is read (GET) below `base_url`. It has to be free of charge, and answered with a success.
    pub path: String,
    /// How long an answer may take.
    pub timeout: Span,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self { every: Span::secs(30), path: "/models".to_owned(), timeout: Span::secs(5) }
    }
}

/// A wire protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// OpenAI's, and of all who speak it.
    Openai,
    /// Azure's form of OpenAI's: deployments in the address, the key in a header of its own.
    Azure,
    /// Anthropic's Messages API.
    Anthropic,
    /// Google's: `generateContent` of the Gemini API, or of Vertex AI with a key.
    Gemini,
    /// The built-in simulated provider, inside this process: no network, no keys, no cost.
    Sim,
}

/// The version of HTTP towards a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum HttpVersion {
    /// HTTP/2 where TLS offers it, else HTTP/1.1.
    #[serde(rename = "auto")]
    Auto,
    /// HTTP/1.1 always.
    #[serde(rename = "1")]
    One,
    /// HTTP/2 always; without TLS by prior knowledge.
    #[serde(rename = "2")]
    Two,
}

/// How the simulated provider answers.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SimOptions {
    /// The time to its first token.
    pub first_token: Span,
    /// Its tokens a second; 0: as fast as it can.
    pub tokens_per_second: f64,
    /// The seed of its texts and faults.
    pub seed: u64,
    /// A fault it shows, as in `weir sim --fault`: like `status=500`, `hang`, `reset-after=3`; empty: none.
    pub fault: String,
    /// The share of requests that show the fault, 0 to 1.
    pub fault_rate: f64,
}

impl Default for SimOptions {
    fn default() -> Self {
        Self {
            first_token: Span::secs(0),
            tokens_per_second: 0.0,
            seed: 1,
            fault: String::new(),
            fault_rate: 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_tell_needless_from_off() {
        let mut provider = Provider::default();
        assert_eq!(provider.resolve_keys(), Ok(None));
        let unset = SecretSource::parse("env:WEIR_TEST_SURELY_UNSET");
        provider.api_keys = Some(vec![unset.clone()]);
        assert_eq!(provider.resolve_keys(), Ok(Some(vec![])));
        provider.api_keys = Some(vec![unset, SecretSource::parse("literal")]);
        assert_eq!(provider.resolve_keys(), Ok(Some(vec![Secret::new("literal")])));
        provider.protocol = Protocol::Sim;
        assert_eq!(provider.resolve_keys(), Ok(None));
    }
}
