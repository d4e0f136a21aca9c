//! Streams of self-contained frames whose header tells their length: MPEG
//! audio and ADTS. A decoder starts at any frame; the last frame of a stream
//! is never confirmed by another and gets no mark.

use super::clock::SampleClock;
use super::window::{Marks, Window};
use super::{adts, mp3};

/// Headers in a row that make a frame boundary of an arbitrary place.
const CONFIRMATIONS: usize = 3;

/// Bytes that any frame header, and the start of an ID3 tag, fits in.
const LOOK_BYTES: usize = 10;

/// Which frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// MPEG audio.
    Mpeg,
    /// AAC in ADTS.
    Adts,
}

/// What a frame header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    /// Length with the header, in bytes.
    pub(super) length: usize,
    /// Samples of each channel.
    pub(super) samples: u32,
    /// Samples a second.
    pub(super) rate: u32,
    /// Bits that stay the same from frame to frame of one stream.
    pub(super) kind: u32,
}

impl Kind {
    /// Length of a frame header in bytes.
    pub(super) fn header_bytes(self) -> usize {
        match self {
            Kind::Mpeg => mp3::HEADER_BYTES,
            Kind::Adts => adts::HEADER_BYTES,
        }
    }

    /// The frame whose header `bytes` begins with.
    pub(super) fn parse(self, bytes: &[u8]) -> Option<Frame> {
        match self {
            Kind::Mpeg => mp3::parse(bytes),
            Kind::Adts => adts::parse(bytes),
        }
    }

    /// Looks for [`CONFIRMATIONS`] headers in a row, the first at the start.
    pub(super) fn confirm(self, bytes: &[u8]) -> Confirmation {
        let Some(first) = self.parse(bytes) else {
            return Confirmation::No;
        };
        let mut at = first.length;
        for _ in 1..CONFIRMATIONS {
            let Some(next) = bytes.get(at..at + self.header_bytes()) else {
                return Confirmation::NotYet;
            };
            match self.parse(next) {
                Some(frame) if frame.kind == first.kind => at += frame.length,
                _ => return Confirmation::No,
            }
        }
        Confirmation::Yes
    }
}

/// Whether a place is a frame boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Confirmation {
    /// It is.
    Yes,
    /// It is not.
    No,
    /// More bytes will tell.
    NotYet,
}

/// Follows a stream of frames.
#[derive(Debug)]
pub(super) struct Frames {
    kind: Kind,
    synced: bool,
    /// At the start of the stream or the end of a frame, where an ID3 tag may
    /// stand; elsewhere its three letters are chance.
    boundary: bool,
    clock: SampleClock,
}

impl Frames {
    /// Before the first byte.
    pub(super) fn new(kind: Kind) -> Frames {
        Frames { kind, synced: false, boundary: true, clock: SampleClock::default() }
    }

    /// The next bytes do not follow the last ones.
    pub(super) fn lose_sync(&mut self) {
        self.synced = false;
        self.boundary = false;
    }

    /// Looks at all that has come.
    pub(super) fn run(&mut self, window: &mut Window, marks: &mut Marks) {
        while !window.skipping() && window.ahead().len() >= LOOK_BYTES {
            let more = if self.synced { self.follow(window, marks) } else { self.search(window) };
            if !more {
                return;
            }
        }
    }

    /// One frame further; false when more bytes are needed.
    fn follow(&mut self, window: &mut Window, marks: &mut Marks) -> bool {
        let ahead = window.ahead();
        let Some(frame) = self.kind.parse(ahead) else {
            self.synced = false;
            return true;
        };
        let end = frame.length;
        let Some(next) = ahead.get(end..end + LOOK_BYTES) else {
            return false;
        };
        let confirmed = id3_length(next).is_some()
            || self.kind.parse(next).is_some_and(|n| n.kind == frame.kind);
        if !confirmed {
            self.synced = false;
            return true;
        }
        marks.time(window.offset(), self.clock.micros());
        marks.start(window.offset());
        self.clock.add(u64::from(frame.samples), frame.rate);
        window.consume(end as u64);
        self.boundary = true;
        true
    }

    /// Looks for a boundary; false when more bytes are needed.
    fn search(&mut self, window: &mut Window) -> bool {
        let ahead = window.ahead();
        if self.boundary
            && let Some(length) = id3_length(ahead)
        {
            window.consume(length);
            return true;
        }
        match self.kind.confirm(ahead) {
            Confirmation::Yes => {
                self.synced = true;
                true
            }
            Confirmation::NotYet => false,
            Confirmation::No => {
                self.boundary = false;
                let next = ahead[1..].iter().position(|&byte| byte == 0xff);
                let step = next.map_or(ahead.len(), |next| next + 1);
                window.consume(step as u64);
                true
            }
        }
    }
}

/// Length of the ID3v2 tag that `bytes` begins with, its header included.
pub fn id3_length(bytes: &[u8]) -> Option<u64> {
    let header = bytes.get(..10)?;
    let versioned = (2..=4).contains(&header[3]) && header[4] != 0xff;
    if &header[..3] != b"ID3" || !versioned || header[6..10].iter().any(|&b| b >= 0x80) {
        return None;
    }
    let size = header[6..10].iter().fold(0, |size, &b| (size << 7) | u64::from(b));
    let footer = if header[5] & 0x10 == 0 { 0 } else { 10 };
    Some(10 + size + footer)
}
