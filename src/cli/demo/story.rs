//! What happens in the demo, chapter by chapter.

use std::time::Duration;

/// A chapter.
#[derive(Clone, Copy, Debug)]
pub struct Chapter {
    /// Its title.
    pub title: &'static str,
    /// What is about to be seen, a line each.
    pub lead: &'static [&'static str],
    /// How long it lasts at least, at the usual speed.
    pub length: Duration,
    /// What has to be seen before it ends, as far as that comes in time.
    pub until: &'static [Sight],
    /// Who asks, each with a weight.
    pub askers: &'static [(Asker, u32)],
    /// The provider that is in trouble, with what ails it.
    pub trouble: Option<(&'static str, Trouble)>,
    /// Whether a crowd asks the same at one moment.
    pub crowd: bool,
    /// Whether it is told in the first round only.
    pub once: bool,
}

/// What a chapter is there to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// A breaker opened.
    Opened,
    /// A breaker closed again.
    Closed,
    /// A provider asked for a pause.
    Limited,
    /// A kept answer was given.
    Kept,
    /// Several got the answer of one call.
    Shared,
    /// A request was answered by a cheaper route, as its budget is spent.
    Downgraded,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// Anybody, of `auto`.
    Anybody,
    /// With a simple question, of `auto`.
    Simple,
    /// With a hard question, of `auto`.
    Hard,
    /// An application that names the route `standard`.
    Application,
    /// With one of a few questions that come again and again.
    Regular,
    /// The research team, of its own route.
    Research,
}

/// What ails a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It answers 503 to all.
    Down,
    /// One answer in four begins very late.
    Stalls,
    /// It asks everybody to come back later.
    Busy,
}

impl Trouble {
    /// The fault of the simulated provider, at so many times the usual speed.
    pub fn fault(self, speed: f64) -> String {
        let ms = |usual: f64| (usual / speed).ceil();
        match self {
            Self::Down => "status=503".to_owned(),
            Self::Stalls => format!("first_token={}ms,rate=0.25", ms(5000.0)),
            Self::Busy => format!("status=429,retry-after-ms={}", ms(4000.0)),
        }
    }
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const CALM: Chapter = Chapter {
    title: "a calm day",
    lead: &[
        "Clients ask `model: \"auto\"`: each question goes to the cheapest model that will do,",
        "easy ones to tiny, harder ones to medium or deep. Saved is what grand would have cost more.",
    ],
    length: seconds(15),
    until: &[],
    askers: &[(Asker::Anybody, 3), (Asker::Application, 1)],
    trouble: None,
    crowd: false,
    once: false,
};

/// The chapters in their order.
pub const STORY: [Chapter; 7] = [
    CALM,
    Chapter {
        title: "an outage",
        lead: &["The provider flaky answers 503 to everything from now on. Clients should not notice."],
        length: seconds(14),
        until: &[Sight::Opened],
        askers: &[(Asker::Anybody, 1), (Asker::Application, 2)],
        trouble: Some(("flaky", Trouble::Down)),
        ..CALM
    },
    Chapter {
        title: "the way back",
        lead: &["flaky is well again. Single requests find that out, before the crowd may come back."],
        length: seconds(14),
        until: &[Sight::Closed],
        askers: &[(Asker::Anybody, 1), (Asker::Application, 2)],
        ..CALM
    },
    Chapter {
        title: "a slow spell",
        lead: &[
            "One answer in four of the provider slow takes 5 s to begin. A stream that is silent for 1 s gets",
            "a second model beside it; whoever speaks first is heard, at most one request in ten has one.",
        ],
        length: seconds(15),
        askers: &[(Asker::Anybody, 1), (Asker::Hard, 2)],
        trouble: Some(("slow", Trouble::Stalls)),
        ..CALM
    },
    Chapter {
        title: "a rate limit",
        lead: &[
            "The provider limited answers 429 with `retry-after: 4`. It gets its pause; its traffic moves.",
        ],
        length: seconds(12),
        until: &[Sight::Limited],
        askers: &[(Asker::Anybody, 1), (Asker::Simple, 2)],
        trouble: Some(("limited", Trouble::Busy)),
        ..CALM
    },
    Chapter {
        title: "the same questions",
        lead: &["Twenty clients ask the same at one moment; regulars ask what was answered before."],
        length: seconds(12),
        until: &[Sight::Shared, Sight::Kept],
        askers: &[(Asker::Regular, 2), (Asker::Anybody, 1)],
        crowd: true,
        ..CALM
    },
    Chapter {
        title: "a budget",
        lead: &[
            "The research team asks grand for everything, with $0.10 a day. The configuration keeps the last fifth of",
            "it for cheap answers (`downgrade_from = 0.8`, `on_exceeded = \"downgrade:budget\"`): no error.",
        ],
        length: seconds(16),
        until: &[Sight::Downgraded],
        askers: &[(Asker::Anybody, 1), (Asker::Research, 2)],
        once: true,
        ..CALM
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::Fault;

    #[test]
    fn every_trouble_is_a_fault_of_the_simulated_provider() {
        for (provider, trouble) in STORY.iter().filter_map(|chapter| chapter.trouble) {
            for speed in [1.0, 7.0] {
                let fault: Fault = trouble.fault(speed).parse().unwrap();
                assert!(fault.ending.is_some() || fault.pace.first_token.is_some(), "{provider}");
            }
        }
        assert_eq!(Trouble::Busy.fault(8.0), "status=429,retry-after-ms=500");
    }

    #[test]
    fn the_story_is_told_in_two_minutes() {
        let length: Duration = STORY.iter().map(|chapter| chapter.length).sum();
        assert!(length < seconds(110), "{length:?}");
    }
}
