//! Memory for nodes whose size is known at run time only.

use p2psp_core::wire::Welcome;
use p2psp_core::{
    Entry, FIRST_RELAY_SET, History, Link, Member, Neighbour, Peer, PeerMemory, PeerState,
    PendingEntry, Slot, Splitter, SplitterConfig, SplitterMemory, SplitterState,
};

/// Origins besides itself that a peer can forward for.
const RELAYED_ORIGINS: usize = 27;
/// Chunks that may wait at a peer for each member of the team.
const PENDING_PER_MEMBER: usize = 16;
/// Chunks that wait at a peer at least, however small the team.
const MIN_PENDING: usize = 1024;
/// Most chunks that can wait.
const MAX_PENDING: usize = 65_000;

/// A peer's memory on the heap. A copy of it is a copy of the peer.
#[derive(Debug, Clone)]
pub struct PeerStorage {
    state: PeerState,
    neighbours: Box<[Entry<Neighbour>]>,
    links: Box<[Link]>,
    sets: Box<[u32]>,
    pending: Box<[PendingEntry]>,
    slots: Box<[Slot]>,
    payload: Box<[u8]>,
    spare: Box<[u8]>,
}

impl PeerStorage {
    /// Memory for a peer of the team that `welcome` describes.
    pub fn for_team(welcome: &Welcome<'_>) -> PeerStorage {
        PeerStorage::with_pending(welcome, PENDING_PER_MEMBER)
    }

    /// The same with room for so many pending chunks for each member of a large
    /// team.
    pub fn with_pending(welcome: &Welcome<'_>, per_member: usize) -> PeerStorage {
        // One more for the group of a LAN.
        let team = usize::from(welcome.max_team) + 1;
        let slots = 2 * welcome.buffer_chunks as usize;
        let chunk_bytes = usize::from(welcome.chunk_bytes);
        let words = team.div_ceil(u32::BITS as usize);
        let pending = (team * per_member).clamp(MIN_PENDING, MAX_PENDING);
        PeerStorage {
            state: PeerState::new(),
            neighbours: vec![Entry::EMPTY; team].into(),
            links: vec![Link::EMPTY; team].into(),
            sets: vec![0; words * (FIRST_RELAY_SET + RELAYED_ORIGINS)].into(),
            pending: vec![PendingEntry::EMPTY; pending].into(),
            slots: vec![Slot::EMPTY; slots].into(),
            payload: vec![0; slots * chunk_bytes].into(),
            spare: vec![0; chunk_bytes].into(),
        }
    }

    /// How much memory it has, in bytes.
    pub fn bytes(&self) -> usize {
        size_of::<PeerStorage>()
            + size_of_val(&*self.neighbours)
            + size_of_val(&*self.sets)
            + size_of_val(&*self.pending)
            + size_of_val(&*self.slots)
            + self.payload.len()
            + self.spare.len()
    }

    /// The peer that lives here.
    pub fn peer(&mut self) -> Peer<'_> {
        Peer::new(PeerMemory {
            state: &mut self.state,
            neighbours: &mut self.neighbours,
            links: &mut self.links,
            sets: &mut self.sets,
            pending: &mut self.pending,
            slots: &mut self.slots,
            payload: &mut self.payload,
            spare: &mut self.spare,
        })
    }
}

/// A splitter's memory on the heap. A copy of it is a copy of the splitter.
#[derive(Debug, Clone)]
pub struct SplitterStorage {
    state: SplitterState,
    members: Box<[Entry<Member>]>,
    links: Box<[Link]>,
    order: Box<[u16]>,
    history: Box<[History]>,
    payload: Box<[u8]>,
}

impl SplitterStorage {
    /// Memory for a splitter set up like this.
    pub fn new(config: SplitterConfig) -> SplitterStorage {
        let team = usize::from(config.max_team);
        // A complaint comes when the chunk's turn to play comes: after `B`
        // chunks and what the network delays.
        let history = 4 * config.buffer_chunks as usize + 4 * team;
        SplitterStorage {
            members: vec![Entry::EMPTY; team].into(),
            links: vec![Link::EMPTY; team].into(),
            order: vec![0; team].into(),
            history: vec![History::EMPTY; history].into(),
            payload: vec![0; config.chunk_bytes.into()].into(),
            state: SplitterState::new(config),
        }
    }

    /// How much memory it has, in bytes.
    pub fn bytes(&self) -> usize {
        size_of::<SplitterStorage>()
            + size_of_val(&*self.members)
            + size_of_val(&*self.order)
            + size_of_val(&*self.history)
            + self.payload.len()
    }

    /// The splitter that lives here.
    pub fn splitter(&mut self) -> Splitter<'_> {
        Splitter::new(SplitterMemory {
            state: &mut self.state,
            members: &mut self.members,
            links: &mut self.links,
            order: &mut self.order,
            history: &mut self.history,
            payload: &mut self.payload,
        })
    }
}
