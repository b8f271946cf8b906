//! How long a target's answers take: a fading peak, a window of samples.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use crate::config;

/// How many samples a window holds; enough for the 200 that `hedge_after = "p95"` asks for.
pub(crate) const SAMPLES: usize = 256;

/// The length of a prompt, coarsely.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PromptSize {
    /// Up to 1,000 tokens.
    #[default]
    Short,
    /// Up to 8,000.
    Medium,
    /// Up to 32,000.
    Long,
    /// More.
    Huge,
}

impl PromptSize {
    const COUNT: usize = 4;

    /// The class of so many tokens.
    pub fn of(tokens: u64) -> Self {
        match tokens {
            0..=1_000 => Self::Short,
            1_001..=8_000 => Self::Medium,
            8_001..=32_000 => Self::Long,
            _ => Self::Huge,
        }
    }
}

/// How long a target's answers take; of streams the time to the first token.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Times {
    /// A peak that fades: a slow answer counts at once, for a while. A target that nobody asks fades to "fast", so
    /// that it is asked again.
    pub peak: Option<Duration>,
    /// Half of the samples took no longer.
    pub p50: Option<Duration>,
    /// All but a twentieth of the samples took no longer.
    pub p95: Option<Duration>,
    /// How many samples there are, at most 256.
    pub samples: usize,
}

/// A moving average that follows slow samples at once, fast ones gradually (Finagle's and tower's peak EWMA).
#[derive(Debug, Default)]
struct Peak {
    /// The estimate in seconds, with the moment it is of.
    last: Option<(f64, Instant)>,
}

impl Peak {
    fn push(&mut self, sample: Duration, now: Instant, decay: Duration) {
        let sample = sample.as_secs_f64();
        let estimate = match self.last {
            Some((estimate, at)) if sample < estimate => {
                let kept = kept(at, now, decay);
                estimate * kept + sample * (1.0 - kept)
            }
            _ => sample,
        };
        self.last = Some((estimate, now));
    }

    fn get(&self, now: Instant, decay: Duration) -> Option<Duration> {
        self.last.map(|(estimate, at)| Duration::from_secs_f64(estimate * kept(at, now, decay)))
    }
}

/// The share of an estimate that is left at `now`.
fn kept(at: Instant, now: Instant, decay: Duration) -> f64 {
    let age = now.saturating_duration_since(at).as_secs_f64();
    if decay.is_zero() { 0.0 } else { (-age / decay.as_secs_f64()).exp() }
}

/// The last samples, in microseconds, as they came, with the same in order.
#[derive(Debug, Default)]
struct Samples {
    came: VecDeque<u32>,
    sorted: Vec<u32>,
}

impl Samples {
    fn push(&mut self, sample: Duration) {
        // Above an hour it does not matter how long.
        let sample = u32::try_from(sample.as_micros()).unwrap_or(u32::MAX);
        let at = self.sorted.partition_point(|kept| *kept < sample);
        match (self.came.len() == SAMPLES).then(|| self.came.pop_front()).flatten() {
            Some(oldest) => self.replace(oldest, sample, at),
            None => self.sorted.insert(at, sample),
        }
        self.came.push_back(sample);
    }

    /// Puts a sample that belongs before `at` in the place of another one: only what lies between them moves.
    fn replace(&mut self, other: u32, sample: u32, at: usize) {
        let from = self.sorted.partition_point(|kept| *kept < other);
        let to = if from < at { at - 1 } else { at };
        if from < to {
            self.sorted.copy_within(from + 1..=to, from);
        } else {
            self.sorted.copy_within(to..from, to + 1);
        }
        self.sorted[to] = sample;
    }

    /// The smallest sample that a share of `percent` of all do not pass.
    fn percentile(&self, percent: usize) -> Option<Duration> {
        let rank = (self.sorted.len() * percent).div_ceil(100).checked_sub(1)?;
        self.sorted.get(rank).map(|micros| Duration::from_micros(u64::from(*micros)))
    }

    fn len(&self) -> usize {
        self.came.len()
    }
}

/// What is usual: the p95 as it stood before the window that is judged. A slow spell would else soon be its own
/// measure.
#[derive(Debug, Default)]
struct Usual {
    before: Option<Duration>,
    lately: Option<Duration>,
    at: Option<Instant>,
}

impl Usual {
    fn note(&mut self, lately: &Samples, now: Instant, window: Duration) {
        let at = *self.at.get_or_insert(now);
        if now.saturating_duration_since(at) >= window {
            (self.before, self.lately, self.at) = (self.lately, lately.percentile(95), Some(now));
        }
    }
}

/// Answers of one kind: streams, or whole answers.
#[derive(Debug, Default)]
struct Series {
    peak: Peak,
    all: Samples,
    by_size: [Samples; PromptSize::COUNT],
    usual: Usual,
}

/// The speed of one target.
#[derive(Debug, Default)]
pub(crate) struct Latency {
    streams: Series,
    whole: Series,
}

impl Latency {
    /// Notes a success; tells whether it was slow.
    pub(crate) fn succeeded(
        &mut self,
        stream: bool,
        size: PromptSize,
        took: Duration,
        now: Instant,
        settings: &config::Breaker,
    ) -> bool {
        let series = self.series(stream);
        let usual = series.usual.before.unwrap_or(Duration::ZERO);
        let slow = took > usual.mul_f64(settings.slow_factor).max(settings.slow_floor.0);
        series.usual.note(&series.all, now, settings.window.0);
        series.peak.push(took, now, settings.latency_decay.0);
        series.all.push(took);
        series.by_size[size as usize].push(took);
        slow
    }

