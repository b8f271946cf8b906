//! Traffic in which everything happens that Weir counts.

use serde_json::{Value, json};

use crate::support::{
    raw::RawUpstream,
    script::Script,
    transcript::{CHAT, Transcript},
    weir::Weir,
};

/// A gateway with something to count, and what stands around it.
pub struct Traffic {
    pub weir: Weir,
    _refuses: RawUpstream,
    _webhook: RawUpstream,
}

const CONFIG: &str = r#"
[auth]
mode = "open"
[breaker]
open_min = "1m"
[retry]
backoff_min = "1ms"
hedge_share = 1.0
[cache]
enabled = true
[degraded]
static = { general = "Later, please." }
[judge]
enabled = true
model = "good"
share = 1.0
[alerts]
webhook = "http://WEBHOOK/hook"
min_interval = "0s"

[providers.good]
protocol = "sim"
health_check = { every = "1s" }
[providers.broken]
protocol = "sim"
sim = { fault = "status=500" }
[providers.flaky]
protocol = "sim"
sim = { fault = "status=500", fault_rate = 0.3 }
[providers.silent]
protocol = "sim"
sim = { fault = "hang" }
[providers.limited]
protocol = "sim"
sim = { fault = "status=429,retry-after=30" }
[providers.refuses]
base_url = "http://REFUSES/v1"
api_keys = ["k-not-known"]

[models]
good = { provider = "good", upstream_model = "sim-small?tokens=9", price = { input = 100.0, output = 100.0 } }
dear = { provider = "good", upstream_model = "sim-large?tokens=9", price = { input = 900.0, output = 900.0 } }
empty = { provider = "good", upstream_model = "sim-small?empty", price = { input = 1.0, output = 1.0 } }
silent-usage = { provider = "good", upstream_model = "sim-small?no-usage&tokens=9", price = { input = 1.0, output = 1.0 } }
lavish = { provider = "good", upstream_model = "sim-small?usage-times=1000", price = { input = 1.0, output = 1.0 } }
unpriced = { provider = "good", upstream_model = "nobody-knows?tokens=9" }
broken = { provider = "broken", price = { input = 1.0, output = 1.0 }, retries = 1 }
flaky = { provider = "flaky", upstream_model = "sim-small?tokens=9", price = { input = 1.0, output = 1.0 } }
silent = { provider = "silent", price = { input = 1.0, output = 1.0 } }
limited = { provider = "limited", price = { input = 1.0, output = 1.0 } }
refused = { provider = "refuses", price = { input = 1.0, output = 1.0 } }

[routes]
main = { targets = ["broken", "good"], max_attempts = 3 }
down = { targets = ["broken"] }
honest = { targets = ["broken"], always_honest = true }
hedged = { targets = ["silent", "good"], hedge_after = "20ms" }
checked = { targets = ["empty"], escalate_on = ["empty"], escalate_to = "main" }
small = { targets = ["good"] }

[classifier]
kind = "llm"
llm = { model = "good" }
baseline = "dear"
tiers = [{ min = 1, route = "main" }]

[[budgets]]
name = "small"
scope = "route:small"
per_request = 0.0001
[[budgets]]
name = "main"
scope = "route:main"
daily = 1000.0
[[budgets]]
name = "lavish"
scope = "model:lavish"
total = 0.001
alert_at = [0.5]
"#;

impl Traffic {
    /// Starts all of it.
    pub async fn start() -> Self {
        let refuses = RawUpstream::start(vec![Script::json(401, "{}")]).await;
        let webhook = RawUpstream::start(vec![Script::json(200, "ok")]).await;
        let toml = CONFIG.replace("WEBHOOK", webhook.address()).replace("REFUSES", refuses.address());
        let weir = Weir::start(&toml).await;
        Self { weir, _refuses: refuses, _webhook: webhook }
    }

    /// One request of each kind, and a reload in the first round.
    pub async fn round(&self, number: usize) {
        let client = self.weir.client();
        let ask = |model: &str, text: &str, stream: bool| -> Value {
            json!({ "model": model, "stream": stream, "max_tokens": 20,
                "messages": [{ "role": "user", "content": text }] })
        };
        let own = format!("Question {number}.");
        if number == 0 {
            client.send("POST", "/admin/reload", "").await;
        }
        for (model, text) in [
            ("main", &*own),
            ("main", "The same again."),
            ("auto", &own),
            ("checked", &own),
            ("down", &own),
            ("honest", &own),
            ("flaky", &own),
            ("small", &own),
            ("lavish", &own),
            ("silent-usage", &own),
            ("unpriced", &own),
            ("limited", &own),
            ("refused", &own),
            ("nobody", &own),
        ] {
            client.post_json(CHAT, &ask(model, text, false)).await;
        }
        Transcript::of(&mut client.stream(CHAT, &ask("hedged", &own, true)).await).await;
    }
}
