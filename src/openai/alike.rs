//! Events of a stream that differ in nothing but their text, as nearly all do.

use memchr::memchr2;

use super::{chunk, scan::Scan};

/// Events are learned by heart so often in one stream: where each is another, that would be work for nothing.
const TRIES: u8 = 8;
/// So many events may be of another kind: a model thinks before it speaks.
const OTHERS: u8 = 64;
/// The most that is learned of one, in bytes.
const MOST: usize = 2048;

/// Knows an event of a stream again in which one choice says more text, and nothing else happens, by what stands around
/// that text: then the text is all that has to be read of it.
#[derive(Debug, Default)]
pub struct Alike {
    mould: Option<Mould>,
    tries: u8,
    others: u8,
}

#[derive(Debug)]
struct Mould {
    /// What stands before the text, its quote included, with what stands behind it.
    around: Box<[u8]>,
    /// How much of that stands before it.
    before: usize,
    /// Which choice it is.
    choice: u64,
}

impl Alike {
    /// The choice with its text, in quotes as JSON and not empty, of an event like the one that was learned. All else that
    /// [`chunk::inspect`] would find is what it found there.
    pub fn word<'a>(&self, event: &'a [u8]) -> Option<(u64, &'a str)> {
        let Mould { around, before, choice } = self.mould.as_ref()?;
        let (before, behind) = around.split_at(*before);
        let inside = event.strip_prefix(before)?.strip_suffix(behind)?;
        if inside.is_empty() {
            return None;
        }
        let start = before.len() - 1;
        let text = std::str::from_utf8(&event[start..start + inside.len() + 2]).ok()?;
        let mut scan = Scan { text, at: 0, passed: false, known: &[], found: None };
        (scan.string().is_ok() && scan.at == text.len()).then_some((*choice, text))
    }

    /// Whether another event may still be learned.
    pub fn learns(&self) -> bool {
        self.tries < TRIES && self.others < OTHERS
    }

    /// Learns an event, if it is of this kind.
    pub fn learn(&mut self, event: &[u8]) {
        if !self.learns() {
            return;
        }
        match Mould::of(event) {
            Some(mould) => (self.mould, self.tries) = (Some(mould), self.tries + 1),
            None => self.others += 1,
        }
    }
}

impl Mould {
    fn of(event: &[u8]) -> Option<Self> {
        let line = event.strip_prefix(b"data:")?.strip_suffix(b"\n\n")?;
        if memchr2(b'\n', b'\r', line).is_some() {
            return None;
        }
        let facts = chunk::inspect(line.trim_ascii()).ok()?;
        let (choice, word) = facts.word()?;
        let start = word.as_ptr() as usize - event.as_ptr() as usize;
        let around = [&event[..=start], &event[start + word.len() - 1..]];
        let length: usize = around.iter().map(|part| part.len()).sum();
        (length <= MOST).then(|| Self { around: around.concat().into(), before: start + 1, choice })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event(content: &str) -> String {
        format!(
            "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"choices\":[{{\"index\":3,\"delta\":{{\"content\":{content}}},\
             \"finish_reason\":null}}],\"usage\":null}}\n\n"
        )
    }

    fn learned(event: &str) -> Alike {
        let mut alike = Alike::default();
        alike.learn(event.as_bytes());
        alike
    }

    #[test]
    fn an_event_that_is_alike_has_another_word() {
        let alike = learned(&event("\"a\""));
        for word in ["\"b\"", "\" longer than the first\"", r#""\n\"\u00e9\ud83d""#, "\"é\""] {
            assert_eq!(alike.word(event(word).as_bytes()), Some((3, word)));
        }
        for other in
            ["\"\"", "null", "[]", "\"a\",\"refusal\":\"b\"", "\"a\nb\"", "\"\\x\"", "\"a\\\"", "\"a\"\"b\""]
        {
            assert_eq!(alike.word(event(other).as_bytes()), None, "{other}");
        }
        let bad = [&event("\"").as_bytes()[..90], b"\xff"].concat();
        assert_eq!(alike.word(&bad), None);
        assert_eq!(alike.word(event("\"b\"").replace("\"c\"", "\"d\"").as_bytes()), None);
    }

    #[test]
    fn only_what_says_more_text_is_learned() {
        let one = event("\"a\"");
        for other in [
            event("\"\""),
            event("null"),
            event("[]"),
            event("\"a\",\"content\":\"b\""),
            event("\"a\",\"refusal\":\"b\""),
            event("\"a\",\"reasoning\":\"b\""),
            event("\"a\",\"tool_calls\":[{}]"),
            event("\"a\",\"tool_calls\":{}"),
            one.replace("null}", "\"stop\"}"),
            one.replace("\"usage\":null", "\"usage\":{\"prompt_tokens\":1}"),
            one.replace("\"usage\":null", "\"error\":\"no\""),
            one.replace("\"usage\":null", "\"choices\":[{\"delta\":{\"content\":\"b\"}}]"),
            one.replace("\"finish_reason\":null", "\"text\":\"b\""),
            one.replace("\"finish_reason\":null", "\"message\":{\"content\":\"b\"}"),
            one.replace("\"finish_reason\":null", "\"delta\":{\"content\":\"b\"}"),
            one.replace("\"object\":\"chat.completion.chunk\",", ""),
            one.replace("data:", "event: a\ndata:"),
            one.replace("\n\n", "\r\n\r\n"),
            format!("{one}{one}"),
            one.replace("\"c\"", &format!("\"{}\"", "c".repeat(MOST))),
        ] {
            assert_eq!(learned(&other).word(other.as_bytes()), None, "{other}");
        }
        assert!(learned(&one).word(one.as_bytes()).is_some());
    }

    #[test]
    fn a_stream_of_others_is_not_learned_for_ever() {
        let mut alike = Alike::default();
        (0..OTHERS).for_each(|_| alike.learn(b"data: {}\n\n"));
        alike.learn(event("\"a\"").as_bytes());
        assert!(!alike.learns() && alike.mould.is_none());
    }

    proptest! {
        #[test]
        fn what_is_alike_is_what_inspecting_says(
            words in prop::collection::vec("\"[a-zé\\\\\"n\n]{0,5}\"|null|\"a\",\"role\":\"b\"", 2..5),
        ) {
            let mut alike = Alike::default();
            let mut first = None;
            for word in &words {
                let event = event(word);
                let told = |event: &str| chunk::inspect(event[5..].trim().as_bytes()).ok().map(|facts| {
                    (facts.word().map(|(choice, word)| (choice, word.to_owned())), facts.content, facts.finished, facts.choices)
                });
                let full = told(&event);
                if let Some(found) = alike.word(event.as_bytes()) {
                    let (word, content, finished, choices) = full.unwrap();
                    prop_assert_eq!(word, Some((found.0, found.1.to_owned())));
                    prop_assert_eq!(Some((content, finished, choices)), first);
                } else if let Some((Some(_), content, finished, choices)) = full {
                    alike.learn(event.as_bytes());
                    first = Some((content, finished, choices));
                }
            }
        }
    }
}
