//! What was spent, as operators learn it: the command beside a running server, the admin API.

use std::process::Output;

use serde_json::{Value, json};

use super::support::{
    client::Client,
    openai::{error, says},
    raw::RawUpstream,
    script::Script,
    weir::Weir,
};

const CHAT: &str = "/v1/chat/completions";

/// Two keys; a route whose first target fails, one whose only target answers. Every answer has 3 tokens in, 2 out.
fn config(broken: &RawUpstream, sound: &RawUpstream) -> String {
    let target = |name: &str, upstream: &RawUpstream, input: u8| {
        format!(
            "[providers.{name}]\nbase_url = \"{}\"\n[models.{name}]\nprovider = \"{name}\"\n\
             price = {{ input = {input}, output = 4 }}\n",
            upstream.base_url()
        )
    };
    format!(
        "[[keys]]\nname = \"bot\"\nsecret = \"sk-bot\"\ntags = {{ team = \"support\" }}\n\
         [[keys]]\nname = \"web\"\nsecret = \"sk-web\"\n{}{}\
         [routes.chain]\ntargets = [\"broken\", \"sound\"]\n[routes.one]\ntargets = [\"sound\"]\n\
         [classifier]\nbaseline = \"broken\"\n",
        target("broken", broken, 2),
        target("sound", sound, 1),
    )
}

