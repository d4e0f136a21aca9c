//! Datagrams that nobody should have sent: noise, forgeries, lies of members.
//! Each is turned away for its reason, changes nothing and costs no chunk.

mod team;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use p2psp_core::wire::{self, Acquaintance, MAX_DATAGRAM_BYTES, Message};
use p2psp_core::{
    ChunkNumber, Departure, Key, Node, NodeId, Peer, PeerEvent, PeerStats, PlayerState,
    PlayerStatus, Playout, Reject, Role, Rules, Splitter, SplitterStats, Tag, TeamId,
};
use team::{CHUNK, InFlight, Rng, TEAM, Team, config, endpoint, payload};

/// More than any datagram may cause: whoever has more to send never ends.
const ENDLESS: usize = 10_000;
/// The splitter's key in [`config`].
const SPLITTER_KEY: Key = Key::new([42; 16]);
/// The largest status, which no member has.
const LIE: PlayerStatus = PlayerStatus {
    state: PlayerState::Playing,
    level_ms: u16::MAX,
    concealed: u32::MAX,
    underruns: u32::MAX,
};

fn stranger() -> SocketAddr {
    SocketAddr::from(([203, 0, 113, 66], 666))
}

fn write(team: TeamId, tag: Tag, message: Message<'_>) -> Vec<u8> {
    let mut buf = [0; MAX_DATAGRAM_BYTES];
    let len = wire::encode(team, tag, message, &mut buf).expect("fits");
    buf[..len].to_vec()
}

/// A `[hello]` with a status that must not be believed.
fn hello(id: NodeId, answer: bool) -> Message<'static> {
    Message::Hello { id, answer, rules: Rules::Dbs, unicast: false, status: Some(LIE) }
}

fn key_of(team: &mut Team, index: usize) -> Key {
    let number = team.members[index].peer().id().number;
    SPLITTER_KEY.of_member(team.members[index].endpoint, number)
}

/// The tag of datagrams between two members.
fn pair_tag(team: &mut Team, a: usize, b: usize) -> Tag {
    let number = |team: &mut Team, index: usize| team.members[index].peer().id().number;
    let (older, younger) = if number(team, a) < number(team, b) { (a, b) } else { (b, a) };
    key_of(team, older).tag(team.members[younger].endpoint)
}

fn splitter_tag(team: &mut Team, index: usize) -> Tag {
    key_of(team, index).splitter_tag()
}

/// Takes everything that a node wants to send.
fn drain<N: Node>(node: &mut N) -> Vec<(SocketAddr, Vec<u8>)> {
    let mut buf = [0; MAX_DATAGRAM_BYTES];
    let mut sent = Vec::new();
    while let Some(transmit) = node.poll_transmit(&mut buf) {
        sent.push((transmit.to, buf[..transmit.len].to_vec()));
        assert!(sent.len() < ENDLESS, "sends without end");
    }
    sent
}

/// All that can be seen of a peer but the counters of what it turned away.
fn peer_state(team: &mut Team, index: usize) -> String {
    let (forward, pending) = (team.forward(index), team.pending(index));
    let peer = team.members[index].peer();
    let stats = PeerStats { rejects: Default::default(), ..*peer.stats() };
    let neighbours: Vec<_> = peer.neighbours().collect();
    let (buffer, phase, deadline) = (peer.buffer(), peer.phase(), peer.poll_timeout());
    format!("{forward} {pending} {stats:?} {neighbours:?} {buffer:?} {phase:?} {deadline:?}")
}

/// All that can be seen of the splitter but the counters of what it turned
/// away.
fn splitter_state(team: &mut Team) -> String {
    let splitter = team.splitter();
    let stats = SplitterStats { rejects: Default::default(), ..*splitter.stats() };
    let members: Vec<_> = splitter.members().collect();
    format!("{members:?} {stats:?} {} {:?}", splitter.next_chunk(), splitter.poll_timeout())
}

