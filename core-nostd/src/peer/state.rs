//! What a peer keeps in mind besides its tables.

use core::net::SocketAddr;
use core::time::Duration;

use heapless::Deque;

use super::MYSELF;
use super::lan::{Lan, Reach};
use crate::buffer::{BufferState, NOBODY};
use crate::endpoints::EndpointsState;
use crate::node::{NodeId, RejectCounts, Role, TeamId};
use crate::pending::{PendingList, PendingState};
use crate::wire::Welcome;
use crate::{ChunkNumber, Departure, Instant, Key, PlayerStatus, Tag, Title};

/// How often a peer says `[hello]` to its splitter (3.6).
pub(super) const HELLO_INTERVAL: Duration = Duration::from_secs(1);
/// A splitter that did not answer for so long is gone.
pub(super) const SPLITTER_SILENCE: Duration = Duration::from_secs(6);
/// How often a `[hello]` to a member of the list is said in all, until that
/// member is heard: datagrams get lost.
pub(super) const MAX_GREETINGS: u8 = 5;
/// How long a leaving peer waits for the splitter's `[goodbye]` (7.1) …
pub(super) const LEAVE_RETRY: Duration = Duration::from_millis(250);
/// … and how often it says its own.
pub(super) const MAX_GOODBYES: u8 = 4;
/// How long a peer stays when the stream has ended, for what its neighbours
/// still have to send.
pub(super) const END_GRACE: Duration = Duration::from_secs(1);
/// Activity (8.2) starts at 0 and never exceeds this.
pub(super) const MAX_ACTIVITY: i8 = 4;
/// Below this, that is after 16 silent rounds, a neighbour is no longer served …
pub(super) const MIN_ACTIVITY: i8 = -16;
/// … if it was silent for so long, too **(ours)**: the rounds of a fast stream
/// are shorter than the pauses that an operating system makes.
pub(super) const NEIGHBOUR_SILENCE: Duration = Duration::from_secs(2);
/// … or so long, if it is in the same subnet: first it is asked for unicast (9).
pub(super) const LAN_SILENCE: Duration = Duration::from_secs(7);
/// Events that wait for the driver. A call makes at most a few.
const MAX_EVENTS: usize = 16;
/// Complaints that wait to be sent. More losses than that in one go are not
/// complained about: one is enough to accuse an origin.
const MAX_COMPLAINTS: usize = 32;
/// Origins heard of from third parties that wait for a `[hello]` (5.3).
const MAX_RUMOURS: usize = 4;

/// All of a peer's state that is no table.
#[derive(Debug, Clone)]
pub struct PeerState {
    pub(super) core: PeerCore,
    pub(super) neighbours: EndpointsState,
    pub(super) pending: PendingState,
    pub(super) buffer: BufferState,
}

impl PeerState {
    /// A peer that has not joined yet.
    pub const fn new() -> PeerState {
        PeerState {
            core: PeerCore::new(),
            neighbours: EndpointsState::new(),
            pending: PendingState::new(),
            buffer: BufferState::new(),
        }
    }
}

impl Default for PeerState {
    fn default() -> PeerState {
        PeerState::new()
    }
}

/// Where a peer is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Phase {
    /// In no team.
    Outside,
    /// Takes the list of members.
    Joining,
    /// In the team.
    Member,
    /// Has said `[goodbye]` and waits for the splitter's.
    Leaving,
}

/// What a peer has to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum PeerEvent {
    /// The splitter has taken the peer into the team.
    Joined,
    /// A neighbour showed up; `id` is unknown until it says hello.
    NeighbourJoined {
        /// Its name.
        id: Option<NodeId>,
    },
    /// A neighbour said goodbye, or is no longer served, being silent.
    NeighbourLeft {
        /// Its name.
        id: Option<NodeId>,
        /// Why.
        reason: Departure,
    },
    /// A neighbour of the subnet serves this peer by unicast now, because its
    /// multicast does not arrive (9).
    MulticastSilent {
        /// Its name, once known.
        id: Option<NodeId>,
        /// Its endpoint.
        #[cfg_attr(feature = "defmt", defmt(Debug2Format))]
        endpoint: SocketAddr,
    },
    /// Its multicast arrives again.
    MulticastBack {
        /// Its name, once known.
        id: Option<NodeId>,
    },
    /// Playing starts with this chunk (6.1).
    Playing {
        /// The first chunk received.
        first: ChunkNumber,
    },
    /// The splitter has told the title of what it sends from this chunk on;
    /// [`Peer::title`](super::Peer::title) has it until the next one (2.6).
    Title {
        /// The first chunk with anything of it.
        from: ChunkNumber,
    },
    /// The splitter says that the peer is out of the team, and why.
    Dismissed {
        /// Why.
        reason: Departure,
    },
    /// The splitter has not been heard for six seconds: join again.
    SplitterSilent,
    /// The peer has left in good order or, `answered` being false, alone.
    Left {
        /// Whether the splitter said `[goodbye]` too.
        answered: bool,
    },
}

