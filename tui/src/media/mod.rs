//! What the bytes of a stream are: its format, its header, where a player may
//! start in it and how fast it plays.
//!
//! The core carries bytes and knows nothing of media (PROTOCOL.md 2.4). Two
//! sides of the program have to know a little more: the source paces a file
//! and captures the header of formats that can't be joined in mid-stream; the
//! player side starts a newcomer at a place where its decoder can start. Both
//! push the stream through a [`Scanner`] and read its [`Mark`]s.

mod adts;
mod clock;
mod comments;
mod cut;
mod detect;
mod flac;
mod frames;
mod matroska;
mod mp3;
mod mpegts;
mod ogg;
mod ogg_codec;
mod wav;
mod window;

#[cfg(test)]
mod tests;

pub use comments::{chain_codec, title_in_header};
pub use cut::Cutter;
pub use frames::id3_length;

use flac::Flac;
use frames::Frames;
use matroska::Matroska;
use mpegts::MpegTs;
use ogg::Ogg;
use wav::Wav;
use window::{Header, Marks, Window};

/// The longest header that is captured. A longer one is given up: see
/// [`Scanner::header_overflow`].
pub const MAX_HEADER_BYTES: usize = 256 * 1024;

/// How many bytes [`Format::detect`] likes to see.
pub const DETECT_BYTES: usize = 8 * 1024;

/// A stream format that the scanner knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// MPEG-1/2/2.5 audio, layers I to III.
    Mp3,
    /// AAC in ADTS frames.
    Adts,
    /// Ogg pages, whatever they carry.
    Ogg,
    /// Native FLAC.
    Flac,
    /// RIFF WAVE.
    Wav,
    /// MPEG transport stream.
    MpegTs,
    /// Matroska or WebM.
    Matroska,
    /// Anything else: it has no header and may be started anywhere.
    Unknown,
}

impl Format {
    /// Guesses the format from the declared content type and the first bytes
    /// of the stream; the bytes win over the declaration when they are sure
    /// (magic numbers), the declaration wins over weak evidence (MP3 sync).
    pub fn detect(content_type: Option<&str>, first: &[u8]) -> Format {
        detect::detect(content_type, first)
    }

    /// The content type to declare when the source declares none.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Mp3 => "audio/mpeg",
            Format::Adts => "audio/aac",
            Format::Ogg => "application/ogg",
            Format::Flac => "audio/flac",
            Format::Wav => "audio/wav",
            Format::MpegTs => "video/mp2t",
            Format::Matroska => "video/x-matroska",
            Format::Unknown => "application/octet-stream",
        }
    }
}

/// A place in the stream, in bytes since the scanner's offset 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// A decoder that has the header can start with the byte at `offset`.
    Start {
        /// Offset of the first byte of the frame, page, packet or cluster.
        offset: u64,
    },
    /// The media before `offset` lasts `micros` since the scanner's start.
    Time {
        /// Offset of the first byte that is not yet played at `micros`.
        offset: u64,
        /// Media time in microseconds; never decreases.
        micros: u64,
    },
}

impl Mark {
    /// The place in the stream.
    pub fn offset(self) -> u64 {
        match self {
            Mark::Start { offset } | Mark::Time { offset, .. } => offset,
        }
    }
}

/// The length in bytes of a sample frame of the WAV stream that begins with
/// `header`; `None` if `header` is no WAV header.
pub fn wav_block_bytes(header: &[u8]) -> Option<usize> {
    wav::block_bytes(header)
}

/// Follows a stream byte by byte. Bounded memory whatever the bytes are; the
/// marks do not depend on how the stream is cut into pushes.
///
/// Of [`Format::Unknown`] it finds no marks: such a stream may be started
/// anywhere and its rate can't be told.
#[derive(Debug)]
pub struct Scanner {
    format: Format,
    window: Window,
    marks: Marks,
    parser: Parser,
}

/// The parser of each format.
#[derive(Debug)]
enum Parser {
    Frames(Frames),
    Ogg(Ogg),
    Flac(Flac),
    Wav(Wav),
    MpegTs(MpegTs),
    Matroska(Matroska),
    Unknown,
}

impl Scanner {
    /// A scanner for a stream seen from its first byte on.
    pub fn new(format: Format) -> Scanner {
        let parser = match format {
            Format::Mp3 => Parser::Frames(Frames::new(frames::Kind::Mpeg)),
            Format::Adts => Parser::Frames(Frames::new(frames::Kind::Adts)),
            Format::Ogg => Parser::Ogg(Ogg::new()),
            Format::Flac => Parser::Flac(Flac::new()),
            Format::Wav => Parser::Wav(Wav::new()),
            Format::MpegTs => Parser::MpegTs(MpegTs::new()),
            Format::Matroska => Parser::Matroska(Matroska::new()),
            Format::Unknown => Parser::Unknown,
        };
        Scanner { format, window: Window::new(0), marks: Marks::default(), parser }
    }