/// Turned away for this reason, counted, nothing sent, nothing changed.
#[track_caller]
fn peer_rejects(team: &mut Team, index: usize, from: SocketAddr, bytes: &[u8], reason: Reject) {
    let (now, before) = (team.now, peer_state(team, index));
    let mut peer = team.members[index].peer();
    let count = peer.stats().rejects.get(reason);
    assert_eq!(peer.handle_datagram(now, from, bytes), Err(reason));
    assert_eq!(peer.stats().rejects.get(reason), count + 1);
    assert_eq!(drain(&mut peer), [], "no answer");
    assert_eq!(peer.poll_event(), None);
    assert_eq!(peer_state(team, index), before);
}

#[track_caller]
fn splitter_rejects(team: &mut Team, from: SocketAddr, bytes: &[u8], reason: Reject) {
    let (now, before) = (team.now, splitter_state(team));
    let mut splitter = team.splitter();
    let count = splitter.stats().rejects.get(reason);
    assert_eq!(splitter.handle_datagram(now, from, bytes), Err(reason));
    assert_eq!(splitter.stats().rejects.get(reason), count + 1);
    assert_eq!(drain(&mut splitter), [], "no answer");
    assert_eq!(splitter.poll_event(), None);
    assert_eq!(splitter_state(team), before);
}

/// The team goes on: nobody leaves, nobody loses a chunk.
#[track_caller]
fn plays_on(team: &mut Team) {
    let size = team.size();
    let before: Vec<_> =
        team.members.iter().map(|member| (member.played.len(), member.lost())).collect();
    team.cut_many(12 * size);
    assert_eq!(team.size(), size);
    for (index, (played, lost)) in before.into_iter().enumerate() {
        let member = &team.members[index];
        if !member.dead {
            assert_eq!(member.lost(), lost, "member {index}");
            assert!(member.played.len() >= played + 11 * size, "member {index}");
        }
    }
}

/// A team of `M0 P1 P2 P3` at play.
fn playing() -> Team {
    let mut team = Team::of(4, config(8));
    team.cut_many(40);
    team
}

/// Genuine datagrams of every kind, as they were sent.
fn genuine() -> (Team, Vec<InFlight>) {
    let seen: Rc<RefCell<Vec<InFlight>>> = Rc::default();
    let copy = seen.clone();
    let mut team = Team::new(config(8));
    let mut chunks = 0;
    team.drop = Box::new(move |datagram| {
        copy.borrow_mut().push(datagram.clone());
        // A loss now and then, for the monitor to complain about.
        let chunk = matches!(wire::decode(&datagram.bytes).unwrap().message, Message::Chunk { .. });
        chunks += usize::from(chunk);
        chunk && chunks.is_multiple_of(41)
    });
    for index in 0..6 {
        team.join(if index == 0 { Role::Monitor } else { Role::Peer });
    }
    team.cut_many(70);
    team.members[1].peer().set_status(Some(PlayerStatus { level_ms: 480, ..LIE }));
    team.pass(Duration::from_millis(1100));
    let now = team.now;
    team.members[5].peer().leave(now);
    team.settle();
    team.members[5].dead = true;
    team.drop = Box::new(|_| false);
    team.cut_many(60);
    let seen = seen.take();
    let kind = |wanted: u8| seen.iter().filter(|one| one.bytes[13] == wanted).count();
    assert!((0..4).all(|wanted| kind(wanted) > 0), "chunk, hello, goodbye, lost");
    (team, seen)
}

