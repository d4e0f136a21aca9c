//! Members that leave and die, a source that dies and comes back, a splitter
//! that does: with real processes, over loopback (PROTOCOL.md 2.5, 3.6, 7, 8).

use std::time::Instant;

use p2psp_tests::media::{Format, Media, find};
use p2psp_tests::program::{is, lost_numbers};
use p2psp_tests::{Icecast, PATIENCE, PlayerClient, Program, Signal, wait_for, wait_until};
use serde_json::Value;

/// Peers of a team, besides the monitor.
const PEERS: usize = 5;
/// The mount of all servers here.
const MOUNT: &str = "/live";

/// A splitter with its monitor, and peers that play.
fn team(source: &[&str]) -> (Program, Vec<Program>) {
    let splitter = Program::splitter(source);
    let join = |_| {
        let peer = Program::peer(splitter.addr(), &[]);
        peer.wait_joined();
        peer
    };
    let peers: Vec<_> = (0..PEERS).map(join).collect();
    for peer in &peers {
        peer.wait_event(PATIENCE, |line| is(line, "playing"));
    }
    (splitter, peers)
}

fn number(line: &Value, name: &str) -> u64 {
    line[name].as_u64().unwrap_or_else(|| panic!("no {name} in {line}"))
}

/// How many chunks the splitter has sent according to its latest numbers; so
/// many or more it has.
fn sent(splitter: &Program) -> u64 {
    splitter.stats("S").map_or(0, |stats| number(&stats, "chunks_sent"))
}

/// Waits until the splitter says its numbers anew; how many chunks it had
/// sent then.
fn sent_by_now(splitter: &Program) -> u64 {
    let stats = splitter.wait_event_after(splitter.mark(), PATIENCE, |line| {
        is(line, "stats") && line["node"] == "S"
    });
    number(&stats, "chunks_sent")
}

/// Waits until `peer` has played all chunks before `chunk`.
fn wait_played(peer: &Program, chunk: u64) {
    peer.wait_event_after(peer.mark(), PATIENCE, |line| {
        is(line, "stats") && number(line, "next_chunk") >= chunk
    });
}

/// Those who left according to the splitter.
fn left(splitter: &Program) -> Vec<String> {
    let events = splitter.events_of("left").into_iter().filter(|line| line["node"] == "S");
    events.map(|line| format!("{} {}", line["peer"], line["reason"]).replace('"', "")).collect()
}

#[test]
fn a_peer_that_says_goodbye_costs_the_others_nothing() {
    let (splitter, mut peers) = team(&["--source", "music", "--latency", "1"]);
    let mut leaver = peers.swap_remove(2);
    let name = leaver.node();
    let asked = Instant::now();
    leaver.signal(Signal::Term);
    assert_eq!(leaver.wait_exit(PATIENCE), 0, "{}", leaver.report());
    let took = asked.elapsed();
    splitter.wait_event(PATIENCE, |line| is(line, "left") && line["node"] == "S");
    assert_eq!(left(&splitter), [format!("{name} goodbye")]);
    assert_eq!(number(&leaver.summary(&name), "chunks_lost"), 0);
    // Long after what it may have owed the others.
    let after = sent_by_now(&splitter) + 200;
    for peer in &mut peers {
        wait_played(peer, after);
        assert_eq!(peer.lost(), [0; 0], "{}", peer.report());
        assert!(peer.is_running());
    }
    assert_eq!(splitter.lost(), [0; 0], "the monitor lost something");
    assert_eq!(left(&splitter).len(), 1, "nobody else left");
    println!("goodbye: {name} was gone after {took:.2?}, nobody lost a chunk");
}

