//! What of a request has no counterpart at the provider: refused, or dropped by name.

use crate::openai::BadField;

/// Collects what cannot be translated.
#[derive(Debug)]
pub struct Gaps {
    drop: bool,
    /// The fields that were left out.
    pub dropped: Vec<String>,
}

impl Gaps {
    /// With `drop`, fields are left out by name; without, the first one refuses the request.
    pub fn new(drop: bool) -> Self {
        Self { drop, dropped: Vec::new() }
    }

    /// Meets a field that cannot be taken, for a reason that is told as a sentence.
    ///
    /// # Errors
    /// The field, unless it may be left out.
    pub fn meet(&mut self, field: impl Into<String>, reason: &str) -> Result<(), BadField> {
        let field = field.into();
        if self.drop {
            self.leave_out(field);
            return Ok(());
        }
        Err(BadField {
            message: format!(
                "{reason} (`{field}`). Leave the field out, name another model, or set `drop_unsupported = true` on the provider."
            ),
            param: Some(field),
        })
    }

    /// Notes a field that is left out in any case.
    pub fn leave_out(&mut self, field: impl Into<String>) {
        let field = field.into();
        if !self.dropped.contains(&field) {
            self.dropped.push(field);
        }
    }
}

/// A field that is at fault, or that cannot be left out without changing the question.
pub fn bad(field: impl Into<String>, message: impl Into<String>) -> BadField {
    BadField { param: Some(field.into()), message: message.into() }
}