#[test]
fn noise_is_turned_away_and_costs_nothing() {
    let (mut team, genuine) = genuine();
    let seed = 0x5eed_0001;
    let mut rng = Rng(seed);
    let sources: Vec<SocketAddr> =
        (0..5).map(endpoint).chain([stranger(), team.splitter_endpoint]).collect();
    let before: Vec<String> = (0..5).map(|index| peer_state(&mut team, index)).collect();
    let splitter_before = splitter_state(&mut team);
    let mut count = [0; 6];
    for round in 0..60_000 {
        let original = &genuine[rng.below(genuine.len())].bytes;
        let bytes = match round % 3 {
            0 => {
                let len = rng.below(if round % 2 == 0 { 40 } else { MAX_DATAGRAM_BYTES });
                rng.bytes(len)
            }
            1 => original[..rng.below(original.len())].to_vec(),
            _ => {
                let mut bytes = original.clone();
                for _ in 0..rng.below(4) {
                    let at = rng.below(bytes.len());
                    bytes[at] ^= 1 << rng.below(8);
                }
                // And one in the tag that no other can undo.
                let at = 5 + rng.below(8);
                bytes[at] = !original[at];
                bytes
            }
        };
        let (from, now) = (sources[rng.below(sources.len())], team.now);
        let to = rng.below(6);
        let result = if to == 5 {
            team.splitter().handle_datagram(now, from, &bytes)
        } else {
            team.members[to].peer().handle_datagram(now, from, &bytes)
        };
        assert!(result.is_err(), "seed {seed:#x}, round {round}: {bytes:?} from {from}");
        count[to] += 1;
    }
    for index in 0..5 {
        let mut peer = team.members[index].peer();
        assert!(peer.stats().rejects.total() >= count[index]);
        assert_eq!(drain(&mut peer), [], "no answer");
        assert_eq!(peer_state(&mut team, index), before[index]);
    }
    assert!(team.splitter().stats().rejects.total() >= count[5]);
    assert_eq!(drain(&mut team.splitter()), [], "no answer");
    assert_eq!(splitter_state(&mut team), splitter_before);
    plays_on(&mut team);
}

/// Mutations with a right tag may do harm, for tags don't cover the payload;
/// but never more than that: no panic, no end without end.
#[test]
fn mutations_with_the_right_tag_neither_crash_nor_stall() {
    let (mut team, genuine) = genuine();
    let seed = 0x5eed_0002;
    let mut rng = Rng(seed);
    let mut sent = 0;
    for round in 0..60_000 {
        let InFlight { from, to, bytes, .. } = &genuine[rng.below(genuine.len())];
        let mut bytes = bytes.clone();
        for _ in 0..1 + rng.below(3) {
            // Mostly what is behind the tag.
            let first = if rng.below(10) == 0 { 0 } else { 13 };
            let at = first + rng.below(bytes.len() - first);
            bytes[at] = if rng.below(2) == 0 { rng.next() as u8 } else { bytes[at] ^ 0x80 };
        }
        let now = team.now + Duration::from_micros(100);
        team.now = now;
        if *to == team.splitter_endpoint {
            let mut splitter = team.splitter();
            let _ = splitter.handle_datagram(now, *from, &bytes);
            sent += drain(&mut splitter).len();
            while splitter.poll_event().is_some() {}
        } else if let Some(member) =
            team.members.iter_mut().take(5).find(|member| member.endpoint == *to)
        {
            let mut peer = member.peer();
            let _ = peer.handle_datagram(now, *from, &bytes);
            sent += drain(&mut peer).len();
            let mut steps = 0;
            while peer.next_chunk() != Playout::NotYet {
                steps += 1;
                assert!(steps < ENDLESS, "seed {seed:#x}, round {round}: plays without end");
            }
            peer.handle_timeout(now);
            assert!(peer.poll_timeout().is_none_or(|next| next > now), "seed {seed:#x}");
            while peer.poll_event().is_some() {}
        }
    }
    assert!(sent < 4 * 60_000, "seed {seed:#x}: {sent} datagrams were caused by 60,000");
}

