//! No tenant gets another's answer.

use serde_json::{Value, json};

use crate::support::{
    client::Client,
    served::Served,
    settings::{price, route, target},
    transcript::CHAT,
    weir::Weir,
};

use super::{ask, did};

fn key(name: &str, secret: &str, tags: &str) -> String {
    format!("[[keys]]\nname = \"{name}\"\nsecret = \"{secret}\"\ntags = {{ {tags} }}\n")
}

fn config(base_url: &str, keys: &[String], scope: &str) -> String {
    [
        &keys.concat()[..],
        "[auth]\nclient_tags = [\"topic\", \"own\"]\n",
        &target("p", base_url, "", &price("1.0", "1.0")),
        &route("r", &["p"], ""),
        &format!("[cache]\nenabled = true\nscope = \"{scope}\"\n[ledger]\nidempotency = true\n"),
    ]
    .concat()
}

async fn word(client: Client, body: &Value) -> String {
    did(&client.post_json(CHAT, body).await).to_owned()
}

#[tokio::test]
async fn two_keys_have_answers_of_their_own_unless_they_are_meant_to_share() {
    let keys = [
        key("a", "sk-a", "team = \"x\""),
        key("b", "sk-b", "team = \"x\""),
        key("c", "sk-c", "team = \"y\""),
        key("d", "sk-d", ""),
        key("e", "sk-e", ""),
    ];
    for (scope, words) in [
        ("key", ["miss", "miss", "miss", "miss", "miss"]),
        ("tag:team", ["miss", "hit", "miss", "miss", "miss"]),
        ("global", ["miss", "hit", "hit", "hit", "hit"]),
    ] {
        let sim = Served::start("tokens=20").await;
        let weir = Weir::start(&config(&sim.base_url(), &keys, scope)).await;
        for (secret, expected) in ["sk-a", "sk-b", "sk-c", "sk-d", "sk-e"].into_iter().zip(words) {
            assert_eq!(word(weir.client().key(secret), &ask("x", false)).await, expected, "{scope} {secret}");
            assert_eq!(word(weir.client().key(secret), &ask("x", false)).await, "hit", "{scope} {secret}");
        }
        let misses = words.iter().filter(|word| **word == "miss").count();
        assert_eq!(sim.hits(), misses as u64, "{scope}");
    }
}

#[tokio::test]
async fn a_key_that_is_made_again_is_another_ones() {
    let sim = Served::start("tokens=20").await;
    let weir = Weir::start(&config(&sim.base_url(), &[key("admin", "sk-admin", "")], "key")).await;
    let mut holders = Vec::new();
    for hits in [1, 3] {
        let made = weir.client().post_json("/admin/keys", &json!({ "name": "bot" })).await;
        let secret = made.json()["secret"].as_str().unwrap().to_owned();
        let client = || weir.client().key(&secret);
        for expected in ["miss", "hit"] {
            assert_eq!(word(client(), &ask("secret", false)).await, expected);
        }
        assert_eq!(sim.hits(), hits);
        // Nor does its idempotency key lead to the other one's answer.
        let once = client().header("idempotency-key", "one").post_json(CHAT, &ask("kept", false)).await;
        assert_eq!((once.status.as_u16(), once.header("x-weir-replayed")), (200, ""), "{}", once.text());
        weir.client().send("DELETE", "/admin/keys/bot", "").await;
        holders.push(secret);
    }
    assert_ne!(holders[0], holders[1]);
}

/// Headers that a client might hope to be taken for another with.
const HEADERS: [(&str, &str); 24] = [
    ("x-weir-tags", "topic=x"),
    ("x-weir-tags", "own=victim"),
    ("x-weir-key", "victim"),
    ("x-weir-tenant", "victim"),
    ("x-weir-cache-scope", "global"),
    ("x-weir-cache-key", "victim"),
    ("x-weir-route", "r"),
    ("x-weir-models", "p"),
    ("x-weir-stream-summary", "true"),
    ("x-weir-fallback", "on"),
    ("x-weir-timeout-ms", "60000"),
    ("x-weir-max-cost-usd", "1"),
    ("x-api-key", "sk-victim"),
    ("api-key", "sk-victim"),
    ("x-user", "victim"),
    ("x-forwarded-user", "victim"),
    ("x-forwarded-for", "127.0.0.1"),
    ("openai-organization", "victim"),
    ("openai-project", "victim"),
    ("cookie", "key=sk-victim"),
    ("idempotency-key", "victim"),
    ("x-request-id", "victim"),
    ("host", "victim"),
    ("age", "0"),
];

