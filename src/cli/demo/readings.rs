//! What the demo came to so far, off the gateway's own metrics page.

/// Sums of the metrics page.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Readings {
    /// What all tries cost, in USD.
    pub spent: f64,
    /// What cheaper models saved, in USD.
    pub by_routing: f64,
    /// What kept answers saved, in USD.
    pub by_cache: f64,
    /// Second tries that answered first.
    pub hedges_won: u64,
    /// Requests that got the answer of a call that was under way.
    pub shared: u64,
    /// Tries that failed.
    pub failed: u64,
}

impl Readings {
    /// Reads a page of metrics.
    pub fn read(page: &str) -> Self {
        let mut sums = Self::default();
        for line in page.lines() {
            let Some((name, value)) = line.rsplit_once(' ') else { continue };
            let (Some((family, labels)), Ok(value)) = (name.split_once('{'), value.parse::<f64>()) else {
                continue;
            };
            let has = |label: &str| labels.contains(label);
            let signed = if has("sign=\"more\"") { -value } else { value };
            match family {
                "weir_cost_usd_total" => sums.spent += value,
                "weir_saved_usd_total" if has("reason=\"cache\"") => sums.by_cache += signed,
                "weir_saved_usd_total" => sums.by_routing += signed,
                "weir_hedges_total" if has("outcome=\"won\"") => sums.hedges_won += value as u64,
                "weir_cache_lookups_total" if has("result=\"shared\"") => sums.shared += value as u64,
                "weir_upstream_attempts_total" if !FINE.iter().any(|outcome| has(outcome)) => {
                    sums.failed += value as u64;
                }
                _ => {}
            }
        }
        sums
    }

    /// All that was saved, in USD.
    pub fn saved(&self) -> f64 {
        self.by_routing + self.by_cache
    }

    /// What was saved as a share of what the baseline would have cost, in percent.
    pub fn percent(&self) -> f64 {
        let whole = self.spent + self.saved();
        if whole > 0.0 { self.saved() / whole * 100.0 } else { 0.0 }
    }
}

/// Outcomes that are nobody's failure.
const FINE: [&str; 4] =
    ["outcome=\"ok\"", "outcome=\"overtaken\"", "outcome=\"client_left\"", "outcome=\"skipped\""];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_summed_up() {
        let page = "# HELP weir_cost_usd_total x\nweir_requests_in_flight 3\n\
            weir_cost_usd_total{model=\"a\",provider=\"p\"} 0.25\nweir_cost_usd_total{model=\"b\",provider=\"p\"} 0.5\n\
            weir_saved_usd_total{reason=\"routing\",sign=\"less\"} 2.5\n\
            weir_saved_usd_total{reason=\"routing\",sign=\"more\"} 0.5\n\
            weir_saved_usd_total{reason=\"cache\",sign=\"less\"} 0.25\n\
            weir_cache_lookups_total{result=\"shared\"} 19\nweir_cache_lookups_total{result=\"hit\"} 7\n\
            weir_upstream_attempts_total{model=\"a\",outcome=\"ok\",provider=\"p\"} 9\n\
            weir_upstream_attempts_total{model=\"a\",outcome=\"server_error\",provider=\"p\"} 2\n\
            weir_hedges_total{outcome=\"lost\",route=\"r\"} 4\nweir_hedges_total{outcome=\"won\",route=\"r\"} 3\n";
        let readings = Readings::read(page);
        let expected =
            Readings { spent: 0.75, by_routing: 2.0, by_cache: 0.25, hedges_won: 3, shared: 19, failed: 2 };
        assert_eq!(readings, expected);
        assert_eq!((readings.saved(), readings.percent()), (2.25, 75.0));
        assert_eq!(Readings::default().percent(), 0.0);
    }
}
