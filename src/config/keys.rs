//! `[[keys]]`: virtual keys, with what each may do.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SecretSource;

/// A virtual key. Exactly one of `secret` and `hash` is given.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// What it is called in logs, metrics and reports.
    pub name: String,
    /// The key itself.
    #[serde(default)]
    pub secret: Option<SecretSource>,
    /// The SHA-256 of the key, `sha256:` and 64 hexadecimal digits, as `weir keys new` prints it.
    #[serde(default)]
    pub hash: Option<String>,
    /// Routes that may be asked for; absent: all. Fallbacks behind them need no grant.
    #[serde(default)]
    pub routes: Option<Vec<String>>,
    /// Models that may be named directly, `provider/model` included; absent: all.
    #[serde(default)]
    pub models: Option<Vec<String>>,
    /// Requests a minute; 0: no limit.
    #[serde(default)]
    pub rpm: u32,
    /// Tokens a minute, questions and answers together; 0: no limit. What a request may take is reserved before it is
    /// sent and corrected when it is over.
    #[serde(default)]
    pub tpm: u32,
    /// Requests under way at once; 0: no limit.
    #[serde(default)]
    pub max_concurrent: u32,
    /// Requests a calendar month (UTC); 0: no quota.
    #[serde(default)]
    pub requests_per_month: u64,
    /// What its requests are counted under, like `{ team = "support" }`. A client cannot override a tag of its key.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}
