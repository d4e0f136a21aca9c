//! Live streams through the real thing: Icecast and ffmpeg feed a splitter,
//! peers are processes of their own, players read what they play. And the
//! splitter's upload, and ends in good order.

use std::time::{Duration, Instant};

use p2psp_tests::media::{self, Format, Media, find, ogg_header_len};
use p2psp_tests::program::is;
use p2psp_tests::{Icecast, PATIENCE, PlayerClient, Program, Signal, wait_until};

/// Far above what is wanted (2 s): a busy machine must not fail a test.
const MAX_START: Duration = Duration::from_secs(10);
/// Chunk length of all teams here.
const CHUNK: usize = 1024;
/// The mount of all servers here.
const MOUNT: &str = "/live";

/// A peer and a player that listens to it.
struct Listener {
    peer: Program,
    player: PlayerClient,
}

impl Listener {
    fn join(splitter: &Program, args: &[&str]) -> Listener {
        let peer = Program::peer(splitter.addr(), args);
        let player = PlayerClient::connect(peer.addr());
        peer.wait_joined();
        Listener { peer, player }
    }
}

/// What follows the stream's header, which has to be that of `reference`.
fn without_header(format: Format, body: &[u8], reference: &[u8]) -> Vec<u8> {
    if format != Format::Ogg {
        return body.to_vec();
    }
    let header = ogg_header_len(reference);
    assert!(header > 0, "the server's stream begins with its header");
    assert!(body.starts_with(&reference[..header]), "a player gets the header first");
    body[header..].to_vec()
}

/// Complaints but those about the pictures before the first one that needs no
/// other: a transport stream is joined anywhere.
fn without_first_pictures(format: Format, complaints: &str) -> String {
    let about_them = |line: &&str| {
        line.contains("mpeg2video") && line.ends_with("Invalid frame dimensions 0x0.")
            || line.trim_start().starts_with("Last message repeated")
    };
    if format != Format::MpegTs {
        return complaints.to_owned();
    }
    complaints.lines().skip_while(about_them).collect()
}

/// Five peers, then a sixth, at an Icecast mount of `format`; every player
/// gets at least `bytes` bytes.
fn through_icecast(format: Format, bytes: usize) {
    let source = Media::make(format, 60);
    let icecast = Icecast::start();
    let _feed = icecast.mount_source(MOUNT, format, source.path());
    let reference = icecast.listen(MOUNT);
    reference.wait_len(1, PATIENCE);
    let mut splitter = Program::splitter(&["--source", &icecast.url(MOUNT)]);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("out");

    let mut team = vec![Listener::join(&splitter, &["--out", out.to_str().expect("plain")])];
    team.extend((1..5).map(|_| Listener::join(&splitter, &[])));
    for listener in &team {
        listener.peer.wait_event(PATIENCE, |line| is(line, "playing"));
        listener.player.wait_len(bytes / 4, PATIENCE);
    }
    let joined = Instant::now();
    team.push(Listener::join(&splitter, &[]));
    let sixth = team.last().expect("just joined");
    sixth.player.wait_len(1, PATIENCE);
    let sixth_plays = sixth.player.first_body_at().expect("it plays") - joined;
    for listener in &team {
        listener.player.wait_len(bytes, PATIENCE);
    }
    let start = media::time_to_sound(&format!("http://{}/", team[2].peer.addr()));
    let direct = media::time_to_sound(&icecast.url(MOUNT));
    assert!(start < MAX_START, "ffmpeg needed {start:?} until the first sound");

    team.iter_mut().for_each(|listener| listener.peer.signal(Signal::Term));
    for listener in &mut team {
        assert_eq!(listener.peer.wait_exit(PATIENCE), 0, "{}", listener.peer.report());
        listener.player.wait_end(PATIENCE);
    }
    assert_eq!(splitter.end(), 0, "{}", splitter.report());

    let all = reference.body();
    let mut report = String::new();
    for (index, Listener { peer, player }) in team.iter().enumerate() {
        let body = player.body();
        let media = without_header(format, &body, &all);
        let at = find(&all, &media);
        assert!(at.is_some(), "peer {index}: bytes differ from the server's\n{}", peer.report());
        assert_eq!(peer.lost(), [0; 0], "peer {index}");
        let head = player.head().expect("an answer");
        let content_type = format!("Content-Type: {}\r\n", format.content_type());
        assert!(head.starts_with("HTTP/1.0 200 ") && head.contains(&content_type), "{head}");
        let decoded = media::decode(format, &body);
        assert_eq!(without_first_pictures(format, &decoded.complaints), "", "peer {index}");
        assert!(decoded.seconds > 3.0, "peer {index}: {} s of sound", decoded.seconds);
        let summary = peer.summary(&peer.node());
        assert_eq!(summary["chunks_lost"], 0, "{summary}");
        report += &format!(
            " {} bytes at {} ({:.1} s, {} dup, {} late);",
            body.len(),
            at.unwrap_or_default(),
            decoded.seconds,
            summary["duplicates"],
            summary["late"]
        );
    }
    let written = std::fs::read(&out).expect("--out writes the file");
    assert!(written == team[0].player.body(), "--out and the player of one peer differ");
    assert_eq!(splitter.lost(), [0; 0], "its monitor lost something");
    let summary = splitter.summary("S");
    assert!(summary["bytes_out"].as_u64() <= summary["bytes_in"].as_u64(), "{summary}");
    assert_eq!(summary["peers_max"], 7, "{summary}");
    println!("{format:?}: server {} bytes, players{report}", all.len());
    println!(
        "{format:?}: ffmpeg's first sound after {start:.2?} (straight from Icecast {direct:.2?}); \
         sixth peer's player: \
         first byte {sixth_plays:.2?} after the start of its process; upload {} / {} bytes",
        summary["bytes_out"], summary["bytes_in"]
    );
}

