//! How a breaker opens, probes, closes: U5 to U8.

use tokio::time::Instant;

use super::{Chance, answer, secs, seeds, stream};
use crate::{
    base::outcome::Outcome,
    config,
    health::{Cause, Force, Refused, State, Status, TargetHealth},
};

fn target() -> TargetHealth {
    TargetHealth::new(&config::Breaker::default())
}

/// Lets every try fail until the breaker opens; tells after how many.
fn break_it(health: &TargetHealth, now: Instant) -> usize {
    for tries in 1..=100 {
        let permit = health.try_admit(now, 0.0).unwrap();
        if answer(health, permit, Outcome::ServerError, now).is_some() {
            return tries;
        }
    }
    panic!("it never opened");
}

fn until(health: &TargetHealth, now: Instant) -> Instant {
    match health.standing(now).state {
        State::Open { until } => until,
        other => panic!("{other:?}"),
    }
}

/// Lets two probes succeed.
fn mend(health: &TargetHealth, now: Instant) {
    for _ in 0..2 {
        let permit = health.try_admit(now, 0.999).unwrap();
        assert!(permit.is_probe());
        answer(health, permit, Outcome::Ok, now);
    }
    assert_eq!(health.standing(now).state, State::Closed);
}

/// U5: 100 % failures: open after 5 outcomes (7 above 10 a second), then at most 6 tries in 60 s.
#[test]
fn a_total_outage_is_seen_at_once_and_left_alone() {
    for seed in seeds() {
        for rate in [0.5, 2.0, 5.0, 20.0, 50.0] {
            let mut chance = Chance::new(seed);
            let (health, mut now) = (target(), Instant::now());
            let outcome_at = |now, chance: &mut Chance, outcome| {
                let permit = health.try_admit(now, chance.draw()).ok()?;
                let report = stream(outcome, secs(0.2));
                Some(health.report(permit, &report, now, chance.draw()))
            };
            let healthy_until = now + secs(120.0);
            while now < healthy_until {
                now += chance.gap(rate);
                assert_eq!(outcome_at(now, &mut chance, Outcome::Ok), Some(None));
            }
            let mut seen = 0;
            loop {
                now += chance.gap(rate);
                seen += 1;
                if outcome_at(now, &mut chance, Outcome::ServerError).unwrap().is_some() {
                    break;
                }
            }
            let bound = if rate > 10.0 { 7 } else { 5 };
            assert!(seen <= bound, "seed {seed}, {rate}/s: seen after {seen}");
            let end = now + secs(60.0);
            let mut tries = 0;
            while now < end {
                now += chance.gap(rate);
                tries += usize::from(outcome_at(now, &mut chance, Outcome::ServerError).is_some());
            }
            assert!(tries <= 6, "seed {seed}, {rate}/s: {tries} tries in a minute");
        }
    }
}

/// U6: 50 % failures at 5 a second: open within 15 s. Chance alone may let one in twenty take longer, none 30 s.
#[test]
fn half_failing_opens_within_15_seconds() {
    let mut late = 0;
    for seed in seeds() {
        let mut chance = Chance::new(seed);
        let (health, begun) = (target(), Instant::now());
        let mut now = begun;
        loop {
            now += secs(0.2);
            let outcome = if chance.draw() < 0.5 { Outcome::ServerError } else { Outcome::Ok };
            let permit = health.try_admit(now, chance.draw()).unwrap();
            if answer(&health, permit, outcome, now).is_some() {
                break;
            }
            assert!(now - begun < secs(30.0), "seed {seed}");
        }
        late += u64::from(now - begun > secs(15.0));
    }
    println!("U6: {late} of {} seeds took longer than 15 s", seeds().end);
    assert!(late * 20 <= seeds().end, "{late} of {} seeds", seeds().end);
}

