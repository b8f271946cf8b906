//! Outcomes of pairs of models on public questions, read from a folder.

use std::{fs, path::Path};

use serde::Deserialize;
use weir::classify::{
    curve::Outcome,
    fit::sample::{Sample, Target},
};

use crate::Failure;

/// A benchmark: one file.
pub struct Benchmark {
    /// The name of its file, without `_dev.jsonl`.
    pub file: &'static str,
    /// What it is called in the table.
    pub name: &'static str,
    /// Which pair of models answered: the gaps of one pair compare.
    pair: u8,
    /// The best score there is.
    best: f64,
    /// How much it counts in training beside others of its size; 0: it is only used for the table.
    pub weight: f64,
}

const fn benchmark(file: &'static str, name: &'static str, pair: u8, best: f64, weight: f64) -> Benchmark {
    Benchmark { file, name, pair, best, weight }
}

/// What is trained on.
pub const BENCHMARKS: [Benchmark; 12] = [
    benchmark("routellm_mmlu", "MMLU (GPT-4 / Mixtral)", 0, 1.0, 1.0),
    benchmark("routellm_gsm8k_fixed", "GSM8K re-scored (GPT-4 / Mixtral)", 1, 1.0, 1.0),
    benchmark("zeroeval_gsm_4o_gpt35", "ZeroEval GSM (GPT-4o / GPT-3.5)", 2, 1.0, 1.0),
    benchmark("zeroeval_gsm_sonnet35_haiku3", "ZeroEval GSM (Sonnet 3.5 / Haiku 3)", 3, 1.0, 1.0),
    benchmark("zeroeval_crux_4o_gpt35", "ZeroEval CRUX (GPT-4o / GPT-3.5)", 2, 1.0, 1.0),
    benchmark("zeroeval_crux_sonnet35_haiku3", "ZeroEval CRUX (Sonnet 3.5 / Haiku 3)", 3, 1.0, 1.0),
    benchmark("zeroeval_mathl5_4o_gpt35", "MATH level 5 (GPT-4o / GPT-3.5)", 2, 1.0, 1.0),
    benchmark("zeroeval_mathl5_sonnet35_haiku3", "MATH level 5 (Sonnet 3.5 / Haiku 3)", 3, 1.0, 1.0),
    benchmark("mmlupro_gemini15pro_mixtral", "MMLU-Pro (Gemini 1.5 Pro / Mixtral)", 4, 1.0, 1.0),
    benchmark("routerarena_gemflash_haiku", "RouterArena (Gemini Flash / Haiku)", 5, 1.0, 1.0),
    // 36 prompts, judged by a model: little to learn from.
    benchmark("routellm_mtbench", "MT-Bench (GPT-4 / Mixtral)", 6, 10.0, 0.3),
    // The same answers as above, mixed.
    benchmark("mix_gpt4o_gpt35", "GSM + MATH-L5 + CRUX mixed (GPT-4o / GPT-3.5)", 2, 1.0, 0.0),
];

/// Its answers of the strong model were scored wrongly.
const DEFECT: &str = "high_school_mathematics";

/// A prompt with what is known of it.
pub struct Example {
    /// Its place in [`BENCHMARKS`]; behind them stand everyday prompts, without an outcome of models.
    pub benchmark: usize,
    /// The same for all prompts that ask the same question.
    pub question: u64,
    /// The prompt's name in its file.
    pub id: String,
    /// The prompt.
    pub text: String,
    /// How good both models were, 0 to 1.
    pub outcome: Outcome,
    /// What is seen of it.
    pub sample: Sample,
    /// What training is to tell of it.
    pub target: f64,
    /// How much it counts in training.
    pub importance: f64,
}

#[derive(Deserialize)]
struct Line {
    id: String,
    prompt: String,
    strong_score: f64,
    weak_score: f64,
    task: Option<String>,
}