#[test]
fn mp3_from_icecast_is_played_to_the_bit() {
    through_icecast(Format::Mp3, 150_000);
}

#[test]
fn ogg_vorbis_from_icecast_is_played_to_the_bit() {
    through_icecast(Format::Ogg, 150_000);
}

#[test]
fn mpeg_ts_from_icecast_is_played_to_the_bit() {
    through_icecast(Format::MpegTs, 250_000);
}

#[test]
fn a_splitter_uploads_its_stream_once_whatever_the_number_of_peers() {
    println!(
        "{:>5} {:>12} {:>12} {:>7} {:>22}",
        "peers", "bytes in", "bytes out", "ratio", "sent a chunk, all nodes"
    );
    for peers in [2_u64, 5, 10, 20] {
        let mut demo = Program::start(&["demo", "--peers", &peers.to_string(), "--for", "5"]);
        assert_eq!(demo.wait_exit(PATIENCE), 0, "{}", demo.report());
        let summary = demo.summary("S");
        let number = |name: &str| summary[name].as_u64().expect("a number");
        let (bytes_in, bytes_out) = (number("bytes_in"), number("bytes_out"));
        assert!(bytes_in > 100_000, "{summary}");
        // The source waits for the team, so that there is one from the first
        // chunk on.
        assert_eq!(bytes_out, bytes_in, "{peers} peers");
        assert_eq!(number("peers_max"), peers + 1, "{peers} peers and a monitor");
        let by_peers: u64 = demo
            .events_of("summary")
            .iter()
            .filter_map(|line| line["chunks_sent"].as_u64().filter(|_| line["node"] != "S"))
            .sum();
        let ratio = bytes_out as f64 / bytes_in as f64;
        let sent = number("chunks_sent");
        let a_chunk = (by_peers + sent) as f64 / sent as f64;
        assert!(a_chunk <= (peers + 1) as f64, "{a_chunk} transmissions a chunk");
        println!("{peers:>5} {bytes_in:>12} {bytes_out:>12} {ratio:>7.4} {a_chunk:>22.2}");
    }
}

#[test]
fn a_splitter_ends_in_good_order_when_interrupted() {
    let mut splitter = Program::splitter(&["--source", "music"]);
    let mut peer = Program::peer(splitter.addr(), &["--out", "/dev/null"]);
    peer.wait_event(PATIENCE, |line| is(line, "playing"));
    splitter.signal(Signal::Int);
    assert_eq!(splitter.wait_exit(PATIENCE), 0, "{}", splitter.report());
    ends_with_the_splitters_summary(&splitter);
    // It said goodbye: the peer plays out what it has and ends by itself.
    assert_eq!(peer.wait_exit(PATIENCE), 0, "{}", peer.report());
    let (sent, summary) = (splitter.summary("S"), peer.summary(&peer.node()));
    assert_eq!((&summary["chunks_lost"], &peer.lost()), (&0.into(), &vec![]), "{summary}");
    assert_eq!(summary["chunks_played"], summary["chunks_received"], "{summary}");
    println!("interrupted: splitter sent {} chunks, {summary}", sent["chunks_sent"]);
}

