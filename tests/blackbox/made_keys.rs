//! Keys that are made while the gateway runs: over the admin API, by the command, through a restart.

use std::{path::Path, process::Output, time::Duration};

use serde_json::{Value, json};

use super::support::{
    client::{Answer, Client},
    openai::{ask, ask_stream},
    process,
    transcript::{CHAT, Transcript},
    weir::Weir,
};

const SIM: &str = r#"
[providers.sim]
protocol = "sim"
[models.a]
provider = "sim"
upstream_model = "sim-small?tokens=3"
price = { input = 1, output = 1 }
[models.long]
provider = "sim"
upstream_model = "sim-small?tokens=30&tps=20"
price = { input = 1, output = 1 }
[routes.one]
targets = ["a"]
[routes.two]
targets = ["a"]
"#;

const FIXED: &str = "[[keys]]\nname = \"fixed\"\nsecret = \"sk-fixed\"\n";

async fn status(client: &Client, model: &str) -> u16 {
    client.post_json(CHAT, &ask(model)).await.status.as_u16()
}

async fn make(admin: &Client, body: Value) -> Answer {
    admin.post_json("/admin/keys", &body).await
}

fn secret_of(answer: &Answer) -> String {
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(answer.header("cache-control"), "no-store");
    let secret = answer.json()["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("sk-weir-"));
    secret
}

/// Waits until the key gets this status, for much longer than the second that is promised.
async fn until(client: &Client, wanted: u16) {
    let mut last = 0;
    for _ in 0..200 {
        last = status(client, "one").await;
        if last == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("still {last}, not {wanted}");
}

fn good(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap().trim().to_owned()
}

fn bad(output: &Output) -> String {
    assert!(!output.status.success());
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[tokio::test]
async fn a_key_lives_from_its_making_to_its_revocation() {
    let weir = Weir::start(SIM).await;
    let admin = weir.client();
    assert_eq!(status(&admin, "one").await, 200, "without any key this machine is served");
    let made =
        make(&admin, json!({ "name": "team/bot", "routes": ["one"], "rpm": 50, "tags": { "team": "x" } }))
            .await;
    let secret = secret_of(&made);
    let bot = weir.client().key(&secret);
    assert_eq!((status(&bot, "one").await, status(&bot, "two").await), (200, 403));
    assert_eq!(bot.post_json(CHAT, &ask("one")).await.header("x-ratelimit-limit-requests"), "50");
    assert_eq!(status(&admin, "one").await, 401, "now there is a key");

    let again = make(&admin, json!({ "name": "team/bot" })).await;
    again.refused(409, "invalid_request_error", "conflict", false);
    assert_eq!(weir.client().send("DELETE", "/admin/keys/nobody", "").await.status, 404);

    // A request under way goes on to its end.
    let mut stream = bot.stream(CHAT, &ask_stream("long")).await;
    assert!(stream.next().await.is_some());
    let gone = admin.send("DELETE", "/admin/keys/team/bot", "").await;
    assert_eq!((gone.status.as_u16(), gone.json()["revoked"].clone()), (200, true.into()));
    bot.post_json(CHAT, &ask("one")).await.refused(401, "invalid_request_error", "invalid_api_key", false);
    assert!(Transcript::of(&mut stream).await.is_clean());
    assert_eq!(status(&admin, "one").await, 401, "a revoked key does not open the door");
    assert_eq!(admin.send("DELETE", "/admin/keys/team/bot", "").await.status, 404, "it is revoked already");

    let anew = secret_of(&make(&admin, json!({ "name": "team/bot" })).await);
    assert_eq!((status(&weir.client().key(&anew), "two").await, status(&bot, "one").await), (200, 401));
}

#[tokio::test]
async fn only_operators_make_keys_and_bad_ones_are_named() {
    let config = format!("{FIXED}{SIM}[server]\nadmin_token = \"token-1\"\nauth_failures_per_minute = 0\n");
    let weir = Weir::start(&config).await;
    for stranger in [weir.client(), weir.client().key("sk-fixed")] {
        assert_eq!(make(&stranger, json!({ "name": "a" })).await.status, 401);
        assert_eq!(stranger.get("/admin/keys").await.status, 401);
        assert_eq!(stranger.send("DELETE", "/admin/keys/fixed", "").await.status, 401);
    }
    let admin = weir.client().key("token-1");
    for (param, body) in [
        ("name", json!({})),
        ("name", json!({ "name": "a b" })),
        ("routes", json!({ "name": "a", "routes": ["oen"] })),
        ("models", json!({ "name": "a", "models": ["b"] })),
        ("rpm", json!({ "name": "a", "rpm": -1 })),
        ("tags", json!({ "name": "a", "tags": { "a b": "c" } })),
        ("budget.daily", json!({ "name": "a", "budget": { "daily": "-1" } })),
        ("hash", json!({ "name": "a", "hash": "sha256:00" })),
    ] {
        let error = make(&admin, body).await.refused(400, "invalid_request_error", "invalid_request", false);
        assert_eq!(error["param"], param, "{error}");
    }
    make(&admin, json!({ "name": "fixed" })).await.refused(409, "invalid_request_error", "conflict", false);
    let kept = admin.send("DELETE", "/admin/keys/fixed", "").await;
    let error = kept.refused(409, "invalid_request_error", "conflict", false);
    assert!(error["message"].as_str().unwrap().contains("configuration"), "{error}");
    assert_eq!(status(&weir.client().key("sk-fixed"), "one").await, 200);
    assert_eq!(weir.client().key("token-1").send("PUT", "/admin/keys", "{}").await.status, 405);
}

fn weir_keys(folder: &Path, arguments: &[&str]) -> Output {
    Weir::run(folder, &[&["--config", "weir.toml", "keys"], arguments].concat())
}

#[tokio::test]
async fn the_command_writes_the_ledger_of_a_running_server() {
    let weir = Weir::start(&format!("{FIXED}{SIM}")).await;
    let run = |arguments: &[&str]| weir_keys(weir.folder(), arguments);
    let secret =
        good(&run(&["new", "bot", "--routes", "one", "--tpm", "9000", "--daily", "1.50", "--tag", "team=x"]));
    let bot = weir.client().key(&secret);
    until(&bot, 200).await;
    assert_eq!(bot.post_json(CHAT, &ask("one")).await.header("x-ratelimit-limit-tokens"), "9000");
    assert_eq!(status(&bot, "two").await, 403);
    assert!(bad(&run(&["new", "bot"])).contains("exists already"));
    assert!(bad(&run(&["new", "fixed"])).contains("configuration"));
    assert!(bad(&run(&["new", "b", "--routes", "oen"])).contains("no route `oen`"));

    let list: Value = serde_json::from_str(&good(&run(&["list", "--json"]))).unwrap();
    assert_eq!(list, weir.client().get("/admin/keys").await.json());
    let [made, fixed] = list["data"].as_array().unwrap().as_slice() else { panic!("{list}") };
    assert_eq!(
        (&made["name"], &made["source"], &made["tpm"]),
        (&json!("bot"), &json!("ledger"), &json!(9000))
    );
    assert_eq!((&made["budget"], &made["tags"]), (&json!({ "daily": "1.5" }), &json!({ "team": "x" })));
    assert_eq!((&fixed["name"], &fixed["source"]), (&json!("fixed"), &json!("config")));
    let table = good(&run(&["list"]));
    assert!(
        table.contains("bot") && table.contains("fixed") && table.contains("9000 tokens a minute"),
        "{table}"
    );

    good(&run(&["revoke", "bot"]));
    until(&bot, 401).await;
    assert!(bad(&run(&["revoke", "bot"])).contains("no key `bot`"));
    assert!(bad(&run(&["revoke", "fixed"])).contains("configuration"));
}

#[tokio::test]
async fn the_command_asks_a_server() {
    let weir = Weir::start(&format!("{FIXED}{SIM}[server]\nadmin_token = \"token-1\"\n")).await;
    let (folder, url) = (tempfile::tempdir().unwrap(), weir.url("/"));
    let run = |arguments: &[&str], token: &str| {
        let arguments = [&["keys"], arguments, &["--server", &url]].concat();
        process::command(&arguments)
            .current_dir(folder.path())
            .env("WEIR_ADMIN_TOKEN", token)
            .output()
            .unwrap()
    };
    let secret = good(&run(&["new", "team/bot", "--routes", "one"], "token-1"));
    let bot = weir.client().key(&secret);
    assert_eq!((status(&bot, "one").await, status(&bot, "two").await), (200, 403));
    assert!(good(&run(&["list"], "token-1")).contains("team/bot"));
    assert!(bad(&run(&["list"], "wrong")).contains("admin token"));
    assert!(bad(&run(&["new", "team/bot"], "token-1")).contains("exists already"));
    good(&run(&["revoke", "team/bot"], "token-1"));
    assert_eq!(status(&bot, "one").await, 401);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the command made no ledger of its own");
}

#[tokio::test]
async fn keys_survive_a_restart_and_nothing_shows_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weir.db");
    let config = format!("{SIM}[ledger]\nurl = \"sqlite:{}\"\n", file.display());
    std::fs::write(folder.path().join("weir.toml"), &config).unwrap();
    // Before any server has run.
    let first = good(&weir_keys(folder.path(), &["new", "first"]));
    let dead = good(&weir_keys(folder.path(), &["new", "dead"]));
    let mut secrets = vec![first.clone(), dead.clone()];
    for round in 0..2 {
        let mut weir = Weir::start(&config).await;
        let client = |key: &str| weir.client().key(key);
        assert_eq!(status(&client(&first), "one").await, 200);
        assert_eq!(status(&weir.client(), "one").await, 401);
        if round == 0 {
            assert_eq!(status(&client(&dead), "one").await, 200);
            let made = secret_of(&make(&weir.client(), json!({ "name": "second" })).await);
            secrets.push(made);
            weir.client().send("DELETE", "/admin/keys/dead", "").await;
        }
        assert_eq!(status(&client(&secrets[2]), "one").await, 200);
        assert_eq!(status(&client(&dead), "one").await, 401);
        let list = weir.client().get("/admin/keys").await.text();
        assert!(list.contains("second") && !list.contains("sha256") && !list.contains("\"hash\""), "{list}");
        weir.sigterm();
        assert!(weir.wait_exit(Duration::from_secs(20)).await.success());
        for secret in &secrets {
            assert!(!list.contains(secret) && !weir.logs().contains(secret));
        }
        assert!(!weir.logs().contains("sha256:"));
    }
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        for secret in &secrets {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()));
        }
    }
}

#[tokio::test]
async fn a_key_in_the_memory_of_a_server_is_out_of_the_commands_reach() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("weir.toml"), "[ledger]\nurl = \"sqlite::memory:\"\n").unwrap();
    assert!(bad(&weir_keys(folder.path(), &["list"])).contains("--server"));
}
