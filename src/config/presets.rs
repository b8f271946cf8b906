//! The presets of providers: what their entries say where the configuration is silent.

use std::{collections::BTreeMap, sync::LazyLock};

use http::Uri;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{path::KeyPath, tree::Tree};

/// A provider that Weir knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// OpenAI.
    Openai,
    /// Azure OpenAI; needs `base_url`.
    Azure,
    /// Anthropic.
    Anthropic,
    /// Google's Gemini API.
    Gemini,
    /// DeepSeek.
    Deepseek,
    /// Moonshot AI.
    Moonshot,
    /// Moonshot AI, by the name of its models.
    Kimi,
    /// Mistral AI.
    Mistral,
    /// Groq.
    Groq,
    /// xAI.
    Xai,
    /// Together AI.
    Together,
    /// OpenRouter.
    Openrouter,
    /// Ollama on this machine.
    Ollama,
    /// vLLM on this machine.
    Vllm,
    /// A llama.cpp server; needs `base_url`.
    Llamacpp,
    /// Any that speaks OpenAI's format; needs `base_url`.
    Generic,
}

/// The presets as the tables that they fill.
static PRESETS: LazyLock<BTreeMap<String, Map<String, Value>>> =
    LazyLock::new(|| toml::from_str(include_str!("presets.toml")).expect("a test reads the shipped presets"));

/// The table of a preset by its name in the configuration.
fn preset(name: &str) -> Option<&'static Map<String, Value>> {
    PRESETS.get(if name == "kimi" { "moonshot" } else { name })
}

/// Puts what presets say into the providers of a tree, key by key where the configuration is silent. A provider
/// without a preset gets the catalogue that its protocol or its address points to.
pub(crate) fn apply(tree: &mut Tree) {
    let Some(providers) = tree.root.get_mut("providers").and_then(Value::as_object_mut) else {
        return;
    };
    for (name, provider) in providers {
        // What is no table, or names no preset, is a fault that the check of the schema tells.
        let Some(provider) = provider.as_object_mut() else { continue };
        let path = KeyPath::of(&["providers", name]);
        match provider.get("preset").and_then(Value::as_str).map(str::to_owned) {
            Some(chosen) => {
                let Some(known) = preset(&chosen) else { continue };
                let source = format!("preset {chosen}");
                fill(provider, known, &mut |path| drop(tree.origins.insert(path, source.clone())), &path);
            }
            None => {
                if let Some(catalogue) = catalogue(provider).filter(|_| !provider.contains_key("catalogue")) {
                    provider.insert("catalogue".to_owned(), catalogue.into());
                }
            }
        }
    }
}

fn fill(
    table: &mut Map<String, Value>,
    known: &Map<String, Value>,
    note: &mut dyn FnMut(KeyPath),
    path: &KeyPath,
) {
    for (key, value) in known {
        let place = path.key(key);
        match (table.get_mut(key), value) {
            (None, value) => {
                table.insert(key.clone(), value.clone());
                note(place);
            }
            // Lists and tables of the client's own making are whole; only `quirks` merges further down.
            (Some(Value::Object(own)), Value::Object(known)) if key == "quirks" => {
                fill(own, known, note, &place);
            }
            _ => {}
        }
    }
}

/// The catalogue of a provider without a preset.
fn catalogue(provider: &Map<String, Value>) -> Option<&'static str> {
    match provider.get("protocol").and_then(Value::as_str) {
        Some("azure") => return Some("openai"),
        Some("anthropic") => return Some("anthropic"),
        Some("gemini") => return Some("gemini"),
        Some("sim") => return None,
        _ => {}
    }
    let host = |url: &str| Some(url.parse::<Uri>().ok()?.host()?.to_owned());
    let own = host(provider.get("base_url")?.as_str()?)?;
    let known = |preset: &&Map<String, Value>| {
        preset.get("base_url").and_then(Value::as_str).and_then(host) == Some(own.clone())
    };
    PRESETS.values().find(known)?.get("catalogue")?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Provider;

    fn applied(provider: Value) -> Value {
        let mut tree =
            Tree { root: serde_json::json!({ "providers": { "p": provider } }), ..Tree::default() };
        apply(&mut tree);
        tree.root["providers"]["p"].clone()
    }

    #[test]
    fn every_preset_is_known_and_reads_as_a_provider() {
        for (name, table) in PRESETS.iter() {
            serde_json::from_value::<Preset>(name.as_str().into()).unwrap();
            let provider: Provider = serde_json::from_value(Value::Object(table.clone())).unwrap();
            let own_address = ["azure", "llamacpp", "generic"].contains(&name.as_str());
            assert_eq!(provider.base_url.is_empty(), own_address, "{name}");
        }
        let schema = schemars::schema_for!(Preset).to_value().to_string();
        for name in schema.split("\"const\":\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(preset(name).is_some(), "{name}");
        }
    }

    #[test]
    fn what_is_said_goes_before_the_preset() {
        let provider = applied(serde_json::json!({
            "preset": "kimi", "base_url": "http://127.0.0.1:1/v1", "quirks": { "max_n": 2 },
        }));
        assert_eq!(provider["protocol"], "openai");
        assert_eq!(provider["base_url"], "http://127.0.0.1:1/v1");
        assert_eq!(provider["catalogue"], "moonshot");
        assert_eq!(provider["quirks"]["max_n"], 2);
        assert_eq!(provider["quirks"]["max_temperature"], 1.0);
    }

    #[test]
    fn an_address_points_to_its_catalogue() {
        let catalogue = |provider| applied(provider)["catalogue"].clone();
        assert_eq!(catalogue(serde_json::json!({ "base_url": "https://api.openai.com/v1" })), "openai");
        assert_eq!(
            catalogue(
                serde_json::json!({ "base_url": "https://generativelanguage.googleapis.com/v1beta/openai" })
            ),
            "gemini"
        );
        assert_eq!(catalogue(serde_json::json!({ "protocol": "azure", "base_url": "https://x" })), "openai");
        assert!(catalogue(serde_json::json!({ "base_url": "http://127.0.0.1:9/v1" })).is_null());
        assert!(catalogue(serde_json::json!({ "protocol": "sim" })).is_null());
        let own = serde_json::json!({ "base_url": "https://api.openai.com/v1", "catalogue": "xai" });
        assert_eq!(catalogue(own), "xai");
        assert!(applied("nonsense".into()).is_string());
    }
}
