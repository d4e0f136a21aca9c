//! Known streams through the whole of the play-out, byte for byte.

use std::ops::Range;

use super::format::tests::header;
use super::*;

const CHUNK: usize = 1024;
const SETTINGS: Settings = Settings { depth_ms: 20, volume: FULL_VOLUME };

/// Frames that are never silent and differ from their neighbours.
fn tune(frames: usize) -> Vec<Frame> {
    (0..frames)
        .map(|at| {
            let sample = ((at as f32 * 0.05).sin() * 9_000.0) as i16;
            [sample.saturating_add(10_000), (at % 20_000) as i16 + 1]
        })
        .collect()
}

fn wav(frames: &[Frame], rate: u32) -> Vec<u8> {
    let mut bytes = header(1, 2, rate, 4, 16);
    bytes.extend(frames.as_flattened().iter().flat_map(|sample| sample.to_le_bytes()));
    bytes
}

fn queue(content: Content, header: &[u8]) -> Queue {
    let queue = Queue::new(vec![0; 64 * 1024].leak());
    queue.begin(Stream::new(content, header, header.len() as u32, CHUNK as u16));
    queue
}

/// Pushes these chunks of the stream, one a block, and plays until nothing is
/// left; everything played.
fn play(
    playback: &mut Playback<'_>,
    queue: &Queue,
    stream: &[u8],
    chunks: Range<usize>,
) -> Vec<Frame> {
    play_without(playback, queue, stream, chunks, 0..0)
}

/// The same, but these chunks are lost.
fn play_without(
    playback: &mut Playback<'_>,
    queue: &Queue,
    stream: &[u8],
    chunks: Range<usize>,
    lost: Range<usize>,
) -> Vec<Frame> {
    let mut played = Vec::new();
    let mut block = [[0; 2]; BLOCK_FRAMES];
    for number in chunks {
        let from = number * CHUNK;
        let to = stream.len().min(from + CHUNK);
        assert!(lost.contains(&number) || queue.push(number as u32, &stream[from..to]));
        if playback.next_block(queue, &mut block).is_some() {
            played.extend(block);
        }
    }
    while playback.is_playing() && playback.next_block(queue, &mut block).is_some() {
        played.extend(block);
    }
    played
}

/// What was played, without the silence before it.
fn sound(played: &[Frame]) -> &[Frame] {
    let first = played.iter().position(|frame| *frame != [0; 2]).unwrap_or(played.len());
    &played[first..]
}

#[test]
fn pcm_is_played_byte_for_byte_from_the_first_chunk_on() {
    let tune = tune(20_000);
    let stream = wav(&tune, 48_000);
    let chunks = stream.len().div_ceil(CHUNK);
    for first in [0, 1, 7] {
        let queue = queue(Content::Wav, &stream[..44]);
        let mut playback = Playback::new(Box::leak(Box::default()), SETTINGS);
        let played = play(&mut playback, &queue, &stream, first..chunks);
        let from = (first * CHUNK).saturating_sub(44) / 4;
        let sound = sound(&played);
        assert_eq!(sound[..tune.len() - from], tune[from..], "from chunk {first}");
        // The end is an underrun that fades.
        let rest = &sound[tune.len() - from..];
        assert!(rest.len() < BLOCK_FRAMES, "{}", rest.len());
        assert!(rest.is_sorted_by(|a, b| a[0].abs() >= b[0].abs()));
        assert_eq!(playback.counts(), Counts { underruns: 1, ..Counts::default() });
    }
}

#[test]
fn a_stream_that_is_joined_between_frames_begins_with_a_whole_one() {
    // A header that is no multiple of a frame.
    let tune = tune(5_000);
    let mut stream = wav(&tune, 48_000);
    stream.splice(12..12, *b"LIST\x02\0\0\0ab");
    let queue = queue(Content::Wav, &stream[..54]);
    let mut playback = Playback::new(Box::leak(Box::default()), SETTINGS);
    let chunks = stream.len().div_ceil(CHUNK);
    let played = play(&mut playback, &queue, &stream, 3..chunks);
    let from = (3 * CHUNK - 54_usize).div_ceil(4);
    assert_eq!(sound(&played)[..tune.len() - from], tune[from..]);
}