/// Who was never admitted, or speaks from another's address.
#[test]
fn strangers_and_forgers_get_nothing_from_a_peer() {
    let mut team = playing();
    let (p2, p3, splitter) = (endpoint(2), endpoint(3), team.splitter_endpoint);
    let id = NodeId { role: Role::Peer, number: 2 };
    let right = pair_tag(&mut team, 1, 2);
    let wrong = pair_tag(&mut team, 0, 2);
    let number = team.newest.next();
    let bytes = payload(number);
    let chunk = Message::Chunk { number, origin: p2, payload: &bytes };
    let hello = hello(id, true);
    let goodbye = Message::Goodbye { id, reason: Departure::Goodbye };
    let own = splitter_tag(&mut team, 2);
    for (from, tag, message, reason) in [
        (stranger(), Tag::NONE, chunk, Reject::Stranger),
        (stranger(), wrong, chunk, Reject::Stranger),
        (stranger(), right, chunk, Reject::Stranger),
        (stranger(), Tag::NONE, hello, Reject::Stranger),
        (stranger(), Tag::NONE, goodbye, Reject::Stranger),
        (stranger(), Tag::NONE, Message::Lost { number }, Reject::Unexpected),
        // Replayed from elsewhere.
        (stranger(), right, hello, Reject::Stranger),
        (p3, right, hello, Reject::Forged),
        (p3, right, goodbye, Reject::Forged),
        // From a forged address.
        (p2, Tag::NONE, chunk, Reject::Forged),
        (p2, wrong, hello, Reject::Forged),
        (p2, wrong, goodbye, Reject::Forged),
        (endpoint(1), right, hello, Reject::Forged),
        (splitter, Tag::NONE, chunk, Reject::Stranger),
        (splitter, own, goodbye, Reject::Stranger),
    ] {
        peer_rejects(&mut team, 1, from, &write(TEAM, tag, message), reason);
    }
    plays_on(&mut team);
}

/// A tag proves who speaks, not that it makes sense.
#[test]
fn a_peer_takes_from_nobody_what_is_not_theirs_to_say() {
    let mut team = playing();
    let (p1, p2, splitter) = (endpoint(1), endpoint(2), team.splitter_endpoint);
    let (pair, own) = (pair_tag(&mut team, 1, 2), splitter_tag(&mut team, 1));
    let me = team.members[1].peer().id();
    let id = team.members[2].peer().id();
    let number = team.newest.next();
    let bytes = payload(number);
    let long = [7; CHUNK + 1];
    let member = Acquaintance { id, endpoint: stranger(), rules: Rules::Dbs, tag: Tag::NONE };
    let reason = Departure::Losses;
    for (from, tag, message, reason) in [
        // A chunk that claims to be mine; my own, come back.
        (p2, pair, Message::Chunk { number, origin: p1, payload: &bytes }, Reject::Unexpected),
        (p2, pair, hello(me, false), Reject::Unexpected),
        (p2, pair, Message::Chunk { number, origin: p2, payload: &long }, Reject::Malformed),
        (p2, pair, Message::Lost { number }, Reject::Unexpected),
        (p2, pair, Message::Admitted, Reject::Unexpected),
        (p2, pair, Message::Title { from: number, text: "x" }, Reject::Unexpected),
        (p2, pair, Message::Member(member), Reject::Unexpected),
        // Not even the splitter.
        (splitter, own, Message::Chunk { number, origin: p2, payload: &bytes }, Reject::Malformed),
        (splitter, own, Message::Chunk { number, origin: p1, payload: &long }, Reject::Malformed),
        (splitter, own, hello(id, false), Reject::Unexpected),
        (splitter, own, Message::Goodbye { id, reason }, Reject::Unexpected),
        (splitter, own, Message::Lost { number }, Reject::Unexpected),
        (splitter, own, Message::Admitted, Reject::Unexpected),
    ] {
        peer_rejects(&mut team, 1, from, &write(TEAM, tag, message), reason);
    }
    let hello = hello(id, true);
    peer_rejects(&mut team, 1, p2, &write(TeamId(1), pair, hello), Reject::OtherTeam);
    let mut other_version = write(TEAM, pair, hello);
    other_version[0] = wire::VERSION + 1;
    peer_rejects(&mut team, 1, p2, &other_version, Reject::Version);
    plays_on(&mut team);
}

