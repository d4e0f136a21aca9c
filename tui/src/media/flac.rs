//! Native FLAC (RFC 9639): `fLaC`, metadata blocks, frames.
//!
//! Frames do not tell their length: each is found by the CRC-8 of its header,
//! and by its number, which counts up, so that sound that looks like a frame
//! header does not disturb the clock.

use super::clock::SampleClock;
use super::frames::id3_length;
use super::window::{Header, Marks, Window};

/// The longest frame header.
const FRAME_HEADER_BYTES: usize = 16;

/// Length of the STREAMINFO block without its header.
const STREAMINFO_BYTES: usize = 34;

/// Frames that a jump of the frame number may stand for; beyond it is another
/// stream.
const MAX_JUMP_FRAMES: u64 = 1_000;

/// Follows metadata, then frames.
#[derive(Debug)]
pub(super) struct Flac {
    part: Part,
    header: Header,
    /// `fLaC` and STREAMINFO: enough for a decoder if the rest is too long.
    short_header: Vec<u8>,
    /// Samples a second by STREAMINFO; 0 if not known.
    rate: u32,
    clock: SampleClock,
    latest: Option<Frame>,
    /// A frame that does not follow `latest`; one that follows it in turn
    /// shows that the numbers have jumped.
    stray: Option<Frame>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Beginning,
    Metadata,
    MetadataEnd,
    Frames,
}

/// What a frame header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Frame {
    /// Number of the frame, or of its first sample if block sizes vary.
    number: u64,
    by_sample: bool,
    samples: u32,
    /// 0: as STREAMINFO says.
    rate: u32,
}

impl Flac {
    /// Before the first byte.
    pub(super) fn new() -> Flac {
        Flac {
            part: Part::Beginning,
            header: Header::awaited(),
            short_header: Vec::new(),
            rate: 0,
            clock: SampleClock::default(),
            latest: None,
            stray: None,
        }
    }

    /// In mid-stream, with `fLaC` and the metadata (or nothing).
    pub(super) fn resume(header: &[u8]) -> Flac {
        let mut flac = Flac::new();
        if let Some(info) = header.get(8..8 + STREAMINFO_BYTES) {
            flac.stream_info(info);
        }
        flac.header = Header::known(header.to_vec());
        flac.part = Part::Frames;
        flac
    }

    /// Bytes are missing.
    pub(super) fn gap(&mut self) {
        if self.part != Part::Frames {
            self.header = Header::known(Vec::new());
            self.part = Part::Frames;
        }
        self.stray = None;
    }

    /// The metadata is too long: STREAMINFO alone has to do.
    pub(super) fn give_header_up(&mut self) {
        self.header = if self.short_header.is_empty() {
            Header::given_up()
        } else {
            Header::known(self.short_header.clone())
        };
    }

    /// `fLaC` and the metadata blocks.
    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    /// Looks at all that has come.
    pub(super) fn run(&mut self, window: &mut Window, marks: &mut Marks) {
        while !window.skipping() {
            let more = match self.part {
                Part::Beginning => self.begin(window),
                Part::Metadata => self.metadata(window),
                Part::MetadataEnd => self.end_metadata(window),
                Part::Frames => self.frame(window, marks),
            };
            if !more {
                return;
            }
        }
    }

    fn begin(&mut self, window: &mut Window) -> bool {
        let ahead = window.ahead();
        if ahead.len() < FRAME_HEADER_BYTES {
            return false;
        }
        if ahead.starts_with(b"fLaC") {
            window.open_tap();
            window.consume(4);
            self.part = Part::Metadata;
        } else if let Some(length) = id3_length(ahead) {
            window.consume(length);
        } else {
            // Joined in mid-stream: there will be no header.
            self.header = Header::known(Vec::new());
            self.part = Part::Frames;
        }
        true
    }

    fn metadata(&mut self, window: &mut Window) -> bool {
        let ahead = window.ahead();
        let Some(&[kind, a, b, c]) = ahead.first_chunk() else {
            return false;
        };
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        if kind & 0x7f == 0 && length == STREAMINFO_BYTES {
            let Some(info) = ahead.get(4..4 + STREAMINFO_BYTES) else {
                return false;
            };
            self.short_header = [b"fLaC\x80\0\0\x22", info].concat();
            self.stream_info(info);
        }
        window.consume(4 + length as u64);
        if kind & 0x80 != 0 {
            self.part = Part::MetadataEnd;
        }
        true
    }

    fn end_metadata(&mut self, window: &mut Window) -> bool {
        // Complete already: given up on the way.
        if !self.header.complete() {
            self.header = window.close_tap();
            if self.header.overflow() {
                self.give_header_up();
            }
        }
        self.part = Part::Frames;
        true
    }