/// What a peer counts. Everything since it was made; joining again goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PeerStats {
    /// Chunks stored.
    pub chunks_received: u64,
    /// Chunks played.
    pub chunks_played: u64,
    /// Chunks that had not come when their turn came (6.3).
    pub chunks_lost: u64,
    /// Chunks that were there already (5.1).
    pub duplicates: u64,
    /// Chunks that came after their turn (5.1).
    pub late: u64,
    /// Chunks sent to neighbours, each as often as it was sent; to the group
    /// of a LAN once.
    pub chunks_sent: u64,
    /// Bytes of payload played.
    pub bytes_played: u64,
    /// Chunks not queued for a neighbour because the pool was full (4).
    pub pending_full: u64,
    /// Chunks queued whose slot was used again before their turn to be sent.
    pub pending_stale: u64,
    /// Complaints sent (8.1).
    pub complaints: u64,
    /// Datagrams turned away, by reason.
    pub rejects: RejectCounts,
}

impl PeerStats {
    /// The sum of both, of one who was in several teams.
    #[must_use]
    pub fn plus(&self, other: &PeerStats) -> PeerStats {
        PeerStats {
            chunks_received: self.chunks_received + other.chunks_received,
            chunks_played: self.chunks_played + other.chunks_played,
            chunks_lost: self.chunks_lost + other.chunks_lost,
            duplicates: self.duplicates + other.duplicates,
            late: self.late + other.late,
            chunks_sent: self.chunks_sent + other.chunks_sent,
            bytes_played: self.bytes_played + other.bytes_played,
            pending_full: self.pending_full + other.pending_full,
            pending_stale: self.pending_stale + other.pending_stale,
            complaints: self.complaints + other.complaints,
            rejects: self.rejects.plus(&other.rejects),
        }
    }
}

/// What a peer knows about one member of its team.
#[derive(Debug, Clone)]
pub struct Neighbour {
    /// Its name, once known.
    pub(super) id: Option<NodeId>,
    /// What datagrams of the pair carry.
    pub(super) tag: Tag,
    /// `pending[neighbour]` (4).
    pub(super) pending: PendingList,
    /// The row of sets that holds `forward[neighbour]`, or [`NOBODY`].
    pub(super) row: u16,
    /// Chunks it originated, less rounds (8.2).
    pub(super) activity: i8,
    /// Whether it is in the subnet, and how it is reached there (9).
    pub(super) reach: Reach,
    /// How many more `[hello]`s it gets unless it is heard.
    pub(super) greetings: u8,
    /// When anything came from it last.
    pub(super) heard: Option<Instant>,
    pub(super) received: u32,
    pub(super) sent: u32,
}

impl Neighbour {
    pub(super) const fn new(id: Option<NodeId>, tag: Tag) -> Neighbour {
        Neighbour {
            id,
            tag,
            pending: PendingList::EMPTY,
            row: NOBODY,
            activity: 0,
            reach: Reach::NEW,
            greetings: 0,
            heard: None,
            received: 0,
            sent: 0,
        }
    }
}

/// The part of the state that belongs to no table.
#[derive(Debug, Clone)]
pub(crate) struct PeerCore {
    pub(super) phase: Phase,
    pub(super) team: TeamId,
    pub(super) id: NodeId,
    pub(super) endpoint: Option<SocketAddr>,
    pub(super) key: Key,
    pub(super) splitter: Option<SocketAddr>,
    pub(super) splitter_tag: Tag,
    pub(super) group_tag: Tag,
    pub(super) max_team: u16,
    /// The LAN in which the peer plays by IMS (9), and the group's place.
    pub(super) lan: Option<Lan>,
    pub(super) group: u16,
    /// Whether anything was sent to the group since the last tick.
    pub(super) multicast: bool,
    pub(super) greet_group: bool,
    /// There may be members of the list that were never heard.
    pub(super) ungreeted: bool,
    /// When it began to join.
    pub(super) joined: Instant,
    /// Whether the splitter has answered a `[hello]` or sent a chunk.
    pub(super) confirmed: bool,
    pub(super) heard_splitter: Instant,
    /// Next `[hello]` to the splitter and what goes with it.
    pub(super) tick: Option<Instant>,
    pub(super) leave_retry: Option<Instant>,
    pub(super) goodbyes: u8,
    /// The splitter has said that the stream is over.
    pub(super) ended: bool,
    /// Leaving, and done with the splitter: whether it has answered.
    pub(super) departing: Option<bool>,
    pub(super) greet_splitter: bool,
    /// What the `[hello]` to the splitter says of the player (3.7).
    pub(super) status: Option<PlayerStatus>,
    pub(super) part_splitter: bool,
    /// A `[hello]` to a neighbour may be due.
    pub(super) greets: bool,
    /// How many neighbours are served.
    pub(super) served: u32,
    /// Chunks received that may each still serve one neighbour (5.5).
    pub(super) credits: u16,
    pub(super) serving: Option<u16>,
    /// The neighbour served last (5.6).
    pub(super) last_served: u16,
    /// The neighbour last heard from for the first time, until it is served
    /// (5.6); or [`NOBODY`].
    pub(super) newcomer: u16,
    /// Chunks stored in the round at hand (8.2).
    pub(super) round_chunks: u32,
    pub(super) playing: bool,
    /// The first chunk of which it was the origin: by then all members whom it
    /// has greeted know it.
    pub(super) first_own: Option<ChunkNumber>,
    pub(super) complaints: Deque<ChunkNumber, MAX_COMPLAINTS>,
    pub(super) rumours: Deque<SocketAddr, MAX_RUMOURS>,
    pub(super) next_rumour: Instant,
    /// The newest that was told (2.6).
    pub(super) title: Option<Title>,
    pub(super) plan: Option<super::departure::Plan>,
    pub(super) events: Deque<PeerEvent, MAX_EVENTS>,
    pub(super) stats: PeerStats,
}

