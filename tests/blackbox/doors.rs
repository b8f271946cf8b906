//! Every path of the router's own table, tried by everybody who may not use it.

use http::Method;
use weir::edge::{Access, ROUTES};

use super::support::{client::Answer, line::Line, raw::RawUpstream, script::Script, weir::Weir};

const BODY: &str = r#"{"model":"r","messages":[{"role":"user","content":"x"}],"prompt":"x","input":"x"}"#;

fn config(upstream: &RawUpstream, more: &str) -> String {
    format!(
        r#"
        [[keys]]
        name = "user"
        secret = "sk-user"
        [[keys]]
        name = "nothing"
        secret = "sk-nothing"
        routes = []
        models = []
        [providers.p]
        base_url = "{}"
        [models.m]
        provider = "p"
        [routes.r]
        targets = ["m"]
        {more}
        "#,
        upstream.base_url()
    )
}

async fn upstream() -> RawUpstream {
    let body =
        r#"{"object":"list","choices":[{"message":{"content":"x"},"text":"x"}],"data":[{"embedding":[1]}]}"#;
    RawUpstream::start(vec![Script::json(200, body)]).await
}

/// The paths of the table with an example where the router has a parameter.
fn protected() -> impl Iterator<Item = (Method, String, Access)> {
    let closed = ROUTES.iter().filter(|served| matches!(served.access, Access::Client | Access::Admin));
    closed.map(|served| (served.method.clone(), example(served.path), served.access))
}

fn example(path: &str) -> String {
    path.replace("{*id}", "r")
        .replace("{*name}", "user")
        .replace("{*path}", "m/reset")
        .replace("{file}", "app.js")
}

/// What has no end, so that nobody waits for it here.
const LIVE: &str = "/admin/live";

/// What whoever may use the path is told: here a wanted key has wrong fields, and a configured one stays.
fn inside(method: &Method, path: &str) -> u16 {
    match (method.as_str(), path.starts_with("/admin/keys")) {
        ("POST", true) => 400,
        ("DELETE", true) => 409,
        _ => 200,
    }
}

async fn ask(address: &str, method: &str, target: &str, headers: &str) -> Option<Answer> {
    let mut line = Line::to(address).await;
    let host = if headers.starts_with("host:") { "" } else { "host: localhost\r\n" };
    let request = format!(
        "{method} {target} HTTP/1.1\r\n{host}{headers}content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{BODY}",
        BODY.len()
    );
    line.write(request.as_bytes()).await;
    line.answer().await
}

#[tokio::test]
async fn every_protected_path_refuses_every_wrong_key() {
    let upstream = upstream().await;
    let server = "[server]\nadmin_token = \"token-1\"\nauth_failures_per_minute = 0";
    let weir = Weir::start(&config(&upstream, server)).await;
    for (method, path, access) in protected() {
        let (right, wrong) = match access {
            Access::Client => ("sk-user", ["token-1", "sk-other", "sk-use", "sk-user-", "SK-USER", ""]),
            _ => ("token-1", ["sk-user", "sk-nothing", "token", "token-1x", "TOKEN-1", ""]),
        };
        let mut credentials: Vec<String> =
            wrong.iter().map(|key| format!("authorization: Bearer {key}\r\n")).collect();
        credentials.extend([
            String::new(),
            format!("authorization: {right}\r\n"),
            format!("authorization: Basic {right}\r\n"),
            format!("authorization: Bearer {right}\r\nauthorization: Bearer x\r\n"),
            format!("x-api-key: {right}\r\n"),
            format!("cookie: authorization=Bearer {right}\r\n"),
            format!("proxy-authorization: Bearer {right}\r\n"),
        ]);
        for headers in credentials {
            let answer = ask(weir.address(), method.as_str(), &path, &headers).await.unwrap();
            assert_eq!(answer.status, 401, "{method} {path} {headers:?}");
            assert_eq!(answer.code(), "invalid_api_key");
        }
        if path == LIVE {
            continue;
        }
        let good = format!("authorization: Bearer {right}\r\n");
        let seen = upstream.requests().len();
        let answer = ask(weir.address(), method.as_str(), &path, &good).await.unwrap();
        assert_eq!(answer.status, inside(&method, &path), "{method} {path} {}", answer.text());
        let asks = path.contains("completions") || path.contains("embeddings");
        assert_eq!(
            upstream.requests().len() - seen,
            usize::from(asks),
            "only a right key reaches the provider"
        );
        if asks {
            let other = "authorization: Bearer sk-nothing\r\n";
            let answer = ask(weir.address(), method.as_str(), &path, other).await.unwrap();
            assert_eq!((answer.status.as_u16(), answer.code().as_str()), (403, "route_not_allowed"));
        }
    }
}

