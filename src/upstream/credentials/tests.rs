//! The turns of credentials in virtual time.

use std::collections::HashSet;

use proptest::prelude::*;

use super::{ring::Trial, *};
use crate::{
    metrics::Metrics,
    provider::quota::{Left, Quota},
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// A ring in virtual time.
struct Bench {
    ring: Ring,
    now: Instant,
}

impl Bench {
    fn new(n: usize) -> Self {
        Self { ring: Ring::new(n, true), now: Instant::now() }
    }

    fn pass(&mut self, span: Duration) {
        self.now += span;
    }

    /// All credentials that may be used for a model, in turn, given back.
    fn usable(&mut self, model: &str) -> Vec<usize> {
        let mut turn = Turn::default();
        let picks: Vec<Pick> = std::iter::from_fn(|| self.ring.next(&mut turn, model, self.now)).collect();
        picks.iter().for_each(|pick| self.ring.give_back(*pick, model));
        picks.iter().map(|pick| pick.slot).collect()
    }

    fn report(
        &mut self,
        slot: usize,
        model: &str,
        outcome: Outcome,
        hint: Option<Duration>,
    ) -> Option<Change> {
        let pick = Pick { slot, trial: Trial::default() };
        self.ring.report(pick, &Arc::from(model), (outcome, hint), self.now, 0.0)
    }

    fn event(&mut self, slot: usize, model: &str, outcome: Outcome) -> Option<Event> {
        self.report(slot, model, outcome, None).map(|change| change.event)
    }

    fn saw(&mut self, slot: usize, model: &str, share: f64, spent_for: Option<Duration>) -> Option<Change> {
        let quota = Quota { left: Some(Left { share, resets_in: MINUTE }), spent_for };
        let pick = Pick { slot, trial: Trial::default() };
        self.ring.saw(pick, &Arc::from(model), &quota, self.now, 0.0)
    }

    /// Why a model may not be asked, and for how long.
    fn shut(&self, model: &str) -> Option<(Outcome, Duration)> {
        match self.ring.standing(model, self.now) {
            Standing::Usable => None,
            Standing::Shut(shut) => Some((shut.why, shut.until - self.now)),
        }
    }
}

#[test]
fn each_has_its_turn_and_the_usable_ones_share_alike() {
    let mut bench = Bench::new(3);
    let now = bench.now;
    let mut first = || bench.ring.next(&mut Turn::default(), "m", now).unwrap().slot;
    assert_eq!([first(), first(), first(), first()], [0, 1, 2, 0]);
    bench.report(1, "m", Outcome::RateLimited, Some(MINUTE));
    let mut first = || bench.ring.next(&mut Turn::default(), "m", now).unwrap().slot;
    assert_eq!([first(), first(), first(), first()], [2, 0, 2, 0]);
}

#[test]
fn a_rate_limit_belongs_to_one_credential_and_one_model() {
    let mut bench = Bench::new(2);
    let change = bench.report(0, "m", Outcome::RateLimited, Some(7 * SECOND)).unwrap();
    assert_eq!(
        (change.event, change.all_models, change.until - bench.now),
        (Event::Limited, false, 7 * SECOND)
    );
    assert_eq!(bench.usable("m"), [1]);
    assert_eq!(bench.usable("other").len(), 2);
    assert_eq!(bench.shut("m"), None);
    // U8: a later shorter hint does not shorten it, and is no transition.
    bench.pass(SECOND);
    assert_eq!(bench.report(0, "m", Outcome::RateLimited, Some(SECOND)), None);
    bench.report(1, "m", Outcome::RateLimited, Some(30 * SECOND));
    assert_eq!(bench.shut("m"), Some((Outcome::RateLimited, 6 * SECOND)));
    bench.pass(6 * SECOND - Duration::from_nanos(1));
    assert!(bench.usable("m").is_empty());
    bench.pass(Duration::from_nanos(1));
    assert_eq!(bench.usable("m"), [0]);
}

#[test]
fn one_without_money_rests_for_all_models() {
    let mut bench = Bench::new(2);
    let change = bench.report(0, "m", Outcome::QuotaExhausted, None).unwrap();
    assert_eq!((change.event, change.all_models), (Event::Rests, true));
    assert_eq!(bench.event(0, "m", Outcome::QuotaExhausted), None);
    assert_eq!(bench.usable("other"), [1]);
    bench.report(1, "m", Outcome::QuotaExhausted, None);
    assert_eq!(bench.shut("other"), Some((Outcome::QuotaExhausted, 15 * MINUTE)));
    // A limit that is over sooner is what a client should hear of.
    bench.pass(15 * MINUTE);
    assert_eq!(bench.usable("m").len(), 2);
    assert_eq!(bench.event(0, "m", Outcome::Ok), Some(Event::Back));
    assert_eq!(bench.event(0, "m", Outcome::Ok), None);
}

#[test]
fn two_refusals_in_a_row_put_one_out_until_it_shows_itself() {
    let mut bench = Bench::new(2);
    assert_eq!(bench.event(0, "m", Outcome::CredentialRejected), None);
    assert_eq!(bench.event(0, "m", Outcome::Ok), None);
    assert_eq!(bench.event(0, "m", Outcome::CredentialRejected), None);
    // What says nothing of the credential lies between two refusals without making them two rows.
    assert_eq!(bench.event(0, "m", Outcome::ServerError), None);
    assert_eq!(bench.event(0, "m", Outcome::CredentialRejected), Some(Event::Out));
    assert_eq!(bench.event(0, "m", Outcome::CredentialRejected), None, "it is told once");
    assert_eq!((bench.usable("m"), bench.usable("other")), (vec![1], vec![1]));
    bench.pass(15 * MINUTE);
    let mut turn = Turn::default();
    let now = bench.now;
    let picks: Vec<Pick> = std::iter::from_fn(|| bench.ring.next(&mut turn, "m", now)).collect();
    let trial = *picks.iter().find(|pick| pick.trial.own).unwrap();
    assert_eq!(trial.slot, 0);
    assert_eq!(bench.usable("m"), [1], "only one try at a time shows it");
    bench.ring.give_back(trial, "m");
    assert_eq!(bench.usable("m").len(), 2, "one that showed nothing does not count");
    assert_eq!(bench.event(0, "m", Outcome::CredentialRejected), Some(Event::StaysOut));
    assert_eq!(bench.usable("m"), [1]);
    bench.pass(15 * MINUTE);
    assert_eq!(bench.event(0, "m", Outcome::Ok), Some(Event::Back));
    assert_eq!(bench.usable("m").len(), 2);
}

#[test]
fn a_missing_grant_is_about_one_model() {
    let mut bench = Bench::new(1);
    bench.report(0, "m", Outcome::Forbidden, None);
    let change = bench.report(0, "m", Outcome::Forbidden, None).unwrap();
    assert_eq!((change.event, change.all_models), (Event::Out, false));
    assert_eq!(bench.shut("m"), Some((Outcome::Forbidden, 15 * MINUTE)));
    assert_eq!(bench.shut("other"), None);
}

#[test]
fn without_keys_a_refusal_is_about_one_model() {
    let mut bench = Bench { ring: Ring::new(1, false), now: Instant::now() };
    for _ in 0..2 {
        bench.report(0, "m", Outcome::CredentialRejected, None);
    }
    bench.report(0, "n", Outcome::QuotaExhausted, None);
    assert_eq!(bench.shut("m"), Some((Outcome::CredentialRejected, 15 * MINUTE)));
    assert_eq!(bench.shut("n"), Some((Outcome::QuotaExhausted, 15 * MINUTE)));
    assert_eq!(bench.shut("other"), None);
}

#[test]
fn a_pardon_is_for_refusals_and_empty_purses_not_for_limits() {
    let mut bench = Bench::new(4);
    for _ in 0..2 {
        bench.report(0, "m", Outcome::CredentialRejected, None);
        bench.report(1, "m", Outcome::Forbidden, None);
    }
    bench.report(2, "m", Outcome::QuotaExhausted, None);
    bench.report(3, "m", Outcome::RateLimited, None);
    assert_eq!(bench.shut("m"), Some((Outcome::RateLimited, SECOND)), "the soonest that is known");
    bench.ring.pardon();
    assert_eq!(bench.usable("m"), [0, 1, 2]);
}

#[test]
fn a_quota_is_used_up_before_it_is_overdrawn() {
    let mut bench = Bench::new(2);
    assert_eq!(bench.ring.left("m", bench.now), None);
    assert_eq!(bench.saw(0, "m", 0.05, None), None);
    assert_eq!(bench.ring.left("m", bench.now), None, "the other one has said nothing");
    bench.saw(1, "m", 0.5, None);
    assert_eq!(bench.ring.left("m", bench.now), Some(0.5));
    let change = bench.saw(1, "m", 0.0, Some(9 * SECOND)).unwrap();
    assert_eq!((change.event, change.until - bench.now), (Event::Limited, 9 * SECOND));
    assert_eq!((bench.usable("m"), bench.ring.left("m", bench.now)), (vec![0], Some(0.05)));
    // The answer that told it is no reason to open again.
    bench.report(1, "m", Outcome::Ok, None);
    assert_eq!(bench.usable("m"), [0]);
    bench.pass(MINUTE);
    assert_eq!(bench.ring.left("m", bench.now), None, "that is too old to be believed");
}

#[test]
fn names_that_clients_choose_are_forgotten() {
    let mut bench = Bench::new(1);
    bench.report(0, "kept", Outcome::RateLimited, Some(300 * SECOND));
    for number in 0..10_000 {
        bench.report(0, &format!("pinned-{number}"), Outcome::RateLimited, Some(100 * SECOND));
    }
    assert!(bench.ring.slot(0).models() <= 256);
    assert!(bench.shut("kept").is_some() && bench.shut("pinned-9999").is_some());
}

fn credentials(keys: &[&str]) -> Credentials {
    let metrics = Metrics::new().unwrap();
    let one = |(at, key): (usize, &&str)| {
        let place = format!("api_keys[{at}]");
        let metrics = metrics.credential("p", &place);
        Credential { secret: Some(Secret::new(*key)), place: place.into(), metrics }
    };
    let bell = Bell::unheard(&metrics);
    Credentials::new(&"p".into(), keys.iter().enumerate().map(one).collect(), bell)
}

#[tokio::test(start_paused = true)]
async fn what_is_lent_and_dropped_leaves_no_mark() {
    let (credentials, model) = (credentials(&["a"]), Arc::from("m"));
    let next = || credentials.next(&mut Turn::default(), &model, Instant::now());
    for _ in 0..2 {
        next().unwrap().failed(&Failure::of(Outcome::CredentialRejected, ""));
    }
    assert!(next().is_none());
    tokio::time::advance(15 * MINUTE).await;
    let lent = next().unwrap();
    assert!(next().is_none());
    drop(lent);
    next().unwrap().answered();
    assert_eq!(credentials.standing("m", Instant::now()), Standing::Usable);
}

#[tokio::test(start_paused = true)]
async fn a_key_keeps_its_limits_under_other_settings() {
    let (before, model) = (credentials(&["a", "b"]), Arc::from("m"));
    let limited = Failure { retry_after: Some(MINUTE), ..Failure::of(Outcome::RateLimited, "") };
    before.next(&mut Turn::default(), &model, Instant::now()).unwrap().failed(&limited);
    let after = credentials(&["new", "a"]);
    after.inherit(&before);
    let mut turn = Turn::default();
    let keys: Vec<_> = std::iter::from_fn(|| after.next(&mut turn, &model, Instant::now()))
        .map(|lent| lent.key().unwrap().expose().to_owned())
        .collect();
    assert_eq!(keys, ["new"]);
}

const OUTCOMES: [Outcome; 6] = [
    Outcome::Ok,
    Outcome::RateLimited,
    Outcome::QuotaExhausted,
    Outcome::CredentialRejected,
    Outcome::Forbidden,
    Outcome::ServerError,
];

proptest! {
    /// Whatever happens in whatever order: some credential is given out exactly when one may be used, each once a
    /// turn, never two on trial, and after long enough all may be used again.
    #[test]
    fn it_is_never_stuck(
        n in 1_usize..4,
        steps in prop::collection::vec((0_u64..400_000, 0_usize..7, prop::option::of(0_u64..9000), any::<bool>()), 1..80),
    ) {
        let mut bench = Bench::new(n);
        let model: Arc<str> = "m".into();
        let mut open: Vec<Pick> = Vec::new();
        for (pause, end, hint, take) in steps {
            bench.pass(Duration::from_millis(pause));
            if take {
                let (mut turn, mut seen) = (Turn::default(), HashSet::new());
                let usable = bench.ring.standing("m", bench.now) == Standing::Usable;
                let before = open.len();
                while let Some(pick) = bench.ring.next(&mut turn, "m", bench.now) {
                    prop_assert!(seen.insert(pick.slot));
                    open.push(pick);
                }
                prop_assert_eq!(usable, open.len() > before);
            }
            for slot in 0..n {
                let trials = |which: fn(&Pick) -> bool| open.iter().filter(|pick| pick.slot == slot && which(pick)).count();
                prop_assert!(trials(|pick| pick.trial.own) <= 1 && trials(|pick| pick.trial.model) <= 1);
            }
            if !open.is_empty() {
                let pick = open.remove(end % open.len());
                match OUTCOMES.get(end) {
                    Some(outcome) => {
                        let hint = hint.map(Duration::from_millis);
                        let _ = bench.ring.report(pick, &model, (*outcome, hint), bench.now, 0.5);
                    }
                    None => bench.ring.give_back(pick, "m"),
                }
            }
        }
        open.iter().for_each(|pick| bench.ring.give_back(*pick, "m"));
        bench.pass(20 * MINUTE);
        prop_assert_eq!(bench.usable("m").len(), n);
    }
}
