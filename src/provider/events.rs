//! The way from a stream's bytes to a protocol's events, the same for all protocols.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{Failure, Piece, StreamDecoder};
use crate::openai::sse::{Event, Splitter, TooLong};

/// What a protocol makes of its events.
pub trait EventDecoder: Send {
    /// Takes an event and puts the pieces that it makes into `out`.
    fn event(&mut self, event: &Event, out: &mut VecDeque<Piece>);

    /// Takes what stands behind the last blank line: a whole event that lacks it, or half of one.
    fn tail(&mut self, tail: &Event, out: &mut VecDeque<Piece>);

    /// The bytes are over, the stream is not: puts its last piece into `out`.
    fn end_of_bytes(&mut self, out: &mut VecDeque<Piece>);

    /// Ends the stream with a failure.
    fn fail(&mut self, failure: Failure, out: &mut VecDeque<Piece>);

    /// Whether the last piece is out.
    fn is_over(&self) -> bool;
}

/// A stream decoder made of a protocol's event decoder.
#[derive(Debug)]
pub struct Events<D> {
    splitter: Splitter,
    max_event: usize,
    decoder: D,
}

impl<D: EventDecoder> Events<D> {
    /// Decodes with `decoder`; an event may have `max_event` bytes.
    pub fn with(decoder: D, max_event: usize) -> Self {
        Self { splitter: Splitter::new(max_event), max_event, decoder }
    }
}

impl<D: EventDecoder> StreamDecoder for Events<D> {
    fn push(&mut self, chunk: Bytes, out: &mut VecDeque<Piece>) {
        if self.decoder.is_over() {
            return;
        }
        self.splitter.push(chunk);
        while !self.decoder.is_over()
            && let Some(next) = self.splitter.next_event()
        {
            match next {
                Ok(event) => self.decoder.event(&event, out),
                Err(TooLong) => {
                    let max = self.max_event;
                    let message = format!("An event of the provider's stream is longer than {max} bytes.");
                    self.decoder.fail(Failure::invalid(message), out);
                }
            }
        }
    }

    fn finish(&mut self, out: &mut VecDeque<Piece>) {
        if self.decoder.is_over() {
            return;
        }
        if let Some(tail) = self.splitter.finish() {
            self.decoder.tail(&tail, out);
        }
        if !self.decoder.is_over() {
            self.decoder.end_of_bytes(out);
        }
    }
}
