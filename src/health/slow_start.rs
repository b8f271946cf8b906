//! The share of its traffic that a target gets after it came back.

use std::time::Duration;

use crate::config;

/// The share, so long after the breaker closed: it grows evenly from `slow_start_from` to 1.
pub(crate) fn weight(since_closed: Duration, settings: &config::Breaker) -> f64 {
    let whole = settings.slow_start.0;
    if since_closed >= whole {
        return 1.0;
    }
    let share = since_closed.as_secs_f64() / whole.as_secs_f64();
    settings.slow_start_from + (1.0 - settings.slow_start_from) * share
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Span;

    #[test]
    fn grows_evenly_from_a_tenth() {
        let settings = config::Breaker::default();
        let at = |seconds| weight(Duration::from_secs(seconds), &settings);
        assert!((at(0) - 0.1).abs() < 1e-9);
        assert!((at(15) - 0.55).abs() < 1e-9);
        assert_eq!((at(30), at(3000)), (1.0, 1.0));
        let none = config::Breaker { slow_start: Span::secs(0), ..settings };
        assert_eq!(weight(Duration::ZERO, &none), 1.0);
    }
}