/// The same path, written otherwise.
fn disguises(path: &str) -> Vec<String> {
    let (head, tail) = path[1..].split_once('/').unwrap();
    let mut all = vec![
        format!("/{path}"),
        format!("{path}/"),
        format!("{path}//"),
        format!("/{head}//{tail}"),
        format!("/{head}/./{tail}"),
        format!("/healthz/..{path}"),
        format!("/healthz/%2e%2e{path}"),
        format!("/{head}%2F{tail}"),
        format!("%2F{head}/{tail}"),
        format!("/{head}\\{tail}"),
        format!("{path}%00"),
        format!("{path}%FF"),
        format!("{path};x=/healthz"),
        format!("{path}?/healthz"),
        format!("{path}?key=sk-user&api_key=token-1&access_token=token-1"),
        format!("{path}#/healthz"),
        format!("{path}.json"),
        path.to_uppercase(),
        format!("/V1{}", path.trim_start_matches("/v1")),
        format!("http://127.0.0.1{path}"),
        format!("http://localhost{path}"),
        format!("http://healthz{path}"),
        format!("http://user:sk-user@127.0.0.1{path}"),
    ];
    let last = path.chars().last().unwrap();
    all.push(format!("{}%{:02x}", &path[..path.len() - 1], u32::from(last)));
    all
}

/// Headers that make some servers believe another path, address or host.
const TRICKS: [&str; 14] = [
    "host: localhost\r\n",
    "host: 127.0.0.1\r\n",
    "host: 127.0.0.1:80/healthz\r\n",
    "host: healthz\r\n",
    "x-forwarded-for: 127.0.0.1\r\n",
    "x-forwarded-host: localhost\r\n",
    "forwarded: for=127.0.0.1;host=localhost\r\n",
    "x-real-ip: 127.0.0.1\r\n",
    "x-original-url: /healthz\r\n",
    "x-rewrite-url: /healthz\r\n",
    "x-forwarded-prefix: /healthz\r\n",
    "x-http-method-override: GET\r\n",
    "x-weir-key: sk-user\r\n",
    "origin: http://localhost\r\n",
];

#[tokio::test]
async fn no_disguise_of_path_host_or_method_opens_a_door() {
    let upstream = upstream().await;
    let server = "[server]\nadmin_token = \"token-1\"\nauth_failures_per_minute = 0";
    let weir = Weir::start(&config(&upstream, server)).await;
    let refused = |what: String, answer: Option<Answer>| {
        // A connection that closes without an answer opens nothing either.
        let Some(answer) = answer else { return };
        assert!(answer.status.is_client_error(), "{what}: {} {}", answer.status, answer.text());
        assert!(!answer.text().contains("choices") && !answer.text().contains("object"), "{what}");
    };
    for (method, path, _) in protected() {
        for target in disguises(&path) {
            for headers in ["", "authorization: Bearer sk-other\r\n"] {
                let answer = ask(weir.address(), method.as_str(), &target, headers).await;
                refused(format!("{method} {target}"), answer);
            }
        }
        for headers in TRICKS {
            let answer = ask(weir.address(), method.as_str(), &path, headers).await;
            refused(format!("{method} {path} {headers}"), answer);
        }
        for other in
            ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get"]
        {
            refused(format!("{other} {path}"), ask(weir.address(), other, &path, "").await);
        }
    }
    assert_eq!(upstream.connections().len(), 0);
    assert!(!weir.logs().contains("reloaded") && !weir.logs().contains("panicked"), "{}", weir.logs());
}

/// The address of the port for operators, from the log.
fn admin_address(weir: &Weir) -> String {
    let logs = weir.logs();
    let (_, rest) = logs.split_once("admin on http://").unwrap();
    rest.split_whitespace().next().unwrap().to_owned()
}

