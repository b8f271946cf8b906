//! Rules bound to their accounts.

use std::sync::Arc;

use crate::{base::account::AccountWindow, config::Scope};

use super::{
    hold::{TargetName, Unit, Who},
    rules::{Rule, Rules},
};

/// Rules with the accounts that they count in. Good for the `Accounts` that bound them, cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Bound(pub(super) Arc<Inner>);

#[derive(Debug, Default)]
pub(super) struct Inner {
    pub(super) rules: Rules,
    /// Where each rule counts.
    pub(super) places: Vec<Place>,
}

/// Where a rule counts.
#[derive(Debug)]
pub(super) enum Place {
    /// In these accounts, one a limit.
    Fixed(Vec<u32>),
    /// In those of the key, by this group.
    Each(u32),
}

/// An account that may lack what was spent in its scope before: it is new, nobody looked after it for a while, or what
/// was spent could not be read. `Accounts::load` puts that in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fresh {
    /// The account's window.
    pub window: AccountWindow,
    /// What it counts; a single key for the share of one.
    pub scope: Scope,
}

/// How many tokens what cannot be counted is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// A picture.
    pub picture_tokens: u64,
    /// A file, or a piece of audio.
    pub file_tokens: u64,
}

impl Bound {
    pub(super) fn rule(&self, at: u32) -> &Rule {
        &self.0.rules.rules[at as usize]
    }

    /// Whether there is no budget at all.
    pub fn is_empty(&self) -> bool {
        self.0.rules.is_empty()
    }

    /// The bounds of the budgets that apply; `None`: no budget of money does, so a model without a price may be used.
    pub fn bounds(&self, who: &Who<'_>, target: Option<&TargetName<'_>>) -> Option<Bounds> {
        let mut found: Option<Bounds> = None;
        self.0.rules.applying(who, target, |at| {
            let rule = &self.0.rules.rules[at];
            if rule.unit == Unit::Money {
                let bounds = found.get_or_insert(Bounds { picture_tokens: 0, file_tokens: 0 });
                bounds.picture_tokens = bounds.picture_tokens.max(rule.picture_tokens);
                bounds.file_tokens = bounds.file_tokens.max(rule.file_tokens);
            }
        });
        found
    }
}
