//! Tests of the whole way from files to a configuration.

use std::fs;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::config::{AuthMode, CacheScope, Size, Span, needs_a_key};

const NOTHING: &str = "/nowhere/weir.toml";

fn load_with(files: &[&str], environment: &[(&str, &str)]) -> Result<Loaded, Faults> {
    let dir = TempDir::new().unwrap();
    let mut paths = Vec::new();
    for (at, text) in files.iter().enumerate() {
        let path = dir.path().join(format!("{at}.toml"));
        fs::write(&path, text).unwrap();
        paths.push(path);
    }
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    load_from(&paths, Path::new(NOTHING), environment)
}

fn good(text: &str) -> Loaded {
    load_with(&[text], &[]).unwrap_or_else(|faults| panic!("{faults}"))
}

fn faults(text: &str) -> Vec<Fault> {
    load_with(&[text], &[]).expect_err("the text has faults").0
}

/// The only fault of a text.
fn fault(text: &str) -> Fault {
    let faults = faults(text);
    assert_eq!(faults.len(), 1, "{}", Faults(faults));
    faults.into_iter().next().unwrap()
}

const CHAIN: &str = r#"
[providers.p]
base_url = "http://127.0.0.1:1/v1"
[models."gpt-4.1"]
provider = "p"
[routes.standard]
targets = ["gpt-4.1"]
"#;

fn with_chain(text: &str) -> String {
    format!("{CHAIN}\n{text}")
}

#[test]
fn later_files_override_tables_merge_arrays_replace() {
    let first = "[server]\nlisten = \"127.0.0.1:1\"\nmax_in_flight = 7\n\
                 [routes.r]\ntargets = [\"a\", \"b\"]\n[providers.p]\nprotocol = \"sim\"\n\
                 [models.a]\nprovider = \"p\"\n[models.b]\nprovider = \"p\"";
    let second = "[server]\nlisten = \"127.0.0.1:2\"\n[routes.r]\ntargets = [\"b\"]";
    let loaded = load_with(&[first, second], &[]).unwrap();
    assert_eq!(loaded.config.server.listen, "127.0.0.1:2");
    assert_eq!(loaded.config.server.max_in_flight, 7);
    assert_eq!(loaded.config.routes["r"].targets.len(), 1);
    assert_eq!(loaded.files.len(), 2);
}

#[test]
fn without_files_the_defaults_hold() {
    let loaded = load_with(&[], &[]).unwrap();
    assert_eq!(loaded.config.server.listen, "127.0.0.1:8080");
    assert!(loaded.files.is_empty() && loaded.warnings.is_empty());
}

#[test]
fn the_default_file_is_read_where_it_is() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "[server]\nmax_in_flight = 3").unwrap();
    let loaded = load_from(&[], file.path(), []).unwrap();
    assert_eq!(loaded.config.server.max_in_flight, 3);
    assert_eq!(loaded.files, [file.path()]);
}

#[test]
fn the_environment_overrides_files() {
    let environment = [
        ("WEIR_SERVER__LISTEN", "127.0.0.1:9"),
        ("WEIR_SERVER__MAX_IN_FLIGHT", "12"),
        ("WEIR_SERVER__ADMIN_TOKEN", "123456"),
        ("WEIR_AUTH__ALLOW_OPEN_NETWORK", "true"),
        ("WEIR_PROVIDERS__P__API_KEYS", "[\"env:WEIR_TEST_SURELY_UNSET\", \"b\"]"),
        ("WEIR_PROVIDERS__P__SIM", "{ seed = 5 }"),
        ("WEIR_PROVIDERS__P__HTTP", "2"),
        ("WEIR_TELEMETRY__LOG", "debug"),
        ("WEIR_ADMIN_TOKEN", "no setting"),
        ("HOME", "/"),
    ];
    let file = "[server]\nlisten = \"127.0.0.1:1\"\n[providers.p]\nbase_url = \"http://localhost/v1\"";
    let config = load_with(&[file], &environment).unwrap_or_else(|faults| panic!("{faults}")).config;
    assert_eq!(config.server.listen, "127.0.0.1:9");
    assert_eq!(config.server.max_in_flight, 12);
    assert!(config.server.admin_token.unwrap().resolve().unwrap().unwrap().matches("123456"));
    assert!(config.auth.allow_open_network);
    assert_eq!(config.providers["p"].api_keys.as_ref().unwrap().len(), 2);
    assert_eq!(config.providers["p"].sim.seed, 5);
    assert_eq!(config.providers["p"].http, crate::config::HttpVersion::Two);
    assert_eq!(config.telemetry.log, "debug");
}

#[test]
fn a_line_end_in_the_environment_brings_no_further_key() {
    let value = "\"info\"\nformat = \"json\"";
    let Faults(faults) = load_with(&[], &[("WEIR_TELEMETRY__LOG", value)]).unwrap_err();
    assert_eq!(faults[0].key, "telemetry.log");
}

