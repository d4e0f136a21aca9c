//! Memory for a node in plain arrays: put it into a `static`, or anywhere.

use crate::{
    Entry, History, Link, Member, Neighbour, PeerMemory, PeerState, PendingEntry, Slot,
    SplitterConfig, SplitterMemory, SplitterState,
};

/// Bits in a word of a set: a team's capacity is a multiple of it.
const WORD_BITS: usize = u32::BITS as usize;

/// Chunks that may wait, for each member of the team.
const PENDING_PER_MEMBER: usize = 4;

/// Memory for one [`Peer`](crate::Peer).
///
/// - `TEAM`: most members, the peer included, and with IMS one more; a multiple
///   of 32. It can forward for 27 origins besides itself and has four pending
///   chunks a member.
/// - `SLOTS`: slots of the buffer; a team's `2B` must fit.
/// - `CHUNK`: longest chunk, in bytes.
#[derive(Debug, Clone)]
pub struct Storage<const TEAM: usize, const SLOTS: usize, const CHUNK: usize> {
    state: PeerState,
    neighbours: [Entry<Neighbour>; TEAM],
    links: [Link; TEAM],
    // 32 rows of TEAM bits.
    sets: [u32; TEAM],
    pending: [[PendingEntry; PENDING_PER_MEMBER]; TEAM],
    slots: [Slot; SLOTS],
    payload: [[u8; CHUNK]; SLOTS],
    spare: [u8; CHUNK],
}

impl<const TEAM: usize, const SLOTS: usize, const CHUNK: usize> Storage<TEAM, SLOTS, CHUNK> {
    const TEAM_IS_WHOLE_WORDS: () =
        assert!(TEAM > 0 && TEAM.is_multiple_of(WORD_BITS), "TEAM must be a multiple of 32");

    /// A peer that has not joined yet.
    pub const fn new() -> Storage<TEAM, SLOTS, CHUNK> {
        let () = Self::TEAM_IS_WHOLE_WORDS;
        Storage {
            state: PeerState::new(),
            neighbours: [const { Entry::EMPTY }; TEAM],
            links: [Link::EMPTY; TEAM],
            sets: [0; TEAM],
            pending: [[PendingEntry::EMPTY; PENDING_PER_MEMBER]; TEAM],
            slots: [Slot::EMPTY; SLOTS],
            payload: [[0; CHUNK]; SLOTS],
            spare: [0; CHUNK],
        }
    }

    /// Lends itself to a [`Peer`](crate::Peer).
    pub fn memory(&mut self) -> PeerMemory<'_> {
        PeerMemory {
            state: &mut self.state,
            neighbours: &mut self.neighbours,
            links: &mut self.links,
            sets: &mut self.sets,
            pending: self.pending.as_flattened_mut(),
            slots: &mut self.slots,
            payload: self.payload.as_flattened_mut(),
            spare: &mut self.spare,
        }
    }
}

impl<const TEAM: usize, const SLOTS: usize, const CHUNK: usize> Default
    for Storage<TEAM, SLOTS, CHUNK>
{
    fn default() -> Self {
        Storage::new()
    }
}

/// Memory for one [`Splitter`](crate::Splitter).
///
/// - `TEAM`: most members.
/// - `HISTORY`: chunks whose origin is remembered; more than `2B + TEAM`.
/// - `CHUNK`: longest chunk, in bytes.
#[derive(Debug, Clone)]
pub struct SplitterStorage<const TEAM: usize, const HISTORY: usize, const CHUNK: usize> {
    state: SplitterState,
    members: [Entry<Member>; TEAM],
    links: [Link; TEAM],
    order: [u16; TEAM],
    history: [History; HISTORY],
    payload: [u8; CHUNK],
}

impl<const TEAM: usize, const HISTORY: usize, const CHUNK: usize>
    SplitterStorage<TEAM, HISTORY, CHUNK>
{
    /// A splitter with no team yet.
    pub const fn new(config: SplitterConfig) -> Self {
        SplitterStorage {
            state: SplitterState::new(config),
            members: [const { Entry::EMPTY }; TEAM],
            links: [Link::EMPTY; TEAM],
            order: [0; TEAM],
            history: [History::EMPTY; HISTORY],
            payload: [0; CHUNK],
        }
    }

    /// Lends itself to a [`Splitter`](crate::Splitter).
    pub fn memory(&mut self) -> SplitterMemory<'_> {
        SplitterMemory {
            state: &mut self.state,
            members: &mut self.members,
            links: &mut self.links,
            order: &mut self.order,
            history: &mut self.history,
            payload: &mut self.payload,
        }
    }
}
