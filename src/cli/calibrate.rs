//! `weir calibrate`: fitting the classifier to labelled prompts of one's own.

use std::{
    fs,
    io::{self, Write},
    ops::ControlFlow,
    path::PathBuf,
};

use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};

use super::lines;
use crate::classify::{
    Builtin,
    calibrate::{self, FEWEST, Labelled, Measured, Unfit, Worth},
    curve::{Figures, Outcome, Stakes},
};

/// Fit the classifier to labelled prompts of your own, if that is shown to help.
#[derive(Args, Clone, Debug)]
pub struct CalibrateArgs {
    /// Lines of {"prompt","strong_score","weak_score"}: how good both models were; or of {"prompt","label"}: whether it
    /// needs the strong model, as true or false, "strong" or "weak", or a number that grows with the need
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// Only say what it would be worth
    #[arg(long)]
    dry_run: bool,
    /// Where the fitted classifier is written, for `classifier.calibration`
    #[arg(long, value_name = "FILE", default_value = "calibration.bin")]
    out: PathBuf,
    /// The share of the strong model's quality at which the saving is told
    #[arg(long, default_value_t = 0.95, value_parser = share)]
    quality: f64,
    /// What a prompt costs at the strong model, in any unit
    #[arg(long, default_value_t = Stakes::default().strong_price, value_parser = price)]
    strong_price: f64,
    /// What a prompt costs at the weak model, in the same unit
    #[arg(long, default_value_t = Stakes::default().weak_price, value_parser = price)]
    weak_price: f64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn share(text: &str) -> Result<f64, String> {
    let fits = |share: &f64| *share > 0.0 && *share <= 1.0;
    text.parse().ok().filter(fits).ok_or_else(|| "it is no share above 0, up to 1".to_owned())
}

fn price(text: &str) -> Result<f64, String> {
    let fits = |price: &f64| price.is_finite() && *price >= 0.0;
    text.parse().ok().filter(fits).ok_or_else(|| "it is no price".to_owned())
}

#[derive(Deserialize)]
struct Line {
    prompt: String,
    strong_score: Option<f64>,
    weak_score: Option<f64>,
    label: Option<Value>,
}

/// Says what a fit to the prompts is worth, writes it if it is worth something.
///
/// # Errors
/// Bad prompts, too few of them, no gain that is more than chance, or a failure of `out`.
pub fn run(files: &[PathBuf], args: &CalibrateArgs, out: &mut impl Write) -> Result<(), String> {
    // A faulty configuration is told here rather than by the gateway that is to read what is written.
    crate::config::load(files).map_err(|faults| format!("the configuration has faults:\n{faults}"))?;
    if args.strong_price <= 0.0 {
        return Err("--strong-price must be above 0: savings are a share of it".into());
    }
    let prompts = read(args)?;
    let shipped = Builtin::new();
    let stakes =
        Stakes { strong_price: args.strong_price, weak_price: args.weak_price, quality: args.quality };
    let worth = calibrate::worth(shipped.model(), &prompts, &stakes).map_err(|unfit| match unfit {
        Unfit::TooFew => {
            format!("{} prompts say nothing: {FEWEST} are the least, 500 a good beginning", prompts.len())
        }
        Unfit::NoGap => "both models are equally good on these prompts: take the cheaper one".to_owned(),
    })?;
    let write = worth.proven && !args.dry_run;
    let result = match args.json {
        true => print_json(&worth, write, args, out),
        false => print(&worth, args, out),
    };
    lines::printed(result, out)?;
    if write {
        let all: Vec<&Labelled> = prompts.iter().collect();
        let file = calibrate::fit(shipped.model(), &all).write();
        fs::write(&args.out, file).map_err(|error| format!("{}: {error}", args.out.display()))?;
        if !args.json {
            let path = args.out.display();
            let told = writeln!(
                out,
                "\nWritten: {path}. Name it in the configuration: [classifier] calibration = \"{path}\""
            );
            lines::printed(told, out)?;
        }
    }
    match worth.proven || args.dry_run {
        true => Ok(()),
        false => Err(format!(
            "nothing is written: the interval of the gain, {:+.3} to {:+.3}, includes none. Label more prompts.",
            worth.gain.low, worth.gain.high
        )),
    }
}

/// Reads the prompts, their scores from 0 to 1.
fn read(args: &CalibrateArgs) -> Result<Vec<Labelled>, String> {
    let mut prompts = Vec::new();
    lines::each_of(&args.from, |line: Line| {
        let (strong, weak) = match (line.strong_score, line.weak_score, &line.label) {
            (Some(strong), Some(weak), None) => (strong, weak),
            // What the strong model gets right the weak one misses as much as the label says.
            (None, None, Some(label)) => (0.0, -need(label)?),
            _ => return Err("give either `strong_score` and `weak_score`, or `label`".into()),
        };
        if !strong.is_finite() || !weak.is_finite() {
            return Err("a score is no number".into());
        }
        prompts.push(Labelled { text: line.prompt, outcome: Outcome { strong, weak } });
        Ok(ControlFlow::Continue(()))
    })?;
    let all = prompts.iter().flat_map(|prompt| [prompt.outcome.strong, prompt.outcome.weak]);
    let (least, most) = all
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), score| (least.min(score), most.max(score)));
    // Scores from 0 to 1 stay as they are, others are brought there.
    let (from, width) =
        if least >= 0.0 && most <= 1.0 { (0.0, 1.0) } else { (least, (most - least).max(f64::MIN_POSITIVE)) };
    for prompt in &mut prompts {
        let Outcome { strong, weak } = prompt.outcome;
        prompt.outcome = Outcome { strong: (strong - from) / width, weak: (weak - from) / width };
    }
    Ok(prompts)
}

