//! `weir classify`: what the classifier thinks of prompts.

use std::{
    fmt::Display,
    io::{self, BufRead, Read as _, Write},
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::lines;
use crate::{
    classify::{Classifier, Opinion, Prompt, Task, language},
    config::{self, ClassifierKind, Config},
    pipeline::snapshot,
};

/// What the classifier of the configuration thinks of prompts.
#[derive(Args, Clone, Debug)]
pub struct ClassifyArgs {
    /// The prompt; `-` reads it from the standard input. With --jsonl: the file, `-` (or none) for the standard input
    #[arg(value_name = "TEXT", required_unless_present = "jsonl")]
    text: Vec<String>,
    /// Read lines of {"id","prompt"}, print lines of {"id","score","complexity","task","tier"}
    #[arg(long)]
    jsonl: bool,
    /// Print JSON
    #[arg(long, conflicts_with = "jsonl")]
    json: bool,
}

/// The longest prompt that is read, in bytes.
const LONGEST: u64 = 64 * 1024 * 1024;

/// The tiers of one who has configured none: their names are those that most use.
const USUAL: [(u8, &str); 4] = [(8, "premium"), (5, "standard"), (3, "budget"), (1, "ultra_budget")];

#[derive(Deserialize)]
struct Line {
    id: Value,
    prompt: String,
}

#[derive(Serialize)]
struct Said<'a> {
    id: Value,
    score: f64,
    complexity: u8,
    task: &'static str,
    tier: &'a str,
}

/// Prints what the classifier of the configuration thinks.
///
/// # Errors
/// A faulty configuration, bad input, or a failure of `out`.
pub fn run(
    files: &[PathBuf],
    args: &ClassifyArgs,
    input: &mut impl BufRead,
    out: &mut impl Write,
) -> Result<(), String> {
    let loaded = config::load(files).map_err(|faults| format!("the configuration has faults:\n{faults}"))?;
    let config = &loaded.config;
    let classifier = snapshot::classifier(&config.classifier)?;
    if args.jsonl {
        return stream(config, &classifier, &args.text, input, out);
    }
    let text = match args.text.as_slice() {
        [dash] if dash == "-" => {
            let mut text = Vec::new();
            let read = input.take(LONGEST + 1).read_to_end(&mut text);
            let unread = |error: &dyn Display| format!("the standard input cannot be read: {error}");
            if read.map_err(|error| unread(&error))? as u64 > LONGEST {
                return Err("the standard input is longer than 64 MiB".into());
            }
            String::from_utf8(text).map_err(|error| unread(&error))?
        }
        words => words.join(" "),
    };
    let result = match args.json {
        true => print_json(config, &classifier, &text, out),
        false => print(config, &classifier, &text, out),
    };
    lines::printed(result, out)
}

fn stream(
    config: &Config,
    classifier: &Classifier,
    names: &[String],
    input: &mut impl BufRead,
    out: &mut impl Write,
) -> Result<(), String> {
    let take = |Line { id, prompt }: Line| {
        let opinion = classifier.classify(&Prompt::text(&prompt));
        let said = Said {
            id,
            score: opinion.score,
            complexity: opinion.complexity,
            task: opinion.task.as_str(),
            tier: tier(config, opinion.complexity).0,
        };
        let written = serde_json::to_writer(&mut *out, &said).map_err(io::Error::from);
        match written.and_then(|()| writeln!(out)) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ControlFlow::Break(())),
            Err(error) => Err(format!("this cannot be printed: {error}")),
            Ok(()) => Ok(ControlFlow::Continue(())),
        }
    };
    match names {
        [] => lines::each("the standard input", input, take)?,
        [dash] if dash == "-" => lines::each("the standard input", input, take)?,
        [file] => lines::each_of(Path::new(file), take)?,
        _ => return Err("--jsonl takes one file, or `-`".into()),
    }
    lines::printed(Ok(()), out)
}

/// The tier of a complexity, with the complexity from which it serves.
pub fn tier(config: &Config, complexity: u8) -> (&str, u8) {
    let own = config.classifier.tiers.iter().map(|tier| (tier.min, tier.route.as_str()));
    let usual = USUAL.iter().filter(|_| config.classifier.tiers.is_empty()).copied();
    let fits = own.chain(usual).filter(|(min, _)| *min <= complexity);
    fits.max_by_key(|(min, _)| *min).map_or(("", 0), |(min, route)| (route, min))
}

/// The tasks that a prompt is most of, the greatest share first.
fn tasks(opinion: &Opinion) -> Vec<(Task, f32)> {
    let mut tasks: Vec<(Task, f32)> = Task::ALL.into_iter().zip(opinion.tasks).collect();
    tasks.sort_by(|a, b| b.1.total_cmp(&a.1));
    tasks
}

/// The route of a task or of a language, if one has its own.
fn own_route<'a>(config: &'a Config, task: Task, language: Option<&str>) -> Option<(&'static str, &'a str)> {
    let classifier = &config.classifier;
    let task = classifier.tasks.get(task.as_str()).map(|route| ("the task's own", route.as_str()));
    task.or_else(|| classifier.languages.get(language?).map(|route| ("the language's own", route.as_str())))
}

fn found_language(config: &Config, text: &str) -> Option<&'static str> {
    (!config.classifier.languages.is_empty()).then(|| language(text)).flatten()
}

