//! Telling a conversation that goes on from one that begins.

use std::hash::{Hash as _, Hasher};

use super::{
    ask::{Ask, Endpoint},
    fold::{Fold, Value},
    scan::Fault,
};

/// Where a conversation stands, as hashes of what was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Talk {
    /// What was said up to the last answer in it: exactly the question that was answered then. `None`: nothing was
    /// answered yet.
    pub before: Option<u64>,
    /// All that is said now.
    pub now: u64,
}

impl Ask {
    /// Where the conversation stands; `None` where there is none. `hasher` holds whose it is.
    pub fn talk(&self, hasher: impl Hasher + Clone) -> Option<Talk> {
        let messages = (self.endpoint() == Endpoint::Chat).then(|| self.messages())??;
        let mut said = Messages { hasher, count: 0, answer: self.turns().answer, before: None };
        messages.fold(&mut said);
        Some(Talk { before: said.before, now: said.hasher.finish() })
    }
}

struct Messages<H> {
    hasher: H,
    count: usize,
    /// The place of the last answer.
    answer: Option<usize>,
    before: Option<u64>,
}

impl<'de, H: Hasher + Clone> Fold<'de> for Messages<H> {
    fn element(&mut self, value: Value<'_, 'de>) -> Result<(), Fault> {
        let raw = value.raw()?;
        if self.answer == Some(self.count) {
            self.before = Some(self.hasher.finish());
        }
        self.count += 1;
        raw.hash(&mut self.hasher);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::hash::DefaultHasher;

    use super::*;

    fn talk(whose: &str, messages: &[(&str, &str)]) -> Talk {
        let messages: Vec<_> = messages
            .iter()
            .map(|(role, content)| serde_json::json!({ "role": role, "content": content }))
            .collect();
        let body = serde_json::json!({ "model": "m", "messages": messages });
        let mut hasher = DefaultHasher::new();
        whose.hash(&mut hasher);
        Ask::parse(Endpoint::Chat, body.to_string().into()).unwrap().talk(hasher).unwrap()
    }

    #[test]
    fn a_turn_knows_the_one_before_it() {
        let (hi, more) = (("user", "hi"), ("user", "more"));
        let first = talk("a", &[("system", "s"), hi]);
        assert_eq!(first.before, None);
        let second = talk("a", &[("system", "s"), hi, ("assistant", "ho"), more]);
        assert_eq!(second.before, Some(first.now));
        let third =
            talk("a", &[("system", "s"), hi, ("assistant", "ho"), more, ("assistant", "x"), ("tool", "1")]);
        assert_eq!(third.before, Some(second.now));
        for other in [
            talk("b", &[("system", "s"), hi]),
            talk("a", &[("system", "t"), hi]),
            talk("a", &[("system", "s"), more]),
            talk("a", &[hi]),
        ] {
            assert_ne!(other.now, first.now);
        }
    }

    #[test]
    fn texts_are_no_conversation() {
        let body = r#"{"model":"m","prompt":"hi"}"#;
        let ask = Ask::parse(Endpoint::Completions, body.into()).unwrap();
        assert_eq!(ask.talk(DefaultHasher::new()), None);
    }
}
