//! The `2B` slots of a peer's buffer (4, 6), as a screen shows them.

use p2psp_core::{ChunkNumber, Peer};

use super::Name;
use super::tables::name_of;

/// Most slots that are shown of one buffer. Of a longer one: the block of half
/// as many that the newest chunk is in, and the block before.
pub const MAX_SLOTS: usize = 2048;

/// What is in a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Slot {
    /// Nothing yet, or nothing of this turn of the ring.
    #[default]
    Empty,
    /// A chunk whose turn to be played is still to come.
    Waiting {
        /// Its number.
        chunk: u32,
        /// Its origin.
        origin: Name,
    },
    /// A chunk that was played and can still be forwarded.
    Played {
        /// Its number.
        chunk: u32,
        /// Its origin.
        origin: Name,
    },
    /// It has not come, others after it have; its turn is still to come.
    Gap {
        /// Its number.
        chunk: u32,
    },
    /// It had not come when its turn came.
    Lost {
        /// Its number.
        chunk: u32,
    },
}

/// A buffer's slots in slot order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ring {
    /// `2B`, or 0 before the peer has joined.
    pub len: usize,
    /// The slot that the first of `slots` is.
    pub first: usize,
    /// The slots, or as many as are shown of them.
    pub slots: Vec<Slot>,
    /// The slot of the next chunk to be played.
    pub cursor: Option<usize>,
    /// The slot of the newest chunk.
    pub newest: Option<usize>,
}

impl Ring {
    /// The buffer of a peer. `begin`: the first chunk that it is to play;
    /// what is before it can't be lost.
    pub fn of(peer: &Peer<'_>, begin: Option<ChunkNumber>) -> Ring {
        let view = peer.buffer();
        let len = 2 * view.chunks as usize;
        let empty = Ring { len, slots: vec![Slot::Empty; len.min(MAX_SLOTS)], ..Ring::default() };
        let (Some(cursor), Some(newest)) = (view.cursor, view.highest) else { return empty };
        let stored = |(slot, held): (usize, Option<(ChunkNumber, Option<usize>)>)| {
            held.map(|(chunk, origin)| (slot, chunk, origin))
        };
        let Some((at, chunk, _)) = peer.slots().enumerate().find_map(stored) else { return empty };
        let slot_of = |other: ChunkNumber| {
            (at as i64 + i64::from(chunk.distance_to(other))).rem_euclid(len as i64) as usize
        };
        let (cursor_slot, newest_slot) = (slot_of(cursor), slot_of(newest));
        let first = if len > MAX_SLOTS { block_before(newest_slot, len) } else { 0 };
        let shown = len.min(MAX_SLOTS);
        let mut slots = Vec::with_capacity(shown);
        for (slot, held) in peer.slots().enumerate().skip(first).take(shown) {
            // The newest number that can be in this slot.
            let back = (newest_slot + len - slot) % len;
            let due = ChunkNumber::new(newest.get().wrapping_sub(back as u32));
            let held = held.filter(|(number, _)| *number == due);
            let played = due.is_before(cursor);
            let chunk = due.get();
            slots.push(match held {
                Some((_, origin)) => {
                    let origin = origin.map_or(Name::Unknown, |place| name_of(peer, place));
                    if played {
                        Slot::Played { chunk, origin }
                    } else {
                        Slot::Waiting { chunk, origin }
                    }
                }
                None if !played => Slot::Gap { chunk },
                None if begin.is_some_and(|begin| !due.is_before(begin)) => Slot::Lost { chunk },
                None => Slot::Empty,
            });
        }
        Ring { len, first, slots, cursor: Some(cursor_slot), newest: Some(newest_slot) }
    }
}

