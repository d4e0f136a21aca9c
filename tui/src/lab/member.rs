//! A peer of the lab: the core's peer, its part in the scenario, and what was
//! seen of it from outside.

use p2psp_core::wire::Acquaintance;
use p2psp_core::{Admission, ChunkNumber, NodeId, Peer, PeerStats};

use super::arrivals::Arrivals;
use super::ledger::Ledger;
use crate::net::storage::PeerStorage;

/// The splitter's index; the members follow.
pub const SPLITTER: u16 = 0;

/// Where a member is in its part of the scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It has not come yet.
    Absent,
    /// The splitter has its request.
    Asking,
    /// It takes part.
    Present,
    /// It has left, or was removed.
    Gone,
    /// It died without a word.
    Dead,
}

/// What was seen of a member, over all its memberships.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    /// Chunks that came and were stored.
    pub stored: u64,
    /// Chunks played.
    pub played: u64,
    /// Chunks whose turn came before they did.
    pub lost: u64,
    /// Chunks that came again (5.1).
    pub duplicates: u64,
    /// Chunks that came after their turn (5.1).
    pub late: u64,
    /// Chunks it sent and that were not held back.
    pub sent: u64,
    /// How many positions behind the highest it had a chunk came at most.
    pub most_behind: u32,
    /// From the moment that chunks were cut to that they were stored, in
    /// microseconds, summed up.
    pub delay_sum_us: u64,
    /// The longest of these.
    pub delay_max_us: u64,
}

/// A member of the team, as the lab keeps it.
#[derive(Debug, Clone)]
pub struct Member {
    pub(super) name: NodeId,
    pub(super) life: Life,
    pub(super) selfish: bool,
    pub(super) storage: Option<PeerStorage>,
    pub(super) invitation: Option<Box<Invitation>>,
    /// The deadline that stands in the agenda.
    pub(super) timer_us: Option<u64>,
    pub(super) ledger: Ledger,
    pub(super) seen: Seen,
    pub(super) arrivals: Arrivals,
    pub(super) earlier_stats: PeerStats,
    /// The first chunk that it plays, once it does.
    pub(super) begin: Option<ChunkNumber>,
    pub(super) joins: u32,
}

/// The splitter's answer to a joiner, on its way.
#[derive(Debug, Clone)]
pub(super) struct Invitation {
    pub(super) admission: Admission,
    pub(super) list: Vec<Acquaintance>,
}

impl Member {
    pub(super) fn new(name: NodeId) -> Member {
        Member {
            name,
            life: Life::Absent,
            selfish: false,
            storage: None,
            invitation: None,
            timer_us: None,
            ledger: Ledger::new(0),
            seen: Seen::default(),
            arrivals: Arrivals::new(),
            earlier_stats: PeerStats::default(),
            begin: None,
            joins: 0,
        }
    }

    /// Its name in the scenario. If it joins again it gets a new one from the
    /// splitter, but keeps this one here.
    pub fn name(&self) -> NodeId {
        self.name
    }

    /// Where it is in its part.
    pub fn life(&self) -> Life {
        self.life
    }

    /// Whether it keeps to itself what it should forward.
    pub fn is_selfish(&self) -> bool {
        self.selfish
    }

    /// What was seen of it.
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// How long the last chunks took to it.
    pub fn arrivals(&self) -> &Arrivals {
        &self.arrivals
    }

    /// The peer itself, if it has joined and not gone.
    pub fn peer(&mut self) -> Option<Peer<'_>> {
        self.storage.as_mut().map(PeerStorage::peer)
    }

    /// What the peer has counted, over all its memberships.
    pub fn stats(&mut self) -> PeerStats {
        let earlier = self.earlier_stats;
        self.peer().map_or(earlier, |peer| earlier.plus(peer.stats()))
    }

    /// About how much memory it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let storage = self.storage.as_ref().map_or(0, PeerStorage::bytes);
        size_of::<Member>() + storage + self.ledger.bytes()
    }

    /// Its memory is no longer needed.
    pub(super) fn retire(&mut self, life: Life) {
        self.earlier_stats = self.stats();
        self.storage = None;
        self.invitation = None;
        self.timer_us = None;
        self.begin = None;
        self.life = life;
    }
}
