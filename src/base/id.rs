//! Request ids: ours, or the client's own where it is safe to repeat.

use std::{
    fmt,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use uuid::Uuid;

/// Names one request in headers, logs and the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(Arc<str>);

/// The longest id that is taken over from a client, in bytes.
pub const MAX_LENGTH: usize = 128;

/// A new UUIDv7. Those of one process sort by the time at which they were made, to a quarter of a microsecond.
pub fn unique() -> Uuid {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let millis = now.as_secs() * 1000 + u64::from(now.subsec_millis());
    // What is left of the time, in place of a counter that all threads would share (RFC 9562, 6.2, method 3).
    let rest = u64::from(now.subsec_nanos() % 1_000_000) * 4096 / 1_000_000;
    Uuid::from_u64_pair(millis << 16 | 7 << 12 | rest, 0b10 << 62 | rand::random::<u64>() >> 2)
}

impl RequestId {
    /// A new id: `req_` and a UUIDv7, so that ids sort by time.
    pub fn fresh() -> Self {
        let mut text = *b"req_00000000000000000000000000000000";
        unique().simple().encode_lower(&mut text[4..]);
        Self(str::from_utf8(&text).expect("hexadecimal digits are text").into())
    }

    /// The client's own id if it is 1 to [`MAX_LENGTH`] characters of `A-Z a-z 0-9 . _ : -`; such text
    /// cannot break a header or a log line.
    pub fn from_client(text: &str) -> Option<Self> {
        let fits = !text.is_empty() && text.len() <= MAX_LENGTH;
        let safe = |b: u8| b.is_ascii_alphanumeric() || b"._:-".contains(&b);
        (fits && text.bytes().all(safe)).then(|| Self(text.into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as text that is shared.
    pub fn text(&self) -> &Arc<str> {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_only_harmless_ids_from_clients() {
        assert!(RequestId::from_client("req-1.a:b_C").is_some());
        for bad in ["", "a b", "a\nb", "a\"b", "é", &"x".repeat(129)] {
            assert!(RequestId::from_client(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn fresh_ids_differ() {
        assert_ne!(RequestId::fresh(), RequestId::fresh());
    }

    #[test]
    fn what_is_unique_sorts_by_time() {
        let (before, one) = (Uuid::now_v7(), unique());
        std::thread::sleep(std::time::Duration::from_millis(2));
        let (other, after) = (unique(), Uuid::now_v7());
        assert!(
            one < other
                && before.get_timestamp().unwrap().to_unix().0 <= one.get_timestamp().unwrap().to_unix().0
        );
        assert!(one < after && (one.get_version_num(), one.get_variant()) == (7, uuid::Variant::RFC4122));
    }
}
