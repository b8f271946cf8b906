//! `weir estimate`: what a batch of prompts would cost, beside the baseline.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    ops::ControlFlow,
    path::PathBuf,
};

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

use super::lines;
use crate::{
    base::{money::Nanos, tokens},
    classify::{Classifier, Prompt, language},
    config,
    openai::{Ask, Attachment, Endpoint, Usage},
    pipeline::snapshot,
    price::{Price, cost},
    route::{Book, Nature, Tiers},
};

/// What a batch of prompts would cost as `auto`, beside the baseline of the configuration. Nothing is sent.
#[derive(Args, Clone, Debug)]
pub struct EstimateArgs {
    /// Lines of {"prompt"}, or of requests with {"messages"}, which may stand in a "body" as in a batch file; each may
    /// say its "output_tokens"
    file: PathBuf,
    /// How many tokens an answer has where the line does not say it
    #[arg(long, value_name = "TOKENS", default_value_t = 400)]
    output: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Deserialize)]
struct Line<'a> {
    prompt: Option<String>,
    messages: Option<serde::de::IgnoredAny>,
    output_tokens: Option<u64>,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
}

/// What some prompts come to.
#[derive(Clone, Debug, Default, Serialize)]
struct Sum {
    prompts: u64,
    input_tokens: u64,
    output_tokens: u64,
    cost_usd: Usd,
    /// What the same tokens cost at the baseline.
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline_usd: Option<Usd>,
}

/// Money as text, as the reports have it.
#[derive(Clone, Copy, Debug, Default)]
struct Usd(Nanos);

impl Serialize for Usd {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

#[derive(Serialize)]
struct Estimate {
    total: Sum,
    /// Less than the baseline, in USD; absent without a baseline.
    #[serde(skip_serializing_if = "Option::is_none")]
    saved_usd: Option<Usd>,
    baseline: Option<String>,
    /// By route, each with its first model.
    routes: BTreeMap<String, RouteSum>,
    /// What is assumed of answers whose length is not said.
    assumed_output_tokens: u64,
}

#[derive(Default, Serialize)]
struct RouteSum {
    model: String,
    #[serde(flatten)]
    sum: Sum,
}

/// What files are counted as: there are none in prompts, and pictures are about that large.
const ATTACHMENT: Attachment = Attachment { picture: 1000, file: 1000 };

/// Prints what the prompts of a file would cost.
///
/// # Errors
/// A faulty configuration, one that does not serve `auto`, bad lines, a model without a price, or a failure of `out`.
pub fn run(files: &[PathBuf], args: &EstimateArgs, out: &mut impl Write) -> Result<(), String> {
    let loaded = config::load(files).map_err(|faults| format!("the configuration has faults:\n{faults}"))?;
    let config = loaded.config;
    let book = Book::compile(&config, |_| true);
    let tiers = Tiers::compile(&config.classifier, &book)
        .ok_or("`auto` is not served: give classifier.tiers in the configuration")?;
    let baseline = config.classifier.baseline.as_deref();
    let price = baseline.and_then(|name| book.target(name)?.price.clone());
    let classifier = snapshot::classifier(&config.classifier)?;
    let counter =
        Counter { classifier: &classifier, tiers: &tiers, baseline: price.as_deref(), output: args.output };
    let mut estimate = Estimate {
        total: Sum::default(),
        saved_usd: None,
        baseline: baseline.filter(|_| price.is_some()).map(str::to_owned),
        routes: BTreeMap::new(),
        assumed_output_tokens: args.output,
    };
    lines::each_of(&args.file, |line: Box<RawValue>| {
        counter.count(line.get(), &mut estimate).map(ControlFlow::Continue)
    })?;
    let total = &estimate.total;
    estimate.saved_usd = total.baseline_usd.map(|baseline| Usd(baseline.0.saturating_sub(total.cost_usd.0)));
    let result = match args.json {
        true => serde_json::to_writer_pretty(&mut *out, &estimate)
            .map_err(io::Error::from)
            .and_then(|()| writeln!(out)),
        false => print(&estimate, out),
    };
    lines::printed(result, out)
}

struct Counter<'a> {
    classifier: &'a Classifier,
    tiers: &'a Tiers,
    baseline: Option<&'a Price>,
    output: u64,
}

