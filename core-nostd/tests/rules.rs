//! The rules of DBS on a network without delay: what follows from them in
//! theory must come out in numbers (PROTOCOL.md 2 to 8.1).

mod team;

use std::time::Duration;

use p2psp_core::{ChunkNumber, Departure, NodeId, PeerEvent, Phase, Role, SplitterEvent};
use team::{Team, config};

/// 5.7: in a full mesh of `N` every peer gets every chunk once, in `N`
/// transmissions, at most `N - 1` behind the newest; `B = N` loses nothing.
#[test]
fn a_full_mesh_needs_n_transmissions_a_chunk_and_a_buffer_of_n() {
    for size in [1, 2, 3, 4, 5, 6, 7, 8, 11, 16, 31, 50] {
        let mut team = Team::of(size, config(size as u32));
        let rounds = 6;
        team.cut_many(rounds * size);
        team.sent.clear();
        // What is older than a peer's first chunk is late for it (6.1).
        let late: Vec<u64> =
            team.members.iter_mut().map(|member| member.peer().stats().late).collect();
        team.cut_many(rounds * size);
        assert_eq!(team.sent.len(), rounds * size * size, "N = {size}");
        for (member, late) in team.members.iter_mut().zip(late) {
            assert!(member.most_behind < size as i32, "N = {size}: {}", member.most_behind);
            assert_eq!(member.lost(), 0, "N = {size}");
            let stats = *member.peer().stats();
            assert_eq!((stats.duplicates, stats.late), (0, late), "N = {size}");
            assert_eq!((stats.pending_full, stats.pending_stale), (0, 0), "N = {size}");
        }
    }
}

#[test]
fn a_buffer_below_n_loses_the_more_the_smaller_it_is() {
    let lost = |buffer| {
        let config = p2psp_core::SplitterConfig { max_losses: u16::MAX, ..config(buffer) };
        let mut team = Team::of(20, config);
        team.cut_many(20 * 40);
        // Losses must not breed losses: what comes too late serves, too. (Far
        // below N, slots are used again before their chunk was sent on.)
        let (sent, needed) = (team.sent.len(), 20 * 20 * 40);
        assert!(
            buffer < 10 || sent * 100 >= needed * 95,
            "B = {buffer}: {sent} of {needed} transmissions"
        );
        team.members.iter().map(team::Member::lost).sum::<usize>()
    };
    let losses = [lost(20), lost(15), lost(10), lost(5)];
    assert_eq!(losses[0], 0);
    assert!(losses.is_sorted() && losses[1] > 0, "{losses:?}");
}

#[test]
fn chunks_go_round_robin_in_join_order_across_joins_and_leaves() {
    let mut team = Team::of(4, config(8));
    team.cut_many(2);
    // P2 is next; its leaving must not skip P3.
    let now = team.now;
    p2psp_core::Node::leave(&mut team.members[2].peer(), now);
    team.settle();
    team.take_sent();
    team.cut_many(3);
    let from_splitter: Vec<&String> =
        team.sent.iter().filter(|sent| sent.starts_with("S>")).collect();
    assert_eq!(from_splitter, ["S>P3:2", "S>M0:3", "S>P1:4"]);
}

/// 7: nobody is served any more, nothing pending is held back, and the
/// splitter's answer ends it.
#[test]
fn leaving_takes_the_peer_out_of_every_table() {
    let mut team = Team::of(4, config(8));
    team.cut_many(9);
    let now = team.now;
    p2psp_core::Node::leave(&mut team.members[1].peer(), now);
    team.settle();
    assert_eq!(team.members[1].events.last(), Some(&PeerEvent::Left { answered: true }));
    assert_eq!(team.members[1].peer().phase(), Phase::Outside);
    assert_eq!(team.size(), 3);
    assert_eq!(team.forward(0), "M0: [P2, P3]");
    assert_eq!(team.forward(2), "P2: [M0, P3]");
    let before: Vec<usize> = team.members.iter().map(team::Member::lost).collect();
    team.cut_many(40);
    for index in [0, 2, 3] {
        assert_eq!(team.members[index].lost(), before[index], "what was pending was sent");
        assert_eq!(
            team.members[index]
                .events
                .iter()
                .filter(|event| {
                    matches!(event, PeerEvent::NeighbourLeft { reason: Departure::Goodbye, .. })
                })
                .count(),
            1
        );
    }
    assert_eq!(team.members[1].peer().poll_timeout_for_test(), None);
}