#[test]
fn port_alone_listens_everywhere_unless_listen_is_set() {
    let key = "[[keys]]\nname = \"k\"\nsecret = \"env:WEIR_TEST_SURELY_UNSET\"";
    let listen = |environment: &[(&str, &str)]| {
        let loaded = load_with(&[key], environment).unwrap_or_else(|faults| panic!("{faults}"));
        loaded.config.server.listen
    };
    assert_eq!(listen(&[("PORT", "3000")]), "0.0.0.0:3000");
    assert_eq!(listen(&[("WEIR_SERVER__LISTEN", "127.0.0.1:4"), ("PORT", "3000")]), "127.0.0.1:4");
    let Faults(faults) = load_with(&[key], &[("PORT", "http")]).unwrap_err();
    assert_eq!(faults[0].source, "environment PORT");
}

#[test]
fn a_fault_of_the_environment_names_the_variable() {
    let Faults(faults) =
        load_with(&[], &[("WEIR_SERVER__LISEN", "x"), ("WEIR_SERVER____X", "1")]).unwrap_err();
    assert_eq!(faults[0].source, "environment WEIR_SERVER____X");
    let Faults(faults) = load_with(&[], &[("WEIR_SERVER__LISEN", "x")]).unwrap_err();
    assert_eq!(faults[0].source, "environment WEIR_SERVER__LISEN");
    assert_eq!(faults[0].remedy, "Did you mean `listen`?");
}

#[test]
fn a_missing_file_is_a_fault() {
    let Faults(faults) = load_from(&[NOTHING.into()], Path::new(NOTHING), []).unwrap_err();
    assert_eq!(faults[0].source, NOTHING);
    assert!(faults[0].problem.contains("no such file"));
}

#[test]
fn a_syntax_fault_names_line_and_column_without_the_text() {
    let fault = fault("[server]\nadmin_token = \"sk-canary\" trailing\n");
    assert!(fault.source.ends_with("0.toml:2:27"), "{fault}");
    assert!(!fault.to_string().contains("canary"), "{fault}");
}

#[test]
fn many_faults_are_reported_at_once() {
    let text = r#"
        [server]
        lisen = "127.0.0.1:80"
        max_in_flight = "many"
        header_timeout = "5 bananas"
        max_body = "lots"
        [auth]
        mode = "closed"
        [providers.openai]
        base_url = "ftp://example.com"
        [models."gpt-4.1"]
        provider = "opnai"
        [models.lost]
        retries = 1
        [routes.standard]
        targets = ["gpt-41", { model = "gpt-4.1", wieght = 2 }]
        fallback = "budgt"
        [routes.budget]
        targets = ["lost"]
        fallback = "standard"
        max_attempts = -1
        [[keys]]
        name = 7
        [[keys]]
        name = "two words"
        hash = "sha256:short"
    "#;
    let faults = faults(text);
    let keys: Vec<&str> = faults.iter().map(|fault| fault.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "auth.mode",
            "keys[0].name",
            "keys[1].hash",
            "keys[1].name",
            "models.\"gpt-4.1\".provider",
            "models.lost.provider",
            "providers.openai.base_url",
            "routes.budget.max_attempts",
            "routes.standard.fallback",
            "routes.standard.targets[0]",
            "routes.standard.targets[1].wieght",
            "server.header_timeout",
            "server.lisen",
            "server.max_body",
            "server.max_in_flight",
        ],
        "{}",
        Faults(faults.clone()),
    );
    for fault in &faults {
        assert!(fault.source.ends_with("0.toml") && !fault.remedy.is_empty(), "{fault}");
    }
    let said = |key: &str| faults.iter().find(|fault| fault.key == key).unwrap().to_string();
    assert!(said("server.lisen").contains("Did you mean `listen`?"));
    assert!(said("auth.mode").contains("Write one of \"keys\", \"open\"."));
    assert!(said("server.max_in_flight").contains("the text `many` does not fit here"));
    assert!(said("server.max_in_flight").contains("Write a whole number from 0."));
    assert!(said("server.header_timeout").contains("`5 bananas` is not a span of time"));
    assert!(said("routes.standard.targets[0]").contains("Did you mean `gpt-4.1`?"));
    assert!(said("routes.standard.targets[1].wieght").contains("Did you mean `weight`?"));
    assert!(said("routes.budget.max_attempts").contains("too small"));
    assert!(said("models.lost.provider").contains("is missing"));
    assert!(said("keys[0].name").contains("Write a text."));
}

#[test]
fn a_target_of_the_wrong_kind_is_explained() {
    let fault = fault(&with_chain("[routes.other]\ntargets = [5]"));
    assert_eq!(fault.key, "routes.other.targets[0]");
    assert!(fault.remedy.starts_with("Write a text, or a table with `model`."), "{fault}");
    let route = "[routes.other]\ntargets = [\"standard\"]";
    assert!(self::fault(&with_chain(route)).remedy.contains("This is a route"));
}