    fn frame(&mut self, window: &mut Window, marks: &mut Marks) -> bool {
        let ahead = window.ahead();
        if ahead.len() < FRAME_HEADER_BYTES {
            return false;
        }
        if let Some(frame) = Frame::parse(ahead)
            && self.accept(frame)
        {
            marks.time(window.offset(), self.clock.micros());
            marks.start(window.offset());
        }
        let next = ahead[1..].iter().position(|&byte| byte == 0xff);
        let step = next.map_or(ahead.len(), |next| next + 1);
        window.consume(step as u64);
        true
    }

    /// Whether `frame` is one, and not chance; moves the clock up to it.
    fn accept(&mut self, frame: Frame) -> bool {
        if let Some(latest) = self.latest
            && !frame.follows(&latest)
        {
            if !self.stray.is_some_and(|stray| frame.follows(&stray)) {
                self.stray = Some(frame);
                return false;
            }
            let missed = frame.samples_since(&latest);
            self.clock.add(missed, self.rate_of(&latest));
        } else if let Some(latest) = self.latest {
            self.clock.add(u64::from(latest.samples), self.rate_of(&latest));
        }
        self.stray = None;
        self.latest = Some(frame);
        true
    }

    fn rate_of(&self, frame: &Frame) -> u32 {
        if frame.rate == 0 { self.rate } else { frame.rate }
    }

    fn stream_info(&mut self, info: &[u8]) {
        self.rate = u32::from_be_bytes([0, info[10], info[11], info[12]]) >> 4;
    }
}

impl Frame {
    /// The frame whose header `bytes` begins with.
    fn parse(bytes: &[u8]) -> Option<Frame> {
        let reserved_channels = *bytes.get(3)? >> 4 > 10;
        let reserved_bits = bytes[3] & 1 != 0 || (bytes[3] >> 1) & 7 == 3;
        if bytes[0] != 0xff || bytes[1] & 0xfe != 0xf8 || reserved_channels || reserved_bits {
            return None;
        }
        let (number, mut at) = coded_number(bytes)?;
        let samples = match bytes[2] >> 4 {
            0 => return None,
            1 => 192,
            n @ 2..=5 => 576 << (n - 2),
            6 => u32::from(take(bytes, &mut at)?) + 1,
            7 => (u32::from(take(bytes, &mut at)?) << 8 | u32::from(take(bytes, &mut at)?)) + 1,
            n => 256 << (n - 8),
        };
        let rate = match bytes[2] & 0xf {
            0 => 0,
            n @ 1..=11 => {
                const RATES: [u32; 11] = [
                    88_200, 176_400, 192_000, 8_000, 16_000, 22_050, 24_000, 32_000, 44_100,
                    48_000, 96_000,
                ];
                RATES[usize::from(n) - 1]
            }
            12 => u32::from(take(bytes, &mut at)?) * 1000,
            n @ 13..=14 => {
                let coded =
                    u32::from(take(bytes, &mut at)?) << 8 | u32::from(take(bytes, &mut at)?);
                if n == 13 { coded } else { coded * 10 }
            }
            _ => return None,
        };
        if crc8(bytes.get(..at)?) != *bytes.get(at)? {
            return None;
        }
        Some(Frame { number, by_sample: bytes[1] & 1 != 0, samples, rate })
    }

    /// Whether this is the frame after `earlier`.
    fn follows(&self, earlier: &Frame) -> bool {
        let step = if earlier.by_sample { u64::from(earlier.samples) } else { 1 };
        self.by_sample == earlier.by_sample && self.number == earlier.number + step
    }

    /// Samples from the start of `earlier` to the start of this one; what
    /// `earlier` lasts if the numbers do not tell.
    fn samples_since(&self, earlier: &Frame) -> u64 {
        let unit = if earlier.by_sample { 1 } else { u64::from(earlier.samples) };
        let samples = self.number.checked_sub(earlier.number).map(|n| n.saturating_mul(unit));
        let longest = MAX_JUMP_FRAMES * u64::from(earlier.samples);
        match samples {
            Some(samples) if self.by_sample == earlier.by_sample && samples <= longest => samples,
            _ => u64::from(earlier.samples),
        }
    }
}

/// The number at byte 4 in extended UTF-8, and where it ends.
fn coded_number(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = *bytes.get(4)?;
    let length = match first.leading_ones() {
        0 => return Some((u64::from(first), 5)),
        1 | 8 => return None,
        length => length as usize,
    };
    let mut number = u64::from(first & (0x7f >> length));
    for &byte in bytes.get(5..4 + length)? {
        if byte & 0xc0 != 0x80 {
            return None;
        }
        number = number << 6 | u64::from(byte & 0x3f);
    }
    Some((number, 4 + length))
}

fn take(bytes: &[u8], at: &mut usize) -> Option<u8> {
    let byte = *bytes.get(*at)?;
    *at += 1;
    Some(byte)
}

/// CRC-8 with polynomial 0x07.
pub(super) fn crc8(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |crc, &byte| {
        (0..8).fold(crc ^ byte, |crc, _| if crc & 0x80 == 0 { crc << 1 } else { crc << 1 ^ 0x07 })
    })
}
