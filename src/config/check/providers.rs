//! Providers: addresses, headers, limits.

use std::{collections::HashSet, time::Duration};

use http::{HeaderName, HeaderValue, Uri, header};

use super::{
    super::{
        Config, HealthCheck, Protocol, Provider, Quirks, SecretSource, Span,
        path::KeyPath,
        wording::{names, quoted},
    },
    Report,
    server::{check_file, nonzero},
};

/// Headers that belong to one connection, or that the transport writes itself (RFC 9110, 7.6.1).
const NOT_OURS: [HeaderName; 13] = [
    header::ACCEPT_ENCODING,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::EXPECT,
    header::HOST,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

pub(super) fn check(config: &Config, report: &mut Report<'_>) {
    for name in names(&config.providers) {
        let path = KeyPath::of(&["providers", name]);
        let provider = &config.providers[name];
        check_address(&path, provider, report);
        check_headers(&path, provider, report);
        check_limits(&path, provider, report);
        if let Some(check) = &provider.health_check {
            check_health_check(&path.key("health_check"), check, report);
        }
        check_sim(&path.key("sim"), provider, report);
        check_quirks(&path.key("quirks"), &provider.quirks, report);
        if let Some(version) = &provider.api_version {
            check_version(&path.key("api_version"), version, report);
        }
        if let Some(file) = &provider.ca_file {
            check_file(&path.key("ca_file"), file, report);
        }
        match provider.resolve_keys() {
            Ok(Some(keys)) if keys.is_empty() => {
                report.warn(&path, "the provider is off: none of its `api_keys` is set", off(provider));
            }
            Ok(_) => {}
            Err(error) => report.fault(&path.key("api_keys"), error, "Let Weir's user read the file."),
        }
    }
}

fn off(provider: &Provider) -> String {
    let sources = provider.api_keys.as_deref().unwrap_or_default();
    let sources: Vec<String> = sources.iter().map(ToString::to_string).collect();
    match sources.as_slice() {
        [] => "Add a key, or leave `api_keys` out if it needs none.".into(),
        sources => format!("Set {} to switch it on.", sources.join(" or ")),
    }
}

fn check_address(path: &KeyPath, provider: &Provider, report: &mut Report<'_>) {
    if provider.protocol == Protocol::Sim {
        return;
    }
    let remedy = match provider.protocol {
        Protocol::Azure => "Write its address, like \"https://NAME.openai.azure.com\".",
        _ => "Write its address with the version segment, like \"https://api.openai.com/v1\".",
    };
    if provider.base_url.is_empty() {
        // At the provider: an unreadable protocol may be `sim`, which needs no address.
        report.fault(path, "`base_url` is missing", remedy);
        return;
    }
    // The address is not repeated: it may hold a password.
    let problem = match provider.base_url.parse::<Uri>() {
        Err(_) => Some("the address is not a URL"),
        Ok(url) => match (url.scheme_str(), url.authority()) {
            (Some("http" | "https"), Some(authority)) if authority.as_str().contains('@') => {
                Some("the address holds credentials; those belong in `api_keys` or `headers`")
            }
            (Some("http" | "https"), Some(authority)) if authority.host().is_empty() => {
                Some("the address names no host")
            }
            (Some("http" | "https"), Some(_)) if url.query().is_some() || provider.base_url.contains('#') => {
                Some("the address has a query or a fragment")
            }
            (Some("http" | "https"), Some(_)) => None,
            _ => Some("the address begins with neither http:// nor https://"),
        },
    };
    if let Some(problem) = problem {
        report.fault(&path.key("base_url"), problem, remedy);
    }
}

fn check_headers(path: &KeyPath, provider: &Provider, report: &mut Report<'_>) {
    let mut seen = HashSet::new();
    for (name, value) in &provider.headers {
        let place = path.key("headers").key(name);
        let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
            let remedy = "Use letters, digits and dashes, like \"x-team\".";
            report.fault(&place, "this is not the name of a header", remedy);
            continue;
        };
        if NOT_OURS.contains(&header) {
            let remedy = "Leave it out: the transport writes what each connection needs.";
            report.fault(&place, "this header is the connection's own", remedy);
        }
        let carries_key =
            provider.api_keys.is_some() && written_by_keys(provider.protocol) == Some(header.as_str());
        if carries_key {
            let remedy = "Keep one of the two: with `api_keys` Weir writes the header.";
            report.fault(&place, "`api_keys` write this header already", remedy);
        }
        if !seen.insert(header.clone()) {
            report.fault(&place, format!("{} is given twice", quoted(header.as_str())), "Keep one of them.");
        }
        check_value(&place, value, report);
    }
}

