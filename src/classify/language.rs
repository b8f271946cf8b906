//! Which language a text is in.

/// How much of a text is looked at, in bytes: more tells no more, and takes longer.
const ENOUGH: usize = 1024;

/// The ISO 639-1 code of the language of a text; `None` where it is not clear. It takes longer than all the rest of a
/// classification, so ask only where a chain depends on it.
pub fn language(text: &str) -> Option<&'static str> {
    let mut end = text.len().min(ENOUGH);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let found = whatlang::detect(&text[..end])?;
    // Short texts in Latin letters are too easily taken for another language.
    found.is_reliable().then(|| short(found.lang().code())).flatten()
}

/// The codes of three letters that are known here, with those of two letters.
#[rustfmt::skip]
const CODES: [(&str, &str); 70] = [
    ("epo", "eo"), ("eng", "en"), ("rus", "ru"), ("cmn", "zh"), ("spa", "es"), ("por", "pt"), ("ita", "it"),
    ("ben", "bn"), ("fra", "fr"), ("deu", "de"), ("ukr", "uk"), ("kat", "ka"), ("ara", "ar"), ("hin", "hi"),
    ("jpn", "ja"), ("heb", "he"), ("yid", "yi"), ("pol", "pl"), ("amh", "am"), ("jav", "jv"), ("kor", "ko"),
    ("nob", "no"), ("dan", "da"), ("swe", "sv"), ("fin", "fi"), ("tur", "tr"), ("nld", "nl"), ("hun", "hu"),
    ("ces", "cs"), ("ell", "el"), ("bul", "bg"), ("bel", "be"), ("mar", "mr"), ("kan", "kn"), ("ron", "ro"),
    ("slv", "sl"), ("hrv", "hr"), ("srp", "sr"), ("mkd", "mk"), ("lit", "lt"), ("lav", "lv"), ("est", "et"),
    ("tam", "ta"), ("vie", "vi"), ("urd", "ur"), ("tha", "th"), ("guj", "gu"), ("uzb", "uz"), ("pan", "pa"),
    ("aze", "az"), ("ind", "id"), ("tel", "te"), ("pes", "fa"), ("mal", "ml"), ("ori", "or"), ("mya", "my"),
    ("nep", "ne"), ("sin", "si"), ("khm", "km"), ("tuk", "tk"), ("aka", "ak"), ("zul", "zu"), ("sna", "sn"),
    ("afr", "af"), ("lat", "la"), ("slk", "sk"), ("cat", "ca"), ("tgl", "tl"), ("hye", "hy"), ("cym", "cy"),
];

fn short(long: &str) -> Option<&'static str> {
    CODES.iter().find(|(code, _)| *code == long).map(|(_, short)| *short)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_are_told_apart() {
        for (text, code) in [
            ("请把这段话翻译成英文，并解释其中的成语。", Some("zh")),
            ("Könntest du mir bitte erklären, warum der Himmel blau ist und die Sonne gelb?", Some("de")),
            ("Could you please explain to me why the sky is blue and the sun is yellow?", Some("en")),
            ("なぜ空は青いのですか。", Some("ja")),
            ("", None),
            ("12 + 3 = ?", None),
        ] {
            assert_eq!(language(text), code, "{text}");
        }
    }

    #[test]
    fn every_language_of_the_detector_has_a_code() {
        for lang in whatlang::Lang::all() {
            assert!(short(lang.code()).is_some(), "{lang:?}");
        }
        // Cut between characters, whatever the length.
        assert_eq!(language(&"é".repeat(1000)).map(str::len).unwrap_or(2), 2);
    }
}