#[test]
fn a_splitter_believes_only_members_about_themselves_and_monitors_about_losses() {
    let mut team = playing();
    let (m0, p1, p2) = (endpoint(0), endpoint(1), endpoint(2));
    let (monitor, right) = (splitter_tag(&mut team, 0), splitter_tag(&mut team, 1));
    let id = |number| NodeId { role: Role::Peer, number };
    let hello = |number| hello(id(number), true);
    let goodbye = |number| Message::Goodbye { id: id(number), reason: Departure::Goodbye };
    let lost = |number| Message::Lost { number };
    let newest = team.newest;
    let bytes = payload(newest);
    let chunk = Message::Chunk { number: newest, origin: p1, payload: &bytes };
    let far = ChunkNumber::new(newest.get().wrapping_add(1 << 31));
    for (from, tag, message, reason) in [
        (stranger(), Tag::NONE, chunk, Reject::Stranger),
        (stranger(), Tag::NONE, hello(1), Reject::Stranger),
        (stranger(), Tag::NONE, goodbye(1), Reject::Stranger),
        (stranger(), Tag::NONE, lost(newest), Reject::Stranger),
        // Tags of others, or from elsewhere.
        (stranger(), right, hello(1), Reject::Stranger),
        (stranger(), right, goodbye(1), Reject::Stranger),
        (stranger(), monitor, lost(newest), Reject::Stranger),
        (p2, right, hello(1), Reject::Forged),
        (p2, right, goodbye(2), Reject::Forged),
        (p1, Tag::NONE, hello(1), Reject::Forged),
        (p1, Tag::NONE, goodbye(1), Reject::Forged),
        (p1, Tag::NONE, lost(newest), Reject::Forged),
        // Members that say too much.
        (p1, right, hello(2), Reject::Unexpected),
        (p1, right, goodbye(2), Reject::Unexpected),
        (p1, right, lost(newest), Reject::Unexpected),
        (p1, right, chunk, Reject::Unexpected),
        (
            p1,
            right,
            Message::Join { port: 9, role: Role::Monitor, rules: Rules::Dbs, password: &[] },
            Reject::Unexpected,
        ),
        // A monitor complains of what never was.
        (m0, monitor, lost(newest.next()), Reject::OutOfRange),
        (m0, monitor, lost(far), Reject::OutOfRange),
    ] {
        splitter_rejects(&mut team, from, &write(TEAM, tag, message), reason);
    }
    splitter_rejects(&mut team, p1, &write(TeamId(1), right, hello(1)), Reject::OtherTeam);
    let mut other_version = write(TEAM, right, hello(1));
    other_version[0] = wire::VERSION + 1;
    splitter_rejects(&mut team, p1, &other_version, Reject::Version);
    plays_on(&mut team);
}

#[test]
fn two_byte_datagrams_expel_nobody() {
    let mut team = playing();
    for number in 0..200u8 {
        let from = [stranger(), endpoint(0), endpoint(2)][usize::from(number) % 3];
        let (bytes, reason) = match number % 2 {
            0 => ([number | 0x80, number], Reject::Version),
            _ => ([wire::VERSION, number], Reject::Malformed),
        };
        splitter_rejects(&mut team, from, &bytes, reason);
        peer_rejects(&mut team, 1, from, &bytes, reason);
    }
    assert_eq!(team.splitter().stats().rejects.total(), 200);
    plays_on(&mut team);
}

