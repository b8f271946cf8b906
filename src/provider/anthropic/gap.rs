//! What of a request has no counterpart at the provider: refused, or dropped by name.

use crate::openai::{Ask, BadField, Rewrite};

/// Collects what cannot be translated.
#[derive(Debug)]
pub struct Gaps<'a> {
    drop: bool,
    /// Fields that the client did not send: wishes of the gateway's own, which are left out without a word.
    wishes: Vec<&'a str>,
    /// The fields that were left out.
    pub dropped: Vec<String>,
}

impl<'a> Gaps<'a> {
    /// With `drop`, fields are left out by name; without, the first one refuses the request.
    pub fn new(drop: bool) -> Self {
        Self { drop, wishes: Vec::new(), dropped: Vec::new() }
    }

    /// As `rewrite` tells, whose defaults are wishes where the client was silent.
    pub fn of(ask: &Ask, rewrite: &Rewrite<'a>) -> Self {
        let defaults = rewrite.defaults.iter().map(|(name, _)| name.as_str());
        Self {
            wishes: defaults.filter(|name| !ask.says(name)).collect(),
            ..Self::new(rewrite.drop_unsupported)
        }
    }

    /// Meets a field that cannot be taken, for a reason that is told as a sentence.
    ///
    /// # Errors
    /// The field, unless it may be left out.
    pub fn meet(&mut self, field: impl Into<String>, reason: &str) -> Result<(), BadField> {
        let field = field.into();
        if self.wishes.contains(&&*field) {
            return Ok(());
        }
        if self.drop {
            self.leave_out(field);
            return Ok(());
        }
        Err(BadField {
            message: format!(
                "{reason}: `{field}`. Leave the field out, name another model, or set `drop_unsupported = true` on the provider."
            ),
            param: Some(field),
        })
    }

    /// Notes a field that is left out in any case.
    pub fn leave_out(&mut self, field: impl Into<String>) {
        let field = field.into();
        if !self.dropped.contains(&field) && !self.wishes.contains(&&*field) {
            self.dropped.push(field);
        }
    }
}

/// A field that is at fault, or that cannot be left out without changing the question.
pub fn bad(field: impl Into<String>, message: impl Into<String>) -> BadField {
    BadField { param: Some(field.into()), message: message.into() }
}
