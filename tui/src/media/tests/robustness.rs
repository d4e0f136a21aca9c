//! What holds for every format: no dependence on cuts, sync after gaps, no
//! panic on any bytes.

use super::super::{Format, MAX_HEADER_BYTES, Mark, Scanner};
use super::{Chance, drain, scan, starts, streams, times};

const FORMATS: [Format; 8] = [
    Format::Mp3,
    Format::Adts,
    Format::Ogg,
    Format::Flac,
    Format::Wav,
    Format::MpegTs,
    Format::Matroska,
    Format::Unknown,
];

/// Pieces of formats, so that chance gets past the first check.
const FRAGMENTS: [&[u8]; 20] = [
    b"OggS\0\0",
    b"OggS\0\x02",
    b"OggS\0\x01\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\x01vorbis",
    b"OpusHead\x01\x02",
    b"fLaC",
    b"fLaC\x80\0\0\x22",
    b"\xff\xf8\xc9\x18",
    b"RIFF\xff\xff\xff\xffWAVE",
    b"fmt \x10\0\0\0\x01\0\x02\0\x80\xbb\0\0\0\xee\x02\0\x04\0\x10\0",
    b"data",
    b"\x47\x01\x00\x30\x07\x10",
    b"\x1a\x45\xdf\xa3\x80",
    b"\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff",
    b"\x1f\x43\xb6\x75\xff\xe7\x81\x05",
    b"\xa3\x84\x81\x00\x01\x80",
    b"\x2a\xd7\xb1\x83\x0f\x42\x40",
    b"ID3\x04\0\0\0\0\0\x0a",
    b"\xff\xfb\x90\x00",
    b"\xff\xf1\x50\x80\x2e\x7f\xfc",
];

fn noise(chance: &mut Chance, pieces: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..pieces {
        if chance.below(3) > 0 {
            bytes.extend(FRAGMENTS[chance.below(FRAGMENTS.len())]);
        }
        let count = chance.below(40);
        bytes.extend(chance.bytes(count));
    }
    bytes
}

/// Pushes `bytes` cut at random, in pieces of up to `longest`.
fn push_cut(scanner: &mut Scanner, bytes: &[u8], longest: usize, chance: &mut Chance) -> Vec<Mark> {
    let mut marks = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.len().min(1 + chance.below(longest)));
        scanner.push(piece);
        marks.extend(drain(scanner));
        rest = after;
    }
    marks
}

fn assert_in_order(marks: &[Mark], context: &str) {
    assert!(marks.is_sorted_by_key(|mark| mark.offset()), "{context}");
    assert!(times(marks).is_sorted_by_key(|time| time.1), "{context}");
}

#[test]
fn every_stream_gives_its_starts_and_its_header() {
    for stream in streams::all(60) {
        let (scanner, marks) = scan(stream.format, &stream.bytes);
        let found = starts(&marks);
        let confirmed = stream.starts.len() - usize::from(found.len() < stream.starts.len());
        assert_eq!(found, stream.starts[..confirmed], "{:?}", stream.format);
        assert_eq!(scanner.header(), stream.header, "{:?}", stream.format);
        assert!(scanner.header_complete() && !scanner.header_overflow());
        assert_in_order(&marks, "whole");
    }
}

#[test]
fn cuts_change_nothing() {
    let mut chance = Chance::new(11);
    let mut inputs: Vec<(Format, Vec<u8>)> = Vec::new();
    for stream in streams::all(40) {
        inputs.push((stream.format, stream.bytes));
    }
    for format in FORMATS {
        for _ in 0..20 {
            inputs.push((format, noise(&mut chance, 300)));
        }
    }
    for (format, bytes) in inputs {
        let (whole, expected) = scan(format, &bytes);
        for longest in [1, 7, 300, 5000] {
            let mut scanner = Scanner::new(format);
            let marks = push_cut(&mut scanner, &bytes, longest, &mut chance);
            assert_eq!(marks, expected, "{format:?} {longest}");
            assert_eq!(scanner.header(), whole.header(), "{format:?} {longest}");
            assert_eq!(scanner.header_complete(), whole.header_complete());
        }
    }
}

