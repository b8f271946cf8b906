//! What calibration is worth: a model is fitted to prompts of a benchmark that it had not seen.

use weir::classify::{
    calibrate::{self, Labelled, Unfit, Worth},
    curve::{Dice, Stakes},
    model::Model,
};

use crate::{
    examples::{BENCHMARKS, Example},
    learn,
};

/// The benchmark whose prompts stand for a user's own.
const OWN: usize = 0;

/// How many of them are labelled.
const LABELLED: [usize; 3] = [50, 500, 1500];

/// Prints the gain of calibrations, each measured on the prompts of the benchmark that were not labelled.
pub fn print(examples: &[Example]) {
    let others: Vec<&Example> = examples.iter().filter(|example| example.benchmark != OWN).collect();
    let all: Vec<&Example> = examples.iter().collect();
    let name = BENCHMARKS[OWN].name;
    println!("\nAPGR on the rest of {name} after labelling some of it [95 % interval]");
    for (base, model) in [
        ("a model that saw nothing of it", learn::model(&others)),
        ("a model that saw all of it, as the one that ships did", learn::model(&all)),
    ] {
        println!("{base}:");
        for labelled in LABELLED {
            match worth(&model, examples, labelled) {
                Ok(worth) => tell(labelled, &worth),
                Err(unfit) => println!("  {labelled:>5} labels: nothing can be said ({unfit:?})"),
            }
        }
    }
}

fn worth(base: &Model, examples: &[Example], labelled: usize) -> Result<Worth, Unfit> {
    let own = examples.iter().filter(|example| example.benchmark == OWN);
    let mut own: Vec<(u64, Labelled)> = own
        .map(|example| {
            let labelled = Labelled { text: example.text.clone(), outcome: example.outcome };
            // Prompts with the same question stay together.
            (Dice(example.question).roll(), labelled)
        })
        .collect();
    own.sort_by_key(|(place, _)| *place);
    let own: Vec<&Labelled> = own.iter().map(|(_, labelled)| labelled).collect();
    let (seen, rest) = own.split_at(labelled.min(own.len()));
    let fitted = calibrate::fit(base, seen);
    calibrate::compare(base, &fitted, rest, &Stakes::default())
}

fn tell(labelled: usize, worth: &Worth) {
    let (before, after, gain) = (&worth.shipped, &worth.fitted, &worth.gain);
    println!(
        "  {labelled:>5} labels: {:.3} [{:.3} {:.3}] -> {:.3} [{:.3} {:.3}], gain {:+.3} [{:+.3} {:+.3}]{}",
        before.value.apgr,
        before.low.apgr,
        before.high.apgr,
        after.value.apgr,
        after.low.apgr,
        after.high.apgr,
        gain.value,
        gain.low,
        gain.high,
        if worth.proven { "" } else { ": no gain is shown" }
    );
}
