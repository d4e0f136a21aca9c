//! Every table full: what does not fit is turned away and counted, and nothing
//! that is in is evicted (PROTOCOL.md 4).

mod team;

use std::time::Duration;

use p2psp_core::wire::{self, MAX_DATAGRAM_BYTES, Message, Refusal};
use p2psp_core::{
    Admission, Departure, Entry, FIRST_RELAY_SET, Key, Link, Node, NodeId, Peer, PeerEvent,
    PeerMemory, PeerState, PendingEntry, PushError, Reject, Role, Rules, Slot, SplitterConfig,
    SplitterEvent,
};
use team::{CHUNK, TEAM, Team, config, endpoint, payload};

const SPLITTER_KEY: Key = Key::new([42; 16]);
/// Joiners between admission and first `[hello]` that a splitter remembers.
const MAX_JOINING: usize = 64;
/// Events that wait in a splitter.
const MAX_EVENTS: usize = 32;

fn small_team(max_team: u16) -> SplitterConfig {
    SplitterConfig { max_team, ..config(16) }
}

fn hello(admission: &Admission) -> Vec<u8> {
    let mut buf = [0; MAX_DATAGRAM_BYTES];
    let message = Message::Hello {
        id: admission.id,
        answer: false,
        rules: Rules::Dbs,
        unicast: false,
        status: None,
    };
    let len = wire::encode(TEAM, admission.key.splitter_tag(), message, &mut buf).unwrap();
    buf[..len].to_vec()
}

