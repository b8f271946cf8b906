//! What an answer says, as far as it can be judged: the first choice's text with how it ended.

use super::{
    fold,
    texts::{self, Kind},
    unescape::unescape,
};

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// It reached a limit of tokens.
    Length,
    /// The provider held it back.
    Filter,
    /// In any other way.
    Other,
}

/// The first choice of an answer. Of its text the beginning is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    text: String,
    keep: usize,
    cut: bool,
    refused: bool,
    shown: bool,
    finish: Option<Finish>,
}

impl Said {
    /// Nothing yet; so many bytes of text are kept.
    pub fn keeping(bytes: usize) -> Self {
        Self { keep: bytes, ..Self::default() }
    }

    /// What a whole answer of OpenAI's format says; what cannot be read says nothing.
    pub fn of(body: &[u8], keep: usize) -> Self {
        let mut said = Self::keeping(keep);
        texts::each(body, &mut |choice, kind, raw| said.add(choice, kind, raw));
        said
    }

    /// Takes more of a choice, as JSON.
    pub(super) fn add(&mut self, choice: u64, kind: Kind, raw: &str) {
        if choice != 0 {
            return;
        }
        match kind {
            Kind::Said => self.say(raw),
            Kind::Refused => self.refused |= fold::is_text(raw),
            Kind::Name | Kind::Called(_) => self.shown |= fold::is_text(raw),
            Kind::Shown => self.shown |= fold::is_something(raw),
            Kind::Ended => {
                let finish = match raw {
                    "\"length\"" => Finish::Length,
                    "\"content_filter\"" => Finish::Filter,
                    _ => Finish::Other,
                };
                if fold::is_text(raw) {
                    self.finish = Some(finish);
                }
            }
            Kind::Thought => {}
        }
    }

    fn say(&mut self, raw: &str) {
        let Some(json) = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return };
        if self.cut || json.is_empty() {
            return;
        }
        // A byte of text takes six of JSON at most.
        let near = &json[..json.floor_char_boundary(self.keep.saturating_add(1).saturating_mul(6))];
        unescape(near, &mut self.text);
        self.cut = near.len() < json.len();
        if self.text.len() > self.keep {
            self.cut = true;
            self.text.truncate(self.text.floor_char_boundary(self.keep));
            self.text.shrink_to_fit();
        }
    }

    /// What is kept of its text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether there is more text than is kept.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// Whether it refuses in the field that is meant for that.
    pub fn is_refused(&self) -> bool {
        self.refused
    }

    /// Whether it calls a tool, speaks, or shows something beside its text.
    pub fn shows(&self) -> bool {
        self.shown
    }

    /// How it ended; `None` where it does not say.
    pub fn finish(&self) -> Option<Finish> {
        self.finish
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn said(choice: &serde_json::Value) -> Said {
        Said::of(json!({ "choices": [choice] }).to_string().as_bytes(), 20)
    }

    #[test]
    fn the_first_choice_is_heard() {
        let body = json!({ "choices": [
            { "index": 1, "finish_reason": "length", "message": { "content": "other" } },
            { "index": 0, "finish_reason": "stop", "message": { "content": "a\n\"é\"", "refusal": null } },
        ] });
        let said = Said::of(body.to_string().as_bytes(), 20);
        assert_eq!((said.text(), said.finish(), said.is_cut()), ("a\n\"é\"", Some(Finish::Other), false));
        assert!(!said.is_refused() && !said.shows());
    }

    #[test]
    fn ends_refusals_calls_are_seen() {
        for (reason, finish) in [
            (json!("length"), Some(Finish::Length)),
            (json!("content_filter"), Some(Finish::Filter)),
            (json!("tool_calls"), Some(Finish::Other)),
            (json!(null), None),
        ] {
            assert_eq!(said(&json!({ "finish_reason": reason })).finish(), finish);
        }
        assert!(said(&json!({ "message": { "content": null, "refusal": "No." } })).is_refused());
        let call = json!({ "function": { "name": "f", "arguments": "{}" } });
        assert!(said(&json!({ "message": { "content": null, "tool_calls": [call] } })).shows());
        assert!(said(&json!({ "message": { "content": "", "images": [{ "image_url": {} }] } })).shows());
        assert!(said(&json!({ "message": { "content": "", "audio": { "data": "AAAA" } } })).shows());
        assert!(
            !said(&json!({ "message": { "content": "", "images": [], "audio": null, "tool_calls": [] } }))
                .shows()
        );
        let parts = json!([{ "type": "thinking", "thinking": [{ "text": "hm" }] }, { "type": "text", "text": "yes" }]);
        assert_eq!(said(&json!({ "message": { "content": parts } })).text(), "yes");
    }

    #[test]
    fn only_the_beginning_is_kept() {
        let said = said(&json!({ "message": { "content": "é".repeat(50) } }));
        assert_eq!((said.text(), said.is_cut()), ("é".repeat(10).as_str(), true));
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..300), keep in 0_usize..50) {
            prop_assert!(Said::of(&bytes, keep).text().len() <= keep);
        }

        #[test]
        fn any_text_comes_whole(text in any::<String>()) {
            let body = json!({ "choices": [{ "message": { "content": text } }] });
            let said = Said::of(body.to_string().as_bytes(), usize::MAX);
            prop_assert_eq!(said.text(), text);
        }
    }
}