#[test]
fn secrets_are_never_echoed() {
    let text = r#"
        api_key = "canary-top"
        [server]
        admin_token = 123454321
        admin_tokn = "canary-a"
        [auth]
        mode = "sk-canary-mode"
        [providers.p]
        base_url = "https://user:canary-b@example.com/v1"
        api_keys = "canary-c"
        headers = { "x y" = "canary-d", authorization = "canary\ne" }
        secret = { deep = "canary-f" }
        [[keys]]
        name = "sk-canary-name but with spaces"
        hash = "canary-g"
        [[keys]]
        name = "both"
        secret = "canary-h"
        hash = "canary-i"
        [[keys]]
        name = "twice"
        secret = ["canary-j"]
    "#;
    let faults = faults(text);
    assert!(faults.len() >= 9, "{}", Faults(faults));
    let said = format!("{0} {0:?}", Faults(faults));
    assert!(!said.contains("canary") && !said.contains("123454321"), "{said}");
    let warned =
        good("[server]\nadmin_token = \"canary\"\n[[keys]]\nname = \"k\"\nsecret = \"canary\"").warnings;
    assert_eq!(warned.len(), 2);
    assert!(!format!("{warned:?}").contains("canary"));
}

#[test]
fn a_token_that_is_named_and_not_set_is_worth_a_word() {
    let warned = good("[server]\nadmin_token = \"env:WEIR_TEST_SURELY_UNSET\"").warnings;
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert!(warned[0].to_string().contains("env:WEIR_TEST_SURELY_UNSET is not set"), "{warned:?}");
    assert!(good("[server]\nadmin_token = \"env:PATH\"").warnings.is_empty());
}

#[test]
fn a_circle_of_fallbacks_is_named_once() {
    let text = with_chain(
        "[routes.b]\nfallback = \"c\"\n[routes.c]\nfallback = \"a\"\n[routes.a]\nfallback = \"b\"\n\
         [routes.tail]\nfallback = \"c\"",
    );
    let fault = fault(&text);
    assert_eq!(fault.key, "routes.a.fallback");
    assert!(fault.problem.ends_with("a -> b -> c -> a"), "{fault}");
}

