//! An answer that fails its checks is not what the client gets, where its route names a better one.

use serde_json::{Value, json};

use crate::support::{
    client::Answer,
    ledger::{Row, nanos},
    openai::{DONE, ask, ask_stream, error, role, says, streams, text, usage},
    raw::RawUpstream,
    script::Script,
    settings::{OPEN, budget, price, route, target},
    transcript::{CHAT, Transcript},
    weir::Weir,
};

const GOOD: &str = "{\"a\":1}";
const LINES: &str = "escalate_to = \"premium\"\nmin_answer_chars = 4\nescalate_on = [\"empty\", \"refusal\", \
    \"truncated\", \"invalid_json\", \"schema_mismatch\", \"too_short\"]";

/// A whole answer with this message.
fn answers(message: &Value, finish: &str) -> Script {
    let body = json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "theirs",
        "choices": [{ "index": 0, "finish_reason": finish, "message": message }],
        "usage": { "prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5 },
    });
    Script::json(200, &body.to_string())
}

fn content(text: &str) -> Script {
    answers(&json!({ "role": "assistant", "content": text }), "stop")
}

/// A route `chain` over a cheap model (5 microdollars an answer) that escalates to `premium` (500); behind that stands
/// the cheap one again.
async fn gateway(weak: &RawUpstream, strong: &RawUpstream, lines: &str, more: &str) -> Weir {
    let toml = [
        OPEN,
        &target("weak", &weak.base_url(), "", &price("1.0", "1.0")),
        &target("strong", &strong.base_url(), "", &price("100.0", "100.0")),
        &route("chain", &["weak"], lines),
        &route("premium", &["strong"], "fallback = \"chain\""),
        "[classifier]\nbaseline = \"strong\"\n",
        more,
    ];
    Weir::start(&toml.concat()).await
}

async fn upstreams(weak: Script, strong: Script) -> (RawUpstream, RawUpstream) {
    (RawUpstream::start(vec![weak]).await, RawUpstream::start(vec![strong]).await)
}

fn schema() -> Value {
    let schema = json!({ "type": "object", "properties": { "a": { "type": "integer" } }, "required": ["a"] });
    json!({ "type": "json_schema", "json_schema": { "name": "n", "schema": schema } })
}

fn in_format(format: Value) -> Value {
    let mut body = ask("chain");
    body["response_format"] = format;
    body
}

