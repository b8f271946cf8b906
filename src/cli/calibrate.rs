//! `weir calibrate`: fitting the classifier to labelled prompts of one's own.

use std::{
    fs::{self, File},
    io::{self, Write},
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{lines, pair::Pair};
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
    /// The strong model, whose price the configuration knows, for the saving [default: classifier.baseline]
    #[arg(long, value_name = "MODEL")]
    strong: Option<String>,
    /// The weak model [default: the first of the lowest tier]
    #[arg(long, value_name = "MODEL")]
    weak: Option<String>,
    /// What a prompt costs at the strong model, in any unit, in place of the configuration's price
    #[arg(long, value_parser = price, requires = "weak_price", conflicts_with_all = ["strong", "weak"])]
    strong_price: Option<f64>,
    /// What a prompt costs at the weak model, in the same unit
    #[arg(long, value_parser = price, requires = "strong_price")]
    weak_price: Option<f64>,
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
    let loaded = crate::config::load(files);
    let loaded = loaded.map_err(|faults| format!("the configuration has faults:\n{faults}"))?;
    let Read { prompts, scored } = read(args)?;
    let pair = match (args.strong_price, args.weak_price) {
        (Some(strong), _) if strong <= 0.0 => {
            return Err("--strong-price must be above 0: savings are a share of it".into());
        }
        // A label does not say how good answers are.
        _ if !scored => None,
        (Some(strong), Some(weak)) => Some(Pair::given(strong, weak)),
        _ => Pair::of(&loaded.config, args.strong.as_deref(), args.weak.as_deref(), &prompts)?,
    };
    let shipped = Builtin::new();
    let stakes = Stakes { prices: pair.as_ref().map(Pair::prices), quality: args.quality };
    let worth = calibrate::worth(shipped.model(), &prompts, &stakes).map_err(|unfit| match unfit {
        Unfit::TooFew(count) => {
            format!("{count} different prompts say nothing: {FEWEST} are the least, 500 a good beginning")
        }
        Unfit::NoGap => "both models are equally good on these prompts: take the cheaper one".to_owned(),
    })?;
    let write = worth.proven && !args.dry_run;
    let result = match args.json {
        true => print_json(&worth, pair.as_ref(), write, args, out),
        false => print(&worth, pair.as_ref(), args, out),
    };
    lines::printed(result, out)?;
    if write {
        let all: Vec<&Labelled> = prompts.iter().collect();
        let file = calibrate::fit(shipped.model(), &all).write();
        replace(&args.out, &file).map_err(|error| format!("{}: {error}", args.out.display()))?;
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

/// Writes a file whole or not at all: a gateway may read it at any time.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".part");
    let written = File::create(&beside).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    let moved = written.and_then(|()| fs::rename(&beside, path));
    if moved.is_err() {
        // What failed is told; a part that stays behind harms nobody.
        let _ = fs::remove_file(&beside);
    }
    moved
}

/// What was read.
struct Read {
    prompts: Vec<Labelled>,
    /// All say how good both models were, so that a share of that quality means something.
    scored: bool,
}

/// Reads the prompts. Scores of which one is above 1 are divided by the greatest, so that a share of the quality stays what it
/// is.
fn read(args: &CalibrateArgs) -> Result<Read, String> {
    let mut prompts: Vec<Labelled> = Vec::new();
    let mut needs = Vec::new();
    lines::each_of(&args.from, |line: Line| {
        let (strong, weak) = match (line.strong_score, line.weak_score, &line.label) {
            (Some(strong), Some(weak), None) => (strong, weak),
            // What the strong model gets right the weak one misses as much as the label says.
            (None, None, Some(label)) => {
                needs.push(prompts.len());
                (0.0, -need(label)?)
            }
            _ => return Err("give either `strong_score` and `weak_score`, or `label`".into()),
        };
        if !strong.is_finite() || !weak.is_finite() {
            return Err("a score is no number".into());
        }
        prompts.push(Labelled { text: line.prompt, outcome: Outcome { strong, weak } });
        Ok(ControlFlow::Continue(()))
    })?;
    let size = |prompt: &Labelled| prompt.outcome.strong.abs().max(prompt.outcome.weak.abs());
    let most = prompts.iter().map(size).fold(1.0, f64::max);
    for Labelled { outcome, .. } in &mut prompts {
        *outcome = Outcome { strong: outcome.strong / most, weak: outcome.weak / most };
    }
    for at in &needs {
        let Outcome { strong, weak } = &mut prompts[*at].outcome;
        (*strong, *weak) = (1.0, 1.0 + *weak);
    }
    let is_share = |prompt: &Labelled| prompt.outcome.strong >= 0.0 && prompt.outcome.weak >= 0.0;
    let scored = needs.is_empty() && prompts.iter().all(is_share);
    Ok(Read { prompts, scored })
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

fn print(worth: &Worth, pair: Option<&Pair>, args: &CalibrateArgs, out: &mut impl Write) -> io::Result<()> {
    let seen = worth.prompts - worth.held_back;
    writeln!(
        out,
        "{} prompts, {} of them different: fitted to {seen}, measured on the {} held back [95 % interval]\n",
        worth.prompts, worth.different, worth.held_back
    )?;
    writeln!(out, "{:<44}{:<26}fitted to yours", "", "as shipped")?;
    let quality = args.quality * 100.0;
    row(worth, out, "APGR (chance 0.5)", |figures| figures.apgr, 1.0)?;
    row(worth, out, "% to the strong model for half of its gain", |figures| figures.cpt50, 100.0)?;
    row(worth, out, "% to the strong model for 80 % of its gain", |figures| figures.cpt80, 100.0)?;
    let name = format!("% saved at {quality:.0} % of its quality");
    match pair {
        Some(Pair { strong_price, weak_price, from }) => {
            row(worth, out, &name, |figures| figures.saved.unwrap_or_default(), 100.0)?;
            writeln!(
                out,
                "\nThe saving is at {strong_price} a prompt for the strong model, {weak_price} for the weak one ({from})."
            )?;
        }
        None => writeln!(
            out,
            "\nNothing is said of savings: that takes scores from 0 on, not labels, with two prices: --strong-price and\n\
             --weak-price, or --strong and --weak, or classifier.baseline and tiers in the configuration."
        )?,
    }
    let gain = &worth.gain;
    writeln!(out, "\nGain in APGR {:+.3} [{:+.3} {:+.3}]", gain.value, gain.low, gain.high)?;
    if !worth.proven {
        writeln!(
            out,
            "The interval includes no gain: these prompts do not show that fitting to them helps."
        )?;
    }
    writeln!(
        out,
        "\nBy the complexity that `auto` routes by: with its bounds for a few words, for proofs, for long prompts"
    )?;
    writeln!(out, "Complexity  prompts  the strong model is better by")?;
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

fn print_json(
    worth: &Worth,
    pair: Option<&Pair>,
    write: bool,
    args: &CalibrateArgs,
    out: &mut impl Write,
) -> io::Result<()> {
    let written = write.then(|| args.out.display().to_string());
    let said = json!({ "worth": worth, "quality": args.quality, "prices": pair, "written": written });
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
        assert_eq!(
            (&said["prices"], &said["worth"]["fitted"]["value"]["saved"]),
            (&Value::Null, &Value::Null)
        );
        assert!(!folder.path().join("out").exists());
    }

    #[test]
    fn savings_are_told_with_their_prices() {
        let scores = labelled(200, |prompt, needed| {
            let weak = if needed { 2 } else { 10 };
            format!("{}\n", json!({ "prompt": prompt, "strong_score": 10, "weak_score": weak }))
        });
        let prices = ["--dry-run", "--strong-price", "8", "--weak-price", "2"];
        let text = calibrated(&scores, &prices).1;
        assert!(text.contains("% saved at 95 %") && text.contains("at 8 a prompt for the strong"), "{text}");
        let said: Value =
            serde_json::from_str(&calibrated(&scores, &[&prices[..], &["--json"]].concat()).1).unwrap();
        assert_eq!(
            (&said["prices"]["strong_price"], &said["prices"]["from"]),
            (&json!(8.0), &json!("as given"))
        );
        assert!(said["worth"]["fitted"]["value"]["saved"].as_f64().unwrap() > 0.0, "{said}");
        let needs =
            labelled(200, |prompt, needed| format!("{}\n", json!({ "prompt": prompt, "label": needed })));
        let text = calibrated(&needs, &prices).1;
        assert!(text.contains("Nothing is said of savings") && !text.contains("% saved"), "{text}");
        let problem = calibrated(&scores, &["--strong", "big"]).0.unwrap_err();
        assert!(problem.contains("--strong and --weak"), "{problem}");
    }

    #[test]
    fn the_configuration_knows_prices() {
        let config = json!({
            "providers": { "p": { "protocol": "sim" } },
            "models": {
                "big": { "provider": "p", "price": { "input": 0, "output": 10 } },
                "small": { "provider": "p", "price": { "input": 0, "output": 1 } },
                "free": { "provider": "p", "price": { "input": 0, "output": 0 } },
            },
            "routes": { "low": { "targets": ["small"] } },
            "classifier": { "baseline": "big", "tiers": [{ "min": 1, "route": "low" }] },
        });
        let config: crate::config::Config = serde_json::from_value(config).unwrap();
        let of = |strong, weak| Pair::of(&config, strong, weak, &[]);
        let known = of(None, None).unwrap().unwrap();
        assert!((known.strong_price - 0.004).abs() < 1e-9 && (known.weak_price - 0.0004).abs() < 1e-9);
        assert!(known.from.contains("for big and small"), "{known:?}");
        assert!(of(Some("free"), None).unwrap_err().contains("costs nothing"));
        assert!(of(Some("gone"), None).unwrap_err().contains("no model `gone`"));
        assert!(Pair::of(&crate::config::Config::default(), None, None, &[]).unwrap().is_none());
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
            ("{\"prompt\":\"x\",\"label\":true}", "1 different prompts say nothing"),
        ] {
            let problem = calibrated(text, &[]).0.unwrap_err();
            assert!(problem.contains(words), "{problem}");
        }
    }
}
