//! IMS (PROTOCOL.md 9): neighbours in one subnet are one neighbour, the group;
//! and unicast for those whom multicast does not reach.

mod team;

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use p2psp_core::wire::{self, MAX_DATAGRAM_BYTES, Message};
use p2psp_core::{
    ChunkNumber, JoinError, Key, Lan, Node, PeerEvent, Reject, Role, Rules, SplitterConfig, Tag,
    TeamId,
};
use team::{InFlight, PeerStorage, TEAM, Team, config, payload};

/// Where member `n` of LAN `lan` is; LAN 0 is none.
fn at(lan: u8, n: usize) -> SocketAddr {
    SocketAddr::from(([10, lan, if lan == 0 { n as u8 } else { 0 }, 1 + n as u8], 4000))
}

fn lan(endpoint: SocketAddr) -> Lan {
    Lan { address: endpoint.ip(), prefix: 24, group: Lan::DEFAULT_GROUP }
}

/// A team whose members sit in these LANs; 0 is a lone one, who plays by IMS
/// too, in a LAN of its own.
fn team_in(lans: &[u8], buffer: u32) -> Team {
    let mut team = Team::new(SplitterConfig { max_team: 32, ..config(buffer) });
    for (n, number) in lans.iter().enumerate() {
        let endpoint = at(*number, n);
        let index = team.add_at(endpoint, Some(lan(endpoint)));
        team.join_again(index, if n == 0 { Role::Monitor } else { Role::Peer });
    }
    team
}

/// 9.1, 9.2: two transmissions a chunk, whatever the size of the LAN, and
/// everybody plays everything.
#[test]
fn in_one_lan_a_chunk_takes_two_transmissions() {
    for size in [2, 3, 5, 20, 32] {
        let mut team = team_in(&vec![1; size], 2 * size as u32);
        team.cut_many(2 * size);
        team.sent.clear();
        team.cut_many(10 * size);
        assert_eq!(team.sent.len(), 2 * 10 * size, "N = {size}");
        let (to_group, from_splitter): (Vec<_>, Vec<_>) =
            team.sent.iter().partition(|sent| sent.contains(">LAN:"));
        assert_eq!(to_group.len(), from_splitter.len());
        assert!(from_splitter.iter().all(|sent| sent.starts_with("S>")));
        assert_eq!(team.forward(1), "P1: [LAN]");
        for member in &mut team.members {
            assert_eq!(member.lost(), 0);
            let stats = *member.peer().stats();
            assert_eq!((stats.duplicates, stats.rejects.total()), (0, 0));
        }
    }
}

#[test]
fn the_group_stands_in_the_tables_like_a_neighbour() {
    let mut team = team_in(&[1, 1, 0, 1], 16);
    assert_eq!(team.forward(0), "M0: [LAN, P2]");
    assert_eq!(team.forward(2), "P2: [M0, P1, P3]");
    team.cut();
    assert_eq!(team.take_sent(), "S>M0:0 M0>LAN:0");
    assert_eq!(team.pending(0), "P2: 0");
    team.cut();
    assert_eq!(team.take_sent(), "S>P1:1 P1>LAN:1 M0>P2:0", "rule 5.5 holds for the group");
}

/// 9.3: two LANs and two lone peers, one team.
#[test]
fn a_mixed_team_plays_everything() {
    let lans = [1, 1, 2, 0, 1, 2, 0, 2];
    let mut team = team_in(&lans, 24);
    team.cut_many(200);
    team.sent.clear();
    team.cut_many(80);
    for (index, member) in team.members.iter_mut().enumerate() {
        assert_eq!(member.lost(), 0, "member {index}");
        assert_eq!(member.peer().stats().duplicates, 0, "member {index}");
    }
    // A chunk of a member of a LAN of three: splitter, group, five others; of a
    // lone member: splitter and the seven others.
    assert_eq!(team.sent.len(), 80 / 8 * (6 * 7 + 2 * 8));
}