fn said(answer: &Answer) -> String {
    answer.json()["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned()
}

fn short(rows: &[Row]) -> Vec<(&str, &str, &str, u32, i64)> {
    let mut rows: Vec<_> = rows
        .iter()
        .map(|row| (row.model.as_str(), row.outcome.as_str(), row.quality.as_str(), row.position, row.cost))
        .collect();
    rows.sort_unstable_by_key(|row| row.4);
    rows
}

/// The client gets the strong model's answer for this failure of the weak one; both are paid.
async fn escalates(weak: Script, body: &Value, check: &str) {
    let (weak, strong) = upstreams(weak, content(GOOD)).await;
    let weir = gateway(&weak, &strong, LINES, "").await;
    let answer = weir.client().header("x-weir-savings", "true").post_json(CHAT, body).await;
    assert_eq!((answer.status.as_u16(), said(&answer).as_str()), (200, GOOD), "{check}: {}", answer.text());
    for (header, value) in [
        ("x-weir-escalated", check),
        ("x-weir-model", "strong"),
        ("x-weir-route", "chain"),
        ("x-weir-attempts", "2"),
        ("x-weir-fallbacks", "0"),
        ("x-weir-cost-usd", "0.000505"),
        // The baseline is asked once: both together cost more than that.
        ("x-weir-saved-usd", "-0.000005"),
    ] {
        assert_eq!(answer.header(header), value, "{check}: {header}");
    }
    let rows = weir.attempts(2).await;
    assert_eq!(
        short(&rows),
        [("weak", "ok", check, 1, nanos("0.000005")), ("strong", "ok", "ok", 0, nanos("0.0005"))]
    );
    assert!(rows.iter().all(|row| row.route == "chain" && row.request == rows[0].request), "{rows:#?}");
    let counted = weir
        .metric(&format!("weir_escalations_total{{check=\"{check}\",result=\"answered\",route=\"chain\"}}"))
        .await;
    assert_eq!(counted, 1.0, "{check}");
}

#[tokio::test]
async fn broken_json_goes_to_the_next_tier() {
    escalates(content("{\"a\": 1"), &in_format(json!({ "type": "json_object" })), "invalid_json").await;
    escalates(content("Here: {\"a\": 1}"), &in_format(schema()), "invalid_json").await;
}

#[tokio::test]
async fn json_of_another_shape_goes_to_the_next_tier() {
    escalates(content("{\"a\": \"one\"}"), &in_format(schema()), "schema_mismatch").await;
}

#[tokio::test]
async fn an_empty_answer_goes_to_the_next_tier() {
    escalates(content(" \n"), &ask("chain"), "empty").await;
    escalates(answers(&json!({ "role": "assistant", "content": null }), "stop"), &ask("chain"), "empty")
        .await;
}

#[tokio::test]
async fn a_refusal_goes_to_the_next_tier() {
    escalates(content("I'm sorry, but I can't help with that."), &ask("chain"), "refusal").await;
    let refusal = json!({ "role": "assistant", "content": null, "refusal": "No." });
    escalates(answers(&refusal, "stop"), &ask("chain"), "refusal").await;
}

#[tokio::test]
async fn a_truncated_or_short_answer_goes_to_the_next_tier() {
    let half = json!({ "role": "assistant", "content": "This is the beginning of" });
    escalates(answers(&half, "length"), &ask("chain"), "truncated").await;
    escalates(content("Ja."), &ask("chain"), "too_short").await;
}

/// The weak model's answer is served, whole; the strong one was asked so often.
async fn stays(answer: &Answer, strong: &RawUpstream, asked: usize) {
    assert_eq!((answer.status.as_u16(), said(answer).as_str()), (200, "Ja."), "{}", answer.text());
    assert_eq!((answer.header("x-weir-escalated"), answer.header("x-weir-model")), ("", "weak"));
    assert_eq!(strong.requests().len(), asked);
}

#[tokio::test]
async fn without_room_in_the_budget_the_first_answer_is_served() {
    let (weak, strong) = upstreams(content("Ja."), content(GOOD)).await;
    let limits = budget("b", "global", "daily = 0.005");
    let weir = gateway(&weak, &strong, LINES, &limits).await;
    let mut body = ask("chain");
    body["max_tokens"] = json!(100);
    let answer = weir.client().post_json(CHAT, &body).await;
    stays(&answer, &strong, 0).await;
    assert_eq!(answer.header("x-weir-attempts"), "1");
    assert_eq!(weir.spent("b").await, nanos("0.000005"));
    assert_eq!(short(&weir.attempts(1).await), [("weak", "ok", "too_short", 1, nanos("0.000005"))]);
    let series = "weir_escalations_total{check=\"too_short\",result=\"unfunded\",route=\"chain\"}";
    assert_eq!(weir.metric(series).await, 1.0);
    // With room for both, both are in the budget.
    body["max_tokens"] = json!(10);
    let answer = weir.client().post_json(CHAT, &body).await;
    assert_eq!((said(&answer).as_str(), answer.header("x-weir-escalated")), (GOOD, "too_short"));
    assert_eq!(weir.spent("b").await, nanos("0.00051"));
}

#[tokio::test]
async fn the_client_may_limit_what_both_cost() {
    let (weak, strong) = upstreams(content("Ja."), content(GOOD)).await;
    let weir = gateway(&weak, &strong, LINES, "").await;
    let mut body = ask("chain");
    body["max_tokens"] = json!(10);
    let answer = weir.client().header("x-weir-max-cost-usd", "0.0005").post_json(CHAT, &body).await;
    stays(&answer, &strong, 0).await;
}

#[tokio::test]
async fn where_the_stronger_route_fails_the_first_answer_is_served() {
    let down = Script::json(500, &error("server_error", "down", "Down."));
    let (weak, strong) = upstreams(content("Ja."), down).await;
    let weir = gateway(&weak, &strong, LINES, "").await;
    let answer = weir.client().post_json(CHAT, &ask("chain")).await;
    stays(&answer, &strong, 1).await;
    assert_eq!((answer.header("x-weir-attempts"), weak.requests().len()), ("2", 1));
    assert_eq!(answer.header("x-weir-cost-usd"), "0.000005");
}

#[tokio::test]
async fn of_two_bad_answers_the_better_one_is_served() {
    let (weak, strong) = upstreams(content("Ja."), content("")).await;
    let weir = gateway(&weak, &strong, LINES, "").await;
    let answer = weir.client().post_json(CHAT, &ask("chain")).await;
    stays(&answer, &strong, 1).await;
    assert_eq!((answer.header("x-weir-attempts"), answer.header("x-weir-cost-usd")), ("2", "0.000505"));
    let rows = weir.attempts(2).await;
    let seen: Vec<&str> = short(&rows).iter().map(|row| row.2).collect();
    assert_eq!(seen, ["too_short", "empty"]);
}

#[tokio::test]
async fn who_names_the_model_or_wants_no_fallback_gets_what_it_says() {
    let (weak, strong) = upstreams(content("Ja."), content(GOOD)).await;
    let weir = gateway(&weak, &strong, LINES, "").await;
    for (model, header) in [("chain", "off"), ("weak", "on"), ("weak/theirs", "on")] {
        let client = weir.client();
        let client = if header == "off" { client.header("x-weir-fallback", "off") } else { client };
        stays(&client.post_json(CHAT, &ask(model)).await, &strong, 0).await;
    }
    let mut body = ask("chain");
    body["models"] = json!(["chain", "weak"]);
    stays(&weir.client().post_json(CHAT, &body).await, &strong, 0).await;
}

#[tokio::test]
async fn only_what_the_route_names_escalates() {
    let (weak, strong) = upstreams(content("Ja."), content(GOOD)).await;
    let lines = "escalate_to = \"premium\"\nescalate_on = [\"empty\"]\nmin_answer_chars = 4";
    let weir = gateway(&weak, &strong, lines, "").await;
    stays(&weir.client().post_json(CHAT, &ask("chain")).await, &strong, 0).await;
    assert_eq!(weir.attempts(1).await[0].quality, "too_short");
}

#[tokio::test]
async fn a_stream_is_only_checked() {
    let refusal = ["I'm sorry, ", "but I can't ", "help with that."];
    let (weak, strong) = upstreams(streams(&refusal), streams(&["Yes."])).await;
    let weir = gateway(&weak, &strong, LINES, "").await;
    let mut stream = weir.client().stream(CHAT, &ask_stream("chain")).await;
    assert_eq!((stream.header("x-weir-model"), stream.header("x-weir-escalated")), ("weak", ""));
    let transcript = Transcript::of(&mut stream).await;
    assert!(transcript.is_clean() && transcript.text == refusal.concat(), "{transcript:?}");
    let rows = weir.attempts(1).await;
    assert_eq!((rows[0].quality.as_str(), rows[0].outcome.as_str()), ("refusal", "ok"));
    let failed = "weir_quality_checks_total{check=\"refusal\",model=\"weak\",result=\"fail\"}";
    let passed = "weir_quality_checks_total{check=\"empty\",model=\"weak\",result=\"pass\"}";
    assert_eq!((weir.metric(failed).await, weir.metric(passed).await), (1.0, 1.0));
    assert!(strong.requests().is_empty());
}

#[tokio::test]
async fn a_stream_that_breaks_off_was_no_answer() {
    let parts = [role(), text("Well"), usage()];
    let (weak, strong) = upstreams(Script::stream(&parts), says("Yes.")).await;
    let weir = gateway(&weak, &strong, LINES, "").await;
    let transcript = Transcript::of(&mut weir.client().stream(CHAT, &ask_stream("chain")).await).await;
    assert!(transcript.is_cut() && !parts.contains(&DONE.to_owned()), "{transcript:?}");
    assert_eq!(weir.attempts(1).await[0].quality, "");
    assert!(strong.requests().is_empty());
}

#[tokio::test]
async fn operators_see_what_answers_are_worth() {
    let weak = RawUpstream::start(vec![says("Fine."), content(""), says("Well."), says("Good.")]).await;
    let strong = RawUpstream::start(vec![says("Fine.")]).await;
    let weir = gateway(&weak, &strong, LINES, "").await;
    for _ in 0..4 {
        weir.client().post_json(CHAT, &ask("chain")).await;
    }
    let status = weir.client().get("/admin/status").await.json();
    let of = |name: &str| {
        let rows = status["data"].as_array().unwrap();
        rows.iter().find(|row| row["model"] == name).unwrap()["quality"].clone()
    };
    let worth = |mean: f64, answers: u64| json!({ "score": mean, "passed": { "mean": mean, "answers": answers }, "grades": null });
    assert_eq!((of("weak"), of("strong")), (worth(0.75, 4), worth(1.0, 1)));
    assert_eq!(weir.metric("weir_model_quality{model=\"weak\"}").await, 0.75);
    // A request that was answered twice counts once in a report; what it cost counts whole.
    weir.attempts(5).await;
    let report = weir.client().get("/admin/report?since=1d&by=route").await.json();
    let totals = &report["totals"];
    assert_eq!(
        (&totals["asked"], &totals["answered"], &totals["attempts"]),
        (&json!(4), &json!(4), &json!(5))
    );
    assert_eq!(totals["cost_usd"], "0.00052");
    assert_eq!(report["availability"]["routes"][0]["availability"], 1.0);
    let providers = report["availability"]["providers"].as_array().unwrap();
    assert!(providers.iter().all(|provider| provider["availability"] == 1.0), "{report}");
    let rows = weir.client().get("/admin/ledger").await.json();
    let words: Vec<&str> =
        rows["data"].as_array().unwrap().iter().map(|row| row["quality"].as_str().unwrap()).collect();
    assert_eq!(words.iter().filter(|word| **word == "empty").count(), 1, "{rows}");
}
