//! What a splitter keeps in mind.

use core::net::SocketAddr;
use core::time::Duration;

use heapless::{Deque, Vec};

use crate::endpoints::EndpointsState;
use crate::node::{Departure, NodeId, RejectCounts, Rules, TeamId};
use crate::{ChunkNumber, Instant, Key, PlayerStatus, Tag, Title};

/// How often a splitter looks for silent members.
pub(super) const TICK: Duration = Duration::from_millis(500);
/// Ticks in a second.
const TICKS_PER_SECOND: usize = 2;
/// A member whose `[hello]`s stay away so long is removed (3.6).
pub(super) const HELLO_SILENCE: Duration = Duration::from_secs(5);
/// How long a joiner has from its admission to its first `[hello]`.
const JOIN_TIME: Duration = Duration::from_secs(10);
/// How long a splitter that stops waits for answers …
pub(super) const STOP_RETRY: Duration = Duration::from_millis(200);
/// … and how often it says `[goodbye]`.
pub(super) const MAX_GOODBYES: u8 = 4;
/// One loss is forgiven for so many chunks given **(ours)**: nobody is removed
/// for the odd datagram that the network loses.
pub(super) const CHUNKS_PER_PARDON: u64 = 8;
/// Joiners between admission and first `[hello]`. One more pushes out the
/// oldest, who may join again.
const MAX_JOINING: usize = 64;
/// How often a member is told a title: datagrams get lost.
const TITLE_REPEATS: u8 = 3;
/// Answers that wait to be sent; a call makes at most two.
const MAX_REPLIES: usize = 8;
/// Events that wait for the driver.
const MAX_EVENTS: usize = 32;

/// How a splitter is set up.
#[derive(Debug, Clone)]
pub struct SplitterConfig {
    /// The team's public number.
    pub team: TeamId,
    /// The splitter's secret: keys of members are derived from it.
    pub key: Key,
    /// Length of a chunk, in bytes; [`MIN_CHUNK_BYTES`](crate::wire::MIN_CHUNK_BYTES)
    /// to [`MAX_CHUNK_BYTES`](crate::wire::MAX_CHUNK_BYTES).
    pub chunk_bytes: u16,
    /// `B`, in chunks; 1 to [`MAX_BUFFER_CHUNKS`](crate::wire::MAX_BUFFER_CHUNKS).
    pub buffer_chunks: u32,
    /// `N*`; 1 to [`MAX_TEAM`](crate::wire::MAX_TEAM).
    pub max_team: u16,
    /// `L*`: a peer charged with more losses is removed (8.1).
    pub max_losses: u16,
    /// The number of the first chunk.
    pub first_chunk: ChunkNumber,
}

/// All of a splitter's state that is no table.
#[derive(Debug, Clone)]
pub struct SplitterState {
    pub(super) core: SplitterCore,
    pub(super) members: EndpointsState,
}

impl SplitterState {
    /// A splitter with no team yet.
    pub const fn new(config: SplitterConfig) -> SplitterState {
        SplitterState { core: SplitterCore::new(config), members: EndpointsState::new() }
    }
}

/// What a splitter has to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum SplitterEvent {
    /// A joiner is a member now.
    Joined {
        /// Its name.
        id: NodeId,
        /// Its public endpoint.
        #[cfg_attr(feature = "defmt", defmt(Debug2Format))]
        endpoint: SocketAddr,
    },
    /// A member left or was removed.
    Left {
        /// Its name.
        id: NodeId,
        /// Its public endpoint.
        #[cfg_attr(feature = "defmt", defmt(Debug2Format))]
        endpoint: SocketAddr,
        /// Why.
        reason: Departure,
    },
    /// The splitter has stopped in good order.
    Stopped {
        /// Members that did not answer its `[goodbye]`.
        unanswered: u32,
    },
}

/// What a splitter counts since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SplitterStats {
    /// Chunks sent, each to one member.
    pub chunks_sent: u64,
    /// Chunks cut while there was nobody to send them to.
    pub chunks_unsent: u64,
    /// Bytes of the stream that came in.
    pub bytes_in: u64,
    /// Bytes of the stream that went out.
    pub bytes_out: u64,
    /// Complaints of monitors (8.1).
    pub complaints: u64,
    /// Most members at a time.
    pub peers_max: u32,
    /// Datagrams turned away, by reason.
    pub rejects: RejectCounts,
}

/// Why [`push_chunk`](super::Splitter::push_chunk) took no chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum PushError {
    /// The payload is empty or longer than a chunk.
    Length,
    /// The chunk before was not yet taken by `poll_transmit`.
    NotDrained,
}

/// A joiner that may say `[hello]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admission {
    /// Its name.
    pub id: NodeId,
    /// Its public endpoint.
    pub endpoint: SocketAddr,
    /// Its secret.
    pub key: Key,
}

/// To whom a chunk was given (2.3).
#[derive(Debug, Clone, Copy)]
pub struct History {
    pub(super) number: ChunkNumber,
    pub(super) place: u16,
    pub(super) id: u32,
}

impl History {
    /// No chunk yet.
    pub const EMPTY: History =
        History { number: ChunkNumber::ZERO, place: crate::buffer::NOBODY, id: 0 };
}

/// What a splitter knows about a member.
#[derive(Debug, Clone)]
pub struct Member {
    pub(super) id: NodeId,
    pub(super) rules: Rules,
    pub(super) tag: Tag,
    pub(super) joined: Instant,
    pub(super) heard: Instant,
    /// What its last `[hello]` said of its player (3.7).
    pub(super) status: Option<PlayerStatus>,
    pub(super) chunks: u64,
    /// Losses charged and not yet forgiven (8.1).
    pub(super) losses: u32,
    pub(super) losses_ever: u32,
    /// How many times more it is told the title (2.6).
    pub(super) title_repeats: u8,
    /// `chunks` as it was at the last ticks, the latest first.
    pub(super) chunks_before: [u64; TICKS_PER_SECOND],
}