trait PollTimeout {
    fn poll_timeout_for_test(&self) -> Option<p2psp_core::Instant>;
}

impl PollTimeout for p2psp_core::Peer<'_> {
    fn poll_timeout_for_test(&self) -> Option<p2psp_core::Instant> {
        p2psp_core::Node::poll_timeout(self)
    }
}

/// 7.1: the splitter may send a chunk before it hears the goodbye. It is
/// forwarded all the same.
#[test]
fn a_chunk_for_one_who_is_leaving_is_not_lost() {
    let mut team = Team::of(4, config(8));
    team.cut_many(9);
    let now = team.now;
    p2psp_core::Node::leave(&mut team.members[1].peer(), now);
    // The ninth went to M0, so P1 is next.
    let number = team.cut();
    assert!(team.sent.contains(&format!("S>P1:{number}")), "{:?}", team.sent);
    assert_eq!(team.size(), 3);
    team.cut_many(40);
    assert!([0, 2, 3].iter().all(|index| team.members[*index].lost() == 0));
}

#[test]
fn leaving_without_an_answer_ends_after_a_bounded_number_of_goodbyes() {
    let mut team = Team::of(2, config(8));
    team.cut_many(4);
    let splitter = team.splitter_endpoint;
    team.drop = Box::new(move |datagram| datagram.from == splitter);
    let now = team.now;
    p2psp_core::Node::leave(&mut team.members[1].peer(), now);
    team.settle();
    assert_eq!(team.members[1].peer().phase(), Phase::Leaving);
    assert_eq!(team.size(), 1, "the splitter has removed it at the first one");
    team.pass(Duration::from_secs(2));
    assert_eq!(team.members[1].events.last(), Some(&PeerEvent::Left { answered: false }));
}

#[test]
fn a_splitter_that_stops_ends_the_team_and_peers_play_out() {
    let mut team = Team::of(3, config(5));
    team.cut_many(20);
    let now = team.now;
    p2psp_core::Node::leave(&mut team.splitter(), now);
    team.settle();
    assert_eq!(team.splitter_events.last(), Some(&SplitterEvent::Stopped { unanswered: 0 }));
    team.pass(Duration::from_millis(1100));
    for member in &mut team.members {
        assert_eq!(member.lost(), 0, "what was pending was sent");
        assert!(member.events.contains(&PeerEvent::Dismissed { reason: Departure::Ended }));
        assert_eq!(member.events.last(), Some(&PeerEvent::Left { answered: true }));
        assert_eq!(member.played.last(), Some(&Ok(19)), "plays out what it has");
        assert_eq!(member.peer().phase(), Phase::Outside);
    }
}

#[test]
fn a_splitter_that_stops_does_not_wait_for_the_dead() {
    let mut team = Team::of(3, config(5));
    team.members[2].dead = true;
    let now = team.now;
    p2psp_core::Node::leave(&mut team.splitter(), now);
    team.settle();
    assert_eq!(team.size(), 1);
    team.pass(Duration::from_secs(2));
    assert_eq!(team.splitter_events.last(), Some(&SplitterEvent::Stopped { unanswered: 1 }));
}

/// 3.6: removed after five seconds of silence, not before, and nobody else.
#[test]
fn silent_members_are_removed() {
    let mut team = Team::of(3, config(8));
    team.pass(Duration::from_secs(20));
    assert_eq!(team.size(), 3, "hellos keep members");
    team.members[1].dead = true;
    team.pass(Duration::from_millis(3900));
    assert_eq!(team.size(), 3);
    team.pass(Duration::from_millis(1700));
    assert_eq!(team.size(), 2);
    assert!(matches!(
        team.splitter_events.last(),
        Some(SplitterEvent::Left { id: NodeId { number: 1, .. }, reason: Departure::Silent, .. })
    ));
}