#[test]
fn meaning_is_checked() {
    for (text, key) in [
        ("[routes.empty]", "routes.empty"),
        ("[routes.\"gpt-4.1\"]\ntargets = [\"gpt-4.1\"]", "routes.\"gpt-4.1\""),
        ("[routes.auto]\ntargets = [\"gpt-4.1\"]", "routes.auto"),
        ("[routes.\"a\\nb\"]\ntargets = [\"gpt-4.1\"]", "routes.\"a\\nb\""),
        ("[routes.d]\nfallback = \"standard\"\ndefaults = { model = \"x\" }", "routes.d.defaults.model"),
        ("[routes.m]\nfallback = \"standard\"\nmax_attempts = 0", "routes.m.max_attempts"),
        ("[routes.h]\nfallback = \"standard\"\nhedge_after = \"0ms\"", "routes.h.hedge_after"),
        ("[routes.h]\nfallback = \"standard\"\nhedge_after = \"9years\"", "routes.h.hedge_after"),
        ("[routes.h]\nfallback = \"standard\"\nhedge_after = \"p99\"", "routes.h.hedge_after"),
        ("[routes.h]\nfallback = \"standard\"\nparallel = 1", "routes.h.parallel"),
        ("[routes.h]\nfallback = \"standard\"\nparallel = 9", "routes.h.parallel"),
        ("[routes.c]\nfallback = \"standard\"\nescalate_on = [\"empty\"]", "routes.c.escalate_on"),
        ("[routes.c]\nfallback = \"standard\"\nescalate_on = [\"dull\"]", "routes.c.escalate_on[0]"),
        ("[routes.c]\nfallback = \"standard\"\nescalate_to = \"standard\"", "routes.c.escalate_to"),
        (
            "[routes.c]\nfallback = \"standard\"\nescalate_on = [\"empty\"]\nescalate_to = \"c\"",
            "routes.c.escalate_to",
        ),
        (
            "[routes.c]\nfallback = \"standard\"\nescalate_on = [\"empty\"]\nescalate_to = \"nowhere\"",
            "routes.c.escalate_to",
        ),
        (
            "[routes.c]\nfallback = \"standard\"\nescalate_on = [\"too_short\"]\nescalate_to = \"standard\"",
            "routes.c.escalate_on",
        ),
        ("[routes.c]\nfallback = \"standard\"\nmin_answer_chars = 10_001", "routes.c.min_answer_chars"),
        ("[judge]\nenabled = true", "judge.model"),
        ("[judge]\nmodel = \"nobody\"", "judge.model"),
        ("[judge]\nmodel = \"auto\"", "judge.model"),
        ("[judge]\nshare = 0", "judge.share"),
        ("[judge]\ndaily = 0", "judge.daily"),
        ("[judge]\nmax_concurrent = 0", "judge.max_concurrent"),
        ("[judge]\ndeadline = \"1h\"", "judge.deadline"),
        ("[retry]\nhedge_share = 1.5", "retry.hedge_share"),
        ("[retry]\nhedge_burst = 0.5", "retry.hedge_burst"),
        ("[retry]\nhedge_min_samples = 257", "retry.hedge_min_samples"),
        (
            "[routes.w]\norder = \"weighted\"\ntargets = [{ model = \"gpt-4.1\", weight = 0 }]",
            "routes.w.targets[0].weight",
        ),
        ("[providers.\"a/b\"]\nprotocol = \"sim\"", "providers.\"a/b\""),
        ("[providers.q]", "providers.q"),
        ("[providers.q]\nbase_url = \"http://h/v1?k=v\"", "providers.q.base_url"),
        ("[providers.q]\nbase_url = \"http://h/v1\"\nca_file = \"/nowhere\"", "providers.q.ca_file"),
        (
            "[providers.q]\nbase_url = \"http://h/v1\"\nheaders = { Connection = \"close\" }",
            "providers.q.headers.Connection",
        ),
        (
            "[providers.q]\nbase_url = \"http://h/v1\"\napi_keys = []\nheaders = { Authorization = \"x\" }",
            "providers.q.headers.Authorization",
        ),
        ("[providers.q]\nprotocol = \"sim\"\nsim = { fault_rate = 1.5 }", "providers.q.sim.fault_rate"),
        ("[providers.q]\nprotocol = \"sim\"\nmax_concurrent = 0", "providers.q.max_concurrent"),
        (
            "[providers.q]\nprotocol = \"sim\"\nstreams_per_connection = 0",
            "providers.q.streams_per_connection",
        ),
        ("[providers.q]\nprotocol = \"sim\"\nidle_timeout = \"0s\"", "providers.q.idle_timeout"),
        ("[server]\nlisten = \"8080\"", "server.listen"),
        ("[server]\nadmin_listen = \"127.0.0.1:8080\"", "server.admin_listen"),
        ("[server]\nmax_in_flight = 0", "server.max_in_flight"),
        ("[server]\nmax_body = 0", "server.max_body"),
        ("[server]\nmax_body = \"2GiB\"", "server.max_body_memory"),
        ("[server]\nrequest_timeout = \"0s\"", "server.request_timeout"),
        ("[server.tls]\ncert = \"/nowhere\"\nkey = \"Cargo.toml\"", "server.tls.cert"),
        ("[server]\nlisten = \"0.0.0.0:8080\"\n[auth]\nmode = \"open\"", "auth.mode"),
        ("[telemetry]\nlog = \"inof\"", "telemetry.log"),
        ("[telemetry]\nlog = \"weir=loud\"", "telemetry.log"),
        ("[telemetry]\notlp_endpoint = \"localhost:4318\"", "telemetry.otlp_endpoint"),
        ("[telemetry]\notlp_endpoint = \"http://user:pass@host\"", "telemetry.otlp_endpoint"),
        ("[telemetry]\notlp_endpoint = \"http://host/?key=x\"", "telemetry.otlp_endpoint"),
        ("[telemetry]\notlp_headers = { \"bad name\" = \"x\" }", "telemetry.otlp_headers.\"bad name\""),
        ("[telemetry]\notlp_headers = { x-a = \"line\\nbreak\" }", "telemetry.otlp_headers.x-a"),
        ("[telemetry]\nsample = 1.5", "telemetry.sample"),
        ("[telemetry]\nsample = nan", "telemetry.sample"),
        ("[telemetry]\nservice_name = \" \"", "telemetry.service_name"),
        ("[telemetry]\ncontent = [\"nowhere\"]", "telemetry.content[0]"),
        ("[breaker]\nbuckets = 0", "breaker.buckets"),
        ("[breaker]\nbuckets = 101", "breaker.buckets"),
        ("[breaker]\nwindow = \"0s\"", "breaker.window"),
        ("[breaker]\nmin_success = 1.5", "breaker.min_success"),
        ("[breaker]\nslow_start_from = 0", "breaker.slow_start_from"),
        ("[breaker]\nbusy_above = inf", "breaker.busy_above"),
        ("[breaker]\nscore_prior = 0", "breaker.score_prior"),
        ("[breaker]\nopen_min = \"10m\"", "breaker.open_max"),
        ("[breaker]\nlimit_max = \"25h\"", "breaker.limit_max"),
        ("[retry]\nmax_attempts = 0", "retry.max_attempts"),
        ("[retry]\nbackoff_max = \"1ms\"", "retry.backoff_max"),
        ("[retry]\nbudget_per_second = -1", "retry.budget_per_second"),
        ("[retry]\nbudget_burst = 0.5", "retry.budget_burst"),
        ("[ledger]\nurl = \"postgres://u:p@h/db\"", "ledger.url"),
        ("[ledger]\nurl = \"weir.db\"", "ledger.url"),
        ("[ledger]\nurl = \"sqlite:\"", "ledger.url"),
        ("[ledger]\nidempotency_ttl = \"25h\"", "ledger.idempotency_ttl"),
        ("[classifier]\nbaseline = \"gpt-4\"", "classifier.baseline"),
        ("[classifier]\ntiers = [{ min = 2, route = \"standard\" }]", "classifier.tiers"),
        ("[classifier]\ntiers = [{ min = 1, route = \"standrd\" }]", "classifier.tiers[0].route"),
        (
            "[classifier]\ntiers = [{ min = 1, route = \"standard\" }, { min = 11, route = \"standard\" }]",
            "classifier.tiers[1].min",
        ),
        (
            "[classifier]\ntiers = [{ min = 1, route = \"standard\" }, { min = 1, route = \"standard\" }]",
            "classifier.tiers[1].min",
        ),
        ("[classifier]\ncalibration = \"/nowhere\"", "classifier.calibration"),
        ("[classifier]\nkind = \"llm\"", "classifier.llm.model"),
        ("[classifier]\nkind = \"oracle\"", "classifier.kind"),
        ("[classifier.llm]\nmodel = \"auto\"", "classifier.llm.model"),
        ("[classifier.llm]\nmodel = \"nobody\"", "classifier.llm.model"),
        ("[classifier.llm]\ndeadline = \"0s\"", "classifier.llm.deadline"),
        ("[classifier.llm]\ncache_entries = 1000001", "classifier.llm.cache_entries"),
        ("[classifier.keywords]\nbase = 0", "classifier.keywords.base"),
        ("[[classifier.keywords.rules]]\nadd = 1", "classifier.keywords.rules[0].words"),
        ("[[classifier.keywords.rules]]\nwords = [\"prove\"]", "classifier.keywords.rules[0]"),
        ("[[classifier.keywords.rules]]\nwords = [\"prove\"]\nset = 11", "classifier.keywords.rules[0].set"),
        ("[classifier.sticky]\nentries = 0", "classifier.sticky.entries"),
        ("[classifier.sticky]\nttl = \"25h\"", "classifier.sticky.ttl"),
        ("[classifier]\nlanguages = { chinese = \"standard\" }", "classifier.languages.chinese"),
        ("[classifier]\nlanguages = { zh = \"kimi\" }", "classifier.languages.zh"),
        ("[classifier]\ntasks = { code = \"codex\" }", "classifier.tasks.code"),
        ("[classifier]\ntasks = { \"a b\" = \"standard\" }", "classifier.tasks.\"a b\""),
        ("[[budgets]]\nname = \"b\"\nscope = \"key:weir:clasifier\"\ndaily = 1", "budgets[0].scope"),
        ("[[keys]]\nname = \"weir:classifier\"\nsecret = \"env:X\"", "keys[0].name"),
        ("[[keys]]\nname = \"k\"", "keys[0]"),
        ("[[keys]]\nname = \"\"\nsecret = \"env:X\"", "keys[0].name"),
        ("[[keys]]\nname = \"k\"\nsecret = \"env:\"", "keys[0].secret"),
        ("[[keys]]\nname = \"k\"\nsecret = \"env:X\"\ntags = { \"a b\" = \"x\" }", "keys[0].tags.\"a b\""),
        ("[[keys]]\nname = \"k\"\nsecret = \"env:X\"\ntags = { a = \"x,y\" }", "keys[0].tags.a"),
        ("[[keys]]\nname = \"k\"\nsecret = \"env:X\"\ntpm = -1", "keys[0].tpm"),
        ("[auth]\nclient_tags = [\"a b\"]", "auth.client_tags[0]"),
        ("[auth]\nclient_tags = [\"a\", \"a\"]", "auth.client_tags[1]"),
        ("[[keys]]\nname = \"k\"\nsecret = \"env:X\"\nroutes = [\"standrd\"]", "keys[0].routes[0]"),
        ("[[keys]]\nname = \"k\"\nsecret = \"env:X\"\nmodels = [\"q/x\"]", "keys[0].models[0]"),
        ("[[keys]]\nname = \"k\"\nsecret = \"s\"\n[[keys]]\nname = \"l\"\nsecret = \"s\"", "keys[1].secret"),
        ("[[keys]]\nname = \"k\"\nsecret = \"s\"\n[[keys]]\nname = \"k\"\nsecret = \"t\"", "keys[1].name"),
    ] {
        let faults = faults(&with_chain(text));
        let keys: Vec<&str> = faults.iter().map(|fault| fault.key.as_str()).collect();
        assert_eq!(keys, [key], "{text}\n{}", Faults(faults.clone()));
        assert!(!faults[0].remedy.is_empty());
    }
}

