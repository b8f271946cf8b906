//! A conversation stays with the model that has it.

use serde_json::{Value, json};

use super::tiers;
use crate::support::{
    client::Client,
    settings::{HEALTHY, route, target},
    sim::SimProcess,
    transcript::CHAT,
    weir::Weir,
};

/// A conversation as a client keeps it.
struct Chat {
    client: Client,
    model: &'static str,
    messages: Vec<Value>,
}

impl Chat {
    fn new(client: Client, model: &'static str) -> Self {
        Self { client, model, messages: vec![json!({ "role": "system", "content": "Be brief." })] }
    }

    /// Says something more; gives the route with the model that answered.
    async fn say(&mut self, text: &str) -> (String, String) {
        self.messages.push(json!({ "role": "user", "content": text }));
        let body = json!({ "model": self.model, "max_tokens": 10, "messages": self.messages });
        let answer = self.client.post_json(CHAT, &body).await;
        assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
        self.messages.push(answer.json()["choices"][0]["message"].clone());
        (answer.header("x-weir-route").to_owned(), answer.header("x-weir-model").to_owned())
    }
}

/// The tiers with a coin toss between two models in the middle one.
fn tossed(classifier: &str, more: &str) -> String {
    tiers(classifier, more).replace(
        "[routes.standard]\ntargets = [\"middle\"]",
        "[routes.standard]\norder = \"weighted\"\ntargets = [\"middle\", \"coder\"]",
    )
}

#[tokio::test]
async fn the_tier_stays_unless_it_gets_much_harder() {
    let weir = Weir::start(&tossed("", "")).await;
    let mut chat = Chat::new(weir.client(), "auto");
    let (route, model) = chat.say("yankee").await;
    assert_eq!(route, "standard");
    for easier in ["xray", "Go on, xray.", "What is that? xray", "yankee again"] {
        assert_eq!(chat.say(easier).await, ("standard".to_owned(), model.clone()), "{easier}");
    }
    assert_eq!(chat.say("Now zulu.").await.0, "premium");
    assert_eq!(chat.say("xray").await.0, "premium");
    // Another conversation begins where it belongs.
    assert_eq!(Chat::new(weir.client(), "auto").say("xray").await.0, "budget");
}

#[tokio::test]
async fn a_task_without_a_route_changes_nothing_of_that() {
    let weir = Weir::start(&tossed("", "")).await;
    let mut chat = Chat::new(weir.client().header("x-weir-task", "poetry"), "auto");
    assert_eq!(chat.say("yankee").await.0, "standard");
    assert_eq!(chat.say("xray").await.0, "standard");
}

#[tokio::test]
async fn a_harder_question_never_gets_a_lower_tier() {
    let weir = Weir::start(&tiers("", "")).await;
    let mut chat = Chat::new(weir.client().header("x-weir-tier", "premium"), "auto");
    assert_eq!(chat.say("xray").await.0, "premium");
    chat.client = weir.client();
    assert_eq!(chat.say("Now yankee.").await.0, "premium");
}

#[tokio::test]
async fn the_model_stays_though_the_order_is_drawn_anew() {
    let weir = Weir::start(&tossed("", "")).await;
    let mut seen = std::collections::BTreeSet::new();
    for (model, _) in [("auto", 0), ("standard", 1), ("auto", 2), ("standard", 3)] {
        for number in 0..4 {
            let mut chat = Chat::new(weir.client(), model);
            let first = chat.say(&format!("yankee {number}")).await;
            for turn in 0..5 {
                assert_eq!(chat.say(&format!("{turn}")).await, first, "{model}");
            }
            seen.insert(first.1);
        }
    }
    assert_eq!(seen.len(), 2, "both models have conversations: {seen:?}");
}

#[tokio::test]
async fn it_can_be_switched_off() {
    let weir = Weir::start(&tossed("", "[classifier.sticky]\nenabled = false\n")).await;
    let mut chat = Chat::new(weir.client(), "auto");
    assert_eq!(chat.say("yankee").await.0, "standard");
    assert_eq!(chat.say("xray").await.0, "budget");
}

#[tokio::test]
async fn a_conversation_belongs_to_its_key() {
    let keys = "[[keys]]\nname = \"a\"\nsecret = \"sk-a\"\n[[keys]]\nname = \"b\"\nsecret = \"sk-b\"\n";
    let weir = Weir::start(&tiers("", keys).replace("mode = \"open\"", "mode = \"keys\"")).await;
    let mut chat = Chat::new(weir.client().key("sk-a"), "auto");
    assert_eq!(chat.say("zulu").await.0, "premium");
    let mut other =
        Chat { client: weir.client().key("sk-b"), model: "auto", messages: chat.messages.clone() };
    assert_eq!(other.say("xray").await.0, "budget");
    assert_eq!(chat.say("xray").await.0, "premium");
}

#[tokio::test]
async fn a_model_that_fails_loses_its_conversations() {
    let mut one = SimProcess::start(&["--first-token", "1ms"]).await;
    let two = SimProcess::start(&["--first-token", "1ms"]).await;
    let toml = [
        HEALTHY,
        &target("one", &one.base_url(), "", ""),
        &target("two", &two.base_url(), "", ""),
        &route("chain", &["one", "two"], ""),
        "[classifier]\ntiers = [{ min = 1, route = \"chain\" }]\n",
    ]
    .concat();
    let weir = Weir::start(&toml).await;
    let mut chat = Chat::new(weir.client(), "auto");
    assert_eq!((chat.say("hi").await.1, chat.say("more").await.1), ("one".into(), "one".into()));
    one.kill();
    assert_eq!(chat.say("and more").await.1, "two");
    one.restart_on_same_port().await;
    // It is the other one's now; others begin where the route says. A route by its own name keeps to its list.
    assert_eq!(chat.say("still more").await.1, "two");
    assert_eq!(Chat::new(weir.client(), "auto").say("hi").await.1, "one");
    let mut listed = Chat { client: weir.client(), model: "chain", messages: chat.messages.clone() };
    assert_eq!(listed.say("and again").await.1, "one");
}