/// Members of one subnet that play by other rules: those by DBS are served by
/// unicast, whether they came before or after.
#[test]
fn who_plays_by_dbs_in_the_subnet_is_served_by_unicast() {
    let mut team = team_in(&[1, 1], 24);
    let dbs = at(1, 2);
    let dbs = team.add_at(dbs, None);
    team.join_again(dbs, Role::Peer);
    let late = at(1, 3);
    let late = team.add_at(late, Some(lan(late)));
    team.join_again(late, Role::Peer);
    let forward: Vec<String> = (0..4).map(|index| team.forward(index)).collect();
    assert_eq!(forward, ["M0: [LAN, P2]", "P1: [LAN, P2]", "P2: [M0, P1, P3]", "P3: [LAN, P2]"]);
    team.cut_many(40);
    team.sent.clear();
    team.cut_many(40);
    for member in &mut team.members {
        assert_eq!((member.lost(), member.peer().stats().duplicates), (0, 0));
    }
    // Of three: splitter, group, the one by DBS; of that: splitter and three.
    assert_eq!(team.sent.len(), 30 * 3 + 10 * 4);
}

/// One whose `[hello]` was lost and whose chunk came is served by unicast until
/// it says by which rules it plays.
#[test]
fn of_whom_only_a_chunk_has_come_nobody_knows_the_rules() {
    for rules in [Rules::Ims, Rules::Dbs] {
        let mut team = team_in(&[1, 1], 24);
        let newcomer = at(1, 2);
        let rules_lan = (rules == Rules::Ims).then(|| lan(newcomer));
        team.drop = Box::new(move |one| one.from == newcomer && one.to == at(1, 0));
        let index = team.add_at(newcomer, rules_lan);
        team.join_again(index, Role::Peer);
        assert_eq!(team.forward(0), "M0: [LAN]");
        team.drop = Box::new(|_| false);
        let key = Key::new([42; 16]).of_member(at(1, 0), 0);
        let bytes = payload(ChunkNumber::ZERO);
        let chunk = Message::Chunk { number: ChunkNumber::ZERO, origin: newcomer, payload: &bytes };
        let mut buf = [0; MAX_DATAGRAM_BYTES];
        let len = wire::encode(TEAM, key.tag(newcomer), chunk, &mut buf).unwrap();
        let now = team.now;
        let result = team.members[0].peer().handle_datagram(now, newcomer, &buf[..len]);
        assert_eq!(result, Ok(()));
        assert_eq!(team.forward(0), "M0: [LAN, ?]");
        // Its next hello.
        team.pass(Duration::from_millis(1500));
        let known = if rules == Rules::Ims { "M0: [LAN]" } else { "M0: [LAN, P2]" };
        assert_eq!(team.forward(0), known);
    }
}

/// 9.6
#[test]
fn the_last_neighbour_of_the_subnet_takes_the_group_along() {
    let mut team = team_in(&[1, 1, 1, 0], 16);
    team.cut_many(8);
    for (leaver, expected) in [(1, "M0: [LAN, P3]"), (2, "M0: [P3]")] {
        let now = team.now;
        team.members[leaver].peer().leave(now);
        team.settle();
        team.members[leaver].dead = true;
        assert_eq!(team.forward(0), expected);
    }
    team.sent.clear();
    team.cut();
    team.cut();
    let sent = team.take_sent();
    assert!(!sent.contains("LAN"), "{sent}");
}

/// A hello that is lost and multicast chunks that come first: the newcomer is
/// asked, and nothing of it is believed before.
#[test]
fn a_newcomer_whose_hello_was_lost_is_asked() {
    let mut team = team_in(&[1, 1], 16);
    team.chunk_time = Duration::from_millis(100);
    team.cut_many(4);
    let newcomer = at(1, 2);
    team.drop = Box::new(move |one: &InFlight| {
        // The first hello of a second is lost; the answers to questions pass.
        one.from == newcomer && !one.multicast && one.to == at(1, 0) && one.bytes[13] == 1
    });
    let index = team.add_at(newcomer, Some(lan(newcomer)));
    team.join_again(index, Role::Peer);
    team.cut_many(3);
    assert!(team.members[0].peer().stats().rejects.get(Reject::Stranger) > 0);
    team.drop = Box::new(|_| false);
    team.cut_many(20);
    assert!(team.members[0].peer().neighbours().any(|one| one.endpoint == newcomer && one.lan));
}