#[test]
fn a_reachable_address_without_a_key_is_known() {
    let fault = |text: &str| needs_a_key(&good(&with_chain(text)).config);
    for reachable in ["0.0.0.0:8080", "[::]:1", "192.0.2.1:0"] {
        let text = format!("[server]\nlisten = \"{reachable}\"\n");
        assert!(fault(&text).unwrap().contains(reachable));
        assert_eq!(fault(&format!("{text}[[keys]]\nname = \"k\"\nsecret = \"env:X\"")), None);
    }
    assert_eq!(fault("[server]\nlisten = \"[::1]:1\""), None);
}

#[test]
fn what_is_right_passes() {
    let hash = "0f".repeat(32);
    let text = with_chain(&format!(
        "[server]\nlisten = \"[::1]:0\"\nadmin_listen = \"localhost:9090\"\nmax_body = 1000\n\
         [auth]\nmode = \"open\"\n[telemetry]\nlog = \"weir=debug,hyper=warn,info\"\notlp_endpoint = \"\"\n\
         [[keys]]\nname = \"team/a.b:c\"\nhash = \"sha256:{hash}\"\nrpm = 60.0\nroutes = [\"auto\", \"standard\"]\n\
         models = [\"gpt-4.1\", \"p/anything\"]",
    ));
    let config = good(&text).config;
    assert_eq!(config.auth.mode, AuthMode::Open);
    assert_eq!(config.keys[0].rpm, 60);
}