async fn ask(client: &Client, model: &str) {
    let body = json!({ "model": model, "messages": [{ "role": "user", "content": "Say something." }] });
    let answer = client.post_json(CHAT, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// A gateway with five requests behind it: two of the chain, three of the other route.
async fn busy() -> (Weir, RawUpstream, RawUpstream) {
    let refusal = Script::json(500, &error("server_error", "broken", "Out of order."));
    let (broken, sound) =
        (RawUpstream::start(vec![refusal]).await, RawUpstream::start(vec![says("Hi.")]).await);
    let weir = Weir::start(&config(&broken, &sound)).await;
    let (bot, web) = (weir.client().key("sk-bot"), weir.client().key("sk-web"));
    for _ in 0..2 {
        ask(&bot, "chain").await;
    }
    for _ in 0..3 {
        ask(&web, "one").await;
    }
    (weir, broken, sound)
}

fn run(weir: &Weir, arguments: &[&str]) -> Output {
    let command = ["report", "--config", "weir.toml"];
    Weir::run(weir.folder(), &command.into_iter().chain(arguments.iter().copied()).collect::<Vec<_>>())
}

fn printed(weir: &Weir, arguments: &[&str]) -> String {
    let output = run(weir, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

async fn get(weir: &Weir, path: &str) -> Value {
    let answer = weir.client().get(path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

/// The groups of a report, each with what was asked, answered, tried there.
fn groups(report: &Value) -> Vec<(&str, [u64; 3])> {
    let figures =
        |group: &Value| ["asked", "answered", "attempts"].map(|field| group[field].as_u64().unwrap());
    let groups = report["groups"].as_array().unwrap().iter();
    groups.map(|group| (group["name"].as_str().unwrap(), figures(group))).collect()
}

#[tokio::test]
async fn a_report_says_what_was_spent_where() {
    let (weir, _broken, _sound) = busy().await;
    let report = get(&weir, "/admin/report").await;
    // An answer takes 3 tokens at 1 USD a million, 2 at 4 USD; the baseline takes 2 USD for the first.
    assert_eq!(groups(&report), [("sound", [3, 5, 5]), ("broken", [2, 0, 2])]);
    let totals = &report["totals"];
    assert_eq!(
        (&totals["asked"], &totals["answered"], &totals["attempts"]),
        (&json!(5), &json!(5), &json!(7))
    );
    assert_eq!((&totals["input_tokens"], &totals["output_tokens"]), (&json!(15), &json!(10)));
    assert_eq!((&totals["cost_usd"], &totals["unpriced"]), (&json!("0.000055"), &json!(0)));
    assert_eq!(totals["saved_by_routing_usd"], "0.000015");
    assert_eq!(totals["fallback_usd"], "-0.000006", "the second target is the cheaper one");
    assert_eq!(report["forecast"]["spent_usd"], "0.000055");
    let positions = json!([
        { "position": 1, "answered": 3, "share": 0.6, "cost_usd": "0.000033" },
        { "position": 2, "answered": 2, "share": 0.4, "cost_usd": "0.000022" },
    ]);
    assert_eq!(report["positions"], positions);
    let availability = json!({
        "routes": [
            { "name": "chain", "asked": 2, "answered": 2, "availability": 1.0 },
            { "name": "one", "asked": 3, "answered": 3, "availability": 1.0 },
        ],
        "providers": [
            { "name": "broken", "attempts": 2, "answered": 0, "availability": 0.0 },
            { "name": "sound", "attempts": 5, "answered": 5, "availability": 1.0 },
        ],
    });
    assert_eq!(report["availability"], availability);
    for (by, expected) in [
        ("key", vec![("web", [3, 3, 3]), ("bot", [2, 2, 4])]),
        ("route", vec![("one", [3, 3, 3]), ("chain", [2, 2, 4])]),
        ("tag", vec![("none", [3, 3, 3]), ("team=support", [2, 2, 4])]),
        ("position", vec![("1", [5, 3, 5]), ("2", [0, 2, 2])]),
    ] {
        assert_eq!(groups(&get(&weir, &format!("/admin/report?since=1h&by={by}")).await), expected, "{by}");
    }
}

#[tokio::test]
async fn the_command_reads_beside_the_server() {
    let (weir, _broken, _sound) = busy().await;
    let mut ours: Value = serde_json::from_str(&printed(&weir, &["--json", "--by", "route"])).unwrap();
    let mut theirs = get(&weir, "/admin/report?by=route").await;
    for report in [&mut ours, &mut theirs] {
        // They were asked at two moments.
        for moving in ["since", "until", "forecast"] {
            assert!(report.as_object_mut().unwrap().remove(moving).is_some());
        }
    }
    assert_eq!(ours, theirs);
    let text = printed(&weir, &["--since", "1h"]);
    assert!(text.contains("Requests   5 asked, 5 answered (100.00%), 7 attempts\n"), "{text}");
    let csv = printed(&weir, &["--csv", "--by", "key"]);
    let lines: Vec<&str> = csv.split("\r\n").collect();
    assert!(lines[0].starts_with("key,asked,answered,attempts,input_tokens,"), "{csv}");
    assert!(lines[1].starts_with("web,3,3,3,9,0,0,6,0,0.000033,"), "{csv}");
    assert!(lines[2].starts_with("bot,2,2,4,6,0,0,4,0,0.000022,"), "{csv}");
    assert!(lines[3].is_empty() && lines.len() == 4, "{csv}");
    // Nothing that it does is in the server's way.
    ask(&weir.client().key("sk-web"), "one").await;
    assert_eq!(get(&weir, "/admin/report").await["totals"]["asked"], 6);
}

#[tokio::test]
async fn rows_come_page_by_page_newest_first() {
    let (weir, _broken, _sound) = busy().await;
    let mut rows = Vec::new();
    let mut path = "/admin/ledger?limit=3".to_owned();
    for size in [3, 3, 1] {
        let page = get(&weir, &path).await;
        assert_eq!(page["data"].as_array().unwrap().len(), size);
        rows.extend(page["data"].as_array().unwrap().iter().cloned());
        path = format!("/admin/ledger?limit=3&cursor={}", page["next"].as_str().unwrap_or("-"));
    }
    assert!(path.ends_with("cursor=-"), "no page is left");
    assert_eq!(get(&weir, "/admin/ledger").await["data"], json!(rows));
    assert!(rows.is_sorted_by(|a, b| a["time"].as_str() >= b["time"].as_str()));
    let first = &rows[6];
    for (field, expected) in [
        ("attempt", json!(1)),
        ("key", json!("bot")),
        ("tags", json!({ "team": "support" })),
        ("route", json!("chain")),
        ("requested_model", json!("chain")),
        ("model", json!("broken")),
        ("provider", json!("broken")),
        ("outcome", json!("server_error")),
        ("stream", json!(false)),
        ("cost_usd", json!("0")),
    ] {
        assert_eq!(first[field], expected, "{field} of {first}");
    }
    let second = &rows[5];
    assert_eq!((&second["attempt"], &second["request_id"]), (&json!(2), &first["request_id"]));
    assert_eq!((&second["kind"], &second["outcome"]), (&json!("actual"), &json!("ok")));
    assert_eq!((&second["input_tokens"], &second["output_tokens"]), (&json!(3), &json!(2)));
    assert_eq!((&second["cost_usd"], &second["baseline_usd"]), (&json!("0.000011"), &json!("0.000014")));
    assert_eq!(second["first_choice_usd"], "0.000014");
    let count = async |query: &str| {
        get(&weir, &format!("/admin/ledger?{query}")).await["data"].as_array().unwrap().len()
    };
    assert_eq!((count("key=bot").await, count("model=broken").await), (4, 2));
    assert_eq!((count("key=bot&model=sound").await, count("key=nobody").await), (2, 0));
    assert_eq!((count("until=1h").await, count("since=1h").await), (0, 7));
}

#[tokio::test]
async fn a_bad_parameter_is_named() {
    let (weir, _broken, _sound) = busy().await;
    for (path, param) in [
        ("/admin/ledger?limit=0", "limit"),
        ("/admin/ledger?cursor=1", "cursor"),
        ("/admin/ledger?sinse=7d", "sinse"),
        ("/admin/ledger?key=a&key=b", "key"),
        ("/admin/report?since=soon", "since"),
        ("/admin/report?by=colour", "by"),
    ] {
        let answer = weir.client().get(path).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (400, "invalid_request"), "{path}");
        assert_eq!(answer.json()["error"]["param"], param, "{path}");
    }
    let output = run(&weir, &["--since", "soon"]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("--since `soon`: it is no time"));
}

#[tokio::test]
async fn without_a_ledger_there_is_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let output = Weir::run(folder.path(), &["report"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("weir.db`"), "{said}");
    assert!(said.contains("there is none yet"), "{said}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is made");
}
