//! Reading the text of a JSON string.

/// Appends the text of a JSON string, in which halves of surrogate pairs are left out.
pub(super) fn unescape(json: &str, out: &mut String) {
    let (mut rest, mut high) = (json, None);
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let escape = rest[at + 1..].chars().next().unwrap_or_default();
        let mut end = (at + 1 + escape.len_utf8()).min(rest.len());
        match escape {
            'n' => out.push('\n'),
            't' => out.push('\t'),
            'r' => out.push('\r'),
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            'u' => {
                let digits = rest.get(end..end + 4).unwrap_or_default();
                let unit = u16::from_str_radix(digits, 16).unwrap_or(0xfffd);
                end += digits.len();
                let units = [high.take().unwrap_or(unit), unit];
                let pair = if units[0] == unit { &units[1..] } else { &units[..] };
                if (0xd800..0xdc00).contains(&unit) {
                    high = Some(unit);
                } else {
                    out.extend(char::decode_utf16(pair.iter().copied()).filter_map(Result::ok));
                }
            }
            other => out.push(other),
        }
        rest = &rest[end..];
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn escapes_are_read_as_json_reads_them(text in any::<String>(), ascii: bool) {
            let mut json = serde_json::to_string(&text).unwrap();
            if ascii {
                let escape = |c: char| c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect::<String>();
                json = json.chars().map(|c| if c.is_ascii() { c.to_string() } else { escape(c) }).collect();
            }
            let mut out = String::new();
            unescape(&json[1..json.len() - 1], &mut out);
            prop_assert_eq!(out, text);
        }

        #[test]
        fn no_escape_panics(text in "[\\\\u0-9a-fé]{0,20}") {
            unescape(&text, &mut String::new());
        }
    }
}