    /// Notes how long a failure took: no less than the present estimate.
    pub(crate) fn failed(&mut self, stream: bool, took: Duration, now: Instant, decay: Duration) {
        let peak = &mut self.series(stream).peak;
        let current = peak.get(now, decay).unwrap_or(Duration::ZERO);
        peak.push(took.max(current), now, decay);
    }

    /// Notes how long somebody waited who left: only if that is longer than the present estimate.
    pub(crate) fn waited(&mut self, stream: bool, took: Duration, now: Instant, decay: Duration) {
        let peak = &mut self.series(stream).peak;
        if peak.get(now, decay).is_none_or(|current| took > current) {
            peak.push(took, now, decay);
        }
    }

    /// The times of one kind.
    pub(crate) fn times(&self, stream: bool, now: Instant, decay: Duration) -> Times {
        let series = if stream { &self.streams } else { &self.whole };
        Times {
            peak: series.peak.get(now, decay),
            p50: series.all.percentile(50),
            p95: series.all.percentile(95),
            samples: series.all.len(),
        }
    }

    /// The p95 of answers to prompts of that size; `None`: fewer than `enough` samples.
    pub(crate) fn p95_of(&self, stream: bool, size: PromptSize, enough: usize) -> Option<Duration> {
        let series = if stream { &self.streams } else { &self.whole };
        let samples = &series.by_size[size as usize];
        samples.percentile(95).filter(|_| samples.len() >= enough)
    }

    fn series(&mut self, stream: bool) -> &mut Series {
        if stream { &mut self.streams } else { &mut self.whole }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn filled(count: u64, took: Duration, begun: Instant) -> Latency {
        let settings = config::Breaker::default();
        let mut latency = Latency::default();
        for second in 0..count {
            let now = begun + Duration::from_secs(second);
            latency.succeeded(true, PromptSize::Short, took, now, &settings);
        }
        latency
    }

    #[test]
    fn percentiles_are_exact_over_the_last_samples() {
        let mut samples = Samples::default();
        assert_eq!(samples.percentile(50), None);
        for n in 0..1000 {
            // Every number once, in no order.
            samples.push(MS(n * 389 % 1000));
        }
        let mut last: Vec<u64> = (1000 - SAMPLES as u64..1000).map(|n| n * 389 % 1000).collect();
        last.sort_unstable();
        assert_eq!(samples.len(), SAMPLES);
        assert_eq!(samples.percentile(50), Some(MS(last[127])));
        assert_eq!(samples.percentile(95), Some(MS(last[243])));
        assert_eq!(samples.percentile(100), Some(MS(last[255])));
    }

    #[test]
    fn the_peak_rises_at_once_and_falls_slowly() {
        let (begun, decay) = (Instant::now(), Duration::from_secs(10));
        let mut peak = Peak::default();
        peak.push(MS(300), begun, decay);
        peak.push(MS(3000), begun, decay);
        assert_eq!(peak.get(begun, decay), Some(MS(3000)));
        let later = begun + Duration::from_secs(10);
        peak.push(MS(300), later, decay);
        let left = peak.get(later, decay).unwrap();
        assert!((MS(1280)..MS(1300)).contains(&left), "{left:?}");
        assert!(peak.get(later + Duration::from_secs(100), decay).unwrap() < MS(1));
    }

    #[test]
    fn a_quick_failure_does_not_make_a_target_fast() {
        let (begun, decay) = (Instant::now(), Duration::from_secs(10));
        let mut latency = filled(1, MS(500), begun);
        latency.failed(true, MS(1), begun, decay);
        latency.waited(true, MS(1), begun, decay);
        assert_eq!(latency.times(true, begun, decay).peak, Some(MS(500)));
        latency.waited(true, MS(700), begun, decay);
        assert_eq!(latency.times(true, begun, decay).peak, Some(MS(700)));
        latency.failed(true, MS(900), begun, decay);
        assert_eq!(latency.times(true, begun, decay).peak, Some(MS(900)));
        assert_eq!(latency.times(true, begun, decay).samples, 1);
        assert_eq!(latency.times(false, begun, decay), Times::default());
    }

    #[test]
    fn slow_is_slower_than_what_was_usual_before() {
        let (begun, settings) = (Instant::now(), config::Breaker::default());
        let mut latency = filled(200, MS(4_000), begun);
        let mut slow = |second: u64, took| {
            let now = begun + Duration::from_secs(second);
            latency.succeeded(true, PromptSize::Short, took, now, &settings)
        };
        assert!(!slow(200, MS(16_000)));
        // A spell of slow ones is judged by what was before it, for as long as the window.
        assert!((201..230).all(|second| slow(second, MS(17_000))));
        let mut fresh = Latency::default();
        assert!(!fresh.succeeded(true, PromptSize::Short, MS(10_000), begun, &settings));
        assert!(fresh.succeeded(true, PromptSize::Short, MS(10_001), begun, &settings));
    }

    #[test]
    fn sizes_are_apart() {
        let latency = filled(200, MS(400), Instant::now());
        assert_eq!(latency.p95_of(true, PromptSize::Short, 200), Some(MS(400)));
        assert_eq!(latency.p95_of(true, PromptSize::Short, 201), None);
        assert_eq!(latency.p95_of(true, PromptSize::Long, 1), None);
        assert_eq!(latency.p95_of(false, PromptSize::Short, 1), None);
        let sizes = [0, 1_000, 1_001, 8_001, 32_001].map(PromptSize::of);
        use PromptSize::{Huge, Long, Medium, Short};
        assert_eq!(sizes, [Short, Short, Medium, Long, Huge]);
    }
}