/// A team of five in one LAN at 50 chunks a second, in which `deaf` hears no
/// multicast while the flag is up.
fn deafened(deaf: usize) -> (Team, Rc<Cell<bool>>) {
    let mut team = team_in(&[1; 5], 100);
    team.chunk_time = Duration::from_millis(20);
    team.cut_many(300);
    let flag = Rc::new(Cell::new(true));
    let (up, ears) = (flag.clone(), team.members[deaf].endpoint);
    team.drop = Box::new(move |one| up.get() && one.multicast && one.to == ears);
    (team, flag)
}

#[test]
fn one_whom_multicast_does_not_reach_is_served_by_unicast_within_5_s() {
    let deaf = 3;
    let (mut team, flag) = deafened(deaf);
    team.cut_many(5 * 50);
    let received = team.members[deaf].peer().stats().chunks_received;
    team.cut_many(100);
    assert_eq!(team.members[deaf].peer().stats().chunks_received, received + 100);
    let silent: Vec<_> = team.members[deaf]
        .events
        .iter()
        .filter(|event| matches!(event, PeerEvent::MulticastSilent { .. }))
        .collect();
    assert_eq!(silent.len(), 4, "each neighbour once: {silent:?}");
    assert!(matches!(silent[0], PeerEvent::MulticastSilent { id: Some(_), .. }));
    // The others stay on the group: three transmissions a chunk, but for the
    // deaf one's own chunks, of which it sends two.
    team.sent.clear();
    team.cut_many(100);
    assert_eq!(team.sent.iter().filter(|sent| sent.contains(">LAN:")).count(), 100);
    assert_eq!(team.sent.len(), 100 + 100 + 80);
    for (index, member) in team.members.iter_mut().enumerate() {
        let lost = member.lost();
        assert!(index == deaf || lost == 0, "member {index} lost {lost}");
    }
    // And back to the group when it arrives again.
    flag.set(false);
    team.cut_many(100);
    team.sent.clear();
    team.members[deaf].peer();
    team.cut_many(100);
    assert_eq!(team.sent.len(), 200, "two a chunk again");
    let back =
        team.members[deaf].events.iter().filter(|e| matches!(e, PeerEvent::MulticastBack { .. }));
    assert_eq!(back.count(), 4);
    let lost = team.members[deaf].lost();
    team.cut_many(200);
    assert_eq!(team.members[deaf].lost(), lost);
}

/// A fast stream, whose rounds are over long before anybody is called deaf: the
/// silent neighbours are not given up before they were asked (8.2).
#[test]
fn on_a_fast_stream_too_unicast_is_asked_for() {
    let (mut team, flag) = deafened(1);
    team.chunk_time = Duration::from_millis(2);
    team.cut_many(5 * 500);
    let received = team.members[1].peer().stats().chunks_received;
    team.cut_many(1000);
    assert_eq!(team.members[1].peer().stats().chunks_received, received + 1000);
    assert!(flag.get());
}

/// What is not a chunk goes to the group only when no chunk has gone there for
/// a second, and a goodbye never.
#[test]
fn who_has_chunks_for_the_group_says_nothing_else_there() {
    let mut team = team_in(&[1; 5], 100);
    team.chunk_time = Duration::from_millis(20);
    let others = Rc::new(Cell::new(0));
    let count = others.clone();
    team.drop = Box::new(move |one| {
        let message = wire::decode(&one.bytes).unwrap().message;
        if one.multicast && !matches!(message, Message::Chunk { .. }) {
            assert!(matches!(message, Message::Hello { .. }));
            count.set(count.get() + 1);
        }
        false
    });
    team.cut_many(500);
    assert_eq!(others.get(), 0);
    let now = team.now;
    team.members[4].peer().leave(now);
    team.settle();
    assert_eq!(team.size(), 4);
    team.members[4].dead = true;
    team.pass(Duration::from_secs(3));
    // Three seconds without chunks: from four members to the five hosts.
    assert_eq!(others.get(), 3 * 4 * 5);
}

