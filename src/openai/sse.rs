//! Cutting a byte stream into server-sent events, each kept as the bytes it came in.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use memchr::memchr2;

/// The longest event that is taken unless another bound is named, in bytes.
pub const MAX_EVENT: usize = 1024 * 1024;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// An event is longer than the splitter's bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// One event with its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// All its bytes: its lines, the blank line that ends it and a byte order mark before it. The events of a
    /// stream, one after another, are the stream.
    pub raw: Bytes,
    /// Bytes of a byte order mark at the beginning: 3 or 0.
    bom: usize,
}

/// Cuts chunks into events. Chunks of whole events are not copied: the events are slices of them. Only an
/// event that lies in several chunks is put together.
#[derive(Debug)]
pub struct Splitter {
    /// The beginning of an event that lies in earlier chunks.
    carry: BytesMut,
    /// What is left of the last chunk.
    rest: Bytes,
    /// How much of `rest` belongs to the current event and was looked at.
    scanned: usize,
    line: Line,
    max: usize,
    first: bool,
    failed: bool,
}

/// What the scanner has just passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// Nothing or a line end: a line end here makes a blank line.
    Start,
    /// A carriage return that ended a line with text. A line feed may follow and belongs to it.
    AfterCr,
    /// Text.
    Inside,
    /// A carriage return that ended a blank line. A line feed may follow and belongs to it.
    BlankCr,
}

impl Splitter {
    /// A splitter that refuses events of more than `max` bytes.
    pub fn new(max: usize) -> Self {
        Self {
            carry: BytesMut::new(),
            rest: Bytes::new(),
            scanned: 0,
            line: Line::Start,
            max,
            first: true,
            failed: false,
        }
    }

    /// Takes the next bytes of the stream. Nothing is copied if [`Splitter::next_event`] was called until it had
    /// none.
    pub fn push(&mut self, chunk: Bytes) {
        if self.failed {
            return;
        }
        self.rest = if self.rest.is_empty() { chunk } else { [&self.rest[..], &chunk[..]].concat().into() };
    }

    /// The next whole event; `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`TooLong`] once; after it nothing comes any more.
    pub fn next_event(&mut self) -> Option<Result<Event, TooLong>> {
        if self.failed {
            return None;
        }
        let end = self.scan();
        let length = self.carry.len() + end.unwrap_or(self.scanned);
        if length > self.max {
            self.failed = true;
            self.carry = BytesMut::new();
            self.rest = Bytes::new();
            return Some(Err(TooLong));
        }
        match end {
            Some(end) => {
                let raw = self.take(end);
                Some(Ok(self.event(raw)))
            }
            None => {
                let rest = std::mem::take(&mut self.rest);
                self.carry.extend_from_slice(&rest);
                self.scanned = 0;
                None
            }
        }
    }

    /// At the end of the stream: the bytes after the last blank line as an event, if there are any. Its `raw`
    /// does not end with a blank line, unless with a lone carriage return.
    pub fn finish(&mut self) -> Option<Event> {
        let raw = self.take(self.rest.len());
        (!raw.is_empty()).then(|| self.event(raw))
    }

    /// Looks for the end of the current event in `rest`.
    fn scan(&mut self) -> Option<usize> {
        let bytes = &self.rest[..];
        let mut at = self.scanned;
        while at < bytes.len() {
            if self.line == Line::Inside {
                match memchr2(b'\n', b'\r', &bytes[at..]) {
                    Some(text) => at += text,
                    None => {
                        at = bytes.len();
                        break;
                    }
                }
            }
            let byte = bytes[at];
            self.line = match (self.line, byte) {
                (Line::Start, b'\n') => return self.found(at + 1),
                (Line::Start, b'\r') => Line::BlankCr,
                // Two carriage returns: this stream ends its lines so, and waiting for a line feed would only delay.
                (Line::AfterCr, b'\r') => return self.found(at + 1),
                (Line::BlankCr, b'\n') => return self.found(at + 1),
                (Line::BlankCr, _) => return self.found(at),
                (Line::AfterCr | Line::Inside, b'\n') => Line::Start,
                (Line::Inside, b'\r') => Line::AfterCr,
                (Line::Start | Line::AfterCr | Line::Inside, _) => Line::Inside,
            };
            at += 1;
        }
        self.scanned = at;
        None
    }

    fn found(&mut self, end: usize) -> Option<usize> {
        self.line = Line::Start;
        self.scanned = 0;
        Some(end)
    }

