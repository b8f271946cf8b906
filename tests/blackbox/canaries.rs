//! Secrets planted everywhere, looked for in everything that comes out.

use std::{path::Path, process::Output};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::support::{
    client::{Answer, Client},
    collector::Collector,
    process,
    raw::{RawUpstream, wait_for},
    script::Script,
    sim::SimProcess,
    weir::{Setup, Weir},
};

const CHAT: &str = "/v1/chat/completions";

/// Every secret holds this, and nothing else does.
const MARK: &str = "k7canary";
/// What people ask, which is in no log either.
const PROMPT: &str = "p7prompt";

/// Everything that came out, with where it came from.
#[derive(Default)]
struct Seen(Vec<(String, String)>);

impl Seen {
    fn answer(&mut self, what: &str, answer: &Answer) {
        self.0.push((what.to_owned(), format!("{:?}\n{}", answer.headers, answer.text())));
    }

    fn output(&mut self, what: &str, output: &Output) {
        let text = [output.stdout.as_slice(), &output.stderr].concat();
        self.0.push((what.to_owned(), String::from_utf8(text).unwrap()));
    }

    fn assert_without(&self, mark: &str) {
        for (what, text) in &self.0 {
            let lower = text.to_lowercase();
            if let Some(at) = lower.find(mark) {
                let from =
                    (0..=at.saturating_sub(300)).rev().find(|&at| lower.is_char_boundary(at)).unwrap_or(0);
                panic!("{mark} in {what}: {}", lower[from..].chars().take(600).collect::<String>());
            }
        }
    }
}

/// A provider that repeats its key and header in everything it says.
async fn echo() -> RawUpstream {
    let words = format!("You sent {MARK}-provider-b with {MARK}-header, I saw it");
    let error = json!({ "error": { "message": words, "type": "t", "param": format!("{MARK}-header"), "code": format!("{MARK}-provider-b") } });
    let error = error.to_string();
    let event = format!("data: {error}\n\n");
    let content = "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n".to_owned();
    RawUpstream::start(vec![
        Script::json(400, &error),
        Script::json(422, &words),
        Script::json(404, &error),
        Script::json(500, &error),
        Script::json(200, &error),
        Script::json(200, &words),
        Script::stream(std::slice::from_ref(&event)),
        Script::stream(&[content, event]),
        Script::json(401, &error),
        // The last one: after it the target is left alone.
        Script::json(429, &error),
    ])
    .await
}

/// Which requests the echo's scripts are for.
const ECHOES: [bool; 10] = [false, false, false, false, false, false, true, true, false, false];

fn config(sim: &SimProcess, echo: &RawUpstream, collector: &Collector, folder: &Path) -> String {
    let key_file = folder.join("key");
    std::fs::write(&key_file, format!("{MARK}-file-key\n")).unwrap();
    format!(
        r#"
        [server]
        admin_token = "env:SECRET_ADMIN"
        auth_failures_per_minute = 0
        [breaker]
        enabled = false
        model_rest = "1ms"
        [telemetry]
        log = "trace"
        otlp_endpoint = "http://{collector}/{MARK}-path"
        otlp_headers = {{ x-key = "{MARK}-otlp", authorization = "env:SECRET_OTLP" }}
        propagate = true
        content = ["told"]
        [alerts]
        webhook = "http://{collector}/hook?token={MARK}-hook"
        min_interval = "0s"
        [[budgets]]
        name = "all"
        scope = "key:from-file"
        daily = 1000.0
        [[keys]]
        name = "from-env"
        secret = "env:SECRET_CLIENT"
        rpm = 100_000
        [[keys]]
        name = "literal"
        secret = "{MARK}-literal-key"
        routes = []
        models = []
        [[keys]]
        name = "from-file"
        secret = "file:{file}"
        max_concurrent = 9
        [providers.one]
        base_url = "{sim}"
        http = "1"
        api_keys = ["env:SECRET_PROVIDER_A", "{MARK}-provider-b"]
        headers = {{ x-secret = "env:SECRET_HEADER", x-plain = "{MARK}-header" }}
        [providers.two]
        base_url = "{sim}"
        http = "2"
        api_keys = ["{MARK}-provider-b"]
        headers = {{ x-plain = "{MARK}-header" }}
        [providers.echo]
        base_url = "{echo}"
        api_keys = ["{MARK}-provider-b"]
        headers = {{ x-plain = "{MARK}-header" }}
        [providers.tls]
        base_url = "https://{echo_host}/v1"
        api_keys = ["{MARK}-provider-b"]
        [providers.dead]
        base_url = "http://127.0.0.1:1/v1"
        api_keys = ["{MARK}-provider-b"]
        [models.one]
        provider = "one"
        price = {{ input = 1.0, output = 1.0 }}
        [models.two]
        provider = "two"
        [models.broken]
        provider = "two"
        upstream_model = "x?status=500"
        [models.cut]
        provider = "two"
        upstream_model = "x?reset-after=2&tps=20"
        [models.refused]
        provider = "one"
        upstream_model = "x?bad-key"
        [models.echo]
        provider = "echo"
        [models.tls]
        provider = "tls"
        [models.dead]
        provider = "dead"
        [routes.chain]
        targets = ["dead", "tls", "broken", "two"]
        [routes.told]
        targets = ["one"]
        "#,
        file = key_file.display(),
        sim = sim.base_url(),
        echo = echo.base_url(),
        echo_host = echo.address(),
        collector = collector.address(),
    )
}