/// The lease ends by itself if the wish is not repeated, and is renewed
/// through heavy loss of hellos.
#[test]
fn a_lease_lives_on_repeated_wishes() {
    let deaf = 2;
    let (mut team, flag) = deafened(deaf);
    team.cut_many(300);
    let forward = |team: &mut Team| team.forward(1);
    assert_eq!(forward(&mut team), "P1: [LAN, P2]");
    // Nothing at all comes from the deaf one any more.
    let (ears, up) = (team.members[deaf].endpoint, flag.clone());
    team.drop =
        Box::new(move |one| one.from == ears || (up.get() && one.multicast && one.to == ears));
    team.cut_many(5 * 50);
    assert!(!forward(&mut team).contains("P2"), "{}", forward(&mut team));
}

/// Without any chunk (the source is silent) the group is still heard.
#[test]
fn a_silent_source_does_not_make_anybody_deaf() {
    let mut team = team_in(&[1; 4], 16);
    team.pass(Duration::from_secs(30));
    for member in &mut team.members {
        assert!(!member.events.iter().any(|e| matches!(e, PeerEvent::MulticastSilent { .. })));
        assert_eq!(member.peer().stats().rejects.total(), 0);
    }
    assert_eq!(team.forward(0), "M0: [LAN]");
}

/// A neighbour that has died is no reason to speak of multicast.
#[test]
fn a_dead_neighbour_is_not_called_deaf() {
    let mut team = team_in(&[1; 4], 64);
    team.chunk_time = Duration::from_millis(20);
    team.cut_many(100);
    team.members[2].dead = true;
    team.cut_many(800);
    for member in &team.members {
        assert!(!member.events.iter().any(|e| matches!(e, PeerEvent::MulticastSilent { .. })));
    }
    let served = team.members[0].peer().neighbours().filter(|one| one.served).count();
    assert_eq!(served, 2, "and it is no longer served");
}

#[track_caller]
fn rejects(team: &mut Team, from: SocketAddr, tag: Tag, message: Message<'_>, expected: Reject) {
    let mut buf = [0; MAX_DATAGRAM_BYTES];
    let len = wire::encode(TEAM, tag, message, &mut buf).unwrap();
    let now = team.now;
    let mut peer = team.members[0].peer();
    let before = peer.stats().rejects.get(expected);
    assert_eq!(peer.handle_datagram(now, from, &buf[..len]), Err(expected), "{message:?}");
    assert_eq!(peer.stats().rejects.get(expected), before + 1);
}

/// The group is open to the LAN: who is no member, and what is not for the
/// group, gets nowhere (9.2, 9.4).
#[test]
fn what_does_not_belong_to_the_group_is_turned_away() {
    let mut team = team_in(&[1, 1, 0], 16);
    team.cut_many(6);
    let (p1, lone) = (team.members[1].endpoint, team.members[2].endpoint);
    let group_tag = Key::new([42; 16]).group_tag();
    let number = ChunkNumber::new(6);
    let bytes = payload(number);
    let chunk = |origin| Message::Chunk { number, origin, payload: &bytes };
    let id = team.members[1].peer().id();
    let goodbye = Message::Goodbye { id, reason: p2psp_core::Departure::Goodbye };
    let hello =
        Message::Hello { id, answer: false, rules: Rules::Ims, unicast: true, status: None };
    let stranger = at(1, 9);
    let none = Tag::NONE;
    rejects(&mut team, stranger, group_tag, chunk(stranger), Reject::Stranger);
    rejects(&mut team, Lan::DEFAULT_GROUP, group_tag, chunk(Lan::DEFAULT_GROUP), Reject::Stranger);
    rejects(&mut team, Lan::DEFAULT_GROUP, none, hello, Reject::Forged);
    rejects(&mut team, p1, none, chunk(p1), Reject::Forged);
    rejects(&mut team, p1, group_tag, chunk(lone), Reject::Unexpected);
    rejects(&mut team, p1, group_tag, goodbye, Reject::Unexpected);
    rejects(&mut team, lone, group_tag, chunk(lone), Reject::Unexpected);
    // A hello to the group is a sign of life and nothing more.
    let mut buf = [0; MAX_DATAGRAM_BYTES];
    let len = wire::encode(TEAM, group_tag, hello, &mut buf).unwrap();
    let now = team.now;
    assert_eq!(team.members[0].peer().handle_datagram(now, p1, &buf[..len]), Ok(()));
    assert_eq!(team.forward(0), "M0: [LAN, P2]", "no lease by way of the group");
    // Of another team on the same group (9.4).
    let len = wire::encode(TeamId(7), group_tag, chunk(p1), &mut buf).unwrap();
    let result = team.members[0].peer().handle_datagram(now, p1, &buf[..len]);
    assert_eq!(result, Err(Reject::OtherTeam));
    // One who plays by DBS knows no group.
    let endpoint = at(0, 5);
    let dbs = team.add_at(endpoint, None);
    team.join_again(dbs, Role::Peer);
    let len = wire::encode(TEAM, group_tag, chunk(p1), &mut buf).unwrap();
    let result = team.members[dbs].peer().handle_datagram(now, p1, &buf[..len]);
    assert_eq!(result, Err(Reject::Forged));
}

