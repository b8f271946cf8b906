//! `[[budgets]]`: how much may be spent, by whom, in which time.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::{account::Period, money::Nanos};

/// A limit on spending. A request has to fit into every budget that applies to it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// What it is called in errors, metrics and reports. What was spent is kept under this name.
    pub name: String,
    /// What it counts: `global`, `key:NAME`, `each-key`, `tag:KEY=VALUE`, `route:NAME` (the one at the entry),
    /// `model:NAME` or `provider:NAME`. A model or provider whose budget is spent is passed over.
    #[serde(default = "global")]
    pub scope: String,
    /// The limit of a calendar day, in USD.
    #[serde(default)]
    pub daily: Option<Nanos>,
    /// The limit of a calendar month, in USD.
    #[serde(default)]
    pub monthly: Option<Nanos>,
    /// The limit of the budget's whole life, in USD.
    #[serde(default)]
    pub total: Option<Nanos>,
    /// The limit of one request, all its tries together, in USD.
    #[serde(default)]
    pub per_request: Option<Nanos>,
    /// The time zone of its days and months, like `Europe/Amsterdam`.
    #[serde(default = "utc")]
    pub timezone: String,
    /// `hard`: what a request may cost at most is held before it is sent, and its output limited to what is left.
    /// `soft`: only the usual cost is held and nothing limited, so it may be overspent by what is under way.
    #[serde(default)]
    pub enforce: Enforce,
    /// `reject`, or `downgrade:ROUTE`: requests that do not fit are answered by a cheaper route, if they fit there.
    #[serde(default = "reject")]
    pub on_exceeded: String,
    /// The share of a limit from which on requests are downgraded, 0 to 1; absent: at the limit.
    #[serde(default)]
    pub downgrade_from: Option<f64>,
    /// How many tokens a request may answer that names no limit of its own.
    #[serde(default = "default_max_output")]
    pub default_max_output: u64,
    /// A request that could answer with fewer tokens than this does not fit, unless it asks for fewer itself.
    #[serde(default = "min_output")]
    pub min_output: u64,
    /// How many tokens are held for a picture. Raise it for models that count a large picture as more: what they charge
    /// beyond it can overspend the budget.
    #[serde(default = "picture_tokens")]
    pub picture_tokens: u64,
    /// How many tokens are held for a file or a piece of audio. Raise it where long ones are sent: what they count
    /// beyond it can overspend the budget.
    #[serde(default = "file_tokens")]
    pub file_tokens: u64,
    /// Shares of a limit at which an alert is raised, 0 to 1.
    #[serde(default)]
    pub alert_at: Vec<f64>,
}

/// How strictly a budget holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Enforce {
    /// Never overspent.
    #[default]
    Hard,
    /// Overspent by what is under way at most.
    Soft,
}

/// What a budget counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Everything.
    Global,
    /// What one key asks for.
    Key(String),
    /// What each key asks for, each by itself.
    EachKey,
    /// What carries a tag.
    Tag(String, String),
    /// What enters at a route.
    Route(String),
    /// What a model answers.
    Model(String),
    /// What a provider answers.
    Provider(String),
}

impl Scope {
    /// The forms that a scope is written in.
    pub const FORMS: [&str; 7] =
        ["global", "key:NAME", "each-key", "tag:KEY=VALUE", "route:NAME", "model:NAME", "provider:NAME"];

    /// Reads a scope; `None`: it is in none of the forms.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "global" => return Some(Self::Global),
            "each-key" => return Some(Self::EachKey),
            _ => {}
        }
        let (kind, name) = text.split_once(':').filter(|(_, name)| !name.is_empty())?;
        match kind {
            "key" => Some(Self::Key(name.to_owned())),
            "route" => Some(Self::Route(name.to_owned())),
            "model" => Some(Self::Model(name.to_owned())),
            "provider" => Some(Self::Provider(name.to_owned())),
            "tag" => {
                let (key, value) =
                    name.split_once('=').filter(|(key, value)| !key.is_empty() && !value.is_empty())?;
                Some(Self::Tag(key.to_owned(), value.to_owned()))
            }
            _ => None,
        }
    }

    /// Whether it counts a single target, so that one without room is passed over rather than the request refused.
    pub fn is_target(&self) -> bool {
        matches!(self, Self::Model(_) | Self::Provider(_))
    }
}

fn global() -> String {
    "global".into()
}

fn utc() -> String {
    "UTC".into()
}

fn reject() -> String {
    "reject".into()
}

fn default_max_output() -> u64 {
    16_384
}

fn min_output() -> u64 {
    256
}

fn picture_tokens() -> u64 {
    4096
}

fn file_tokens() -> u64 {
    131_072
}

impl Budget {
    /// The limits by their periods, the shortest first.
    pub fn limits(&self) -> impl Iterator<Item = (Period, Nanos)> {
        [(Period::Daily, self.daily), (Period::Monthly, self.monthly), (Period::Total, self.total)]
            .into_iter()
            .filter_map(|(period, limit)| limit.map(|limit| (period, limit)))
    }

    /// What becomes of a request that does not fit: `Some(None)` it is refused, `Some(Some(route))` it goes to that
    /// route; `None`: `on_exceeded` says neither.
    pub fn cheaper(&self) -> Option<Option<&str>> {
        match self.on_exceeded.as_str() {
            "reject" => Some(None),
            other => other.strip_prefix("downgrade:").filter(|route| !route.is_empty()).map(Some),
        }
    }

    /// A budget with no limit yet, everything else at its default.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            scope: global(),
            daily: None,
            monthly: None,
            total: None,
            per_request: None,
            timezone: utc(),
            enforce: Enforce::default(),
            on_exceeded: reject(),
            downgrade_from: None,
            default_max_output: default_max_output(),
            min_output: min_output(),
            picture_tokens: picture_tokens(),
            file_tokens: file_tokens(),
            alert_at: Vec::new(),
        }
    }
}
