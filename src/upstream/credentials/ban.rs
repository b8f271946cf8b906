//! What refusals in a row do to a credential: out after two, back on probation.

use std::time::Duration;

use tokio::time::Instant;

/// So many refusals in a row put it out: one alone may be the provider's own mistake.
const REFUSALS: u32 = 2;
/// How long it is out before one try may show that it is known again.
const OUT: Duration = Duration::from_secs(15 * 60);

/// In, or out for refusals in a row.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ban {
    refusals: u32,
    /// When it may be tried again, if it is out.
    until: Option<Instant>,
    /// Whether the one try is under way, which may outlast what it was made for.
    on_trial: bool,
}

/// Whether a try may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It may.
    In,
    /// One may, to see.
    OnTrial,
    /// None may before that.
    Out(Instant),
}

impl Ban {
    /// Whether a try may be made now.
    pub fn access(&self, now: Instant) -> Access {
        match self.until {
            None => Access::In,
            Some(until) if until <= now && !self.on_trial => Access::OnTrial,
            Some(until) => Access::Out(until.max(now)),
        }
    }

    /// The one try begins. It has to end: [`Ban::end_trial`].
    pub fn begin_trial(&mut self) {
        self.on_trial = true;
    }

    /// The one try is over, whatever it showed.
    pub fn end_trial(&mut self) {
        self.on_trial = false;
    }

    /// It was refused. True where that put it out, or back out.
    pub fn refused(&mut self, now: Instant) -> bool {
        self.refusals = self.refusals.saturating_add(1);
        let due = self.until.is_none_or(|until| until <= now) && self.refusals >= REFUSALS;
        if due {
            self.until = Some(now + OUT);
        }
        due
    }

    /// It was accepted. True where it had been out.
    pub fn accepted(&mut self) -> bool {
        self.refusals = 0;
        self.until.take().is_some()
    }

    /// When it may be tried again, if it is out.
    pub fn ends(&self) -> Option<Instant> {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_in_a_row_put_it_out() {
        let now = Instant::now();
        let mut ban = Ban::default();
        assert!(!ban.refused(now) && !ban.accepted() && !ban.refused(now));
        assert_eq!(ban.access(now), Access::In);
        assert!(ban.refused(now));
        // It is told once, however many were under way.
        assert!(!ban.refused(now));
        assert_eq!(ban.access(now), Access::Out(now + OUT));
    }

    #[test]
    fn one_try_shows_whether_it_is_known_again() {
        let start = Instant::now();
        let mut ban = Ban::default();
        ban.refused(start);
        ban.refused(start);
        let now = start + OUT;
        assert_eq!(ban.access(now), Access::OnTrial);
        ban.begin_trial();
        assert_eq!(ban.access(now), Access::Out(now));
        ban.end_trial();
        assert_eq!(ban.access(now), Access::OnTrial);
        ban.begin_trial();
        assert!(ban.refused(now));
        ban.end_trial();
        assert_eq!(ban.access(now), Access::Out(now + OUT));
        let now = now + OUT;
        ban.begin_trial();
        assert!(ban.accepted());
        ban.end_trial();
        assert_eq!(ban.access(now), Access::In);
        assert!(!ban.refused(now), "it takes two again");
    }
}
