//! What kind of work a prompt asks for.

use super::{
    lexicon::Class,
    scan::{Mark, Scan},
};

/// A kind of work. Users may name others in `x-weir-task`; these are those that a classifier finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Task {
    /// Writing, reading or repairing programs.
    CodeGeneration,
    /// Calculating, solving, proving.
    Mathematics,
    /// Saying what is known.
    Knowledge,
    /// Thinking through: planning, judging, deducing.
    Reasoning,
    /// Answering from a text that comes along.
    DocumentAnalysis,
    /// Taking pieces out of a text.
    Extraction,
    /// Stories, poems, letters.
    CreativeWriting,
    /// Small talk.
    Chat,
    /// Saying it in another language.
    Translation,
    /// Saying it shorter.
    Summarization,
}

impl Task {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::CodeGeneration,
        Self::Mathematics,
        Self::Knowledge,
        Self::Reasoning,
        Self::DocumentAnalysis,
        Self::Extraction,
        Self::CreativeWriting,
        Self::Chat,
        Self::Translation,
        Self::Summarization,
    ];

    /// The name in configuration, headers, and the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CodeGeneration => "code_generation",
            Self::Mathematics => "mathematics",
            Self::Knowledge => "knowledge",
            Self::Reasoning => "reasoning",
            Self::DocumentAnalysis => "document_analysis",
            Self::Extraction => "extraction",
            Self::CreativeWriting => "creative_writing",
            Self::Chat => "chat",
            Self::Translation => "translation",
            Self::Summarization => "summarization",
        }
    }

    /// The task with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|task| task.as_str() == name)
    }
}

/// How much a prompt is of each task, in the order of [`Task::ALL`]; they sum up to 1.
pub type Shares = [f32; Task::ALL.len()];

/// The task with the greatest share; the first of equals.
pub fn greatest(shares: &Shares) -> Task {
    let mut best = 0;
    for (index, share) in shares.iter().enumerate() {
        if *share > shares[best] {
            best = index;
        }
    }
    Task::ALL[best]
}

/// How much a prompt is of each task. These are rules, not learned: no public set of outcomes has such labels.
/// A word counts more the fewer there are around it; what stands in the first words of a prompt, which mostly say what
/// to do, counts again.
pub fn shares(scan: &Scan) -> Shares {
    let words = scan.mark(Mark::Words) as f32;
    let per = 12.0 / (12.0 + words);
    let count = |class: Class| {
        let (all, early) = (scan.class(class) as f32, scan.early(class) as f32);
        per * all + 0.6 * early.min(2.0)
    };
    let mark = |mark: Mark| scan.mark(mark) as f32;
    let bytes = scan.bytes() as f32 + 1.0;
    let share_of = |count: f32| (count * 100.0 / bytes).min(8.0);
    let braces =
        share_of(mark(Mark::Brace) + mark(Mark::Bracket) + mark(Mark::Underscore) + mark(Mark::Equals));
    let fences = if mark(Mark::Backtick) >= 3.0 { 1.0 } else { 0.0 };
    let options = if mark(Mark::Options) >= 3.0 { 1.0 } else { 0.0 };
    let numbers = (mark(Mark::Numbers) * 10.0 / (words + 10.0)).min(2.0);
    let tex = share_of(mark(Mark::Backslash) + mark(Mark::Caret) + mark(Mark::Dollar));
    let long = if words > 120.0 { 1.0 } else { 0.0 };
    let short = if words < 12.0 { 0.35 } else { 0.0 };
    let raw: Shares = [
        1.2 * count(Class::Code) + 1.3 * count(Class::Keyword) + 0.35 * braces + 1.2 * fences,
        1.3 * count(Class::Mathematics)
            + count(Class::Proof)
            + 0.7 * count(Class::Quantity)
            + 0.5 * count(Class::Unit)
            + 0.5 * numbers
            + 0.5 * tex,
        0.45 + 0.9 * count(Class::Fact)
            + 0.6 * count(Class::Field)
            + 0.4 * count(Class::What)
            + 0.9 * options,
        count(Class::Analysis)
            + 0.8 * count(Class::Reasoning)
            + 0.6 * count(Class::Why)
            + 0.3 * count(Class::Negation),
        1.2 * count(Class::Document) + 0.6 * long * count(Class::Document).min(1.0),
        1.4 * count(Class::Extraction),
        1.3 * count(Class::Creative),
        short + 1.3 * count(Class::Greeting),
        1.6 * count(Class::Translation) + if scan.mark(Mark::Foreign) * 4 > scan.bytes() { 0.2 } else { 0.0 },
        1.8 * count(Class::Summary),
    ];
    let total: f32 = raw.iter().sum();
    raw.map(|share| share / total)
}