#[test]
fn a_demo_ends_in_good_order_when_interrupted() {
    let mut demo = Program::start(&["demo", "--peers", "3"]);
    for peer in ["P1", "P2", "P3"] {
        demo.wait_event(PATIENCE, |line| is(line, "playing") && line["node"] == peer);
    }
    demo.signal(Signal::Int);
    assert_eq!(demo.wait_exit(PATIENCE), 0, "{}", demo.report());
    ends_with_the_splitters_summary(&demo);
    let mut nodes: Vec<String> = demo
        .events_of("summary")
        .iter()
        .map(|line| line["node"].as_str().expect("checked when read").to_owned())
        .collect();
    nodes.sort();
    assert_eq!(nodes, ["M0", "P1", "P2", "P3", "S"]);
}

fn ends_with_the_splitters_summary(program: &Program) {
    let events = program.events();
    let last = events.last().expect("it said something");
    assert!(is(last, "summary") && last["node"] == "S", "last word: {last}");
}

#[test]
fn a_wav_file_is_played_to_its_last_byte() {
    file_to_its_end(Format::Wav);
}

#[test]
fn an_mp3_file_is_played_to_its_last_byte() {
    file_to_its_end(Format::Mp3);
}

fn file_to_its_end(format: Format) {
    let source = Media::make(format, 6);
    let file = source.bytes();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut splitter = Program::splitter(&["--source", source.arg()]);
    let mut team: Vec<_> = (0..3)
        .map(|index| {
            let out = folder.path().join(index.to_string());
            let peer = Program::peer(splitter.addr(), &["--out", out.to_str().expect("plain")]);
            let player = PlayerClient::connect(peer.addr());
            peer.wait_joined();
            (peer, player, out)
        })
        .collect();
    assert_eq!(splitter.wait_exit(PATIENCE), 0, "{}", splitter.report());
    ends_with_the_splitters_summary(&splitter);
    splitter.wait_event(PATIENCE, |line| is(line, "source") && line["state"] == "ended");
    let (monitor, sent) = (splitter.summary("M0"), splitter.summary("S"));
    assert_eq!(sent["bytes_in"], file.len(), "{sent}");
    assert_eq!(sent["bytes_out"], file.len(), "{sent}");
    assert_eq!(monitor["bytes_played"], file.len(), "it was there from the start: {monitor}");
    for (peer, player, out) in &mut team {
        assert_eq!(peer.wait_exit(PATIENCE), 0, "{}", peer.report());
        let playing = peer.wait_event(PATIENCE, |line| is(line, "playing"));
        let first = playing["first"].as_u64().expect("a chunk number") as usize;
        let summary = peer.summary(&peer.node());
        assert_eq!(peer.lost(), [0; 0]);
        assert_eq!(summary["chunks_lost"], 0, "{summary}");
        assert_eq!(summary["bytes_played"], file.len() - first * CHUNK, "{summary}");
        let written = std::fs::read(&out).expect("--out writes the file");
        let missed = from_where_it_started(format, &file, first * CHUNK, &written);
        player.wait_end(PATIENCE);
        assert!(player.body() == written, "--out and the player differ");
        println!("{format:?} file: from chunk {first} on, {missed} bytes up to the first frame");
    }
}

/// `written` has to be all of `file` from the first place at or behind `from`
/// where a decoder can start; how far behind that is.
fn from_where_it_started(format: Format, file: &[u8], from: usize, written: &[u8]) -> usize {
    let media = match format {
        // The header goes before the first byte of whoever came later.
        Format::Wav if from > 0 => {
            let data = find(file, b"data").expect("a WAV file has data") + 8;
            assert!(written.starts_with(&file[..data]), "a header first");
            &written[data..]
        }
        _ => written,
    };
    assert!(file.ends_with(media), "the tail is missing, or something before it");
    let missed = file.len() - media.len() - from;
    assert!(missed < 1024, "a frame begins within {missed} bytes");
    missed
}

#[test]
fn a_newcomer_gets_what_is_buffered_at_once() {
    let splitter = Program::splitter(&["--source", "music"]);
    let peer = Program::peer(splitter.addr(), &[]);
    let before = PlayerClient::connect(peer.addr());
    before.wait_len(media_burst(), PATIENCE);
    let newcomer = PlayerClient::connect(peer.addr());
    newcomer.wait_len(media_burst() / 2, PATIENCE);
    let played = wait_until(PATIENCE, || find(&before.body(), &newcomer.body()[44..]).is_some());
    assert!(played, "two players of one peer get the same");
}

/// What a peer gives a newcomer at once.
fn media_burst() -> usize {
    p2psp_tui::player::BURST_BYTES
}