fn planted(setup: Setup) -> Setup {
    setup
        .env("SECRET_ADMIN", &format!("{MARK}-admin"))
        .env("SECRET_CLIENT", &format!("{MARK}-client"))
        .env("SECRET_PROVIDER_A", &format!("{MARK}-provider-a"))
        .env("SECRET_HEADER", &format!("{MARK}-secret-header"))
        .env("SECRET_OTLP", &format!("Bearer {MARK}-otlp-env"))
        .env("SECRET_UNUSED", &format!("{MARK}-unused"))
}

fn asking(model: &str, stream: bool) -> Value {
    json!({
        "model": model, "stream": stream, "user": PROMPT,
        "messages": [{ "role": "system", "content": PROMPT }, { "role": "user", "content": PROMPT }],
    })
}

/// Asks everything in every way that goes well or wrong.
async fn ask_all(weir: &Weir, seen: &mut Seen) {
    let good = weir.client().key(&format!("{MARK}-client"));
    let mut keep = async |what: &str, client: &Client, body: &Value| {
        let answer = client.post_json(CHAT, body).await;
        if answer.status == 200 {
            // An answer may repeat its own question.
            assert!(!answer.text().contains(MARK), "{what}: {}", answer.text());
        } else {
            seen.answer(what, &answer);
        }
        answer.status.as_u16()
    };
    for stream in [false, true] {
        for (model, status) in [
            ("one", 200),
            ("two", 200),
            ("chain", 200),
            ("cut", if stream { 200 } else { 503 }),
            ("broken", 503),
            ("refused", 502),
            ("tls", 503),
            ("dead", 503),
            ("nobody", 404),
        ] {
            assert_eq!(keep(model, &good, &asking(model, stream)).await, status, "{model} {stream}");
        }
    }
    for stream in ECHOES {
        keep("echo", &good, &asking("echo", stream)).await;
    }
    let literal = weir.client().key(&format!("{MARK}-literal-key"));
    assert_eq!(keep("no grant", &literal, &asking("one", false)).await, 403);
    let file = weir.client().key(&format!("{MARK}-file-key"));
    assert_eq!(keep("key from a file", &file, &asking("one", false)).await, 200);
    for (name, value) in [
        ("authorization", format!("Bearer {MARK}-wrong")),
        ("authorization", format!("Basic {MARK}")),
        ("x-api-key", format!("{MARK}-wrong")),
        ("cookie", format!("a={MARK}")),
    ] {
        assert_eq!(keep(name, &weir.client().header(name, &value), &asking("one", false)).await, 401);
    }
    for name in ["x-weir-cache", "x-weir-timeout-ms", "x-weir-fallback", "content-encoding"] {
        assert_eq!(
            keep(name, &good.clone().header(name, &format!("{MARK}-value")), &asking("one", false)).await,
            400
        );
    }
    let harmless =
        good.clone().header("cookie", MARK).header("x-custom", MARK).header("proxy-authorization", MARK);
    assert_eq!(keep("further headers", &harmless, &asking("two", false)).await, 200);
    let query = good.post_json(&format!("{CHAT}?api_key={MARK}-query"), &asking("one", false)).await;
    assert_eq!(query.status, 200);
    seen.answer("bad json", &good.post(CHAT, format!("{{\"model\": \"{PROMPT}\" nonsense")).await);
    seen.answer("the list", &good.get("/v1/models").await);
}

