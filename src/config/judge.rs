//! `[judge]`: a model that grades answers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Budget, Span};
use crate::base::money::Nanos;

/// A model that grades a share of the whole chat answers, after they were given: nobody waits for it. Its grades count for the quality
/// of the models that answered. What it costs stands in the ledger under the key `weir:judge`, each row with the id of the
/// request that was judged, and the grade (1 to 10) as its `quality`. It reads the last question, and the answer, four
/// kilobytes of each.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Judge {
    /// Whether answers are judged.
    pub enabled: bool,
    /// The route or model that judges, one that does not think first; needed if it is enabled.
    pub model: String,
    /// The share of answers that are judged, above 0 to 1.
    pub share: f64,
    /// The most that it may cost a day, in USD: a budget called `weir:judge`.
    pub daily: Nanos,
    /// How many answers are judged at a time; those that come while there are so many are not.
    pub max_concurrent: usize,
    /// How long judging one may take.
    pub deadline: Span,
}

impl Default for Judge {
    fn default() -> Self {
        Self {
            enabled: false,
            model: String::new(),
            share: 0.01,
            daily: Nanos(1_000_000_000),
            max_concurrent: 8,
            deadline: Span::secs(30),
        }
    }
}

impl Judge {
    /// The key under which its calls are counted; also the name of its budget.
    pub const NAME: &str = "weir:judge";

    /// What bounds its cost.
    pub fn budget(&self) -> Option<Budget> {
        let scope = format!("key:{}", Self::NAME);
        self.enabled.then(|| Budget { scope, daily: Some(self.daily), ..Budget::named(Self::NAME) })
    }
}
