//! Keeps alerts about the same thing apart: of those that come too soon the last one is told later.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use crate::news::Told;

/// When what was told last, by subject.
#[derive(Debug, Default)]
pub struct Spacing(HashMap<String, Subject>);

#[derive(Debug)]
struct Subject {
    told_at: Instant,
    waits: Option<Due>,
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
    /// Takes news: what is to be sent now, if it need not wait, beside what it replaces among those that wait.
    pub fn offer(&mut self, told: Told, now: Instant, interval: Duration) -> (Option<Due>, Option<Told>) {
        self.0.retain(|_, subject| subject.waits.is_some() || subject.told_at + interval > now);
        let due = Due { told, unsaid: 0 };
        let Some(subject) = self.0.get_mut(&due.told.event.subject()) else {
            self.0.insert(due.told.event.subject(), Subject { told_at: now, waits: None });
            return (Some(due), None);
        };
        let before = subject.waits.take();
        let unsaid = before.as_ref().map_or(0, |before| before.unsaid.saturating_add(1));
        subject.waits = Some(Due { unsaid, ..due });
        (None, before.map(|before| before.told))
    }

    /// When the next one that waits is due.
    pub fn next(&self, interval: Duration) -> Option<Instant> {
        self.waiting().map(|subject| subject.told_at + interval).min()
    }

    /// One that is due, the one that waits longest first.
    pub fn due(&mut self, now: Instant, interval: Duration) -> Option<Due> {
        let waiting = self.0.values_mut().filter(|subject| subject.waits.is_some());
        let subject = waiting.min_by_key(|subject| subject.told_at)?;
        if subject.told_at + interval > now {
            return None;
        }
        subject.told_at = now;
        subject.waits.take()
    }

    fn waiting(&self) -> impl Iterator<Item = &Subject> {
        self.0.values().filter(|subject| subject.waits.is_some())
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
        assert_eq!(spacing.offer(open.clone(), at(0), MINUTE), (sent(open, 0), None));
        assert_eq!(spacing.offer(close.clone(), at(5), MINUTE), (None, None));
        // Others are not held up.
        assert!(spacing.offer(told("n", true, 3), at(6), MINUTE).0.is_some());
        assert_eq!((spacing.next(MINUTE), spacing.due(at(59), MINUTE)), (Some(at(60)), None));
        assert_eq!(spacing.due(at(60), MINUTE), sent(close, 0));
        assert_eq!((spacing.next(MINUTE), spacing.due(at(60), MINUTE)), (None, None));
        // The minute begins anew with what was told.
        let again = told("m", true, 4);
        assert_eq!(spacing.offer(again.clone(), at(100), MINUTE), (None, None));
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
            let (due, before) = spacing.offer(told("m", second % 2 == 0, second as i64), now, MINUTE);
            replaced += usize::from(before.is_some());
            sent.extend(due);
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
            assert!(spacing.offer(told("m", open, 0), now, Duration::ZERO).0.is_some());
        }
        for name in 0..100 {
            let _ = spacing.offer(told(&name.to_string(), true, 0), now, MINUTE);
        }
        let later = now + MINUTE;
        assert!(spacing.offer(told("m", false, 0), later, MINUTE).0.is_some());
        assert_eq!(spacing.0.len(), 1);
    }
}