/// The same over HTTP/2, whose library has a log of its own.
async fn ask_over_http2(weir: &Weir) {
    let stream = TcpStream::connect(weir.address()).await.unwrap();
    let (mut send, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    for key in ["client", "wrong"] {
        let request = http::Request::post(weir.url(CHAT))
            .header("authorization", format!("Bearer {MARK}-{key}"))
            .header("cookie", format!("a={MARK}"))
            .header("x-custom", MARK)
            .header("content-type", "application/json")
            .body(())
            .unwrap();
        let (answer, mut body) = send.send_request(request, false).unwrap();
        body.send_data(Bytes::from(asking("two", false).to_string()), true).unwrap();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), if key == "client" { 200 } else { 401 });
        let mut body = answer.into_body();
        while let Some(chunk) = body.data().await {
            body.flow_control().release_capacity(chunk.unwrap().len()).unwrap();
        }
    }
    drop(send);
    connection.abort();
}

/// Configurations with a fault near each secret.
fn faulty() -> Vec<String> {
    vec![
        format!("[server]\nadmin_token = [\"{MARK}\"]\n"),
        format!("[server]\nadmin_tokn = \"{MARK}\"\n"),
        format!("[[keys]]\nname = \"a\"\nsecret = \"{MARK}\n"),
        format!("[[keys]]\nname = \"a\"\nsecrte = \"{MARK}\"\n"),
        format!("[[keys]]\nname = \"a\"\nsecret = {{ env = \"{MARK}\" }}\n"),
        format!("[[keys]]\nname = \"a\"\nhash = \"sha256:{MARK}\"\n"),
        format!("[[keys]]\nname = \"a\"\nsecret = \"{MARK}\"\n[[keys]]\nname = \"b\"\nsecret = \"{MARK}\"\n"),
        format!("[providers.p]\nbase_url = \"http://127.0.0.1:1/v1\"\napi_keys = \"{MARK}\"\n"),
        format!("[providers.p]\nbase_url = \"http://127.0.0.1:1/v1\"\napi_keys = [\"{MARK}\\u0007\"]\n"),
        format!("[providers.p]\nbase_url = \"http://127.0.0.1:1/v1\"\napi_key = \"{MARK}\"\n"),
        format!(
            "[providers.p]\nbase_url = \"http://127.0.0.1:1/v1\"\nheaders = {{ \"bad name\" = \"{MARK}\" }}\n"
        ),
        format!("[providers.p]\nbase_url = \"http://127.0.0.1:1/v1\"\nheaders = {{ x-a = \"{MARK}\\n\" }}\n"),
        format!("[providers.p]\nbase_url = \"http://user:{MARK}@127.0.0.1:1/v1\"\n"),
        format!("[telemetry]\notlp_endpoint = \"http://user:{MARK}@127.0.0.1:1\"\n"),
        format!("[telemetry]\notlp_endpoint = \"{MARK}\"\n"),
        format!("[telemetry]\notlp_endpont = \"http://{MARK}\"\n"),
        format!("[telemetry]\notlp_headers = \"{MARK}\"\n"),
        format!("[telemetry]\notlp_headers = {{ x-a = \"{MARK}\\n\" }}\n"),
        format!("[alerts]\nwebhook = [\"{MARK}\"]\n"),
    ]
}

/// Every span of what was asked so far.
async fn see_traces(weir: &Weir, collector: &Collector, seen: &mut Seen) {
    let (last, id) = (weir.client().key(&format!("{MARK}-client")), "the-last-one");
    let last = last.header("x-request-id", id).header("traceparent", MARK).header("tracestate", MARK);
    assert_eq!(last.post_json(CHAT, &asking("one", true)).await.status, 200);
    let of_last = || collector.spans().into_iter().find(|span| span.text("weir.request_id") == id);
    wait_for(of_last).await;
    let spans = collector.spans();
    for outcome in ["ok", "server_error", "credential_rejected", "rejected", "rate_limited", "connect_error"]
    {
        assert!(spans.iter().any(|span| span.text("weir.outcome") == outcome), "no try with {outcome}");
    }
    seen.0.push(("traces".into(), collector.bodies()));
}

/// What somebody with the admin token gets to see, in whatever form, with what stays on the disk.
async fn see_what_operators_see(weir: &Weir, admin: &Client, seen: &mut Seen) {
    for path in ["/metrics", "/healthz", "/readyz", "/dashboard"] {
        seen.answer(path, &weir.client().get(path).await);
    }
    for path in
        ["/admin/status", "/admin/budgets", "/admin/ledger", "/admin/report", "/admin/keys", "/dashboard"]
    {
        let answer = admin.get(path).await;
        assert!(answer.status == 200 || path == "/dashboard", "{path}: {}", answer.text());
        seen.answer(path, &answer);
    }
    for form in [&["--by", "key"][..], &["--by", "model", "--json"], &["--by", "provider", "--csv"]] {
        let arguments = [&["report", "--config", "weir.toml"], form].concat();
        let report = Weir::run(weir.folder(), &arguments);
        assert!(!report.stdout.is_empty());
        seen.output("report", &report);
    }
    for file in std::fs::read_dir(weir.folder()).unwrap().map(|file| file.unwrap()) {
        if file.file_name().to_string_lossy().starts_with("weir.db") {
            let kept = std::fs::read(file.path()).unwrap();
            seen.0.push((format!("{:?}", file.file_name()), String::from_utf8_lossy(&kept).into_owned()));
        }
    }
}