/// 5.3: a member names an origin that nobody knows. It is asked, in one small
/// datagram a second, and gets no chunk before it has proved itself.
#[test]
fn a_victim_named_as_origin_gets_one_small_hello_a_second() {
    let mut team = playing();
    let tag = pair_tag(&mut team, 1, 2);
    let asked: Rc<RefCell<Vec<Vec<u8>>>> = Rc::default();
    let copy = asked.clone();
    team.drop = Box::new(move |datagram| {
        if datagram.to == stranger() {
            copy.borrow_mut().push(datagram.bytes.clone());
        }
        false
    });
    let mut lies = 0;
    for _ in 0..500 {
        // P2 lies about whose its own chunks are.
        let (now, number) = (team.now, team.newest.next());
        if number.get() % 4 == 2 {
            let bytes = payload(number);
            let lie = Message::Chunk { number, origin: stranger(), payload: &bytes };
            let lie = write(TEAM, tag, lie);
            assert_eq!(team.members[1].peer().handle_datagram(now, endpoint(2), &lie), Ok(()));
            lies += 1;
        }
        team.cut();
        team.pass(Duration::from_millis(10));
    }
    assert_eq!(team.members[1].peer().stats().duplicates, lies, "its own chunks came, too");
    let asked = asked.take();
    assert_eq!(asked.len(), 5, "in five seconds");
    for bytes in asked {
        assert!(bytes.len() < 32);
        let message = wire::decode(&bytes).unwrap().message;
        assert!(matches!(message, Message::Hello { answer: true, .. }));
    }
}

/// What a victim does that sends back whatever it gets: nothing comes of it.
#[test]
fn an_echo_is_no_neighbour() {
    let mut team = playing();
    let tag = pair_tag(&mut team, 1, 2);
    let number = team.newest.next();
    let bytes = payload(number);
    let lie = Message::Chunk { number, origin: stranger(), payload: &bytes };
    let (now, from) = (team.now, endpoint(2));
    let mut peer = team.members[1].peer();
    assert_eq!(peer.handle_datagram(now, from, &write(TEAM, tag, lie)), Ok(()));
    let to_victim: Vec<_> =
        drain(&mut peer).into_iter().filter(|(to, _)| *to == stranger()).collect();
    assert_eq!(to_victim.len(), 1);
    peer_rejects(&mut team, 1, stranger(), &to_victim[0].1, Reject::Unexpected);
    assert!(!team.members[1].peer().neighbours().any(|one| one.endpoint == stranger()));
}

/// 5.1, 6.2: numbers that can't be true change nothing, whoever says them.
#[test]
fn numbers_far_from_the_others_do_not_move_the_cursor() {
    let mut team = playing();
    let tag = pair_tag(&mut team, 1, 2);
    // The neighbours' reach is the buffer's 2B = 16.
    for ahead in [17 + 8, 1000, 1 << 20, (1 << 31) - 100] {
        let number = team.newest.plus(ahead);
        let bytes = payload(number);
        let chunk = Message::Chunk { number, origin: endpoint(2), payload: &bytes };
        peer_rejects(&mut team, 1, endpoint(2), &write(TEAM, tag, chunk), Reject::OutOfRange);
    }
    let cursor = team.members[1].peer().buffer().cursor;
    for behind in [20u32, 1000, 1 << 20, 1 << 30, (1 << 31) - 100] {
        let number = team.newest.plus(0u32.wrapping_sub(behind));
        let bytes = payload(number);
        let chunk = Message::Chunk { number, origin: endpoint(2), payload: &bytes };
        let now = team.now;
        let mut peer = team.members[1].peer();
        let before = *peer.stats();
        assert_eq!(peer.handle_datagram(now, endpoint(2), &write(TEAM, tag, chunk)), Ok(()));
        assert_eq!(*peer.stats(), PeerStats { late: before.late + 1, ..before });
        assert_eq!(peer.buffer().cursor, cursor);
        assert_eq!(drain(&mut peer), []);
    }
    plays_on(&mut team);
}