    /// Takes the current event, which ends at `end` of `rest`, out.
    fn take(&mut self, end: usize) -> Bytes {
        let tail = self.rest.split_to(end);
        if self.carry.is_empty() {
            return tail;
        }
        self.carry.extend_from_slice(&tail);
        self.carry.split().freeze()
    }

    fn event(&mut self, raw: Bytes) -> Event {
        let first = std::mem::take(&mut self.first);
        let bom = if first && raw.starts_with(BOM) { BOM.len() } else { 0 };
        Event { raw, bom }
    }
}

impl Event {
    /// An event of these bytes.
    pub fn new(raw: Bytes) -> Self {
        Self { raw, bom: 0 }
    }

    /// The fields in order: name and value. Comments and blank lines are left out.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.lines().filter(|line| !line.is_empty() && line[0] != b':').map(|line| {
            // Names are short: the colon is near, if there is one.
            match line.iter().position(|b| *b == b':') {
                Some(colon) => {
                    let value = &line[colon + 1..];
                    (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
                }
                None => (line, &b""[..]),
            }
        })
    }

    /// The value of the last field of that name, which need not be one that the standard knows.
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields().filter(|(field, _)| *field == name.as_bytes()).map(|(_, value)| value).last()
    }

    /// The event's name: the field `event`.
    pub fn name(&self) -> Option<&[u8]> {
        self.field("event")
    }

    /// The payload: the `data` fields joined with line feeds; borrowed if there is only one, `None` without any.
    pub fn data(&self) -> Option<Cow<'_, [u8]>> {
        let mut lines = self.fields().filter(|(name, _)| *name == b"data").map(|(_, value)| value);
        let mut joined = Cow::Borrowed(lines.next()?);
        for line in lines {
            let text = joined.to_mut();
            text.push(b'\n');
            text.extend_from_slice(line);
        }
        Some(joined)
    }

    /// The event's name with its payload, as [`Self::name`] and [`Self::data`] have them, in one pass over what nearly
    /// every event is: one line.
    pub fn name_and_data(&self) -> (Option<&[u8]>, Option<Cow<'_, [u8]>>) {
        match self.only_line().and_then(|line| line.strip_prefix(b"data:")) {
            Some(value) => (None, Some(Cow::Borrowed(value.strip_prefix(b" ").unwrap_or(value)))),
            None => (self.name(), self.data()),
        }
    }

    /// The only line that is not blank, if there are no others before or behind it.
    fn only_line(&self) -> Option<&[u8]> {
        let bytes = &self.raw[self.bom..];
        let (line, behind) = bytes.split_at(memchr2(b'\n', b'\r', bytes)?);
        behind.iter().all(|byte| matches!(byte, b'\n' | b'\r')).then_some(line)
    }

    /// Whether there is no field in it: only comments and blank lines.
    pub fn is_comment(&self) -> bool {
        self.fields().next().is_none()
    }

    /// The lines without their ends.
    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        // A line feed after a carriage return makes one more, empty, line here, which means nothing inside an event.
        let mut rest = Some(&self.raw[self.bom..]);
        std::iter::from_fn(move || {
            let bytes = rest?;
            let end = memchr2(b'\n', b'\r', bytes);
            rest = end.map(|end| &bytes[end + 1..]);
            Some(&bytes[..end.unwrap_or(bytes.len())])
        })
    }
}

