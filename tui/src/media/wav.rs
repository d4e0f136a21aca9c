//! RIFF WAVE: a header, then sample frames of equal length.
//!
//! A decoder starts at any multiple of the sample frame (block alignment)
//! from the first byte of the data on. Marks are put on a grid of about
//! [`GRID_US`]. What follows the data in a file counts as data: live streams
//! declare any length.

use super::window::{Header, Marks, Window};

/// Distance of the marks in media time.
const GRID_US: u64 = 10_000;

/// The least distance of the marks in bytes.
const GRID_BYTES: u64 = 256;

/// Length of a chunk header, and of the RIFF header before the first chunk
/// without its last four bytes.
const CHUNK_HEADER_BYTES: usize = 8;

/// Follows the header, then counts.
#[derive(Debug)]
pub(super) struct Wav {
    part: Part,
    header: Header,
    layout: Option<Layout>,
    /// Offset of the first byte of data.
    data: u64,
    /// Offset of the next mark.
    next: u64,
    /// Offset that media time is counted from.
    origin: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Riff,
    Chunks,
    Data,
}

/// What the `fmt ` chunk says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layout {
    bytes_per_s: u64,
    /// Distance of the marks: a multiple of the block alignment.
    grid: u64,
}

impl Wav {
    /// Before the first byte.
    pub(super) fn new() -> Wav {
        Wav {
            part: Part::Riff,
            header: Header::awaited(),
            layout: None,
            data: 0,
            next: 0,
            origin: 0,
        }
    }

    /// In mid-stream at `offset`, with everything before the data (or none).
    pub(super) fn resume(header: &[u8], offset: u64) -> Wav {
        let mut wav = Wav::new();
        let mut window = Window::new(0);
        let mut rest = header;
        while !rest.is_empty() && !wav.in_data() {
            rest = window.feed(rest);
            if !window.skipping() {
                wav.run(&mut window, &mut Marks::default());
            }
        }
        wav.part = Part::Data;
        wav.header = Header::known(header.to_vec());
        wav.data = header.len() as u64;
        wav.next = wav.data;
        wav.move_to(offset);
        wav.origin = wav.next;
        wav
    }

    /// Bytes are missing; the stream goes on at `offset`.
    pub(super) fn gap(&mut self, offset: u64) {
        if self.part == Part::Data {
            self.move_to(offset);
        } else {
            // Where the data begins is not known any more.
            self.header = Header::known(Vec::new());
            self.end_header(None, offset);
        }
    }

    /// The header is too long.
    pub(super) fn give_header_up(&mut self) {
        self.header = Header::given_up();
    }

    /// Everything before the data.
    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    /// Whether the header is over: nothing is to be looked at any more.
    pub(super) fn in_data(&self) -> bool {
        self.part == Part::Data
    }

    /// Looks at all that has come.
    pub(super) fn run(&mut self, window: &mut Window, marks: &mut Marks) {
        while !window.skipping() {
            let more = match self.part {
                Part::Riff => self.riff(window),
                Part::Chunks => self.chunk(window),
                Part::Data => {
                    window.consume(window.ahead().len() as u64);
                    self.advance(window.offset(), marks);
                    false
                }
            };
            if !more {
                return;
            }
        }
    }

    /// The data goes up to `end`.
    pub(super) fn advance(&mut self, end: u64, marks: &mut Marks) {
        let Some(layout) = self.layout else {
            return;
        };
        while self.next < end {
            marks.time(self.next, layout.micros(self.next - self.origin));
            marks.start(self.next);
            self.next = self.next.saturating_add(layout.grid);
        }
    }

    fn riff(&mut self, window: &mut Window) -> bool {
        let Some(riff) = window.ahead().get(..12) else {
            return false;
        };
        if is_riff_wave(riff) {
            window.open_tap();
            window.consume(12);
            self.part = Part::Chunks;
        } else {
            self.header = Header::known(Vec::new());
            self.end_header(None, window.offset());
        }
        true
    }

    fn chunk(&mut self, window: &mut Window) -> bool {
        let ahead = window.ahead();
        let Some(&[k, i, n, d, a, b, c, e]) = ahead.first_chunk() else {
            return false;
        };
        let length = u64::from(u32::from_le_bytes([a, b, c, e]));
        match &[k, i, n, d] {
            b"data" => {
                window.consume(CHUNK_HEADER_BYTES as u64);
                let header = window.close_tap();
                if !self.header.complete() {
                    self.header = header;
                }
                self.end_header(self.layout, window.offset());
                return true;
            }
            b"fmt " if length >= 16 => {
                let Some(format) = ahead.get(CHUNK_HEADER_BYTES..CHUNK_HEADER_BYTES + 16) else {
                    return false;
                };
                self.layout = Layout::parse(format);
            }
            _ => {}
        }
        window.consume(CHUNK_HEADER_BYTES as u64 + length + length % 2);
        true
    }

    fn end_header(&mut self, layout: Option<Layout>, data: u64) {
        self.part = Part::Data;
        self.layout = layout;
        self.data = data;
        self.next = data;
        self.origin = data;
    }

    /// The next mark lies at `offset` or later.
    fn move_to(&mut self, offset: u64) {
        if let Some(layout) = self.layout
            && offset > self.next
        {
            let steps = (offset - self.data).div_ceil(layout.grid);
            self.next = self.data.saturating_add(steps.saturating_mul(layout.grid));
        }
    }
}

impl Layout {
    fn parse(format: &[u8]) -> Option<Layout> {
        let bytes_per_s = u64::from(u32::from_le_bytes(format[8..12].try_into().ok()?));
        let block = u64::from(u16::from_le_bytes(format[12..14].try_into().ok()?));
        if bytes_per_s == 0 || block == 0 {
            return None;
        }
        let wanted = (bytes_per_s * GRID_US / 1_000_000).max(GRID_BYTES);
        Some(Layout { bytes_per_s, grid: wanted.div_ceil(block) * block })
    }

    fn micros(&self, bytes: u64) -> u64 {
        let micros = u128::from(bytes) * 1_000_000 / u128::from(self.bytes_per_s);
        u64::try_from(micros).unwrap_or(u64::MAX)
    }
}

/// The length of a sample frame by the header of a WAV stream.
pub(super) fn block_bytes(header: &[u8]) -> Option<usize> {
    let mut rest = header.get(12..)?;
    while let Some(length) = rest.get(4..8) {
        let length = u32::from_le_bytes(length.try_into().ok()?) as usize;
        if rest.starts_with(b"fmt ") {
            let block = rest.get(20..22)?;
            let block = usize::from(u16::from_le_bytes([block[0], block[1]]));
            return (block > 0).then_some(block);
        }
        rest = rest.get(length.checked_add(8 + length % 2)?..)?;
    }
    None
}

/// Whether `bytes` begins a WAVE file (RF64 is RIFF with 64-bit lengths).
pub(super) fn is_riff_wave(bytes: &[u8]) -> bool {
    let riff = bytes.starts_with(b"RIFF") || bytes.starts_with(b"RF64");
    riff && bytes.get(8..12) == Some(b"WAVE")
}
