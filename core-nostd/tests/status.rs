//! A member's status goes to the splitter and to nobody else (PROTOCOL.md 3.7).

mod team;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use p2psp_core::wire::{self, MAX_DATAGRAM_BYTES, Message};
use p2psp_core::{
    Key, Lan, Node, PlayerState, PlayerStatus, Reject, Role, Rules, SplitterConfig, SplitterEvent,
};
use team::{TEAM, Team, config};

const STATUS: PlayerStatus =
    PlayerStatus { state: PlayerState::Playing, level_ms: 480, concealed: 3, underruns: 0 };

/// A second, after which everybody has said hello once more.
const SECOND: Duration = Duration::from_millis(1001);

/// What the splitter knows of all members, in join order.
fn known(team: &mut Team) -> Vec<Option<PlayerStatus>> {
    team.splitter().members().map(|member| member.status).collect()
}

fn set(team: &mut Team, index: usize, status: Option<PlayerStatus>) {
    team.members[index].peer().set_status(status);
}

#[test]
fn the_splitter_knows_what_the_last_hello_said() {
    let mut team = Team::of(3, config(8));
    team.pass(SECOND);
    assert_eq!(known(&mut team), [None; 3], "who says nothing has none");
    set(&mut team, 1, Some(STATUS));
    assert_eq!(known(&mut team), [None; 3]);
    team.pass(SECOND);
    assert_eq!(known(&mut team), [None, Some(STATUS), None]);
    let worse = PlayerStatus { state: PlayerState::Buffering, level_ms: 0, underruns: 1, ..STATUS };
    set(&mut team, 1, Some(worse));
    team.pass(SECOND);
    assert_eq!(known(&mut team), [None, Some(worse), None]);
    set(&mut team, 1, None);
    team.pass(SECOND);
    assert_eq!(known(&mut team), [None; 3]);
}

#[test]
fn who_joins_again_says_it_with_its_first_hello() {
    let mut team = Team::of(2, config(8));
    set(&mut team, 1, Some(STATUS));
    team.pass(SECOND);
    team.splitter_events.clear();
    team.join_again(1, Role::Peer);
    let joined = |event: &SplitterEvent| matches!(event, SplitterEvent::Joined { .. });
    assert_eq!(team.splitter_events.iter().filter(|event| joined(event)).count(), 1);
    assert_eq!(known(&mut team), [None, Some(STATUS)]);
}

/// Neighbours, those of the same LAN and the group included, get none, nor
/// does anybody from the splitter.
#[test]
fn nobody_but_the_splitter_is_told() {
    let group = SocketAddr::from(([224, 0, 0, 1], 1234));
    let told: Rc<RefCell<Vec<(SocketAddr, bool, bool)>>> = Rc::default();
    let copy = Rc::clone(&told);
    let mut team = Team::new(SplitterConfig { max_team: 32, ..config(8) });
    team.drop = Box::new(move |datagram| {
        if let Message::Hello { status, .. } = wire::decode(&datagram.bytes).unwrap().message {
            copy.borrow_mut().push((datagram.to, datagram.multicast, status.is_some()));
        }
        false
    });
    for n in 0..4 {
        let endpoint = team::endpoint(n);
        let lan = Lan { address: endpoint.ip(), prefix: 24, group };
        let index = team.add_at(endpoint, (n > 0).then_some(lan));
        set(&mut team, index, Some(STATUS));
        team.join_again(index, if n == 0 { Role::Monitor } else { Role::Peer });
    }
    team.pass(3 * SECOND);
    let told = told.take();
    let (splitter, others): (Vec<_>, Vec<_>) =
        told.into_iter().partition(|(to, ..)| *to == team.splitter_endpoint);
    // At once, and each of three seconds.
    assert_eq!(splitter.len(), 4 * 4);
    assert!(splitter.iter().all(|(.., status)| *status));
    let multicast = others.iter().filter(|(_, multicast, _)| *multicast).count();
    assert!(multicast > 0 && others.len() > multicast + 4 * 4, "{others:?}");
    assert!(others.iter().all(|(.., status)| !status), "{others:?}");
}

/// One that some member says to another all the same changes nothing there.
#[test]
fn a_peer_takes_a_hello_with_a_status_as_any_other() {
    let mut team = Team::of(3, config(8));
    team.cut_many(20);
    let key = Key::new([42; 16]).of_member(team.members[1].endpoint, 1);
    let (from, now, id) = (team.members[2].endpoint, team.now, team.members[2].peer().id());
    let before = (team.forward(1), team.pending(1));
    for status in [Some(STATUS), None] {
        let mut buf = [0; MAX_DATAGRAM_BYTES];
        let (answer, rules, unicast) = (false, Rules::Dbs, false);
        let hello = Message::Hello { id, answer, rules, unicast, status };
        let len = wire::encode(TEAM, key.tag(from), hello, &mut buf).unwrap();
        assert_eq!(team.members[1].peer().handle_datagram(now, from, &buf[..len]), Ok(()));
        assert_eq!((team.forward(1), team.pending(1)), before);
    }
}

/// One that can't be read is turned away whole and counted; what was known
/// stays.
#[test]
fn a_state_that_nobody_knows_is_turned_away() {
    let mut team = Team::of(2, config(8));
    set(&mut team, 1, Some(STATUS));
    team.pass(SECOND);
    let (from, now, id) = (team.members[1].endpoint, team.now, team.members[1].peer().id());
    let tag = Key::new([42; 16]).of_member(from, id.number).splitter_tag();
    let mut buf = [0; MAX_DATAGRAM_BYTES];
    let status = Some(PlayerStatus { level_ms: 5, ..STATUS });
    let (answer, rules, unicast) = (false, Rules::Dbs, false);
    let hello = Message::Hello { id, answer, rules, unicast, status };
    let len = wire::encode(TEAM, tag, hello, &mut buf).unwrap();
    // Before the three numbers, each of a byte.
    buf[len - 4] = 2;
    let mut splitter = team.splitter();
    assert_eq!(splitter.handle_datagram(now, from, &buf[..len]), Err(Reject::Malformed));
    assert_eq!(splitter.stats().rejects.get(Reject::Malformed), 1);
    assert_eq!(known(&mut team), [None, Some(STATUS)]);
    buf[len - 4] = 0;
    assert_eq!(team.splitter().handle_datagram(now, from, &buf[..len]), Ok(()));
    assert_eq!(known(&mut team)[1].map(|status| status.state), Some(PlayerState::Buffering));
}
