//! IMS: neighbours in the peer's own subnet are one neighbour, the group (9).
//!
//! The group has a place in the member table like any neighbour, so `forward`,
//! `pending` and the turns of 5.6 need no rule of their own: a chunk for the
//! subnet is pending once and sent once. It is in `forward[self]` only, which
//! is rule 9.2, and only while somebody in the subnet is served by it (9.6).
//!
//! **(ours)** Not everybody in the subnet plays by IMS. Joiners tell the splitter
//! by which rules they play, it tells that with its list, and every `[hello]`
//! says so, too: who plays by DBS is served by unicast, as is one of whom there
//! was no `[hello]` yet.
//!
//! **(ours)** Not every network delivers multicast. So whoever has neighbours
//! in its subnet lets itself be heard by the group once a second: by a chunk,
//! or else by a `[hello]`. One who hears nothing from a neighbour through the
//! group for [`QUIET_TICKS`] says so in its `[hello]`s to that neighbour, once a
//! second. They are a lease: for [`LEASE_TICKS`] after each the neighbour serves
//! it by unicast, while the group goes on for the others. When the group is
//! heard again, a `[hello]` without that wish ends the lease at once. All of it
//! survives lost datagrams, and nobody has to remember who served whom how.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::arrival::Sender;
use super::{MYSELF, Peer, PeerEvent};
use crate::buffer::NOBODY;
use crate::node::{Reject, Rules};
use crate::sets::{self, Bits, WORD_BITS};
use crate::wire::Message;
use crate::{Instant, JoinError, Neighbour};
/// Seconds, as ticks of the `[hello]` to the splitter, after which a neighbour
/// whose multicast is not heard is asked for unicast.
pub(super) const QUIET_TICKS: u8 = 4;
/// How long one `[hello]` that asks for unicast is good for, in ticks.
const LEASE_TICKS: u8 = 4;

/// Where a peer is in its LAN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lan {
    /// The peer's own address in its subnet.
    pub address: IpAddr,
    /// Length of the subnet's prefix, in bits; more than the address has count
    /// as all of them.
    pub prefix: u8,
    /// The group (9.1): a multicast address and a port.
    pub group: SocketAddr,
}

impl Lan {
    /// The group of the rules (9.1).
    pub const DEFAULT_GROUP: SocketAddr =
        SocketAddr::new(IpAddr::V4(Ipv4Addr::new(224, 0, 0, 1)), 1234);

    /// Whether `address` is in the subnet.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (mine, theirs, bits) = match (self.address, address) {
            (IpAddr::V4(mine), IpAddr::V4(theirs)) => {
                (u128::from(mine.to_bits()), u128::from(theirs.to_bits()), 32)
            }
            (IpAddr::V6(mine), IpAddr::V6(theirs)) => (mine.to_bits(), theirs.to_bits(), 128),
            _ => return false,
        };
        let host_bits = 128.min(bits - u32::from(self.prefix).min(bits));
        (mine ^ theirs).checked_shr(host_bits).unwrap_or(0) == 0
    }
}

/// What a neighbour has to do with the group.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Reach {
    /// Whether it is in the peer's subnet and plays by IMS, too.
    pub(super) lan: bool,
    /// Ticks since its multicast was heard.
    quiet: u8,
    /// Ticks for which it is still served by unicast, because it asked.
    lease: u8,
    /// Whether it was told that it serves this peer by unicast.
    told: bool,
}

impl Reach {
    pub(super) const NEW: Reach = Reach { lan: false, quiet: 0, lease: 0, told: false };

    /// Whether it is to be asked for unicast.
    pub(super) fn wants_unicast(&self) -> bool {
        self.lan && self.quiet >= QUIET_TICKS
    }
}

