//! What a try's span tells before anything is sent.

use std::borrow::Cow;

use http::Uri;
use serde::Deserialize;

use crate::{
    config::{Preset, Protocol, Provider},
    openai::{Ask, Endpoint},
    trace::{Open, key},
};

/// The fields of a request that a span tells as they are.
const NUMBERS: [(&str, &str); 6] = [
    ("max_tokens", key::MAX_TOKENS),
    ("max_completion_tokens", key::MAX_TOKENS),
    ("seed", "gen_ai.request.seed"),
    ("n", "gen_ai.request.choice.count"),
    ("top_k", "gen_ai.request.top_k"),
    ("dimensions", "gen_ai.embeddings.dimension.count"),
];
const FRACTIONS: [(&str, &str); 4] = [
    ("temperature", "gen_ai.request.temperature"),
    ("top_p", "gen_ai.request.top_p"),
    ("frequency_penalty", "gen_ai.request.frequency_penalty"),
    ("presence_penalty", "gen_ai.request.presence_penalty"),
];

/// Tells whom it asks for what.
pub fn tell(open: &mut Open, (name, provider): (&str, &Provider), model: &str, ask: &Ask) {
    open.set(key::OPERATION, operation(ask.endpoint()));
    open.set_text(key::REQUEST_MODEL, model);
    let url: Option<Uri> = provider.base_url.parse().ok().filter(|_| provider.protocol != Protocol::Sim);
    match known(provider, url.as_ref()) {
        Some(known) => open.set(key::PROVIDER, known),
        None => open.set_text(key::PROVIDER, name),
    }
    if let Some((url, host)) = url.as_ref().and_then(|url| Some((url, url.host()?))) {
        open.set_text(key::SERVER, host);
        let usual = if url.scheme_str() == Some("https") { 443 } else { 80 };
        open.set(key::PORT, u64::from(url.port_u16().unwrap_or(usual)));
    }
    asked_for(open, ask);
}

/// What the request asks for, apart from its texts.
fn asked_for(open: &mut Open, ask: &Ask) {
    open.set(key::REQUEST_STREAM, ask.stream());
    let number = |name: &str| -> Option<serde_json::Number> { serde_json::from_slice(ask.field(name)?).ok() };
    let mut before = "";
    for (name, key) in NUMBERS {
        // An attribute stands there once, and one choice is what everybody gets.
        let wanted = |n: &u64| key != before && (name, *n) != ("n", 1);
        if let Some(told) = number(name).and_then(|number| number.as_u64()).filter(wanted) {
            open.set(key, told);
            before = key;
        }
    }
    for (name, key) in FRACTIONS {
        if let Some(told) = number(name).and_then(|number| number.as_f64()) {
            open.set(key, told);
        }
    }
    if let Some(format) = ask.field("response_format") {
        let is_json = serde_json::from_slice::<Format<'_>>(format).is_ok_and(|format| format.kind != "text");
        open.set(key::OUTPUT_TYPE, if is_json { "json" } else { "text" });
    }
}

/// The form that an answer is asked for in.
#[derive(Deserialize)]
struct Format<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
}

/// The name of what is asked, by the conventions.
pub fn operation(endpoint: Endpoint) -> &'static str {
    match endpoint {
        Endpoint::Chat => "chat",
        Endpoint::Completions => "text_completion",
        Endpoint::Embeddings => "embeddings",
    }
}

/// The name of a provider, where the conventions have one.
fn known(provider: &Provider, url: Option<&Uri>) -> Option<&'static str> {
    let preset = provider.preset.and_then(|preset| match preset {
        Preset::Openai => Some("openai"),
        Preset::Deepseek => Some("deepseek"),
        Preset::Moonshot | Preset::Kimi => Some("moonshot_ai"),
        Preset::Mistral => Some("mistral_ai"),
        Preset::Groq => Some("groq"),
        Preset::Xai => Some("x_ai"),
        _ => None,
    });
    preset.or(match provider.protocol {
        Protocol::Azure => Some("azure.ai.openai"),
        Protocol::Anthropic => Some("anthropic"),
        Protocol::Gemini => Some("gcp.gemini"),
        Protocol::Openai => url.filter(|url| url.host() == Some("api.openai.com")).map(|_| "openai"),
        Protocol::Sim => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_have_the_names_of_the_conventions() {
        let name = |preset, protocol, base_url: &str| {
            let provider = Provider { preset, protocol, base_url: base_url.into(), ..Provider::default() };
            known(&provider, base_url.parse().ok().as_ref())
        };
        let openai = Protocol::Openai;
        assert_eq!(name(None, openai, "https://api.openai.com/v1"), Some("openai"));
        assert_eq!(name(None, openai, "http://127.0.0.1:1/v1"), None);
        assert_eq!(name(Some(Preset::Kimi), openai, "https://api.moonshot.ai/v1"), Some("moonshot_ai"));
        assert_eq!(name(Some(Preset::Azure), Protocol::Azure, ""), Some("azure.ai.openai"));
        assert_eq!(name(None, Protocol::Gemini, ""), Some("gcp.gemini"));
        assert_eq!(name(None, Protocol::Sim, ""), None);
    }
}