fn check(folder: &Path, file: &str, variable: Option<(&str, String)>) -> Output {
    let mut command = process::command(["check", "--config", file]);
    command.current_dir(folder).env("SECRET_CLIENT", format!("{MARK}-client"));
    if let Some((name, value)) = variable {
        command.env(name, value);
    }
    command.output().unwrap()
}

#[tokio::test]
async fn no_secret_is_in_anything_that_comes_out() {
    let (sim, echo) = (SimProcess::start(&["--api-key", &format!("{MARK}-provider-b")]).await, echo().await);
    let folder = tempfile::tempdir().unwrap();
    let collector = Collector::start().await;
    let good = config(&sim, &echo, &collector, folder.path());
    let weir = planted(Weir::with(&good)).start().await;
    let mut seen = Seen::default();
    ask_all(&weir, &mut seen).await;
    ask_over_http2(&weir).await;
    assert_eq!(echo.requests().len(), ECHOES.len());
    see_traces(&weir, &collector, &mut seen).await;

    let admin = weir.client().key(&format!("{MARK}-admin"));
    let wrong = weir.client().key(&format!("{MARK}-wrong"));
    seen.answer("admin, wrong", &wrong.send("POST", "/admin/reload", "").await);
    for (number, text) in faulty().into_iter().enumerate() {
        weir.write_config(&format!("{good}\n{text}"));
        let answer = admin.send("POST", "/admin/reload", "").await;
        seen.answer(&format!("reload {number}"), &answer);
        std::fs::write(folder.path().join("bad.toml"), &text).unwrap();
        let checked = check(folder.path(), "bad.toml", None);
        let lines = checked.stdout.len();
        assert!(lines > 20, "check {number} says nothing");
        seen.output(&format!("check of {text}"), &checked);
    }
    weir.write_config(&good);
    let answer = admin.send("POST", "/admin/reload", "").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    std::fs::write(folder.path().join("good.toml"), &good).unwrap();
    for (name, value) in [
        ("WEIR_SERVER__ADMIN_TOKEN", format!("{MARK}-env")),
        ("WEIR_PROVIDERS__ONE__API_KEYS", format!("{MARK}-env")),
        ("WEIR_PROVIDERS__ONE__API_KEYS", format!("[\"{MARK}-env\"]")),
        ("WEIR_PROVIDERS__ONE__HEADERS__X_A", format!("{MARK}-env")),
        ("WEIR_SERVER__ADMIN_TOKN", format!("{MARK}-env")),
        ("WEIR_SERVER__ADMIN_TOKEN", format!("{{ a = \"{MARK}-env\" }}")),
        ("WEIR_TELEMETRY__OTLP_ENDPOINT", format!("{MARK}-env")),
        ("WEIR_TELEMETRY__OTLP_HEADERS__X_KEY", format!("{MARK}-env")),
        ("WEIR_ALERTS__WEBHOOK", format!("{MARK}-env")),
    ] {
        seen.output(&format!("check with {name}"), &check(folder.path(), "good.toml", Some((name, value))));
    }
    seen.output("check of the good file", &check(folder.path(), "good.toml", None));
    see_what_operators_see(&weir, &admin, &mut seen).await;
    // Only here is it told what was asked: the traces are looked at rightly, and the log tells nothing all the same.
    let client = weir.client().key(&format!("{MARK}-client"));
    assert_eq!(client.post_json(CHAT, &asking("told", false)).await.status, 200);
    let shown =
        || collector.spans().into_iter().find(|span| span.text("gen_ai.input.messages").contains(PROMPT));
    wait_for(shown).await;
    let log = weir.logs();
    for library in ["TRACE", "DEBUG", "hyper", "h2::", "rustls", "weir"] {
        assert!(log.contains(library), "the log does not trace {library}");
    }
    seen.0.push(("the log".into(), log));
    seen.assert_without(PROMPT);
    seen.0.push(("alerts with traces".into(), collector.bodies()));
    seen.assert_without(MARK);
}
