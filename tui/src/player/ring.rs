//! The ring of played bytes, and where a reader begins and goes on in it
//! (PROTOCOL.md 6.1 and 6.3).
//!
//! Two ways of counting bytes meet here. A *stream offset* counts every byte
//! of the stream from chunk 0 on; the scanner's marks are offsets. A *position*
//! counts the bytes that were played, so a lost chunk moves the offset and not
//! the position; cursors and start places are positions, and they go on from
//! one stream to the next. [`Timeline`] leads from the first to the second.
//!
//! Streams are numbered (*generation*). A reader of the stream before the
//! current one gets what is left of it, then goes on with the current one if
//! its decoder can: same content type, same format, and either the same header
//! or a format whose streams may be chained.

use std::sync::Arc;

use super::places::{Starts, Timeline};
use crate::media::Format;

/// How much of the past a new player gets at once, so that its own buffer is
/// full at once; as much as Icecast sends.
pub const BURST_BYTES: usize = 64 * 1024;

/// The smallest and the largest ring; what is asked for is clamped to it.
const MIN_RING_BYTES: usize = 4 * 1024;
const MAX_RING_BYTES: usize = 1 << 30;

/// At most about so many start places are kept, evenly spread.
const MAX_STARTS: u64 = 1024;

/// A format without header that shows no mark for so long is not what it was
/// taken for, or badly damaged: from then on it is served as an unknown one.
const UNMARKED_BYTES: u64 = 128 * 1024;

/// What a reader got from [`Ring::read`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// At least one byte.
    Data,
    /// Nothing yet: ask again after the next change.
    Wait,
    /// The stream has ended and all of it was read.
    End,
    /// Another stream has begun that this reader's decoder can't go on with.
    Changed,
    /// The ring has passed the cursor: bytes are missing for good.
    Overrun,
}

/// What a newcomer finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Opening {
    /// A stream is being played; its content type.
    Open(Arc<str>),
    /// No stream yet.
    Wait,
    /// The last stream has ended.
    Ended,
}

/// A reader's place.
#[derive(Debug, Clone)]
pub(super) struct Cursor {
    /// The stream it reads; 0 before it has chosen one.
    generation: u64,
    /// Next byte to read; `None` before there was a place to start.
    position: Option<u64>,
    /// The header that its decoder has.
    header: Arc<[u8]>,
    /// Begins at the first place of the stream instead of with a burst.
    from_first: bool,
}

/// A stream as it begins.
#[derive(Debug)]
pub(super) struct Begin<'a> {
    pub(super) content_type: &'a str,
    pub(super) format: Format,
    pub(super) header: &'a [u8],
    /// Stream offset of the first byte that will be written.
    pub(super) offset: u64,
}

/// The played bytes of the recent past.
#[derive(Debug)]
pub(super) struct Ring {
    bytes: Box<[u8]>,
    /// Position behind the newest byte.
    head: u64,
    /// Number of the current stream; 0 before the first.
    generation: u64,
    /// First generation of those that a reader may cross into one another.
    run: u64,
    /// Position where the current stream begins.
    begin: u64,
    /// The current stream was seen from its very first byte.
    from_zero: bool,
    ended: bool,
    content_type: Arc<str>,
    format: Format,
    header: Arc<[u8]>,
    /// The header that belongs to the first place of the stream.
    first_header: Arc<[u8]>,
    timeline: Timeline,
    starts: Starts,
    /// Position from where a burst begins, if that is more than
    /// [`BURST_BYTES`].
    burst: Option<u64>,
}

/// Where a reader stands: what [`Ring::read`] does next.
enum Place<'a> {
    /// Goes on from `from`, at most up to `until`.
    At {
        from: u64,
        until: u64,
    },
    /// Enters the current stream at `from`, after `header`.
    Enter {
        from: u64,
        header: &'a Arc<[u8]>,
        send_header: bool,
    },
    Wait,
    Changed,
}

impl Cursor {
    /// A player: begins with a burst of the recent past.
    pub(super) fn burst() -> Cursor {
        Cursor { generation: 0, position: None, header: Arc::from([]), from_first: false }
    }

    /// A recorder: begins at the first place of the stream.
    pub(super) fn first() -> Cursor {
        Cursor { from_first: true, ..Cursor::burst() }
    }

    /// The next byte to read; 0 before there was a place to start.
    pub(super) fn position(&self) -> u64 {
        self.position.unwrap_or(0)
    }
}

impl Ring {
    /// A ring of `bytes` bytes, rounded up to a power of two.
    pub(super) fn new(bytes: usize) -> Ring {
        let size = bytes.clamp(MIN_RING_BYTES, MAX_RING_BYTES).next_power_of_two();
        Ring {
            bytes: vec![0; size].into_boxed_slice(),
            head: 0,
            generation: 0,
            run: 0,
            begin: 0,
            from_zero: false,
            ended: false,
            content_type: Arc::from(""),
            format: Format::Unknown,
            header: Arc::from([]),
            first_header: Arc::from([]),
            timeline: Timeline::default(),
            starts: Starts::default(),
            burst: None,
        }
    }

