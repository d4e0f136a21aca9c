//! Takes the media out of a file, so that files can follow one another in one
//! stream: whole frames or packets and nothing else, without tags, indexes
//! and torn ends.

use bytes::BytesMut;

use super::Format;
use super::frames::{Confirmation, Kind};
use super::mpegts::{PACKET_BYTES, SYNC};

/// Where an index frame says so, from the start of the frame.
const INDEX_MARK_BYTES: usize = 48;

/// Cuts one file. It is given the bytes between the tags.
#[derive(Debug)]
pub struct Cutter {
    shape: Shape,
    /// Came and not yet passed on.
    held: Vec<u8>,
}

/// What the media is made of.
#[derive(Debug)]
enum Shape {
    Frames {
        kind: Kind,
        synced: bool,
        first: bool,
    },
    Packets {
        synced: bool,
    },
    /// Nothing is taken off.
    Whole,
}

impl Cutter {
    /// For a file of this format.
    pub fn new(format: Format) -> Cutter {
        let frames = |kind| Shape::Frames { kind, synced: false, first: true };
        let shape = match format {
            Format::Mp3 => frames(Kind::Mpeg),
            Format::Adts => frames(Kind::Adts),
            Format::MpegTs => Shape::Packets { synced: false },
            _ => Shape::Whole,
        };
        Cutter { shape, held: Vec::new() }
    }

    /// The next bytes of the file; what is whole goes to `out`.
    pub fn push(&mut self, bytes: &[u8], out: &mut BytesMut) {
        if let Shape::Whole = self.shape {
            return out.extend_from_slice(bytes);
        }
        self.held.extend_from_slice(bytes);
        self.run(false, out);
    }

    /// The file has ended.
    pub fn finish(&mut self, out: &mut BytesMut) {
        self.run(true, out);
        self.held.clear();
    }

    fn run(&mut self, ended: bool, out: &mut BytesMut) {
        let mut at = 0;
        while at < self.held.len() {
            let ahead = &self.held[at..];
            let step = match &mut self.shape {
                Shape::Frames { kind, synced, first } => {
                    frame(*kind, synced, first, ahead, ended, out)
                }
                Shape::Packets { synced } => packet(synced, ahead, ended, out),
                Shape::Whole => None,
            };
            let Some(step) = step else { break };
            at += step;
        }
        self.held.drain(..at.min(self.held.len()));
    }
}

/// Passes on the frame at the start of `ahead` or looks for one; how far that
/// went, `None` if more has to come.
fn frame(
    kind: Kind,
    synced: &mut bool,
    first: &mut bool,
    ahead: &[u8],
    ended: bool,
    out: &mut BytesMut,
) -> Option<usize> {
    if ahead.len() < kind.header_bytes() {
        return None;
    }
    if !*synced {
        return match kind.confirm(ahead) {
            Confirmation::Yes => {
                *synced = true;
                Some(0)
            }
            Confirmation::NotYet if !ended => None,
            _ => {
                let next = ahead[1..].iter().position(|&byte| byte == 0xff);
                Some(next.map_or(ahead.len(), |next| next + 1))
            }
        };
    }
    let Some(found) = kind.parse(ahead) else {
        *synced = false;
        return Some(0);
    };
    let whole = ahead.get(..found.length)?;
    let is_index = std::mem::take(first) && kind == Kind::Mpeg && is_index(whole);
    if !is_index {
        out.extend_from_slice(whole);
    }
    Some(found.length)
}

/// Whether a frame holds no sound but an index of the file that it stood in,
/// which is wrong for any other stream.
fn is_index(frame: &[u8]) -> bool {
    let begin = &frame[..frame.len().min(INDEX_MARK_BYTES)];
    let holds = |mark: &[u8]| begin.windows(mark.len()).any(|window| window == mark);
    holds(b"Xing") || holds(b"Info") || holds(b"VBRI")
}

/// As [`frame`], for the packets of a transport stream.
fn packet(synced: &mut bool, ahead: &[u8], ended: bool, out: &mut BytesMut) -> Option<usize> {
    if *synced && ahead[0] == SYNC {
        let whole = ahead.get(..PACKET_BYTES)?;
        out.extend_from_slice(whole);
        return Some(PACKET_BYTES);
    }
    *synced = false;
    let confirmed = match ahead.get(PACKET_BYTES) {
        Some(next) => ahead[0] == SYNC && *next == SYNC,
        None if ended => ahead[0] == SYNC && ahead.len() == PACKET_BYTES,
        None => return None,
    };
    *synced = confirmed;
    Some(usize::from(!confirmed))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The media cut out of `file`, however it comes.
    #[track_caller]
    fn cuts(format: Format, file: &[u8], expected: &[u8]) {
        for piece in [1, 7, 188, 1000, file.len()] {
            let mut cutter = Cutter::new(format);
            let mut out = BytesMut::new();
            for bytes in file.chunks(piece) {
                cutter.push(bytes, &mut out);
            }
            cutter.finish(&mut out);
            assert!(out[..] == *expected, "{format:?} in pieces of {piece}: {}", out.len());
        }
    }

    fn mp3(frames: usize, inside: &[u8]) -> Vec<u8> {
        let mut frame = vec![0xff, 0xfb, 0x90, 0x00];
        frame.extend_from_slice(&[0; 32]);
        frame.extend_from_slice(inside);
        frame.resize(417, 0x55);
        frame.repeat(frames)
    }

    #[test]
    fn whole_frames_are_cut_out() {
        let sound = mp3(5, b"");
        cuts(Format::Mp3, &sound, &sound);
        let torn = [&[1, 2, 0xff, 3][..], &sound, &mp3(1, b"")[..200]].concat();
        cuts(Format::Mp3, &torn, &sound);
        let damaged = [&sound[..], &[0; 300], &sound].concat();
        cuts(Format::Mp3, &damaged, &[&sound[..], &sound].concat());
        cuts(Format::Mp3, b"there is no sound in this at all", b"");
        let mut frame = vec![0xff, 0xf1, 0x50, 0x80, 0x2e, 0x7f, 0xfc];
        frame.resize(371, 0);
        let adts = frame.repeat(4);
        cuts(Format::Adts, &[&adts[..], &frame[..100]].concat(), &adts);
    }

    #[test]
    fn an_index_frame_is_left_out() {
        let sound = mp3(4, b"");
        for mark in [&b"Xing"[..], b"Info", b"VBRI"] {
            cuts(Format::Mp3, &[mp3(1, mark), sound.clone()].concat(), &sound);
        }
        let later = [sound.clone(), mp3(1, b"Xing"), sound].concat();
        cuts(Format::Mp3, &later, &later);
    }

    #[test]
    fn whole_packets_are_cut_out() {
        let mut packet = vec![SYNC];
        packet.resize(PACKET_BYTES, 0);
        let stream = packet.repeat(4);
        cuts(Format::MpegTs, &[&[9, SYNC, 9][..], &stream, &packet[..50]].concat(), &stream);
    }

    #[test]
    fn other_formats_stay_as_they_are() {
        cuts(Format::Ogg, b"OggS whatever", b"OggS whatever");
        cuts(Format::Flac, b"fLaC", b"fLaC");
    }
}
