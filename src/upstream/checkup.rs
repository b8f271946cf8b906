//! Asks providers whether they are there, whatever requests come.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, timeout_at},
};

use crate::{
    base::{outcome::Outcome, secret::Secret},
    config::HealthCheck,
    health::{ProviderHealth, State},
    metrics::{Metrics, health::HealthMetrics},
    news::Bell,
    provider::Failure,
};

use super::{
    credentials::Turn, faults::call_failed, fleet::Fleet, unit::Unit, ward::tell_of_provider, whole::whole,
};

/// How often it is looked which checks are due.
const LOOK: Duration = Duration::from_millis(250);
/// The shortest time from one check to the next.
const SHORTEST: Duration = Duration::from_secs(1);
/// The most that is read of an answer: its connection can be used again once all of it is.
const MAX_BODY: usize = 1024 * 1024;
/// Checks ask for no model: what keys may do with one is not theirs to find out.
const NO_MODEL: &str = "";

/// What the health checks of a provider showed.
#[derive(Debug, Default)]
pub struct Checkup(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    last: Option<Shown>,
    /// What was told of a path: the result, the path.
    told: Vec<(&'static str, String)>,
}

/// What one check showed.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    /// `ok`, `wrong_path`, `failed` (an answer that says so), or the class of the failure.
    pub result: &'static str,
    /// When.
    pub at: Instant,
    /// How long it took.
    pub took: Duration,
}

impl Checkup {
    /// The last check.
    pub fn last(&self) -> Option<Shown> {
        self.lock().last
    }

    /// Notes that a path cannot be used; true if nobody was told of that yet.
    fn is_news(&self, result: &'static str, path: &str) -> bool {
        let told = &mut self.lock().told;
        told.retain(|(_, before)| before == path);
        let news = !told.iter().any(|(before, _)| *before == result);
        if news {
            told.push((result, path.to_owned()));
        }
        news
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        // Each value is whole by itself, so a panic elsewhere leaves nothing to mistrust.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One provider's check.
struct Check {
    unit: Arc<Unit>,
    connections: Arc<ProviderHealth>,
    settings: HealthCheck,
    metrics: HealthMetrics,
    bell: Bell,
}

/// Asks every provider with a `health_check`, again and again, in the fleet as it is at each moment.
pub async fn keep_checking(fleet: impl Fn() -> Arc<Fleet>, metrics: &Metrics, bell: &Bell) {
    let mut due = HashMap::<Arc<str>, Instant>::new();
    let mut running = JoinSet::new();
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            Some(Ok((name, next))) = running.join_next() => {
                due.entry(name).and_modify(|at| *at = next);
            }
            _ = ticks.tick() => {
                let checks = checks(&fleet(), metrics, bell);
                due.retain(|name, _| checks.iter().any(|check| check.unit.name == *name));
                let now = Instant::now();
                for check in checks {
                    let HealthCheck { every, timeout, .. } = check.settings;
                    // Spread from the start, so that not all are asked at once.
                    let first = || now + every.0.mul_f64(rand::random());
                    let at = due.entry(Arc::clone(&check.unit.name)).or_insert_with(first);
                    // A reload may have made it more often; one that is under way is not cut short by this.
                    *at = (*at).min(now + timeout.0 + every.0.mul_f64(1.1));
                    if *at <= now {
                        // Its end says when the next one is; this holds should it never come.
                        *at = now + timeout.0 + every.0;
                        running.spawn(check.run());
                    }
                }
            }
        }
    }
}

/// The checks that a fleet wants.
fn checks(fleet: &Fleet, metrics: &Metrics, bell: &Bell) -> Vec<Check> {
    let wanted = fleet.providers().filter_map(|(unit, connections)| {
        Some(Check {
            settings: unit.settings.health_check.clone()?,
            unit: Arc::clone(unit),
            connections: Arc::clone(connections),
            metrics: metrics.health().clone(),
            bell: bell.clone(),
        })
    });
    wanted.collect()
}

impl Check {
    /// Asks once: whose check it was, and when the next one is.
    async fn run(self) -> (Arc<str>, Instant) {
        let begun = Instant::now();
        let failed = match self.ask(begun).await {
            Some((result, failed)) => {
                self.metrics.check(&self.unit.name, result);
                let shown = Shown { result, at: Instant::now(), took: begun.elapsed() };
                self.unit.checkup.lock().last = Some(shown);
                failed
            }
            None => false,
        };
        let closed = self.connections.state() == State::Closed;
        let pause = pause(self.settings.every.0, failed, closed, rand::random());
        (Arc::clone(&self.unit.name), Instant::now() + pause)
    }