/// 8.1: the others lose `1/N` until the complaints have the selfish peer
/// removed, and nothing after.
#[test]
fn a_selfish_peer_is_removed_on_complaints() {
    let mut team = Team::of(5, config(10));
    team.chunk_time = Duration::from_millis(50);
    team.cut_many(50);
    team.members[3].selfish = true;
    let mut chunks = 0;
    while team.size() == 5 {
        team.cut();
        chunks += 1;
        assert!(chunks < 200, "never removed");
    }
    // More than `L*` = 8 losses, one a round, each eighth pardoned, and the
    // complaint comes when the chunk's turn to play comes.
    assert!((45..=70).contains(&chunks), "removed after {chunks} chunks");
    assert!(team.splitter_events.iter().any(|event| matches!(
        event,
        SplitterEvent::Left { id: NodeId { number: 3, .. }, reason: Departure::Losses, .. }
    )));
    let selfish_events = &team.members[3].events;
    assert!(selfish_events.contains(&PeerEvent::Dismissed { reason: Departure::Losses }));
    team.cut_many(20);
    let before: Vec<usize> = team.members.iter().map(team::Member::lost).collect();
    team.cut_many(100);
    for index in [0, 1, 2, 4] {
        assert_eq!(team.members[index].lost(), before[index]);
    }
}

/// 8.1 **(ours)**: losses below one in eight are forgiven for ever.
#[test]
fn odd_losses_remove_nobody() {
    let mut team = Team::of(5, config(10));
    let mut count = 0;
    team.drop = Box::new(move |datagram| {
        count += usize::from(datagram.bytes.len() > 40);
        datagram.bytes.len() > 40 && count.is_multiple_of(30)
    });
    team.cut_many(3000);
    assert_eq!(team.size(), 5);
    assert!(team.splitter().stats().complaints > 10, "there were losses to complain about");
}

/// 8.2: who was silent for 16 rounds is not served, and is when it resumes.
#[test]
fn neighbours_that_go_silent_are_no_longer_served() {
    let config = p2psp_core::SplitterConfig { max_losses: u16::MAX, ..config(8) };
    let mut team = Team::of(4, config);
    team.cut_many(8);
    team.chunk_time = Duration::from_millis(50);
    // P3 is cut off from the others, but not from the splitter.
    let p3 = team.members[3].endpoint;
    let splitter = team.splitter_endpoint;
    team.drop = Box::new(move |datagram| datagram.from == p3 && datagram.to != splitter);
    team.cut_many(4 * 24);
    for index in 0..3 {
        assert!(!team.forward(index).contains("P3"), "{}", team.forward(index));
    }
    team.drop = Box::new(|_| false);
    team.cut_many(24);
    for index in 0..3 {
        assert!(team.forward(index).contains("P3"), "{}", team.forward(index));
    }
    let lost: Vec<usize> = team.members.iter().map(team::Member::lost).collect();
    team.cut_many(40);
    let after: Vec<usize> = team.members.iter().map(team::Member::lost).collect();
    assert_eq!(lost, after);
}

/// 3: members that join at the same time know each other.
#[test]
fn members_that_join_together_know_each_other() {
    let mut team = Team::new(config(8));
    for role in [Role::Monitor, Role::Peer, Role::Peer, Role::Peer] {
        let index = team.add();
        team.admit(index, role);
    }
    team.settle();
    assert_eq!(team.size(), 4);
    assert_eq!(team.forward(0), "M0: [P1, P2, P3]");
    assert_eq!(team.forward(1), "P1: [M0, P2, P3]");
    assert_eq!(team.forward(3), "P3: [M0, P1, P2]");
    team.cut_many(40);
    assert!(team.members.iter().all(|member| member.lost() == 0));
}

