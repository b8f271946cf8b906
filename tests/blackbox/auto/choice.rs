//! Which route `auto` chooses, who may ask for it.

use serde_json::{Value, json};

use super::{ask, model, saying, tiers, told};
use crate::support::{settings::OPEN, transcript::CHAT, weir::Weir};

#[tokio::test]
async fn a_request_goes_to_the_tier_for_its_complexity() {
    let weir = Weir::start(&tiers("", "")).await;
    for (text, route, model, complexity) in [
        ("Solve zulu for me.", "premium", "strong", "9"),
        ("Solve yankee for me.", "standard", "middle", "5"),
        ("Solve xray for me.", "budget", "weak", "1"),
    ] {
        let answer = ask(&weir.client(), text).await;
        let [in_route, by, tier, task, said] = told(&answer);
        assert_eq!([in_route, by, tier, said], [route, model, route, complexity]);
        let series = format!("weir_classifications_total{{task=\"{task}\",tier=\"{tier}\"}}");
        assert_eq!(weir.metric(&series).await as u64, 1, "{series}");
    }
    let rows = weir.client().get("/admin/ledger").await.json();
    let row = &rows["data"][0];
    assert_eq!(
        (&row["tier"], &row["complexity"], &row["route"]),
        (&json!("budget"), &json!(1), &json!("budget"))
    );
    assert_eq!((&row["requested_model"], row["task"].is_string()), (&json!("auto"), true), "{row}");
    let report = weir.client().get("/admin/report?by=tier").await.json();
    let groups: Vec<(&str, &str)> = report["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| (group["name"].as_str().unwrap(), group["cost_usd"].as_str().unwrap()))
        .collect();
    assert_eq!(groups, [("premium", "0.001"), ("standard", "0.0001"), ("budget", "0.00001")]);
    // The baseline would have cost a tenth of a cent each time.
    assert_eq!(report["totals"]["saved_by_routing_usd"], "0.00189");
    let saved = weir.metric("weir_saved_usd_total{reason=\"routing\",sign=\"less\"}").await;
    assert!((saved - 0.00189).abs() < 1e-12, "{saved}");
}

#[tokio::test]
async fn what_a_client_names_goes_before_the_classifier() {
    let weir = Weir::start(&tiers("tasks = { legal = \"premium\", code_generation = \"code\" }\n", "")).await;
    let answer = |headers: &'static [(&str, &str)], model: &'static str, text: &'static str| {
        let client = headers.iter().fold(weir.client(), |client, (name, value)| client.header(name, value));
        async move { client.post_json(CHAT, &saying(model, text)).await }
    };
    let (easy, code) =
        ("xray", "Write a Python function `def parse(line: str) -> dict` that parses a log line. xray");
    for (headers, model, text, expected) in [
        (&[("x-weir-tier", "premium")][..], "auto", easy, ["premium", "premium"]),
        (&[("x-weir-tier", "critical")], "auto", easy, ["premium", "premium"]),
        (&[("x-weir-tier", "balanced")], "auto", easy, ["standard", "standard"]),
        (&[("x-weir-tier", "bulk")], "auto", "zulu", ["budget", "budget"]),
        (&[("x-weir-tier", "bulk"), ("x-weir-task", "legal")], "auto", easy, ["budget", "budget"]),
        (&[("x-weir-task", "legal")], "auto", easy, ["premium", ""]),
        (&[("x-weir-task", "unheard-of")], "auto", easy, ["budget", "budget"]),
        (&[("x-weir-task", "unheard-of")], "auto", code, ["budget", "budget"]),
        (&[], "auto", code, ["code", ""]),
        (&[("x-weir-route", "code"), ("x-weir-tier", "critical")], "auto", easy, ["code", ""]),
        (&[("x-weir-route", "auto")], "code", easy, ["budget", "budget"]),
        (&[("x-weir-tier", "critical")], "code", easy, ["code", ""]),
        (&[("x-weir-models", "auto,strong")], "code", easy, ["budget", "budget"]),
    ] {
        let answer = answer(headers, model, text).await;
        let [route, _, tier, task, _] = told(&answer);
        assert_eq!([route, tier], expected, "{headers:?} {model}");
        if let Some((_, named)) = headers.iter().find(|(name, _)| *name == "x-weir-task") {
            assert_eq!(task, *named);
        }
    }
    for (headers, word) in [
        (&[("x-weir-tier", "luxury")][..], "one of premium, standard, budget"),
        // Wherever the request goes.
        (&[("x-weir-tier", "ultra_budget"), ("x-weir-route", "code")], "one of premium, standard, budget"),
        (&[("x-weir-task", "two words")], "letters"),
    ] {
        let refused = answer(headers, "auto", easy).await;
        refused.refused(400, "invalid_request_error", "invalid_header", false);
        let error = &refused.json()["error"];
        assert!(error["message"].as_str().unwrap().contains(word), "{error}");
        assert_eq!(error["param"], headers[0].0);
    }
    assert_eq!(weir.metric("weir_classifications_total{task=\"other\",tier=\"budget\"}").await as u64, 2);
}

#[tokio::test]
async fn a_language_may_have_a_route() {
    let weir = Weir::start(&tiers("languages = { zh = \"code\" }\n", "")).await;
    let chinese = "请解释一下为什么天空是蓝色的，海水是咸的。";
    assert_eq!(told(&ask(&weir.client(), chinese).await)[..3], ["code", "coder", ""]);
    assert_eq!(told(&ask(&weir.client(), "Why is the sky blue? xray").await)[0], "budget");
}

