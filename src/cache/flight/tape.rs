//! A stream put together once for all who want it as an object.

use bytes::Bytes;

use crate::{cache::answer::Recorder, openai::Endpoint};

use super::{Piece, room::Taken};

/// The longest stream that is put together.
const MOST: usize = 32 * 1024 * 1024;

/// How a stream ended for those who want an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It is whole: the object.
    Whole(Bytes),
    /// It broke, with this error event.
    Cut(Bytes),
    /// It cannot be told as an object, or there is no room to put it together.
    Unfit,
    /// It stopped without a word: a fault in whoever led.
    Lost,
}

/// What has come of a stream, as far as somebody wants it as an object.
#[derive(Debug, Default)]
pub enum Tape {
    /// Nobody does.
    #[default]
    Off,
    /// It is written down.
    On(Box<Taping>),
    /// Somebody puts it together.
    Busy,
    /// It is over.
    Done(Ended, #[expect(dead_code, reason = "it gives its room back when it goes")] Option<Taken>),
}

/// A stream that is written down.
#[derive(Debug)]
pub struct Taping {
    recorder: Recorder,
    endpoint: Endpoint,
    taken: Taken,
}

impl Tape {
    /// Starts, unless somebody did before.
    pub fn start(&mut self, endpoint: Endpoint, taken: Taken) {
        if matches!(self, Self::Off) {
            *self = Self::On(Box::new(Taping { recorder: Recorder::new(MOST), endpoint, taken }));
        }
    }

    /// A piece passes; gives what has to be put together now, away from any lock.
    #[must_use]
    pub fn passes(&mut self, piece: &Piece) -> Option<Box<Taping>> {
        let Self::On(taping) = self else { return None };
        let ended = match piece {
            Piece::Part(bytes) | Piece::Usage(bytes) => {
                if taping.taken.grow(bytes.len()) {
                    taping.recorder.passes(bytes, matches!(piece, Piece::Usage(_)));
                    return None;
                }
                Ended::Unfit
            }
            Piece::Cut(words) => Ended::Cut(words.clone()),
            Piece::Last(_) => match std::mem::replace(self, Self::Busy) {
                Self::On(taping) => return Some(taping),
                _ => return None,
            },
        };
        *self = Self::Done(ended, None);
        None
    }

    /// The stream stopped without an end.
    pub fn lost(&mut self) {
        if matches!(self, Self::On(_)) {
            *self = Self::Done(Ended::Lost, None);
        }
    }

    /// How it ended, once it has.
    pub fn ended(&self) -> Option<&Ended> {
        match self {
            Self::Done(ended, _) => Some(ended),
            Self::Off | Self::On(_) | Self::Busy => None,
        }
    }
}

impl Taping {
    /// Puts the stream together.
    pub fn finish(self) -> Tape {
        let Self { recorder, endpoint, mut taken } = self;
        let ended = recorder.object(endpoint).map_or(Ended::Unfit, Ended::Whole);
        let left = if let Ended::Whole(body) = &ended { body.len() } else { 0 };
        taken.shrink(taken.bytes().saturating_sub(left));
        Tape::Done(ended, Some(taken))
    }
}
