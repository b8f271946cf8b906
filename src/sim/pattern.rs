//! Texts that match a simple regular expression.

use std::{iter::Peekable, str::Chars};

use super::dice::Dice;

/// How often `*` or `+` repeat at most, and how often anything does.
const REPEATS: u32 = 6;
const MOST_REPEATS: u32 = 256;
const DEPTH: u32 = 16;
const LENGTH: usize = 4096;

enum Node {
    Set(Vec<(char, char)>),
    Cat(Vec<Node>),
    Alt(Vec<Node>),
    Repeat(Box<Node>, u32, u32),
}

/// A text that matches `pattern`; `None` where it uses what is not understood here, like look-around.
pub(crate) fn sample(pattern: &str, dice: &mut Dice) -> Option<String> {
    let mut chars = pattern.chars().peekable();
    let node = alternatives(&mut chars, 0)?;
    if chars.next().is_some() {
        return None;
    }
    let mut text = String::new();
    emit(&node, dice, &mut text)?;
    Some(text)
}

/// Whether `pattern` may be a regular expression: its brackets are paired, what repeats follows something.
pub(crate) fn is_sound(pattern: &str) -> bool {
    let mut chars = pattern.chars().peekable();
    let (mut open, mut repeats) = (0_usize, false);
    while let Some(next) = chars.next() {
        let is_good = match next {
            '\\' => chars.next().is_some(),
            '[' => class_ends(&mut chars),
            '(' => {
                open += 1;
                if chars.next_if_eq(&'?').is_some() {
                    chars.next();
                }
                true
            }
            ')' => open.checked_sub(1).is_some_and(|left| {
                open = left;
                true
            }),
            '*' | '+' | '?' => repeats,
            _ => true,
        };
        if !is_good {
            return false;
        }
        repeats = !matches!(next, '(' | '|');
    }
    open == 0
}

fn class_ends(chars: &mut Peekable<Chars<'_>>) -> bool {
    chars.next_if_eq(&'^');
    chars.next_if_eq(&']');
    while let Some(next) = chars.next() {
        match next {
            ']' => return true,
            '\\' => drop(chars.next()),
            _ => {}
        }
    }
    false
}

fn alternatives(chars: &mut Peekable<Chars<'_>>, depth: u32) -> Option<Node> {
    if depth > DEPTH {
        return None;
    }
    let mut branches = vec![sequence(chars, depth)?];
    while chars.next_if_eq(&'|').is_some() {
        branches.push(sequence(chars, depth)?);
    }
    Some(Node::Alt(branches))
}

fn sequence(chars: &mut Peekable<Chars<'_>>, depth: u32) -> Option<Node> {
    let mut nodes = Vec::new();
    while let Some(&next) = chars.peek() {
        if matches!(next, '|' | ')') {
            break;
        }
        chars.next();
        let node = match next {
            '^' | '$' => continue,
            '(' => group(chars, depth)?,
            '[' => Node::Set(class(chars)?),
            '.' => Node::Set(vec![('a', 'z')]),
            '\\' => match chars.next()? {
                'b' | 'B' => continue,
                escaped => Node::Set(escape(escaped)?),
            },
            '*' | '+' | '?' => return None,
            other => Node::Set(vec![(other, other)]),
        };
        nodes.push(repeated(node, chars)?);
    }
    Some(Node::Cat(nodes))
}

fn group(chars: &mut Peekable<Chars<'_>>, depth: u32) -> Option<Node> {
    if chars.next_if_eq(&'?').is_some() {
        match chars.next()? {
            ':' => {}
            kind @ ('P' | '<') => {
                if kind == 'P' {
                    chars.next_if_eq(&'<')?;
                }
                // `(?<=` and `(?<!` look behind; a name is letters up to `>`.
                while chars.next_if(|c| c.is_alphanumeric() || *c == '_').is_some() {}
                chars.next_if_eq(&'>')?;
            }
            _ => return None,
        }
    }
    let inside = alternatives(chars, depth + 1)?;
    chars.next_if_eq(&')')?;
    Some(inside)
}

fn repeated(node: Node, chars: &mut Peekable<Chars<'_>>) -> Option<Node> {
    let (low, high) = match chars.peek() {
        Some('*') => (0, REPEATS),
        Some('+') => (1, REPEATS),
        Some('?') => (0, 1),
        Some('{') => {
            chars.next();
            let low = number(chars)?;
            let high = match chars.next_if_eq(&',') {
                None => low,
                Some(_) if chars.peek() == Some(&'}') => low.saturating_add(REPEATS),
                Some(_) => number(chars)?,
            };
            if chars.peek() != Some(&'}') || low > MOST_REPEATS {
                return None;
            }
            (low, high.min(MOST_REPEATS))
        }
        _ => return Some(node),
    };
    chars.next();
    // A lazy or possessive mark does not change what matches.
    chars.next_if(|c| matches!(c, '?' | '+'));
    (low <= high).then(|| Node::Repeat(Box::new(node), low, high))
}

