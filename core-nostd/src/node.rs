//! What splitters and peers have in common: names, reasons, and the calls by
//! which a driver runs either.

use core::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::Instant;

/// The public number of a team; the same in every datagram of the team.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TeamId(#[serde(with = "postcard::fixint::le")] pub u32);

/// What a member of a team is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Role {
    /// Plays the stream and forwards its share.
    #[default]
    Peer,
    /// A trusted peer whose complaints the splitter believes (8.1).
    Monitor,
}

/// By which set of rules a member serves and is served in its own subnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Rules {
    /// By unicast, as everywhere.
    #[default]
    Dbs,
    /// By the group of its LAN (9).
    Ims,
}

/// A member's name: its role and its number in join order.
///
/// Shows as `M0`, `P1`, `P2` …, the names of the published figures. A number
/// is never used twice in a team.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct NodeId {
    /// Monitor or peer.
    pub role: Role,
    /// Number in join order, from 0.
    pub number: u32,
}

impl core::fmt::Display for NodeId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let letter = match self.role {
            Role::Peer => 'P',
            Role::Monitor => 'M',
        };
        write!(f, "{letter}{}", self.number)
    }
}

/// A datagram to be sent: where to, and how long it is in the caller's buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transmit {
    /// Where it goes.
    pub to: SocketAddr,
    /// Its length in bytes.
    pub len: usize,
}

/// Why a datagram was turned away. Nothing else happened because of it, but
/// that a sender who has proved to be a member may be a neighbour now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum Reject {
    /// Its first byte is not our protocol version.
    Version,
    /// It can't be parsed, has bytes to spare, or a field is out of range.
    Malformed,
    /// It belongs to another team.
    OtherTeam,
    /// Its sender was never admitted at that endpoint.
    Stranger,
    /// A known endpoint with a wrong tag: the source address is forged.
    Forged,
    /// A message that this node does not take from this sender.
    Unexpected,
    /// A chunk number too far from the others to be true.
    OutOfRange,
    /// There is no room for what it would have added.
    TableFull,
    /// This node is not in a team.
    NotJoined,
}

impl Reject {
    /// All reasons, in the order of their counters.
    pub const ALL: [Reject; 9] = [
        Reject::Version,
        Reject::Malformed,
        Reject::OtherTeam,
        Reject::Stranger,
        Reject::Forged,
        Reject::Unexpected,
        Reject::OutOfRange,
        Reject::TableFull,
        Reject::NotJoined,
    ];

    /// A short name, for reports.
    pub const fn name(self) -> &'static str {
        match self {
            Reject::Version => "version",
            Reject::Malformed => "malformed",
            Reject::OtherTeam => "other_team",
            Reject::Stranger => "stranger",
            Reject::Forged => "forged",
            Reject::Unexpected => "unexpected",
            Reject::OutOfRange => "out_of_range",
            Reject::TableFull => "table_full",
            Reject::NotJoined => "not_joined",
        }
    }
}

impl core::fmt::Display for Reject {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

/// How many datagrams were turned away, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RejectCounts([u32; Reject::ALL.len()]);

impl RejectCounts {
    pub(crate) const ZERO: RejectCounts = RejectCounts([0; Reject::ALL.len()]);

    /// How many for this reason; stays at `u32::MAX` once there.
    pub fn get(&self, reason: Reject) -> u32 {
        self.0[reason as usize]
    }

    /// How many in all.
    pub fn total(&self) -> u64 {
        self.0.iter().map(|count| u64::from(*count)).sum()
    }

    /// The sum of both.
    #[must_use]
    pub fn plus(&self, other: &RejectCounts) -> RejectCounts {
        RejectCounts(core::array::from_fn(|reason| self.0[reason].saturating_add(other.0[reason])))
    }

    pub(crate) fn count(&mut self, reason: Reject) {
        let count = &mut self.0[reason as usize];
        *count = count.saturating_add(1);
    }
}

/// Why a member left, or was left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Departure {
    /// It said goodbye (7.1).
    Goodbye,
    /// It was silent for too long (3.6).
    Silent,
    /// Too many chunks of which it was the origin were lost (8.1).
    Losses,
    /// It joined again from the same endpoint.
    Rejoined,
    /// The splitter stopped (7.3).
    Ended,
    /// The splitter does not know it as a member.
    NotAMember,
    /// The team was full when it said it was ready.
    TeamFull,
}

impl Departure {
    /// A short name, for reports.
    pub const fn name(self) -> &'static str {
        match self {
            Departure::Goodbye => "goodbye",
            Departure::Silent => "silent",
            Departure::Losses => "losses",
            Departure::Rejoined => "rejoined",
            Departure::Ended => "ended",
            Departure::NotAMember => "not_a_member",
            Departure::TeamFull => "team_full",
        }
    }
}

impl core::fmt::Display for Departure {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

/// What a driver needs of a node, be it a splitter or a peer.
pub trait Node {
    /// What happened, for logs, screens and tests.
    type Event;

    /// Takes in one datagram.
    ///
    /// # Errors
    ///
    /// A [`Reject`], already counted, if the datagram had no effect.
    fn handle_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        datagram: &[u8],
    ) -> Result<(), Reject>;

    /// Does what is due at `now`. After it the next deadline is later.
    fn handle_timeout(&mut self, now: Instant);

    /// Starts to leave (a peer) or to stop (a splitter) in good order. Done
    /// when an event says so; takes a bounded time.
    fn leave(&mut self, now: Instant);

    /// Where the next datagram will go; [`Node::poll_transmit`] yields it.
    #[must_use]
    fn poll_destination(&mut self) -> Option<SocketAddr>;

    /// Writes the next datagram into `buf`, which must hold
    /// [`MAX_DATAGRAM_BYTES`](crate::wire::MAX_DATAGRAM_BYTES).
    #[must_use]
    fn poll_transmit(&mut self, buf: &mut [u8]) -> Option<Transmit>;

    /// The next event.
    #[must_use]
    fn poll_event(&mut self) -> Option<Self::Event>;

    /// When to call [`Node::handle_timeout`] next. May change with every call
    /// that takes `now`.
    #[must_use]
    fn poll_timeout(&self) -> Option<Instant>;
}