impl Counter<'_> {
    fn count(&self, line: &str, estimate: &mut Estimate) -> Result<(), String> {
        let whole: Line<'_> = serde_json::from_str(line).map_err(|error| error.to_string())?;
        if let Some(prompt) = &whole.prompt {
            let input = tokens::count(prompt) as u64;
            return self.add(&Prompt::text(prompt), input, whole.output_tokens, estimate);
        }
        let body = match (whole.body, whole.messages) {
            (Some(body), _) => body.get(),
            (None, Some(_)) => line,
            (None, None) => return Err("it has neither `prompt`, `messages` nor `body`".into()),
        };
        let ask = ask(body)?;
        let input = ask.count_input(None, &ATTACHMENT);
        let prompt = Prompt::of(&ask);
        let most = prompt.shape.max_tokens.map(|most| most.min(self.output));
        self.add(&prompt, input, whole.output_tokens.or(most), estimate)
    }

    fn add(
        &self,
        prompt: &Prompt<'_>,
        input: u64,
        output: Option<u64>,
        estimate: &mut Estimate,
    ) -> Result<(), String> {
        let opinion = self.classifier.classify(prompt);
        let language = self.tiers.minds_language().then(|| language(&prompt.text)).flatten();
        let nature =
            Nature { tier: None, task: opinion.task.as_str(), language, complexity: opinion.complexity };
        let route = self.tiers.pick(&nature).route;
        let (target, _) =
            route.targets.first().ok_or_else(|| format!("the route `{}` has no target", route.name))?;
        let price =
            target.price.as_ref().ok_or_else(|| format!("the model `{}` has no price", target.name))?;
        let usage = Usage { input, output: output.unwrap_or(self.output), ..Usage::default() };
        let costs = cost(price, &usage);
        let baseline = self.baseline.map(|price| cost(price, &usage));
        let own = estimate.routes.entry(route.name.to_string()).or_default();
        own.model = target.name.to_string();
        own.sum.add(&usage, costs, baseline);
        estimate.total.add(&usage, costs, baseline);
        Ok(())
    }
}

impl Sum {
    fn add(&mut self, usage: &Usage, costs: Nanos, baseline: Option<Nanos>) {
        self.prompts += 1;
        self.input_tokens += usage.input;
        self.output_tokens += usage.output;
        self.cost_usd.0 = self.cost_usd.0.saturating_add(costs);
        if let Some(baseline) = baseline {
            let sum = self.baseline_usd.get_or_insert_default();
            sum.0 = sum.0.saturating_add(baseline);
        }
    }
}

/// Reads a request; one without a model asks for `auto`.
fn ask(body: &str) -> Result<Ask, String> {
    let mut value: Value = serde_json::from_str(body).map_err(|error| error.to_string())?;
    if let Value::Object(fields) = &mut value {
        fields.entry("model").or_insert_with(|| "auto".into());
        fields.remove("output_tokens");
    }
    Ask::parse(Endpoint::Chat, value.to_string().into()).map_err(|bad| bad.message)
}

fn print(estimate: &Estimate, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "Answers are taken to have {} tokens where the file does not say it. Fallbacks are not counted; nor is it said how\n\
         good the answers would be.\n",
        estimate.assumed_output_tokens
    )?;
    let baseline = estimate.baseline.as_deref();
    writeln!(
        out,
        "{:<20} {:<28} {:>8} {:>12} {:>12} {:>14} {:>14}",
        "route", "first model", "prompts", "tokens in", "tokens out", "cost USD", "baseline USD"
    )?;
    for (route, RouteSum { model, sum }) in &estimate.routes {
        row(route, model, sum, out)?;
    }
    row("all", "", &estimate.total, out)?;
    match (baseline, estimate.total.baseline_usd, estimate.saved_usd) {
        (Some(name), Some(Usd(all)), Some(Usd(saved))) => {
            let share = if all == Nanos::default() { 0.0 } else { 100.0 * saved.0 as f64 / all.0 as f64 };
            writeln!(
                out,
                "\nAlways {name}: ${all}. As auto: ${}. Saved: ${saved} ({share:.1} %).",
                estimate.total.cost_usd.0
            )
        }
        _ => writeln!(
            out,
            "\nThere is no baseline to compare with: give classifier.baseline, a model with a price."
        ),
    }
}