fn number(chars: &mut Peekable<Chars<'_>>) -> Option<u32> {
    let mut digits = String::new();
    while let Some(digit) = chars.next_if(char::is_ascii_digit) {
        digits.push(digit);
    }
    digits.parse().ok()
}

fn escape(c: char) -> Option<Vec<(char, char)>> {
    Some(match c {
        'd' => vec![('0', '9')],
        'w' => vec![('a', 'z'), ('A', 'Z'), ('0', '9')],
        's' => vec![(' ', ' ')],
        'D' | 'S' | 'W' => not(&escape(c.to_ascii_lowercase())?),
        'n' => vec![('\n', '\n')],
        't' => vec![('\t', '\t')],
        'r' => vec![('\r', '\r')],
        c if c.is_ascii_alphanumeric() => return None,
        c => vec![(c, c)],
    })
}

fn class(chars: &mut Peekable<Chars<'_>>) -> Option<Vec<(char, char)>> {
    let negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    let mut first = true;
    loop {
        let next = chars.next()?;
        if next == ']' && !first {
            break;
        }
        first = false;
        if next == '\\' {
            ranges.extend(escape(chars.next()?)?);
            continue;
        }
        let mut ahead = chars.clone();
        ahead.next();
        if chars.peek() == Some(&'-') && ahead.peek().is_some_and(|c| *c != ']') {
            chars.next();
            let last = match chars.next()? {
                '\\' => chars.next()?,
                last => last,
            };
            ranges.push((next, last));
        } else {
            ranges.push((next, next));
        }
    }
    let ranges = if negated { not(&ranges) } else { ranges };
    (!ranges.is_empty()).then_some(ranges)
}

/// The printable ASCII outside `ranges`.
fn not(ranges: &[(char, char)]) -> Vec<(char, char)> {
    ('!'..='~')
        .filter(|c| !ranges.iter().any(|(low, high)| (low..=high).contains(&c)))
        .map(|c| (c, c))
        .collect()
}

fn emit(node: &Node, dice: &mut Dice, text: &mut String) -> Option<()> {
    // Nested repeats multiply; a text this long serves nobody.
    if text.len() > LENGTH {
        return None;
    }
    match node {
        Node::Set(ranges) => {
            let (low, high) = *dice.pick(ranges)?;
            let span = u32::from(high).checked_sub(u32::from(low))?;
            let offset = dice.below(span as usize + 1) as u32;
            text.push(char::from_u32(u32::from(low) + offset).unwrap_or(low));
        }
        Node::Cat(nodes) => {
            for node in nodes {
                emit(node, dice, text)?;
            }
        }
        Node::Alt(branches) => emit(dice.pick(branches)?, dice, text)?,
        Node::Repeat(node, low, high) => {
            for _ in 0..low + dice.below((high - low) as usize + 1) as u32 {
                emit(node, dice, text)?;
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn samples_match_their_pattern() {
        for pattern in [
            "^[A-Z]{3}-\\d{4}$",
            "^(?:cat|dog)s?$",
            "^[^a-z]+$",
            "^\\+?[1-9]\\d{1,14}$",
            "^[\\w.-]+@[a-z]+\\.[a-z]{2,}$",
            "^#([0-9a-f]{3}){1,2}$",
            "^[]x-]$",
        ] {
            let schema = json!({ "pattern": pattern });
            for seed in 0..50 {
                let text = sample(pattern, &mut Dice::of(seed, &[])).expect(pattern);
                assert!(jsonschema::is_valid(&schema, &json!(text)), "{pattern}: {text}");
            }
        }
    }

    #[test]
    fn what_is_not_understood_gives_nothing() {
        for pattern in ["(?=a)b", "(?<!a)b", "a)", "(a", "[a", "a{5000}", "\\p{L}", "((a{250}){250}){250}"] {
            assert_eq!(sample(pattern, &mut Dice::of(1, &[])), None, "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn any_pattern_is_survived(pattern in "[-a-c0-3\\\\()\\[\\]{},|*+?^$.<>:d]{0,24}") {
            prop_assert!(sample(&pattern, &mut Dice::of(1, &[])).is_none() || is_sound(&pattern), "{}", pattern);
        }
    }
}
