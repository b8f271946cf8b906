//! A day of mixed requests: what each way to route costs, what its answers are worth.

use std::{fmt::Write as _, path::Path, sync::Arc};

use rusqlite::Connection;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::support::{
    ledger::{amount, nanos},
    settings::OPEN,
    transcript::CHAT,
    weir::Weir,
};

/// How many requests a day has where `WEIR_DAY_REQUESTS` does not say.
const REQUESTS: usize = 600;
/// How many are under way at once.
const AT_ONCE: usize = 16;

/// A prompt with what a strong and a weak model's answers to it are worth, 0 to 1.
struct Prompt {
    text: String,
    strong: f64,
    weak: f64,
}

/// A way to route.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Premium,
    Keywords,
    Builtin,
    /// As one would who knew the answers: the strong model where its answer is worth more.
    Hindsight,
}

/// What a day came to.
struct Day {
    /// In nanodollars.
    bill: i64,
    baseline: i64,
    /// The mean worth of the answers.
    quality: f64,
    /// The share of requests that the strong model answered.
    strong: f64,
}

/// Prompts for where there are no others: the hard ones are longer, and only the strong model gets them right.
fn own_prompts() -> Vec<Prompt> {
    let easy = |topic: &str| (format!("What is {topic}?"), 1.0);
    let hard = |topic: &str| {
        let text = format!(
            "Prove that {topic}. Give every step, name the theorems that you use, and discuss where the argument would fail \
             if an assumption were dropped:\n1. state the definitions;\n2. prove the lemma;\n3. conclude."
        );
        (text, 0.0)
    };
    let easy = ["a fjord", "tea", "the capital of Peru", "a prime", "rust", "a sonnet"].map(easy);
    let hard = [
        "there are infinitely many primes",
        "the root of 2 is irrational",
        "every finite field has prime power order",
    ]
    .map(hard);
    easy.into_iter().chain(hard).map(|(text, weak)| Prompt { text, strong: 1.0, weak }).collect()
}

/// Prompts of all files, taken in turns.
fn prompts() -> Vec<Prompt> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/routing");
    let files = std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|file| file.to_string_lossy().ends_with("_dev.jsonl")).collect();
    files.sort();
    let read = |file: &std::path::PathBuf| -> Vec<Prompt> {
        let text = std::fs::read_to_string(file).unwrap();
        let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let score = |row: &Value, name: &str| row[name].as_f64().unwrap();
        // Some files give marks from 1 to 10.
        let best = rows.iter().map(|row| score(row, "strong_score")).fold(1.0, f64::max);
        let prompts = rows.iter().map(|row| Prompt {
            text: row["prompt"].as_str().unwrap().into(),
            strong: score(row, "strong_score") / best,
            weak: score(row, "weak_score") / best,
        });
        prompts.filter(|prompt| !prompt.text.is_empty()).collect()
    };
    let mut files: Vec<_> = files.iter().map(|file| read(file).into_iter()).collect();
    let mut all = Vec::new();
    loop {
        let before = all.len();
        all.extend(files.iter_mut().filter_map(Iterator::next));
        if all.len() == before {
            return if all.is_empty() { own_prompts() } else { all };
        }
    }
}

fn config(way: Way) -> String {
    let kind = if way == Way::Keywords { "keywords" } else { "builtin" };
    let model = |name: &str, input: &str, output: &str| {
        format!(
            "[models.{name}]\nprovider = \"sim\"\nupstream_model = \"sim-small?tokens=20\"\n\
             price = {{ input = {input}, output = {output} }}\n[routes.to-{name}]\ntargets = [\"{name}\"]\n"
        )
    };
    format!(
        "{OPEN}[providers.sim]\nprotocol = \"sim\"\n{}{}\
         [classifier]\nkind = \"{kind}\"\nbaseline = \"strong\"\n\
         tiers = [{{ min = 6, route = \"to-strong\" }}, {{ min = 1, route = \"to-weak\" }}]\n",
        model("strong", "3.0", "15.0"),
        model("weak", "0.1", "0.4"),
    )
}

