//! Whether an answer came to its own end, seen without building it.

use std::borrow::Cow;

use bytes::Bytes;

use crate::openai::{
    Endpoint, Usage,
    alike::Alike,
    chunk,
    ending::{self, Choice, End},
    sse::Event,
};

use super::answer::Unfit;

/// What is known of the choices of an answer.
#[derive(Debug, Default)]
pub struct Ends {
    /// Each choice by its index, with how it ended, if it did.
    choices: Vec<(u64, Option<End>)>,
    refuses: bool,
    unreadable: bool,
    usage: Option<Usage>,
    /// Which events bring nothing but more text.
    alike: Alike,
}

impl Ends {
    /// Those of an object that may be kept; `length` says whether the client set the length at which it may end. Gives
    /// the tokens that it took, where known.
    ///
    /// # Errors
    /// Why it may not.
    pub fn of(endpoint: Endpoint, body: &[u8], length: bool) -> Result<Option<Usage>, Unfit> {
        let said = ending::read(body).ok_or(Unfit::Unreadable)?;
        let usage = said.usage.flatten();
        if endpoint == Endpoint::Embeddings {
            return if said.vectors > 0 { Ok(usage) } else { Err(Unfit::Incomplete) };
        }
        let mut ends = Self { usage, ..Self::default() };
        for (at, choice) in said.choices.iter().enumerate() {
            // In a list that is whole the place says which one it is.
            ends.choice(at as u64, choice);
        }
        if ends.choices.is_empty() { Err(Unfit::Incomplete) } else { ends.finish(length) }
    }

    /// An event of a stream passes; whether it tells the usage and nothing else.
    pub fn passes(&mut self, event: &Bytes) -> bool {
        if let Some((choice, _)) = self.alike.word(event) {
            self.place(choice);
            return false;
        }
        let Some(payload) = payload(event) else { return false };
        let Some(said) = ending::read(&payload) else {
            self.unreadable = true;
            return false;
        };
        if let Some(usage) = said.usage {
            self.usage = usage;
        }
        if said.choices.is_empty() {
            return chunk::inspect(&payload).is_ok_and(|facts| facts.usage.is_some());
        }
        if let [Choice { end: None, .. }] = &said.choices[..] {
            self.alike.learn(event);
        }
        said.choices.iter().for_each(|choice| self.choice(choice.index.unwrap_or(0), choice));
        false
    }

    /// The place of a choice among those that are known.
    fn place(&mut self, index: u64) -> usize {
        self.choices.iter().position(|(known, _)| *known == index).unwrap_or_else(|| {
            self.choices.push((index, None));
            self.choices.len() - 1
        })
    }

    fn choice(&mut self, index: u64, choice: &Choice) {
        let at = self.place(index);
        // The last word counts.
        self.choices[at].1 = choice.end.or(self.choices[at].1);
        self.refuses |= choice.refuses;
    }

    /// Whether an answer that passed may be kept: each choice came to its own end, and none is a refusal. Gives the tokens
    /// that it took, where known.
    ///
    /// # Errors
    /// Why it may not.
    pub fn finish(self, length: bool) -> Result<Option<Usage>, Unfit> {
        if self.unreadable || self.choices.is_empty() {
            return Err(Unfit::Unreadable);
        }
        let own = |end: &Option<End>| *end == Some(End::Own) || length && *end == Some(End::Length);
        match !self.refuses && self.choices.iter().all(|(_, end)| own(end)) {
            true => Ok(self.usage),
            false => Err(Unfit::Incomplete),
        }
    }
}

/// What an event says; `None` where that is nothing, or only that the stream is over.
fn payload(event: &Bytes) -> Option<Cow<'_, [u8]>> {
    let data = match line(event) {
        Some(data) => Cow::Borrowed(data),
        // Rare, so that a copy does no harm.
        None => Cow::Owned(Event::new(event.clone()).data()?.into_owned()),
    };
    let said = data.trim_ascii();
    (!said.is_empty() && said != b"[DONE]").then_some(data)
}

/// What an event says in its only line, as nearly all do.
fn line(event: &[u8]) -> Option<&[u8]> {
    let line = event.strip_prefix(b"data:")?.strip_suffix(b"\n\n")?;
    memchr::memchr2(b'\n', b'\r', line).is_none().then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(events: &[&str]) -> Result<Option<Usage>, Unfit> {
        let mut ends = Ends::default();
        for event in events {
            ends.passes(&Bytes::copy_from_slice(event.as_bytes()));
        }
        ends.finish(false)
    }

    fn part(index: u64, delta: &str, end: &str) -> String {
        format!(r#"data: {{"choices":[{{"index":{index},"delta":{delta},"finish_reason":{end}}}]}}"#) + "\n\n"
    }

    #[test]
    fn each_choice_has_to_end() {
        let (first, second) = (part(0, r#"{"content":"a"}"#, "null"), part(1, "{}", "null"));
        let (end, other) = (part(0, "{}", r#""stop""#), part(1, "{}", r#""tool_calls""#));
        assert_eq!(told(&[&first, &end]), Ok(None));
        assert_eq!(told(&[&first, &second, &end]), Err(Unfit::Incomplete));
        assert_eq!(told(&[&first, &second, &end, &other]), Ok(None));
        // The last word counts, and null is none.
        assert_eq!(told(&[&end, &first, "data: [DONE]\n\n"]), Ok(None));
        assert_eq!(told(&[&end, &part(0, "{}", r#""length""#)]), Err(Unfit::Incomplete));
        assert_eq!(told(&[&part(0, r#"{"refusal":"No"}"#, "null"), &end]), Err(Unfit::Incomplete));
        assert_eq!(told(&[&part(0, r#"{"refusal":""}"#, "null"), &end]), Ok(None));
    }

    #[test]
    fn however_an_event_is_written_it_is_read() {
        for event in [
            "data:{\"choices\":[{\"finish_reason\":\"stop\"}]}\n\n",
            ": hm\r\ndata: {\"choices\":\r\ndata: [{\"finish_reason\":\"stop\"}]}\r\n\r\n",
            "event: x\ndata: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\n",
        ] {
            assert_eq!(told(&[": ping\n\n", event, "data:\n\n"]), Ok(None), "{event}");
        }
        assert_eq!(told(&["data: {\"choices\":1}\n\n"]), Err(Unfit::Unreadable));
        assert_eq!(told(&["data: {}\n\n", "data: [DONE]\n\n"]), Err(Unfit::Unreadable));
    }

    #[test]
    fn the_usage_is_the_last_that_was_told() {
        let usage = |tokens: u64| {
            format!(r#"data: {{"choices":[],"usage":{{"prompt_tokens":1,"completion_tokens":{tokens}}}}}"#)
                + "\n\n"
        };
        let end = part(0, "{}", r#""stop""#);
        let told = told(&[&usage(2), &end, &usage(5), &part(0, "{}", "null")]);
        assert_eq!(told.unwrap().map(|usage| usage.completion()), Some(5));
    }
}
