//! What is said of what happens in the demo.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use super::{
    client::Met,
    screen::{Line, Tone},
    story::{Asker, Sight},
};
use crate::{
    base::money::Nanos,
    config::{HedgeAfter, Route},
    news::Event,
};

/// How often one kind of thing is told in a chapter; the rest is only counted.
const OFTEN: u32 = 2;

/// An answer that took longer to begin was not kept from before.
const KEPT: Duration = Duration::from_millis(50);
/// How much of a question is shown, in characters.
const SHOWN: usize = 48;

/// How a target stands, as far as the commentary looks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Look {
    /// The target.
    pub model: String,
    /// Its provider.
    pub provider: String,
    /// Its breaker: `closed`, `half_open`, `open`, `out`.
    pub breaker: &'static str,
    /// How long its provider still wants to be left alone.
    pub pause: Option<Duration>,
}

/// A target that others answer for.
#[derive(Debug)]
struct Detour {
    since: Duration,
    /// How many requests each other one has answered.
    to: BTreeMap<String, u64>,
    problems: u64,
    told: bool,
}

/// Knows what was said, so that each thing is said once.
#[derive(Debug, Default)]
pub struct Commentary {
    /// The first target of each route.
    firsts: HashMap<String, String>,
    /// The routes that start a second target beside a silent one.
    hedging: HashSet<String>,
    looks: HashMap<String, Look>,
    detours: BTreeMap<String, Detour>,
    told: HashMap<&'static str, u32>,
    sights: Vec<Sight>,
    hedges_won: u64,
    /// Hedges that won whose answers have not come whole yet.
    winners: u64,
    shared: u64,
    crowd: Option<(u64, u64)>,
    /// The routes of which an answer was shown; that is done once.
    shown: HashSet<String>,
    /// How long after its beginning a detour is told.
    patience: Duration,
}

impl Commentary {
    /// Of routes, at so many times the usual speed.
    pub fn new(routes: &BTreeMap<String, Route>, speed: f64) -> Self {
        let first = |route: &Route| Some(route.targets.first()?.model().to_owned());
        let firsts = routes.iter().filter_map(|(name, route)| Some((name.clone(), first(route)?))).collect();
        let hedging = routes.iter().filter(|(_, route)| route.hedge_after != HedgeAfter::Never);
        let hedging = hedging.map(|(name, _)| name.clone()).collect();
        Self { firsts, hedging, patience: Duration::from_secs(3).div_f64(speed), ..Self::default() }
    }

    /// A chapter begins.
    pub fn turn(&mut self) {
        self.told.clear();
        self.sights.clear();
    }

    /// Whether all of these were seen in this chapter.
    pub fn has_seen(&self, sights: &[Sight]) -> bool {
        sights.iter().all(|sight| self.sights.contains(sight))
    }

    /// A crowd of so many asks at once.
    pub fn crowd_asks(&mut self, size: u64) {
        self.crowd = Some((size, self.shared));
    }

    /// Something that the gateway tells its operators.
    pub fn told(&mut self, event: &Event, at: Duration) -> Vec<Line> {
        match event {
            Event::Breaker { model, open: true, .. } => {
                self.see(Sight::Opened);
                self.begin_detour(model, at);
                vec![Line::new("opened", Tone::Bad, event.text())]
            }
            Event::Breaker { model, open: false, .. } => {
                self.see(Sight::Closed);
                let text = format!("{} Its traffic comes back bit by bit.", event.text());
                let closed = Line::new("closed", Tone::Good, text);
                let moved = self.end_detour(model);
                let moved = moved.map(|text| Line::new("moved", Tone::Good, format!("{text}.")));
                [closed].into_iter().chain(moved).collect()
            }
            Event::Budget { budget, period, fraction, spent, limit, .. } => {
                let text = format!(
                    "{} % of what {budget} may spend ({period}) is gone: {} of {}.",
                    fraction * 100.0,
                    usd(*spent),
                    usd(*limit)
                );
                vec![Line::new("budget", Tone::Odd, text)]
            }
            other => vec![Line::new("alert", Tone::Odd, other.text())],
        }
    }

