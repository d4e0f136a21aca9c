//! A peer of the team: joins, gathers, forwards, plays, leaves (3 to 7).
//!
//! A monitor is a peer that complains (8.1); nothing else differs.
//!
//! Files: this one has the public face; `arrival` what a datagram does,
//! `departure` what is sent, `lan` the rules of IMS (9), `view` what others may
//! see.

mod arrival;
mod departure;
mod lan;
mod state;
mod view;

use core::net::SocketAddr;

pub use lan::Lan;
pub use state::{Neighbour, PeerEvent, PeerState, PeerStats, Phase};
pub use view::{BufferView, NeighbourView};

use crate::buffer::{Buffer, NOBODY, Turn};
use crate::endpoints::{Endpoints, Entry, Link};
use crate::node::{Node, Reject, TeamId, Transmit};
use crate::pending::{Pending, PendingEntry, PendingList};
use crate::sets::{self, FIRST_RELAY_SET, Sets};
use crate::time::{Instant, earlier};
use crate::wire::{Acquaintance, Welcome};
use crate::{ChunkNumber, NodeId, PlayerStatus, Slot};

/// Place of the peer itself in its own table.
pub(crate) const MYSELF: usize = 0;

/// The memory that a peer lives in. All of its state is here: who copies it
/// copies the peer.
///
/// [`Storage`](crate::Storage) lends it out of arrays; a host can allocate the
/// slices itself, which limit what the peer can do:
#[derive(Debug)]
pub struct PeerMemory<'s> {
    /// Everything that is no table.
    pub state: &'s mut PeerState,
    /// One for each member of the team, the peer itself included, and one for
    /// the group of a LAN if it plays by IMS (9). A full table
    /// takes in nobody new unless a neighbour is no longer heard (8.2).
    pub neighbours: &'s mut [Entry<Neighbour>],
    /// As many as `neighbours`.
    pub links: &'s mut [Link],
    /// Rows of `neighbours.len()` bits, rounded up to whole words. The first
    /// [`FIRST_RELAY_SET`] rows are always needed; each further one lets the
    /// peer forward the chunks of one more origin.
    pub sets: &'s mut [u32],
    /// One for each chunk that waits for a neighbour. When all are in use, a
    /// chunk is not queued for that neighbour, and counted.
    pub pending: &'s mut [PendingEntry],
    /// `2B` of them are used.
    pub slots: &'s mut [Slot],
    /// The length of a chunk for each slot.
    pub payload: &'s mut [u8],
    /// The length of a chunk: for one that comes before its slot is free.
    pub spare: &'s mut [u8],
}

/// A peer, in borrowed memory.
#[derive(Debug)]
pub struct Peer<'s> {
    pub(super) core: &'s mut state::PeerCore,
    pub(super) neighbours: Endpoints<'s, Neighbour>,
    pub(super) sets: Sets<'s>,
    pub(super) pending: Pending<'s>,
    pub(super) buffer: Buffer<'s>,
}

/// Why a peer can't join this team.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum JoinError {
    /// The buffer or the chunks are larger than this peer's memory.
    BufferTooSmall,
    /// The team may grow larger than this peer's tables.
    TableTooSmall,
    /// The peer's own endpoint stands in the list, or one stands there twice.
    BadList,
    /// The group of the LAN is no multicast address, or of another family than
    /// the peer's own (9.1).
    BadGroup,
}

impl core::fmt::Display for JoinError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            JoinError::BufferTooSmall => "the team's buffer needs more memory than this peer has",
            JoinError::TableTooSmall => "the team may grow larger than this peer's tables",
            JoinError::BadList => "the splitter's list of members contradicts itself",
            JoinError::BadGroup => "the group is no multicast address of the LAN's kind",
        })
    }
}

/// What [`Peer::next_chunk`] finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Playout<'a> {
    /// The next chunk of the stream.
    Chunk {
        /// Its number.
        number: ChunkNumber,
        /// Its bytes.
        payload: &'a [u8],
    },
    /// The next chunk never came (6.3), or more of them in a row.
    Lost {
        /// The first of them.
        number: ChunkNumber,
        /// How many; more than one only after an outage longer than the
        /// buffer.
        chunks: u32,
    },
    /// Nothing is due.
    NotYet,
}

