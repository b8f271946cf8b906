//! What a tag may look like, by which requests are counted.

/// The most tags that one key or one request may have.
pub const MOST: usize = 16;

/// The longest name of a tag, in bytes.
const LONGEST_NAME: usize = 64;

/// The longest value of a tag, in bytes.
const LONGEST_VALUE: usize = 128;

/// What a tag's name looks like, for messages.
pub const NAME_FORM: &str = "1 to 64 letters, digits, or any of . _ -";

/// What a tag's value looks like, for messages.
pub const VALUE_FORM: &str = "1 to 128 letters, digits, or any of . _ : - / @ +";

/// Whether a tag may have this name.
pub fn is_name(text: &str) -> bool {
    fits(text, LONGEST_NAME, b"._-")
}

/// Whether a tag may have this value.
pub fn is_value(text: &str) -> bool {
    fits(text, LONGEST_VALUE, b"._:-/@+")
}

fn fits(text: &str, longest: usize, marks: &[u8]) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || marks.contains(&byte);
    !text.is_empty() && text.len() <= longest && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_short_and_plain() {
        assert!(is_name("team") && is_name("cost-centre.2") && is_name(&"x".repeat(64)));
        for bad in ["", "a b", "a=b", "a,b", "a:b", "é", &"x".repeat(65)] {
            assert!(!is_name(bad), "{bad}");
        }
        assert!(is_value("eu/west:1") && is_value("a@b.example+x") && is_value(&"x".repeat(128)));
        for bad in ["", "a b", "a=b", "a,b", "a\"b", "a\nb", "é", &"x".repeat(129)] {
            assert!(!is_value(bad), "{bad}");
        }
    }
}