/// 2.5 and 6.2: the splitter may be far ahead after an outage; what is between
/// is one hole, and play goes on behind it.
#[test]
fn a_splitter_far_ahead_leaves_one_hole() {
    let mut team = Team::of(1, config(8));
    team.cut_many(40);
    let now = team.now;
    let tag = splitter_tag(&mut team, 0);
    let splitter = team.splitter_endpoint;
    let highest = team.newest;
    let number = highest.plus(1_000_000);
    let bytes = payload(number);
    let chunk = Message::Chunk { number, origin: endpoint(0), payload: &bytes };
    let mut peer = team.members[0].peer();
    assert_eq!(peer.handle_datagram(now, splitter, &write(TEAM, tag, chunk)), Ok(()));
    let mut lost = 0;
    let mut steps = 0;
    loop {
        match peer.next_chunk() {
            Playout::Lost { chunks, .. } => lost += chunks,
            Playout::Chunk { number, payload: bytes } => assert_eq!(bytes, payload(number)),
            Playout::NotYet => break,
        }
        steps += 1;
    }
    assert_eq!(lost, 1_000_000 - 8);
    assert!(steps < 40, "one step over the hole");
    assert_eq!(peer.buffer().cursor, Some(number.plus(0u32.wrapping_sub(8)).next()));
    assert_eq!(peer.stats().chunks_lost, u64::from(lost));
    for ahead in 1..=20 {
        let number = number.plus(ahead);
        let bytes = payload(number);
        let chunk = Message::Chunk { number, origin: endpoint(0), payload: &bytes };
        assert_eq!(peer.handle_datagram(now, splitter, &write(TEAM, tag, chunk)), Ok(()));
        while peer.next_chunk() != Playout::NotYet {}
    }
    assert_eq!(peer.stats().chunks_lost, u64::from(lost) + 7, "those before the first new one");
}

/// 7.2: a former member that says hello gets one small `[goodbye]`, each time.
#[test]
fn a_removed_member_is_told_so_in_one_small_datagram() {
    let mut team = playing();
    let (tag, p3) = (splitter_tag(&mut team, 3), endpoint(3));
    let id = team.members[3].peer().id();
    let now = team.now;
    team.members[3].peer().leave(now);
    team.settle();
    team.members[3].dead = true;
    assert_eq!(team.size(), 3);
    let says = |team: &mut Team, message| {
        let mut splitter = team.splitter();
        assert_eq!(splitter.handle_datagram(now, p3, &write(TEAM, tag, message)), Ok(()));
        let sent = drain(&mut splitter);
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0].0, p3);
        assert!(sent[0].1.len() <= write(TEAM, tag, message).len(), "no amplification");
        let envelope = wire::decode(&sent[0].1).unwrap();
        assert_eq!(envelope.tag, tag);
        match envelope.message {
            Message::Goodbye { id: named, reason } if named == id => reason,
            other => panic!("{other:?}"),
        }
    };
    for _ in 0..3 {
        let hello = hello(id, false);
        assert_eq!(says(&mut team, hello), Departure::NotAMember);
        // Its goodbye may have been answered and the answer lost.
        let goodbye = Message::Goodbye { id, reason: Departure::Goodbye };
        assert_eq!(says(&mut team, goodbye), Departure::Goodbye);
    }
    assert_eq!(team.size(), 3);
    plays_on(&mut team);
    let dismissed = PeerEvent::Dismissed { reason: Departure::NotAMember };
    assert!(!team.members[0].events.contains(&dismissed));
}

/// The first bytes a node ever gets are no different.
#[test]
fn a_node_without_a_team_takes_nothing() {
    let mut team = Team::new(config(8));
    let index = team.add();
    let (_, genuine) = genuine();
    for InFlight { from, bytes, .. } in &genuine {
        peer_rejects(&mut team, index, *from, bytes, Reject::NotJoined);
    }
    let now = team.now;
    let mut splitter: Splitter<'_> = team.splitter();
    for InFlight { from, bytes, .. } in &genuine {
        assert!(splitter.handle_datagram(now, *from, bytes).is_err());
    }
    assert_eq!(drain(&mut splitter), []);
    assert_eq!(splitter.stats().rejects.total(), genuine.len() as u64);
    let peer: Peer<'_> = team.members[index].peer();
    assert_eq!(peer.stats().rejects.get(Reject::NotJoined), genuine.len() as u32);
}