#[test]
fn a_peer_that_dies_costs_only_what_it_was_the_origin_of() {
    let (splitter, mut peers) = team(&["--source", "music"]);
    let members = PEERS as u64 + 1;
    for peer in &peers {
        assert_eq!(peer.lost(), [0; 0], "before");
    }
    let mut victim = peers.swap_remove(1);
    let name = victim.node();
    // What was sent two rounds before may not have been forwarded by all.
    let before = sent(&splitter) - 2 * members;
    victim.signal(Signal::Kill);
    assert_eq!(victim.wait_exit(PATIENCE), 128 + 9);
    let killed = Instant::now();
    let is_left = |line: &Value| is(line, "left") && line["node"] == "S";
    let removal = splitter.wait_event(PATIENCE, is_left);
    let took = killed.elapsed();
    assert_eq!(removal["peer"], *name);
    let after = sent_by_now(&splitter);
    for peer in &mut peers {
        wait_played(peer, after + 500);
        assert!(peer.is_running());
    }
    let mut turns = Vec::new();
    let mut losses = Vec::new();
    for (who, lost) in peers
        .iter()
        .map(|peer| (peer.node(), peer.lost()))
        .chain([("M0".to_owned(), splitter.lost())])
    {
        for &chunk in &lost {
            let chunk = u64::from(chunk);
            assert!(chunk >= before, "{who} lost {chunk}, sent before the death ({before})");
            assert!(chunk < after, "{who} lost {chunk}, sent after the removal ({after})");
            turns.push(chunk % members);
        }
        losses.push(lost.len() as u64);
    }
    turns.sort_unstable();
    turns.dedup();
    assert!(turns.len() <= 1, "chunks of more than one origin were lost: {turns:?}");
    let most = (after - before) / members + 1;
    assert!(losses.iter().all(|&lost| lost <= most), "{losses:?} of at most {most}");
    assert_eq!(left(&splitter).len(), 1, "nobody else left: {:?}", left(&splitter));
    println!(
        "killed: {name} was removed ({}) after {took:.2?}; lost, each: {losses:?} of {} sent \
         between; all of one origin (turn {turns:?} of {members}); complaints {}",
        removal["reason"],
        after - before,
        splitter.stats("S").map_or(0, |stats| number(&stats, "complaints")),
    );
}

#[test]
fn a_source_that_dies_for_ten_seconds_keeps_the_team() {
    let source = Media::make(Format::Mp3, 60);
    let icecast = Icecast::start();
    let feed = icecast.mount_source(MOUNT, Format::Mp3, source.path());
    let first_part = icecast.listen(MOUNT);
    first_part.wait_len(1, PATIENCE);
    let (mut splitter, mut peers) = team(&["--source", &icecast.url(MOUNT)]);
    let players: Vec<_> = peers.iter().map(|peer| PlayerClient::connect(peer.addr())).collect();
    players.iter().for_each(|player| player.wait_len(30_000, PATIENCE));

    let state = |line: &Value, state: &str| is(line, "source") && line["state"] == state;
    let mark = splitter.mark();
    feed.kill();
    let down = splitter.wait_event_after(mark, PATIENCE, |line| state(line, "down"));
    let since = down["t"].as_f64().expect("checked when read");
    splitter.wait_event_after(mark, PATIENCE, |line| line["t"].as_f64() > Some(since + 10.0));
    assert!(players.iter().all(|player| player.end().is_none()), "players stay connected");

    // The second part is caught from its beginning: the server sends 64 KiB of
    // the past, which are 4 s.
    let _feed = icecast.mount_source(MOUNT, Format::Mp3, source.path());
    let second_part = icecast.listen(MOUNT);
    let up = splitter.wait_event_after(mark, PATIENCE, |line| state(line, "up"));
    let outage = up["t"].as_f64().expect("checked when read") - since;
    let go_on: Vec<_> = players.iter().map(|player| player.len() + 60_000).collect();
    for (player, len) in players.iter().zip(go_on) {
        player.wait_len(len, PATIENCE);
        assert_eq!(player.end(), None, "players stay connected");
    }
    assert_eq!(left(&splitter), [""; 0], "the team is kept");
    for peer in &mut peers {
        assert!(peer.is_running(), "{}", peer.report());
        assert_eq!(peer.lost(), [0; 0], "{}", peer.report());
        assert_eq!(peer.events_of("playing").len(), 1, "goes on with what it played before");
        assert_eq!(peer.events_of("left").len(), 0);
    }
    assert!(splitter.is_running());
    assert_eq!(splitter.lost(), [0; 0]);

    let first = first_part.body();
    for (player, peer) in players.iter().zip(&peers) {
        let body = player.body();
        let from = find(&first, &body[..10_000]).expect("what the server sent first");
        let same = first[from..].iter().zip(&body).take_while(|(a, b)| a == b).count();
        let missing = first.len() - from - same;
        let come = wait_until(PATIENCE, || find(&second_part.body(), &body[same..]) == Some(0));
        assert!(come, "what the server sent then, from its first byte on\n{}", peer.report());
        assert_eq!(missing, 0, "all that the server sent first");
    }
    assert_eq!(splitter.end(), 0);
    println!(
        "source dead for {outage:.1} s ({}): team and players kept, no chunk lost, both parts \
         whole, {} bytes then {} bytes",
        down["detail"],
        first.len(),
        second_part.len()
    );
}

