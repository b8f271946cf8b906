//! How long to wait before the same target is tried again.

use std::time::Duration;

use crate::{base::outcome::Outcome, config::Retry};

/// The wait before repeat number `repeat` (from 0) on the same target: full jitter over
/// `min(backoff_max, backoff_min x 2^repeat)`, equal jitter after a rate limit, and never less than the delay that the
/// provider named. `draw` lies in [0, 1). After "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
pub fn backoff(
    settings: &Retry,
    repeat: u32,
    outcome: Outcome,
    named: Option<Duration>,
    draw: f64,
) -> Duration {
    let ceiling =
        settings.backoff_min.0.saturating_mul(2_u32.saturating_pow(repeat)).min(settings.backoff_max.0);
    let jittered = match outcome {
        Outcome::RateLimited => ceiling / 2 + (ceiling / 2).mul_f64(draw),
        _ => ceiling.mul_f64(draw),
    };
    jittered.max(named.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_a_cap_and_respects_the_named_delay() {
        let ms = |repeat, outcome, draw| backoff(&Retry::default(), repeat, outcome, None, draw).as_millis();
        assert_eq!(ms(0, Outcome::ServerError, 0.0), 0);
        assert_eq!(ms(1, Outcome::ServerError, 0.5), 250);
        assert_eq!(ms(60, Outcome::ServerError, 0.5), 4000);
        assert_eq!(ms(0, Outcome::RateLimited, 0.0), 125);
        let named = Some(Duration::from_secs(7));
        assert_eq!(backoff(&Retry::default(), 0, Outcome::RateLimited, named, 0.9), Duration::from_secs(7));
    }
}
