//! A place in a trace as W3C's header `traceparent` tells it.
//!
//! <https://www.w3.org/TR/trace-context/>

use std::fmt;

/// Names a trace; never all zeros.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

/// Names a span in its trace; never all zeros.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId([u8; 8]);

/// A span with whether it is recorded: what `traceparent` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The trace.
    pub trace: TraceId,
    /// The span.
    pub span: SpanId,
    /// Whether its side records it.
    pub sampled: bool,
}

impl TraceId {
    /// A new one.
    pub fn fresh() -> Self {
        Self(rand::random::<u128>().max(1).to_be_bytes())
    }

    /// It as a number, of which its text is the 32 hexadecimal digits.
    pub fn number(self) -> u128 {
        u128::from_be_bytes(self.0)
    }
}

impl SpanId {
    /// A new one.
    pub fn fresh() -> Self {
        Self(rand::random::<u64>().max(1).to_be_bytes())
    }
}

impl Parent {
    /// Reads a header's value; `None` where it is none that the standard lets through: then a new trace begins. Of later
    /// versions the known part is read.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let [version] = hex(parts.next()?)?;
        let trace: [u8; 16] = hex(parts.next()?)?;
        let span: [u8; 8] = hex(parts.next()?)?;
        let [flags] = hex(parts.next()?)?;
        let known = match version {
            0 => parts.next().is_none(),
            0xff => false,
            _ => true,
        };
        let is_named = trace != [0; 16] && span != [0; 8];
        (known && is_named).then_some(Self {
            trace: TraceId(trace),
            span: SpanId(span),
            sampled: flags & 1 == 1,
        })
    }
}

/// The bytes behind lowercase hexadecimal digits, as many as there have to be.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for Parent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KNOWN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn reads_what_it_writes() {
        let parent = Parent::parse(KNOWN).unwrap();
        assert!(parent.sampled);
        assert_eq!(parent.to_string(), KNOWN);
        assert!(!Parent::parse(&KNOWN.replace("-01", "-00")).unwrap().sampled);
        // Other flags are not for us; only the known one goes on.
        assert_eq!(Parent::parse(&KNOWN.replace("-01", "-ff")).unwrap(), parent);
        assert_eq!(Parent::parse(&format!("cc{}-more", &KNOWN[2..])).unwrap(), parent);
    }

    #[test]
    fn anything_else_is_no_parent() {
        for bad in [
            "",
            "-",
            "00",
            &KNOWN[..54],
            &format!("{KNOWN}-"),
            &format!("{KNOWN}0"),
            &format!("{KNOWN}-more"),
            &format!("ff{}", &KNOWN[2..]),
            &format!("0 {}", &KNOWN[2..]),
            &KNOWN.replace("0af7", "0AF7"),
            &KNOWN.replace("0af7", "0ag7"),
            &KNOWN.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            &KNOWN.replace("b7ad6b7169203331", &"0".repeat(16)),
        ] {
            assert_eq!(Parent::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fail(text in "\\PC{0,70}|[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.{0,9})?") {
            if let Some(parent) = Parent::parse(&text) {
                prop_assert_eq!(Parent::parse(&parent.to_string()), Some(parent));
            }
        }
    }
}