impl<'s> Peer<'s> {
    /// The peer that lives in this memory: a new one in new memory, or the one
    /// that was there before.
    ///
    /// # Panics
    ///
    /// If there are fewer than [`FIRST_RELAY_SET`] rows of sets, or fewer links
    /// than neighbours: the memory was laid out wrongly.
    pub fn new(memory: PeerMemory<'s>) -> Peer<'s> {
        let PeerMemory { state, neighbours, links, sets, pending, slots, payload, spare } = memory;
        assert!(links.len() >= neighbours.len(), "links and neighbours differ");
        let sets = Sets::new(sets, neighbours.len());
        assert!(sets.rows() >= FIRST_RELAY_SET, "a peer needs {FIRST_RELAY_SET} rows of sets");
        Peer {
            core: &mut state.core,
            neighbours: Endpoints::new(&mut state.neighbours, links, neighbours),
            sets,
            pending: Pending::new(&mut state.pending, pending),
            buffer: Buffer::new(&mut state.buffer, slots, payload, spare),
        }
    }

    // -- commands --

    /// Begins to join: takes the team's constants (3.2) and forgets everything
    /// about an earlier team but the statistics. Next come
    /// [`Peer::add_member`] for each member of the list and
    /// [`Peer::admitted`].
    ///
    /// # Errors
    ///
    /// [`JoinError`] if the team does not fit in; nothing has changed then.
    pub fn join(
        &mut self,
        now: Instant,
        splitter: SocketAddr,
        team: TeamId,
        welcome: &Welcome<'_>,
    ) -> Result<(), JoinError> {
        if !self.buffer.fits(welcome.buffer_chunks, welcome.chunk_bytes) {
            return Err(JoinError::BufferTooSmall);
        }
        if usize::from(welcome.max_team) > self.neighbours.capacity() {
            return Err(JoinError::TableTooSmall);
        }
        self.neighbours.clear();
        self.sets.clear();
        self.pending.clear();
        self.buffer.reset(welcome.buffer_chunks, welcome.chunk_bytes);
        self.core.begin(now, splitter, team, welcome);
        let me = Neighbour::new(Some(welcome.id), welcome.key.splitter_tag());
        let place = self.neighbours.insert(welcome.you, me);
        debug_assert_eq!(place.ok(), Some(MYSELF), "the table was cleared");
        Ok(())
    }

    /// Takes one member of the splitter's list: a neighbour from now on, to
    /// whom a `[hello]` is due (3.3).
    ///
    /// # Errors
    ///
    /// [`JoinError`] if it does not fit in or is in already.
    pub fn add_member(&mut self, member: &Acquaintance) -> Result<(), JoinError> {
        if self.neighbours.find(member.endpoint).is_some() {
            return Err(JoinError::BadList);
        }
        let neighbour = Neighbour {
            greetings: state::MAX_GREETINGS,
            reach: self.reach_of(member.endpoint, member.rules),
            ..Neighbour::new(Some(member.id), member.tag)
        };
        let place = self
            .neighbours
            .insert(member.endpoint, neighbour)
            .map_err(|_| JoinError::TableTooSmall)?;
        self.serve(place);
        self.greet(place);
        self.core.ungreeted = true;
        Ok(())
    }

    /// The list is complete: says `[hello]` to all of it and, last, to the
    /// splitter, which makes the peer a member (3.3, 3.5).
    pub fn admitted(&mut self, now: Instant) {
        self.core.phase = Phase::Member;
        self.core.greet_splitter = true;
        self.core.heard_splitter = now;
        self.core.tick = Some(now + state::HELLO_INTERVAL);
    }

    /// How the player that this peer feeds is doing: the splitter is told with
    /// the next `[hello]` and all after it, in later teams too (3.7). `None`,
    /// as it is at first, if nobody needs to know.
    pub fn set_status(&mut self, status: Option<PlayerStatus>) {
        self.core.status = status;
    }

    /// Plays the next chunk, if it is its time (6). Call it until it says
    /// [`Playout::NotYet`].
    pub fn next_chunk(&mut self) -> Playout<'_> {
        let started = self.core.playing;
        if let (false, true, Some(own)) = (started, self.buffer.is_playing(), self.core.first_own) {
            // (ours) What came from one who knew me before the others did is
            // no beginning: nobody owes me what comes between.
            self.buffer.skip_holes_before(own);
        }
        let first = self.buffer.cursor();
        match self.buffer.play() {
            Turn::NotYet => Playout::NotYet,
            Turn::Chunk { number, slot } => {
                self.note_playing(started, first);
                self.core.stats.chunks_played += 1;
                let payload = self.buffer.payload(slot);
                self.core.stats.bytes_played += payload.len() as u64;
                Playout::Chunk { number, payload }
            }
            Turn::Lost { number, chunks } => {
                self.note_playing(started, first);
                self.core.lose(number, chunks);
                Playout::Lost { number, chunks }
            }
        }
    }