#[test]
fn what_is_allowed_and_odd_is_warned_about() {
    let text = "[classifier]\nkind = \"keywords\"\ncalibration = \"Cargo.toml\"\nlanguages = { zh = \"w\" }\n\
                [providers.q]\nbase_url = \"http://h/v1\"\napi_keys = [\"env:WEIR_TEST_SURELY_UNSET\"]\n\
                headers = { x-token = \"plain\", x-team = \"a\" }\n\
                [[keys]]\nname = \"k\"\nsecret = \"env:WEIR_TEST_SURELY_UNSET\"\n\
                [routes.w]\ntargets = [{ model = \"gpt-4.1\", weight = 2 }]";
    let warnings = good(&with_chain(text)).warnings;
    let keys: Vec<&str> = warnings.iter().map(|warning| warning.key.as_str()).collect();
    let classifier = ["classifier.tiers", "classifier.calibration"];
    let others = ["routes.w.order", "providers.q", "keys[0].secret", "providers.q.headers.x-token"];
    for expected in classifier.iter().chain(&others) {
        assert!(keys.contains(expected), "{expected} is not in {keys:?}");
    }
    assert_eq!(keys.len(), 6);
    let unset = warnings.iter().find(|warning| warning.key == "providers.q").unwrap();
    assert!(unset.remedy.contains("env:WEIR_TEST_SURELY_UNSET"));
}

#[test]
fn a_faulty_value_casts_no_shadow() {
    // The unreadable protocol, model, key must not also count as absent.
    let text = "[providers.q]\nprotocol = \"simm\"\n[models.m]\nprovider = 5\n[routes.r]\ntargets = [\"m\"]\n\
                [routes.s]\ntargets = [7]\n[server]\nlisten = \"0.0.0.0:1\"\n[[keys]]\nname = 1\nsecret = \"env:X\"";
    let faults = faults(text);
    let keys: Vec<&str> = faults.iter().map(|fault| fault.key.as_str()).collect();
    assert_eq!(keys, ["keys[0].name", "models.m.provider", "providers.q.protocol", "routes.s.targets[0]"]);
}

#[test]
fn odd_toml_values_are_faults() {
    assert_eq!(fault("[server]\nmax_in_flight = 1979-05-27").key, "server.max_in_flight");
    assert_eq!(
        fault("[providers.q]\nprotocol = \"sim\"\nsim = { fault_rate = nan }").key,
        "providers.q.sim.fault_rate"
    );
    assert_eq!(fault("server = 1").key, "server");
    assert_eq!(fault("keys = { name = \"x\" }").key, "keys");
    assert!(
        fault("[models.m]\nprovider = \"m\"\nretries = 5000000000\n[providers.m]\nprotocol = \"sim\"")
            .problem
            .contains("too large")
    );
}

#[test]
fn every_shipped_file_loads() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut files = vec![root.join("weir.toml")];
    let examples = fs::read_dir(root.join("examples")).unwrap();
    files.extend(examples.map(|entry| entry.unwrap().path()));
    assert!(files.len() >= 4);
    for file in files {
        let loaded = load_from(std::slice::from_ref(&file), Path::new(NOTHING), []);
        let loaded = loaded.unwrap_or_else(|faults| panic!("{faults}"));
        let literal = loaded.warnings.iter().find(|warning| warning.problem.contains("stands in the file"));
        assert_eq!(literal, None, "{}", file.display());
    }
}

/// TOML values as text, with names that the schema knows among others.
fn any_value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        any::<bool>().prop_map(|truth| truth.to_string()),
        Just("nan".to_owned()),
        Just("1979-05-27T07:32:00Z".to_owned()),
        Just("-0.5".to_owned()),
        "[ -~]{0,12}".prop_map(|text| format!("{text:?}")),
        Just("\"env:X\"".to_owned()),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(", "))),
            prop::collection::btree_map(any_key(), inner, 0..5).prop_map(|entries| table(&entries)),
        ]
    })
}

fn any_key() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "listen", "tls", "mode", "name", "secret", "hash", "routes", "models", "provider", "targets",
            "fallback", "order", "defaults", "model", "weight", "base_url", "api_keys", "headers",
            "protocol", "sim", "a", "b", "0",
        ])
        .prop_map(str::to_owned),
        "[ -~]{0,6}",
    ]
}

