//! What is particular to each format.

use super::super::{Format, MAX_HEADER_BYTES, Scanner};
use super::streams::{self, flac_frame, flac_stream_info, page};
use super::{drain, scan, starts, times};

fn last_time(format: Format, bytes: &[u8]) -> (u64, u64) {
    *times(&scan(format, bytes).1).last().expect("a time")
}

#[test]
fn each_clock_tells_the_time() {
    // The unit (frame, page, …) of the last mark, and the time at it.
    let offset_of = |stream: &streams::Stream, unit: usize| stream.starts[unit];
    let mp3 = streams::mp3(101);
    assert_eq!(last_time(Format::Mp3, &mp3.bytes), (offset_of(&mp3, 99), 2_586_122));
    let adts = streams::adts(101);
    assert_eq!(last_time(Format::Adts, &adts.bytes), (offset_of(&adts, 99), 2_298_775));
    let ogg = streams::ogg(100);
    assert_eq!(last_time(Format::Ogg, &ogg.bytes), (ogg.bytes.len() as u64, 10_000_000));
    let flac = streams::flac(100);
    assert_eq!(last_time(Format::Flac, &flac.bytes), (offset_of(&flac, 99), 9_195_102));
    let wav = streams::wav(48_000);
    assert_eq!(last_time(Format::Wav, &wav.bytes), (offset_of(&wav, 99), 990_000));
    let ts = streams::mpegts(201);
    assert_eq!(last_time(Format::MpegTs, &ts.bytes), (offset_of(&ts, 200), 400_000));
    let matroska = streams::matroska(10);
    let (offset, micros) = last_time(Format::Matroska, &matroska.bytes);
    assert!(offset > offset_of(&matroska, 9) && micros == 1_900_000);
}

#[test]
fn mpeg_audio_of_two_rates_and_with_a_tag_between() {
    let first = streams::mp3(11).bytes;
    let mut other = vec![0xff, 0xfb, 0x94, 0];
    other.resize(384, 1);
    let bytes = [first.clone(), other.repeat(11)].concat();
    // The last frame of the first part is followed by another kind.
    let found = starts(&scan(Format::Mp3, &bytes).1);
    assert_eq!(found.len(), 10 + 10);
    assert_eq!(found[10], first.len() as u64);
    // A tag is passed over, and confirms the frame before it.
    let bytes = [first.clone(), first.clone()].concat();
    assert_eq!(starts(&scan(Format::Mp3, &bytes).1).len(), 11 + 10);
}

#[test]
fn a_chance_sync_inside_a_frame_is_not_a_start() {
    let mut bytes = streams::mp3(20).bytes;
    let inside = streams::mp3(20).starts[5] as usize + 100;
    bytes[inside..inside + 4].copy_from_slice(&[0xff, 0xfb, 0x90, 0]);
    let found = starts(&scan(Format::Mp3, &bytes[inside..]).1);
    assert_eq!(found[0] + inside as u64, streams::mp3(20).starts[6]);
}

#[test]
fn ogg_chains_replace_the_header_once_complete() {
    let first = streams::ogg(10);
    let [bos, tags] = streams::opus_headers(9);
    let opus = [bos.clone(), tags.clone()].concat();
    let mut scanner = Scanner::new(Format::Ogg);
    scanner.push(&first.bytes);
    scanner.push(&bos);
    scanner.push(&tags[..tags.len() - 1]);
    assert_eq!(scanner.header(), first.header);
    scanner.push(&tags[tags.len() - 1..]);
    assert_eq!(scanner.header(), opus);
    drain(&mut scanner);
    // The clock goes on: one second and what came before.
    let begin = first.bytes.len() + opus.len();
    scanner.push(&page(0, 48_000 + 312, 9, &[b"sound"]));
    scanner.push(&page(0, 96_000 + 312, 9, &[b"sound"]));
    scanner.push(b"O");
    let marks = drain(&mut scanner);
    assert_eq!(starts(&marks)[0], begin as u64);
    let micros: Vec<u64> = times(&marks).iter().map(|time| time.1).collect();
    assert_eq!(micros, [1_000_000, 2_000_000, 3_000_000]);
}