#[tokio::test]
async fn what_is_for_operators_moves_to_their_own_port() {
    let upstream = upstream().await;
    let server =
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\nadmin_token = \"token-1\"";
    let weir = Weir::start(&config(&upstream, server)).await;
    weir.logged("admin on http://").await;
    let admin = admin_address(&weir);
    let both = "authorization: Bearer token-1\r\n";
    for served in ROUTES {
        let path = example(served.path);
        for (address, here) in [(weir.address(), !served.moves), (admin.as_str(), served.moves)] {
            let everywhere = served.access == Access::Public && !served.moves;
            let headers = if path == LIVE { "" } else { both };
            let answer = ask(address, served.method.as_str(), &path, headers).await.unwrap();
            let found = answer.status != 404;
            assert_eq!(found, here || everywhere, "{} {path} at {address}: {}", served.method, answer.status);
        }
    }
    let page = ask(&admin, "GET", "/metrics", "").await.unwrap();
    assert!(page.text().contains("weir_build_info"));
    assert_eq!(ask(&admin, "POST", "/admin/reload", "").await.unwrap().status, 401);
    assert_eq!(ask(&admin, "POST", "/admin/reload", both).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_token_that_is_named_but_unset_is_none() {
    let upstream = upstream().await;
    let server = "[server]\nadmin_token = \"env:SURELY_UNSET_TOKEN\"";
    let weir = Weir::start(&config(&upstream, server)).await;
    assert!(weir.logs().contains("env:SURELY_UNSET_TOKEN is not set"), "{}", weir.logs());
    for (headers, status) in [
        ("", 200),
        ("authorization: Bearer env:SURELY_UNSET_TOKEN\r\n", 200),
        ("host: weir.example\r\n", 401),
        ("x-forwarded-for: 127.0.0.1\r\n", 401),
    ] {
        let answer = ask(weir.address(), "POST", "/admin/reload", headers).await.unwrap();
        assert_eq!(answer.status, status, "{headers}: {}", answer.text());
    }
}

/// What a browser sends for a page of somebody else, or a reverse proxy for anybody.
const OTHERS: [&str; 9] = [
    "host: rebound.example\r\n",
    "host: rebound.example:8080\r\norigin: http://rebound.example:8080\r\nsec-fetch-site: same-origin\r\n",
    "origin: https://evil.example\r\n",
    "origin: null\r\n",
    "sec-fetch-site: cross-site\r\n",
    "sec-fetch-site: same-site\r\n",
    "x-forwarded-for: 192.0.2.1\r\n",
    "forwarded: for=192.0.2.1\r\n",
    "x-real-ip: 192.0.2.1\r\n",
];

#[tokio::test]
async fn where_loopback_is_enough_no_page_and_no_proxy_gets_in() {
    let upstream = upstream().await;
    let keyless = config(&upstream, "");
    let (_, keyless) = keyless.split_once("[providers").unwrap();
    let keyless = format!("[providers{keyless}");
    let open = format!("[auth]\nmode = \"open\"\n{keyless}");
    for (text, remedy) in [(&keyless, "weir keys new"), (&open, "auth.mode")] {
        let weir = Weir::start(text).await;
        for (method, path, access) in protected() {
            let remedy = if access == Access::Admin { "server.admin_token" } else { remedy };
            for headers in OTHERS {
                let answer = ask(weir.address(), method.as_str(), &path, headers).await.unwrap();
                assert_eq!(answer.status, 401, "{method} {path} {headers:?}");
                assert!(answer.text().contains(remedy), "{path}: {}", answer.text());
            }
        }
        for path in ["/dashboard", "/dashboard/app.js"] {
            assert_eq!(ask(weir.address(), "GET", path, "").await.unwrap().status, 200, "{path}");
            for headers in OTHERS {
                let answer = ask(weir.address(), "GET", path, headers).await.unwrap();
                assert_eq!(answer.status, 401, "{path} {headers:?}");
            }
        }
        assert_eq!(upstream.connections().len(), 0, "nothing was spent");
        let page = "origin: http://localhost:3000\r\nsec-fetch-site: same-site\r\n";
        for (path, headers, status) in
            [("/v1/models", "", 200), ("/v1/models", page, 200), ("/admin/budgets", page, 401)]
        {
            let answer = ask(weir.address(), "GET", path, headers).await.unwrap();
            assert_eq!(answer.status, status, "{path} {headers:?}");
        }
    }
}

#[tokio::test]
async fn without_a_token_loopback_addresses_are_operators() {
    let upstream = upstream().await;
    let weir = Weir::start(&config(&upstream, "")).await;
    assert_eq!(ask(weir.address(), "POST", "/admin/reload", "").await.unwrap().status, 200);
    assert_eq!(ask(weir.address(), "GET", "/v1/models", "").await.unwrap().status, 401, "clients are not");
}