/// Prompts as users write them, by what they need: `-` little, `~` something, `+` much, before each.
const EVERYDAY: &str = include_str!("everyday.txt");

/// How much an everyday prompt counts beside one of a benchmark.
const EVERYDAY_IMPORTANCE: f64 = 1.0;

/// Everything in a folder that [`BENCHMARKS`] names, then the everyday prompts.
pub fn read(folder: &Path) -> Result<Vec<Example>, Failure> {
    let mut examples = Vec::new();
    for (benchmark, Benchmark { file, best, .. }) in BENCHMARKS.iter().enumerate() {
        let path = folder.join(format!("{file}_dev.jsonl"));
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let line: Line =
                serde_json::from_str(line).map_err(|error| format!("{}: {error}", path.display()))?;
            if line.task.as_deref() != Some(DEFECT) {
                let outcome = Outcome { strong: line.strong_score / best, weak: line.weak_score / best };
                examples.push(example(benchmark, line.id, line.prompt, outcome));
            }
        }
    }
    set_targets(&mut examples);
    for line in EVERYDAY.lines() {
        let Some((mark, text)) = line.split_once(' ') else { continue };
        let target = match mark {
            "-" => -1.5,
            "~" => 0.0,
            "+" => 1.5,
            _ => return Err(format!("everyday.txt: `{line}` begins with no mark").into()),
        };
        let outcome = Outcome { strong: 0.0, weak: 0.0 };
        let text = text.replace("\\n", "\n");
        let mut everyday = example(BENCHMARKS.len(), String::new(), text, outcome);
        (everyday.target, everyday.importance) = (target, EVERYDAY_IMPORTANCE);
        examples.push(everyday);
    }
    Ok(examples)
}

fn example(benchmark: usize, id: String, text: String, outcome: Outcome) -> Example {
    let (question, sample) = (question(&text), Sample::of(&text));
    Example { benchmark, question, id, text, outcome, sample, target: 0.0, importance: 0.0 }
}

/// Where the answers to choose from, or instructions of a benchmark, begin.
const ENDS: [&str; 6] = ["\nA.", "\nA)", "(A)", "\nA:", "Options:", "\n\nProvide"];

/// A number for the question in a prompt, whatever its benchmark wrote around it.
fn question(text: &str) -> u64 {
    let text = text.find("Question:").map_or(text, |at| &text[at + "Question:".len()..]);
    let end = ENDS.iter().filter_map(|end| text.find(end)).filter(|at| *at > 0).min();
    let text = &text[..end.unwrap_or(text.len())];
    // FNV-1a over letters and digits.
    text.bytes().filter(u8::is_ascii_alphanumeric).fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Says what training is to tell. A benchmark counts more than another as the fourth root of their sizes says.
fn set_targets(examples: &mut [Example]) {
    let all: Vec<_> = (0..BENCHMARKS.len())
        .map(|benchmark| {
            let of = |is: &dyn Fn(&Example) -> bool| -> Vec<Outcome> {
                examples.iter().filter(|example| is(example)).map(|example| example.outcome).collect()
            };
            let own = of(&|example| example.benchmark == benchmark);
            let pair = of(&|example| {
                let other = &BENCHMARKS[example.benchmark];
                other.pair == BENCHMARKS[benchmark].pair && other.weight > 0.0
            });
            let strong = own.iter().map(|outcome| outcome.strong).sum::<f64>() / own.len() as f64;
            (Target::new(&pair), strong, BENCHMARKS[benchmark].weight / (own.len() as f64).powf(0.25))
        })
        .collect();
    for example in &mut *examples {
        let (target, strong, importance) = &all[example.benchmark];
        (example.target, example.importance) = (target.of(&example.outcome, *strong), *importance);
    }
    let used = examples.iter().filter(|example| example.importance > 0.0);
    let mean = used.clone().map(|example| example.importance).sum::<f64>() / used.count() as f64;
    for example in examples {
        example.importance /= mean;
    }
}
