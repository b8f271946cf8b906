//! Which routes have no target left.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    news::Event,
    route::{Book, RouteEntry, Target},
};

use super::Fleet;

/// The routes whose targets are all down.
#[derive(Debug, Default)]
pub struct Outages(BTreeSet<Arc<str>>);

impl Outages {
    /// Looks at every route: what began or ended since the last look.
    pub fn look(&mut self, book: &Book, fleet: &Fleet) -> Vec<Event> {
        // A route that is no more is not back.
        self.0.retain(|known| book.routes().any(|route| route.name == *known));
        book.routes().filter_map(|route| self.change(route, down(route, fleet))).collect()
    }

    /// Notes how a route is: what is to be told of it.
    fn change(&mut self, route: &RouteEntry, down: Vec<(Arc<str>, &'static str)>) -> Option<Event> {
        let all = !route.targets.is_empty() && down.len() == route.targets.len();
        let changed = match all {
            true => self.0.insert(Arc::clone(&route.name)),
            false => self.0.remove(&route.name),
        };
        changed.then(|| Event::Route {
            route: Arc::clone(&route.name),
            down: all,
            targets: down,
            fallback: route.fallback.clone(),
        })
    }
}

/// Every route that has targets, with how many of them are not down.
pub fn targets_up(book: &Book, fleet: &Fleet) -> impl Iterator<Item = (Arc<str>, usize)> {
    let routes = book.routes().filter(|route| !route.targets.is_empty());
    routes.map(|route| (Arc::clone(&route.name), route.targets.len() - down(route, fleet).len()))
}

/// The route's targets that are down, each with the reason.
fn down(route: &RouteEntry, fleet: &Fleet) -> Vec<(Arc<str>, &'static str)> {
    let down =
        route.targets.iter().filter_map(|(target, _)| Some((Arc::clone(&target.name), why(target, fleet)?)));
    down.collect()
}

/// Why a target gets nothing but probes. What was wrong stays wrong until an answer shows that it is over: that a time is
/// up shows nothing.
fn why(target: &Target, fleet: &Fleet) -> Option<&'static str> {
    let down = fleet.patient(target)?.down();
    let dead = || fleet.of(target).filter(|unit| unit.credentials.are_dead(&target.upstream_model));
    down.or_else(|| dead().map(|_| "no_key"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::time::Instant;

    use super::*;
    use crate::{
        base::outcome::Outcome, config::Config, health::Force, metrics::Metrics, news::Bell,
        provider::Failure, upstream::credentials::Turn,
    };

    fn gateway(provider: serde_json::Value) -> (Book, Fleet) {
        let config: Config = serde_json::from_value(json!({
            "providers": { "p": provider },
            "models": { "a": { "provider": "p" }, "b": { "provider": "p" } },
            "routes": { "both": { "targets": ["a", "b"], "fallback": "one" }, "one": { "targets": ["a"] } },
        }))
        .unwrap();
        let metrics = Metrics::new().unwrap();
        let fleet = Fleet::build(&config, None, &metrics, &Bell::unheard(&metrics)).unwrap();
        (Book::compile(&config, |_| true), fleet)
    }

    /// What is told, as `ROUTE down` or `ROUTE over`.
    fn look(outages: &mut Outages, (book, fleet): &(Book, Fleet)) -> Vec<String> {
        let told = outages.look(book, fleet).into_iter().map(|event| match event {
            Event::Route { route, down, .. } => format!("{route} {}", if down { "down" } else { "over" }),
            other => panic!("{other:?}"),
        });
        told.collect()
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_told_once_when_it_begins_and_once_when_it_ends() {
        let gateway = gateway(json!({ "protocol": "sim" }));
        let mut outages = Outages::default();
        let force = |model: &str, force| {
            let patient = gateway.1.patients().find(|patient| *patient.name == *model).unwrap();
            patient.force(force);
        };
        assert!(look(&mut outages, &gateway).is_empty());
        force("a", Force::Open);
        assert_eq!(look(&mut outages, &gateway), ["one down"]);
        force("b", Force::Open);
        assert_eq!(look(&mut outages, &gateway), ["both down"]);
        let up: Vec<_> =
            targets_up(&gateway.0, &gateway.1).map(|(route, up)| format!("{route} {up}")).collect();
        assert_eq!(up, ["both 0", "one 0"]);
        assert!(look(&mut outages, &gateway).is_empty());
        force("b", Force::Close);
        assert_eq!(targets_up(&gateway.0, &gateway.1).next().map(|(_, up)| up), Some(1));
        assert_eq!(look(&mut outages, &gateway), ["both over"]);
        force("a", Force::Close);
        assert_eq!(look(&mut outages, &gateway), ["one over"]);
    }

    #[tokio::test(start_paused = true)]
    async fn refused_keys_are_an_outage_until_one_is_good_again() {
        let gateway = gateway(json!({ "base_url": "http://127.0.0.1:1/v1", "api_keys": ["k-one"] }));
        let (mut outages, model) = (Outages::default(), Arc::from("a"));
        let unit = Arc::clone(gateway.1.providers().next().unwrap().0);
        let lent = || unit.credentials.next(&mut Turn::default(), &model, Instant::now()).unwrap();
        lent().failed(&Failure::of(Outcome::CredentialRejected, ""));
        assert!(look(&mut outages, &gateway).is_empty());
        lent().failed(&Failure::of(Outcome::CredentialRejected, ""));
        assert_eq!(look(&mut outages, &gateway), ["both down", "one down"]);
        // That it may be tried again does not make it good.
        tokio::time::advance(std::time::Duration::from_secs(1000)).await;
        assert!(look(&mut outages, &gateway).is_empty());
        lent().answered();
        assert_eq!(look(&mut outages, &gateway), ["both over", "one over"]);
    }
}