/// U6: 5 % failures at 20 a second for ten minutes: never opens.
#[test]
fn a_few_failures_do_not_open_it() {
    for seed in seeds() {
        let mut chance = Chance::new(seed);
        let (health, mut now) = (target(), Instant::now());
        for _ in 0..20 * 600 {
            now += secs(0.05);
            let outcome = if chance.draw() < 0.05 { Outcome::ServerError } else { Outcome::Ok };
            let permit = health.try_admit(now, chance.draw()).unwrap();
            assert_eq!(answer(&health, permit, outcome, now), None, "seed {seed}");
        }
    }
}

/// U7: after recovery the admitted share goes from 10 % to 100 % over 30 s.
#[test]
fn traffic_comes_back_slowly() {
    for seed in seeds() {
        let mut chance = Chance::new(seed);
        let (health, begun) = (target(), Instant::now());
        break_it(&health, begun);
        let closed = until(&health, begun);
        mend(&health, closed);
        let mut share = |second: f64| {
            let admitted = (0..4000).filter(|n| {
                let now = closed + secs(second + f64::from(*n) / 4000.0);
                match health.try_admit(now, chance.draw()) {
                    Ok(permit) => {
                        answer(&health, permit, Outcome::Ok, now);
                        true
                    }
                    Err(refused) => {
                        assert_eq!(refused, Refused::SlowStart);
                        false
                    }
                }
            });
            admitted.count() as f64 / 4000.0
        };
        let shares: Vec<f64> = (0..40).map(|second| share(f64::from(second))).collect();
        assert!((0.08..0.15).contains(&shares[0]), "seed {seed}: {shares:?}");
        assert!((0.5..0.63).contains(&shares[15]), "seed {seed}: {shares:?}");
        let full = shares.iter().position(|share| *share == 1.0).unwrap();
        assert!((25..=35).contains(&full), "seed {seed}: full after {full} s");
    }
}

/// U8: after `retry-after: 7` no try before 7 s, the first by 8.5 s; the breaker stays closed.
#[test]
fn a_rate_limit_is_kept_to_the_second() {
    for seed in seeds() {
        let mut chance = Chance::new(seed);
        let (health, begun) = (target(), Instant::now());
        let limited = |hint, now, draw| {
            let permit = health.try_admit(now, 0.0);
            // A second one was under way already.
            let other = permit.unwrap();
            let report = crate::health::Report { hint, ..stream(Outcome::RateLimited, secs(0.1)) };
            assert_eq!(health.report(other, &report, now, draw), None);
        };
        let late = health.try_admit(begun, 0.0).unwrap();
        limited(Some(secs(7.0)), begun, chance.draw());
        // A later, shorter hint does not shorten it.
        let shorter =
            crate::health::Report { hint: Some(secs(1.0)), ..stream(Outcome::RateLimited, secs(0.1)) };
        assert_eq!(health.report(late, &shorter, begun + secs(0.5), chance.draw()), None);
        let mut now = begun;
        let first = loop {
            now += chance.gap(50.0);
            match health.try_admit(now, chance.draw()) {
                Ok(permit) => {
                    answer(&health, permit, Outcome::Ok, now);
                    break now - begun;
                }
                Err(refused) => assert!(matches!(refused, Refused::Limited { .. })),
            }
            assert!(health.last_resort(now).is_err());
        };
        assert!((secs(7.0)..secs(8.5)).contains(&first), "seed {seed}: {first:?}");
        assert_eq!(health.standing(now).state, State::Closed);
    }
}

#[test]
fn rate_limits_alone_never_open_it_nor_close_it() {
    let (health, mut now) = (target(), Instant::now());
    for _ in 0..1000 {
        now += secs(0.01);
        if let Ok(permit) = health.try_admit(now, 0.5) {
            assert_eq!(answer(&health, permit, Outcome::RateLimited, now), None);
        }
    }
    assert_eq!(health.standing(now).state, State::Closed);
    now += secs(300.0);
    break_it(&health, now);
    for _ in 0..5 {
        now = until(&health, now).max(health.standing(now).free_at().unwrap());
        let permit = health.try_admit(now, 0.5).unwrap();
        assert!(permit.is_probe());
        answer(&health, permit, Outcome::RateLimited, now);
        assert_eq!(health.standing(now).state, State::HalfOpen);
        now += secs(100.0);
        let permit = health.try_admit(now, 0.5).unwrap();
        assert!(answer(&health, permit, Outcome::Timeout, now).is_some());
    }
}

