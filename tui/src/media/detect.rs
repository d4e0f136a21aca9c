//! Which format a stream is, from its declared type and its first bytes.

use super::frames::{Confirmation, Kind, id3_length};
use super::{Format, mpegts, wav};

/// Transport packets in a row that are sure evidence at any phase.
const TS_PACKETS_SURE: usize = 5;

/// Transport packets in a row that are sure evidence at the very start.
const TS_PACKETS_AT_START: usize = 3;

/// See [`Format::detect`].
pub(super) fn detect(content_type: Option<&str>, first: &[u8]) -> Format {
    if let Some(format) = by_magic(content_type, first) {
        return format;
    }
    if let Some(format) = content_type.and_then(by_content_type) {
        return format;
    }
    by_sync(first).unwrap_or(Format::Unknown)
}

/// Sure evidence.
fn by_magic(content_type: Option<&str>, first: &[u8]) -> Option<Format> {
    if first.starts_with(b"OggS") {
        Some(Format::Ogg)
    } else if first.starts_with(b"fLaC") {
        Some(Format::Flac)
    } else if wav::is_riff_wave(first) {
        Some(Format::Wav)
    } else if first.starts_with(b"\x1a\x45\xdf\xa3") {
        Some(Format::Matroska)
    } else if first.get(4..8) == Some(b"ftyp") {
        // MP4: nothing that could be followed as a stream.
        Some(Format::Unknown)
    } else if let Some(length) = id3_length(first) {
        // The tag stands before MP3, ADTS or even FLAC.
        let after = usize::try_from(length).ok().and_then(|length| first.get(length..));
        let declared = || content_type.and_then(by_content_type);
        Some(match after.filter(|after| !after.is_empty()) {
            Some(after) => match detect(content_type, after) {
                Format::Unknown => Format::Mp3,
                format => format,
            },
            None => declared().unwrap_or(Format::Mp3),
        })
    } else {
        is_transport_stream(first).then_some(Format::MpegTs)
    }
}

fn is_transport_stream(first: &[u8]) -> bool {
    let phases = mpegts::PACKET_BYTES.min(first.len());
    mpegts::confirm(first, TS_PACKETS_AT_START) == Some(true)
        || (1..phases).any(|at| mpegts::confirm(&first[at..], TS_PACKETS_SURE) == Some(true))
}

fn by_content_type(content_type: &str) -> Option<Format> {
    let essence = content_type.split(';').next().unwrap_or("").trim();
    Some(match essence.to_ascii_lowercase().as_str() {
        "audio/mpeg" | "audio/mp3" | "audio/x-mp3" | "audio/mpeg3" | "audio/x-mpeg" => Format::Mp3,
        "audio/aac" | "audio/aacp" | "audio/x-aac" | "audio/x-hx-aac-adts" => Format::Adts,
        "application/ogg" | "application/x-ogg" | "audio/ogg" | "audio/opus" | "audio/vorbis"
        | "audio/x-ogg" | "video/ogg" => Format::Ogg,
        "audio/flac" | "audio/x-flac" => Format::Flac,
        "audio/wav" | "audio/wave" | "audio/x-wav" | "audio/vnd.wave" => Format::Wav,
        "video/mp2t" | "video/mpegts" | "audio/mp2t" => Format::MpegTs,
        "video/webm" | "audio/webm" | "video/x-matroska" | "audio/x-matroska"
        | "video/matroska" | "audio/matroska" => Format::Matroska,
        _ => return None,
    })
}

