//! Memory of a board, for its `static`s. What is large is all zeros, so that
//! it takes no flash.

use p2psp_core::{
    Entry, FIRST_RELAY_SET, Link, Neighbour, Peer, PeerMemory, PeerState, PendingEntry, Slot,
};

/// Members in a word of a set.
const WORD_BITS: usize = u32::BITS as usize;
/// Rows of sets; those that a peer does not need let it forward for as many
/// origins besides itself.
const ROWS: usize = 32;
const _: () = assert!(ROWS > FIRST_RELAY_SET);
/// Chunks that may wait, for each member of the team.
const PENDING_PER_MEMBER: usize = 4;

/// The tables of a peer.
///
/// - `WORDS`: room for 32 members each, the peer itself and the group of the
///   LAN included.
/// - `SLOTS`: slots of the buffer; a team's `2B` must fit.
pub struct Tables<const WORDS: usize, const SLOTS: usize> {
    state: PeerState,
    neighbours: [[Entry<Neighbour>; WORD_BITS]; WORDS],
    links: [[Link; WORD_BITS]; WORDS],
    sets: [[u32; WORDS]; ROWS],
    pending: [[[PendingEntry; PENDING_PER_MEMBER]; WORD_BITS]; WORDS],
    slots: [Slot; SLOTS],
}

/// The payload of a peer's chunks.
///
/// - `SLOTS`: as those of the tables.
/// - `CHUNK`: longest chunk, in bytes.
pub struct Payload<const SLOTS: usize, const CHUNK: usize> {
    chunks: [[u8; CHUNK]; SLOTS],
    spare: [u8; CHUNK],
}

impl<const WORDS: usize, const SLOTS: usize> Tables<WORDS, SLOTS> {
    /// Tables of a peer that has not joined yet.
    pub const fn new() -> Tables<WORDS, SLOTS> {
        Tables {
            state: PeerState::new(),
            neighbours: [const { [const { Entry::EMPTY }; WORD_BITS] }; WORDS],
            links: [[Link::EMPTY; WORD_BITS]; WORDS],
            sets: [[0; WORDS]; ROWS],
            pending: [[[PendingEntry::EMPTY; PENDING_PER_MEMBER]; WORD_BITS]; WORDS],
            slots: [Slot::EMPTY; SLOTS],
        }
    }

    /// The peer that lives here and there.
    pub fn peer<'s, const CHUNK: usize>(
        &'s mut self,
        payload: &'s mut Payload<SLOTS, CHUNK>,
    ) -> Peer<'s> {
        Peer::new(PeerMemory {
            state: &mut self.state,
            neighbours: self.neighbours.as_flattened_mut(),
            links: self.links.as_flattened_mut(),
            sets: self.sets.as_flattened_mut(),
            pending: self.pending.as_flattened_mut().as_flattened_mut(),
            slots: &mut self.slots,
            payload: payload.chunks.as_flattened_mut(),
            spare: &mut payload.spare,
        })
    }
}

impl<const WORDS: usize, const SLOTS: usize> Default for Tables<WORDS, SLOTS> {
    fn default() -> Self {
        Tables::new()
    }
}

impl<const SLOTS: usize, const CHUNK: usize> Payload<SLOTS, CHUNK> {
    /// Empty.
    pub const fn new() -> Payload<SLOTS, CHUNK> {
        Payload { chunks: [[0; CHUNK]; SLOTS], spare: [0; CHUNK] }
    }
}

impl<const SLOTS: usize, const CHUNK: usize> Default for Payload<SLOTS, CHUNK> {
    fn default() -> Self {
        Payload::new()
    }
}