impl PeerCore {
    const fn new() -> PeerCore {
        PeerCore {
            phase: Phase::Outside,
            team: TeamId(0),
            id: NodeId { role: Role::Peer, number: 0 },
            endpoint: None,
            key: Key::new([0; 16]),
            splitter: None,
            splitter_tag: Tag::NONE,
            group_tag: Tag::NONE,
            max_team: 0,
            lan: None,
            group: NOBODY,
            multicast: false,
            greet_group: false,
            ungreeted: false,
            joined: Instant::ZERO,
            confirmed: false,
            heard_splitter: Instant::ZERO,
            tick: None,
            leave_retry: None,
            goodbyes: 0,
            ended: false,
            departing: None,
            greet_splitter: false,
            status: None,
            part_splitter: false,
            greets: false,
            served: 0,
            credits: 0,
            serving: None,
            last_served: MYSELF as u16,
            newcomer: NOBODY,
            round_chunks: 0,
            playing: false,
            first_own: None,
            complaints: Deque::new(),
            rumours: Deque::new(),
            next_rumour: Instant::ZERO,
            title: None,
            plan: None,
            events: Deque::new(),
            stats: PeerStats {
                chunks_received: 0,
                chunks_played: 0,
                chunks_lost: 0,
                duplicates: 0,
                late: 0,
                chunks_sent: 0,
                bytes_played: 0,
                pending_full: 0,
                pending_stale: 0,
                complaints: 0,
                rejects: RejectCounts::ZERO,
            },
        }
    }

    /// A new membership: everything anew but the statistics and the status.
    pub(super) fn begin(
        &mut self,
        now: Instant,
        splitter: SocketAddr,
        team: TeamId,
        welcome: &Welcome<'_>,
    ) {
        let (stats, status) = (self.stats, self.status);
        *self = PeerCore {
            phase: Phase::Joining,
            team,
            id: welcome.id,
            endpoint: Some(welcome.you),
            key: welcome.key,
            splitter: Some(splitter),
            splitter_tag: welcome.key.splitter_tag(),
            group_tag: welcome.group_tag,
            max_team: welcome.max_team,
            joined: now,
            heard_splitter: now,
            status,
            stats,
            ..PeerCore::new()
        };
    }

    /// Out of the team: nothing is due any more.
    pub(super) fn end(&mut self) {
        self.phase = Phase::Outside;
        self.tick = None;
        self.leave_retry = None;
        self.greet_splitter = false;
        self.greet_group = false;
        self.part_splitter = false;
        self.credits = 0;
        self.ended = false;
        self.departing = None;
        self.serving = None;
        self.plan = None;
        self.complaints.clear();
        self.rumours.clear();
    }

    /// Tells the driver; what nobody fetches is dropped, oldest first.
    pub(super) fn event(&mut self, event: PeerEvent) {
        if self.events.is_full() {
            self.events.pop_front();
        }
        let _ = self.events.push_back(event);
    }

    /// Counts `chunks` lost chunks from `number` on; a monitor complains.
    pub(super) fn lose(&mut self, number: ChunkNumber, chunks: u32) {
        self.stats.chunks_lost += u64::from(chunks);
        if self.id.role == Role::Monitor && self.phase == Phase::Member {
            for offset in 0..chunks.min(MAX_COMPLAINTS as u32) {
                let _ = self.complaints.push_back(number.plus(offset));
            }
        }
    }
}
