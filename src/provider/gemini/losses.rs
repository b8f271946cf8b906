//! What of a request Gemini cannot take: refused, or dropped by name.

use serde_json::Value;

use crate::openai::{Ask, BadField, Rewrite};

/// Refuses the first field that cannot be translated, or notes all of them.
#[derive(Debug)]
pub struct Losses<'a> {
    drop: bool,
    /// Fields that the operator put in where the client was silent: they are wishes, not demands.
    wishes: Vec<&'a str>,
    dropped: Vec<String>,
}

impl<'a> Losses<'a> {
    /// `drop`: note instead of refusing.
    pub fn new(drop: bool) -> Self {
        Self { drop, wishes: Vec::new(), dropped: Vec::new() }
    }

    /// As `rewrite` tells, whose defaults are wishes where the client was silent.
    pub fn of(ask: &Ask, rewrite: &Rewrite<'a>) -> Self {
        let defaults = rewrite.defaults.iter().map(|(name, _)| name.as_str());
        let wishes = defaults.filter(|name| !ask.says(name)).collect();
        Self { wishes, ..Self::new(rewrite.drop_unsupported) }
    }

    /// A field that Gemini has no counterpart for; `Ok` means that it is left out.
    ///
    /// # Errors
    /// It has to be refused.
    pub fn field(&mut self, param: impl Into<String>) -> Result<(), BadField> {
        let param = param.into();
        let message = format!("Gemini has nothing like `{param}`. Leave it out, or use another model.");
        self.lose(param, message)
    }

    /// A field with a value that Gemini cannot take, `message` saying why.
    ///
    /// # Errors
    /// It has to be refused.
    pub fn lose(&mut self, param: String, message: String) -> Result<(), BadField> {
        if self.wishes.contains(&&*param) {
            return Ok(());
        }
        if self.drop {
            if !self.dropped.contains(&param) {
                self.dropped.push(param);
            }
            return Ok(());
        }
        Err(BadField { param: Some(param), message })
    }

    /// The names of what was left out.
    pub fn into_dropped(self) -> Vec<String> {
        self.dropped
    }
}

/// Whether a value says nothing, as SDKs send it back from answers: null, false, or empty.
pub fn is_neutral(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

/// A field that is wrong whatever the provider.
pub fn wrong(param: impl Into<String>, message: impl Into<String>) -> BadField {
    BadField { param: Some(param.into()), message: message.into() }
}
