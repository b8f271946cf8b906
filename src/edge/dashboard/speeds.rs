//! How long things took, as counts by size, which are small yet good enough for percentiles.

use std::time::Duration;

/// How many sizes are told apart: from a millisecond to about five minutes.
const SIZES: usize = 64;
/// Each size is so much larger than the one before.
const GROWTH: f64 = 1.22;

/// Counts of spans by size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Speeds([u32; SIZES]);

impl Default for Speeds {
    fn default() -> Self {
        Self([0; SIZES])
    }
}

impl Speeds {
    /// Counts one.
    pub fn add(&mut self, span: Duration) {
        let ms = (span.as_secs_f64() * 1000.0).max(1.0);
        // A millisecond or less is the first size.
        let size = (ms.ln() / GROWTH.ln()) as usize;
        let count = &mut self.0[size.min(SIZES - 1)];
        *count = count.saturating_add(1);
    }

    /// Adds others.
    pub fn merge(&mut self, other: &Self) {
        for (sum, count) in self.0.iter_mut().zip(other.0) {
            *sum = sum.saturating_add(count);
        }
    }

    /// The span in milliseconds that this share (0 to 1) of all did not pass; `None` of nothing.
    pub fn percentile(&self, share: f64) -> Option<u32> {
        let all: u64 = self.0.iter().map(|count| u64::from(*count)).sum();
        if all == 0 {
            return None;
        }
        let wanted = share * all as f64;
        let mut below = 0.0;
        for (size, count) in self.0.iter().enumerate().filter(|(_, count)| **count > 0) {
            let count = f64::from(*count);
            if below + count >= wanted {
                // As if those of one size were spread evenly over it.
                let inside = ((wanted - below) / count).clamp(0.0, 1.0);
                return Some(GROWTH.powf(size as f64 + inside).round() as u32);
            }
            below += count;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_right_to_a_tenth() {
        let mut speeds = Speeds::default();
        assert_eq!(speeds.percentile(0.5), None);
        (1..=1000).for_each(|ms| speeds.add(Duration::from_millis(ms)));
        for (share, right) in [(0.5, 500.0), (0.95, 950.0), (0.1, 100.0)] {
            let found = f64::from(speeds.percentile(share).unwrap());
            assert!((found / right - 1.0).abs() < 0.1, "{share}: {found}");
        }
    }

    #[test]
    fn what_is_out_of_range_counts_at_its_ends() {
        let mut speeds = Speeds::default();
        speeds.add(Duration::ZERO);
        assert_eq!(speeds.percentile(0.5), Some(1));
        let mut slow = Speeds::default();
        slow.add(Duration::MAX);
        assert!(slow.percentile(0.5).unwrap() > 250_000);
        speeds.merge(&slow);
        assert_eq!(speeds.percentile(0.1), Some(1));
    }
}
