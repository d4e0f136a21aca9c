//! A running team under attack, over real sockets: it goes on without loss,
//! nobody is expelled, and no memory is taken.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use p2psp_core::wire::{self, FRAME_LENGTH_BYTES, MAX_DATAGRAM_BYTES, MAX_FRAME_BYTES, Message};
use p2psp_core::{ChunkNumber, Departure, NodeId, Role, Rules, Tag, TeamId};
use p2psp_tests::{PATIENCE, PlayerClient, Program, wait_until};

/// How much a process may grow under attack.
const MAX_GROWTH_KIB: u64 = 8 * 1024;
/// Datagrams sent in a row before the receivers get a moment, so that the
/// kernel's buffers hold them.
const DATAGRAMS_IN_A_ROW: usize = 50;

/// Small, seeded randomness (xorshift).
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 8) as usize % end
    }
}

/// A splitter, its monitor and two peers at play.
struct Team {
    splitter: Program,
    peers: [Program; 2],
    nodes: [String; 2],
    rss_kib: [u64; 3],
}

impl Team {
    fn start(args: &[&str]) -> Team {
        let mut all = vec!["--source", "music"];
        all.extend(args);
        let splitter = Program::splitter(&all);
        let peers = [(); 2].map(|()| Program::peer(splitter.addr(), &[]));
        let nodes = peers.each_ref().map(Program::node);
        for peer in &peers {
            peer.wait_event(PATIENCE, |line| line["event"] == "playing");
        }
        let mut team = Team { splitter, peers, nodes, rss_kib: [0; 3] };
        team.wait_for_progress(60);
        team.rss_kib = team.rss();
        team
    }

    /// The team sockets: splitter's, monitor's, peers'.
    fn sockets(&self) -> Vec<SocketAddr> {
        let joined = self.splitter.events_of("joined").into_iter();
        let addrs = joined.filter_map(|line| line["addr"].as_str().and_then(|at| at.parse().ok()));
        let all: Vec<SocketAddr> = std::iter::once(self.splitter.addr()).chain(addrs).collect();
        assert_eq!(all.len(), 4, "splitter, monitor, two peers: {all:?}");
        all
    }

    fn programs(&self) -> [&Program; 3] {
        [&self.splitter, &self.peers[0], &self.peers[1]]
    }

    fn rss(&self) -> [u64; 3] {
        self.programs().map(|program| {
            let status = std::fs::read_to_string(format!("/proc/{}/status", program.pid()))
                .expect("it runs");
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
            kib.expect("a size in kB")
        })
    }

    fn number(&self, peer: usize, field: &str) -> u64 {
        let stats = self.peers[peer].stats(&self.nodes[peer]);
        stats.and_then(|stats| stats[field].as_u64()).unwrap_or(0)
    }

    fn wait_for_progress(&self, chunks: u64) {
        let played = || [0, 1].map(|peer| self.number(peer, "chunks_played"));
        let before = played();
        let goes_on = wait_until(PATIENCE, || {
            played().iter().zip(before).all(|(now, before)| *now >= before + chunks)
        });
        assert!(goes_on, "{}\n{}", self.splitter.report(), self.peers[0].report());
    }

    /// Datagrams turned away so far, of splitter, monitor and peers.
    fn rejected(&self) -> [u64; 4] {
        let of = |program: &Program, node: &str| {
            program.stats(node).and_then(|stats| stats["rejected"].as_u64()).unwrap_or(0)
        };
        [
            of(&self.splitter, "S"),
            of(&self.splitter, "M0"),
            of(&self.peers[0], &self.nodes[0]),
            of(&self.peers[1], &self.nodes[1]),
        ]
    }

    /// The attack has done nothing: everybody is there, plays, has lost
    /// nothing and is no bigger.
    fn is_unharmed(&self) {
        self.wait_for_progress(120);
        for program in self.programs() {
            assert!(program.lost().is_empty(), "{}", program.report());
            assert_eq!(program.events_of("left").len(), 0, "{}", program.report());
        }
        let stats = self.splitter.stats("S").expect("reported each second");
        assert_eq!(stats["complaints"], 0);
        for (before, after) in self.rss_kib.into_iter().zip(self.rss()) {
            assert!(after <= before + MAX_GROWTH_KIB, "grew from {before} to {after} kB");
        }
    }

    fn end(mut self) {
        for (peer, node) in self.peers.iter_mut().zip(&self.nodes) {
            assert_eq!(peer.end(), 0);
            assert_eq!(peer.summary(node)["chunks_lost"], 0);
        }
        assert_eq!(self.splitter.end(), 0);
    }
}

