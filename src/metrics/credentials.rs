//! What is counted of credentials.

use std::time::Duration;

use prometheus::{GaugeVec, IntCounter, IntCounterVec, IntGaugeVec};

use super::{Maker, Metrics};

/// The metrics of providers' limits.
#[derive(Clone, Debug)]
pub(super) struct ProviderMetrics {
    rate_limited: GaugeVec,
    credentials: IntCounterVec,
    state: IntGaugeVec,
}

impl ProviderMetrics {
    pub(super) fn new(maker: &Maker) -> Result<Self, prometheus::Error> {
        Ok(Self {
            rate_limited: maker.levels(
                "rate_limited_seconds",
                "How long a target is still at its rate limit.",
                &["model", "provider"],
            )?,
            credentials: maker.counters(
                "credential_events_total",
                "Credentials without money (rest), refused (out), used again (back), by their place.",
                &["provider", "credential", "event"],
            )?,
            state: maker.gauges(
                "credential_state",
                "What a provider's key is worth, for all models or one: 0 good, 1 without money, 2 refused.",
                &["provider", "credential"],
            )?,
        })
    }

    /// Forgets what the page is told anew each time.
    pub(super) fn forget(&self) {
        self.rate_limited.reset();
        self.state.reset();
    }
}

/// The metrics of one credential, resolved once.
#[derive(Clone, Debug)]
pub struct CredentialMetrics {
    rests: IntCounter,
    deaths: IntCounter,
    returns: IntCounter,
    state: IntGaugeVec,
    labels: [String; 2],
}

impl Metrics {
    /// The metrics of a credential. `place` says where it stands in the configuration, never what it is.
    pub fn credential(&self, provider: &str, place: &str) -> CredentialMetrics {
        let counter = |event| self.providers.credentials.with_label_values(&[provider, place, event]);
        CredentialMetrics {
            rests: counter("rest"),
            deaths: counter("out"),
            returns: counter("back"),
            state: self.providers.state.clone(),
            labels: [provider.to_owned(), place.to_owned()],
        }
    }

    /// How long a target is at its rate limit from now on; zero where it is not.
    pub fn rate_limited(&self, model: &str, provider: &str, left: Duration) {
        self.providers.rate_limited.with_label_values(&[model, provider]).set(left.as_secs_f64());
    }
}

impl CredentialMetrics {
    /// It has no money left.
    pub fn rest(&self) {
        self.rests.inc();
    }

    /// It was refused twice in a row.
    pub fn out(&self) {
        self.deaths.inc();
    }

    /// It is used again.
    pub fn back(&self) {
        self.returns.inc();
    }

    /// Says what it is worth: 0 good, 1 without money, 2 refused.
    pub fn state(&self, state: i64) {
        self.state.with_label_values(&self.labels).set(state);
    }
}
