//! `[alerts]`: who is told what happens.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{SecretSource, Span};

/// Alerts, beside the log and the metrics.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Alerts {
    /// An address that gets a JSON object by POST for each alert: budgets that run low, breakers that open or close,
    /// keys that are refused or without money, retired models, routes without a target. Its `text` is a sentence, as
    /// Slack wants it. The address may hold a secret, so it is treated as one.
    pub webhook: Option<SecretSource>,
    /// The least time between two alerts about the same thing. Of those that come too soon, or while another alert is
    /// being sent, the last one is sent then, with the number of the others as `unsaid`.
    pub min_interval: Span,
}

impl Default for Alerts {
    fn default() -> Self {
        Self { webhook: None, min_interval: Span::secs(60) }
    }
}
