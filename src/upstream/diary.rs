//! Writes down how targets did, so that a restart does not forget it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    base::clock::Clock,
    health::{Minute, Past},
    ledger::{Ledger, TargetPast},
};

use super::{fleet::Fleet, ward::Patient};

/// Knows what was written last.
#[derive(Debug, Default)]
pub struct Diary {
    /// By target, how many tries its past had when it was written.
    written: HashMap<Arc<str>, u64>,
}

impl Diary {
    /// Writes what is new. Where the ledger cannot, it stays new.
    pub async fn write(&mut self, fleet: &Fleet, ledger: &Ledger, clock: &Clock) {
        let before = self.written.clone();
        let pasts = self.new_in(fleet, clock);
        if !pasts.is_empty() && ledger.keep_pasts(pasts).await.is_err() {
            self.written = before;
        }
    }

    /// What is new since it was asked last. Who asks writes it.
    pub fn new_in(&mut self, fleet: &Fleet, clock: &Clock) -> Vec<TargetPast> {
        let (now, wall) = (Instant::now(), clock.millis());
        let mut pasts = Vec::new();
        let mut seen = HashMap::new();
        for patient in fleet.patients() {
            let Past { minutes, lasted, noted } = patient.health.past(now);
            // One that came back with a reload begins with nothing, and what was written before stays for a while.
            if noted > 0 && self.written.get(&patient.name) != Some(&noted) {
                let used = minutes.iter().rposition(|minute| *minute != Minute::default());
                pasts.push(TargetPast {
                    target: Arc::clone(&patient.name),
                    provider: Arc::clone(&patient.provider),
                    since: wall.saturating_sub(i64::try_from(lasted.as_millis()).unwrap_or(i64::MAX)),
                    minutes: minutes[..used.map_or(0, |last| last + 1)].to_vec(),
                });
            }
            seen.insert(Arc::clone(&patient.name), noted);
        }
        self.written = seen;
        pasts
    }

    /// Lets the targets go on with what an earlier process wrote down. Where that cannot be read they begin anew.
    pub async fn recall(fleet: &Fleet, ledger: &Ledger, clock: &Clock) {
        let pasts = match ledger.books().pasts().await {
            Ok(pasts) => pasts,
            Err(why) => {
                tracing::warn!(%why, "how the targets did before is forgotten");
                return;
            }
        };
        let (now, wall) = (Instant::now(), clock.millis());
        for past in pasts {
            // A name that now stands for a model of another provider says nothing of that one.
            let same = |patient: &&Arc<Patient>| {
                (&past.target, &past.provider) == (&patient.name, &patient.provider)
            };
            let Some(patient) = fleet.patients().find(same) else { continue };
            let began_ago = u64::try_from(wall.saturating_sub(past.since)).unwrap_or(0);
            patient.health.restore(&past.minutes, Duration::from_millis(began_ago), now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;
    use crate::{
        base::outcome::Outcome,
        config::{self, Config},
        metrics::Metrics,
        upstream::Kind,
    };

    fn fleet(provider: &str) -> Fleet {
        let config: Config = serde_json::from_value(serde_json::json!({
            "providers": { "p": { "protocol": "sim" }, "q": { "protocol": "sim" } },
            "models": { "a": { "provider": "p" }, "b": { "provider": provider } },
        }))
        .unwrap();
        Fleet::unheard(&config)
    }

    fn try_it(fleet: &Fleet, name: &str, outcome: Outcome) {
        let patient = fleet.patients().find(|patient| &*patient.name == name).unwrap();
        patient.admit(Kind::default(), false, Instant::now()).unwrap().over(outcome, None, Instant::now());
    }

    /// The calls of the last minutes, the current one first.
    fn calls(fleet: &Fleet, name: &str) -> Vec<u32> {
        let patient = fleet.patients().find(|patient| &*patient.name == name).unwrap();
        let minutes = patient.health.history(Instant::now());
        minutes[..4].iter().map(Minute::calls).collect()
    }

    #[tokio::test]
    async fn the_next_process_goes_on_with_what_was_written() {
        let hands = Arc::new(AtomicI64::new(1_795_262_400_000));
        let clock = Clock::of({
            let hands = Arc::clone(&hands);
            move || hands.load(Ordering::Relaxed)
        });
        let settings = config::Ledger { url: "sqlite::memory:".into(), ..config::Ledger::default() };
        let (ledger, _) = Ledger::open(&settings, &Metrics::new().unwrap(), clock.clone()).unwrap();
        let (mut diary, first) = (Diary::default(), fleet("q"));
        assert_eq!(diary.new_in(&first, &clock), [], "nothing has happened");
        try_it(&first, "a", Outcome::Ok);
        try_it(&first, "a", Outcome::ServerError);
        try_it(&first, "b", Outcome::Ok);
        diary.write(&first, &ledger, &clock).await;
        assert_eq!(diary.new_in(&first, &clock), [], "all of it is written");
        try_it(&first, "b", Outcome::RateLimited);
        diary.write(&first, &ledger, &clock).await;

        // Two minutes later.
        hands.fetch_add(120_000, Ordering::Relaxed);
        let second = fleet("q");
        Diary::recall(&second, &ledger, &clock).await;
        assert_eq!((calls(&second, "a"), calls(&second, "b")), (vec![0, 0, 2, 0], vec![0, 0, 2, 0]));
        // A name that means another provider's model now begins anew.
        let other = fleet("p");
        Diary::recall(&other, &ledger, &clock).await;
        assert_eq!((calls(&other, "a"), calls(&other, "b")), (vec![0, 0, 2, 0], vec![0; 4]));

        // A ledger that is gone is no reason to fail, and what was not written is new still.
        try_it(&second, "a", Outcome::Ok);
        ledger.close().await.unwrap();
        let mut diary = Diary::default();
        diary.write(&second, &ledger, &clock).await;
        assert_eq!(diary.new_in(&second, &clock).len(), 1);
    }
}