/// Sends all prompts one way; the report, the ledger and the answers have to agree to the nanodollar.
async fn day(way: Way, prompts: &Arc<Vec<Prompt>>, requests: usize) -> Day {
    let weir = Weir::start(&config(way)).await;
    let (room, client) = (Arc::new(Semaphore::new(AT_ONCE)), weir.client());
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..requests {
        let place = Arc::clone(&room).acquire_owned().await.unwrap();
        let (prompts, client) = (Arc::clone(prompts), client.clone());
        tasks.spawn(async move {
            let prompt = &prompts[number % prompts.len()];
            let client = match way {
                Way::Premium => client.header("x-weir-tier", "to-strong"),
                Way::Hindsight if prompt.strong > prompt.weak => client.header("x-weir-tier", "to-strong"),
                Way::Hindsight => client.header("x-weir-tier", "to-weak"),
                Way::Keywords | Way::Builtin => client,
            };
            let message = json!({ "role": "user", "content": prompt.text });
            let body = json!({ "model": "auto", "max_tokens": 100, "messages": [message] });
            let answer = client.header("x-weir-savings", "true").post_json(CHAT, &body).await;
            assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
            let is_strong = answer.header("x-weir-model") == "strong";
            drop(place);
            let worth = if is_strong { prompt.strong } else { prompt.weak };
            (
                nanos(answer.header("x-weir-cost-usd")),
                nanos(answer.header("x-weir-saved-usd")),
                worth,
                is_strong,
            )
        });
    }
    let all = tasks.join_all().await;
    let sum = |of: fn(&(i64, i64, f64, bool)) -> i64| all.iter().map(of).sum::<i64>();
    let (bill, saved) = (sum(|answer| answer.0), sum(|answer| answer.1));
    let count = all.len() as f64;
    let found = Day {
        bill,
        baseline: bill + saved,
        quality: all.iter().map(|answer| answer.2).sum::<f64>() / count,
        strong: all.iter().filter(|answer| answer.3).count() as f64 / count,
    };
    agrees(&weir, &found, requests).await;
    found
}

async fn agrees(weir: &Weir, day: &Day, requests: usize) {
    let rows = Connection::open(weir.folder().join("weir.db")).unwrap();
    let sql = "SELECT COUNT(*), SUM(cost), SUM(baseline) FROM ledger_rows";
    let ledger: (i64, i64, i64) =
        rows.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    assert_eq!(ledger, (requests as i64, day.bill, day.baseline));
    let report = weir.client().get("/admin/report?by=tier").await.json();
    let totals = &report["totals"];
    let told = (amount(totals, "cost_usd"), amount(totals, "saved_by_routing_usd"));
    assert_eq!(told, (day.bill, day.baseline - day.bill));
    let groups = report["groups"].as_array().unwrap();
    assert_eq!(groups.iter().map(|group| amount(group, "cost_usd")).sum::<i64>(), day.bill);
    assert!(groups.iter().all(|group| ["to-strong", "to-weak"].contains(&group["name"].as_str().unwrap())));
}

#[tokio::test]
#[allow(clippy::print_stdout, reason = "its table is for whoever runs it")]
async fn a_day_through_the_gateway_costs_what_the_ledger_says() {
    let requests = std::env::var("WEIR_DAY_REQUESTS").ok().map_or(REQUESTS, |text| text.parse().unwrap());
    let prompts = Arc::new(prompts());
    let mut table = format!(
        "{requests} requests; a coin: the quality of as many strong answers, spread by chance\n\
         builtin was trained on these prompts, so its quality here says nothing about others\n\
         way        bill USD  baseline  saved  quality  strong  a coin\n"
    );
    let mut days = Vec::new();
    let mean = |of: fn(&Prompt) -> f64| {
        let asked = prompts.iter().cycle().take(requests);
        asked.map(of).sum::<f64>() / requests as f64
    };
    let (best, least) = (mean(|prompt| prompt.strong), mean(|prompt| prompt.weak));
    for (name, way) in [
        ("premium", Way::Premium),
        ("keywords", Way::Keywords),
        ("builtin", Way::Builtin),
        ("hindsight", Way::Hindsight),
    ] {
        let day = day(way, &prompts, requests).await;
        let usd = |nanos: i64| nanos as f64 / 1e9;
        let saved = 100.0 * (1.0 - day.bill as f64 / day.baseline as f64);
        writeln!(
            table,
            "{name:9} {:9.4} {:9.4} {saved:5.1}% {:8.4} {:6.1}% {:7.4}",
            usd(day.bill),
            usd(day.baseline),
            day.quality,
            100.0 * day.strong,
            least + day.strong * (best - least)
        )
        .unwrap();
        days.push(day);
    }
    println!("{table}");
    let [premium, keywords, builtin, hindsight] = &days[..] else { unreachable!("there are four") };
    assert_eq!((premium.bill, premium.strong), (premium.baseline, 1.0));
    assert!([keywords, builtin, hindsight].iter().all(|day| day.baseline == premium.baseline), "{table}");
    assert!(hindsight.bill < premium.bill && hindsight.quality >= premium.quality, "{table}");
    assert!(keywords.bill < premium.bill && builtin.bill < premium.bill, "{table}");
}