/// Weak evidence: a frame sync and, as far as the bytes go, the next ones
/// where the first says. The stream may begin in the middle of a frame.
fn by_sync(first: &[u8]) -> Option<Format> {
    (0..first.len()).filter(|&at| first[at] == 0xff).find_map(|at| {
        let confirmed = |kind: Kind| match kind.confirm(&first[at..]) {
            Confirmation::Yes => true,
            // Not enough bytes: believed only at the very start.
            Confirmation::NotYet => at == 0,
            Confirmation::No => false,
        };
        if confirmed(Kind::Mpeg) {
            Some(Format::Mp3)
        } else if confirmed(Kind::Adts) {
            Some(Format::Adts)
        } else {
            None
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packets(count: usize, phase: usize) -> Vec<u8> {
        let mut bytes = vec![0; phase];
        for _ in 0..count {
            bytes.push(0x47);
            bytes.extend([0; mpegts::PACKET_BYTES - 1]);
        }
        bytes
    }

    fn mp3(frames: usize) -> Vec<u8> {
        let mut frame = vec![0xff, 0xfb, 0x90, 0x00];
        frame.resize(417, 0);
        frame.repeat(frames)
    }

    fn adts(frames: usize) -> Vec<u8> {
        let mut frame = vec![0xff, 0xf1, 0x50, 0x80, 0x2e, 0x7f, 0xfc];
        frame.resize(371, 0);
        frame.repeat(frames)
    }

    #[test]
    fn the_bytes_win_when_they_are_sure() {
        let id3 = |after: Vec<u8>| [b"ID3\x04\0\0\0\0\0\x05tag  ".to_vec(), after].concat();
        let cases: [(&str, &[u8], Format); 12] = [
            ("audio/mpeg", b"OggS\0\x02", Format::Ogg),
            ("audio/mpeg", b"fLaC\0\0\0\x22", Format::Flac),
            ("audio/mpeg", b"RIFF\xff\xff\xff\xffWAVEfmt ", Format::Wav),
            ("video/webm", b"RF64\xff\xff\xff\xffWAVEds64", Format::Wav),
            ("audio/mpeg", b"\x1a\x45\xdf\xa3\x01", Format::Matroska),
            ("audio/mpeg", b"\0\0\0\x20ftypisom", Format::Unknown),
            ("audio/mpeg", &packets(3, 0), Format::MpegTs),
            ("audio/mpeg", &packets(6, 100), Format::MpegTs),
            ("audio/aac", &id3(adts(3)), Format::Adts),
            ("", &id3(mp3(3)), Format::Mp3),
            ("", &id3(b"fLaC\0\0\0\x22".to_vec()), Format::Flac),
            ("audio/aac", b"ID3\x04\0\0\0\x7f\0\0APIC", Format::Adts),
        ];
        for (content_type, first, expected) in cases {
            let found = Format::detect(Some(content_type), first);
            assert_eq!(found, expected, "{content_type} {:02x?}", &first[..8]);
        }
    }

    #[test]
    fn the_declaration_wins_over_weak_evidence() {
        let cases = [
            ("audio/mpeg", Format::Mp3),
            ("AUDIO/AACP; charset=x", Format::Adts),
            ("application/ogg", Format::Ogg),
            ("audio/x-wav", Format::Wav),
            ("video/MP2T", Format::MpegTs),
            ("audio/webm", Format::Matroska),
            ("audio/flac", Format::Flac),
        ];
        for (content_type, expected) in cases {
            assert_eq!(Format::detect(Some(content_type), &mp3(3)), expected);
            assert_eq!(Format::detect(Some(content_type), &[]), expected);
        }
    }

    #[test]
    fn sync_is_evidence_when_nothing_is_declared() {
        assert_eq!(Format::detect(None, &mp3(4)), Format::Mp3);
        assert_eq!(Format::detect(None, &mp3(4)[100..]), Format::Mp3);
        assert_eq!(Format::detect(None, &mp3(1)), Format::Mp3);
        assert_eq!(Format::detect(Some("text/plain"), &adts(4)), Format::Adts);
        assert_eq!(Format::detect(None, &mp3(2)[100..]), Format::Unknown);
        assert_eq!(Format::detect(None, b"hello, world"), Format::Unknown);
        assert_eq!(Format::detect(None, &[]), Format::Unknown);
    }
}