    /// A scanner that joins in mid-stream at absolute byte `offset`, with the
    /// header that somebody else captured (may be empty).
    ///
    /// For WAV the header is taken to be the first bytes of the stream, that
    /// is, the first sample frame lies at absolute offset `header.len()`.
    pub fn resume(format: Format, header: &[u8], offset: u64) -> Scanner {
        let mut scanner = Scanner::new(format);
        scanner.window = Window::new(offset);
        match &mut scanner.parser {
            Parser::Ogg(ogg) => *ogg = Ogg::resume(header),
            Parser::Flac(flac) => *flac = Flac::resume(header),
            Parser::Wav(wav) => *wav = Wav::resume(header, offset),
            Parser::Matroska(matroska) => *matroska = Matroska::resume(header),
            Parser::Frames(_) | Parser::MpegTs(_) | Parser::Unknown => {}
        }
        scanner
    }

    /// The next bytes of the stream. Drain [`Scanner::poll_mark`] after it:
    /// of marks that nobody drains the oldest are dropped.
    pub fn push(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            match &mut self.parser {
                Parser::Unknown => return self.window.pass(rest.len() as u64),
                Parser::Wav(wav) if wav.in_data() => {
                    self.window.pass(rest.len() as u64);
                    return wav.advance(self.window.offset(), &mut self.marks);
                }
                _ => {}
            }
            rest = self.window.feed(rest);
            if self.window.tap_overflow() {
                self.window.close_tap();
                self.give_header_up();
            }
            if !self.window.skipping() {
                self.run();
            }
        }
    }

    /// `lost` bytes of the stream are missing here: synchronisation is lost
    /// and found again, absolute offsets go on. Media time goes on where the
    /// format carries time stamps and stands still where it does not.
    ///
    /// A header that is being captured is lost with it.
    pub fn gap(&mut self, lost: u64) {
        if lost == 0 || self.window.gap(lost) {
            return;
        }
        match &mut self.parser {
            Parser::Frames(frames) => frames.lose_sync(),
            Parser::Ogg(ogg) => ogg.gap(),
            Parser::Flac(flac) => flac.gap(),
            Parser::Wav(wav) => wav.gap(self.window.offset()),
            Parser::MpegTs(ts) => ts.lose_sync(),
            Parser::Matroska(matroska) => matroska.gap(),
            Parser::Unknown => {}
        }
    }

    /// The next mark, in order of offset. A mark may lie some bytes behind
    /// what was pushed last (a frame is confirmed by the one after it), never
    /// before the oldest byte of the last 64 KiB.
    #[must_use]
    pub fn poll_mark(&mut self) -> Option<Mark> {
        self.marks.pop()
    }

    /// The format it was made for.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The header a joiner needs: empty for formats without one and while it
    /// is not complete. A new Ogg chain or Matroska document replaces it once
    /// complete.
    pub fn header(&self) -> &[u8] {
        self.header_state().map_or(&[], Header::bytes)
    }

    /// Whether the header (if the format has one) is complete.
    pub fn header_complete(&self) -> bool {
        self.header_state().is_none_or(Header::complete)
    }

    /// Whether the header was longer than [`MAX_HEADER_BYTES`] and was given
    /// up: it is empty then, and nobody can join in mid-stream.
    pub fn header_overflow(&self) -> bool {
        self.header_state().is_some_and(Header::overflow)
    }

    fn run(&mut self) {
        let (window, marks) = (&mut self.window, &mut self.marks);
        match &mut self.parser {
            Parser::Frames(frames) => frames.run(window, marks),
            Parser::Ogg(ogg) => ogg.run(window, marks),
            Parser::Flac(flac) => flac.run(window, marks),
            Parser::Wav(wav) => wav.run(window, marks),
            Parser::MpegTs(ts) => ts.run(window, marks),
            Parser::Matroska(matroska) => matroska.run(window, marks),
            Parser::Unknown => {}
        }
        // After a run that passed over bytes a tap can be full as well.
        if self.window.tap_overflow() {
            self.window.close_tap();
            self.give_header_up();
        }
    }

    fn give_header_up(&mut self) {
        match &mut self.parser {
            Parser::Flac(flac) => flac.give_header_up(),
            Parser::Wav(wav) => wav.give_header_up(),
            Parser::Matroska(matroska) => matroska.give_header_up(),
            // Ogg captures pages itself, the others have no header.
            Parser::Ogg(_) | Parser::Frames(_) | Parser::MpegTs(_) | Parser::Unknown => {}
        }
    }

    fn header_state(&self) -> Option<&Header> {
        match &self.parser {
            Parser::Ogg(ogg) => Some(ogg.header()),
            Parser::Flac(flac) => Some(flac.header()),
            Parser::Wav(wav) => Some(wav.header()),
            Parser::Matroska(matroska) => Some(matroska.header()),
            Parser::Frames(_) | Parser::MpegTs(_) | Parser::Unknown => None,
        }
    }
}