#[test]
fn playing_waits_for_its_depth() {
    let stream = wav(&tune(10_000), 48_000);
    let queue = queue(Content::Wav, &stream[..44]);
    let mut playback = Playback::new(Box::leak(Box::default()), SETTINGS);
    let mut block = [[1; 2]; BLOCK_FRAMES];
    for number in 0..3 {
        assert!(queue.push(number, &stream[number as usize * CHUNK..][..CHUNK]));
        assert_eq!(playback.next_block(&queue, &mut block), Some(48_000));
        assert_eq!((playback.is_playing(), block[0]), (false, [0; 2]));
    }
    // 20 ms are 960 frames.
    assert!(queue.push(3, &stream[3 * CHUNK..][..CHUNK]));
    assert_eq!(playback.next_block(&queue, &mut block), Some(48_000));
    assert!(playback.is_playing());
    assert_eq!(block, tune(256)[..]);
}

#[test]
fn a_lost_chunk_is_concealed_and_what_follows_keeps_its_time() {
    let tune = tune(20_000);
    let stream = wav(&tune, 48_000);
    let chunks = stream.len().div_ceil(CHUNK);
    let queue = queue(Content::Wav, &stream[..44]);
    let mut playback = Playback::new(Box::leak(Box::default()), SETTINGS);
    let lost = 30;
    let played = play_without(&mut playback, &queue, &stream, 0..chunks, lost..lost + 1);
    let sound = sound(&played);
    let (from, to) = ((lost * CHUNK - 44) / 4, ((lost + 1) * CHUNK - 44) / 4);
    assert_eq!(sound[..from], tune[..from]);
    // Fades out from the last frame: smaller and smaller, in small steps.
    let hole = &sound[from - 1..to];
    for pair in hole.windows(2) {
        let step = i32::from(pair[0][0]) - i32::from(pair[1][0]);
        assert!((0..=i32::from(pair[0][0]) / 32 + 1).contains(&step), "{pair:?}");
    }
    // Fades in again to what the stream has at that time.
    let faded = to + usize::from(FADE_IN_FRAMES);
    for at in to..faded {
        assert!(sound[at][0].abs() <= tune[at][0].abs(), "{at}");
    }
    assert_eq!(sound[faded..tune.len()], tune[faded..]);
    assert_eq!(playback.counts().concealed, 1);
}

#[test]
fn a_gap_longer_than_the_depth_is_silent_no_longer_than_it_lasts() {
    let tune = tune(20_000);
    let stream = wav(&tune, 48_000);
    let chunks = stream.len().div_ceil(CHUNK);
    let queue = queue(Content::Wav, &stream[..44]);
    let mut playback = Playback::new(Box::leak(Box::default()), SETTINGS);
    let played = play_without(&mut playback, &queue, &stream, 0..chunks, 20..40);
    let sound = sound(&played);
    let from = (20 * CHUNK - 44) / 4;
    assert_eq!(sound[..from], tune[..from]);
    let faded = (40 * CHUNK - 44) / 4 + usize::from(FADE_IN_FRAMES);
    let again = sound.iter().position(|frame| *frame == tune[faded]).expect("it goes on");
    assert!(sound[from + 900..again - usize::from(FADE_IN_FRAMES)].iter().all(|f| *f == [0; 2]));
    assert_eq!(sound[again..again + tune.len() - faded], tune[faded..]);
    // In blocks, as it waits for its depth again.
    assert!(again.abs_diff(faded) <= 2 * BLOCK_FRAMES, "{again} {faded}");
    assert_eq!(playback.counts(), Counts { concealed: 1, underruns: 2, ..Counts::default() });
}

#[test]
fn a_dry_queue_is_filled_to_its_depth_again() {
    let tune = tune(10_000);
    let stream = wav(&tune, 48_000);
    let queue = queue(Content::Wav, &stream[..44]);
    let mut playback = Playback::new(Box::leak(Box::default()), SETTINGS);
    let first = play(&mut playback, &queue, &stream, 0..10);
    let at = (10 * CHUNK - 44) / 4;
    assert_eq!(sound(&first)[..at], tune[..at]);
    assert_eq!(playback.counts().underruns, 1);
    let second = play(&mut playback, &queue, &stream, 10..20);
    let start = second.iter().position(|frame| *frame == tune[at + 300]).expect("it goes on");
    assert_eq!(second[start..start + 1000], tune[at + 300..at + 1300]);
    assert_eq!(playback.counts().underruns, 2);
}

