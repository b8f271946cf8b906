//! Keys that are made at run time, as the ledger keeps them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config;

/// A key of the ledger. The secret is not among it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KeyRow {
    /// What it is called.
    pub name: String,
    /// The SHA-256 of its secret: `sha256:` and 64 hexadecimal digits.
    pub hash: String,
    /// What it may do.
    pub settings: KeySettings,
    /// When it was made, in milliseconds since 1970.
    pub created: i64,
    /// When it was revoked.
    pub revoked: Option<i64>,
}

/// What a key may do; the fields mean what they mean in the configuration.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeySettings {
    /// Routes that may be asked for; absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routes: Option<Vec<String>>,
    /// Models that may be named directly; absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    /// Requests a minute; 0: no limit.
    pub rpm: u32,
    /// Tokens a minute; 0: no limit.
    pub tpm: u32,
    /// Requests under way at once; 0: no limit.
    pub max_concurrent: u32,
    /// Requests a calendar month; 0: no quota.
    pub requests_per_month: u64,
    /// What its requests are counted under.
    pub tags: BTreeMap<String, String>,
    /// Budgets of its own, besides those of the configuration.
    pub budgets: Vec<config::Budget>,
}

impl KeyRow {
    /// The key as the configuration would have it.
    pub fn key(&self) -> config::Key {
        let settings = self.settings.clone();
        config::Key {
            name: self.name.clone(),
            secret: None,
            hash: Some(self.hash.clone()),
            routes: settings.routes,
            models: settings.models,
            rpm: settings.rpm,
            tpm: settings.tpm,
            max_concurrent: settings.max_concurrent,
            requests_per_month: settings.requests_per_month,
            tags: settings.tags,
        }
    }
}
