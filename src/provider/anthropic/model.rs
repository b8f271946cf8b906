//! What a Claude model can do, told by its name.

/// What differs between the generations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// How it is asked to think.
    pub thinking: ThinkingStyle,
    /// Whether it takes a JSON schema for its answers and `strict` for its tools.
    pub schema: bool,
    /// Whether it takes `temperature`, `top_p` and `top_k` other than their defaults.
    pub sampling: bool,
    /// Whether it can think where it has to call a tool.
    pub thinks_when_forced: bool,
    /// Whether it takes `temperature` or `top_p`, not both.
    pub one_of_sampling: bool,
}

/// How a model is asked to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThinkingStyle {
    /// Not at all.
    Never,
    /// With a budget of tokens.
    Budget,
    /// With an effort; it finds its own budget.
    Effort {
        /// Whether it knows the effort `xhigh`.
        xhigh: bool,
        /// Whether it thinks unless told not to.
        by_default: bool,
    },
}

impl Abilities {
    /// Those of the model of that name. A model that is not Claude, behind an address that speaks Anthropic's
    /// protocol, gets only what the first models with thinking took.
    pub fn of(model: &str) -> Self {
        match version(model) {
            None => Self {
                thinking: ThinkingStyle::Budget,
                schema: false,
                sampling: true,
                thinks_when_forced: false,
                one_of_sampling: false,
            },
            Some(version) => Self {
                thinking: match () {
                    () if version < (3, 7) => ThinkingStyle::Never,
                    () if version < (4, 6) => ThinkingStyle::Budget,
                    () => ThinkingStyle::Effort { xhigh: version >= (4, 7), by_default: version >= (5, 0) },
                },
                schema: version >= (4, 5),
                sampling: version < (4, 7),
                thinks_when_forced: version >= (4, 8),
                one_of_sampling: version >= (4, 1),
            },
        }
    }
}

/// The version in a Claude model's name: 4.5 of `claude-sonnet-4-5-20250929`, 3.5 of `claude-3-5-haiku-latest`.
/// Names without one, like `claude-mythos-preview`, are taken for the newest.
fn version(model: &str) -> Option<(u32, u32)> {
    let name = &model[model.find("claude")?..];
    let separators = ['-', '.', '@', ':', '_'];
    // Past the name there may be a suffix, like `[1m]`.
    let end =
        name.find(|c: char| !c.is_ascii_alphanumeric() && !separators.contains(&c)).unwrap_or(name.len());
    let mut numbers = name[..end]
        .split(separators)
        // Longer numbers are dates.
        .filter(|part| (1..=2).contains(&part.len()))
        .map_while(|part| part.parse::<u32>().ok());
    Some((numbers.next().unwrap_or(u32::MAX), numbers.next().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_names() {
        for (name, expected) in [
            ("claude-3-opus-20240229", Some((3, 0))),
            ("claude-3-5-haiku-20241022", Some((3, 5))),
            ("claude-3-7-sonnet-latest", Some((3, 7))),
            ("claude-sonnet-4-20250514", Some((4, 0))),
            ("claude-sonnet-4-0", Some((4, 0))),
            ("claude-opus-4-1-20250805", Some((4, 1))),
            ("claude-haiku-4-5-20251001", Some((4, 5))),
            ("claude-haiku-4-5@20251001", Some((4, 5))),
            ("anthropic/claude-opus-4.6", Some((4, 6))),
            ("claude-sonnet-5", Some((5, 0))),
            ("claude-fable-5-1", Some((5, 1))),
            ("claude-mythos-preview", Some((u32::MAX, 0))),
            ("claude-opus-4-8[1m]", Some((4, 8))),
            ("claude-opus-4-8?first=1", Some((4, 8))),
            ("kimi-k2", None),
        ] {
            assert_eq!(version(name), expected, "{name}");
        }
    }

    #[test]
    fn generations_differ() {
        use ThinkingStyle::*;
        let thinking = |name| Abilities::of(name).thinking;
        assert_eq!(thinking("claude-3-5-haiku-20241022"), Never);
        assert_eq!(thinking("claude-3-7-sonnet-latest"), Budget);
        assert_eq!(thinking("claude-opus-4-5"), Budget);
        assert_eq!(thinking("claude-opus-4-6"), Effort { xhigh: false, by_default: false });
        assert_eq!(thinking("claude-opus-4-8"), Effort { xhigh: true, by_default: false });
        assert_eq!(thinking("claude-sonnet-5"), Effort { xhigh: true, by_default: true });
        assert_eq!(thinking("other"), Budget);
        assert!(!Abilities::of("claude-opus-4-1").schema && Abilities::of("claude-haiku-4-5").schema);
        assert!(Abilities::of("claude-sonnet-4-6").sampling && !Abilities::of("claude-opus-4-7").sampling);
        assert!(!Abilities::of("claude-sonnet-4-0").one_of_sampling);
    }
}