/// How much a label says that the strong model is needed.
fn need(label: &Value) -> Result<f64, String> {
    match label {
        Value::Bool(needed) => Ok(f64::from(u8::from(*needed))),
        Value::String(name) if name == "strong" => Ok(1.0),
        Value::String(name) if name == "weak" => Ok(0.0),
        other => other.as_f64().ok_or_else(|| {
            format!("the label `{other}` is neither true, false, \"strong\", \"weak\" nor a number")
        }),
    }
}

fn print(worth: &Worth, args: &CalibrateArgs, out: &mut impl Write) -> io::Result<()> {
    let seen = worth.prompts - worth.held_back;
    writeln!(
        out,
        "{} prompts: fitted to {seen}, measured on the {} held back [95 % interval]\n",
        worth.prompts, worth.held_back
    )?;
    writeln!(out, "{:<44}{:<26}fitted to yours", "", "as shipped")?;
    let quality = args.quality * 100.0;
    row(worth, out, "APGR (chance 0.5)", |figures| figures.apgr, 1.0)?;
    row(worth, out, "% to the strong model for half of its gain", |figures| figures.cpt50, 100.0)?;
    row(worth, out, "% to the strong model for 80 % of its gain", |figures| figures.cpt80, 100.0)?;
    let name = format!("% saved at {quality:.0} % of its quality");
    row(worth, out, &name, |figures| figures.saved, 100.0)?;
    let gain = &worth.gain;
    writeln!(out, "\nGain in APGR {:+.3} [{:+.3} {:+.3}]", gain.value, gain.low, gain.high)?;
    if !worth.proven {
        writeln!(
            out,
            "The interval includes no gain: these prompts do not show that fitting to them helps."
        )?;
    }
    writeln!(out, "\nComplexity  prompts  the strong model is better by")?;
    for level in &worth.levels {
        let gap = level.gap.map_or("-".to_owned(), |gap| format!("{gap:+.3}"));
        writeln!(out, "{:>10}  {:>7}  {gap}", level.complexity, level.prompts)?;
    }
    Ok(())
}

fn row(
    worth: &Worth,
    out: &mut impl Write,
    name: &str,
    of: fn(&Figures) -> f64,
    scale: f64,
) -> io::Result<()> {
    let places = if scale > 1.0 { 1 } else { 3 };
    let cell = |measured: &Measured| {
        let [value, low, high] =
            [measured.value, measured.low, measured.high].map(|figures| scale * of(&figures));
        format!("{value:.places$} [{low:.places$} {high:.places$}]")
    };
    writeln!(out, "{name:<44}{:<26}{}", cell(&worth.shipped), cell(&worth.fitted))
}