    /// What an answer shows, and whether that speaks against the provider; `None`: nothing was sent, as no key may be
    /// used now, or there is no room.
    async fn ask(&self, now: Instant) -> Option<(&'static str, bool)> {
        let (unit, model) = (&self.unit, Arc::from(NO_MODEL));
        let mut turn = Turn::default();
        let lent = unit.credentials.next(&mut turn, &model, now)?;
        let permit = self.connections.check()?;
        let read = self.read(lent.key(), now + self.settings.timeout.0).await;
        let (result, outcome) = match &read {
            // Lists that need no key prove nothing of it: what is held against one is for requests to clear.
            Ok(()) => ("ok", Outcome::Ok),
            Err(failure) if failure.outcome == Outcome::Skipped => {
                self.connections.give_back(permit);
                return None;
            }
            Err(failure) if is_useless(failure) => {
                self.warn(failure, "wrong_path", "leads nowhere, or its key may not read it");
                ("wrong_path", Outcome::Rejected)
            }
            Err(failure) if is_broken(failure) => {
                self.warn(failure, "failed", "is answered with an error");
                ("failed", failure.outcome)
            }
            Err(failure) => {
                if is_the_keys_fault(failure) {
                    lent.failed(failure);
                }
                (failure.outcome.as_str(), failure.outcome)
            }
        };
        let transition = self.connections.checked(permit, outcome, Instant::now(), rand::random());
        tell_of_provider(&self.bell, &unit.name, transition);
        Some((result, ProviderHealth::speaks_against(outcome)))
    }

    /// Reads what is at the path.
    async fn read(&self, key: Option<&Secret>, by: Instant) -> Result<(), Failure> {
        let unit = &self.unit;
        let late = |_| Failure::of(Outcome::Timeout, "no answer in time");
        let answer = timeout_at(by, unit.get(&self.settings.path, key)).await.map_err(late)?;
        let (head, mut body) = answer.map_err(call_failed)?.into_parts();
        // Its head shows that somebody is there, however long the list behind it takes.
        let body = timeout_at(by, whole(&mut body, MAX_BODY)).await;
        if head.status.is_success() {
            return Ok(());
        }
        let body = body.ok().and_then(Result::ok).unwrap_or_default();
        Err(unit.codec.failure(head.status, &head.headers, &body, SystemTime::now()))
    }

    fn warn(&self, failure: &Failure, result: &'static str, what: &str) {
        if self.unit.checkup.is_news(result, &self.settings.path) {
            let (name, path) = (&self.unit.name, &self.settings.path);
            let status = failure.status.map_or(0, |status| status.as_u16());
            tracing::warn!(
                provider = %name, path, status,
                "providers.{name}.health_check.path {what}: name one that is answered with a success; until then the \
                 checks only show that the provider is there"
            );
        }
    }
}

/// Whether the answer shows only that the path is no use: it is elsewhere, or keys that are good may not read it.
fn is_useless(failure: &Failure) -> bool {
    let status = failure.status.map_or(0, |status| status.as_u16());
    let said = failure.error.message.to_ascii_lowercase();
    // OpenAI refuses keys with few rights by a 401 as well.
    let few_rights = said.contains("missing scopes") || said.contains("insufficient permissions");
    matches!(status, 300..=399 | 403 | 404 | 405) || (status == 401 && few_rights)
}

/// Whether it was answered with an error of the provider's: that says something of this path, nothing of others.
fn is_broken(failure: &Failure) -> bool {
    failure.outcome == Outcome::ServerError && failure.status.is_some()
}

/// Whether it is what the key would meet with any request. A limit on such requests says nothing of others.
fn is_the_keys_fault(failure: &Failure) -> bool {
    let limited = failure.status.is_some_and(|status| status.as_u16() == 429);
    matches!(failure.outcome, Outcome::CredentialRejected | Outcome::QuotaExhausted) && !limited
}

