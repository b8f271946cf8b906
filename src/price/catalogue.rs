//! The catalogue of models that Weir ships, to be looked things up in.

use std::{collections::HashMap, sync::LazyLock};

use serde::Deserialize;

use super::rates::Price;
use crate::{
    base::money::Pico,
    config::{self, Capabilities, Model, PriceTier, Protocol, Provider},
};

const TEXT: &str = include_str!("../../config/prices.toml");

static SHIPPED: LazyLock<Catalogue> = LazyLock::new(|| Catalogue::index(TEXT));

/// Models by family of providers, then by name, each with its line of the file. A line is read when somebody looks
/// for it: reading all of them would take longer than the rest of a start.
#[derive(Debug)]
pub struct Catalogue(HashMap<&'static str, HashMap<&'static str, &'static str>>);

/// What the catalogue says of a model.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Entry {
    input: Option<Pico>,
    output: Option<Pico>,
    cached_input: Option<Pico>,
    cache_write: Option<Pico>,
    cache_write_1h: Option<Pico>,
    reasoning: Option<Pico>,
    audio_input: Option<Pico>,
    audio_output: Option<Pico>,
    tiers: Vec<PriceTier>,
    context: Option<u64>,
    max_output: Option<u64>,
    modality: Modality,
    can: Option<Vec<Skill>>,
}

/// What a model makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Modality {
    /// Answers in a chat.
    #[default]
    Chat,
    /// Vectors.
    Embedding,
    /// Texts that go on.
    Completion,
}

/// What the catalogue says that a model can do. One that names its skills lacks the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Skill {
    Tools,
    ParallelTools,
    Vision,
    Audio,
    Files,
    JsonSchema,
    Reasoning,
}

/// What is known of a model, by its configuration or else by the catalogue.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelFacts {
    /// What its tokens cost; `None`: nobody knows.
    pub price: Option<Price>,
    /// What it can do.
    pub capabilities: Capabilities,
    /// Tokens of question and answer together.
    pub context_window: Option<u64>,
    /// Tokens of an answer.
    pub max_output_tokens: Option<u64>,
    /// What it makes.
    pub modality: Modality,
}

impl Catalogue {
    /// The catalogue that Weir ships. It is read once, at its first use.
    pub fn shipped() -> &'static Self {
        &SHIPPED
    }

    /// Finds the lines of a file that has a table for each family, and in it a line for each model.
    fn index(text: &'static str) -> Self {
        let mut families: HashMap<_, HashMap<_, _>> = HashMap::new();
        let mut family = "";
        for line in text.lines() {
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                family = name;
            } else if let Some((name, _)) = line.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
                families.entry(family).or_default().insert(name, line);
            }
        }
        Self(families)
    }

    /// What is known of a model that stands in the configuration under `name`.
    pub fn of(&self, name: &str, model: &Model, provider: &Provider) -> ModelFacts {
        let upstream = model.upstream_model.as_deref().unwrap_or(name);
        let known = self.of_upstream(upstream, provider);
        // Azure's deployments have names of their own, so there our own name may be the model's.
        let known = match (known, provider.protocol) {
            (None, Protocol::Azure) => self.of_upstream(name, provider),
            (known, _) => known,
        };
        let known = known.unwrap_or_default();
        ModelFacts {
            price: model.price.as_ref().map(Price::new).or(known.price),
            capabilities: model.capabilities.or(known.capabilities),
            context_window: model.context_window.or(known.context_window),
            max_output_tokens: model.max_output_tokens.or(known.max_output_tokens),
            modality: known.modality,
        }
    }

    /// What the catalogue says of a provider's own model.
    pub fn of_upstream(&self, upstream: &str, provider: &Provider) -> Option<ModelFacts> {
        self.find(provider.catalogue.as_deref()?, upstream).map(|line| Entry::read(line).facts())
    }

    /// The line of a name, or of the name without its date or its `-latest`.
    fn find(&self, family: &str, name: &str) -> Option<&'static str> {
        let models = self.0.get(family)?;
        let name = name.strip_prefix("models/").unwrap_or(name);
        models.get(name).or_else(|| stems(name).find_map(|stem| models.get(stem))).copied()
    }
}

/// A name without what marks one version of a model: `gpt-4o-2024-08-06`, `claude-opus-4-5-20251101`,
/// `gpt-4-0613`, `mistral-large-latest`.
fn stems(name: &str) -> impl Iterator<Item = &str> {
    let latest = name.strip_suffix("-latest");
    let dated = [10, 8, 4].into_iter().filter_map(move |length| {
        let (stem, date) = name.split_at_checked(name.len().checked_sub(length)?)?;
        let digit_or_dash = |(at, byte): (usize, u8)| match (length, at) {
            (10, 4 | 7) => byte == b'-',
            _ => byte.is_ascii_digit(),
        };
        date.bytes().enumerate().all(digit_or_dash).then(|| stem.strip_suffix('-'))?
    });
    latest.into_iter().chain(dated).filter(|stem| !stem.is_empty())
}

impl Entry {
    /// Reads the line of a model.
    fn read(line: &str) -> Self {
        let mut entries: HashMap<String, Self> =
            toml::from_str(line).expect("a test reads every line of the shipped catalogue");
        entries.drain().map(|(_, entry)| entry).next().unwrap_or_default()
    }

    fn facts(&self) -> ModelFacts {
        let price = self.input.zip(self.output).map(|(input, output)| {
            Price::new(&config::Price {
                input,
                output,
                cached_input: self.cached_input,
                cache_write: self.cache_write,
                cache_write_1h: self.cache_write_1h,
                reasoning: self.reasoning,
                audio_input: self.audio_input,
                audio_output: self.audio_output,
                tiers: self.tiers.clone(),
            })
        });
        ModelFacts {
            price,
            capabilities: self.capabilities(),
            context_window: self.context,
            max_output_tokens: self.max_output,
            modality: self.modality,
        }
    }