/// The event whose payload is `data`, ended by a blank line.
pub fn frame(data: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(data.len() + 8);
    for line in data.split(|b| matches!(b, b'\n' | b'\r')) {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    out.push(b'\n');
    out.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split<'a>(chunks: impl IntoIterator<Item = &'a [u8]>, max: usize) -> Vec<Result<Event, TooLong>> {
        let mut splitter = Splitter::new(max);
        let mut events = Vec::new();
        for chunk in chunks {
            splitter.push(Bytes::copy_from_slice(chunk));
            while let Some(event) = splitter.next_event() {
                events.push(event);
            }
        }
        events.extend(splitter.finish().map(Ok));
        events
    }

    fn raws(text: &str) -> Vec<String> {
        split([text.as_bytes()], MAX_EVENT)
            .into_iter()
            .map(|event| String::from_utf8(event.unwrap().raw.to_vec()).unwrap())
            .collect()
    }

    #[test]
    fn every_line_end_makes_the_same_cuts() {
        assert_eq!(raws("data: a\n\ndata: b\n\n"), ["data: a\n\n", "data: b\n\n"]);
        assert_eq!(raws("data: a\r\n\r\ndata: b\r\n\r\n"), ["data: a\r\n\r\n", "data: b\r\n\r\n"]);
        assert_eq!(raws("data: a\r\rdata: b\r\r"), ["data: a\r\r", "data: b\r\r"]);
        assert_eq!(raws("a\n\r\nb\r\n\nc\n"), ["a\n\r\n", "b\r\n\n", "c\n"]);
        assert_eq!(raws("\n\na"), ["\n", "\n", "a"]);
        assert_eq!(raws("\r\r\n"), ["\r", "\r\n"]);
    }

    #[test]
    fn reads_fields() {
        let event =
            Event::new("event: x\r\nevent:error\r\n: c\r\ndata: a\r\ndata:  b\r\ndata\r\n\r\n".into());
        assert_eq!(event.name(), Some(&b"error"[..]));
        assert_eq!(event.data().unwrap(), &b"a\n b\n"[..]);
        assert!(!event.is_comment());
        assert!(Event::new(": OPENROUTER PROCESSING\n\n".into()).is_comment());
        assert!(Event::new("\n".into()).is_comment());
        let error = Event::new("error: {\"code\":500}\n\n".into());
        assert_eq!(error.field("error"), Some(&b"{\"code\":500}"[..]));
        assert_eq!(error.data(), None);
        assert!(matches!(Event::new("data: a\n\n".into()).data(), Some(Cow::Borrowed(b"a"))));
    }

    #[test]
    fn a_byte_order_mark_counts_only_at_the_beginning() {
        let bytes = "\u{feff}data: a\n\n\u{feff}data: b\n\n".as_bytes();
        for events in [split([bytes], 99), split(bytes.chunks(1), 99)] {
            let data: Vec<_> = events.iter().map(|e| e.as_ref().unwrap().data().is_some()).collect();
            assert_eq!(data, [true, false]);
        }
    }

    #[test]
    fn whole_events_are_slices_of_the_chunk() {
        let chunk = Bytes::from_static(b"data: a\n\ndata: b\n\n");
        let mut splitter = Splitter::new(MAX_EVENT);
        splitter.push(chunk.clone());
        splitter.next_event().unwrap().unwrap();
        let second = splitter.next_event().unwrap().unwrap();
        assert_eq!(second.raw.as_ptr(), chunk[9..].as_ptr());
    }

    #[test]
    fn a_frame_is_one_event_with_that_payload() {
        for data in [&b"{}"[..], b"{\n}", b""] {
            assert_eq!(Event::new(frame(data)).data().unwrap(), data);
        }
    }

    #[test]
    fn an_endless_event_is_refused_wherever_it_is_cut() {
        let text = b"data: a\n\ndata: 0123456789\n\ndata: b\n\n";
        let whole = split([&text[..]], 12);
        assert_eq!(whole.len(), 2);
        assert_eq!(whole[1], Err(TooLong));
        assert_eq!(split(text.chunks(1), 12), whole);
    }

    /// Bytes in which line ends are frequent.
    fn streams() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![
            3 => Just(b'\n'), 3 => Just(b'\r'), 2 => Just(b':'), 2 => Just(b' '),
            2 => prop::sample::select(&b"data\xef\xbb\xbf"[..]), 1 => any::<u8>(),
        ];
        prop::collection::vec(byte, 0..200)
    }

    proptest! {
        #[test]
        fn cuts_do_not_change_the_events(bytes in streams(), sizes in prop::collection::vec(1..9usize, 1..9), max in 1..60usize) {
            let mut chunks = Vec::new();
            let (mut rest, mut sizes) = (&bytes[..], sizes.iter().cycle());
            while !rest.is_empty() {
                let (chunk, left) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
                chunks.push(chunk);
                rest = left;
            }
            prop_assert_eq!(split(chunks.clone(), max), split([&bytes[..]], max));
            let events = split(chunks, usize::MAX);
            for event in events.iter().map(|event| event.as_ref().unwrap()) {
                prop_assert_eq!(event.name_and_data(), (event.name(), event.data()));
            }
            let joined: Vec<u8> = events.into_iter().flat_map(|e| e.unwrap().raw.to_vec()).collect();
            prop_assert_eq!(joined, bytes);
        }
    }
}
