//! When a target can be tried again.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    health::State,
    route::Target,
    upstream::credentials::{Shut, Standing},
};

use super::Fleet;

impl Fleet {
    /// How long until the first of the targets can be tried again; nothing where one of them can be at once, `None`
    /// where nobody knows.
    pub fn soonest<'a>(
        &self,
        targets: impl IntoIterator<Item = &'a Arc<Target>>,
        now: Instant,
    ) -> Option<Duration> {
        targets.into_iter().filter_map(|target| self.comes_back_in(target, now)).min()
    }

    /// How long until nothing stands in a target's way any more: its breaker, that of its provider's connections, a
    /// rate limit, a rest, its provider's credentials with the limits kept of it. `None`: its provider is off, or an
    /// operator took it out.
    fn comes_back_in(&self, target: &Target, now: Instant) -> Option<Duration> {
        let patient = self.patient(target)?;
        let standing = patient.health.standing(now);
        if standing.state == State::Out {
            return None;
        }
        let connected = match patient.connections.state() {
            State::Open { until } => Some(until),
            _ => None,
        };
        let usable = match self.standing(target, now) {
            Standing::Shut(Shut { until, .. }) => Some(until),
            Standing::Usable => None,
        };
        let at = [standing.free_at(), connected, usable].into_iter().flatten().max();
        Some(at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now)))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::{
        base::outcome::Outcome, config::Config, health::Force, provider::Failure, route::Book, upstream::Kind,
    };

    struct World {
        fleet: Fleet,
        book: Book,
        now: Instant,
    }

    impl World {
        fn new() -> Self {
            let config: Config = serde_json::from_value(serde_json::json!({
                "providers": { "p": { "protocol": "sim" }, "q": { "protocol": "sim" } },
                "models": { "a": { "provider": "p" }, "b": { "provider": "q" } },
                "breaker": { "open_jitter": 0.0, "limit_jitter": 0.0 },
            }))
            .unwrap();
            let fleet = Fleet::unheard(&config);
            Self { fleet, book: Book::compile(&config, |_| true), now: Instant::now() }
        }

        fn target(&self, name: &str) -> &Arc<Target> {
            self.book.target(name).unwrap()
        }

        /// One try of a target that comes to this.
        fn try_it(&self, name: &str, outcome: Outcome, hint: Option<u64>) {
            let ward = self
                .fleet
                .patient(self.target(name))
                .unwrap()
                .admit(Kind { stream: true, ..Kind::default() }, false, Instant::now())
                .unwrap();
            ward.over(outcome, hint.map(Duration::from_secs), Instant::now());
        }

        /// A try with the credential of a target's provider.
        fn key_fails(&self, name: &str, outcome: Outcome, hint: Option<u64>) {
            let target = self.target(name);
            let credentials = &self.fleet.of(target).unwrap().credentials;
            let lent = credentials.next(&mut Default::default(), &target.upstream_model, Instant::now());
            let failure =
                Failure { retry_after: hint.map(Duration::from_secs), ..Failure::of(outcome, "no") };
            let lent = lent.unwrap();
            lent.saw(&HeaderMap::new(), Instant::now());
            lent.failed(&failure);
        }

        /// Whole seconds, as a client is told them.
        fn soonest(&self) -> Option<u64> {
            let soonest = self.fleet.soonest(self.book.targets(), Instant::now())?;
            Some(soonest.as_millis().div_ceil(1000) as u64)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_target_that_comes_back_decides() {
        let world = World::new();
        assert_eq!(world.soonest(), Some(0), "nothing stands in the way");
        world.try_it("a", Outcome::RateLimited, Some(7));
        assert_eq!(world.soonest(), Some(0), "the other one can be tried");
        world.try_it("b", Outcome::RateLimited, Some(30));
        assert_eq!(world.soonest(), Some(7));
        tokio::time::advance(Duration::from_millis(2500)).await;
        assert_eq!(world.soonest(), Some(5), "4.5 s are no 4");
        assert_eq!(world.now.elapsed(), Duration::from_millis(2500));
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_target_what_holds_longest_counts() {
        let world = World::new();
        let only_a = || {
            let soonest = world.fleet.soonest([world.target("a")], Instant::now());
            soonest.map(|span| span.as_millis().div_ceil(1000))
        };
        (0..5).for_each(|_| world.try_it("a", Outcome::ServerError, None));
        assert_eq!(only_a(), Some(5), "its breaker");
        world.key_fails("a", Outcome::RateLimited, Some(20));
        assert!((20..=22).contains(&only_a().unwrap()), "its credential: {:?}", only_a());
        tokio::time::advance(Duration::from_secs(5)).await;
        world.try_it("a", Outcome::RateLimited, Some(60));
        assert_eq!(only_a(), Some(60), "its rate limit");
        // An unpaid key of one provider does not make the chain wait a quarter of an hour.
        world.key_fails("b", Outcome::QuotaExhausted, Some(900));
        assert_eq!(world.fleet.soonest([world.target("b")], Instant::now()), Some(Duration::from_secs(900)));
        assert_eq!(world.soonest(), Some(60));
    }

    #[tokio::test(start_paused = true)]
    async fn connections_that_fail_hold_every_model_of_a_provider() {
        let world = World::new();
        (0..5).for_each(|_| world.try_it("a", Outcome::ConnectError, None));
        let patient = world.fleet.patient(world.target("a")).unwrap();
        patient.health.force(Force::Reset, Instant::now());
        assert_eq!(world.fleet.soonest([world.target("a")], Instant::now()), Some(Duration::from_secs(5)));
    }

    #[tokio::test(start_paused = true)]
    async fn of_what_an_operator_took_out_nobody_knows() {
        let world = World::new();
        world.fleet.patients().for_each(|patient| patient.force(Force::Open));
        assert_eq!(world.soonest(), None);
    }
}