    fn capabilities(&self) -> Capabilities {
        let can = |skill| self.can.as_ref().map(|can| can.contains(&skill));
        // Some skills are often left out where they are there: only their presence says something.
        let yes = |skill| can(skill).filter(|can| *can);
        Capabilities {
            tools: can(Skill::Tools),
            parallel_tools: yes(Skill::ParallelTools),
            vision: can(Skill::Vision),
            audio: can(Skill::Audio),
            files: can(Skill::Files),
            json_schema: can(Skill::JsonSchema),
            json_mode: yes(Skill::JsonSchema),
            reasoning: can(Skill::Reasoning),
            streaming: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{openai::Usage, price::cost};

    fn provider(settings: serde_json::Value) -> Provider {
        serde_json::from_value(settings).unwrap()
    }

    fn model(settings: serde_json::Value) -> Model {
        serde_json::from_value(settings).unwrap()
    }

    #[test]
    fn every_entry_of_the_shipped_catalogue_makes_sense() {
        let Catalogue(families) = Catalogue::shipped();
        assert!(families.len() >= 8, "{:?}", families.keys());
        for (family, models) in families {
            assert!(models.len() >= 4, "{family}");
            for (name, line) in models {
                let facts = Entry::read(line).facts();
                assert!(facts.context_window.is_none_or(|window| window >= 256), "{name}");
                let Some(price) = facts.price else { continue };
                let rates = price.base();
                assert!(rates.cached_input <= rates.input, "{family}/{name}");
                assert!(rates.cache_write_1h >= rates.cache_write, "{family}/{name}");
                for (above, tier) in price.tiers() {
                    assert!(*above >= 32_000 && tier.input >= rates.input, "{family}/{name}");
                }
            }
        }
    }

    #[test]
    fn every_model_of_the_file_has_a_line_of_its_own() {
        let whole: HashMap<String, HashMap<String, serde_json::Value>> = toml::from_str(TEXT).unwrap();
        let Catalogue(families) = Catalogue::shipped();
        assert_eq!(whole.len(), families.len());
        for (family, models) in whole {
            let mut names: Vec<_> = models.keys().map(String::as_str).collect();
            let mut found: Vec<_> = families[family.as_str()].keys().copied().collect();
            names.sort_unstable();
            found.sort_unstable();
            assert_eq!(names, found, "{family}");
        }
    }

    #[test]
    fn a_dated_name_is_its_stem() {
        let stems = |name| stems(name).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(stems("gpt-4o-2024-08-06"), ["gpt-4o"]);
        assert_eq!(stems("claude-opus-4-5-20251101"), ["claude-opus-4-5"]);
        assert_eq!(stems("gpt-4-0613"), ["gpt-4"]);
        assert_eq!(stems("mistral-large-latest"), ["mistral-large"]);
        for plain in ["gpt-4o", "2024-08-06", "-0613", "", "é-latést", "gpt-4o-2024x08-06"] {
            assert!(stems(plain).is_empty(), "{plain}");
        }
    }

    #[test]
    fn prices_come_from_the_catalogue_and_the_configuration_goes_before() {
        let openai = provider(json!({ "catalogue": "openai" }));
        let catalogue = Catalogue::shipped();
        let usage = Usage { input: 1_000_000, output: 1_000_000, ..Usage::default() };
        let plain = catalogue.of("gpt-4o", &model(json!({ "provider": "p" })), &openai);
        assert_eq!(cost(plain.price.as_ref().unwrap(), &usage).to_string(), "12.5");
        assert_eq!((plain.capabilities.vision, plain.capabilities.audio), (Some(true), Some(false)));
        assert_eq!(plain.context_window, Some(128_000));
        let dated = model(json!({ "provider": "p", "upstream_model": "gpt-4o-2031-01-01" }));
        assert_eq!(catalogue.of("x", &dated, &openai), plain);
        let own = model(json!({
            "provider": "p", "price": { "input": 1, "output": 1 }, "capabilities": { "vision": false }, "context_window": 5,
        }));
        let own = catalogue.of("gpt-4o", &own, &openai);
        assert_eq!(cost(own.price.as_ref().unwrap(), &usage).to_string(), "2");
        assert_eq!((own.capabilities.vision, own.capabilities.tools), (Some(false), Some(true)));
        assert_eq!(own.context_window, Some(5));
    }

    #[test]
    fn what_nobody_knows_is_unknown() {
        let nobody = model(json!({ "provider": "p" }));
        let catalogue = Catalogue::shipped();
        let unknown = catalogue.of("gpt-4o", &nobody, &Provider::default());
        assert_eq!(unknown, ModelFacts::default());
        assert_eq!(
            catalogue.of("no-such", &nobody, &provider(json!({ "catalogue": "openai" }))),
            ModelFacts::default()
        );
    }

    #[test]
    fn a_deployment_may_be_priced_by_our_own_name() {
        let azure = provider(json!({ "protocol": "azure", "catalogue": "openai" }));
        let deployment = model(json!({ "provider": "p", "upstream_model": "my-deployment" }));
        assert!(Catalogue::shipped().of("gpt-4o", &deployment, &azure).price.is_some());
        let openai = provider(json!({ "catalogue": "openai" }));
        assert!(Catalogue::shipped().of("gpt-4o", &deployment, &openai).price.is_none());
    }
}