/// A request to join with a team socket at `port`.
fn join_frame(port: u16) -> Vec<u8> {
    let mut buffer = [0; FRAME_LENGTH_BYTES + MAX_FRAME_BYTES];
    let message = Message::Join { port, role: Role::Peer, rules: Rules::Dbs, password: &[] };
    let len = wire::frame(TeamId(0), message, &mut buffer).expect("fits");
    buffer[..len].to_vec()
}

/// Joins and says no hello; what anybody who can connect learns: the team id.
fn team_id(splitter: SocketAddr) -> TeamId {
    let mut stream = TcpStream::connect(splitter).expect("it listens");
    stream.write_all(&join_frame(9)).expect("sent");
    stream.shutdown(std::net::Shutdown::Write).expect("open");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer, and an end");
    let (frame, _) = wire::deframe(&answer).expect("legal").expect("whole");
    let envelope = wire::decode(frame).expect("legal");
    assert!(matches!(envelope.message, Message::Welcome(_)));
    envelope.team
}

fn write(team: TeamId, message: Message<'_>) -> Vec<u8> {
    let mut buffer = [0; MAX_DATAGRAM_BYTES];
    let len = wire::encode(team, Tag::NONE, message, &mut buffer).expect("fits");
    buffer[..len].to_vec()
}

/// What one who knows the team's public number can forge.
fn forgeries(team: TeamId, members: &[SocketAddr]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for number in 0..4 {
        for role in [Role::Monitor, Role::Peer] {
            let id = NodeId { role, number };
            all.push(write(
                team,
                Message::Hello {
                    id,
                    answer: true,
                    rules: Rules::Dbs,
                    unicast: false,
                    status: None,
                },
            ));
            for reason in [Departure::Goodbye, Departure::Ended, Departure::Losses] {
                all.push(write(team, Message::Goodbye { id, reason }));
            }
        }
    }
    for number in [0, 5, 100, 500, 1 << 31].map(ChunkNumber::new) {
        all.push(write(team, Message::Lost { number }));
        for origin in members {
            let chunk = Message::Chunk { number, origin: *origin, payload: &[0xff; 1024] };
            all.push(write(team, chunk));
        }
    }
    all
}

#[test]
fn datagrams_from_strangers() {
    let team = Team::start(&[]);
    let sockets = team.sockets();
    let id = team_id(team.splitter.addr());
    let forgeries = forgeries(id, &sockets);
    let attacker = UdpSocket::bind("127.0.0.1:0").unwrap();
    let seed = 0x5eed_1001;
    let mut rng = Rng(seed);
    for round in 0..20_000 {
        let to = sockets[rng.below(sockets.len())];
        let bytes: Vec<u8> = match round % 4 {
            0 => (0..rng.below(1500)).map(|_| rng.next() as u8).collect(),
            1 => vec![rng.next() as u8, rng.next() as u8],
            2 => {
                let mut bytes = forgeries[rng.below(forgeries.len())].clone();
                let at = rng.below(bytes.len());
                bytes[at] = rng.next() as u8;
                bytes
            }
            _ => forgeries[rng.below(forgeries.len())].clone(),
        };
        let _ = attacker.send_to(&bytes, to);
        if round % DATAGRAMS_IN_A_ROW == 0 {
            thread::sleep(Duration::from_millis(1));
        }
    }
    // Most of them came through, and nothing came back.
    let counted = wait_until(PATIENCE, || team.rejected().iter().all(|count| *count > 2500));
    assert!(counted, "seed {seed:#x}: {:?}", team.rejected());
    attacker.set_nonblocking(true).unwrap();
    assert!(attacker.recv(&mut [0; 16]).is_err(), "an answer to a stranger");
    team.is_unharmed();
    team.end();
}

#[test]
fn connections_that_make_no_sense() {
    let mut team = Team::start(&[]);
    let at = team.splitter.addr();
    for _ in 0..200 {
        drop(TcpStream::connect(at).unwrap());
    }
    let open = |bytes: &[u8]| {
        let mut stream = TcpStream::connect(at).unwrap();
        stream.write_all(bytes).unwrap();
        stream
    };
    // Half a frame; half a length; a frame that is too long; noise; too much.
    let frame = join_frame(9);
    let mut held = vec![
        open(&frame[..frame.len() / 2]),
        open(&frame[..1]),
        open(&[0xff, 0xff, 1, 2, 3]),
        open(b"GET / HTTP/1.0\r\n\r\n"),
        open(&[0, 0]),
        open(&frame.repeat(100)),
    ];
    for stream in &mut held[2..5] {
        let mut answer = [0; 64];
        let read = stream.read(&mut answer).unwrap();
        let (frame, _) = wire::deframe(&answer[..read]).unwrap().expect("whole");
        let message = wire::decode(frame).unwrap().message;
        assert_eq!(message, Message::Refused(wire::Refusal::BadRequest));
    }
    // A hundred that say nothing, and a hundred that join and say no hello.
    let silent: Vec<TcpStream> = (0..100).map(|_| open(&[])).collect();
    let half_open: Vec<TcpStream> = (0..100).map(|n| open(&join_frame(20_000 + n))).collect();
    let third = Program::peer(at, &[]);
    third.wait_event(PATIENCE, |line| line["event"] == "playing");
    assert!(third.lost().is_empty());
    let size = |wanted: u64| {
        wait_until(PATIENCE, || team.splitter.stats("S").is_some_and(|s| s["peers"] == wanted))
    };
    assert!(size(4), "{}", team.splitter.report());
    team.is_unharmed();
    drop((held, silent, half_open));
    let mut third = third;
    assert_eq!(third.end(), 0);
    for program in [&mut team.splitter].into_iter().chain(&mut team.peers) {
        assert!(program.is_running());
    }
    team.end();
}

