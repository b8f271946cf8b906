//! Cutting bytes into events loses nothing, wherever the bytes are cut.

use bytes::Bytes;
use weir::openai::sse::{Event, Splitter, TooLong, frame};

use super::knobs::Knobs;

/// Bounds of an event, in bytes.
const BOUNDS: [usize; 4] = [16, 300, 4096, usize::MAX];

/// Checks the splitter.
pub fn sse(input: &[u8]) {
    let (content, knobs) = Knobs::split(input);
    let max = BOUNDS[knobs.way(BOUNDS.len())];
    let whole = events(&[Bytes::copy_from_slice(content)], max);
    assert_eq!(events(&knobs.cut(content), max), whole, "cuts change the events");
    let joined: Vec<u8> = whole.iter().flatten().flat_map(|event| event.raw.iter().copied()).collect();
    if whole.contains(&Err(TooLong)) {
        assert!(content.starts_with(&joined), "what comes before an endless event is changed");
        assert_eq!(whole.iter().filter(|event| event.is_err()).count(), 1, "endless more than once");
        assert_eq!(whole.last(), Some(&Err(TooLong)), "something comes after the end");
    } else {
        assert_eq!(joined, content, "bytes are lost, added or moved");
    }
    for event in whole.iter().flatten() {
        fields(event);
    }
    framed(content);
}

fn events(pieces: &[Bytes], max: usize) -> Vec<Result<Event, TooLong>> {
    let mut splitter = Splitter::new(max);
    let mut events = Vec::new();
    for piece in pieces {
        splitter.push(piece.clone());
        while let Some(event) = splitter.next_event() {
            assert!(event.as_ref().map_or(0, |event| event.raw.len()) <= max, "longer than its bound");
            events.push(event);
        }
    }
    events.extend(splitter.finish().map(Ok));
    events
}

fn fields(event: &Event) {
    assert!(!event.raw.is_empty(), "an event of nothing");
    let values: usize = event.fields().map(|(name, value)| name.len() + value.len()).sum();
    assert!(values <= event.raw.len(), "fields have more bytes than their event");
    assert_eq!(event.data().is_some(), event.field("data").is_some());
    assert_eq!(event.is_comment(), event.fields().count() == 0);
}

/// Anything can be the payload of one event.
fn framed(content: &[u8]) {
    let frame = frame(content);
    let events = events(&[frame], usize::MAX);
    let [Ok(event)] = &events[..] else { panic!("{} events of one payload", events.len()) };
    let data = event.data().expect("a frame has a payload");
    let lines = |bytes: &[u8]| -> Vec<u8> {
        bytes.iter().map(|byte| if *byte == b'\r' { b'\n' } else { *byte }).collect()
    };
    assert_eq!(&data[..], lines(content), "a payload is changed by its frame");
}