#[test]
fn sync_is_regained_after_a_gap() {
    let mut chance = Chance::new(12);
    for stream in streams::all(120) {
        for _ in 0..30 {
            let at = stream.header.len() + 2000 + chance.below(8000);
            let lost = 1 + chance.below(3000);
            let mut scanner = Scanner::new(stream.format);
            let mut marks = push_cut(&mut scanner, &stream.bytes[..at], 1500, &mut chance);
            scanner.gap(lost as u64);
            marks.extend(push_cut(&mut scanner, &stream.bytes[at + lost..], 1500, &mut chance));
            let found = starts(&marks);
            let all_true = found.iter().all(|start| stream.starts.contains(start));
            assert!(all_true, "{:?} {at} {lost}", stream.format);
            // All but those near the gap, and the unconfirmed last.
            let after = |start: &&u64| **start > (at + lost + 2500) as u64;
            let expected: Vec<_> = stream.starts.iter().filter(after).collect();
            let synced: Vec<_> = found.iter().filter(after).collect();
            let confirmed = expected.len() - usize::from(synced.len() < expected.len());
            assert_eq!(synced, expected[..confirmed], "{:?}", stream.format);
            assert_eq!(scanner.header(), stream.header);
            assert_in_order(&marks, "gap");
        }
    }
}

#[test]
fn a_stream_is_resumed_with_its_header() {
    for stream in streams::all(80) {
        let offset = stream.header.len() + 5003;
        let mut scanner = Scanner::resume(stream.format, &stream.header, offset as u64);
        assert_eq!(scanner.header(), stream.header);
        assert!(scanner.header_complete());
        scanner.push(&stream.bytes[offset..]);
        let marks = drain(&mut scanner);
        let found = starts(&marks);
        let expected: Vec<u64> =
            stream.starts.iter().copied().filter(|&s| s >= offset as u64).collect();
        let confirmed = expected.len() - usize::from(found.len() < expected.len());
        assert_eq!(found, expected[..confirmed], "{:?}", stream.format);
        let times = times(&marks);
        assert_eq!(times.first().map(|time| time.1), Some(0), "{:?}", stream.format);
        assert!(times.len() > 1, "{:?}", stream.format);
        assert_in_order(&marks, "resume");
    }
}

#[test]
fn no_bytes_and_no_gaps_make_it_panic() {
    let mut chance = Chance::new(13);
    for round in 0..60 {
        let bytes = if round % 2 == 0 { noise(&mut chance, 400) } else { chance.bytes(20_000) };
        for format in FORMATS {
            let header = noise(&mut chance, 5);
            let offset = [0, 5, u64::MAX - 3000, u64::MAX / 2][chance.below(4)];
            for mut scanner in [
                Scanner::new(format),
                Scanner::resume(format, &header, offset),
                Scanner::resume(format, &[], offset),
            ] {
                for piece in bytes.chunks(1 + chance.below(4000)) {
                    scanner.push(piece);
                    if chance.below(4) == 0 {
                        let lost = [0, 1, 100, u64::MAX][chance.below(4)];
                        scanner.gap(lost);
                    }
                    drain(&mut scanner);
                }
                assert!(scanner.header().len() <= MAX_HEADER_BYTES);
            }
        }
    }
}

#[test]
fn a_damaged_stream_loses_only_what_is_damaged() {
    let mut chance = Chance::new(14);
    for stream in streams::all(100) {
        let mut bytes = stream.bytes.clone();
        for _ in 0..10 {
            let at = stream.header.len() + chance.below(bytes.len() - stream.header.len());
            bytes[at] ^= 1 << chance.below(8);
        }
        let (_, marks) = scan(stream.format, &bytes);
        assert_in_order(&marks, "damage");
        let found = starts(&marks).len();
        // A damaged length makes Matroska pass over what it says.
        let least = match stream.format {
            Format::Matroska => stream.starts.len() / 10,
            _ => stream.starts.len() / 2,
        };
        assert!(found > least, "{:?} {found}", stream.format);
    }
}

#[test]
fn unknown_has_no_marks_and_no_header() {
    let (scanner, marks) = scan(Format::Unknown, &streams::mp3(20).bytes);
    assert!(marks.is_empty() && scanner.header().is_empty() && scanner.header_complete());
}
