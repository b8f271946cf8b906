//! The table: how well each way to score tells which prompts need the strong model.

use weir::{
    classify::{
        Keywords,
        curve::{Curve, Dice, Figures, Outcome, Prices, Stakes, interval},
    },
    config::{self, KeywordPreset},
};

use crate::examples::{BENCHMARKS, Example};

/// Samples for an interval.
const DRAWS: usize = 1000;

/// A way to score, with its score of each example.
pub struct Way {
    name: &'static str,
    scores: Vec<f64>,
}

/// All ways: the model's scores of prompts that it had not seen, beside what others do.
pub fn ways(examples: &[Example], unseen: Vec<f64>) -> Vec<Way> {
    let keywords = |preset| {
        let rules = Keywords::new(&config::Keywords { preset: Some(preset), ..config::Keywords::default() });
        examples.iter().map(|example| f64::from(rules.complexity(&example.text))).collect()
    };
    let length = |example: &Example| example.text.chars().count() as f64;
    let mut dice = Dice(1);
    vec![
        Way { name: "builtin", scores: unseen },
        Way { name: "keywords 1-10", scores: keywords(KeywordPreset::Scale) },
        Way { name: "keywords 3-way", scores: keywords(KeywordPreset::ThreeWay) },
        Way { name: "length", scores: examples.iter().map(length).collect() },
        Way { name: "random", scores: examples.iter().map(|_| dice.share()).collect() },
    ]
}

/// A line of the table.
pub struct Line {
    /// The name of the benchmark.
    pub benchmark: &'static str,
    prompts: usize,
    /// For each way its name, its figures, their interval.
    pub cells: Vec<(&'static str, Figures, (Figures, Figures))>,
}

/// The table, a line a benchmark.
pub fn table(examples: &[Example], ways: &[Way]) -> Vec<Line> {
    let stakes = Stakes { prices: Some(Prices::PAPER), ..Stakes::default() };
    let line = |(place, benchmark): (usize, &crate::examples::Benchmark)| {
        let own = || examples.iter().enumerate().filter(move |(_, example)| example.benchmark == place);
        let outcomes: Vec<Outcome> = own().map(|(_, example)| example.outcome).collect();
        // Their questions are different ones.
        let alone: Vec<usize> = (0..outcomes.len()).collect();
        let cell = |way: &Way| {
            let scores: Vec<f64> = own().map(|(at, _)| way.scores[at]).collect();
            let curve = Curve::new(&scores, &outcomes);
            Some((way.name, curve.figures(&stakes)?, interval(&curve, &stakes, DRAWS, &alone)))
        };
        Line {
            benchmark: benchmark.name,
            prompts: outcomes.len(),
            cells: ways.iter().filter_map(cell).collect(),
        }
    };
    BENCHMARKS.iter().enumerate().map(line).collect()
}

/// Prints the table.
pub fn print(table: &[Line]) {
    println!(
        "APGR [95 % interval], chance 0.5; builtin by models that saw no prompt with the same question.\n"
    );
    print!("{:<46} {:>7}", "", "prompts");
    for (name, ..) in table.first().map(|line| &line.cells).into_iter().flatten() {
        print!("  {name:<18}");
    }
    println!();
    for line in table {
        print!("{:<46} {:>7}", line.benchmark, line.prompts);
        for (_, figures, (low, high)) in &line.cells {
            print!("  {:.3} [{:.3} {:.3}]", figures.apgr, low.apgr, high.apgr);
        }
        println!();
    }
    println!(
        "\nbuiltin: share of prompts for half of the gap, for 80 %; saved at 95 % of the strong model's quality, at the paper's prices"
    );
    for line in table {
        let Some((_, figures, (low, high))) = line.cells.first() else { continue };
        let percent = |of: fn(&Figures) -> f64| {
            let [at, low, high] = [figures, low, high].map(|figures| 100.0 * of(figures));
            format!("{at:5.1} % [{low:5.1} {high:5.1}]")
        };
        let [half, most, saved] = [
            percent(|figures| figures.cpt50),
            percent(|figures| figures.cpt80),
            percent(|figures| figures.saved.unwrap_or_default()),
        ];
        println!("{:<46} {half}  {most}  {saved}", line.benchmark);
    }
}
