//! `[alerts]`: who is told when a budget runs low.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SecretSource;

/// Alerts, beside the log and the metrics.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Alerts {
    /// An address that gets a JSON object by POST for each alert; it may hold a secret, so it is treated as one.
    pub webhook: Option<SecretSource>,
}