impl Peer<'_> {
    /// Plays by IMS in this LAN (9): call it after [`Peer::join`] and before
    /// the first [`Peer::add_member`]. Without it the peer plays by DBS. What
    /// arrives at the group's port goes into
    /// [`handle_datagram`](crate::Node::handle_datagram) like the rest.
    ///
    /// # Errors
    ///
    /// [`JoinError::BadGroup`] if the group is no multicast address of the
    /// family of the peer's own; [`JoinError::TableTooSmall`] if the table has
    /// no place for it besides the team's.
    pub fn use_lan(&mut self, lan: Lan) -> Result<(), JoinError> {
        let group = lan.group;
        if !group.ip().is_multicast() || group.is_ipv4() != lan.address.is_ipv4() {
            return Err(JoinError::BadGroup);
        }
        if usize::from(self.core.max_team) >= self.neighbours.capacity() {
            return Err(JoinError::TableTooSmall);
        }
        let entry = Neighbour::new(None, self.core.group_tag);
        let place = self.neighbours.insert(group, entry).map_err(|_| JoinError::TableTooSmall)?;
        self.core.group = place as u16;
        self.core.lan = Some(lan);
        Ok(())
    }

    /// The place of the group in the other views, if the peer plays by IMS.
    pub fn group_place(&self) -> Option<usize> {
        (self.core.group != NOBODY).then_some(usize::from(self.core.group))
    }

    /// The LAN in which the peer plays by IMS.
    pub fn lan(&self) -> Option<&Lan> {
        self.core.lan.as_ref()
    }

    /// Whether a place holds a neighbour, and not the peer itself or the group.
    pub(super) fn is_neighbour(&self, place: usize) -> bool {
        place != MYSELF && self.group_place() != Some(place)
    }

    /// By which rules the peer plays.
    pub(super) fn rules(&self) -> Rules {
        if self.core.lan.is_some() { Rules::Ims } else { Rules::Dbs }
    }

    /// A neighbour that begins: is it in the subnet, and plays by IMS?
    pub(super) fn reach_of(&self, endpoint: SocketAddr, rules: Rules) -> Reach {
        let inside = self.core.lan.is_some_and(|lan| lan.contains(endpoint.ip()));
        Reach { lan: inside && rules == Rules::Ims, ..Reach::NEW }
    }

    /// A neighbour says by which rules it plays.
    pub(super) fn note_rules(&mut self, place: usize, rules: Rules) {
        let Some((endpoint, neighbour)) = self.neighbours.get(place) else { return };
        let reach = self.reach_of(endpoint, rules);
        if reach.lan == neighbour.reach.lan {
            return;
        }
        let served = self.serves(place);
        self.sets.remove(sets::LAN, place);
        self.sets.remove(sets::FORWARD_SELF, place);
        if let Some(neighbour) = self.neighbours.get_mut(place) {
            neighbour.reach = reach;
        }
        if served {
            self.serve(place);
        }
        self.note_served();
    }

    /// Takes a neighbour into `forward[self]`, by way of the group if it is in
    /// the subnet (9.1); tells whether it was not served before.
    pub(super) fn serve(&mut self, place: usize) -> bool {
        let lan = self.neighbours.get(place).is_some_and(|(_, one)| one.reach.lan);
        let new = self.sets.insert(if lan { sets::LAN } else { sets::FORWARD_SELF }, place);
        if new {
            self.note_served();
        }
        new
    }

    /// Whether a neighbour is served, in one way or the other.
    pub(super) fn serves(&self, place: usize) -> bool {
        self.sets.contains(sets::FORWARD_SELF, place) || self.sets.contains(sets::LAN, place)
    }

    /// One word of the set of all neighbours that are served.
    pub(super) fn served_word(&self, index: usize) -> u32 {
        let both = self.sets.word(sets::FORWARD_SELF, index) | self.sets.word(sets::LAN, index);
        match self.group_place() {
            Some(place) if place / WORD_BITS == index => both & !(1 << (place % WORD_BITS)),
            _ => both,
        }
    }

    /// Somebody is served, or not any more, or otherwise: counts them, and lets
    /// the group be in `forward[self]` while it serves somebody (9.6).
    pub(super) fn note_served(&mut self) {
        let words = (0..self.sets.row_words()).map(|index| self.served_word(index));
        self.core.served = words.map(u32::count_ones).sum();
        let Some(group) = self.group_place() else { return };
        let needed = (0..self.sets.row_words()).any(|index| {
            self.sets.word(sets::LAN, index) & !self.sets.word(sets::FORWARD_SELF, index) != 0
        });
        if needed {
            self.sets.insert(sets::FORWARD_SELF, group);
        } else if self.sets.remove(sets::FORWARD_SELF, group) {
            self.forget_pending(group);
        }
    }

    /// A datagram that carries the team's tag for groups: from whom is it?
    pub(super) fn group_says(
        &mut self,
        now: Instant,
        from: SocketAddr,
        message: Message<'_>,
    ) -> Result<(), Reject> {
        if self.core.endpoint == Some(from) {
            // My own: a host hears itself (9.5).
            return Ok(());
        }
        let Some(place) =
            self.neighbours.find_sender(from).filter(|place| self.is_neighbour(*place))
        else {
            // One whose `[hello]` was lost, maybe.
            self.ask(now, from);
            return Err(Reject::Stranger);
        };
        let Some(neighbour) = self.neighbours.get_mut(place).filter(|one| one.reach.lan) else {
            return Err(Reject::Unexpected);
        };
        let chunk = match message {
            Message::Hello { .. } => None,
            Message::Chunk { number, origin, payload } if origin == from => {
                Some((number, origin, payload))
            }
            // What came from a peer is never multicast (9.2).
            _ => return Err(Reject::Unexpected),
        };
        let reach = &mut neighbour.reach;
        let back = reach.wants_unicast();
        reach.quiet = 0;
        if core::mem::take(&mut reach.told) {
            let id = neighbour.id;
            self.core.event(PeerEvent::MulticastBack { id });
        }
        if back {
            self.greet(place);
        }
        self.heard(now, place);
        match chunk {
            Some((number, origin, payload)) => {
                self.chunk(now, Sender::Neighbour(place), number, origin, payload)
            }
            None => Ok(()),
        }
    }

    /// What a neighbour's `[hello]` says about the group.
    pub(super) fn note_wish(&mut self, place: usize, unicast: bool) {
        let Some(neighbour) = self.neighbours.get_mut(place).filter(|one| one.reach.lan) else {
            return;
        };
        neighbour.reach.lease = if unicast { LEASE_TICKS } else { 0 };
        self.apply_lease(place);
    }

    /// A neighbour in the subnet has sent a chunk by unicast.
    pub(super) fn note_unicast(&mut self, place: usize) {
        let Some((endpoint, _)) = self.neighbours.get(place) else { return };
        let Some(neighbour) = self.neighbours.get_mut(place) else { return };
        if neighbour.reach.wants_unicast() && !neighbour.reach.told {
            neighbour.reach.told = true;
            let id = neighbour.id;
            self.core.event(PeerEvent::MulticastSilent { id, endpoint });
        }
    }

    /// Once a second: who was not heard, whose lease is over, and whether this
    /// peer was heard itself.
    pub(super) fn tick_lan(&mut self) {
        if self.group_place().is_none() {
            return;
        }
        let mut alone = true;
        for index in 0..self.sets.row_words() {
            for bit in Bits(self.sets.word(sets::LAN, index)) {
                alone = false;
                self.tick_neighbour(index * WORD_BITS + bit);
            }
        }
        if !core::mem::take(&mut self.core.multicast) && !alone {
            self.core.greet_group = true;
        }
    }

    fn tick_neighbour(&mut self, place: usize) {
        let Some(neighbour) = self.neighbours.get_mut(place) else { return };
        let reach = &mut neighbour.reach;
        reach.quiet = reach.quiet.saturating_add(1);
        let lapsed = reach.lease == 1;
        reach.lease = reach.lease.saturating_sub(1);
        if reach.wants_unicast() {
            self.greet(place);
        }
        if lapsed {
            self.apply_lease(place);
        }
    }

    /// Serves a neighbour of the subnet as its lease says.
    fn apply_lease(&mut self, place: usize) {
        let leased = self.neighbours.get(place).is_some_and(|(_, one)| one.reach.lease > 0);
        if leased && self.sets.contains(sets::LAN, place) {
            self.sets.insert(sets::FORWARD_SELF, place);
        } else {
            self.sets.remove(sets::FORWARD_SELF, place);
        }
        self.note_served();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subnet_is_what_the_prefix_says() {
        let lan = |address: &str, prefix| Lan {
            address: address.parse().unwrap(),
            prefix,
            group: Lan::DEFAULT_GROUP,
        };
        for (address, prefix, other, expected) in [
            ("10.0.0.7", 24, "10.0.0.200", true),
            ("10.0.0.7", 24, "10.0.1.7", false),
            ("10.0.0.7", 23, "10.0.1.7", true),
            ("10.0.0.7", 0, "192.168.1.1", true),
            ("10.0.0.7", 32, "10.0.0.7", true),
            ("10.0.0.7", 32, "10.0.0.6", false),
            ("10.0.0.7", 255, "10.0.0.6", false),
            ("10.0.0.7", 8, "fe80::1", false),
            ("fd00::1", 64, "fd00::2:0:0:9", true),
            ("fd00::1", 64, "fd00:0:0:1::1", false),
            ("fd00::1", 0, "2001:db8::1", true),
            ("fd00::1", 128, "fd00::1", true),
        ] {
            let found = lan(address, prefix).contains(other.parse().unwrap());
            assert_eq!(found, expected, "{other} in {address}/{prefix}");
        }
    }
}