/// What the splitter says to `to` next, if anything.
fn answer(team: &mut Team) -> Option<Result<NodeId, Departure>> {
    let mut buf = [0; MAX_DATAGRAM_BYTES];
    let transmit = team.splitter().poll_transmit(&mut buf)?;
    match wire::decode(&buf[..transmit.len]).unwrap().message {
        Message::Hello { id, .. } => Some(Ok(id)),
        Message::Goodbye { reason, .. } => Some(Err(reason)),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn plays_on(team: &mut Team, chunks: usize) {
    let before: Vec<_> =
        team.members.iter().map(|member| (member.played.len(), member.lost())).collect();
    team.cut_many(chunks);
    for (index, (played, lost)) in before.into_iter().enumerate() {
        let member = &team.members[index];
        if !member.dead {
            assert_eq!(member.lost(), lost, "member {index}");
            assert!(member.played.len() + 40 >= played + chunks, "member {index}");
        }
    }
}

/// 3.5: `N*` members; the next is refused, and let in when one has left.
#[test]
fn a_full_team_refuses_until_somebody_leaves() {
    let mut team = Team::of(5, small_team(5));
    team.cut_many(40);
    let now = team.now;
    let newcomer = endpoint(5);
    for _ in 0..3 {
        let refused = team.splitter().admit(now, newcomer, Role::Peer, Rules::Dbs, true);
        assert_eq!(refused, Err(Refusal::TeamFull));
    }
    plays_on(&mut team, 40);
    team.members[3].peer().leave(now);
    team.settle();
    team.members[3].dead = true;
    let again = team.join(Role::Peer);
    assert_eq!((again, team.size()), (5, 5));
    team.cut_many(40);
    plays_on(&mut team, 40);
}

/// Two are admitted for the one place that is left: the later `[hello]` is told
/// so, in one small datagram, and changes nothing.
#[test]
fn the_last_place_goes_to_whoever_says_hello_first() {
    let mut team = Team::of(4, small_team(5));
    let now = team.now;
    let mut admit =
        |n| team.splitter().admit(now, endpoint(n), Role::Peer, Rules::Dbs, true).unwrap();
    let (early, late) = (admit(10), admit(11));
    let mut splitter = team.splitter();
    assert_eq!(splitter.handle_datagram(now, late.endpoint, &hello(&late)), Ok(()));
    assert_eq!(answer(&mut team), Some(Ok(late.id)));
    let mut splitter = team.splitter();
    let refused = splitter.handle_datagram(now, early.endpoint, &hello(&early));
    assert_eq!(refused, Err(Reject::TableFull));
    assert_eq!(splitter.stats().rejects.get(Reject::TableFull), 1);
    assert_eq!(answer(&mut team), Some(Err(Departure::TeamFull)));
    assert_eq!(answer(&mut team), None);
    assert_eq!(team.size(), 5);
}

/// Half-open admissions cost the oldest half-open one its place, never a
/// member's; who was pushed out is told to join again.
#[test]
fn half_open_admissions_are_bounded_and_hurt_no_member() {
    let mut team = Team::of(4, config(16));
    team.cut_many(40);
    let now = team.now;
    let first = team.splitter().admit(now, endpoint(100), Role::Peer, Rules::Dbs, true).unwrap();
    let mut last = first;
    for n in 0..MAX_JOINING {
        last = team.splitter().admit(now, endpoint(101 + n), Role::Peer, Rules::Dbs, true).unwrap();
    }
    assert_eq!(team.size(), 4);
    plays_on(&mut team, 40);
    let says_hello = |team: &mut Team, admission: &Admission| {
        let now = team.now;
        let result = team.splitter().handle_datagram(now, admission.endpoint, &hello(admission));
        assert_eq!(result, Ok(()));
        let said = answer(team);
        assert_eq!(answer(team), None);
        said
    };
    assert_eq!(says_hello(&mut team, &first), Some(Err(Departure::NotAMember)));
    assert_eq!(says_hello(&mut team, &last), Some(Ok(last.id)));
    assert_eq!(team.size(), 5);
    // Those who never said hello are forgotten after ten seconds.
    let forgotten =
        team.splitter().admit(now, endpoint(200), Role::Peer, Rules::Dbs, true).unwrap();
    team.pass(Duration::from_millis(10_600));
    assert_eq!(says_hello(&mut team, &forgotten), Some(Err(Departure::NotAMember)));
    assert_eq!(team.size(), 4, "the one without a peer was silent");
    team.cut_many(80);
    plays_on(&mut team, 40);
}

/// Two that ask to join from one endpoint: the later is meant.
#[test]
fn of_two_joiners_at_one_endpoint_the_later_counts() {
    let mut team = Team::of(3, config(16));
    let now = team.now;
    let mut admit =
        || team.splitter().admit(now, endpoint(9), Role::Peer, Rules::Dbs, true).unwrap();
    let (former, latter) = (admit(), admit());
    assert_ne!(former.key.splitter_tag(), latter.key.splitter_tag());
    let mut says_hello = |admission: &Admission| {
        let result = team.splitter().handle_datagram(now, endpoint(9), &hello(admission));
        (result, answer(&mut team), team.size())
    };
    assert_eq!(says_hello(&former), (Ok(()), Some(Err(Departure::NotAMember)), 3));
    assert_eq!(says_hello(&latter), (Ok(()), Some(Ok(latter.id)), 4));
    // The former can't speak for the latter.
    assert_eq!(says_hello(&former), (Ok(()), Some(Err(Departure::NotAMember)), 4));
    assert_eq!(says_hello(&latter), (Ok(()), Some(Ok(latter.id)), 4));
}

/// A crashed peer that comes back at its endpoint takes the place of its
/// former self; everybody serves it, and nobody loses more than the crash did.
#[test]
fn a_crashed_peer_comes_back_at_its_endpoint() {
    let mut team = Team::of(5, config(16));
    team.cut_many(50);
    // It crashes, and is back before anybody could miss it.
    *team.members[2].storage = team::PeerStorage::new();
    let before: Vec<usize> = team.members.iter().map(team::Member::lost).collect();
    team.join_again(2, Role::Peer);
    assert_eq!(team.size(), 5);
    let left = team
        .splitter_events
        .iter()
        .filter(|event| matches!(event, SplitterEvent::Left { reason: Departure::Rejoined, .. }));
    assert_eq!(left.count(), 1);
    for index in [0, 1, 3, 4] {
        let forward = team.forward(index);
        assert!(forward.contains("P5") && !forward.contains("P2"), "{forward}");
        let peer = team.members[index].peer();
        assert_eq!(peer.neighbours().filter(|one| one.endpoint == endpoint(2)).count(), 1);
    }
    team.members[2].played.clear();
    team.cut_many(100);
    for index in [0, 1, 3, 4] {
        // What was pending at the crash, of one chunk.
        assert!(team.members[index].lost() <= before[index] + 1, "member {index}");
    }
    assert_eq!(team.members[2].lost(), 0);
    assert!(team.members[2].played.len() >= 100 - 16 - 5);
}

/// One joins between the admission and the `[hello]` of another that comes back
/// at its endpoint: both must know each other.
#[test]
fn a_joiner_meets_one_that_is_just_coming_back() {
    let mut team = Team::of(4, config(16));
    team.cut_many(40);
    *team.members[2].storage = team::PeerStorage::new();
    team.admit(2, Role::Peer);
    let joiner = team.add();
    team.admit(joiner, Role::Peer);
    team.settle();
    assert_eq!(team.size(), 5);
    team.members[2].played.clear();
    team.cut_many(60);
    plays_on(&mut team, 100);
    for (one, other) in [(2, joiner), (joiner, 2)] {
        let other = endpoint(other);
        let mut views = team.members[one].peer().neighbours().collect::<Vec<_>>().into_iter();
        assert!(views.any(|view| view.endpoint == other && view.received > 10 && view.sent > 10));
    }
}

/// Memory of a peer with room for little.
struct Tight {
    state: PeerState,
    neighbours: Vec<Entry<p2psp_core::Neighbour>>,
    links: Vec<Link>,
    sets: Vec<u32>,
    pending: Vec<PendingEntry>,
    slots: Vec<Slot>,
    payload: Vec<u8>,
    spare: Vec<u8>,
}

impl Tight {
    fn new(members: usize, pending: usize) -> Tight {
        Tight {
            state: PeerState::new(),
            neighbours: vec![Entry::EMPTY; members],
            links: vec![Link::EMPTY; members],
            sets: vec![0; FIRST_RELAY_SET * members.div_ceil(32)],
            pending: vec![PendingEntry::EMPTY; pending],
            slots: vec![Slot::EMPTY; 32],
            payload: vec![0; 32 * CHUNK],
            spare: vec![0; CHUNK],
        }
    }

    fn peer(&mut self) -> Peer<'_> {
        Peer::new(PeerMemory {
            state: &mut self.state,
            neighbours: &mut self.neighbours,
            links: &mut self.links,
            sets: &mut self.sets,
            pending: &mut self.pending,
            slots: &mut self.slots,
            payload: &mut self.payload,
            spare: &mut self.spare,
        })
    }

    /// A member of `team` at `endpoint(index)`, alone as far as it knows.
    fn member(team: &mut Team, index: usize, members: usize, pending: usize) -> (Tight, Admission) {
        let (now, at) = (team.now, team.splitter_endpoint);
        let mut splitter = team.splitter();
        let admission = splitter.admit(now, endpoint(index), Role::Peer, Rules::Dbs, true).unwrap();
        let welcome = splitter.welcome(&admission, 0, "audio/mpeg", "");
        let mut tight = Tight::new(members, pending);
        let mut peer = tight.peer();
        peer.join(now, at, TEAM, &welcome).expect("fits");
        peer.admitted(now);
        let mut buf = [0; MAX_DATAGRAM_BYTES];
        while peer.poll_transmit(&mut buf).is_some() {}
        (tight, admission)
    }
}

/// 3.4: those who come to a peer whose table is full are turned away and
/// counted; those who are in stay in.
#[test]
fn a_full_table_of_neighbours_keeps_who_is_in() {
    let mut team = Team::new(small_team(4));
    let (mut tight, me) = Tight::member(&mut team, 0, 4, 64);
    let now = team.now;
    let says_hello = |tight: &mut Tight, n: u32| {
        let from = endpoint(n as usize);
        let id = NodeId { role: Role::Peer, number: n };
        let mut buf = [0; MAX_DATAGRAM_BYTES];
        let message =
            Message::Hello { id, answer: true, rules: Rules::Dbs, unicast: false, status: None };
        let len = wire::encode(TEAM, me.key.tag(from), message, &mut buf).unwrap();
        let mut peer = tight.peer();
        let result = peer.handle_datagram(now, from, &buf[..len]);
        let mut answers = 0;
        while peer.poll_transmit(&mut buf).is_some() {
            answers += 1;
        }
        (result, answers)
    };
    for n in 1..4 {
        assert_eq!(says_hello(&mut tight, n), (Ok(()), 1));
    }
    for n in 4..20 {
        assert_eq!(says_hello(&mut tight, n), (Err(Reject::TableFull), 0));
    }
    let peer = tight.peer();
    assert_eq!(peer.stats().rejects.get(Reject::TableFull), 16);
    let there: Vec<_> = peer.neighbours().map(|one| (one.endpoint, one.served)).collect();
    assert_eq!(there, [1, 2, 3].map(|n| (endpoint(n), true)));
    assert_eq!(says_hello(&mut tight, 2), (Ok(()), 1));
}

/// 4: what the pool can't hold is not queued and counted; what is queued is
/// sent, oldest first.
#[test]
fn a_full_pool_of_pending_chunks_evicts_nothing() {
    let mut team = Team::new(small_team(32));
    let (mut tight, me) = Tight::member(&mut team, 0, 32, 5);
    let (now, splitter) = (team.now, team.splitter_endpoint);
    let mut buf = [0; MAX_DATAGRAM_BYTES];
    for n in 1..=3u32 {
        let id = NodeId { role: Role::Peer, number: n };
        let (from, message) = (
            endpoint(n as usize),
            Message::Hello { id, answer: false, rules: Rules::Dbs, unicast: false, status: None },
        );
        let len = wire::encode(TEAM, me.key.tag(from), message, &mut buf).unwrap();
        assert_eq!(tight.peer().handle_datagram(now, from, &buf[..len]), Ok(()));
    }
    // Three neighbours, four chunks, room for five: a driver that does not
    // drain.
    for number in 0..4 {
        let number = p2psp_core::ChunkNumber::new(number);
        let bytes = payload(number);
        let chunk = Message::Chunk { number, origin: endpoint(0), payload: &bytes };
        let len = wire::encode(TEAM, me.key.splitter_tag(), chunk, &mut buf).unwrap();
        assert_eq!(tight.peer().handle_datagram(now, splitter, &buf[..len]), Ok(()));
    }
    let mut peer = tight.peer();
    assert_eq!(peer.stats().pending_full, 12 - 5);
    let waiting: Vec<Vec<u32>> =
        peer.pending().map(|(_, chunks)| chunks.map(|chunk| chunk.get()).collect()).collect();
    assert_eq!(waiting, [vec![0, 1], vec![0, 1], vec![0]]);
    let mut sent = Vec::new();
    while let Some(transmit) = peer.poll_transmit(&mut buf) {
        if let Message::Chunk { number, payload: bytes, .. } =
            wire::decode(&buf[..transmit.len]).unwrap().message
        {
            assert_eq!(bytes, payload(number));
            sent.push((transmit.to, number.get()));
        }
    }
    sent.sort_by_key(|(to, number)| (*to, *number));
    let expected =
        [(1, 0), (1, 1), (2, 0), (2, 1), (3, 0)].map(|(n, number)| (endpoint(n), number));
    assert_eq!(sent, expected);
    assert_eq!((peer.stats().pending_full, peer.stats().pending_stale), (7, 0));
}

/// Events that nobody fetches: the newest are kept.
#[test]
fn unfetched_events_are_bounded_and_the_newest_stay() {
    let mut team = Team::new(config(16));
    let now = team.now;
    let mut buf = [0; MAX_DATAGRAM_BYTES];
    for n in 0..60 {
        let mut splitter = team.splitter();
        let admission = splitter.admit(now, endpoint(n), Role::Peer, Rules::Dbs, true).unwrap();
        let joined = splitter.handle_datagram(now, endpoint(n), &hello(&admission));
        assert_eq!(joined, Ok(()));
        while splitter.poll_transmit(&mut buf).is_some() {}
    }
    let mut splitter = team.splitter();
    let events: Vec<_> = std::iter::from_fn(|| splitter.poll_event()).collect();
    assert_eq!(events.len(), MAX_EVENTS);
    let joined = |n: usize| SplitterEvent::Joined {
        id: NodeId { role: Role::Peer, number: n as u32 },
        endpoint: endpoint(n),
    };
    assert_eq!(events, (60 - MAX_EVENTS..60).map(joined).collect::<Vec<_>>());

    // Removals wait for room: 60 at once, and each is told.
    let mut left = 0;
    for _ in 0..20 {
        let next = team.splitter().poll_timeout().expect("a team has a deadline");
        team.splitter().handle_timeout(next);
        while let Some(event) = team.splitter().poll_event() {
            left += usize::from(matches!(event, SplitterEvent::Left { .. }));
        }
    }
    assert_eq!((left, team.size()), (60, 0));
}

#[test]
fn unfetched_events_of_a_peer_are_bounded_and_the_newest_stay() {
    let mut team = Team::new(config(16));
    let (mut tight, me) = Tight::member(&mut team, 0, 64, 64);
    let now = team.now;
    let mut buf = [0; MAX_DATAGRAM_BYTES];
    for n in 1..=40u32 {
        let id = NodeId { role: Role::Peer, number: n };
        let (from, message) = (
            endpoint(n as usize),
            Message::Hello { id, answer: false, rules: Rules::Dbs, unicast: false, status: None },
        );
        let len = wire::encode(TEAM, me.key.tag(from), message, &mut buf).unwrap();
        assert_eq!(tight.peer().handle_datagram(now, from, &buf[..len]), Ok(()));
    }
    let mut peer = tight.peer();
    let events: Vec<_> = std::iter::from_fn(|| peer.poll_event()).collect();
    let joined =
        |number| PeerEvent::NeighbourJoined { id: Some(NodeId { role: Role::Peer, number }) };
    assert_eq!(events, (40 - 15..=40).map(joined).collect::<Vec<_>>());
}

/// 2.1: a chunk that can't be taken uses up no number.
#[test]
fn a_splitter_takes_one_chunk_at_a_time_and_none_that_is_empty_or_too_long() {
    let mut team = Team::of(2, config(16));
    let mut splitter = team.splitter();
    assert_eq!(splitter.push_chunk(&[]), Err(PushError::Length));
    assert_eq!(splitter.push_chunk(&[0; CHUNK + 1]), Err(PushError::Length));
    assert_eq!(splitter.next_chunk().get(), 0);
    assert!(splitter.push_chunk(&[1; CHUNK]).is_ok());
    assert_eq!(splitter.push_chunk(&[2; CHUNK]), Err(PushError::NotDrained));
    let _ = splitter.poll_destination();
    assert_eq!(splitter.push_chunk(&[2; CHUNK]), Err(PushError::NotDrained));
    assert_eq!(splitter.next_chunk().get(), 1);
    assert_eq!(splitter.stats().bytes_in, CHUNK as u64);
    let key = SPLITTER_KEY.of_member(endpoint(0), 0);
    let mut buf = [0; MAX_DATAGRAM_BYTES];
    let transmit = splitter.poll_transmit(&mut buf).unwrap();
    assert_eq!(transmit.to, endpoint(0));
    assert_eq!(wire::decode(&buf[..transmit.len]).unwrap().tag, key.splitter_tag());
    assert_eq!(splitter.poll_transmit(&mut buf), None);
    assert!(splitter.push_chunk(&[2; 1]).is_ok(), "a last chunk may be short");
}
