//! How strong a model a prompt needs, what kind of work it is; no I/O, microseconds.

pub mod builtin;
pub mod calibrate;
pub mod curve;
mod cut;
pub mod features;
pub mod fit;
pub mod forest;
pub mod groups;
pub mod keywords;
mod language;
pub mod lexicon;
pub mod model;
pub mod prompt;
pub mod scan;
pub mod task;

pub use builtin::Builtin;
pub use keywords::Keywords;
pub use language::language;
pub use prompt::{Prompt, Shape};
pub use task::{Shares, Task};

use crate::config::{self, ClassifierKind};
use model::BadModel;
use scan::Scan;

/// What a classifier thinks of a prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct Opinion {
    /// Grows with the need for a strong model; any finite number. Scores of different kinds do not compare.
    pub score: f64,
    /// 1 (anything will do) to 10, with the least that the request's shape demands.
    pub complexity: u8,
    /// What is asked for, most of all.
    pub task: Task,
    /// How much it is of each task, in the order of [`Task::ALL`]; they sum up to 1.
    pub tasks: Shares,
}

/// A way to classify.
#[derive(Clone, Debug)]
pub enum Classifier {
    /// What ships with Weir.
    Builtin(Builtin),
    /// Rules over words.
    Keywords(Keywords),
}

impl Classifier {
    /// What a configuration asks for, with the content of the file that its `calibration` names. A model that is asked
    /// (`kind = "llm"`) is asked elsewhere; what ships stands in for it.
    ///
    /// # Errors
    /// The file is no model.
    pub fn new(config: &config::Classifier, calibration: Option<&[u8]>) -> Result<Self, BadModel> {
        match (config.kind, calibration) {
            (ClassifierKind::Keywords, _) => Ok(Self::Keywords(Keywords::new(&config.keywords))),
            (ClassifierKind::Builtin | ClassifierKind::Llm, None) => Ok(Self::Builtin(Builtin::new())),
            (ClassifierKind::Builtin | ClassifierKind::Llm, Some(file)) => {
                Builtin::read(file).map(Self::Builtin)
            }
        }
    }

    /// Looks at a prompt. The same prompt always gets the same opinion, on every platform.
    pub fn classify(&self, prompt: &Prompt<'_>) -> Opinion {
        match self {
            Self::Builtin(builtin) => builtin.classify(prompt),
            Self::Keywords(keywords) => {
                let found = keywords.complexity(&prompt.text);
                let tasks = task::shares(&Scan::of(&prompt.text, &mut ()));
                Opinion {
                    score: f64::from(found),
                    complexity: found.max(least(&prompt.shape)),
                    task: task::greatest(&tasks),
                    tasks,
                }
            }
        }
    }

    /// Why it thinks so, as short sentences. Only for people: it takes its time.
    pub fn why(&self, prompt: &Prompt<'_>) -> Vec<String> {
        let mut reasons = match self {
            Self::Builtin(builtin) => builtin.why(prompt),
            Self::Keywords(keywords) => keywords
                .found(&prompt.text)
                .into_iter()
                .map(|found| match found.add {
                    Some(by) => format!("`{}`: {by:+}", found.word),
                    None => format!("`{}` decides", found.word),
                })
                .collect(),
        };
        reasons.extend(demands(&prompt.shape).map(|(demand, _)| format!("{demand}: at least {LEAST}")));
        reasons
    }
}

/// The complexity of what a simple model may not be able to do at all.
const LEAST: u8 = 5;

/// Tokens that a small model's window may not hold.
const LONG: u32 = 16_000;

/// More functions than these are too many for a simple model.
const TOOLS: u32 = 2;

/// What the shape of a request demands of a model, whatever its words.
fn demands(shape: &Shape) -> impl Iterator<Item = (&'static str, bool)> {
    [
        ("more than two tools", shape.tools > TOOLS),
        ("more than 16k tokens of context", shape.context_tokens > LONG),
        ("images", shape.images > 0),
        ("an answer in a JSON schema", shape.schema),
    ]
    .into_iter()
    .filter(|(_, demanded)| *demanded)
}

/// The least complexity of a request with this shape.
pub fn least(shape: &Shape) -> u8 {
    if demands(shape).next().is_some() { LEAST } else { 1 }
}
