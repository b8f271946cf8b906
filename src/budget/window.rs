//! The window that an account counts in, which only moves forward.

use crate::base::{
    account::Period,
    calendar::{Span, Zone},
};

/// An account's present window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window(Span);

impl Window {
    /// The window around a moment, or the durable one where that begins later: a clock set back opens nothing again.
    pub(super) fn new(zone: &Zone, period: Period, now_s: i64, durable: Option<i64>) -> Self {
        let span = zone.window(period, now_s);
        match durable.filter(|start| *start > span.start) {
            // The zone may have changed since: what is durable keeps its beginning.
            Some(start) => Self(Span { start, end: zone.window(period, start).end }),
            None => Self(span),
        }
    }

    /// The window that begins at a moment; its end is found when it is asked for next.
    pub(super) fn from(start: i64) -> Self {
        Self(Span { start, end: start })
    }

    /// Moves on to the window around a moment, if this one is over; whether it did.
    pub(super) fn advance(&mut self, zone: &Zone, period: Period, now_s: i64) -> bool {
        if now_s < self.0.end {
            return false;
        }
        let next = zone.window(period, now_s);
        let moves = next.start > self.0.start && next.start >= self.0.end;
        if moves {
            self.0 = next;
        } else {
            // The budget's zone changed to one whose present window overlaps this one: it goes on till that ends.
            self.0.end = self.0.end.max(next.end);
        }
        moves
    }

    pub(super) fn start(self) -> i64 {
        self.0.start
    }

    pub(super) fn span(self) -> Span {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    #[test]
    fn a_clock_stepped_back_changes_nothing() {
        let mut window = Window::new(&Zone::UTC, Period::Daily, 10 * DAY + 60, None);
        assert!(!window.advance(&Zone::UTC, Period::Daily, 10 * DAY - 2 * 3600));
        assert_eq!(window.start(), 10 * DAY);
        assert!(window.advance(&Zone::UTC, Period::Daily, 11 * DAY));
        assert!(!window.advance(&Zone::UTC, Period::Daily, 11 * DAY - 1));
        assert_eq!(window.start(), 11 * DAY);
    }

    #[test]
    fn the_newest_durable_window_wins() {
        let later = Window::new(&Zone::UTC, Period::Daily, 10 * DAY, Some(12 * DAY));
        assert_eq!(later.span(), Span { start: 12 * DAY, end: 13 * DAY });
        let earlier = Window::new(&Zone::UTC, Period::Daily, 10 * DAY, Some(8 * DAY));
        assert_eq!(earlier.start(), 10 * DAY);
    }

    #[test]
    fn another_zone_moves_no_window_back() {
        let kolkata = Zone::parse("Asia/Kolkata").unwrap();
        let mut window = Window::new(&Zone::UTC, Period::Monthly, 0, None);
        let end = window.span().end;
        // In New York it is still the month before.
        let new_york = Zone::parse("America/New_York").unwrap();
        assert!(!window.advance(&new_york, Period::Monthly, end));
        assert_eq!(window.start(), 0);
        assert!(window.advance(&kolkata, Period::Monthly, end + 40 * DAY));
    }
}
