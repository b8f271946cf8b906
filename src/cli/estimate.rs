//! `weir estimate`: what a batch of prompts would cost, beside the baseline.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    ops::ControlFlow,
    path::PathBuf,
    sync::Arc,
};

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

use super::{check::is_on, lines};
use crate::{
    base::{money::Nanos, tokens},
    classify::{Classifier, Prompt, language},
    config::{self, ClassifierKind, Config},
    openai::{Ask, Attachment, Endpoint, Usage},
    pipeline::snapshot,
    price::{Price, cost},
    route::{Book, Nature, Pick, Rank, RouteEntry, Target, Tiers, Wanted, fits},
};

/// What a batch of prompts would cost as `auto`, beside the baseline of the configuration. Nothing is sent.
#[derive(Args, Clone, Debug)]
pub struct EstimateArgs {
    /// Lines of {"prompt"}, or of requests with {"messages"}, which may stand in a "body" as in a batch file; each may
    /// say its "output_tokens"
    file: PathBuf,
    /// How many tokens an answer has where the line does not say it
    #[arg(long, value_name = "TOKENS", default_value_t = 400,
        value_parser = clap::value_parser!(u64).range(..=MOST_OUTPUT))]
    output: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// No answer has more tokens.
const MOST_OUTPUT: u64 = 10_000_000;

/// Longer requests, in bytes, may not fit into every model's window.
const LONG: usize = 16 * 1024;

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
    /// The model that would rate each prompt: its cost is left out, the built-in classifier stands in for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    rating_left_out: Option<String>,
    /// No provider has its keys: all are taken to be on.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    all_off: bool,
    /// By route, each with its first model that is on.
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
    let all_off = !config.providers.values().any(is_on);
    let book = Book::compile(&config, |name| all_off || config.providers.get(name).is_some_and(is_on));
    let tiers = Tiers::compile(&config.classifier, &book)
        .ok_or("`auto` is not served: give classifier.tiers in the configuration")?;
    let baseline = config.classifier.baseline.as_deref();
    let price = baseline.and_then(|name| book.target(name)?.price.clone());
    let classifier = snapshot::classifier(&config.classifier)?;
    let counter = Counter {
        classifier: &classifier,
        book: &book,
        tiers: &tiers,
        baseline: price.as_deref(),
        output: args.output,
    };
    let mut estimate = Estimate {
        total: Sum::default(),
        saved_usd: None,
        baseline: baseline.filter(|_| price.is_some()).map(str::to_owned),
        rating_left_out: rater(&config),
        all_off,
        routes: BTreeMap::new(),
        assumed_output_tokens: args.output,
    };
    lines::each_of(&args.file, |line: Box<RawValue>| {
        counter.count(line.get(), &mut estimate).map(ControlFlow::Continue)
    })?;
    let total = &estimate.total;
    if total.prompts == 0 {
        return Err(format!("{}: there are no prompts", args.file.display()));
    }
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
    book: &'a Book,
    tiers: &'a Tiers,
    baseline: Option<&'a Price>,
    output: u64,
}