    /// How a target stands now.
    pub fn looked(&mut self, look: Look, at: Duration) -> Vec<Line> {
        let before = self.looks.insert(look.model.clone(), look.clone()).unwrap_or_default();
        if let (None, Some(pause)) = (before.pause, look.pause) {
            self.see(Sight::Limited);
            self.begin_detour(&look.model, at);
            let text = format!(
                "{} answers 429 and wants a pause of {:.1} s: {} is left alone so long.",
                look.provider,
                pause.as_secs_f64(),
                look.model
            );
            return self.some("limited", Tone::Odd, text).into_iter().collect();
        }
        if before.pause.is_some() && look.pause.is_none() && look.breaker == "closed" {
            let back = format!("the pause is over: {} is asked again", look.model);
            let text = match self.end_detour(&look.model) {
                Some(meanwhile) => format!("{back}; {meanwhile}."),
                None => format!("{back}."),
            };
            return self.some("back", Tone::Plain, text).into_iter().collect();
        }
        let text = match (before.breaker, look.breaker) {
            ("open", "half_open") => {
                format!("{} gets a single request, to see whether it is well.", look.model)
            }
            ("half_open", "open") => format!("it is not: {} is left alone for longer.", look.model),
            _ => return Vec::new(),
        };
        self.some("probe", Tone::Plain, text).into_iter().collect()
    }

    /// What the metrics say now: hedges that won, requests that shared a call.
    pub fn read(&mut self, hedges_won: u64, shared: u64) -> Option<Line> {
        self.winners += hedges_won.saturating_sub(self.hedges_won);
        self.hedges_won = hedges_won;
        self.shared = shared;
        let (size, before) = self.crowd.filter(|(size, before)| shared >= before + size - 1)?;
        self.crowd = None;
        self.see(Sight::Shared);
        let text = format!(
            "{size} clients asked the same at one moment: 1 call to a provider, {} followed it, one bill.",
            shared - before
        );
        Some(Line::new("shared", Tone::Good, text))
    }

    /// What a client met.
    pub fn met(&mut self, met: &Met, now: Duration) -> Option<Line> {
        let problems = u64::from(met.problem.is_some());
        let first = self.firsts.get(&met.route).filter(|first| **first != met.model).cloned();
        let detour = first.as_ref().and_then(|first| self.detours.get_mut(first));
        if let Some(detour) = detour.filter(|detour| met.cache == "miss" && now > detour.since) {
            detour.problems += problems;
            if problems == 0 {
                *detour.to.entry(met.model.clone()).or_default() += 1;
            }
        }
        if let Some(problem) = &met.problem {
            return Some(Line::new("ERROR", Tone::Bad, format!("a client got {problem}")));
        }
        let ms = met.first.as_secs_f64() * 1000.0;
        if met.downgraded && met.asker == Some(Asker::Research) {
            self.see(Sight::Downgraded);
            let text = format!(
                "what research may spend on grand today is spent, or held for answers under way: {} answers, no error.",
                met.model
            );
            let first = self.shown.insert("research".to_owned());
            return first.then(|| Line::new("cheaper", Tone::Good, text));
        }
        if met.cache == "hit" && met.asker == Some(Asker::Regular) {
            self.see(Sight::Kept);
            // A longer wait was for the same question of another, which was under way.
            if met.first > KEPT {
                return None;
            }
            let text =
                format!("a regular's question: the kept answer of {} in {ms:.1} ms, for $0.", met.model);
            return self.some("kept", Tone::Good, text);
        }
        let hedged = met.attempts > 1 && self.hedging.contains(&met.route);
        if let Some(first) = first.filter(|_| hedged && self.won_a_hedge()) {
            let text = format!(
                "{first} stayed silent, so {} was started beside it and spoke first, after {:.1} s.",
                met.model,
                met.first.as_secs_f64()
            );
            return self.some("hedge", Tone::Good, text);
        }
        self.routed(met)
    }

