//! The title travels with the stream (PROTOCOL.md 2.6): to members and to
//! joiners, once to each if nothing is lost, and in spite of losses.

mod team;

use std::time::Duration;

use p2psp_core::wire::{self, MAX_TEXT_BYTES, Message};
use p2psp_core::{BadTitle, ChunkNumber, PeerEvent, Role};
use team::{InFlight, Member, Team, config};

/// The title that a member knows, and how often it was told of a new one.
fn knows(member: &mut Member) -> (Option<(u32, String)>, usize) {
    let told = |event: &&PeerEvent| matches!(event, PeerEvent::Title { .. });
    let events = member.events.iter().filter(told).count();
    let title = member.peer().title().map(|title| (title.from().get(), title.text().to_owned()));
    (title, events)
}

fn is_title(datagram: &InFlight) -> bool {
    matches!(wire::decode(&datagram.bytes).unwrap().message, Message::Title { .. })
}

#[test]
fn members_and_joiners_know_the_title_and_its_chunk() {
    let mut team = Team::of(3, config(8));
    team.cut_many(5);
    assert_eq!(team.splitter().set_title("One"), Ok(ChunkNumber::new(5)));
    team.cut_many(40);
    team.join(Role::Peer);
    team.cut_many(3);
    for member in &mut team.members {
        assert_eq!(knows(member), (Some((5, "One".to_owned())), 1));
    }
    assert_eq!(team.splitter().set_title(""), Ok(ChunkNumber::new(48)));
    team.cut_many(40);
    for member in &mut team.members {
        assert_eq!(knows(member), (Some((48, String::new())), 2));
    }
}

#[test]
fn a_title_that_is_lost_is_told_again() {
    let mut team = Team::of(4, config(8));
    let mut dropped = 0;
    team.drop = Box::new(move |datagram| {
        let drop = is_title(datagram) && dropped < 8;
        dropped += usize::from(drop);
        drop
    });
    let from = team.splitter().set_title("One").unwrap();
    // Two of three times it is lost for everybody.
    team.pass(Duration::from_secs(4));
    for member in &mut team.members {
        assert_eq!(knows(member), (Some((from.get(), "One".to_owned())), 1));
    }
}

#[test]
fn a_title_is_told_three_times_and_no_more() {
    let mut team = Team::of(2, config(8));
    let counted = std::rc::Rc::new(std::cell::Cell::new(0));
    let count = std::rc::Rc::clone(&counted);
    team.drop = Box::new(move |datagram| {
        count.set(count.get() + usize::from(is_title(datagram)));
        false
    });
    team.splitter().set_title("One").unwrap();
    team.pass(Duration::from_secs(10));
    assert_eq!(counted.get(), 2 * 3);
}

#[test]
fn what_is_no_title_is_refused() {
    let mut team = Team::of(1, config(8));
    let long = "x".repeat(MAX_TEXT_BYTES + 1);
    for bad in [long.as_str(), "a\u{1b}[2J"] {
        assert_eq!(team.splitter().set_title(bad), Err(BadTitle));
    }
    team.pass(Duration::from_secs(2));
    assert_eq!(knows(&mut team.members[0]), (None, 0));
}