/// Fields that say who asks.
fn bodies() -> Vec<Value> {
    let mut bodies = Vec::new();
    for (name, value) in [
        ("user", json!("victim")),
        ("metadata", json!({ "key": "victim", "team": "x" })),
        ("safety_identifier", json!("victim")),
        ("prompt_cache_key", json!("victim")),
        ("store", json!(true)),
        ("service_tier", json!("auto")),
        ("stream", json!(true)),
        ("models", json!(["p"])),
        ("key", json!("victim")),
        ("tenant", json!("victim")),
        ("cache", json!({ "scope": "global" })),
        ("tags", json!({ "team": "x" })),
    ] {
        let mut body = ask("secret", false);
        body[name] = value;
        bodies.push(body);
    }
    bodies
}

/// Names that look like the victim's, or like how its scope may be written.
const NAMES: [(&str, &str); 16] = [
    ("Victim", "team = \"X\""),
    ("victim2", "team = \"x \""),
    ("victim-", "team = \" x\""),
    ("victi", "team = \"х\""),
    ("victim:team", "team = \"x=y\""),
    ("key", "team = \"x\\u0000\""),
    ("tag", "Team = \"x\""),
    ("global", "team2 = \"x\""),
    ("open", "topic = \"x\""),
    ("team", "team = \"\""),
    ("x", "team = \"x;team=x\""),
    ("key:victim", "team = \"x,team=x\""),
    ("tag:team:x", "team = \"ｘ\""),
    ("team/x", "team = \"x\\u200b\""),
    ("victim_", "tag = \"team\""),
    ("0", "x = \"team\""),
];

#[tokio::test]
async fn fifty_ways_to_cross_lead_nowhere() {
    let sim = Served::start("tokens=20").await;
    let mut keys = vec![key("victim", "sk-victim", "team = \"x\""), key("thief", "sk-thief", "own = \"y\"")];
    // Not every such name, or tag, may be given at all; those that may are tried.
    let alone = |stanza: &str| {
        let folder = tempfile::TempDir::new().unwrap();
        std::fs::write(folder.path().join("weir.toml"), stanza).unwrap();
        Weir::run(folder.path(), &["check", "--config", "weir.toml"]).status.success()
    };
    let base_url = sim.base_url();
    let mut tried = 0;
    let mut others = Vec::new();
    for (number, (name, tags)) in NAMES.iter().enumerate() {
        let secret = format!("sk-other-{number}");
        for (name, tags) in [(*name, *tags), (*name, ""), (&*format!("n{number}"), *tags)] {
            let stanza = key(name, &secret, tags);
            if alone(&config(&base_url, std::slice::from_ref(&stanza), "key")) {
                keys.push(stanza);
                others.push(secret);
                break;
            }
        }
    }
    for scope in ["key", "tag:team"] {
        let weir = Weir::start(&config(&base_url, &keys, scope)).await;
        assert_eq!(word(weir.client().key("sk-victim"), &ask("secret", false)).await, "miss");
        assert_eq!(word(weir.client().key("sk-victim"), &ask("secret", true)).await, "hit");
        let only = |secret: &str| weir.client().key(secret).header("x-weir-cache", "only-if-cached");
        let mut crosses = async |client: Client, body: &Value, how: &str| {
            let answer = client.post_json(CHAT, body).await;
            assert!(answer.status.is_client_error() || answer.status.as_u16() == 504, "{scope}: {how}");
            assert_ne!(answer.header("x-weir-cache"), "hit", "{scope}: {how}");
            tried += 1;
        };
        for (header, value) in HEADERS {
            crosses(only("sk-thief").header(header, value), &ask("secret", false), header).await;
        }
        for body in bodies() {
            crosses(only("sk-thief"), &body, &body.to_string()).await;
        }
        for secret in &others {
            crosses(only(secret), &ask("secret", false), secret).await;
        }
        for wish in ["only-if-cached, ttl=1", "only-if-cached, no-store", "only-if-cached, no-cache"] {
            let client = weir.client().key("sk-thief").header("x-weir-cache", wish);
            crosses(client, &ask("secret", false), wish).await;
        }
    }
    assert!(tried >= 100, "{tried}");
    assert_eq!(sim.hits(), 2, "one for each scope");
}