#[test]
fn ogg_keeps_the_headers_of_all_streams() {
    let [vorbis_bos, vorbis_rest] = streams::vorbis_headers(1, 48_000);
    let theora_bos = page(2, 0, 2, &[b"\x80theora"]);
    let theora_rest = page(0, 0, 2, &[b"\x81theora", b"\x82theora"]);
    let skeleton_bos = page(2, 0, 3, &[b"fishead\0"]);
    let skeleton_bone = page(0, 0, 3, &[b"fisbone\0"]);
    let skeleton_end = page(4, 0, 3, &[b""]);
    let header = [
        skeleton_bos,
        theora_bos,
        vorbis_bos,
        skeleton_bone,
        theora_rest,
        vorbis_rest,
        skeleton_end,
    ]
    .concat();
    let sound = page(0, 48_000, 1, &[b"sound"]);
    let frame = page(0, 64, 2, &[b"frame"]);
    let bytes = [header.clone(), frame, sound.clone(), sound].concat();
    let (scanner, marks) = scan(Format::Ogg, &bytes);
    assert_eq!(scanner.header(), header);
    assert_eq!(starts(&marks).len(), 3);
    assert_eq!(times(&marks).last().map(|time| time.1), Some(1_000_000));
}

#[test]
fn ogg_of_an_unknown_codec_has_pages_without_time_as_header() {
    let header =
        [page(2, 0, 1, &[b"novelty"]), page(0, 0, 1, &[b"more"]), page(0, -1, 1, &[b"more"])]
            .concat();
    let data = page(0, 10, 1, &[b"data"]);
    let (scanner, marks) = scan(Format::Ogg, &[header.clone(), data].concat());
    assert_eq!(scanner.header(), header);
    assert_eq!(starts(&marks), [header.len() as u64]);
    assert!(times(&marks).is_empty());
}

#[test]
fn ogg_starts_at_no_continued_page_and_at_no_foreign_stream() {
    let mut stream = streams::ogg(2).bytes;
    let expected = streams::ogg(2).starts;
    stream.extend(page(1, 13_230, 7, &[b"rest of a packet"]));
    stream.extend(page(0, 13_230, 8, &[b"of a stream without headers"]));
    stream.extend(b"OggS");
    assert_eq!(starts(&scan(Format::Ogg, &stream).1), expected);
}

#[test]
fn ogg_joined_in_mid_stream_counts_from_there() {
    let whole = streams::ogg(1);
    let mut scanner = Scanner::new(Format::Ogg);
    scanner.push(&whole.header);
    for granule in [441_000_000i64, 441_044_100, 441_088_200] {
        scanner.push(&page(0, granule, 7, &[b"sound"]));
    }
    scanner.push(b"OggS");
    let micros: Vec<u64> = times(&drain(&mut scanner)).iter().map(|time| time.1).collect();
    assert_eq!(micros, [0, 1_000_000, 2_000_000]);
}

#[test]
fn flac_is_not_disturbed_by_chance_headers() {
    let mut stream = streams::flac(3);
    let chance_header = flac_frame(77, b"");
    stream.bytes.extend(flac_frame(3, &[&[1; 50], &chance_header[..], &[1; 50]].concat()));
    stream.bytes.extend(flac_frame(4, &[1; 100]));
    let marks = scan(Format::Flac, &stream.bytes).1;
    assert_eq!(starts(&marks).len(), 5);
    assert_eq!(times(&marks)[4].1, 4 * 4096 * 1_000_000 / 44_100);
}