fn table(entries: &std::collections::BTreeMap<String, String>) -> String {
    let entries = entries.iter().map(|(key, value)| format!("{key:?} = {value}"));
    format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_tree_panics(tables in prop::collection::btree_map(
        prop::sample::select(vec!["server", "auth", "keys", "providers", "models", "routes", "telemetry", "other"]),
        any_value(),
        0..6,
    )) {
        let text: String = tables.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        if let Err(Faults(faults)) = load_with(&[&text], &[]) {
            prop_assert!(!faults.is_empty());
            // The schema must refuse all that the types refuse, or faults of meaning would be lost.
            prop_assert!(faults.iter().all(|fault| !fault.key.is_empty()), "{}", Faults(faults));
        }
    }

    #[test]
    fn no_environment_panics(name in "[A-Z_]{0,20}", value in "\\PC{0,30}") {
        let name = format!("WEIR_{name}");
        let _ = load_with(&[], &[(&name, &value)]);
    }
}

#[test]
fn money_is_read_digit_by_digit() {
    let priced = |price: &str| {
        with_chain(&format!("[models.m]\nprovider = \"p\"\nprice = {{ input = {price}, output = \"8.25\" }}"))
    };
    let model = &good(&priced("0.0375")).config.models["m"];
    let price = model.price.as_ref().unwrap();
    assert_eq!((price.input.0, price.output.0), (37_500, 8_250_000));
    for (bad, words) in [
        ("0.0000001", "at most 6 decimals"),
        ("-1", "too small"),
        ("-0.5", "is not a price"),
        ("\"much\"", "is not a price"),
        ("2000000", "too large"),
        ("true", "does not fit here"),
    ] {
        let fault = fault(&priced(bad));
        assert_eq!(fault.key, "models.m.price.input");
        assert!(fault.to_string().contains(words), "{fault}");
    }
    let tiered = "[models.m]\nprovider = \"p\"\nquality = 1.5\n\
                  price = { input = 1, output = 1, tiers = [{ above = 0, input = 2, output = 2 }] }";
    let keys: Vec<String> = faults(&with_chain(tiered)).into_iter().map(|fault| fault.key).collect();
    assert_eq!(keys, ["models.m.price.tiers[0].above", "models.m.quality"]);
}

#[test]
fn a_preset_with_a_key_is_enough() {
    let preset = |more: &str| format!("[providers.x]\npreset = \"kimi\"\napi_keys = [\"env:K\"]\n{more}");
    let provider = &good(&preset("")).config.providers["x"];
    assert_eq!(provider.base_url, "https://api.moonshot.ai/v1");
    assert_eq!(provider.quirks.max_n, Some(5));
    let provider = &good(&preset("quirks = { max_n = 2 }")).config.providers["x"];
    assert_eq!((provider.quirks.max_n, provider.quirks.developer_role), (Some(2), false));
    let fault = fault("[providers.x]\npreset = \"deepsek\"");
    assert!(fault.to_string().contains("\"deepseek\""), "{fault}");
    let keys: Vec<String> = faults(
        "[providers.x]\npreset = \"azure\"\napi_version = \"a&b\"\nquirks = { refused_fields = [\"model\"] }",
    )
    .into_iter()
    .map(|fault| fault.key)
    .collect();
    assert_eq!(keys, ["providers.x", "providers.x.api_version", "providers.x.quirks.refused_fields[0]"]);
}

fn with_budget(text: &str) -> String {
    with_chain(&format!("[[budgets]]\nname = \"b\"\n{text}"))
}

#[test]
fn the_meaning_of_budgets_is_checked() {
    for (text, key, remedy) in [
        ("", "", "Give `daily`"),
        ("daily = 0", ".daily", "above 0"),
        ("total = -1", ".total", "above 0"),
        ("per_request = 0.0", ".per_request", "above 0"),
        ("daily = 1\nscope = \"keys:bot\"", ".scope", "Did you mean `key:NAME`?"),
        ("daily = 1\nscope = \"tag:team\"", ".scope", "Did you mean `tag:KEY=VALUE`?"),
        ("daily = 1\nscope = \"each_key\"", ".scope", "Did you mean `each-key`?"),
        ("daily = 1\nscope = \"zebra\"", ".scope", "The scopes are"),
        ("daily = 1\nscope = \"route:standrd\"", ".scope", "Did you mean `standard`?"),
        ("daily = 1\nscope = \"model:gpt-4\"", ".scope", "Did you mean `gpt-4.1`?"),
        ("daily = 1\nscope = \"provider:q\"", ".scope", "The providers are: `p`."),
        ("daily = 1\ntimezone = \"Europe/Amsterdm\"", ".timezone", "Did you mean `Europe/Amsterdam`?"),
        ("daily = 1\non_exceeded = \"downgrade\"", ".on_exceeded", "`downgrade:ROUTE`"),
        ("daily = 1\non_exceeded = \"downgrade:chaep\"", ".on_exceeded", "The routes are"),
        ("daily = 1\ndowngrade_from = 0.8", ".downgrade_from", "downgrade:ROUTE"),
        (
            "daily = 1\non_exceeded = \"downgrade:standard\"\ndowngrade_from = 80",
            ".downgrade_from",
            "like 0.8",
        ),
        ("daily = 1\nalert_at = [0.5, 1.5]", ".alert_at[1]", "like 0.8"),
        ("daily = 1\nmin_output = 0", ".min_output", "1 or more"),
        ("daily = 1\ndefault_max_output = 100", ".default_max_output", "`min_output`"),
        (
            "daily = 1\nscope = \"tag:team=x\"\n[auth]\nclient_tags = [\"team\"]",
            ".scope",
            "`auth.client_tags`",
        ),
    ] {
        let fault = fault(&with_budget(text));
        assert_eq!(fault.key, format!("budgets[0]{key}"), "{text}");
        assert!(fault.remedy.contains(remedy), "{fault}");
    }
    let taken = with_chain("[[budgets]]\nname = \"requests_per_month\"\ndaily = 1");
    assert_eq!(fault(&taken).key, "budgets[0].name");
    let twice = with_budget("daily = 1\n[[budgets]]\nname = \"b\"\nmonthly = 1");
    assert_eq!(fault(&twice).key, "budgets[1].name");
}