fn row(route: &str, model: &str, sum: &Sum, out: &mut impl Write) -> io::Result<()> {
    let baseline = sum.baseline_usd.map_or("-".to_owned(), |usd| usd.0.to_string());
    writeln!(
        out,
        "{route:<20} {model:<28} {:>8} {:>12} {:>12} {:>14} {baseline:>14}",
        sum.prompts,
        sum.input_tokens,
        sum.output_tokens,
        sum.cost_usd.0.to_string()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"
        [providers.p]
        protocol = "sim"
        [models.big]
        provider = "p"
        price = { input = 10, output = 100 }
        [models.small]
        provider = "p"
        price = { input = 1, output = 10 }
        [routes.premium]
        targets = ["big"]
        [routes.low]
        targets = ["small"]
        [classifier]
        kind = "keywords"
        tiers = [{ min = 6, route = "premium" }, { min = 1, route = "low" }]
        baseline = "big"
    "#;

    fn estimated(config: &str, text: &str, json: bool) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let (file, config_file) = (folder.path().join("in.jsonl"), folder.path().join("weir.toml"));
        std::fs::write(&file, text).unwrap();
        std::fs::write(&config_file, config).unwrap();
        let mut out = Vec::new();
        run(&[config_file], &EstimateArgs { file, output: 100, json }, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn each_prompt_is_priced_at_its_route() {
        let text = "{\"prompt\":\"hi there\",\"output_tokens\":10}\n\
            {\"prompt\":\"analyze\"}\n\
            {\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"max_tokens\":20}\n\
            {\"custom_id\":\"x\",\"body\":{\"model\":\"gpt\",\"messages\":[{\"role\":\"user\",\"content\":\"compare\"}]}}\n";
        let said: Value = serde_json::from_str(&estimated(CONFIG, text, true).unwrap()).unwrap();
        let (low, high) = (&said["routes"]["low"], &said["routes"]["premium"]);
        assert_eq!(
            (&low["prompts"], &low["output_tokens"], &low["model"]),
            (&2.into(), &30.into(), &"small".into())
        );
        assert_eq!((&high["prompts"], &high["output_tokens"]), (&2.into(), &200.into()));
        let usd = |value: &Value| Nanos::parse(value.as_str().unwrap()).unwrap();
        assert_eq!(usd(&low["baseline_usd"]).0, 10 * usd(&low["cost_usd"]).0);
        assert_eq!(usd(&high["baseline_usd"]), usd(&high["cost_usd"]));
        let total = &said["total"];
        assert_eq!(usd(&said["saved_usd"]).0, usd(&total["baseline_usd"]).0 - usd(&total["cost_usd"]).0);
        let text = estimated(CONFIG, text, false).unwrap();
        assert!(text.contains("Always big: $") && text.contains("Saved: $"), "{text}");
    }

    #[test]
    fn what_cannot_be_priced_is_said() {
        for (config, text, words) in [
            ("", "{}", "`auto` is not served"),
            (CONFIG, "{}", "line 1: it has neither"),
            (CONFIG, "{\"messages\":[]}", "line 1: "),
            (
                &CONFIG.replace("price = { input = 1, output = 10 }", ""),
                "{\"prompt\":\"hi\"}",
                "`small` has no price",
            ),
        ] {
            let problem = estimated(config, text, false).unwrap_err();
            assert!(problem.contains(words), "{problem}");
        }
    }
}
