//! How all targets do at a moment, for operators.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    base::outcome::Outcome,
    config::Config,
    health::{Score, Standing, median},
    metrics::Metrics,
    upstream::{
        credentials::{self, Shut},
        ward::{Patient, number},
    },
};

use super::Fleet;

/// A target with how it does.
#[derive(Clone, Debug)]
pub struct Vitals {
    /// The target.
    pub patient: Arc<Patient>,
    /// How it stands.
    pub standing: Standing,
    /// Its score for streams. Its speed is beside that of the targets which it shares a route with; one that stands in
    /// no route is its own measure.
    pub score: Score,
}

impl Fleet {
    /// Notes who shares a route with whom.
    pub(super) fn add_peers(&mut self, config: &Config) {
        for route in config.routes.values() {
            let names: Vec<Arc<str>> = route.targets.iter().map(|listed| listed.model().into()).collect();
            for name in &names {
                self.peers.entry(Arc::clone(name)).or_default().extend(names.iter().cloned());
            }
        }
    }

    /// How every target does, by name.
    pub fn vitals(&self, now: Instant) -> Vec<Vitals> {
        let standings: BTreeMap<&str, Standing> =
            self.patients.iter().map(|(name, patient)| (&**name, patient.health.standing(now))).collect();
        let models: BTreeMap<&str, &str> =
            self.models.iter().map(|[name, _, theirs]| (&**name, &**theirs)).collect();
        let vitals = self.patients.values().zip(standings.values()).map(|(patient, standing)| {
            let peers = self.peers.get(&patient.name).into_iter().flatten();
            let peaks = peers.filter_map(|peer| standings.get(&**peer)?.first_token.peak);
            let quota = models
                .get(&*patient.name)
                .and_then(|theirs| self.units.get(&patient.provider)?.credentials.left(theirs, now));
            let score = standing.score(true, median(peaks), quota);
            Vitals { patient: Arc::clone(patient), standing: *standing, score }
        });
        vitals.collect()
    }

    /// Says in the metrics how providers, their keys, their models do: what they then show is true of this moment.
    pub fn show(&self, metrics: &Metrics, now: Instant) {
        self.off.iter().for_each(|name| metrics.provider(name, false));
        for (name, unit) in &self.units {
            metrics.provider(name, true);
            unit.credentials.show();
        }
        for [name, provider, theirs] in &self.models {
            let standing = self.units.get(provider).map(|unit| unit.standing(theirs, now));
            let left = match standing {
                Some(credentials::Standing::Shut(Shut { why: Outcome::RateLimited, until })) => until - now,
                _ => Duration::ZERO,
            };
            metrics.rate_limited(name, provider, left);
        }
        for Vitals { patient, standing, score } in self.vitals(now) {
            patient.gauges.show(number(standing.state), score.h);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Order,
        route::{Book, WantedBy},
        upstream::Kind,
    };

    fn config(order: Order) -> Config {
        let mut config: Config = serde_json::from_value(serde_json::json!({
            "providers": { "p": { "protocol": "sim" } },
            "models": {
                "slow": { "provider": "p" }, "usual": { "provider": "p" }, "fast": { "provider": "p" },
                "apart": { "provider": "p" },
            },
            "routes": { "r": { "targets": ["slow", "usual", "fast"] }, "own": { "targets": ["apart"] } },
        }))
        .unwrap();
        for route in config.routes.values_mut() {
            route.order = order;
        }
        config
    }

    /// Lets a target answer a stream after so long.
    async fn answers(fleet: &Fleet, book: &Book, name: &str, after: Duration) {
        let patient = fleet.patient(book.target(name).unwrap()).unwrap();
        let mut ward =
            patient.admit(Kind { stream: true, ..Kind::default() }, false, Instant::now()).unwrap();
        tokio::time::advance(after).await;
        ward.first_content(Instant::now());
        ward.over(Outcome::Ok, None, Instant::now());
    }

    /// T is beside the targets of the same route, in the order of a chain as on the status page.
    #[tokio::test(start_paused = true)]
    async fn speed_is_beside_the_targets_of_the_same_route() {
        let config = config(Order::Health);
        let fleet = Fleet::unheard(&config);
        let book = Book::compile(&config, |_| true);
        for (name, ms) in [("apart", 2000), ("slow", 800), ("usual", 200), ("fast", 100)] {
            answers(&fleet, &book, name, Duration::from_millis(ms)).await;
        }
        let vitals = fleet.vitals(Instant::now());
        let speed = |name: &str| {
            vitals.iter().find(|vitals| &*vitals.patient.name == name).map(|vitals| vitals.score.t).unwrap()
        };
        assert!((0.2..0.3).contains(&speed("slow")), "{}", speed("slow"));
        assert_eq!([speed("usual"), speed("fast"), speed("apart")], [1.0; 3]);
        let wanted = book.wanted(WantedBy::Name("r")).unwrap();
        let chain = book.chain(&wanted, |target| fleet.rank(target, true), || 0.5);
        assert_eq!(&*chain.targets[2].name, "slow");
        // Whole answers were never measured: there nobody is slow.
        let chain = book.chain(&wanted, |target| fleet.rank(target, false), || 0.5);
        assert_eq!(&*chain.targets[0].name, "slow");
    }

    /// Q is halved while a provider says that less than a tenth of its own limit is left.
    #[tokio::test]
    async fn little_left_of_the_providers_own_limit_halves_the_score() {
        let config = config(Order::Health);
        let fleet = Fleet::unheard(&config);
        let book = Book::compile(&config, |_| true);
        let health = || {
            let vitals = fleet.vitals(Instant::now());
            ["fast", "slow"].map(|name| {
                vitals
                    .iter()
                    .find(|vitals| &*vitals.patient.name == name)
                    .map(|vitals| vitals.score.h)
                    .unwrap()
            })
        };
        assert_eq!(health(), [1.0, 1.0]);
        let fast = book.target("fast").unwrap();
        let credentials = &fleet.of(fast).unwrap().credentials;
        let says = |left: &'static str| {
            let headers = [("limit", "1000"), ("remaining", left), ("reset", "30s")];
            let headers = headers.map(|(what, value)| {
                let name = format!("x-ratelimit-{what}-requests").parse::<http::HeaderName>();
                (name.unwrap(), http::HeaderValue::from_static(value))
            });
            let lent = credentials.next(&mut Default::default(), &fast.upstream_model, Instant::now());
            lent.unwrap().saw(&headers.into_iter().collect(), Instant::now());
        };
        says("99");
        assert_eq!(health(), [0.5, 1.0]);
        assert_eq!((fleet.rank(fast, true).health, fleet.rank(fast, false).health), (0.5, 0.5));
        says("100");
        assert_eq!(health(), [1.0, 1.0]);
    }
}
