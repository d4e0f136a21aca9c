//! Boards in QEMU, in one team with real Linux peers: they play what the
//! splitter sends, byte for byte, forward their share, come back after every
//! kind of outage, and mind no nonsense.

use std::sync::{Mutex, MutexGuard, PoisonError};

use p2psp_tests::board::{Board, Lan};
use p2psp_tests::{Format, Media, PATIENCE, Program};

/// One emulated LAN at a time: the host has few cores.
static HOST_AT_WORK: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    HOST_AT_WORK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Samples of the WAV file from the first whole frame in chunk `first` on.
fn samples_from(wav: &[u8], first: usize, channels: usize) -> Vec<[i16; 2]> {
    let data = wav.windows(4).position(|four| four == b"data").expect("a WAV file") + 8;
    let frame = 2 * channels;
    let offset = (first * 1024).saturating_sub(data).next_multiple_of(frame);
    let sample = |at: &[u8]| i16::from_le_bytes([at[0], at[1]]);
    let frames = wav[data + offset..].chunks_exact(frame);
    frames.map(|frame| [sample(frame), sample(&frame[2 * channels - 2..])]).collect()
}

/// What was played is silence in whole blocks, and then `expected`, up to the
/// last block; at least `least` frames of it.
#[track_caller]
fn assert_plays(played: &[[i16; 2]], expected: &[[i16; 2]], least: usize) {
    let blocks = played.chunks(256);
    let silent = blocks.take_while(|block| **block != expected[..256]).count() * 256;
    assert!(silent < played.len(), "the first block is not played");
    assert!(played[..silent].iter().all(|frame| *frame == [0; 2]), "not silent before");
    let sound = &played[silent..];
    let whole = sound.len() / 256 * 256;
    assert!(whole >= least, "{whole} frames were played");
    let differs = (0..whole).find(|at| sound[*at] != expected[*at]);
    assert_eq!(differs, None, "of {whole} frames");
}

/// What the whole of a board's life must have been like.
#[track_caller]
fn assert_flawless(board: &Board) {
    let status = board.status();
    for count in ["lost", "overflowed", "concealed", "underruns", "dropped", "repeated"] {
        assert_eq!(status.get(count), 0, "{count}: {}", board.report());
    }
    let line = board.wait_line("stack used: ");
    let used = line.split(' ').rev().nth(1).and_then(|used| used.parse().ok());
    let used: u32 = used.unwrap_or_else(|| panic!("no number in {line}"));
    assert!(used <= 10_240, "more stack than its budget.toml says: {used} bytes");
    println!("{line}");
}

/// Three Linux peers that write to nowhere.
fn three_peers(lan: &Lan) -> [Program; 3] {
    [(); 3].map(|()| lan.peer(&["--out", "/dev/null"]))
}

/// They leave without having lost anything.
#[track_caller]
fn assert_all_had_everything(peers: [Program; 3]) {
    for mut peer in peers {
        assert_eq!(peer.end(), 0, "{}", peer.report());
        let summary = peer.summary(&peer.node());
        assert_eq!(summary["chunks_lost"], 0, "{summary}");
        assert!(summary["chunks_played"].as_u64() > Some(100), "{summary}");
    }
}

#[test]
fn a_board_plays_pcm_byte_for_byte_and_serves_linux_peers() {
    let _alone = alone();
    let media = Media::make(Format::Wav, 60);
    let lan = Lan::new(1);
    let splitter = lan.splitter(&["--source", media.arg(), "--max-team", "31", "--buffer", "24"]);
    let peers = three_peers(&lan);
    let mut board = lan.board(0, &["group=none", "seconds=15"]);
    board.wait_end();
    assert_flawless(&board);
    let expected = samples_from(&media.bytes(), board.first_chunk(), 1);
    assert_plays(&board.played(), &expected, 8 * 16_000);
    // It was the origin of every fifth chunk, and they got all of them.
    assert!(board.status().get("sent") > 100, "{:?}", board.status());
    assert_all_had_everything(peers);
    drop(splitter);
}

#[test]
fn a_board_comes_back_when_the_splitter_was_restarted() {
    let _alone = alone();
    let lan = Lan::new(1);
    let args = ["--source", "music", "--max-team", "31", "--buffer", "16"];
    let mut splitter = lan.splitter(&args);
    let board = lan.board(0, &[]);
    board.wait_status(0, |status| status.state == "playing");
    splitter.signal(p2psp_tests::Signal::Kill);
    splitter.wait_exit(PATIENCE);
    let killed = board.status();
    let mark = board.mark();
    let _splitter = lan.splitter(&args);
    let again = board.wait_status(mark, |status| {
        status.get("joins") == killed.get("joins") + 1 && status.state == "playing"
    });
    println!("plays {:.1} s after the splitter was killed", again.at - killed.at);
}