#[test]
fn a_splitter_that_dies_and_comes_back_gets_its_team_back() {
    let (mut splitter, mut peers) = team(&["--source", "music", "--latency", "1"]);
    let players: Vec<_> = peers.iter().map(|peer| PlayerClient::connect(peer.addr())).collect();
    players.iter().for_each(|player| player.wait_len(1, PATIENCE));
    let marks: Vec<_> = peers.iter().map(Program::mark).collect();
    let addr = splitter.addr().to_string();
    splitter.signal(Signal::Kill);
    assert_eq!(splitter.wait_exit(PATIENCE), 128 + 9);
    let killed = Instant::now();
    let listen = ["--source", "music", "--latency", "1", "--listen", &addr];
    let mut splitter = Program::splitter(&listen);
    for (peer, mark) in peers.iter().zip(&marks) {
        peer.wait_event_after(*mark, PATIENCE, |line| is(line, "playing"));
    }
    let took = killed.elapsed();
    let joined = wait_for(PATIENCE, || {
        let joined = splitter.events_of("joined");
        let joined = joined.iter().filter(|line| line["node"] == "S").count();
        (joined > PEERS).then_some(joined)
    });
    assert_eq!(joined, Some(PEERS + 1), "each joins once");
    // They play on, in the connections that their players have.
    let lens: Vec<_> = players.iter().map(|player| player.len() + 200_000).collect();
    for (player, len) in players.iter().zip(lens) {
        player.wait_len(len, PATIENCE);
        assert_eq!(player.end(), None);
    }
    let mut lost = Vec::new();
    for (peer, mark) in peers.iter_mut().zip(marks) {
        assert!(peer.is_running());
        let events = peer.events();
        let playing = events.iter().rposition(|line| is(line, "playing")).expect("it plays");
        assert!(playing >= mark);
        // They join at the same time: in the first two rounds one may not be
        // known to all others yet.
        let first = number(&events[playing], "first");
        let all_know = first + 2 * (PEERS as u64 + 1);
        let late = |chunk: &u32| u64::from(*chunk) >= all_know;
        let after = events[playing..].iter().filter(|line| is(line, "lost"));
        assert!(!after.flat_map(lost_numbers).any(|chunk| late(&chunk)), "{}", peer.report());
        lost.push(peer.lost().len());
    }
    peers.iter_mut().for_each(|peer| peer.signal(Signal::Term));
    for peer in &mut peers {
        assert_eq!(peer.wait_exit(PATIENCE), 0, "{}", peer.report());
    }
    assert_eq!(splitter.end(), 0);
    println!(
        "splitter killed and restarted: all {PEERS} peers play again {took:.2?} after its death; \
         chunks lost by each: {lost:?}"
    );
}

/// 6.4: chunk numbers wrap in mid-stream, and nobody notices. The file is
/// played byte for byte across the wrap.
#[test]
fn chunk_numbers_wrap_in_mid_stream() {
    let media = Media::make(Format::Mp3, 6);
    let all = media.bytes();
    // The wrap comes in the middle of the file.
    let first = u32::MAX - (all.len() / 1024 / 2) as u32;
    let first_chunk = first.to_string();
    let args = ["--source", media.arg(), "--first-chunk", &first_chunk, "--latency", "0.5"];
    let mut splitter = Program::splitter(&args);
    let mut peers = [(); 2].map(|()| Program::peer(splitter.addr(), &[]));
    let players = peers.each_ref().map(|peer| PlayerClient::connect(peer.addr()));
    assert_eq!(splitter.wait_exit(PATIENCE), 0, "{}", splitter.report());
    for (peer, player) in peers.iter_mut().zip(players) {
        player.wait_end(PATIENCE);
        assert_eq!(peer.wait_exit(PATIENCE), 0, "{}", peer.report());
        let body = player.body();
        let at = find(&all, &body).expect("a part of the file, without a hole");
        assert_eq!(at + body.len(), all.len(), "to its last byte");
        assert!(body.len() > all.len() / 2, "from before the wrap on");
        let summary = peer.summary(&peer.node());
        assert_eq!(number(&summary, "chunks_lost"), 0, "{summary}");
    }
}
