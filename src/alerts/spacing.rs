//! Keeps alerts about the same thing apart: of those that come too soon the last one is told later.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use crate::news::Told;

/// How many subjects are kept apart. The configuration names fewer, but for holders of budgets.
const MAX_SUBJECTS: usize = 4096;

/// When what was told last, by subject.
#[derive(Debug, Default)]
pub struct Spacing(HashMap<String, Subject>);

#[derive(Debug)]
struct Subject {
    told_at: Option<Instant>,
    waits: Option<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    due: Due,
    since: Instant,
}

/// What became of news.
#[derive(Debug, PartialEq)]
pub enum Offered {
    /// They wait for their turn.
    Waits,
    /// They wait in the place of these.
    Replaces(Told),
    /// Too much waits.
    NoRoom(Told),
}

/// An alert to be sent now.
#[derive(Clone, Debug, PartialEq)]
pub struct Due {
    /// What happened last.
    pub told: Told,
    /// How many changes before that nobody was told of.
    pub unsaid: u32,
}

impl Spacing {
    /// Takes news: they wait, if only for the next [`Spacing::due`], in the place of those about the same.
    pub fn offer(&mut self, told: Told, now: Instant, interval: Duration) -> Offered {
        self.0.retain(|_, subject| subject.waits.is_some() || subject.ready(interval) > Some(now));
        let name = told.event.subject();
        if self.0.len() >= MAX_SUBJECTS && !self.0.contains_key(&name) {
            self.0.retain(|_, subject| subject.waits.is_some());
            if self.0.len() >= MAX_SUBJECTS {
                return Offered::NoRoom(told);
            }
        }
        let subject = self.0.entry(name).or_insert(Subject { told_at: None, waits: None });
        let Some(waiting) = &mut subject.waits else {
            subject.waits = Some(Waiting { due: Due { told, unsaid: 0 }, since: now });
            return Offered::Waits;
        };
        waiting.due.unsaid = waiting.due.unsaid.saturating_add(1);
        Offered::Replaces(std::mem::replace(&mut waiting.due.told, told))
    }

    /// When the next one that waits is due.
    pub fn next(&self, interval: Duration) -> Option<Instant> {
        self.0.values().filter(|subject| subject.waits.is_some()).filter_map(|it| it.ready(interval)).min()
    }

    /// One that is due, the one that is due longest first.
    pub fn due(&mut self, now: Instant, interval: Duration) -> Option<Due> {
        let waiting = self.0.values_mut().filter(|subject| subject.waits.is_some());
        let subject = waiting.min_by_key(|subject| subject.ready(interval))?;
        if subject.ready(interval) > Some(now) {
            return None;
        }
        subject.told_at = Some(now);
        subject.waits.take().map(|waiting| waiting.due)
    }
}

impl Subject {
    /// From when on what waits, or what comes next, may be told.
    fn ready(&self, interval: Duration) -> Option<Instant> {
        self.told_at.map(|told| told + interval).max(self.waits.as_ref().map(|waiting| waiting.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::news::Event;

    const MINUTE: Duration = Duration::from_secs(60);

    fn told(model: &str, open: bool, at: i64) -> Told {
        let event = Event::Breaker { model: model.into(), provider: "p".into(), open, cause: String::new() };
        Told { event, at }
    }

    #[test]
    fn a_pair_is_told_whole_however_quick_it_was() {
        let (mut spacing, start) = (Spacing::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let (open, close) = (told("m", true, 1), told("m", false, 2));
        let sent = |told: Told, unsaid| Some(Due { told, unsaid });
        assert_eq!(spacing.offer(open.clone(), at(0), MINUTE), Offered::Waits);
        assert_eq!((spacing.next(MINUTE), spacing.due(at(0), MINUTE)), (Some(at(0)), sent(open, 0)));
        assert_eq!(spacing.offer(close.clone(), at(5), MINUTE), Offered::Waits);
        // Others are not held up.
        let other = told("n", true, 3);
        assert_eq!(spacing.offer(other.clone(), at(6), MINUTE), Offered::Waits);
        assert_eq!(spacing.due(at(6), MINUTE), sent(other, 0));
        assert_eq!((spacing.next(MINUTE), spacing.due(at(59), MINUTE)), (Some(at(60)), None));
        assert_eq!(spacing.due(at(60), MINUTE), sent(close, 0));
        assert_eq!((spacing.next(MINUTE), spacing.due(at(60), MINUTE)), (None, None));
        // The minute begins anew with what was told.
        let again = told("m", true, 4);
        assert_eq!(spacing.offer(again.clone(), at(100), MINUTE), Offered::Waits);
        assert_eq!(spacing.due(at(120), MINUTE), sent(again, 0));
    }

    #[test]
    fn flapping_is_told_once_a_minute_as_it_stands_then() {
        let (mut spacing, start) = (Spacing::default(), Instant::now());
        let mut sent = Vec::new();
        let mut replaced = 0;
        // Every second for ten minutes, closed at last.
        for second in 0..600 {
            let now = start + Duration::from_secs(second);
            let offered = spacing.offer(told("m", second % 2 == 0, second as i64), now, MINUTE);
            replaced += usize::from(matches!(offered, Offered::Replaces(_)));
            sent.extend(spacing.due(now, MINUTE));
        }
        let end = start + Duration::from_secs(660);
        sent.extend(spacing.due(end, MINUTE));
        assert_eq!(sent.len(), 11);
        assert_eq!(sent.last().unwrap().told, told("m", false, 599));
        // All that happened is in one of them.
        let unsaid: u32 = sent.iter().map(|due| due.unsaid).sum();
        assert_eq!((sent.len() + unsaid as usize, replaced), (600, unsaid as usize));
    }

    #[test]
    fn no_interval_means_no_waiting_and_nothing_is_kept_for_ever() {
        let (mut spacing, now) = (Spacing::default(), Instant::now());
        for open in [true, false, true] {
            spacing.offer(told("m", open, 0), now, Duration::ZERO);
            assert!(spacing.due(now, Duration::ZERO).is_some());
        }
        for name in 0..100 {
            spacing.offer(told(&name.to_string(), true, 0), now, MINUTE);
            assert!(spacing.due(now, MINUTE).is_some());
        }
        spacing.offer(told("m", false, 0), now + MINUTE, MINUTE);
        assert_eq!(spacing.0.len(), 1);
    }

    #[test]
    fn only_so_many_subjects_wait() {
        let (mut spacing, now) = (Spacing::default(), Instant::now());
        for name in 0..MAX_SUBJECTS {
            assert_eq!(spacing.offer(told(&name.to_string(), true, 0), now, MINUTE), Offered::Waits);
        }
        let more = told("more", true, 0);
        assert_eq!(spacing.offer(more.clone(), now, MINUTE), Offered::NoRoom(more.clone()));
        // The last state of what waits is taken all the same.
        assert_eq!(spacing.offer(told("0", false, 1), now, MINUTE), Offered::Replaces(told("0", true, 0)));
        assert!(spacing.due(now, MINUTE).is_some());
        assert_eq!(spacing.offer(more, now, MINUTE), Offered::Waits);
    }
}
