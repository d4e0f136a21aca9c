//! The scenario of the published figures (PROTOCOL.md 10): every transmission
//! and every table that their captions state.

mod team;

use p2psp_core::Role;
use team::{Team, config};

#[test]
fn figures_1_to_5() {
    let mut team = Team::new(config(8));
    let m0 = team.join(Role::Monitor);

    team.cut();
    team.cut();
    assert_eq!(team.take_sent(), "S>M0:0 S>M0:1");
    assert_eq!(team.forward(m0), "M0: []");

    let p1 = team.join(Role::Peer);
    team.cut();
    assert_eq!(team.take_sent(), "S>M0:2 M0>P1:2");
    assert_eq!(team.forward(m0), "M0: [P1]");
    assert_eq!(team.forward(p1), "P1: [M0]");
    assert_eq!(team.pending(m0), "");
    let first = team.members[p1].peer().buffer().cursor.expect("has got a chunk");
    assert_eq!(first.get(), 2, "P1 never gets 0 and 1");

    let p2 = team.join(Role::Peer);
    team.cut();
    assert_eq!(team.take_sent(), "S>P1:3 P1>P2:3");
    assert_eq!(team.forward(m0), "M0: [P1, P2]");
    assert_eq!(team.forward(p1), "P1: [M0, P2]");
    assert_eq!(team.forward(p2), "P2: [M0, P1]");
    assert_eq!(team.pending(p1), "M0: 3");

    team.cut();
    assert_eq!(team.take_sent(), "S>P2:4 P2>P1:4 P1>M0:3");
    // The consequence that the drawings leave out.
    assert_eq!(team.pending(p2), "M0: 4");

    team.cut();
    assert_eq!(team.take_sent(), "S>M0:5 M0>P2:5 P2>M0:4 M0>P1:5");
    for member in [m0, p1, p2] {
        assert_eq!(team.pending(member), "");
        assert_eq!(team.members[member].peer().stats().duplicates, 0);
    }
}
