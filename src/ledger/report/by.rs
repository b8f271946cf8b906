//! What the rows of a report are grouped by.

use std::fmt;

/// A way to group rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum By {
    /// The target.
    #[default]
    Model,
    /// The virtual key.
    Key,
    /// The entry of the chain.
    Route,
    /// The classifier's tier.
    Tier,
    /// The target's provider.
    Provider,
    /// Each `name=value` pair; a row with several counts under each of them.
    Tag,
    /// The target's place in its chain.
    Position,
    /// The day of UTC.
    Day,
}

impl By {
    /// Every way.
    pub const ALL: [Self; 8] = [
        Self::Model,
        Self::Key,
        Self::Route,
        Self::Tier,
        Self::Provider,
        Self::Tag,
        Self::Position,
        Self::Day,
    ];

    /// The name that commands and paths use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Key => "key",
            Self::Route => "route",
            Self::Tier => "tier",
            Self::Provider => "provider",
            Self::Tag => "tag",
            Self::Position => "position",
            Self::Day => "day",
        }
    }

    /// The way of that name.
    ///
    /// # Errors
    /// Names all that there are.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|by| by.as_str() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str).join(", ");
            format!("there is nothing like that to group by: it is one of {names}")
        })
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