    /// The first answer of each route behind `auto`.
    fn routed(&mut self, met: &Met) -> Option<Line> {
        if met.complexity.is_empty() || !self.shown.insert(met.route.clone()) {
            return None;
        }
        let text = format!(
            "\"{}\" is {} of 10 hard: route {}, answered by {}.",
            shortened(&met.question),
            met.complexity,
            met.route,
            met.model
        );
        Some(Line::new("auto", Tone::Plain, text))
    }

    /// What is due by the time alone: where the requests of a target went.
    pub fn beat(&mut self, now: Duration) -> Vec<Line> {
        let patience = self.patience;
        let due = |detour: &Detour| !detour.told && now > detour.since + patience && !detour.to.is_empty();
        let due = self.detours.iter_mut().filter(|(_, detour)| due(detour));
        let line = |(model, detour): (&String, &mut Detour)| {
            detour.told = true;
            let text = format!(
                "what {model} would have got is answered by {}; {}.",
                listed(&detour.to),
                outcome(detour.problems)
            );
            Line::new("moved", Tone::Good, text)
        };
        let lines: Vec<Line> = due.map(line).collect();
        lines.into_iter().filter_map(|line| self.at_most(1, "moved", line.tone, line.text)).collect()
    }

    fn begin_detour(&mut self, model: &str, at: Duration) {
        let begun = Detour { since: at, to: BTreeMap::new(), problems: 0, told: false };
        self.detours.entry(model.to_owned()).or_insert(begun);
    }

    /// Ends a detour; says what it came to.
    fn end_detour(&mut self, model: &str) -> Option<String> {
        let detour = self.detours.remove(model).filter(|detour| !detour.to.is_empty())?;
        let (others, outcome) = (listed(&detour.to), outcome(detour.problems));
        Some(format!("while {model} was away its requests were answered by {others}; {outcome}"))
    }

    fn won_a_hedge(&mut self) -> bool {
        let won = self.winners > 0;
        self.winners = self.winners.saturating_sub(1);
        won
    }

    fn see(&mut self, sight: Sight) {
        self.sights.push(sight);
    }

    fn some(&mut self, word: &'static str, tone: Tone, text: String) -> Option<Line> {
        self.at_most(OFTEN, word, tone, text)
    }

    fn at_most(&mut self, most: u32, word: &'static str, tone: Tone, text: String) -> Option<Line> {
        let told = self.told.entry(word).or_default();
        *told += 1;
        (*told <= most).then(|| Line::new(word, tone, text))
    }
}

/// `deep (12), grand (3)`, the largest first.
pub fn listed(counts: &BTreeMap<String, u64>) -> String {
    let mut counts: Vec<(&String, &u64)> = counts.iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let one = |(name, count): (&String, &u64)| format!("{name} ({count})");
    counts.into_iter().map(one).collect::<Vec<_>>().join(", ")
}

/// How many errors clients saw.
pub fn outcome(problems: u64) -> String {
    match problems {
        0 => "no client saw an error".to_owned(),
        1 => "1 client saw an error".to_owned(),
        count => format!("{count} clients saw errors"),
    }
}

fn shortened(question: &str) -> String {
    match question.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &question[..at]),
        None => question.to_owned(),
    }
}

