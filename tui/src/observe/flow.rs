//! Chunks under way: who sent which chunk to whom, lately.

use std::net::SocketAddr;

use p2psp_core::wire::{self, Message};

use super::Name;

/// Chunks that one node can tell of between two snapshots; of more, the last.
const MAX_SIGHTINGS: usize = 256;

/// A chunk sent from one node to another, or to all of a LAN.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Transmission {
    /// Seconds since the program started.
    pub t: f64,
    /// Its sender.
    pub from: Name,
    /// Its receiver.
    pub to: Name,
    /// The chunk.
    pub chunk: u32,
}

/// A chunk that a node has sent or received.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sighting {
    /// Seconds since the program started.
    pub t: f64,
    /// Whether the node has sent it.
    pub sent: bool,
    /// The other node.
    pub other: SocketAddr,
    /// The chunk.
    pub chunk: u32,
}

/// What a node has seen since its last snapshot. Costs nothing unless asked
/// for.
#[derive(Debug, Clone, Default)]
pub struct Sightings {
    wanted: bool,
    seen: std::collections::VecDeque<Sighting>,
}

impl Sightings {
    /// Keeps nothing unless `wanted`.
    pub fn new(wanted: bool) -> Sightings {
        Sightings { wanted, ..Sightings::default() }
    }

    /// Whether anything is kept.
    pub fn wanted(&self) -> bool {
        self.wanted
    }

    /// Takes a datagram that was `sent` to `other`, or received from there.
    /// What is no chunk is nothing to see.
    pub fn see(&mut self, t: f64, sent: bool, other: SocketAddr, datagram: &[u8]) {
        if !self.wanted {
            return;
        }
        if let Ok(Message::Chunk { number, .. }) = wire::decode(datagram).map(|all| all.message) {
            if self.seen.len() == MAX_SIGHTINGS {
                self.seen.pop_front();
            }
            self.seen.push_back(Sighting { t, sent, other, chunk: number.get() });
        }
    }

    /// All that was seen, as transmissions of the node `me`; `name` names
    /// the others.
    pub fn take(&mut self, me: Name, name: impl Fn(SocketAddr) -> Name) -> Vec<Transmission> {
        self.seen
            .drain(..)
            .map(|Sighting { t, sent, other, chunk }| {
                let other = name(other);
                let (from, to) = if sent { (me, other) } else { (other, me) };
                Transmission { t, from, to, chunk }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use p2psp_core::{ChunkNumber, Tag, TeamId};

    use super::*;

    fn chunk(number: u32) -> Vec<u8> {
        let mut buf = [0; wire::MAX_DATAGRAM_BYTES];
        let origin = SocketAddr::from(([10, 0, 0, 9], 9));
        let number = ChunkNumber::new(number);
        let message = Message::Chunk { number, origin, payload: &[1; 16] };
        let len = wire::encode(TeamId(1), Tag::NONE, message, &mut buf).unwrap();
        buf[..len].to_vec()
    }

    #[test]
    fn only_chunks_are_seen_and_only_when_wanted() {
        let other = SocketAddr::from(([10, 0, 0, 1], 1));
        let mut unwanted = Sightings::new(false);
        unwanted.see(1.0, true, other, &chunk(1));
        assert_eq!(unwanted.take(Name::peer(1), |_| Name::Lan), []);
        let mut wanted = Sightings::new(true);
        wanted.see(1.0, true, other, &chunk(1));
        wanted.see(2.0, true, other, b"noise");
        wanted.see(3.0, false, other, &chunk(2));
        let (me, it) = (Name::peer(1), Name::peer(2));
        let expected = [
            Transmission { t: 1.0, from: me, to: it, chunk: 1 },
            Transmission { t: 3.0, from: it, to: me, chunk: 2 },
        ];
        assert_eq!(wanted.take(me, |_| it), expected);
        assert_eq!(wanted.take(me, |_| it), []);
    }

    #[test]
    fn the_last_of_many_are_kept() {
        let other = SocketAddr::from(([10, 0, 0, 1], 1));
        let mut sightings = Sightings::new(true);
        for number in 0..1000 {
            sightings.see(0.0, true, other, &chunk(number));
        }
        let taken = sightings.take(Name::peer(1), |_| Name::Lan);
        assert_eq!((taken.len(), taken[0].chunk), (MAX_SIGHTINGS, 1000 - MAX_SIGHTINGS as u32));
    }
}