impl Counter<'_> {
    fn count(&self, line: &str, estimate: &mut Estimate) -> Result<(), String> {
        let whole: Line<'_> = serde_json::from_str(line).map_err(|error| error.to_string())?;
        if let Some(prompt) = &whole.prompt {
            let input = tokens::count(prompt) as u64;
            let message = serde_json::json!({ "messages": [{ "role": "user", "content": prompt }] });
            let ask = ask(&message.to_string())?;
            return self.add(&Prompt::text(prompt), &ask, input, whole.output_tokens, estimate);
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
        self.add(&prompt, &ask, input, whole.output_tokens.or(most), estimate)
    }

    fn add(
        &self,
        prompt: &Prompt<'_>,
        ask: &Ask,
        input: u64,
        output: Option<u64>,
        estimate: &mut Estimate,
    ) -> Result<(), String> {
        let opinion = self.classifier.classify(prompt);
        let language = self.tiers.minds_language().then(|| language(&prompt.text)).flatten();
        let nature =
            Nature { tier: None, task: opinion.task.as_str(), language, complexity: opinion.complexity };
        let (route, target) = self.choose(&nature, ask)?;
        let price =
            target.price.as_ref().ok_or_else(|| format!("the model `{}` has no price", target.name))?;
        let output = output.unwrap_or(self.output);
        if output > MOST_OUTPUT {
            return Err(format!("`output_tokens` is above {MOST_OUTPUT}"));
        }
        let output = target.max_output_tokens.map_or(output, |most| output.min(most));
        let usage = Usage { input, output, ..Usage::default() };
        let costs = cost(price, &usage);
        let baseline = self.baseline.map(|price| cost(price, &usage));
        let own = estimate.routes.entry(route.name.to_string()).or_default();
        own.model = target.name.to_string();
        own.sum.add(&usage, costs, baseline);
        estimate.total.add(&usage, costs, baseline);
        Ok(())
    }

    /// The route with the model that would be asked first: as in the gateway, where none can do what a demanding request
    /// needs the next tier that can serves.
    fn choose(&self, nature: &Nature<'_>, ask: &Ask) -> Result<(Arc<RouteEntry>, Arc<Target>), String> {
        let first = |pick: Pick| self.first(&pick.route, ask).map(|target| (pick.route, target));
        let pick = self.tiers.pick(nature);
        let name = Arc::clone(&pick.route.name);
        if let Some(found) = first(pick) {
            return Ok(found);
        }
        let needs = ask.needs(None);
        let special = needs.tools || needs.vision || needs.audio || needs.files;
        let demanding = special || needs.json_schema || needs.json_mode || ask.body().len() > LONG;
        let tier = self.tiers.pick(&Nature { complexity: nature.complexity, ..Nature::default() });
        let above = self.tiers.above(&tier.route.name);
        [tier.clone()]
            .into_iter()
            .chain(above)
            .filter(|_| demanding)
            .find_map(first)
            .ok_or_else(|| format!("no model of the route `{name}` is on and can do what this needs"))
    }

    fn first(&self, route: &Arc<RouteEntry>, ask: &Ask) -> Option<Arc<Target>> {
        let wanted = [Wanted::Route(Arc::clone(route))];
        let chain = self.book.chain(&wanted, |_| Rank::default(), || 0.0);
        let window = chain.targets.iter().filter_map(|target| target.context_window).min();
        let needs = ask.needs(window);
        chain.targets.into_iter().find(|target| fits(&needs, target).is_ok())
    }
}

/// The model that rates prompts in a running gateway.
fn rater(config: &Config) -> Option<String> {
    let classifier = &config.classifier;
    (classifier.kind == ClassifierKind::Llm).then(|| classifier.llm.model.clone())
}

impl Sum {
    fn add(&mut self, usage: &Usage, costs: Nanos, baseline: Option<Nanos>) {
        self.prompts += 1;
        self.input_tokens = self.input_tokens.saturating_add(usage.input);
        self.output_tokens = self.output_tokens.saturating_add(usage.output);
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
         good the answers would be.",
        estimate.assumed_output_tokens
    )?;
    if let Some(model) = &estimate.rating_left_out {
        writeln!(
            out,
            "What `{model}` would cost to rate each prompt is left out; the built-in classifier stands in for it."
        )?;
    }
    if estimate.all_off {
        writeln!(out, "No provider has its keys: all are taken to be on.")?;
    }
    writeln!(out)?;
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
    fn the_model_is_the_one_that_the_gateway_asks() {
        let off = "[providers.off]\nbase_url = \"http://127.0.0.1:1/v1\"\n\
            api_keys = [\"env:WEIR_TEST_SURELY_UNSET\"]\n\
            [models.dead]\nprovider = \"off\"\nprice = { input = 9, output = 9 }\n";
        let config = format!("{off}{CONFIG}").replace("[\"small\"]", "[\"dead\", \"small\"]").replace(
            "price = { input = 1, output = 10 }",
            "price = { input = 1, output = 10 }\ncapabilities = { tools = false }\nmax_output_tokens = 70",
        );
        let tool = "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\
            \"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]}\n";
        let text = format!("{{\"prompt\":\"hi\"}}\n{tool}");
        let said: Value = serde_json::from_str(&estimated(&config, &text, true).unwrap()).unwrap();
        let (low, high) = (&said["routes"]["low"], &said["routes"]["premium"]);
        assert_eq!((&low["model"], &low["prompts"]), (&"small".into(), &1.into()), "{said}");
        assert_eq!((&high["model"], &high["prompts"]), (&"big".into(), &1.into()), "{said}");
        assert_eq!(low["output_tokens"], 70);
        let asks = config.replace("\"keywords\"", "\"llm\"\nllm = { model = \"small\" }");
        let said = estimated(&asks, "{\"prompt\":\"hi\"}", false).unwrap();
        assert!(said.contains("What `small` would cost to rate"), "{said}");
    }

    #[test]
    fn what_cannot_be_priced_is_said() {
        for (config, text, words) in [
            ("", "{}", "`auto` is not served"),
            (CONFIG, "{}", "line 1: it has neither"),
            (CONFIG, "\n\n", "there are no prompts"),
            (
                CONFIG,
                "{\"prompt\":\"hi\",\"output_tokens\":18446744073709551615}",
                "`output_tokens` is above 10000000",
            ),
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
