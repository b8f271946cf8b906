//! What prompts cost at a strong model, beside a weak one.

use serde::Serialize;

use crate::{
    base::tokens,
    classify::{calibrate::Labelled, curve::Prices},
    config::Config,
    openai::Usage,
    price::cost,
    route::{Book, Tiers},
};

/// What an answer is taken to have, in tokens.
const OUTPUT: u64 = 400;

/// What savings are told by.
#[derive(Clone, Debug, Serialize)]
pub struct Pair {
    /// What a prompt costs at the strong model.
    pub strong_price: f64,
    /// What it costs at the weak model.
    pub weak_price: f64,
    /// Where these prices come from.
    pub from: String,
}

impl Pair {
    /// As the caller says.
    pub fn given(strong_price: f64, weak_price: f64) -> Self {
        Self { strong_price, weak_price, from: "as given".into() }
    }

    /// By the prices of a configuration: those of the named models, else of its baseline beside the first model of its
    /// lowest tier. `None` where nothing is named and those are not known.
    ///
    /// # Errors
    /// A named model that is not configured, or has no price.
    pub fn of(
        config: &Config,
        strong: Option<&str>,
        weak: Option<&str>,
        prompts: &[Labelled],
    ) -> Result<Option<Self>, String> {
        let book = Book::compile(config, |_| true);
        let lowest = || {
            let tiers = Tiers::compile(&config.classifier, &book)?;
            let name = tiers.names().last()?.to_owned();
            let (target, _) = tiers.route(&name)?.targets.first()?;
            Some(target.name.to_string())
        };
        let named = strong.is_some() || weak.is_some();
        let strong = strong.map(str::to_owned).or_else(|| config.classifier.baseline.clone());
        let (strong, weak) = match (strong, weak.map(str::to_owned).or_else(lowest)) {
            (Some(strong), Some(weak)) if strong != weak => (strong, weak),
            _ if named => return Err("name two different models, with --strong and --weak".into()),
            _ => return Ok(None),
        };
        let input: u64 = prompts.iter().map(|prompt| tokens::count(&prompt.text) as u64).sum();
        let input = input / prompts.len().max(1) as u64;
        let price = |name: &str| {
            let target = book.target(name).ok_or_else(|| format!("there is no model `{name}`"))?;
            let price = target.price.as_ref().ok_or_else(|| format!("the model `{name}` has no price"))?;
            Ok(cost(price, &Usage { input, output: OUTPUT, ..Usage::default() }).0 as f64 / 1e9)
        };
        match (price(&strong), price(&weak)) {
            (Ok(strong_price), Ok(weak_price)) if strong_price > 0.0 => {
                let from = format!(
                    "USD by the configuration for {strong} and {weak}, with {input} tokens in, {OUTPUT} out"
                );
                Ok(Some(Self { strong_price, weak_price, from }))
            }
            (Err(problem), _) | (_, Err(problem)) if named => Err(problem),
            _ if named => {
                Err(format!("the model `{strong}` costs nothing: savings are a share of its price"))
            }
            _ => Ok(None),
        }
    }

    /// The prices alone.
    pub fn prices(&self) -> Prices {
        Prices { strong: self.strong_price, weak: self.weak_price }
    }
}