#[test]
fn a_budget_may_wait_for_its_key() {
    let loaded = good(&with_budget("daily = 1\nscope = \"key:bot\""));
    assert_eq!(loaded.warnings.len(), 1);
    assert!(loaded.warnings[0].problem.contains("no key here is called `bot`"));
}

#[test]
fn a_password_in_the_ledgers_url_is_not_repeated() {
    for url in ["postgres://u:canary@h/db", "mysql://u:canary@h/db"] {
        let fault = fault(&format!("[ledger]\nurl = \"{url}\""));
        assert!(!fault.to_string().contains("canary"), "{fault}");
    }
}

#[test]
fn a_health_check_is_off_until_it_is_asked_for() {
    let provider = |more: &str| format!("[providers.p]\nprotocol = \"sim\"\n{more}");
    assert!(good(&provider("")).config.providers["p"].health_check.is_none());
    let check = good(&provider("health_check = {}")).config.providers["p"].health_check.clone().unwrap();
    assert_eq!((check.every, &*check.path, check.timeout), (Span::secs(30), "/models", Span::secs(5)));
    for (written, key) in [
        ("every = \"999ms\"", "every"),
        ("every = \"2d\"", "every"),
        ("timeout = \"0s\"", "timeout"),
        ("path = \"models\"", "path"),
        ("path = \"/a b\"", "path"),
        ("path = \"/a#b\"", "path"),
        ("path = \"\"", "path"),
    ] {
        let fault = fault(&provider(&format!("health_check = {{ {written} }}")));
        assert_eq!(fault.key, format!("providers.p.health_check.{key}"), "{written}: {fault}");
    }
    assert_eq!(fault("[alerts]\nmin_interval = \"25h\"").key, "alerts.min_interval");
}

#[test]
fn a_cache_is_off_until_it_is_asked_for() {
    assert!(!good("").config.cache.enabled);
    let cache = good("[cache]\nenabled = true\nscope = \"tag:team\"").config.cache;
    assert!(cache.enabled && cache.scope() == CacheScope::Tag("team".into()));
    assert_eq!(
        (cache.max_flight_bytes, good("[cache]\nmax_flight_bytes = 0").config.cache.max_flight_bytes),
        (Size::mib(64), Size::mib(0))
    );
    for (written, key) in [
        ("ttl = \"0s\"", "ttl"),
        ("ttl = \"31d\"", "ttl"),
        ("stale_if_error = \"31d\"", "stale_if_error"),
        ("max_bytes = \"10KiB\"\nmax_answer = \"1KiB\"", "max_bytes"),
        ("max_bytes = \"1MiB\"\nmax_answer = \"2MiB\"", "max_answer"),
        ("max_bytes = \"1MiB\"", "max_answer"),
        ("max_answer = \"65MiB\"", "max_answer"),
        ("scope = \"team\"", "scope"),
        ("scope = \"tag:\"", "scope"),
        ("scope = \"tag:own\"\n[auth]\nclient_tags = [\"own\"]", "scope"),
    ] {
        let fault = fault(&format!("[cache]\n{written}"));
        assert_eq!(fault.key, format!("cache.{key}"), "{written}: {fault}");
    }
}

#[test]
fn texts_that_stand_in_are_named_by_routes() {
    let texts = "[degraded]\nstatic = { general = \"Later.\", support = \"Call us.\" }\n";
    let config = good(&format!("{CHAIN}category = \"support\"\n{texts}")).config;
    assert_eq!(config.degraded.texts["support"], "Call us.");
    let fault_of = |more: &str| fault(&format!("{CHAIN}{more}\n{texts}"));
    let wrong = fault_of("category = \"suport\"");
    assert_eq!(wrong.key, "routes.standard.category");
    assert!(wrong.remedy.contains("`support`"), "{wrong}");
    assert_eq!(fault("[degraded]\nstatic = { general = \" \" }").key, "degraded.static.general");
}
