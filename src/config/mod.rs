//! Everything an operator can say, as plain data; each key is documented where it stands.

mod alerts;
mod auth;
mod breaker;
mod budgets;
mod cache;
mod capabilities;
mod check;
mod classifier;
mod degraded;
mod environment;
mod fault;
mod file;
mod hedge;
mod judge;
mod keys;
mod keywords;
mod ledger;
pub mod load;
mod misfit;
mod models;
mod path;
mod presets;
mod price;
mod providers;
mod quality;
mod quirks;
pub mod reference;
mod retry;
mod routes;
mod schema;
mod server;
mod source;
mod structure;
mod telemetry;
mod tree;
pub mod unit;
mod validate;
mod wording;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use alerts::Alerts;
pub use auth::{Auth, AuthMode};
pub use breaker::Breaker;
pub use budgets::{Budget, Enforce, Scope};
pub use cache::{Cache, CacheScope};
pub use capabilities::Capabilities;
pub use check::{
    CLASSIFIER_KEY, KEY_NAME_FORM, KeyFault, KeyPart, OWN_KEYS, is_key_name, key_faults, listen_address,
    needs_a_key,
};
pub use classifier::{Classifier, ClassifierKind, LlmClassifier, Sticky, Tier};
pub use degraded::Degraded;
pub use fault::{Fault, Faults};
pub use hedge::HedgeAfter;
pub use judge::Judge;
pub use keys::Key;
pub use keywords::{KeywordPreset, KeywordRule, Keywords};
pub use ledger::{Ack, Ledger, Place as LedgerPlace};
pub use load::{Loaded, load, load_over};
pub use models::Model;
pub use presets::Preset;
pub use price::{Price, PriceTier};
pub use providers::{HealthCheck, HttpVersion, Protocol, Provider, SimOptions};
pub use quality::QualityCheck;
pub use quirks::{OutputLimit, Quirks, ToolId};
pub use retry::Retry;
pub use routes::{FallbackReason, Order, Route, RouteTarget, WeightedTarget, Weights};
pub use server::{Server, Tls};
pub use source::SecretSource;
pub use telemetry::{LogFormat, Telemetry};
pub use unit::{Size, Span};

/// The whole configuration.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where Weir listens, what it bounds.
    pub server: Server,
    /// Who may ask.
    pub auth: Auth,
    /// Virtual keys, besides those made at run time.
    pub keys: Vec<Key>,
    /// The upstream services, by name.
    pub providers: BTreeMap<String, Provider>,
    /// The targets that routes name: a model at a provider.
    pub models: BTreeMap<String, Model>,
    /// What a client names in `model`: an ordered chain of targets.
    pub routes: BTreeMap<String, Route>,
    /// When a target is left alone, when it is tried again.
    pub breaker: Breaker,
    /// How much more than one try a request may cost its providers.
    pub retry: Retry,
    /// Which model is enough for a request; what savings are measured against.
    pub classifier: Classifier,
    /// Who grades answers.
    pub judge: Judge,
    /// How much may be spent. Budgets of keys made at run time stand with those keys.
    pub budgets: Vec<Budget>,
    /// Answers that are kept, to be given again.
    pub cache: Cache,
    /// What stands in where no target can answer.
    pub degraded: Degraded,
    /// Where every cent is written down.
    pub ledger: Ledger,
    /// Who is told what happens.
    pub alerts: Alerts,
    /// Logs, traces. A reload does not change them.
    pub telemetry: Telemetry,
}