/// The group's place in the table is no neighbour's: nobody can take it, and it
/// makes room for nobody.
#[test]
fn the_place_of_the_group_is_not_to_be_had() {
    let mut team = Team::new(SplitterConfig { max_team: 63, ..config(16) });
    let mine = at(1, 0);
    let me = team.add_at(mine, Some(lan(mine)));
    team.join_again(me, Role::Monitor);
    let id = team.members[me].peer().id();
    let key = Key::new([42; 16]).of_member(mine, id.number);
    let says_hello = |team: &mut Team, from: SocketAddr, number| {
        let id = p2psp_core::NodeId { role: Role::Peer, number };
        let hello =
            Message::Hello { id, answer: false, rules: Rules::Ims, unicast: false, status: None };
        let mut buf = [0; MAX_DATAGRAM_BYTES];
        let len = wire::encode(TEAM, key.tag(from), hello, &mut buf).unwrap();
        let now = team.now;
        team.members[me].peer().handle_datagram(now, from, &buf[..len])
    };
    assert_eq!(says_hello(&mut team, Lan::DEFAULT_GROUP, 1), Err(Reject::Forged));
    for n in 1..=62 {
        assert_eq!(says_hello(&mut team, at(0, n), n as u32), Ok(()), "{n}");
    }
    assert_eq!(says_hello(&mut team, at(0, 63), 63), Err(Reject::TableFull));
    assert!(team.members[me].peer().group_place().is_some());
    assert_eq!(team.members[me].peer().neighbours().count(), 62);
    // And it serves still: one of the subnet takes the place of one who leaves.
    let goodbye = Message::Goodbye {
        id: p2psp_core::NodeId { role: Role::Peer, number: 5 },
        reason: p2psp_core::Departure::Goodbye,
    };
    let mut buf = [0; MAX_DATAGRAM_BYTES];
    let len = wire::encode(TEAM, key.tag(at(0, 5)), goodbye, &mut buf).unwrap();
    let now = team.now;
    assert_eq!(team.members[me].peer().handle_datagram(now, at(0, 5), &buf[..len]), Ok(()));
    assert_eq!(says_hello(&mut team, at(1, 9), 64), Ok(()));
    assert!(team.forward(me).starts_with("M0: [LAN, P1, P2, P3, P4, P6"), "{}", team.forward(me));
}

#[test]
fn a_lan_that_can_not_be_is_an_error() {
    let mut team = Team::new(SplitterConfig { max_team: 64, ..config(16) });
    let now = team.now;
    let mine = at(1, 0);
    let admission = team.splitter().admit(now, mine, Role::Peer, Rules::Dbs, true).unwrap();
    let welcome = team.splitter().welcome(&admission, 0, "", "");
    let mut storage = Box::new(PeerStorage::new());
    let mut peer = p2psp_core::Peer::new(storage.memory());
    peer.join(now, team.splitter_endpoint, TEAM, &welcome).unwrap();
    let unicast = Lan { group: SocketAddr::from(([10, 0, 0, 1], 1)), ..lan(mine) };
    assert_eq!(peer.use_lan(unicast), Err(JoinError::BadGroup));
    let other_family = Lan { group: "[ff02::1]:1".parse().unwrap(), ..lan(mine) };
    assert_eq!(peer.use_lan(other_family), Err(JoinError::BadGroup));
    assert_eq!(peer.use_lan(lan(mine)), Err(JoinError::TableTooSmall), "64 members and a group");
    assert_eq!(peer.group_place(), None);
}
