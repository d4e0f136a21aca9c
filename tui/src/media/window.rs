//! The bytes of a stream between a push and a parser: a short look-ahead, a
//! count of bytes to pass over, a tap for the header, and the marks found.
//!
//! A parser sees the same sequence of bytes and offsets however the stream is
//! cut, and decides only once it sees all the bytes that a decision needs.

use std::collections::VecDeque;

use super::{MAX_HEADER_BYTES, Mark};

/// At most this much is taken from a push before the parser runs.
const FEED_BYTES: usize = 16 * 1024;

/// Marks kept when nobody drains them; the oldest are dropped.
const MAX_MARKS: usize = 64 * 1024;

/// Look-ahead of a parser: a sliding piece of the stream.
#[derive(Debug)]
pub(super) struct Window {
    buffer: Vec<u8>,
    /// Bytes of `buffer` already consumed.
    start: usize,
    /// Absolute offset of `buffer[start]`.
    offset: u64,
    /// Bytes of the stream to pass over before the parser sees more.
    skip: u64,
    tap: Option<Tap>,
}

#[derive(Debug, Default)]
struct Tap {
    bytes: Vec<u8>,
    overflow: bool,
}

impl Window {
    /// An empty window at absolute `offset`.
    pub(super) fn new(offset: u64) -> Window {
        Window { buffer: Vec::new(), start: 0, offset, skip: 0, tap: None }
    }

    /// Takes what it can of `bytes` and returns the rest.
    pub(super) fn feed<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let skipped = usize::try_from(self.skip).map_or(bytes.len(), |skip| skip.min(bytes.len()));
        let (passed, bytes) = bytes.split_at(skipped);
        self.tap_in(passed);
        self.skip -= passed.len() as u64;
        self.offset = self.offset.saturating_add(passed.len() as u64);

        if self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
        } else if self.start >= FEED_BYTES {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        let (taken, rest) = bytes.split_at(bytes.len().min(FEED_BYTES));
        self.buffer.extend_from_slice(taken);
        rest
    }

    /// Passes over `bytes` of the stream without looking at them; only with
    /// nothing left to see.
    pub(super) fn pass(&mut self, bytes: u64) {
        debug_assert!(self.ahead().is_empty());
        self.offset = self.offset.saturating_add(bytes);
    }

    /// `lost` bytes are missing. True if they were to be passed over anyway;
    /// otherwise the look-ahead is void.
    pub(super) fn gap(&mut self, lost: u64) -> bool {
        if self.skip >= lost && self.tap.is_none() {
            self.skip -= lost;
            self.offset = self.offset.saturating_add(lost);
            return true;
        }
        let held = (self.buffer.len() - self.start) as u64;
        self.offset = self.offset.saturating_add(held).saturating_add(lost);
        self.buffer.clear();
        self.start = 0;
        self.skip = 0;
        self.tap = None;
        false
    }

    /// Moves on by `bytes`, past the end of the look-ahead if need be.
    pub(super) fn consume(&mut self, bytes: u64) {
        let held = self.buffer.len() - self.start;
        let here = usize::try_from(bytes).map_or(held, |bytes| bytes.min(held));
        if let Some(tap) = &mut self.tap {
            tap.take(&self.buffer[self.start..self.start + here]);
        }
        self.start += here;
        self.offset = self.offset.saturating_add(here as u64);
        self.skip = bytes - here as u64;
    }

    /// Copies everything consumed from here on, up to [`MAX_HEADER_BYTES`].
    pub(super) fn open_tap(&mut self) {
        self.tap = Some(Tap::default());
    }

    /// The header that was consumed since [`Window::open_tap`]; given up if
    /// it was too much.
    pub(super) fn close_tap(&mut self) -> Header {
        match self.tap.take() {
            Some(Tap { overflow: true, .. }) => Header::given_up(),
            Some(Tap { bytes, .. }) => Header::known(bytes),
            None => Header::known(Vec::new()),
        }
    }

    /// Whether more than the limit went through the tap.
    pub(super) fn tap_overflow(&self) -> bool {
        self.tap.as_ref().is_some_and(|tap| tap.overflow)
    }

    /// Whether the parser has to wait for the end of what it passes over.
    pub(super) fn skipping(&self) -> bool {
        self.skip > 0
    }

    /// The bytes from [`Window::offset`] on that have come so far.
    pub(super) fn ahead(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// Absolute offset of the first byte of [`Window::ahead`].
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    fn tap_in(&mut self, bytes: &[u8]) {
        if let Some(tap) = &mut self.tap {
            tap.take(bytes);
        }
    }
}

impl Tap {
    fn take(&mut self, bytes: &[u8]) {
        if self.bytes.len() + bytes.len() > MAX_HEADER_BYTES {
            self.overflow = true;
            self.bytes = Vec::new();
        }
        if !self.overflow {
            self.bytes.extend_from_slice(bytes);
        }
    }
}

/// The marks found and not yet drained.
#[derive(Debug, Default)]
pub(super) struct Marks {
    queue: VecDeque<Mark>,
    latest_micros: u64,
    latest_offset: u64,
}

impl Marks {
    /// A decoder can start at `offset`.
    pub(super) fn start(&mut self, offset: u64) {
        self.put(Mark::Start { offset });
    }

    /// The media before `offset` lasts `micros`; time never runs backwards.
    pub(super) fn time(&mut self, offset: u64, micros: u64) {
        self.latest_micros = self.latest_micros.max(micros);
        let micros = self.latest_micros;
        self.put(Mark::Time { offset, micros });
    }

    /// The oldest mark.
    pub(super) fn pop(&mut self) -> Option<Mark> {
        self.queue.pop_front()
    }

    /// Marks come in order of offset; one that does not (two timestamps in a
    /// damaged cluster) is none.
    fn put(&mut self, mark: Mark) {
        if mark.offset() < self.latest_offset {
            return;
        }
        self.latest_offset = mark.offset();
        if self.queue.len() >= MAX_MARKS {
            self.queue.pop_front();
        }
        self.queue.push_back(mark);
    }
}

/// What is known of the header of a stream.
#[derive(Debug, Default)]
pub(super) struct Header {
    bytes: Vec<u8>,
    complete: bool,
    overflow: bool,
}

impl Header {
    /// Not there yet.
    pub(super) fn awaited() -> Header {
        Header::default()
    }

    /// Complete; empty when the format has none.
    pub(super) fn known(bytes: Vec<u8>) -> Header {
        Header { bytes, complete: true, overflow: false }
    }

    /// Longer than [`MAX_HEADER_BYTES`]: nobody will have it.
    pub(super) fn given_up() -> Header {
        Header { bytes: Vec::new(), complete: true, overflow: true }
    }

    /// The bytes; empty while incomplete.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether waiting for it is over.
    pub(super) fn complete(&self) -> bool {
        self.complete
    }

    /// Whether it was too long to be kept.
    pub(super) fn overflow(&self) -> bool {
        self.overflow
    }
}
