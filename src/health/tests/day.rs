//! A simulated day of three providers, each with its troubles.

use std::{cmp::Ordering, collections::BinaryHeap, fmt, time::Duration};

use tokio::time::Instant;

use super::{Chance, Permit, Report, TargetHealth, chain::pick, secs, seeds, stream};
use crate::{base::outcome::Outcome, config};

/// Requests a second.
const RATE: f64 = 0.5;
const HOUR: f64 = 3600.0;
const DAY: f64 = 24.0 * HOUR;

/// Which targets a request may have, and how it is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Policy {
    /// All three, by their health.
    Weir,
    /// The first one, once.
    NoFallback,
    /// The first one, with three retries after 0.5, 1, 2 s, as client libraries do.
    ThreeRetries,
}

/// What a provider does with a try that begins at a second of the day.
fn script(provider: usize, second: f64, chance: &mut Chance) -> Report {
    let within = |from: f64, to: f64| (from * HOUR..to * HOUR).contains(&second);
    let usual = secs(0.25 + chance.gap(4.0).as_secs_f64());
    let trouble = match provider {
        // An outage of 45 minutes; half of the tries are refused, the others end in a 500.
        0 if within(3.0, 3.75) => {
            let outcome = if chance.draw() < 0.5 { Outcome::ConnectError } else { Outcome::ServerError };
            return stream(outcome, secs(0.05));
        }
        // A spike of rate limits: 12 % for two hours, with a delay of 2 s.
        0 if within(8.0, 10.0) && chance.draw() < 0.12 => {
            return Report { hint: Some(secs(2.0)), ..stream(Outcome::RateLimited, secs(0.05)) };
        }
        // A brown-out: for an hour everything takes more than 3 s.
        0 if within(13.0, 14.0) => return stream(Outcome::Ok, secs(3.0) + usual),
        // The key expired; after an hour somebody sees the alert.
        0 if within(18.0, 19.0) => return stream(Outcome::CredentialRejected, secs(0.05)),
        // The others are no better than usual: half a percent of errors, some silent.
        _ => chance.draw(),
    };
    match trouble {
        0.0..0.004 => stream(Outcome::ServerError, usual),
        0.004..0.005 => stream(Outcome::Timeout, secs(60.0)),
        _ => stream(Outcome::Ok, usual),
    }
}

/// A try under way, by the moment of its end.
struct Try {
    ends: Instant,
    request: usize,
    provider: usize,
    permit: Option<Permit>,
    report: Report,
}

impl PartialEq for Try {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Try {}
impl PartialOrd for Try {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Try {
    /// The heap gives the largest first: that is the one that ends first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.ends, other.request).cmp(&(self.ends, self.request))
    }
}

#[derive(Clone, Default)]
struct Request {
    tried: [bool; 3],
    repeats: u32,
}

/// What came of a day.
#[derive(Clone, Copy, Default)]
struct Figures {
    requests: usize,
    answered: usize,
    tries: usize,
}

impl Figures {
    fn answered(&self) -> f64 {
        self.answered as f64 / self.requests as f64
    }

    fn tries(&self) -> f64 {
        self.tries as f64 / self.requests as f64
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (share, tries) = (self.answered() * 100.0, self.tries());
        let missed = self.requests - self.answered;
        write!(f, "{share:.3} % of {} requests answered ({missed} not), {tries:.3} tries each", self.requests)
    }
}

struct Day {
    policy: Policy,
    targets: Vec<TargetHealth>,
    begun: Instant,
    chance: Chance,
    under_way: BinaryHeap<Try>,
    requests: Vec<Request>,
    /// How often the first one's key was refused: after the second time it is not used.
    refusals: u32,
    figures: Figures,
}

impl Day {
    fn run(policy: Policy, seed: u64) -> Figures {
        let settings = config::Breaker::default();
        let begun = Instant::now();
        let mut day = Self {
            policy,
            targets: (0..3).map(|_| TargetHealth::new(&settings)).collect(),
            begun,
            chance: Chance::new(seed),
            under_way: BinaryHeap::new(),
            requests: Vec::new(),
            refusals: 0,
            figures: Figures::default(),
        };
        let mut next = begun + day.chance.gap(RATE);
        while next < begun + secs(DAY) || !day.under_way.is_empty() {
            let first = day.under_way.peek().map(|attempt| attempt.ends);
            if next < begun + secs(DAY) && first.is_none_or(|ends| next < ends) {
                day.requests.push(Request::default());
                day.figures.requests += 1;
                day.start(day.requests.len() - 1, next);
                next += day.chance.gap(RATE);
            } else if let Some(attempt) = day.under_way.pop() {
                day.end(attempt);
            }
        }
        day.figures
    }

    /// Begins the next try of a request, if there is one.
    fn start(&mut self, request: usize, now: Instant) {
        let second = (now - self.begun).as_secs_f64();
        if second >= 19.0 * HOUR {
            self.refusals = 0;
        }
        let (provider, permit) = match self.policy {
            Policy::Weir => {
                let mut tried = self.requests[request].tried;
                tried[0] |= self.refusals >= 2;
                match pick(&self.targets, &tried, now, &mut self.chance) {
                    Some((provider, permit)) => (provider, Some(permit)),
                    None => return,
                }
            }
            Policy::NoFallback | Policy::ThreeRetries => (0, None),
        };
        self.requests[request].tried[provider] = true;
        self.figures.tries += 1;
        let report = script(provider, second, &mut self.chance);
        self.under_way.push(Try { ends: now + report.elapsed, request, provider, permit, report });
    }

    fn end(&mut self, attempt: Try) {
        let Try { ends, request, provider, permit, report } = attempt;
        let outcome = report.outcome;
        if let Some(permit) = permit {
            let draw = self.chance.draw();
            self.targets[provider].report(permit, &report, ends, draw);
        }
        self.refusals += u32::from(outcome == Outcome::CredentialRejected);
        if outcome == Outcome::Ok {
            self.figures.answered += 1;
            return;
        }
        match self.policy {
            Policy::Weir => self.start(request, ends),
            Policy::NoFallback => {}
            Policy::ThreeRetries => {
                let repeats = self.requests[request].repeats;
                if repeats < 3 && outcome != Outcome::CredentialRejected {
                    self.requests[request].repeats += 1;
                    self.start(request, ends + Duration::from_millis(500 << repeats));
                }
            }
        }
    }
}

#[test]
fn a_bad_day_is_hardly_noticed() {
    let mut all = Figures::default();
    for seed in seeds() {
        let figures = Day::run(Policy::Weir, seed);
        assert!(figures.answered() >= 0.9997, "seed {seed}: {figures}");
        assert!(figures.tries() <= 1.1, "seed {seed}: {figures}");
        all.requests += figures.requests;
        all.answered += figures.answered;
        all.tries += figures.tries;
    }
    let (once, thrice) = (Day::run(Policy::NoFallback, 0), Day::run(Policy::ThreeRetries, 0));
    println!("{} days with Weir: {all}", seeds().end);
    println!("a day without fallback: {once}");
    println!("a day with three retries: {thrice}");
    assert!(once.answered() < 0.95 && thrice.answered() < 0.97, "the day was not bad: {once}; {thrice}");
}
