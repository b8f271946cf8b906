//! What can be wished of the cache.

use serde_json::json;

use crate::support::{served::Served, settings::route, transcript::CHAT, weir::Weir};

use super::{ask, config, did};

#[tokio::test]
async fn a_client_says_what_is_read_and_written() {
    let sim = Served::start("tokens=20").await;
    let weir = Weir::start(&config(&sim.base_url(), "")).await;
    let asked = async |text: &str, wish: &str| {
        weir.client().header("x-weir-cache", wish).post_json(CHAT, &ask(text, false)).await
    };
    asked("a", "only-if-cached").await.refused(504, "invalid_request_error", "cache_miss", false);
    assert_eq!((did(&asked("a", "no-store").await), sim.hits()), ("miss", 1));
    assert_eq!((did(&asked("a", "no-cache").await), sim.hits()), ("bypass", 2));
    assert_eq!((did(&asked("a", "only-if-cached").await), sim.hits()), ("hit", 2));
    assert_eq!((did(&asked("a", "no-store").await), sim.hits()), ("hit", 2));
    assert_eq!((did(&asked("a", "no-cache, no-store").await), sim.hits()), ("bypass", 3));
    asked("a", "no-cache, only-if-cached").await.refused(504, "invalid_request_error", "cache_miss", false);
    for (wish, word) in [("ttl=0", "miss"), ("ttl=1", "miss"), ("ttl=1", "hit")] {
        assert_eq!(did(&asked("b", wish).await), word, "{wish}");
    }
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    assert_eq!(did(&asked("b", "ttl=1").await), "miss");
}

#[tokio::test]
async fn a_client_can_want_younger_answers_and_no_older_ones() {
    let sim = Served::start("tokens=20").await;
    let toml =
        [&config(&sim.base_url(), "ttl = \"1s\"")[..], &route("long", &["p"], "cache_ttl = \"1h\"")].concat();
    let weir = Weir::start(&toml).await;
    let word = async |model: &str, text: &str, wish: &str| {
        let mut body = ask(text, false);
        body["model"] = json!(model);
        did(&weir.client().header("x-weir-cache", wish).post_json(CHAT, &body).await).to_owned()
    };
    for (model, text, wish, expected) in [
        ("p", "a", "ttl=3600", "miss"),
        ("p", "a", "ttl=3600", "hit"),
        ("long", "b", "ttl=3600", "miss"),
        ("long", "c", "ttl=3600", "miss"),
        ("long", "d", "ttl=1", "miss"),
        ("long", "d", "ttl=3600", "hit"),
    ] {
        assert_eq!(word(model, text, wish).await, expected, "{model} {text} {wish}");
    }
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    for (model, text, wish, expected) in [
        // Not longer than the operator says, whoever asks.
        ("p", "a", "ttl=3600", "miss"),
        // Too old for who asks, though kept.
        ("long", "b", "ttl=1, no-store", "miss"),
        ("long", "b", "ttl=3600", "hit"),
        ("long", "c", "ttl=1", "miss"),
        ("long", "d", "ttl=3600", "miss"),
    ] {
        assert_eq!(word(model, text, wish).await, expected, "{model} {text} {wish}, later");
    }
}

#[tokio::test]
async fn only_deterministic_answers_where_it_is_so_set() {
    let sim = Served::start("tokens=20").await;
    let weir = Weir::start(&config(&sim.base_url(), "deterministic_only = true")).await;
    for (more, words) in [
        (json!({}), ["bypass", "bypass"]),
        (json!({ "temperature": 0.7 }), ["bypass", "bypass"]),
        (json!({ "temperature": 0 }), ["miss", "hit"]),
        (json!({ "seed": 4 }), ["miss", "hit"]),
    ] {
        let mut body = ask("a", false);
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        for word in words {
            assert_eq!(did(&weir.client().post_json(CHAT, &body).await), word, "{more}");
        }
    }
    let refused =
        weir.client().header("x-weir-cache", "only-if-cached").post_json(CHAT, &ask("a", false)).await;
    refused.refused(504, "invalid_request_error", "cache_miss", false);
}

#[tokio::test]
async fn without_the_cache_nothing_is_kept() {
    let sim = Served::start("tokens=20").await;
    let weir = Weir::start(&config(&sim.base_url(), "").replace("enabled = true", "")).await;
    for hits in 1..=2 {
        assert_eq!(
            (did(&weir.client().post_json(CHAT, &ask("a", false)).await), sim.hits()),
            ("bypass", hits)
        );
    }
    assert_eq!(weir.metric("weir_cache_lookups_total{result=\"miss\"}").await, 0.0);
}

#[tokio::test]
async fn an_operator_throws_answers_away() {
    let sim = Served::start("tokens=20").await;
    let keys = "[[keys]]\nname = \"a\"\nsecret = \"sk-a\"\ntags = { team = \"x\" }\n\
                [[keys]]\nname = \"b\"\nsecret = \"sk-b\"\ntags = { team = \"y\" }\n";
    let toml = [
        keys,
        &config(&sim.base_url(), "").replace("[auth]\nmode = \"open\"\n", ""),
        &route("r", &["p"], ""),
    ];
    let weir = Weir::start(&toml.concat()).await;
    let word = async |key: &str, model: &str| {
        let mut body = ask("x", false);
        body["model"] = json!(model);
        did(&weir.client().key(key).post_json(CHAT, &body).await).to_owned()
    };
    let all = [("sk-a", "p"), ("sk-a", "r"), ("sk-b", "p"), ("sk-b", "r")];
    for (query, purged) in [
        ("?key=a", [true, true, false, false]),
        ("?route=r", [false, true, false, true]),
        ("?tag=team=y", [false, false, true, true]),
        ("", [true; 4]),
        ("?route=nobody", [false; 4]),
    ] {
        for (key, model) in all {
            word(key, model).await;
        }
        let answer = weir.client().send("DELETE", &format!("/admin/cache{query}"), "").await;
        let count = purged.iter().filter(|purged| **purged).count();
        assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({ "purged": count })), "{query}");
        for ((key, model), purged) in all.into_iter().zip(purged) {
            assert_eq!(word(key, model).await, if purged { "miss" } else { "hit" }, "{query} {key} {model}");
        }
    }
    let bad = weir.client().send("DELETE", "/admin/cache?keys=a", "").await;
    bad.refused(400, "invalid_request_error", "invalid_request", false);
}