fn print_json(worth: &Worth, write: bool, args: &CalibrateArgs, out: &mut impl Write) -> io::Result<()> {
    let written = write.then(|| args.out.display().to_string());
    let said = json!({ "worth": worth, "quality": args.quality, "written": written });
    serde_json::to_writer_pretty(&mut *out, &said)?;
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::{Classifier, Prompt, curve::Dice};

    fn labelled(count: usize, line: impl Fn(&str, bool) -> String) -> String {
        let mut dice = Dice(4);
        let lines = (0..count).map(|n| {
            let hard = dice.share() < 0.5;
            let about = if hard { "zymurgy" } else { "weather" };
            line(&format!("Tell me about the {about} of place {n}"), hard != (dice.share() < 0.1))
        });
        lines.collect()
    }

    fn calibrated(text: &str, more: &[&str]) -> (Result<(), String>, String, tempfile::TempDir) {
        #[derive(clap::Parser)]
        struct Whole {
            #[command(flatten)]
            args: CalibrateArgs,
        }
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        fs::write(path("in"), text).unwrap();
        fs::write(path("weir.toml"), "").unwrap();
        let (from, to) = (path("in"), path("out"));
        let args = ["calibrate", "--from", &from, "--out", &to].into_iter().chain(more.iter().copied());
        let whole = <Whole as clap::Parser>::try_parse_from(args).unwrap();
        let mut out = Vec::new();
        let result = run(&[path("weir.toml").into()], &whole.args, &mut out);
        (result, String::from_utf8(out).unwrap(), folder)
    }

    #[test]
    fn what_helps_is_written() {
        let text =
            labelled(300, |prompt, needed| format!("{}\n", json!({ "prompt": prompt, "label": needed })));
        let (result, said, folder) = calibrated(&text, &[]);
        result.unwrap();
        for words in ["150 held back", "APGR", "Gain in APGR +", "Complexity", "Written: "] {
            assert!(said.contains(words), "{said}");
        }
        let config = crate::config::Classifier {
            calibration: Some(folder.path().join("out")),
            ..crate::config::Classifier::default()
        };
        let classifier = crate::pipeline::snapshot::classifier(&config).unwrap();
        let of = |classifier: &Classifier, text| classifier.classify(&Prompt::text(text)).complexity;
        let hard = of(&classifier, "Tell me about the zymurgy of place 7");
        assert!(hard > of(&classifier, "Tell me about the weather of place 7"), "{hard}");
        let broken = crate::config::Classifier { calibration: Some(folder.path().join("in")), ..config };
        assert!(
            crate::pipeline::snapshot::classifier(&broken).unwrap_err().contains("classifier.calibration")
        );
    }

    #[test]
    fn a_dry_run_writes_nothing() {
        let text = labelled(200, |prompt, needed| {
            let weak = if needed { 2 } else { 10 };
            format!("{}\n", json!({ "prompt": prompt, "strong_score": 10, "weak_score": weak }))
        });
        let (result, said, folder) = calibrated(&text, &["--dry-run", "--json"]);
        result.unwrap();
        let said: Value = serde_json::from_str(&said).unwrap();
        assert_eq!((&said["worth"]["proven"], &said["written"]), (&json!(true), &Value::Null));
        assert!(!folder.path().join("out").exists());
    }

    #[test]
    fn fifty_prompts_of_chance_prove_nothing() {
        let text = labelled(50, |prompt, needed| {
            format!("{}\n", json!({ "prompt": prompt.replace("zymurgy", "weather"), "label": needed }))
        });
        let (result, said, folder) = calibrated(&text, &[]);
        assert!(result.unwrap_err().contains("nothing is written"));
        assert!(said.contains("includes no gain"), "{said}");
        assert!(!folder.path().join("out").exists());
    }

    #[test]
    fn bad_lines_are_named() {
        for (text, words) in [
            ("{\"prompt\":\"x\"}", "line 1: give either"),
            ("{\"prompt\":\"x\",\"label\":\"hard\"}", "the label `\"hard\"`"),
            ("{\"label\":true}", "missing field `prompt`"),
            ("{\"prompt\":\"x\",\"label\":true}", "1 prompts say nothing"),
        ] {
            let problem = calibrated(text, &[]).0.unwrap_err();
            assert!(problem.contains(words), "{problem}");
        }
    }
}
