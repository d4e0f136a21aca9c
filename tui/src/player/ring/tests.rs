//! The rules of the ring, without a socket.

use super::*;

const AUDIO: Begin<'static> =
    Begin { content_type: "audio/x", format: Format::Unknown, header: b"", offset: 0 };
const OGG: Begin<'static> =
    Begin { content_type: "application/ogg", format: Format::Ogg, header: b"H1", offset: 5000 };

fn read(ring: &Ring, cursor: &mut Cursor, limit: usize) -> (Progress, Vec<u8>) {
    let mut out = Vec::new();
    let progress = ring.read(cursor, &mut out, limit);
    assert_eq!(progress == Progress::Data, !out.is_empty());
    (progress, out)
}

fn text(ring: &Ring, cursor: &mut Cursor) -> String {
    let (progress, out) = read(ring, cursor, usize::MAX);
    assert_eq!(progress, Progress::Data);
    String::from_utf8(out).unwrap()
}

/// Numbers that look random, the same ones each time.
fn random(state: &mut u64, below: u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state % below
}

#[test]
fn readers_get_every_byte_or_an_overrun() {
    for seed in 1..=40 {
        let mut state = seed << 32 | 0x9e37_79b9;
        let mut ring = Ring::new(4096);
        ring.start(&AUDIO);
        let mut played = Vec::new();
        let mut readers = vec![(Cursor::first(), 0); 3];
        for _ in 0..200 {
            let most = if random(&mut state, 20) == 0 { 9000 } else { 900 };
            let len = random(&mut state, most) as usize;
            let bytes: Vec<u8> = (0..len).map(|_| random(&mut state, 256) as u8).collect();
            ring.append(&bytes);
            played.extend_from_slice(&bytes);
            for (cursor, done) in &mut readers {
                let limit = 1 + random(&mut state, 2000) as usize;
                let behind = played.len() - *done;
                assert_eq!(ring.overrun(cursor), behind > 4096);
                let (progress, out) = read(&ring, cursor, limit);
                match progress {
                    Progress::Overrun => {
                        assert!(behind > 4096, "seed {seed}");
                        (*cursor, *done) = (Cursor::burst(), played.len());
                        // A newcomer: how much it gets is another test.
                        let (_, burst) = read(&ring, cursor, usize::MAX);
                        assert!(played.ends_with(&burst), "seed {seed}");
                    }
                    Progress::Wait => assert_eq!(behind, 0, "seed {seed}"),
                    progress => {
                        assert_eq!(progress, Progress::Data);
                        assert_eq!(out, played[*done..*done + behind.min(limit)]);
                        *done += out.len();
                    }
                }
            }
        }
    }
}

#[test]
fn newcomers_of_an_unknown_format_start_at_a_write() {
    let mut ring = Ring::new(256 * 1024);
    ring.start(&AUDIO);
    assert_eq!(read(&ring, &mut Cursor::burst(), 10).0, Progress::Wait);
    for chunk in 0..200_u8 {
        ring.append(&[chunk; 1000]);
    }
    let (_, out) = read(&ring, &mut Cursor::burst(), usize::MAX);
    assert_eq!(out.len(), BURST_BYTES / 1000 * 1000);
    assert_eq!(out[..1000], [200 - (BURST_BYTES / 1000) as u8; 1000]);
    // One write longer than the ring leaves no beginning of one in it.
    ring.append(&vec![1; 300_000]);
    let mut late = Cursor::burst();
    assert_eq!(read(&ring, &mut late, 10).0, Progress::Wait);
    ring.append(b"next");
    assert_eq!(text(&ring, &mut late), "next");
}

#[test]
fn a_header_of_an_unknown_format_is_not_sent_twice() {
    let mut ring = Ring::new(4096);
    ring.start(&Begin { header: b"HEAD", ..AUDIO });
    let mut first = Cursor::first();
    assert_eq!(text(&ring, &mut first), "HEAD");
    ring.append(b"HEA");
    ring.append(b"Dabc");
    assert_eq!(text(&ring, &mut first), "abc");
    ring.append(b"def");
    assert_eq!(text(&ring, &mut Cursor::burst()), "HEADdef");
}

#[test]
fn a_newcomer_gets_the_header_and_waits_for_a_mark() {
    let mut ring = Ring::new(4096);
    ring.start(&OGG);
    ring.append(b"abcdef");
    let mut player = Cursor::burst();
    assert_eq!(read(&ring, &mut player, 9).0, Progress::Wait);
    ring.mark(4999);
    ring.mark(5007);
    assert_eq!(read(&ring, &mut player, 9).0, Progress::Wait, "not ours");
    ring.mark(5002);
    ring.mark(5004);
    assert_eq!(text(&ring, &mut player), "H1cdef");
    ring.gap(100);
    ring.append(b"ghi");
    ring.mark(5050);
    ring.mark(5107);
    assert_eq!(text(&ring, &mut player), "ghi");
    assert_eq!(ring.starts.kept, [2, 4, 7], "a lost byte is no place");
}

