//! The model that grades answers.

use std::time::Duration;

use super::{
    super::{Config, Judge, path::KeyPath},
    Report,
    chains::refer,
    names::AUTO,
};
use crate::base::money::Nanos;

/// The longest that judging may take.
const LONGEST: Duration = Duration::from_secs(600);
/// The most answers that are judged at a time.
const MOST: usize = 1000;

pub(super) fn check(config: &Config, report: &mut Report<'_>) {
    let Judge { enabled, model, share, daily, max_concurrent, deadline } = &config.judge;
    let path = KeyPath::of(&["judge"]);
    let place = path.key("model");
    let pinned =
        model.split_once('/').is_some_and(|(provider, _)| report.names("providers").contains(&provider));
    match &**model {
        "" if *enabled => {
            let remedy = "Name a route or model, or set `enabled = false`.";
            report.fault(&place, "nobody is there to judge", remedy);
        }
        AUTO => report.fault(&place, "`auto` would choose a judge by the answer", "Name a route or model."),
        "" => {}
        name if report.names("models").contains(&name) || pinned => {}
        name => refer(&place, name, "route", report),
    }
    if !(*share > 0.0 && *share <= 1.0) {
        let remedy = "Write a share above 0 and up to 1, like 0.01.";
        report.fault(&path.key("share"), format!("{share} is no share of answers"), remedy);
    }
    if *daily <= Nanos::ZERO {
        let remedy = "Write an amount in USD above 0, like 1.00, or set `enabled = false`.";
        report.fault(&path.key("daily"), "no judge works for nothing", remedy);
    }
    if !(1..=MOST).contains(max_concurrent) {
        let remedy = format!("Write 1 to {MOST}.");
        report.fault(&path.key("max_concurrent"), format!("{max_concurrent} does not fit here"), remedy);
    }
    if deadline.0.is_zero() || deadline.0 > LONGEST {
        let remedy = "Write a span above 0 and up to `10m`.";
        report.fault(&path.key("deadline"), format!("{deadline} does not fit here"), remedy);
    }
}