/// How long to wait after a check; `draw` is from [0, 1). A failure is looked into sooner, and a provider that seems to be
/// back is asked at once whether it is.
fn pause(every: Duration, failed: bool, closed: bool, draw: f64) -> Duration {
    match (failed, closed) {
        (true, _) => (every / 5).max(SHORTEST),
        (false, false) => SHORTEST,
        (false, true) => every.mul_f64(0.9 + 0.2 * draw),
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use serde_json::json;

    use super::*;
    use crate::{config::Config, openai::ErrorBody};

    const SECOND: Duration = Duration::from_secs(1);

    fn failure(status: u16, outcome: Outcome, message: &str) -> Failure {
        let error = ErrorBody { message: message.to_owned(), kind: None, param: None, code: None };
        Failure { status: StatusCode::from_u16(status).ok(), ..Failure::new(outcome, error) }
    }

    #[test]
    fn only_a_refusal_of_the_key_itself_counts_against_it() {
        let refused = |status, outcome, message| {
            let failure = failure(status, outcome, message);
            (is_useless(&failure), is_the_keys_fault(&failure))
        };
        assert_eq!(refused(401, Outcome::CredentialRejected, "No."), (false, true));
        let scopes = "You have insufficient permissions. Missing scopes: api.model.read.";
        assert!(refused(401, Outcome::CredentialRejected, scopes).0);
        assert_eq!(refused(402, Outcome::QuotaExhausted, "Pay."), (false, true));
        assert_eq!(refused(429, Outcome::QuotaExhausted, "Pay."), (false, false));
        assert_eq!(refused(429, Outcome::RateLimited, ""), (false, false));
        assert!(refused(403, Outcome::Forbidden, "").0 && refused(404, Outcome::ModelUnknown, "").0);
        assert_eq!(refused(500, Outcome::ServerError, ""), (false, false));
        assert!(is_broken(&failure(501, Outcome::ServerError, "")));
        assert!(!is_broken(&Failure::of(Outcome::ConnectError, "")));
    }

    #[test]
    fn a_failure_is_looked_into_sooner() {
        let every = 30 * SECOND;
        let after = |failed, closed| pause(every, failed, closed, 0.5);
        assert_eq!((after(false, true), after(true, true)), (every, 6 * SECOND));
        assert_eq!((after(false, false), after(true, false)), (SECOND, 6 * SECOND));
        assert_eq!(pause(SECOND, true, false, 0.5), SECOND);
        assert!(pause(every, false, true, 0.0) >= 26 * SECOND);
    }

    fn gateway(check: serde_json::Value) -> (Metrics, Bell, Arc<Fleet>) {
        let config = json!({ "providers": { "p": { "protocol": "sim", "health_check": check } } });
        let config: Config = serde_json::from_value(config).unwrap();
        let metrics = Metrics::new().unwrap();
        let bell = Bell::unheard(&metrics);
        let fleet = Arc::new(Fleet::build(&config, None, &metrics, &bell).unwrap());
        (metrics, bell, fleet)
    }

    #[tokio::test(start_paused = true)]
    async fn a_success_clears_no_key() {
        let (metrics, bell, fleet) = gateway(json!({}));
        let check = || checks(&fleet, &metrics, &bell).remove(0);
        let (unit, model) = (check().unit, Arc::from(NO_MODEL));
        let refuse = || {
            let lent = unit.credentials.next(&mut Turn::default(), &model, Instant::now()).unwrap();
            lent.failed(&failure(401, Outcome::CredentialRejected, ""));
        };
        refuse();
        check().run().await;
        assert_eq!(unit.checkup.last().map(|shown| shown.result), Some("ok"));
        refuse();
        assert!(unit.credentials.are_dead(&model));
        // Nor by the one try that an out key gets.
        tokio::time::advance(1000 * SECOND).await;
        check().run().await;
        assert!(unit.credentials.are_dead(&model));
        assert!(unit.credentials.next(&mut Turn::default(), &model, Instant::now()).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_shorter_interval_holds_at_once() {
        let (metrics, bell, seldom) = gateway(json!({ "every": "24h" }));
        let (_, _, often) = gateway(json!({ "every": "5s" }));
        let reload = Instant::now() + 60 * SECOND;
        let fleet = || Arc::clone(if Instant::now() < reload { &seldom } else { &often });
        let _ = tokio::time::timeout(75 * SECOND, keep_checking(fleet, &metrics, &bell)).await;
        let (unit, _) = often.providers().next().unwrap();
        assert_eq!(unit.checkup.last().map(|shown| shown.result), Some("ok"));
    }

    #[tokio::test(start_paused = true)]
    async fn each_provider_is_asked_at_its_own_pace() {
        let config: Config = serde_json::from_value(json!({ "providers": {
            "often": { "protocol": "sim", "health_check": { "every": "10s" } },
            "seldom": { "protocol": "sim", "health_check": { "every": "60s" } },
            "lost": { "protocol": "sim", "health_check": { "every": "60s", "path": "/nowhere" } },
            "never": { "protocol": "sim" },
        } }))
        .unwrap();
        let metrics = Metrics::new().unwrap();
        let bell = Bell::unheard(&metrics);
        let fleet = Arc::new(Fleet::build(&config, None, &metrics, &bell).unwrap());
        let all = keep_checking(|| Arc::clone(&fleet), &metrics, &bell);
        let _ = tokio::time::timeout(600 * SECOND, all).await;
        let page = String::from_utf8(metrics.page()).unwrap();
        let count = |provider: &str, result: &str| {
            let line = format!("weir_health_checks_total{{provider=\"{provider}\",result=\"{result}\"}} ");
            page.lines().find_map(|told| told.strip_prefix(&line)?.parse::<u32>().ok()).unwrap_or(0)
        };
        assert!((50..=66).contains(&count("often", "ok")), "{page}");
        assert!((8..=12).contains(&count("seldom", "ok")), "{page}");
        assert!((8..=12).contains(&count("lost", "wrong_path")), "{page}");
        assert!(!page.contains("provider=\"never\",result"), "{page}");
        let last = |name: &str| {
            let (unit, connections) = fleet.providers().find(|(unit, _)| *unit.name == *name).unwrap();
            (unit.checkup.last().map(|shown| shown.result), connections.state())
        };
        assert_eq!(last("lost"), (Some("wrong_path"), State::Closed));
        assert_eq!(last("never"), (None, State::Closed));
    }
}
