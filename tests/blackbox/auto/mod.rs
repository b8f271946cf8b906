//! The model name `auto`, shown on the built binary.

mod choice;
mod day;
mod money;
mod rating;
mod sticky;

use serde_json::{Value, json};

use crate::support::{
    client::{Answer, Client},
    settings::OPEN,
    transcript::CHAT,
};

/// Rules that make a test's words say how hard they are.
const WORDS: &str = r#"
kind = "keywords"
[classifier.keywords]
preset = "3-way"
[[classifier.keywords.rules]]
words = ["zulu"]
set = 9
[[classifier.keywords.rules]]
words = ["yankee"]
set = 5
[[classifier.keywords.rules]]
words = ["xray"]
set = 1
"#;

/// A model of the simulated provider with its price; an answer has ten tokens.
fn model(name: &str, price: &str) -> String {
    format!(
        "[models.{name}]\nprovider = \"sim\"\nupstream_model = \"sim-small?tokens=10\"\n\
         price = {{ input = 0.0, output = {price} }}\n"
    )
}

/// An open gateway with three tiers over the simulated provider; `classifier` are lines of its table, `more` come
/// behind all.
fn tiers(classifier: &str, more: &str) -> String {
    format!(
        "{OPEN}[providers.sim]\nprotocol = \"sim\"\n{}{}{}{}\
         [routes.premium]\ntargets = [\"strong\"]\nfallback = \"standard\"\n\
         [routes.standard]\ntargets = [\"middle\"]\nfallback = \"budget\"\n\
         [routes.budget]\ntargets = [\"weak\"]\n[routes.code]\ntargets = [\"coder\"]\n\
         [classifier]\nbaseline = \"strong\"\ntiers = [{{ min = 8, route = \"premium\" }}, \
         {{ min = 4, route = \"standard\" }}, {{ min = 1, route = \"budget\" }}]\n{classifier}{WORDS}{more}",
        model("strong", "100.0"),
        model("middle", "10.0"),
        model("weak", "1.0"),
        model("coder", "20.0"),
    )
}

fn saying(model: &str, text: &str) -> Value {
    json!({ "model": model, "max_tokens": 10, "messages": [{ "role": "user", "content": text }] })
}

async fn ask(client: &Client, text: &str) -> Answer {
    client.post_json(CHAT, &saying("auto", text)).await
}

/// Route, model, tier, task, complexity of an answer.
fn told(answer: &Answer) -> [&str; 5] {
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
    ["x-weir-route", "x-weir-model", "x-weir-tier", "x-weir-task", "x-weir-complexity"]
        .map(|name| answer.header(name))
}
