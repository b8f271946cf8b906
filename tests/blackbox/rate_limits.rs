//! The rate limits of providers are kept to, whether they tell of them or we do.

use std::time::{Duration, Instant, SystemTime};

use crate::support::{
    limits::quiet,
    openai::{ask, says, whole},
    raw::RawUpstream,
    script::Script,
    settings::{OPEN, route, target, two_models},
    transcript::CHAT,
    weir::Weir,
    wire,
};

async fn status(weir: &Weir, model: &str) -> u16 {
    weir.client().post_json(CHAT, &ask(model)).await.status.as_u16()
}

/// U8: no try before the time that the provider named, in each of its forms, and other models go on.
#[tokio::test]
async fn a_rate_limit_is_kept_to() {
    let _quiet = quiet().await;
    let forms = ["retry-after", "retry-after-ms", "fraction", "date"];
    let tries = forms.map(|form| async move {
        let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(4));
        let header = match form {
            "retry-after" => ("retry-after", "2"),
            "retry-after-ms" => ("retry-after-ms", "2000"),
            "fraction" => ("retry-after", "1.9"),
            _ => ("retry-after", date.as_str()),
        };
        let limited = Script::send(wire::answer(429, &[header], b"{}"));
        let upstream = RawUpstream::start(vec![limited, says("fine")]).await;
        let weir = Weir::start(&two_models(&upstream.base_url(), "")).await;
        assert_eq!(status(&weir, "chain").await, 429, "{form}");
        let begun = Instant::now();
        assert_eq!(status(&weir, "other").await, 200, "{form}: other models go on");
        let answer = weir.client().post_json(CHAT, &ask("chain")).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (429, "upstream_rate_limited".into()), "{form}");
        assert!((1..=4).contains(&answer.header("retry-after").parse::<u32>().unwrap()), "{form}");
        assert_eq!(answer.header("x-weir-attempts"), "0");
        let limited = "weir_rate_limited_seconds{model=\"a\",provider=\"a\"}";
        assert!(weir.metric(limited).await > 0.5, "{form}");
        while status(&weir, "chain").await == 429 {
            assert!(begun.elapsed() < Duration::from_secs(10), "{form}: it opens again");
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        // The clock of this test began a little later than that of the gateway.
        match form {
            "date" => assert!(SystemTime::now() >= httpdate::parse_http_date(&date).unwrap()),
            _ => assert!(begun.elapsed() >= Duration::from_millis(1800), "{form}: {:?}", begun.elapsed()),
        }
        assert_eq!(upstream.requests().len(), 3, "{form}");
        assert_eq!(weir.metric(limited).await, 0.0, "{form}");
    });
    futures_util::future::join_all(tries).await;
}

/// U9: all limited is 429 with the smallest delay, and nothing is sent for it.
#[tokio::test]
async fn all_limited_is_told_without_a_try() {
    let limited = |delay| Script::send(wire::answer(429, &[("retry-after", delay)], b"{}"));
    let first = RawUpstream::start(vec![limited("30"), limited("20"), says("fine")]).await;
    let second = RawUpstream::start(vec![limited("7"), says("fine")]).await;
    let toml = [
        OPEN,
        &target("first", &first.base_url(), "api_keys = [\"k-one\", \"k-two\"]", ""),
        &target("second", &second.base_url(), "", ""),
        &route("chain", &["first", "second"], ""),
    ]
    .concat();
    let weir = Weir::start(&toml).await;
    for number in 0..3 {
        let answer = weir.client().post_json(CHAT, &ask("chain")).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (429, "upstream_rate_limited".into()));
        // Up to a tenth is added, so that those who wait do not all come back at once.
        assert!(["7", "8"].contains(&answer.header("retry-after")), "{}", answer.header("retry-after"));
        if number > 0 {
            assert_eq!(answer.header("x-weir-attempts"), "0");
        }
    }
    assert_eq!((first.requests().len(), second.requests().len()), (2, 1));
}

#[tokio::test]
async fn a_providers_quota_is_not_overdrawn() {
    let body = whole("fine");
    let spent = |names: &[(&str, &str)]| Script::send(wire::answer(200, names, body.as_bytes()));
    for names in [
        &[("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "2m")][..],
        &[("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "120")],
        &[
            ("anthropic-ratelimit-requests-remaining", "0"),
            ("anthropic-ratelimit-requests-reset", "2999-01-01T00:00:00Z"),
        ],
    ] {
        let upstream = RawUpstream::start(vec![spent(names), says("fine")]).await;
        let second = RawUpstream::start(vec![says("second")]).await;
        let toml = [
            OPEN,
            &target("a", &upstream.base_url(), "", ""),
            &target("b", &second.base_url(), "", ""),
            &route("chain", &["a", "b"], ""),
        ]
        .concat();
        let weir = Weir::start(&toml).await;
        let models = [
            weir.client().post_json(CHAT, &ask("chain")).await,
            weir.client().post_json(CHAT, &ask("chain")).await,
        ]
        .map(|answer| answer.header("x-weir-model").to_owned());
        assert_eq!(models, ["a", "b"], "{names:?}");
        assert_eq!(upstream.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_known_limit_is_never_hit() {
    for more in ["rpm = 2", "tpm = 30"] {
        let upstream = RawUpstream::start(vec![says("first")]).await;
        let second = RawUpstream::start(vec![says("second")]).await;
        let toml = [
            OPEN,
            &target("a", &upstream.base_url(), more, ""),
            &target("b", &second.base_url(), "", ""),
            &route("chain", &["a", "b"], ""),
            &route("alone", &["a"], ""),
        ]
        .concat();
        let weir = Weir::start(&toml).await;
        for _ in 0..12 {
            assert_eq!(status(&weir, "chain").await, 200, "{more}");
        }
        // Tokens are reserved by a guess and corrected by the 5 that each answer took.
        let sent = upstream.requests().len();
        assert!(if more == "rpm = 2" { sent == 2 } else { (1..=6).contains(&sent) }, "{more}: {sent}");
        let answer = weir.client().post_json(CHAT, &ask("alone")).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (429, "upstream_rate_limited".into()), "{more}");
        assert!((1..=30).contains(&answer.header("retry-after").parse::<u32>().unwrap()), "{more}");
        assert_eq!(upstream.requests().len(), sent, "{more}");
    }
}