#[tokio::test]
async fn a_key_with_auto_may_have_what_is_behind_it() {
    let keys = r#"
[[keys]]
name = "auto"
secret = "sk-auto"
routes = ["auto"]
[[keys]]
name = "low"
secret = "sk-low"
routes = ["budget"]
"#;
    let config = tiers("", keys).replace("mode = \"open\"", "mode = \"keys\"");
    let weir = Weir::start(&config).await;
    let (auto, low) = (weir.client().key("sk-auto"), weir.client().key("sk-low"));
    assert_eq!(told(&ask(&auto, "zulu").await)[0], "premium");
    let direct = auto.post_json(CHAT, &saying("premium", "zulu")).await;
    direct.refused(403, "permission_error", "route_not_allowed", false);
    ask(&low, "xray").await.refused(403, "permission_error", "route_not_allowed", false);
    // A tier that the key may use anyway.
    assert_eq!(told(&ask(&low.clone().header("x-weir-tier", "budget"), "zulu").await)[0], "budget");
    let premium = ask(&low.clone().header("x-weir-tier", "premium"), "zulu").await;
    premium.refused(403, "permission_error", "route_not_allowed", false);
    for (client, listed) in [(&auto, true), (&low, false)] {
        let list = client.get("/v1/models").await.json();
        let found = list["data"].as_array().unwrap().iter().any(|model| model["id"] == "auto");
        assert_eq!((found, client.get("/v1/models/auto").await.status == 200), (listed, listed));
    }
}

#[tokio::test]
async fn without_tiers_nothing_is_called_auto() {
    let config = format!(
        "{OPEN}[providers.sim]\nprotocol = \"sim\"\n{}[routes.one]\ntargets = [\"weak\"]\n",
        model("weak", "1.0")
    );
    let weir = Weir::start(&config).await;
    let refused = ask(&weir.client().header("x-weir-tier", "critical"), "hi").await;
    refused.refused(404, "invalid_request_error", "model_not_found", false);
    assert!(refused.text().contains("classifier.tiers"), "{}", refused.text());
    let named = weir.client().header("x-weir-tier", "critical").post_json(CHAT, &saying("one", "hi")).await;
    assert_eq!(named.status, 200, "a header without a meaning here is no fault");
    assert!(!weir.client().get("/v1/models").await.text().contains("\"auto\""));
}

#[tokio::test]
async fn the_shipped_configuration_serves_auto() {
    let shipped = include_str!("../../../config/weir.toml");
    let here = shipped.replace("listen = \"127.0.0.1:8080\"", "listen = \"127.0.0.1:0\"");
    assert_ne!(here, shipped);
    let weir = Weir::start(&here).await;
    let body = json!({ "messages": [{ "role": "user", "content": "hi" }], "model": "auto" });
    for (tier, route) in [("bulk", "budget"), ("critical", "premium")] {
        let answer = weir.client().header("x-weir-tier", tier).post_json(CHAT, &body).await;
        assert_eq!(told(&answer)[0], route);
    }
    let answer = ask(&weir.client(), "hi").await;
    assert!(!told(&answer).contains(&""), "{:?}", answer.headers);
}

#[tokio::test]
async fn vectors_have_no_auto() {
    let weir = Weir::start(&tiers("", "")).await;
    let body = json!({ "model": "auto", "input": "hi" });
    let refused = weir.client().post_json("/v1/embeddings", &body).await;
    refused.refused(400, "invalid_request_error", "invalid_request", false);
    let body = json!({ "model": "auto", "prompt": "zulu", "max_tokens": 10 });
    let answer = weir.client().post_json("/v1/completions", &body).await;
    assert_eq!(told(&answer)[..2], ["premium", "strong"]);
}

#[tokio::test]
async fn a_tier_that_cannot_see_is_not_asked_to() {
    let blind = tiers("", "[models.weak.capabilities]\nvision = false\ntools = false\n");
    let blind = blind
        .replace("fallback = \"budget\"\n", "")
        .replace("tiers = [", "tasks = { drawing = \"budget\" }\ntiers = [");
    let weir = Weir::start(&blind).await;
    let asking = |more: Value| {
        let mut body = saying("auto", "xray");
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let tool = json!({ "type": "function", "function": { "name": "f", "parameters": { "type": "object" } } });
    let tools = asking(json!({ "tools": [tool] }));
    let answer = weir.client().post_json(CHAT, &tools).await;
    assert_eq!(told(&answer)[..3], ["standard", "middle", "standard"]);
    // Nor is a conversation that was begun there.
    let begun = ask(&weir.client(), "xray").await;
    assert_eq!(told(&begun)[0], "budget");
    let mut later = tools.clone();
    let said = begun.json()["choices"][0]["message"].clone();
    later["messages"].as_array_mut().unwrap().extend([said, json!({ "role": "user", "content": "xray" })]);
    assert_eq!(told(&weir.client().post_json(CHAT, &later).await)[0], "standard");
    assert_eq!(told(&ask(&weir.client(), "xray").await)[0], "budget");
    // What the client names itself is not corrected.
    for (name, value) in [("x-weir-tier", "budget"), ("x-weir-task", "drawing")] {
        let named = weir.client().header(name, value).post_json(CHAT, &tools).await;
        named.refused(400, "invalid_request_error", "unsupported_parameter", false);
    }
}
