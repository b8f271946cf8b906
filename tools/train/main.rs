//! Trains the classifier that ships, or shows how well it does by cross-validation.
#![allow(clippy::print_stdout, reason = "its figures are for whoever runs it")]

mod calibration;
mod examples;
mod learn;
mod table;

use std::{fs, path::PathBuf};

use clap::Parser;
use examples::Example;

/// What ends the program.
type Failure = Box<dyn std::error::Error>;

/// Learns from public outcomes of pairs of models which prompts need the strong one.
#[derive(Parser)]
struct Arguments {
    /// The folder with the outcomes, `NAME_dev.jsonl` for each benchmark
    folder: PathBuf,
    /// Write the model here; without it only the table is printed
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// The day that the model's header names
    #[arg(long, default_value = "unknown")]
    date: String,
    /// Write the scores of one benchmark, each by a model that had not seen its question, as `NAME=FILE`
    #[arg(long, value_name = "NAME=FILE")]
    scores: Option<String>,
    /// Only show what calibration is worth
    #[arg(long)]
    calibration: bool,
    /// Which folds are drawn
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    let examples = examples::read(&arguments.folder)?;
    if arguments.calibration {
        calibration::print(&examples);
        return Ok(());
    }
    let unseen = learn::unseen(&examples, arguments.seed);
    if let Some((name, file)) = arguments.scores.as_deref().and_then(|scores| scores.split_once('=')) {
        write_scores(&examples, &unseen, name, file)?;
    }
    let edges = learn::edges(&examples, &unseen);
    let ways = table::ways(&examples, unseen);
    let lines = table::table(&examples, &ways);
    table::print(&lines);
    if let Some(file) = &arguments.write {
        let mut model = learn::model(&examples.iter().collect::<Vec<_>>());
        model.edges = edges;
        model.header = header(&arguments.date, &lines);
        let bytes = model.write();
        fs::write(file, &bytes)?;
        println!("\n{}: {} bytes", file.display(), bytes.len());
    }
    Ok(())
}

/// What people may want to know of a model.
fn header(date: &str, table: &[table::Line]) -> String {
    let mut header = format!(
        "Weir's prompt classifier, trained on {date} by tools/train.\n\
         Sources, all Apache-2.0: outcomes published with RouteLLM, ZeroEval, MMLU-Pro, RouterArena; tools/train/everyday.txt.\n\
         APGR by cross-validation, folds grouped by question [95 % interval]:\n"
    );
    for line in table {
        if let Some((_, figures, (low, high))) = line.cells.first() {
            header += &format!("{:.3} [{:.3} {:.3}] {}\n", figures.apgr, low.apgr, high.apgr, line.benchmark);
        }
    }
    header
}

fn write_scores(examples: &[Example], scores: &[f64], name: &str, file: &str) -> Result<(), Failure> {
    let own = |example: &Example| {
        examples::BENCHMARKS.get(example.benchmark).is_some_and(|benchmark| benchmark.file == name)
    };
    let mut lines = String::new();
    for (example, score) in examples.iter().zip(scores).filter(|(example, _)| own(example)) {
        lines += &serde_json::json!({ "id": example.id, "score": score }).to_string();
        lines.push('\n');
    }
    fs::write(file, lines)?;
    Ok(())
}