#[test]
fn the_format_changes_in_mid_stream() {
    let (first, second) = (tune(5_000), tune(6_000));
    let mut stream = wav(&first, 48_000);
    stream.truncate(stream.len() / CHUNK * CHUNK);
    let change = stream.len();
    let mut mono = header(1, 1, 22_050, 2, 16);
    mono.extend(second.iter().flat_map(|frame| frame[1].to_le_bytes()));
    stream.extend(&mono);
    let queue = queue(Content::Wav, &stream[..44]);
    let mut playback = Playback::new(Box::leak(Box::default()), SETTINGS);
    let mut block = [[0; 2]; BLOCK_FRAMES];
    let (mut played, mut rates) = (Vec::new(), Vec::new());
    let mut chunks = stream.chunks(CHUNK).zip(0..);
    loop {
        while queue.waiting() < 4 * CHUNK
            && let Some((chunk, number)) = chunks.next()
        {
            assert!(queue.push(number, chunk));
        }
        let rate = playback.next_block(&queue, &mut block).expect("a rate");
        played.extend(block.map(|frame| (rate, frame)));
        rates.push(rate);
        if !playback.is_playing() {
            break;
        }
    }
    rates.dedup();
    assert_eq!(rates, [48_000, 22_050]);
    let old = (change - 44) / 4;
    let expected: Vec<_> = first[..old].iter().map(|frame| (48_000, *frame)).collect();
    let differs = (0..old).find(|at| played[*at] != expected[*at]);
    assert_eq!((differs, playback.counts()), (None, Counts { underruns: 1, ..Counts::default() }));
    let new: Vec<Frame> =
        played.iter().filter(|(rate, _)| *rate == 22_050).map(|(_, frame)| *frame).collect();
    let faded = usize::from(FADE_IN_FRAMES);
    let expected: Vec<Frame> = second.iter().map(|frame| [frame[1]; 2]).collect();
    let start = new.iter().position(|frame| *frame == expected[faded]).expect("it is played");
    assert_eq!(new[start..start + 5_000], expected[faded..faded + 5_000]);
}

#[test]
fn volume() {
    let tune = tune(4_000);
    let stream = wav(&tune, 48_000);
    for volume in [0, 64, 256, 999] {
        let queue = queue(Content::Wav, &stream[..44]);
        let mut playback =
            Playback::new(Box::leak(Box::default()), Settings { volume: 1, ..SETTINGS });
        playback.set_volume(volume);
        let played = play(&mut playback, &queue, &stream, 0..stream.len() / CHUNK);
        let gain = i32::from(volume.min(256));
        let expected: Vec<Frame> =
            tune.iter().map(|frame| frame.map(|s| (i32::from(s) * gain / 256) as i16)).collect();
        let silent = 3 * BLOCK_FRAMES;
        assert_eq!(played[silent..silent + 3_000], expected[..3_000], "{volume}");
    }
}

#[test]
fn a_stream_that_can_not_be_decoded_stays_silent() {
    for (content, bytes) in [(Content::Other, vec![]), (Content::Wav, header(1, 6, 48_000, 12, 16))]
    {
        let queue = queue(content, &bytes);
        assert!(!can_play(&queue.stream().expect("it has begun")));
        let mut playback = Playback::new(Box::leak(Box::default()), SETTINGS);
        let played = play(&mut playback, &queue, &[7; 20 * CHUNK], 0..20);
        assert_eq!(played.len(), 0);
    }
}

#[test]
fn a_drifting_source_is_played_without_a_break() {
    // A 16-bit counter: each frame tells its place in the stream.
    let frames: Vec<Frame> = (0..2_880_000_u32).map(|at| [at as i16, (at >> 16) as i16]).collect();
    let stream = wav(&frames, 48_000);
    for (chunks, dropped, repeated) in [(10_010, true, false), (9_990, false, true)] {
        let queue = queue(Content::Wav, &stream[..44]);
        let mut playback =
            Playback::new(Box::leak(Box::default()), Settings { depth_ms: 40, ..SETTINGS });
        let mut block = [[0; 2]; BLOCK_FRAMES];
        let (mut number, mut due, mut played) = (0, 80_000, Vec::new());
        while number < stream.len() / CHUNK {
            // In 10,000 blocks.
            due += chunks;
            while due >= 10_000 && number < stream.len() / CHUNK {
                due -= 10_000;
                assert!(queue.push(number as u32, &stream[number * CHUNK..][..CHUNK]));
                number += 1;
            }
            if playback.next_block(&queue, &mut block).is_some() {
                played.extend(block);
            }
        }
        let counts = playback.counts();
        assert_eq!((counts.underruns, counts.concealed), (0, 0), "{counts:?}");
        assert_eq!((counts.dropped > 100, counts.repeated > 100), (dropped, repeated));
        let place = |frame: &Frame| i64::from(frame[0] as u16) | i64::from(frame[1] as u16) << 16;
        let mut steps = [0_u32; 3];
        for pair in sound(&played).windows(2) {
            let step = place(&pair[1]) - place(&pair[0]);
            steps[usize::try_from(step).expect("never back").min(3)] += 1;
        }
        assert_eq!((steps[0], steps[2]), (counts.repeated, counts.dropped));
    }
}
