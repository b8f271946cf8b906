//! What is wrong with a configuration, said so that it can be mended.

use std::fmt;

/// One thing wrong with the configuration. No field ever holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where it was said: a file, or `environment WEIR_SERVER__LISTEN`, or `built-in defaults`.
    pub source: String,
    /// The key in dotted form, like `routes.standard.fallback`; empty where the whole source is meant.
    pub key: String,
    /// What is wrong.
    pub problem: String,
    /// What would be right.
    pub remedy: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.source)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.problem)?;
        if !self.remedy.is_empty() {
            write!(f, "\n    {}", self.remedy)?;
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}

/// All that is wrong with a configuration, at once; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, fault) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_reads_in_two_lines() {
        let fault = Fault {
            source: "config/weir.toml".into(),
            key: "routes.standard.fallback".into(),
            problem: "there is no route `budgt`".into(),
            remedy: "Did you mean `budget`?".into(),
        };
        let line = "config/weir.toml: routes.standard.fallback: there is no route `budgt`";
        assert_eq!(fault.to_string(), format!("{line}\n    Did you mean `budget`?"));
        let faults = Faults(vec![fault.clone(), fault]);
        assert_eq!(faults.to_string().lines().count(), 4);
    }
}