fn print(config: &Config, classifier: &Classifier, text: &str, out: &mut impl Write) -> io::Result<()> {
    let prompt = Prompt::text(text);
    let opinion = classifier.classify(&prompt);
    let (tier, min) = tier(config, opinion.complexity);
    let shown: Vec<String> = tasks(&opinion)
        .into_iter()
        .take(3)
        .filter(|(_, share)| *share >= 0.05)
        .map(|(task, share)| format!("{} {:.0} %", task.as_str(), share * 100.0))
        .collect();
    writeln!(out, "Task        {}", shown.join(", "))?;
    writeln!(out, "Complexity  {} of 10", opinion.complexity)?;
    let note =
        if config.classifier.tiers.is_empty() { "; no tiers are configured, so the usual names" } else { "" };
    writeln!(out, "Tier        {tier} (from {min} on{note})")?;
    let language = found_language(config, text);
    if let Some(language) = language {
        writeln!(out, "Language    {language}")?;
    }
    if let Some((whose, route)) = own_route(config, opinion.task, language) {
        writeln!(out, "Route       {route} ({whose})")?;
    }
    writeln!(out, "Score       {:.4}", opinion.score)?;
    if config.classifier.kind == ClassifierKind::Llm {
        writeln!(
            out,
            "Asked       the built-in classifier; a running gateway asks the model of classifier.llm"
        )?;
    }
    let why = classifier.why(&prompt);
    if !why.is_empty() {
        writeln!(out, "Why")?;
    }
    why.iter().try_for_each(|reason| writeln!(out, "  {reason}"))
}

fn print_json(config: &Config, classifier: &Classifier, text: &str, out: &mut impl Write) -> io::Result<()> {
    let prompt = Prompt::text(text);
    let opinion = classifier.classify(&prompt);
    let language = found_language(config, text);
    let (tier, _) = tier(config, opinion.complexity);
    let shares: Map<String, Value> =
        tasks(&opinion).into_iter().map(|(task, share)| (task.as_str().to_owned(), json!(share))).collect();
    let said = json!({
        "score": opinion.score,
        "complexity": opinion.complexity,
        "task": opinion.task.as_str(),
        "tasks": shares,
        "tier": tier,
        "route": own_route(config, opinion.task, language).map_or(tier, |(_, route)| route),
        "language": language,
        "why": classifier.why(&prompt),
    });
    serde_json::to_writer_pretty(&mut *out, &said)?;
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(config: &str, args: &[&str], input: &str) -> Result<String, String> {
        #[derive(clap::Parser)]
        struct Whole {
            #[command(flatten)]
            args: ClassifyArgs,
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("weir.toml");
        std::fs::write(&file, config).unwrap();
        let args = std::iter::once("classify").chain(args.iter().copied());
        let whole = <Whole as clap::Parser>::try_parse_from(args).map_err(|error| error.to_string())?;
        let mut out = Vec::new();
        run(&[file], &whole.args, &mut input.as_bytes(), &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn people_are_told_what_and_why() {
        let text = said("", &["Prove", "that there are infinitely many primes"], "").unwrap();
        for line in ["Task        mathematics", "Complexity  ", "Tier        ", "Score       ", "Why\n"] {
            assert!(text.contains(line), "{text}");
        }
        assert_eq!(said("", &["-"], "Hello"), said("", &["Hello"], ""));
    }

    #[test]
    fn lines_are_answered_by_lines() {
        let input = "{\"id\":7,\"prompt\":\"hi\"}\n\n{\"id\":\"b\",\"prompt\":\"Prove it.\",\"more\":1}\n";
        let lines = said("", &["--jsonl"], input).unwrap();
        let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((lines.len(), &lines[0]["id"], &lines[1]["id"]), (2, &json!(7), &json!("b")));
        for line in &lines {
            assert!(line["score"].is_f64() && line["complexity"].is_u64(), "{line}");
            assert!(line["tier"].is_string() && line["task"].is_string(), "{line}");
        }
        assert_eq!(lines[0]["tier"], "ultra_budget");
        let bad = said("", &["--jsonl", "-"], "{\"id\":1,\"prompt\":\"x\"}\n{\"id\":2}").unwrap_err();
        assert!(bad.contains("line 2") && bad.contains("prompt"), "{bad}");
    }

    /// A reader that has seen enough.
    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nobody_reads_so_nothing_more_is_read() {
        let args = ClassifyArgs { text: Vec::new(), jsonl: true, json: false };
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut input = "{\"id\":1,\"prompt\":\"x\"}\nrest\n".as_bytes();
        run(&[file.path().to_owned()], &args, &mut input, &mut Closed).unwrap();
        assert_eq!(input, b"rest\n");
    }

    #[test]
    fn a_prompt_above_the_limit_is_refused() {
        let args = ClassifyArgs { text: vec!["-".into()], jsonl: false, json: false };
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut input = io::BufReader::new(io::repeat(b'x').take(LONGEST + 9));
        let problem = run(&[file.path().to_owned()], &args, &mut input, &mut Vec::new()).unwrap_err();
        assert!(problem.contains("longer than 64 MiB"), "{problem}");
    }

    #[test]
    fn the_configuration_says_which_tier_serves() {
        let config = "[providers.p]\nprotocol = \"sim\"\n[models.m]\nprovider = \"p\"\n[routes.all]\ntargets = [\"m\"]\n\
            [routes.de]\ntargets = [\"m\"]\n[classifier]\nkind = \"keywords\"\ntiers = [{ min = 1, route = \"all\" }]\n\
            languages = { de = \"de\" }\n";
        let prompt = "Warum ist der Himmel eigentlich blau, und warum wird er am Abend rot?";
        let json: Value = serde_json::from_str(&said(config, &["--json", prompt], "").unwrap()).unwrap();
        assert_eq!(
            (&json["tier"], &json["route"], &json["language"]),
            (&json!("all"), &json!("de"), &json!("de"))
        );
        assert_eq!((&json["score"], &json["complexity"]), (&json!(5.0), &json!(5)));
    }
}