impl Member {
    pub(super) fn new(id: NodeId, rules: Rules, tag: Tag, now: Instant) -> Member {
        Member {
            id,
            rules,
            tag,
            joined: now,
            heard: now,
            status: None,
            chunks: 0,
            losses: 0,
            losses_ever: 0,
            title_repeats: TITLE_REPEATS,
            chunks_before: [0; TICKS_PER_SECOND],
        }
    }

    /// Whether it was charged with more losses than is tolerated: `L*`, or as
    /// many as it got chunks in the last second if these are more **(ours)**.
    /// A hiccup of a fast stream is no selfishness, nor is a slow start.
    pub(super) fn is_selfish(&self, now: Instant, max_losses: u16) -> bool {
        let last_second = self.chunks - self.chunks_before[TICKS_PER_SECOND - 1];
        now.since(self.joined) >= TICK * TICKS_PER_SECOND as u32
            && u64::from(self.losses) > last_second.max(max_losses.into())
    }

    /// The title has changed (2.6).
    pub(super) fn entitle(&mut self) {
        self.title_repeats = TITLE_REPEATS;
    }

    pub(super) fn tick(&mut self) {
        self.chunks_before.rotate_right(1);
        self.chunks_before[0] = self.chunks;
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Joining {
    pub(super) endpoint: SocketAddr,
    pub(super) id: NodeId,
    pub(super) rules: Rules,
    pub(super) since: Instant,
}

/// A `[hello]` or, with a reason, a `[goodbye]` to be sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reply {
    pub(super) endpoint: SocketAddr,
    pub(super) id: NodeId,
    pub(super) goodbye: Option<Departure>,
}

/// The chunk that waits in the payload buffer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outgoing {
    pub(super) number: ChunkNumber,
    pub(super) place: usize,
    pub(super) len: usize,
}

/// The next datagram.
#[derive(Debug, Clone, Copy)]
pub(super) enum Plan {
    Reply(Reply),
    Chunk(Outgoing),
    Farewell(usize),
    Title(usize),
}

impl Plan {
    pub(super) fn is_for(&self, member: usize) -> bool {
        match self {
            Plan::Reply(_) => false,
            Plan::Chunk(Outgoing { place, .. }) | Plan::Farewell(place) | Plan::Title(place) => {
                *place == member
            }
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct SplitterCore {
    pub(super) config: SplitterConfig,
    pub(super) next_number: u32,
    pub(super) next_chunk: ChunkNumber,
    /// Whose turn it is, in join order (2.2).
    pub(super) turn: usize,
    pub(super) outgoing: Option<Outgoing>,
    pub(super) joining: Vec<Joining, MAX_JOINING>,
    pub(super) replies: Deque<Reply, MAX_REPLIES>,
    pub(super) plan: Option<Plan>,
    pub(super) tick: Option<Instant>,
    pub(super) leave_retry: Option<Instant>,
    pub(super) goodbyes: u8,
    /// Who is told next that the splitter stops; past the end: nobody.
    pub(super) farewell_turn: usize,
    /// What is being played, if it has a title (2.6).
    pub(super) title: Option<Title>,
    /// Who is told the title next; past the end: nobody.
    pub(super) title_turn: usize,
    /// A member whose `[hello]` is answered with the title, too.
    pub(super) title_reply: Option<usize>,
    pub(super) stopping: bool,
    pub(super) stopped: bool,
    pub(super) events: Deque<SplitterEvent, MAX_EVENTS>,
    pub(super) stats: SplitterStats,
}

impl SplitterCore {
    const fn new(config: SplitterConfig) -> SplitterCore {
        SplitterCore {
            next_number: 0,
            next_chunk: config.first_chunk,
            config,
            turn: 0,
            outgoing: None,
            joining: Vec::new(),
            replies: Deque::new(),
            plan: None,
            tick: None,
            leave_retry: None,
            goodbyes: 0,
            farewell_turn: usize::MAX,
            title: None,
            title_turn: usize::MAX,
            title_reply: None,
            stopping: false,
            stopped: false,
            events: Deque::new(),
            stats: SplitterStats {
                chunks_sent: 0,
                chunks_unsent: 0,
                bytes_in: 0,
                bytes_out: 0,
                complaints: 0,
                peers_max: 0,
                rejects: RejectCounts::ZERO,
            },
        }
    }

    pub(super) fn remember_joining(&mut self, joining: Joining) {
        self.joining.retain(|earlier| earlier.endpoint != joining.endpoint);
        if self.joining.is_full() {
            self.joining.remove(0);
        }
        let _ = self.joining.push(joining);
    }

    pub(super) fn take_joining(&mut self, endpoint: SocketAddr, id: NodeId) -> Option<Joining> {
        let place = self.joining.iter().position(|one| one.endpoint == endpoint && one.id == id);
        place.map(|place| self.joining.remove(place))
    }

    pub(super) fn forget_joining(&mut self, now: Instant) {
        self.joining.retain(|joining| now.since(joining.since) < JOIN_TIME);
    }

    /// Queues an answer; one too many is dropped: whoever asked asks again.
    pub(super) fn reply(&mut self, endpoint: SocketAddr, id: NodeId, goodbye: Option<Departure>) {
        let _ = self.replies.push_back(Reply { endpoint, id, goodbye });
    }

    pub(super) fn event(&mut self, event: SplitterEvent) {
        if self.events.is_full() {
            self.events.pop_front();
        }
        let _ = self.events.push_back(event);
    }
}