/// The first slot shown of a buffer that is too long to be shown whole.
fn block_before(newest: usize, len: usize) -> usize {
    let block = MAX_SLOTS / 2;
    (newest / block * block).saturating_sub(block).min(len - MAX_SLOTS)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use p2psp_core::wire::{self, Message, Welcome};
    use p2psp_core::{Instant, Key, Node, NodeId, Playout, Role, TeamId};

    use super::*;
    use crate::net::storage::PeerStorage;

    const TEAM: TeamId = TeamId(7);
    const ME: NodeId = NodeId { role: Role::Peer, number: 1 };

    fn splitter() -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], 1))
    }

    fn me() -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 2], 2))
    }

    fn joined(buffer_chunks: u32) -> PeerStorage {
        let welcome = Welcome {
            id: ME,
            you: me(),
            key: Key::new([3; 16]),
            group_tag: p2psp_core::Tag::NONE,
            chunk_bytes: 16,
            buffer_chunks,
            max_team: 4,
            header_bytes: 0,
            content_type: "",
            name: "",
        };
        let mut storage = PeerStorage::for_team(&welcome);
        let mut peer = storage.peer();
        peer.join(Instant::ZERO, splitter(), TEAM, &welcome).unwrap();
        peer.admitted(Instant::ZERO);
        storage
    }

    fn feed(storage: &mut PeerStorage, chunks: &[u32]) {
        let mut buf = [0; wire::MAX_DATAGRAM_BYTES];
        let mut peer = storage.peer();
        for chunk in chunks {
            let number = ChunkNumber::new(*chunk);
            let message = Message::Chunk { number, origin: me(), payload: &[1; 16] };
            let tag = Key::new([3; 16]).splitter_tag();
            let len = wire::encode(TEAM, tag, message, &mut buf).unwrap();
            peer.handle_datagram(Instant::ZERO, splitter(), &buf[..len]).unwrap();
            while peer.next_chunk() != Playout::NotYet {}
        }
    }

    /// One character a slot: played, waiting, gap, lost, empty.
    fn drawn(ring: &Ring) -> String {
        let mark = |slot: &Slot| match slot {
            Slot::Empty => '.',
            Slot::Waiting { .. } => 'W',
            Slot::Played { .. } => 'p',
            Slot::Gap { .. } => '_',
            Slot::Lost { .. } => 'x',
        };
        ring.slots.iter().map(mark).collect()
    }

    #[test]
    fn slots_tell_waiting_played_missing_and_lost_apart() {
        let mut storage = joined(4);
        let begin = Some(ChunkNumber::new(10));
        assert_eq!(drawn(&Ring::of(&storage.peer(), begin)), "........");
        feed(&mut storage, &[10, 11, 13]);
        // 10 is in slot 2; 12 is missing, its turn is to come.
        let ring = Ring::of(&storage.peer(), begin);
        assert_eq!(drawn(&ring), "..WW_W..");
        assert_eq!((ring.cursor, ring.newest), (Some(2), Some(5)));
        let origin = Name::Node(ME);
        assert_eq!(ring.slots[3], Slot::Waiting { chunk: 11, origin });
        feed(&mut storage, &[14, 15, 16]);
        // 16 = 12 + B: 12 is lost.
        let ring = Ring::of(&storage.peer(), begin);
        assert_eq!(drawn(&ring), "W.ppxWWW");
        assert_eq!(ring.slots[4], Slot::Lost { chunk: 12 });
        assert_eq!(ring.cursor, Some(5));
        // One that came later has nothing to lose before its first chunk.
        let later = Ring::of(&storage.peer(), Some(ChunkNumber::new(13)));
        assert_eq!(drawn(&later), "W.pp.WWW");
    }

    #[test]
    fn a_long_buffer_is_shown_in_part() {
        let mut storage = joined(4096);
        feed(&mut storage, &[5000]);
        let ring = Ring::of(&storage.peer(), None);
        assert_eq!((ring.len, ring.first, ring.slots.len()), (8192, 3072, MAX_SLOTS));
        assert_eq!(ring.slots[5000 - 3072], Slot::Waiting { chunk: 5000, origin: Name::Node(ME) });
        feed(&mut storage, &[5001]);
        assert_eq!(Ring::of(&storage.peer(), None).newest, Some(5001));
    }

    #[test]
    fn numbers_may_wrap() {
        let mut storage = joined(3);
        feed(&mut storage, &[u32::MAX - 1, u32::MAX, 0]);
        let ring = Ring::of(&storage.peer(), Some(ChunkNumber::new(u32::MAX - 1)));
        assert_eq!(drawn(&ring).matches('W').count(), 3);
        assert_eq!(
            ring.slots[ring.cursor.unwrap()],
            Slot::Waiting { chunk: u32::MAX - 1, origin: Name::Node(ME) }
        );
    }
}