/// Bytes of the header that the built-in music has.
const WAV_HEADER: usize = 44;

/// The one costs the other nothing: who never reads, and who never asks.
#[test]
fn players_that_stall() {
    // Fast, so that there is soon more than all the buffers on the way hold.
    let team = Team::start(&["--rate", "6000", "--latency", "1"]);
    let at = team.peers[0].addr();
    let reference = PlayerClient::connect(team.peers[1].addr());
    let mut stalled = TcpStream::connect(at).unwrap();
    stalled.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let slow: Vec<TcpStream> = (0..40)
        .map(|n| {
            let mut stream = TcpStream::connect(at).unwrap();
            stream.write_all(&b"GET / HTTP/1.0\r\nHost: x"[..n % 20]).unwrap();
            stream
        })
        .collect();
    let good = PlayerClient::connect(at);
    let dropped = wait_until(PATIENCE, || team.number(0, "players_dropped") >= 1);
    assert!(dropped, "{}", team.peers[0].report());
    good.wait_len(good.len() + 1_000_000, PATIENCE);
    assert_eq!((good.end(), reference.end()), (None, None));
    assert!(team.peers[0].lost().is_empty());
    assert!(team.peers[1].lost().is_empty());
    let (good, reference) = (good.body(), reference.body());
    // The same header, and then each from where it began.
    assert_eq!(good[..WAV_HEADER], reference[..WAV_HEADER]);
    let (good, reference) = (&good[WAV_HEADER..], &reference[WAV_HEADER..]);
    let (mark, there) = match overlap(good, reference) {
        Some(at) => (good, &reference[at..]),
        None => (reference, &good[overlap(reference, good).expect("one stream")..]),
    };
    let len = mark.len().min(there.len());
    assert!(len > 2_000_000, "only {len} bytes to compare");
    assert!(mark[..len] == there[..len], "a byte is missing or wrong");
    drop((stalled, slow));
    team.end();
}

/// Where the beginning of `part` is in `whole`.
fn overlap(part: &[u8], whole: &[u8]) -> Option<usize> {
    let mark = &part[..512.min(part.len())];
    whole.windows(mark.len()).position(|window| window == mark)
}

/// Datagrams faster than they can be read: genuine ones may get lost in the
/// kernel, and a member whose hellos do has to come back; but the stream goes
/// on, others can join, and all play when it is over.
#[test]
fn a_flood_stops_nothing() {
    let team = Team::start(&[]);
    let sockets = team.sockets();
    let over = Arc::new(AtomicBool::new(false));
    let flooders: Vec<_> = [sockets[0], sockets[2]]
        .into_iter()
        .map(|to| {
            let over = Arc::clone(&over);
            thread::spawn(move || {
                let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                while !over.load(Ordering::Relaxed) {
                    let _ = socket.send_to(&[0; 2], to);
                }
            })
        })
        .collect();
    let sent = || team.splitter.stats("S").and_then(|s| s["chunks_sent"].as_u64()).unwrap_or(0);
    let before = sent();
    let goes_on = wait_until(PATIENCE, || sent() > before + 100);
    let newcomer = Program::peer(team.splitter.addr(), &[]);
    newcomer.wait_event(PATIENCE, |line| line["event"] == "playing");
    over.store(true, Ordering::Relaxed);
    for flooder in flooders {
        flooder.join().unwrap();
    }
    assert!(goes_on, "{}", team.splitter.report());
    // Of whatever name a peer has by now.
    let played = |peer: &Program| {
        peer.events_of("stats").last().and_then(|stats| stats["chunks_played"].as_u64())
    };
    for peer in &team.peers {
        let before = played(peer);
        let goes_on = wait_until(PATIENCE, || played(peer) > before.map(|chunks| chunks + 120));
        assert!(goes_on, "{}", peer.report());
    }
}
