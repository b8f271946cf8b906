//! `[auth]`: who may ask.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Authentication of clients.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Auth {
    /// `keys`: a virtual key is needed; where there is none, only programs of this machine are served: not through a
    /// proxy, not for web pages of other sites. `open`: no key is needed, on the same terms; refused on an address that
    /// others can reach.
    pub mode: AuthMode,
    /// With `mode = "open"`, serve anybody: on an address that others can reach, through a proxy, for any web page.
    pub allow_open_network: bool,
    /// The tags that clients may set by `x-weir-tags`; others are refused. They serve reports, never budgets.
    pub client_tags: Vec<String>,
}

/// How clients prove who they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AuthMode {
    /// By a virtual key, as `Authorization: Bearer KEY`.
    #[default]
    Keys,
    /// Not at all.
    Open,
}
