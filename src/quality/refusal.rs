//! Short answers that begin as models refuse.

use std::borrow::Cow;

/// The longest answer that is taken for a refusal by its words, in bytes: who goes on has something to say.
const SHORT: usize = 400;

/// What may stand before a refusal.
const EXCUSES: [&str; 12] = [
    "i'm sorry",
    "i am sorry",
    "i'm very sorry",
    "i'm really sorry",
    "sorry",
    "i apologize",
    "my apologies",
    "unfortunately",
    "as an ai language model",
    "as an ai assistant",
    "as an ai",
    "i understand your request",
];

/// What may stand between an excuse and a refusal.
const JOINTS: [&str; 4] = [",", ".", " but", " however"];

/// How a refusal begins.
const DENIALS: [&str; 14] = [
    "i can't",
    "i cannot",
    "i can not",
    "i'm unable to",
    "i am unable to",
    "i'm not able to",
    "i am not able to",
    "i won't be able to",
    "i will not",
    "i won't",
    "i must decline",
    "i have to decline",
    "i must refuse",
    "i'm not comfortable",
];

/// What is refused. Others like "find", "see" or "recommend enough" are answers.
const DEEDS: [&str; 25] = [
    "help",
    "assist",
    "provide",
    "comply",
    "fulfill",
    "fulfil",
    "do that",
    "do this",
    "create",
    "generate",
    "write",
    "discuss",
    "engage",
    "support",
    "share",
    "answer",
    "continue",
    "offer",
    "participate",
    "produce",
    "give you",
    "complete this",
    "complete that",
    "process this",
    "respond to",
];

/// Whether the whole of a text is a refusal, as far as its beginning tells.
pub(super) fn is_refusal(text: &str) -> bool {
    let text = text.trim();
    if text.len() > SHORT {
        return false;
    }
    let plain: Cow<'_, str> = match text.is_ascii() {
        true => text.into(),
        false if text.contains('\u{2019}') => text.replace('\u{2019}', "'").into(),
        false => return false,
    };
    let mut rest = &*plain;
    let mut excused = false;
    while let Some(behind) = strip_any(rest, &EXCUSES) {
        (rest, excused) = (joint(behind), true);
    }
    let Some(denied) = strip_any(rest, &DENIALS) else { return false };
    let deed = denied.trim_start();
    let says_which = strip_any(deed, &DEEDS).is_some();
    let only_denies = deed.trim_end_matches(['.', '!']).is_empty();
    says_which || excused && only_denies || strip_any(rest, &["i must", "i have to"]).is_some()
}

fn strip_any<'a>(text: &'a str, beginnings: &[&str]) -> Option<&'a str> {
    let first = text.as_bytes().first()?.to_ascii_lowercase();
    beginnings.iter().filter(|beginning| beginning.as_bytes()[0] == first).find_map(|beginning| {
        let (start, behind) = text.split_at_checked(beginning.len())?;
        start.eq_ignore_ascii_case(beginning).then_some(behind)
    })
}

/// The text behind commas and conjunctions.
fn joint(mut text: &str) -> &str {
    while let Some(behind) = strip_any(text, &JOINTS) {
        text = behind;
    }
    text.trim_start()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn refusals_are_known() {
        for text in [
            "I'm sorry, but I can't help with that.",
            "I\u{2019}m sorry, but I can\u{2019}t assist with that request.",
            "I cannot provide instructions for that.",
            "Sorry, I can't do that.",
            "I'm sorry. I can't.",
            "I'm unable to help with this request. Is there anything else?",
            "As an AI language model, I cannot answer that question.",
            "Unfortunately, I am not able to assist with that.",
            "I must decline.",
            "  I won't help with that.\n",
            "I apologize, but I cannot fulfill this request.",
        ] {
            assert!(is_refusal(text), "{text}");
        }
    }

    #[test]
    fn answers_are_answers() {
        let long = format!("I'm sorry, but I can't help with that. {}", "Here is how to do it. ".repeat(30));
        for text in [
            "",
            "Yes.",
            "I can't find the word in the document.",
            "I cannot recommend this book enough.",
            "Sorry seems to be the hardest word.",
            "Unfortunately, the train is late.",
            "I'm sorry to hear that. Try turning it off and on.",
            "She said: I can't help you.",
            "Es tut mir leid, dabei kann ich nicht helfen.",
            &long,
        ] {
            assert!(!is_refusal(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_one_or_the_other(text in any::<String>()) {
            is_refusal(&text);
        }

        #[test]
        fn no_mixture_panics(parts in prop::collection::vec(prop::sample::select(
            EXCUSES.iter().chain(&JOINTS).chain(&DENIALS).chain(&DEEDS).copied().collect::<Vec<_>>()), 0..20))
        {
            is_refusal(&parts.concat());
        }
    }
}