#[test]
fn each_opening_is_longer_until_minutes_of_calm_forgive_it() {
    let (health, mut now) = (target(), Instant::now());
    break_it(&health, now);
    let mut spans = Vec::new();
    for _ in 0..9 {
        let until = until(&health, now);
        spans.push((until - now).as_secs());
        now = until;
        let permit = health.try_admit(now, 0.5).unwrap();
        answer(&health, permit, Outcome::ConnectError, now);
    }
    assert_eq!(spans, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
    now = until(&health, now);
    mend(&health, now);
    // Ten openings less eight minutes: the next is the third.
    now += secs(8.5 * 60.0);
    break_it(&health, now);
    assert_eq!((until(&health, now) - now).as_secs(), 20);
}

#[test]
fn opening_is_spread_by_a_fifth() {
    for (draw, span) in [(0.0, 4.0), (0.5, 5.0), (0.75, 5.5)] {
        let (health, now) = (target(), Instant::now());
        for _ in 0..5 {
            let permit = health.try_admit(now, 0.0).unwrap();
            health.report(permit, &stream(Outcome::ServerError, secs(0.1)), now, draw);
        }
        assert_eq!(until(&health, now) - now, secs(span));
    }
}

#[test]
fn answers_that_become_slow_open_it() {
    let (health, begun) = (target(), Instant::now());
    let answered = |took, second: u64| {
        let now = begun + secs(second as f64);
        let permit = health.try_admit(now, 0.0).unwrap();
        health.report(permit, &stream(Outcome::Ok, secs(took)), now, 0.5)
    };
    assert!((0..200).all(|second| answered(0.5, second).is_none()));
    // Over 3 s is a brown-out, no outage.
    assert!((200..300).all(|second| answered(3.5, second).is_none()));
    let opened = (300..400).find_map(|second| answered(15.0, second).map(|step| (second, step)));
    let (second, step) = opened.unwrap();
    assert!(matches!(step.cause, Cause::Slow { .. }), "{step:?}");
    assert!(second < 330, "{second}");
}

#[test]
fn a_lost_probe_frees_its_place_when_its_lease_is_over() {
    let (health, now) = (target(), Instant::now());
    break_it(&health, now);
    let now = until(&health, now);
    let lost = health.try_admit(now, 0.5).unwrap();
    let step = lost.transition().unwrap();
    assert_eq!((step.to, step.cause), (State::HalfOpen, Cause::TimeIsUp));
    let later = now + secs(59.9);
    assert_eq!(health.try_admit(later, 0.0).unwrap_err(), Refused::Probing { until: now + secs(60.0) });
    let next = health.try_admit(now + secs(60.0), 0.5).unwrap();
    // It was late, not lost: it counts, and does not give back the place of the other.
    answer(&health, lost, Outcome::Ok, now + secs(61.0));
    assert!(health.try_admit(now + secs(61.0), 0.0).is_err());
    let closed = answer(&health, next, Outcome::Ok, now + secs(62.0)).unwrap();
    assert_eq!((closed.to, closed.cause), (State::Closed, Cause::ProbesSucceeded));
}

#[test]
fn what_began_before_a_change_does_not_count_after_it() {
    let (health, now) = (target(), Instant::now());
    let early: Vec<_> = (0..100).map(|_| health.try_admit(now, 0.0).unwrap()).collect();
    break_it(&health, now);
    let now = until(&health, now);
    mend(&health, now);
    for permit in early {
        assert_eq!(answer(&health, permit, Outcome::ServerError, now), None);
    }
    assert_eq!(health.standing(now).success, 1.0);
    assert_eq!(health.history(now)[0].failed, 105);
}

#[test]
fn a_single_target_that_is_open_gets_one_request_a_second() {
    let (health, begun) = (target(), Instant::now());
    break_it(&health, begun);
    let mut made = 0;
    for tenth in 0..600_u32 {
        let now = begun + secs(f64::from(tenth) / 10.0);
        if let Ok(permit) = health.last_resort(now) {
            made += 1;
            answer(&health, permit, Outcome::ServerError, now);
        }
    }
    assert!((50..=60).contains(&made), "{made}");
    // Once it answers again two of them close it.
    let now = begun + secs(61.0);
    let first = health.last_resort(now).unwrap();
    answer(&health, first, Outcome::Ok, now);
    let second = health.last_resort(now + secs(1.0)).unwrap();
    answer(&health, second, Outcome::Ok, now + secs(1.0));
    assert_eq!(health.standing(now + secs(1.0)).state, State::Closed);
}

#[test]
fn an_unknown_model_rests_and_a_success_ends_that() {
    let (health, now) = (target(), Instant::now());
    let permit = health.try_admit(now, 0.0).unwrap();
    answer(&health, permit, Outcome::ModelUnknown, now);
    assert_eq!(health.standing(now).last_error, Some(Outcome::ModelUnknown));
    let rests = Refused::Resting { until: now + secs(300.0) };
    assert_eq!(health.try_admit(now + secs(299.0), 0.0).unwrap_err(), rests);
    let permit = health.last_resort(now).unwrap();
    assert!(health.last_resort(now + secs(0.9)).is_err());
    answer(&health, permit, Outcome::Ok, now + secs(0.9));
    assert!(health.try_admit(now + secs(0.9), 0.0).is_ok());
}

#[test]
fn an_operator_takes_a_target_out_and_back() {
    let (health, now) = (target(), Instant::now());
    let step = health.force(Force::Open, now).unwrap();
    assert_eq!((step.from, step.to, step.cause), (State::Closed, State::Out, Cause::Operator));
    assert_eq!(health.force(Force::Open, now), None);
    assert_eq!(health.try_admit(now, 0.0).unwrap_err(), Refused::Out);
    assert_eq!(health.last_resort(now).unwrap_err(), Refused::Out);
    assert_eq!(health.standing(now).status, Status::Failed);
    assert!(health.force(Force::Close, now).is_some());
    assert!(health.try_admit(now, 0.999).is_ok());
    break_it(&health, now);
    assert!(health.force(Force::Reset, now).is_some());
    assert!(health.try_admit(now, 0.999).is_ok());
    assert_eq!((break_it(&health, now), (until(&health, now) - now).as_secs()), (5, 5));
}

#[test]
fn switched_off_it_never_opens_yet_keeps_limits() {
    let off = config::Breaker { enabled: false, ..config::Breaker::default() };
    let (health, now) = (target(), Instant::now());
    break_it(&health, now);
    assert_eq!(health.configure(&off).unwrap().cause, Cause::SwitchedOff);
    for _ in 0..100 {
        let permit = health.try_admit(now, 0.999).unwrap();
        assert_eq!(answer(&health, permit, Outcome::ConnectError, now), None);
    }
    assert_eq!(health.standing(now).status, Status::Degraded);
    let permit = health.try_admit(now, 0.0).unwrap();
    answer(&health, permit, Outcome::RateLimited, now);
    assert!(matches!(health.try_admit(now, 0.0), Err(Refused::Limited { .. })));
}

#[test]
fn the_score_shows_what_is_wrong() {
    let (health, now) = (target(), Instant::now());
    for outcome in [Outcome::Ok, Outcome::Ok, Outcome::ServerError, Outcome::ServerError] {
        let permit = health.try_admit(now, 0.0).unwrap();
        answer(&health, permit, outcome, now);
    }
    let standing = health.standing(now);
    assert_eq!((standing.status, standing.success), (Status::Degraded, 0.75));
    let score = standing.score(true, Some(secs(0.1)), Some(0.05));
    assert!((score.t - 0.5).abs() < 1e-9 && score.q == 0.5, "{score:?}");
    assert!((score.h - 0.75 * 0.75 * 0.5 * 0.5).abs() < 1e-9, "{score:?}");
}
