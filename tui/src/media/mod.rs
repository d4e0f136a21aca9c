//! What the bytes of a stream are: its format, its header, where a player may
//! start in it and how fast it plays.
//!
//! The core carries bytes and knows nothing of media (PROTOCOL.md 2.4). Two
//! sides of the program have to know a little more: the source paces a file
//! and captures the header of formats that can't be joined in mid-stream; the
//! player side starts a newcomer at a place where its decoder can start. Both
//! push the stream through a [`Scanner`] and read its [`Mark`]s.

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
    pub fn detect(_content_type: Option<&str>, _first: &[u8]) -> Format {
        Format::Unknown
    }

    /// The content type to declare when the source declares none.
    pub fn content_type(self) -> &'static str {
        "application/octet-stream"
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

/// Follows a stream byte by byte. Bounded memory whatever the bytes are.
#[derive(Debug)]
pub struct Scanner {
    format: Format,
}

impl Scanner {
    /// A scanner for a stream seen from its first byte on.
    pub fn new(format: Format) -> Scanner {
        Scanner { format }
    }

    /// A scanner that joins in mid-stream at absolute byte `offset`, with the
    /// header that somebody else captured (may be empty).
    pub fn resume(format: Format, _header: &[u8], _offset: u64) -> Scanner {
        Scanner { format }
    }

    /// The format it was made for.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The next bytes of the stream. Drain [`Scanner::poll_mark`] after it.
    pub fn push(&mut self, _bytes: &[u8]) {}

    /// `lost` bytes of the stream are missing here: synchronisation is lost
    /// and found again, absolute offsets go on.
    pub fn gap(&mut self, _lost: u64) {}

    /// The next mark, in order of offset. A mark may lie some bytes behind
    /// what was pushed last (a frame is confirmed by the one after it), never
    /// before the oldest byte of the last 64 KiB.
    pub fn poll_mark(&mut self) -> Option<Mark> {
        None
    }

    /// The header a joiner needs: empty for formats without one and while it
    /// is not complete. A new Ogg chain replaces it once complete.
    pub fn header(&self) -> &[u8] {
        &[]
    }

    /// Whether the header (if the format has one) is complete.
    pub fn header_complete(&self) -> bool {
        true
    }
}