/// USD with four decimals.
fn usd(amount: Nanos) -> String {
    format!("${:.4}", amount.0 as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn commentary() -> Commentary {
        let route = serde_json::json!({ "standard": { "targets": ["medium", "deep"], "hedge_after": "1s" } });
        Commentary::new(&serde_json::from_value(route).unwrap(), 1.0)
    }

    fn breaker(open: bool) -> Event {
        Event::Breaker { model: "medium".into(), provider: "flaky".into(), open, cause: "so it is".into() }
    }

    fn look(breaker: &'static str, pause: Option<Duration>) -> Look {
        Look { model: "medium".into(), provider: "flaky".into(), breaker, pause }
    }

    fn answer(model: &str) -> Met {
        let (route, cache) = ("standard".to_owned(), "miss".to_owned());
        Met { route, cache, model: model.to_owned(), attempts: 1, ..Met::default() }
    }

    fn texts(lines: Vec<Line>) -> Vec<String> {
        lines.into_iter().map(|line| format!("{}: {}", line.word, line.text)).collect()
    }

    #[test]
    fn an_outage_is_told_from_its_beginning_to_its_end() {
        let mut talk = commentary();
        assert_eq!(
            texts(talk.told(&breaker(true), s(1))),
            ["opened: Model medium at flaky is left alone: so it is."]
        );
        assert!(talk.has_seen(&[Sight::Opened]) && !talk.has_seen(&[Sight::Closed]));
        assert!(talk.looked(look("open", None), s(1)).is_empty());
        for _ in 0..3 {
            assert_eq!(talk.met(&answer("deep"), s(2)), None);
        }
        assert!(talk.beat(s(3)).is_empty());
        assert_eq!(
            texts(talk.beat(s(5))),
            ["moved: what medium would have got is answered by deep (3); no client saw an error."]
        );
        assert!(talk.beat(s(6)).is_empty());
        assert_eq!(
            texts(talk.looked(look("half_open", None), s(6))),
            ["probe: medium gets a single request, to see whether it is well."]
        );
        let lines = texts(talk.told(&breaker(false), s(7)));
        assert_eq!(lines.len(), 2);
        assert!(lines[1].ends_with("answered by deep (3); no client saw an error."), "{lines:?}");
        talk.turn();
        assert!(!talk.has_seen(&[Sight::Opened]));
    }

    #[test]
    fn each_route_of_auto_is_shown_once() {
        let mut talk = commentary();
        let hard = Met { complexity: "9".into(), question: "Prove it, ".repeat(9), ..answer("medium") };
        let line = talk.met(&hard, s(1)).unwrap();
        assert!(line.text.starts_with("\"Prove it, Prove it, "), "{}", line.text);
        assert!(
            line.text.ends_with("…\" is 9 of 10 hard: route standard, answered by medium."),
            "{}",
            line.text
        );
        assert_eq!(talk.met(&hard, s(1)), None);
    }

    #[test]
    fn an_error_is_never_hidden() {
        let mut talk = commentary();
        talk.told(&breaker(true), s(1));
        talk.met(&answer("deep"), s(2));
        let failed = Met { problem: Some("503: no target is left".into()), ..answer("deep") };
        assert_eq!(talk.met(&failed, s(2)).map(|line| line.tone), Some(Tone::Bad));
        assert!(texts(talk.beat(s(9)))[0].ends_with("deep (1); 1 client saw an error."));
    }

    #[test]
    fn a_pause_is_told_at_most_twice_a_chapter() {
        let mut talk = commentary();
        let mut told = 0;
        for _ in 0..5 {
            told += talk.looked(look("closed", Some(s(4))), s(1)).len();
            talk.looked(look("closed", None), s(2));
        }
        assert_eq!(told, 2);
        assert!(talk.has_seen(&[Sight::Limited]));
    }

    #[test]
    fn a_crowd_and_a_hedge_are_told_when_the_metrics_have_them() {
        let mut talk = commentary();
        talk.crowd_asks(20);
        assert_eq!(talk.read(0, 18), None);
        assert!(talk.read(0, 19).is_some() && talk.has_seen(&[Sight::Shared]));
        let beside = Met { attempts: 2, first: s(2), ..answer("grand") };
        assert_eq!(talk.met(&beside, s(1)), None);
        talk.read(1, 19);
        let line = talk.met(&beside, s(1)).unwrap();
        assert_eq!(
            line.text,
            "medium stayed silent, so grand was started beside it and spoke first, after 2.0 s."
        );
        assert_eq!(talk.met(&beside, s(1)), None);
    }
}