#[test]
fn flac_numbers_tell_what_a_gap_lasted() {
    let stream = streams::flac(20);
    let (at, on) = (stream.starts[5] as usize + 700, stream.starts[12] as usize - 700);
    let mut scanner = Scanner::new(Format::Flac);
    scanner.push(&stream.bytes[..at]);
    scanner.gap((on - at) as u64);
    scanner.push(&stream.bytes[on..]);
    let times = times(&drain(&mut scanner));
    let expected = (stream.starts[19], 19 * 4096 * 1_000_000 / 44_100);
    assert_eq!(times.last(), Some(&expected));
}

#[test]
fn flac_with_a_large_picture_falls_back_to_stream_info() {
    let mut bytes = [b"fLaC".to_vec(), flac_stream_info(false)].concat();
    bytes.extend([0x86, 0x06, 0, 0]);
    bytes.resize(bytes.len() + 0x06_0000, 3);
    bytes.extend(flac_frame(0, &[1; 100]));
    let (scanner, marks) = scan(Format::Flac, &bytes);
    assert!(scanner.header_complete() && !scanner.header_overflow());
    assert_eq!(scanner.header(), [b"fLaC".to_vec(), flac_stream_info(true)].concat());
    assert_eq!(starts(&marks).len(), 1);
}

#[test]
fn headers_that_never_end_are_given_up() {
    let endless = |head: &[u8]| [head, &[0; MAX_HEADER_BYTES + 10]].concat();
    let wav = endless(b"RIFF\xff\xff\xff\xffWAVEjunk\xf0\xff\xff\xff");
    let void = [0xec, 0x08, 0xff, 0xff, 0xff, 0xff];
    let matroska = endless(&[&[0x1a, 0x45, 0xdf, 0xa3, 0x80], &void[..]].concat());
    let mut ogg = page(2, 0, 1, &[b"novelty"]);
    for _ in 0..10 {
        ogg.extend(page(0, 0, 1, &[&[0; 60_000]]));
    }
    let cases = [(Format::Wav, wav), (Format::Matroska, matroska), (Format::Ogg, ogg)];
    for (format, bytes) in cases {
        let (scanner, _) = scan(format, &bytes);
        assert!(scanner.header_overflow(), "{format:?}");
        assert!(scanner.header_complete() && scanner.header().is_empty());
    }
}

#[test]
fn wav_marks_keep_to_the_block_alignment() {
    let stream = streams::wav(48_000);
    let offset = stream.header.len() as u64 + 4_000_001;
    let mut scanner = Scanner::resume(Format::Wav, &stream.header, offset);
    scanner.push(&stream.bytes[stream.header.len()..]);
    scanner.gap(4001);
    scanner.push(&[0; 4000]);
    let found = starts(&drain(&mut scanner));
    assert!(found.len() > 90);
    let aligned = |start: &u64| (start - stream.header.len() as u64).is_multiple_of(4);
    assert!(found.iter().all(aligned));
}

#[test]
fn transport_clock_takes_splices_for_no_time() {
    let pcrs = [0u64, 1, 2, 900, 901, 902, 5, 6];
    let bytes: Vec<u8> = pcrs
        .iter()
        .flat_map(|seconds| streams::packet(256, Some(seconds * 27_000_000), &[]))
        .collect();
    let seconds: Vec<u64> =
        times(&scan(Format::MpegTs, &bytes).1).iter().map(|time| time.1 / 1_000_000).collect();
    assert_eq!(seconds, [0, 1, 2, 2, 3, 4, 4, 5]);
}

#[test]
fn another_matroska_document_replaces_the_header() {
    let first = streams::matroska(3);
    let second = streams::matroska(4);
    // Unknown lengths end where the next document begins.
    let bytes = [first.bytes.clone(), second.bytes.clone()].concat();
    let (scanner, marks) = scan(Format::Matroska, &bytes);
    assert_eq!(scanner.header(), second.header);
    assert_eq!(starts(&marks).len(), 7);
    assert_eq!(times(&marks).last().map(|time| time.1), Some(500_000 + 700_000));
}
