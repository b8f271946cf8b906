//! A model rates requests for `auto`.

use std::time::{Duration, Instant};

use super::{ask, tiers, told};
use crate::support::{
    openai::says,
    raw::RawUpstream,
    script::{Script, Step},
    settings::budget,
    weir::Weir,
};

/// The tiers with `judge`, a model that costs a cent a token, as who rates.
fn rated(judge: &RawUpstream, more: &str) -> String {
    let own = format!(
        "[providers.judge]\nbase_url = \"{}\"\n[models.judge]\nprovider = \"judge\"\n\
         price = {{ input = 0, output = 10_000 }}\n\
         [classifier.llm]\nmodel = \"judge\"\ndeadline = \"400ms\"\n{more}",
        judge.base_url()
    );
    tiers("", &own).replace("kind = \"keywords\"", "kind = \"llm\"")
}

#[tokio::test]
async fn its_number_decides_and_is_remembered() {
    let judge = RawUpstream::start(vec![says("9"), says(" 2\n")]).await;
    let weir = Weir::start(&rated(&judge, "")).await;
    for (text, expected) in
        [("First.", ["premium", "9"]), ("Second.", ["budget", "2"]), ("First.", ["premium", "9"])]
    {
        let answer = ask(&weir.client(), text).await;
        let [route, _, _, _, complexity] = told(&answer);
        assert_eq!([route, complexity], expected, "{text}");
    }
    assert_eq!(judge.requests().len(), 2, "the same prompt is not rated twice");
    let asked = judge.request(0).await.json();
    // No prompt can know the fence that it stands in.
    let [first, second] = [asked, judge.request(1).await.json()].map(|asked| {
        let content = asked["messages"][1]["content"].as_str().unwrap().to_owned();
        let (fence, rest) = content.split_once('\n').unwrap();
        let name = fence.strip_prefix("<prompt-").unwrap().to_owned();
        assert!(rest.ends_with(&format!("\n</prompt-{name}")), "{content}");
        assert!(asked["messages"][0]["content"].as_str().unwrap().contains(&format!("</prompt-{name}")));
        name
    });
    assert_ne!(first, second);
    let ratings: Vec<u64> = [
        weir.metric("weir_classifier_ratings_total{result=\"rated\"}").await as u64,
        weir.metric("weir_classifier_ratings_total{result=\"cached\"}").await as u64,
    ]
    .into();
    assert_eq!(ratings, [2, 1]);
    // A rating is a request of its own, under a name of its own.
    let rows = weir.attempts(5).await;
    let own: Vec<_> = rows.iter().filter(|row| row.key == "weir:classifier").collect();
    assert_eq!(own.iter().map(|row| (&*row.model, row.cost)).collect::<Vec<_>>(), [("judge", 20_000_000); 2]);
    assert!(rows.iter().all(|row| (row.key == "weir:classifier") == (row.model == "judge")), "{rows:#?}");
    // What ratings cost is no saving but takes from it: one easy prompt saved 0.00099.
    let report = weir.client().get("/admin/report").await.json();
    assert_eq!(report["totals"]["saved_by_routing_usd"], "-0.03901");
    // A tier that the client names needs no rating.
    let named = ask(&weir.client().header("x-weir-tier", "standard"), "Third.").await;
    assert_eq!((told(&named)[0], judge.requests().len()), ("standard", 2));
}

#[tokio::test]
async fn anything_but_a_number_leaves_it_to_the_built_in_classifier() {
    let told_to = "10. The user says that I should route everything to the best model.";
    for script in
        [says(told_to), says("11"), says(""), Script::json(500, "{}"), Script::OnRequest(vec![Step::Hang])]
    {
        let judge = RawUpstream::start(vec![script]).await;
        let weir = Weir::start(&rated(&judge, "")).await;
        let begun = Instant::now();
        let answer = ask(&weir.client(), "hi").await;
        let took = begun.elapsed();
        assert_ne!(told(&answer)[0], "premium");
        assert_eq!(weir.metric("weir_classifier_ratings_total{result=\"failed\"}").await as u64, 1);
        assert!(took < Duration::from_secs(20), "the deadline of a rating holds: {took:?}");
    }
}

#[tokio::test]
async fn its_budget_is_its_own() {
    let judge = RawUpstream::start(vec![says("9")]).await;
    let limit = budget("ratings", "key:weir:classifier", "total = 0.17");
    let weir = Weir::start(&rated(&judge, &limit)).await;
    assert_eq!(told(&ask(&weir.client(), "First.").await)[0], "premium");
    // What a rating may cost at most, 16 tokens, does not fit again.
    assert_ne!(told(&ask(&weir.client(), "hi").await)[0], "premium");
    assert_eq!(judge.requests().len(), 1);
    assert_eq!(weir.metric("weir_classifier_ratings_total{result=\"failed\"}").await as u64, 1);
}

#[tokio::test]
async fn a_request_that_is_refused_anyway_pays_for_no_rating() {
    let judge = RawUpstream::start(vec![says("9")]).await;
    // An answer of the coder and a premium one: after them nothing is left.
    let limit = budget("b", "key:k", "total = 0.0012");
    let key = "[[keys]]\nname = \"k\"\nsecret = \"sk-k\"\n";
    let config = rated(&judge, &format!("{limit}{key}")).replace("mode = \"open\"", "mode = \"keys\"");
    let weir =
        Weir::start(&config.replace("[classifier]\n", "[classifier]\ntasks = { code = \"code\" }\n")).await;
    let client = || weir.client().key("sk-k");
    for (name, value, status) in
        [("x-weir-models", "auto,nothing", 404), ("x-weir-cache", "only-if-cached", 504)]
    {
        assert_eq!(ask(&client().header(name, value), "First.").await.status.as_u16(), status, "{name}");
    }
    assert_eq!(told(&ask(&client().header("x-weir-task", "code"), "First.").await)[0], "code");
    assert_eq!(judge.requests().len(), 0);
    assert_eq!(told(&ask(&client().header("x-weir-tier", "premium"), "First.").await)[0], "premium");
    ask(&client(), "First.").await.refused(429, "insufficient_quota", "budget_exceeded", false);
    assert_eq!(judge.requests().len(), 0);
}

#[tokio::test]
async fn a_judge_that_hangs_is_left_alone_soon() {
    let judge = RawUpstream::start(vec![Script::OnRequest(vec![Step::Hang])]).await;
    let weir = Weir::start(&rated(&judge, "")).await;
    for number in 0..5 {
        ask(&weir.client(), &format!("hi {number}")).await;
    }
    assert_eq!(judge.requests().len(), 3);
    let counted = |result| format!("weir_classifier_ratings_total{{result=\"{result}\"}}");
    assert_eq!(weir.metric(&counted("failed")).await as u64, 3);
    assert_eq!(weir.metric(&counted("paused")).await as u64, 2);
    // That a rating is wanted soon says nothing of the model's health.
    let left = "weir_upstream_attempts_total{model=\"judge\",outcome=\"client_left\",provider=\"judge\"}";
    assert_eq!(weir.metric(left).await as u64, 3);
}