/// The header that bears a provider's key.
fn written_by_keys(protocol: Protocol) -> Option<&'static str> {
    match protocol {
        Protocol::Openai => Some("authorization"),
        Protocol::Azure => Some("api-key"),
        Protocol::Anthropic => Some("x-api-key"),
        Protocol::Gemini => Some("x-goog-api-key"),
        Protocol::Sim => None,
    }
}

fn check_value(place: &KeyPath, value: &SecretSource, report: &mut Report<'_>) {
    match value.resolve() {
        Ok(Some(text)) => {
            if HeaderValue::from_str(text.expose()).is_err() {
                let remedy = "Use printable ASCII on one line.";
                report.fault(place, "the value cannot go into a header", remedy);
            }
        }
        Ok(None) => {
            report.warn(
                place,
                format!("{value} gives no value: the header is left out"),
                "Set it, or remove it.",
            );
        }
        Err(error) => report.fault(place, error, "Let Weir's user read the file."),
    }
}

fn check_limits(path: &KeyPath, provider: &Provider, report: &mut Report<'_>) {
    for (key, Span(span)) in [
        ("connect_timeout", provider.connect_timeout),
        ("first_byte_timeout", provider.first_byte_timeout),
        ("answer_timeout", provider.answer_timeout),
        ("idle_timeout", provider.idle_timeout),
        ("idle_connection_timeout", provider.idle_connection_timeout),
    ] {
        nonzero(&path.key(key), span.is_zero(), report);
    }
    nonzero(&path.key("max_answer"), provider.max_answer.0 == 0, report);
    nonzero(&path.key("max_concurrent"), provider.max_concurrent == 0, report);
    let streams = path.key("streams_per_connection");
    nonzero(&streams, provider.streams_per_connection == 0, report);
}

fn check_health_check(path: &KeyPath, check: &HealthCheck, report: &mut Report<'_>) {
    let (second, day) = (Duration::from_secs(1), Duration::from_secs(24 * 60 * 60));
    if check.every.0 < second || check.every.0 > day {
        let problem = format!("{} does not fit here", check.every);
        report.fault(&path.key("every"), problem, "Write a span from `1s` to `24h`.");
    }
    if check.timeout.0.is_zero() || check.timeout.0 > day {
        let problem = format!("{} does not fit here", check.timeout);
        report.fault(&path.key("timeout"), problem, "Write a span above 0, like `5s`.");
    }
    // Else it would be another host's, or be cut where the fragment begins.
    let below = format!("/x{}", check.path);
    if !check.path.starts_with('/') || check.path.contains('#') || below.parse::<Uri>().is_err() {
        let problem = format!("{} is not a path", quoted(&check.path));
        report.fault(&path.key("path"), problem, "Write a path below `base_url`, like \"/models\".");
    }
}

fn check_sim(path: &KeyPath, provider: &Provider, report: &mut Report<'_>) {
    let sim = &provider.sim;
    if !(0.0..=1.0).contains(&sim.fault_rate) {
        let problem = format!("{} is not a share", sim.fault_rate);
        report.fault(&path.key("fault_rate"), problem, "Write a number from 0 (never) to 1 (always).");
    }
    if !(sim.tokens_per_second.is_finite() && sim.tokens_per_second >= 0.0) {
        let problem = format!("{} is not a speed", sim.tokens_per_second);
        report.fault(&path.key("tokens_per_second"), problem, "Write 0 (as fast as it can) or more.");
    }
}

/// Fields without which nothing is asked.
const NEEDED: [&str; 5] = ["input", "messages", "model", "prompt", "stream"];

fn check_quirks(path: &KeyPath, quirks: &Quirks, report: &mut Report<'_>) {
    let refused = quirks.refused_fields.iter().enumerate();
    let refused = refused.map(|(at, name)| (path.key("refused_fields").index(at), name));
    let renamed = quirks.renamed_fields.keys().map(|name| (path.key("renamed_fields").key(name), name));
    for (place, _) in refused.chain(renamed).filter(|(_, name)| NEEDED.contains(&name.as_str())) {
        let remedy = "Name fields that a request can do without, like \"logprobs\".";
        report.fault(&place, "without this field nothing is asked", remedy);
    }
    if quirks.max_n == Some(0) {
        report.fault(&path.key("max_n"), "0 answers are no use", "Write 1 or more, or leave it out.");
    }
}

/// An API version goes into an address as it is written.
fn check_version(path: &KeyPath, version: &str, report: &mut Report<'_>) {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    if version.is_empty() || !version.bytes().all(plain) {
        let remedy = "Write it as Azure does, like \"2024-10-21\" or \"preview\".";
        report.fault(path, "this is no version", remedy);
    }
}
