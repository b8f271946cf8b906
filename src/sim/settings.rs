//! What a simulated provider is told when it is made.

use std::time::Duration;

use super::fault::{Fault, Pace};
use crate::{base::secret::Secret, config::SimOptions};

/// The settings of a simulated provider.
#[derive(Clone, Debug)]
pub struct SimSettings {
    /// The seed of its texts and of chance.
    pub seed: u64,
    /// The time to the first token.
    pub first_token: Duration,
    /// Tokens a second after it; 0: all at once.
    pub tokens_per_second: f64,
    /// The fault it shows where neither the model's name nor its control endpoint says otherwise.
    pub fault: Fault,
    /// The models that it lists; any name is served.
    pub models: Vec<String>,
    /// The API keys that it takes; none: anything goes.
    pub api_keys: Vec<Secret>,
    /// Whether `/sim/control`, `/sim/log` and `/sim/stats` exist, when it is served.
    pub control: bool,
    /// How many requests its log keeps.
    pub log_entries: usize,
    /// The largest request body, in bytes.
    pub max_body: usize,
    /// How many streams one HTTP/2 connection may carry at a time, when it is served.
    pub max_streams: u32,
}

impl Default for SimSettings {
    fn default() -> Self {
        Self {
            seed: 1,
            first_token: Duration::ZERO,
            tokens_per_second: 0.0,
            fault: Fault::default(),
            models: ["sim-large", "sim-small", "sim-embedding"].map(str::to_owned).to_vec(),
            api_keys: Vec::new(),
            control: true,
            log_entries: 100_000,
            max_body: 64 * 1024 * 1024,
            max_streams: 100,
        }
    }
}

impl SimSettings {
    /// The settings of `[providers.NAME.sim]`: inside this process, with a short log.
    ///
    /// # Errors
    /// Says what is wrong with the fault or a number.
    pub fn from_options(options: &SimOptions) -> Result<Self, String> {
        let mut fault: Fault = options.fault.parse().map_err(|error| format!("fault: {error}"))?;
        fault.rate.get_or_insert(options.fault_rate);
        let settings = Self {
            seed: options.seed,
            first_token: options.first_token.0,
            tokens_per_second: options.tokens_per_second,
            fault,
            control: false,
            log_entries: 1_000,
            ..Self::default()
        };
        settings.check()?;
        Ok(settings)
    }

    /// Whether all numbers are in their range.
    ///
    /// # Errors
    /// Names the number that is not.
    pub fn check(&self) -> Result<(), String> {
        let tps = self.tokens_per_second;
        if !(0.0..=1e9).contains(&tps) {
            return Err(format!("tokens_per_second is 0 or more, not {tps}"));
        }
        match self.fault.rate {
            Some(rate) if !(0.0..=1.0).contains(&rate) => {
                Err(format!("fault_rate is from 0 to 1, not {rate}"))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn pace(&self) -> Pace {
        Pace {
            first_token: Some(self.first_token),
            tokens_per_second: Some(self.tokens_per_second),
            tokens: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_become_settings() {
        let options =
            SimOptions { fault: "status=500".to_owned(), fault_rate: 0.25, ..SimOptions::default() };
        let settings = SimSettings::from_options(&options).unwrap();
        assert_eq!(settings.fault.rate, Some(0.25));
        assert!(!settings.control);
        let explicit =
            SimOptions { fault: "hang,rate=1".to_owned(), fault_rate: 0.25, ..SimOptions::default() };
        assert_eq!(SimSettings::from_options(&explicit).unwrap().fault.rate, Some(1.0));
    }

    #[test]
    fn bad_options_are_named() {
        let error = |options: SimOptions| SimSettings::from_options(&options).unwrap_err();
        assert!(
            error(SimOptions { fault: "bogus".to_owned(), ..SimOptions::default() })
                .starts_with("fault: `bogus`")
        );
        assert!(error(SimOptions { fault_rate: 1.5, ..SimOptions::default() }).contains("fault_rate"));
        let slow = SimOptions { tokens_per_second: -1.0, ..SimOptions::default() };
        assert!(error(slow).contains("tokens_per_second"));
    }
}