    /// A new stream begins.
    pub(super) fn start(&mut self, stream: &Begin<'_>) {
        self.generation += 1;
        let same = *self.content_type == *stream.content_type && self.format == stream.format;
        if !same || self.ended {
            self.run = self.generation;
        }
        self.ended = false;
        self.begin = self.head;
        self.from_zero = stream.offset == 0;
        self.content_type = Arc::from(stream.content_type);
        self.format = stream.format;
        self.header = Arc::from(stream.header);
        self.first_header = Arc::clone(&self.header);
        self.timeline = Timeline::new(stream.offset, self.head);
        self.starts = Starts::default();
        self.burst = None;
        if self.format == Format::Unknown {
            // Nothing is known of its bytes but that those at the very
            // beginning are the header, which a newcomer has already got.
            let header = stream.header.len() as u64;
            self.starts.floor = self.head + header.saturating_sub(stream.offset);
            self.starts.first = Some(self.starts.floor);
        }
    }

    /// The format of the current stream.
    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// Position behind the newest byte.
    pub(super) fn head(&self) -> u64 {
        self.head
    }

    /// Lets a burst begin at `position`, if that makes it longer.
    pub(super) fn set_burst(&mut self, position: u64) {
        self.burst = Some(position);
    }

    /// The next played bytes.
    pub(super) fn append(&mut self, bytes: &[u8]) {
        let size = self.bytes.len();
        if self.takes_boundaries() {
            self.starts.push(self.head, self.spacing());
        }
        let kept = &bytes[bytes.len().saturating_sub(size)..];
        let skipped = (bytes.len() - kept.len()) as u64;
        let at = self.index(self.head + skipped);
        let (left, right) = kept.split_at(kept.len().min(size - at));
        self.bytes[at..at + left.len()].copy_from_slice(left);
        self.bytes[..right.len()].copy_from_slice(right);
        self.head += bytes.len() as u64;
        self.starts.forget_before(self.oldest_start());
    }

    /// `lost` bytes of the stream are missing here.
    pub(super) fn gap(&mut self, lost: u64) {
        self.timeline.gap(self.head, lost);
    }

    /// The stream has ended.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// The header has changed, at the latest with the `pushed` bytes written
    /// last: places before the new header are no good any more.
    pub(super) fn set_header(&mut self, header: &[u8], pushed: usize) {
        let first_in_band = self.from_zero && self.header.is_empty();
        self.header = Arc::from(header);
        if self.starts.first.is_none() {
            self.first_header = Arc::clone(&self.header);
        }
        if first_in_band {
            return;
        }
        // Where it ended is not known. A place before it is at least as far
        // behind the head as the header is long, or older than the last write.
        let certain = header.len().min(pushed) as u64;
        self.starts.kept.clear();
        self.starts.floor = self.head.saturating_sub(certain);
    }

    /// A decoder that has the header can start with the byte at this stream
    /// offset. A place that is lost or already gone is ignored.
    pub(super) fn mark(&mut self, offset: u64) {
        let Some(position) = self.timeline.position(offset) else {
            return;
        };
        if position < self.begin || position > self.head || self.lacks_header() {
            return;
        }
        self.starts.marked = self.starts.marked.max(position);
        self.starts.push(position, self.spacing());
        self.starts.forget_before(self.oldest_start());
    }

    /// What a newcomer finds; chooses the stream for it.
    pub(super) fn open(&self, cursor: &mut Cursor) -> Opening {
        match (self.ended, self.generation) {
            (true, _) => Opening::Ended,
            (false, 0) => Opening::Wait,
            (false, generation) => {
                cursor.generation = generation;
                Opening::Open(Arc::clone(&self.content_type))
            }
        }
    }

    /// Appends what the reader gets next to `out`: at most `limit` bytes of
    /// the stream, and before them the header when it enters a stream.
    pub(super) fn read(&self, cursor: &mut Cursor, out: &mut Vec<u8>, limit: usize) -> Progress {
        let (from, until) = match self.locate(cursor) {
            Place::Wait => return self.nothing_now(),
            Place::Changed => return Progress::Changed,
            Place::At { from, .. } | Place::Enter { from, .. } if from < self.tail() => {
                return Progress::Overrun;
            }
            Place::At { from, until } => (from, until),
            Place::Enter { from, header, send_header } => {
                if send_header {
                    out.extend_from_slice(header);
                }
                cursor.generation = self.generation;
                (from, self.head)
            }
        };
        if cursor.generation == self.generation && !Arc::ptr_eq(&cursor.header, &self.header) {
            cursor.header = Arc::clone(&self.header);
        }
        let len = until.saturating_sub(from).min(limit as u64) as usize;
        self.copy(from, len, out);
        cursor.position = Some(from + len as u64);
        if out.is_empty() {
            return self.nothing_now();
        }
        Progress::Data
    }