/// 6.1 **(ours)**: a chunk that came from one who knew the joiner before the
/// others did is no beginning.
#[test]
fn playing_starts_behind_the_holes_of_joining() {
    let mut team = Team::of(4, config(8));
    team.cut_many(8);
    let p4 = team.add();
    team.admit(p4, Role::Peer);
    // M0 knows the joiner and is the origin of the next chunk; the hellos to
    // the others and to the splitter are still on their way.
    let m0 = team.members[0].endpoint;
    team.drop =
        Box::new(move |datagram| datagram.from.ip() == team::endpoint(4).ip() && datagram.to != m0);
    team.settle();
    team.cut();
    assert_eq!(team.members[p4].peer().buffer().cursor.map(|first| first.get()), Some(8));
    team.cut_many(2);
    team.drop = Box::new(|_| false);
    team.pass(Duration::from_millis(1100));
    team.cut_many(40);
    let joiner = &team.members[p4];
    assert_eq!(joiner.lost(), 0, "{:?}", joiner.played);
    assert_eq!(
        joiner
            .events
            .iter()
            .filter(|event| matches!(event, PeerEvent::Playing { first } if first.get() == 11))
            .count(),
        1
    );
    assert_eq!(joiner.played[0], Ok(11), "neither 8 nor the hole behind it");
}

/// 3.3 and 3.4 over a lossy network: a `[hello]` that got lost is said again.
#[test]
fn lost_hellos_are_repeated() {
    let mut team = Team::of(2, config(8));
    let mut dropped = 0;
    let (m0, p1) = (team.members[0].endpoint, team.members[1].endpoint);
    team.drop = Box::new(move |datagram| {
        let lose = dropped < 2 && (datagram.to == m0 || datagram.to == p1);
        dropped += usize::from(lose);
        lose
    });
    let p2 = team.join(Role::Peer);
    assert_eq!(team.forward(0), "M0: [P1]", "it was lost");
    team.pass(Duration::from_millis(1100));
    assert_eq!(team.forward(0), "M0: [P1, P2]");
    assert_eq!(team.forward(1), "P1: [M0, P2]");
    assert!(team.members[p2].events.contains(&PeerEvent::Joined));
}

/// 5.3: a chunk tells of its sender and of its origin; the origin is asked
/// before it is served.
#[test]
fn chunks_introduce_their_sender() {
    let mut team = Team::of(2, config(8));
    let m0 = team.members[0].endpoint;
    // P2's hello to M0 never arrives, its chunks do.
    team.drop = Box::new(move |datagram| datagram.to == m0 && datagram.bytes.len() < 40);
    team.join(Role::Peer);
    assert_eq!(team.forward(0), "M0: [P1]");
    team.cut_many(6);
    assert_eq!(team.forward(0), "M0: [P1, ?]");
    team.drop = Box::new(|_| false);
    team.pass(Duration::from_millis(1100));
    team.cut_many(6);
    let served: Vec<String> =
        team.sent.iter().filter(|sent| sent.starts_with("M0>P2")).cloned().collect();
    assert!(!served.is_empty());
}

/// 6.4: everything goes on across the wrap of chunk numbers.
#[test]
fn the_wrap_of_chunk_numbers_is_seamless() {
    let first_chunk = ChunkNumber::new(u32::MAX - 100);
    let mut team = Team::of(5, p2psp_core::SplitterConfig { first_chunk, ..config(7) });
    team.cut_many(300);
    for member in &team.members {
        assert_eq!(member.lost(), 0);
        let expected: Vec<_> = (0..member.played.len() as u32)
            .map(|n| Ok(member.played[0].unwrap().wrapping_add(n)))
            .collect();
        assert_eq!(member.played, expected);
        assert!(member.played.len() >= 300 - 14, "{}", member.played.len());
        assert!(member.played[0].unwrap() > u32::MAX - 101);
    }
}

/// A node's storage is the whole node: a copy of it goes on as the original.
#[test]
fn a_copy_of_the_storage_is_a_copy_of_the_peer() {
    let mut team = Team::of(4, config(8));
    team.cut_many(21);
    let saved: Vec<_> = team.members.iter().map(|member| member.storage.clone()).collect();
    let splitter = team.splitter.clone();
    team.take_sent();
    team.cut_many(9);
    let first = team.take_sent();
    for (member, storage) in team.members.iter_mut().zip(saved) {
        member.storage = storage;
    }
    team.splitter = splitter;
    team.cut_many(9);
    assert_eq!(team.take_sent(), first);
}