    fn note_playing(&mut self, started: bool, first: Option<ChunkNumber>) {
        if let (false, Some(first)) = (started, first) {
            self.core.playing = true;
            self.core.event(PeerEvent::Playing { first });
        }
    }

    /// A `[hello]` to this neighbour is due.
    pub(super) fn greet(&mut self, place: usize) {
        self.sets.insert(sets::GREET, place);
        self.core.greets = true;
    }

    /// Takes a neighbour out of every table (7.2).
    pub(super) fn remove(&mut self, place: usize) -> Option<NodeId> {
        debug_assert!(self.is_neighbour(place));
        self.forget_pending(place);
        self.sets.remove_everywhere(place);
        self.note_served();
        self.buffer.forget_origin(place as u16);
        if self.core.serving == Some(place as u16) {
            self.core.serving = None;
        }
        if usize::from(self.core.newcomer) == place {
            self.core.newcomer = NOBODY;
        }
        self.core.plan = self.core.plan.take_if(|plan| !plan.is_for(place));
        let (_, neighbour) = self.neighbours.remove(place)?;
        if neighbour.row != NOBODY {
            self.sets.clear_row(usize::from(neighbour.row));
        }
        neighbour.id
    }

    /// Empties `pending[place]`.
    fn forget_pending(&mut self, place: usize) {
        let Some(neighbour) = self.neighbours.get_mut(place) else { return };
        let mut list = core::mem::replace(&mut neighbour.pending, PendingList::EMPTY);
        while self.pending.pop(&mut list).is_some() {}
        self.sets.remove(sets::BUSY, place);
    }

    /// No longer serves a neighbour, but keeps it in mind (8.2).
    pub(super) fn stop_serving(&mut self, place: usize) {
        self.forget_pending(place);
        self.sets.remove(sets::FORWARD_SELF, place);
        self.sets.remove(sets::LAN, place);
        self.note_served();
        for row in FIRST_RELAY_SET..self.sets.rows() {
            self.sets.remove(row, place);
        }
    }
}

impl Node for Peer<'_> {
    type Event = PeerEvent;

    fn handle_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        datagram: &[u8],
    ) -> Result<(), Reject> {
        self.arrive(now, from, datagram).inspect_err(|reject| {
            self.core.stats.rejects.count(*reject);
        })
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.expire(now);
    }

    /// Says `[goodbye]` to the splitter and to all neighbours and sends what is
    /// pending (7.1). [`PeerEvent::Left`] comes when the splitter has answered
    /// or was asked often enough.
    fn leave(&mut self, now: Instant) {
        self.start_leaving(now);
    }

    fn poll_destination(&mut self) -> Option<SocketAddr> {
        self.plan()
    }

    fn poll_transmit(&mut self, buf: &mut [u8]) -> Option<Transmit> {
        self.transmit(buf)
    }

    fn poll_event(&mut self) -> Option<PeerEvent> {
        self.core.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        earlier(self.core.tick, self.core.leave_retry)
    }
}