    /// Whether the next [`Ring::read`] of this reader will say
    /// [`Progress::Overrun`].
    pub(super) fn overrun(&self, cursor: &Cursor) -> bool {
        match self.locate(cursor) {
            Place::At { from, .. } | Place::Enter { from, .. } => from < self.tail(),
            Place::Wait | Place::Changed => false,
        }
    }

    /// Whether the first place of the current stream has left the ring.
    pub(super) fn first_is_gone(&self) -> bool {
        self.starts.first.is_some_and(|first| first < self.tail())
    }

    /// Whether a stream is being played.
    pub(super) fn is_open(&self) -> bool {
        self.generation > 0 && !self.ended
    }

    /// Whether the last stream has ended.
    pub(super) fn is_ended(&self) -> bool {
        self.ended
    }

    /// The header that a newcomer gets first.
    pub(super) fn header(&self) -> &[u8] {
        &self.header
    }

    fn locate(&self, cursor: &Cursor) -> Place<'_> {
        match cursor.position {
            Some(from) if cursor.generation == self.generation => {
                Place::At { from, until: self.head }
            }
            Some(from) if cursor.generation + 1 == self.generation && from < self.begin => {
                Place::At { from, until: self.begin }
            }
            _ if cursor.generation > 0 && cursor.generation < self.run => Place::Changed,
            Some(_) => self.cross(cursor),
            None if cursor.from_first => match self.starts.first {
                Some(from) => Place::Enter { from, header: &self.first_header, send_header: true },
                None => Place::Wait,
            },
            None => match self.entrance() {
                Some(from) => Place::Enter { from, header: &self.header, send_header: true },
                None => Place::Wait,
            },
        }
    }

    /// From the end of an earlier stream to the beginning of the current one.
    fn cross(&self, cursor: &Cursor) -> Place<'_> {
        let Some(from) = self.starts.first else {
            return Place::Wait;
        };
        let header = &self.first_header;
        let send_header = *cursor.header != **header;
        // An Ogg stream may follow another with a header of its own; in every
        // other format a second header is garbage to the decoder.
        if send_header && self.format != Format::Ogg {
            return Place::Changed;
        }
        Place::Enter { from, header, send_header }
    }

    /// Where a player begins that has got nothing yet.
    fn entrance(&self) -> Option<u64> {
        if self.generation == 0 {
            return None;
        }
        let window = (self.bytes.len() / 2) as u64;
        let bytes = self.head.saturating_sub(window.min(BURST_BYTES as u64));
        let time = self.burst.unwrap_or(bytes).max(self.head.saturating_sub(window));
        let burst = bytes.min(time);
        let kept = &self.starts.kept;
        let inside = kept.partition_point(|&start| start < burst);
        // Clusters may be farther apart than the window is long: then the
        // newest place is better than to wait for the next.
        let place = kept.get(inside).or(kept.back()).copied();
        if place.is_none() && self.format == Format::Unknown {
            return Some(self.head.max(self.starts.floor));
        }
        place
    }

    fn nothing_now(&self) -> Progress {
        if self.ended { Progress::End } else { Progress::Wait }
    }

    /// Whether the beginning of each write counts as a place to start.
    fn takes_boundaries(&self) -> bool {
        match self.format {
            Format::Unknown => true,
            Format::Mp3 | Format::Adts | Format::MpegTs => {
                self.head - self.starts.marked.max(self.begin) >= UNMARKED_BYTES
            }
            Format::Ogg | Format::Flac | Format::Wav | Format::Matroska => false,
        }
    }

    /// Whether nobody can start here for want of a header: it was not given,
    /// and not seen yet, or too long to be kept.
    fn lacks_header(&self) -> bool {
        match self.format {
            Format::Ogg | Format::Flac | Format::Wav | Format::Matroska => self.header.is_empty(),
            Format::Mp3 | Format::Adts | Format::MpegTs | Format::Unknown => false,
        }
    }

    /// Position of the oldest byte in the ring.
    pub(super) fn tail(&self) -> u64 {
        self.head.saturating_sub(self.bytes.len() as u64)
    }

    /// A newcomer put farther back than this would be overrun at once.
    fn oldest_start(&self) -> u64 {
        self.head.saturating_sub(self.bytes.len() as u64 / 2)
    }

    fn spacing(&self) -> u64 {
        (self.bytes.len() as u64 / 2 / MAX_STARTS).max(1)
    }

    fn index(&self, position: u64) -> usize {
        (position & (self.bytes.len() as u64 - 1)) as usize
    }

    fn copy(&self, from: u64, len: usize, out: &mut Vec<u8>) {
        let at = self.index(from);
        let left = len.min(self.bytes.len() - at);
        out.extend_from_slice(&self.bytes[at..at + left]);
        out.extend_from_slice(&self.bytes[..len - left]);
    }
}

#[cfg(test)]
mod tests;