#[test]
fn the_burst_is_bounded_and_the_newest_mark_is_better_than_none() {
    let mut ring = Ring::new(1024 * 1024);
    ring.start(&OGG);
    ring.append(&[b'x'; 300_000]);
    ring.mark(5000 + 100_000);
    ring.mark(5000 + 200_000);
    let (_, out) = read(&ring, &mut Cursor::burst(), usize::MAX);
    assert_eq!(out.len(), 2 + 100_000);
    ring.mark(5000 + 240_000);
    ring.mark(5000 + 260_000);
    let (_, out) = read(&ring, &mut Cursor::burst(), usize::MAX);
    assert_eq!(out.len(), 2 + 60_000);
    ring.append(&[b'x'; 520_000]);
    assert!(ring.starts.kept.iter().all(|&start| start >= 820_000 - 524_288));
    assert_eq!(read(&ring, &mut Cursor::burst(), 9).0, Progress::Wait);
    let (_, out) = read(&ring, &mut Cursor::first(), usize::MAX);
    assert_eq!(out.len(), 2 + 720_000, "the first place stays in the ring");
}

#[test]
fn audio_without_marks_is_served_all_the_same() {
    let mut ring = Ring::new(1024 * 1024);
    ring.start(&Begin { format: Format::Mp3, ..AUDIO });
    for _ in 0..UNMARKED_BYTES / 1024 {
        ring.append(&[0; 1024]);
        assert_eq!(read(&ring, &mut Cursor::burst(), 9).0, Progress::Wait);
    }
    ring.append(b"abc");
    assert_eq!(text(&ring, &mut Cursor::burst()), "abc");
}

#[test]
fn a_new_header_forgets_the_places_before_it() {
    let mut ring = Ring::new(4096);
    ring.start(&OGG);
    ring.append(b"old");
    ring.mark(5000);
    ring.append(b"...H2new");
    ring.set_header(b"H2", 8);
    ring.mark(5003);
    ring.mark(5008);
    let mut late = Cursor::burst();
    assert_eq!(read(&ring, &mut late, 9).0, Progress::Wait);
    ring.append(b"more");
    ring.mark(5011);
    assert_eq!(text(&ring, &mut late), "H2more");
    assert_eq!(text(&ring, &mut Cursor::first()), "H1old...H2newmore");
}

#[test]
fn a_header_in_band_loses_no_place() {
    let mut ring = Ring::new(4096);
    ring.start(&Begin { header: b"", offset: 0, ..OGG });
    ring.append(b"H1abcdef");
    ring.mark(2);
    assert_eq!(read(&ring, &mut Cursor::first(), 9).0, Progress::Wait);
    ring.set_header(b"H1", 8);
    ring.mark(2);
    assert_eq!(text(&ring, &mut Cursor::first()), "H1abcdef");
}

#[test]
fn readers_cross_into_a_stream_that_they_can_decode() {
    let flac = Begin { format: Format::Flac, ..OGG };
    let table = [
        (OGG, Begin { offset: 0, ..OGG }, Some("new")),
        (OGG, Begin { header: b"H2", ..OGG }, Some("H2new")),
        (OGG, Begin { content_type: "audio/ogg", ..OGG }, None),
        (OGG, flac, None),
        (Begin { format: Format::Flac, ..OGG }, Begin { format: Format::Flac, ..OGG }, Some("new")),
        (
            Begin { format: Format::Flac, ..OGG },
            Begin { format: Format::Flac, header: b"H2", ..OGG },
            None,
        ),
    ];
    for (old, new, crossed) in table {
        let mut ring = Ring::new(4096);
        ring.start(&old);
        ring.append(b"oldrest");
        ring.mark(old.offset);
        let mut player = Cursor::burst();
        assert_eq!(read(&ring, &mut player, 3).1, b"H1old");
        let mut waiting = Cursor::burst();
        assert!(matches!(ring.open(&mut waiting), Opening::Open(_)));
        ring.start(&new);
        ring.append(b"..new");
        assert_eq!(text(&ring, &mut player), "rest", "{new:?}");
        ring.mark(new.offset + 2);
        if let Some(crossed) = crossed {
            assert_eq!(text(&ring, &mut player), crossed, "{new:?}");
        } else {
            assert_eq!(read(&ring, &mut player, 9).0, Progress::Changed, "{new:?}");
        }
    }
}

#[test]
fn the_end() {
    let mut ring = Ring::new(4096);
    let mut early = Cursor::burst();
    assert_eq!(ring.open(&mut early), Opening::Wait);
    ring.start(&AUDIO);
    assert_eq!(ring.open(&mut early), Opening::Open(Arc::from("audio/x")));
    ring.append(b"abc");
    ring.end();
    assert_eq!(text(&ring, &mut early), "abc");
    assert_eq!(read(&ring, &mut early, 9).0, Progress::End);
    assert_eq!(ring.open(&mut Cursor::burst()), Opening::Ended);
    ring.start(&AUDIO);
    assert_eq!(read(&ring, &mut early, 9).0, Progress::Changed);
}
