//! A run made ready: what a scenario comes down to in microseconds and
//! indices.

use p2psp_core::wire::{MAX_BUFFER_CHUNKS, MAX_TEAM};
use p2psp_core::{NodeId, Role};

use super::link::Link;
use super::queue::Action;

/// Chunks a second, unless a scenario says otherwise: about 400 kbit/s.
pub const DEFAULT_CHUNK_RATE: f64 = 50.0;
/// Rounds, unless a scenario says otherwise.
pub const DEFAULT_ROUNDS: u64 = 20;
/// `L*` (8.1), unless a scenario says otherwise.
pub const DEFAULT_MAX_LOSSES: u16 = 8;

/// All that a lab needs to know. Nodes are numbered: the splitter is 0, the
/// members follow in the order of `roles`.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The scenario's name.
    pub name: String,
    /// Seed of everything random.
    pub seed: u64,
    /// `B`.
    pub buffer_chunks: u32,
    /// `N*`.
    pub max_team: u16,
    /// `L*` (8.1).
    pub max_losses: u16,
    /// Chunk time, in microseconds.
    pub chunk_us: u64,
    /// Chunks to be cut.
    pub chunks: u32,
    /// What each member is. The first `initial` have joined before chunk 0.
    pub roles: Vec<Role>,
    /// How many members there are from the start.
    pub initial: u16,
    /// How long the join dialogue takes, in microseconds.
    pub join_us: u64,
    /// For each member the number of its LAN, in which it plays by IMS (9); 0
    /// for none. May be empty: nobody is in one.
    pub lans: Vec<u8>,
    /// The way from any node to any other.
    pub link: Link,
    /// The ways that differ: from, to, properties.
    pub own_links: Vec<(u16, u16, Link)>,
    /// What happens when, in microseconds after chunk 0.
    pub actions: Vec<(u64, Action)>,
    /// The partitions: for each who is cut off, by index.
    pub islands: Vec<Vec<bool>>,
    /// The run ends when so many chunks were lost.
    pub stop_after_lost: Option<u64>,
    /// The run ends at this time, in microseconds.
    pub stop_at_us: Option<u64>,
}

impl Plan {
    /// A full mesh of `size` members, one of them a monitor, over a perfect
    /// network, for the usual number of rounds; `B = 2N`.
    pub fn mesh(size: u16) -> Plan {
        let size = size.clamp(1, MAX_TEAM);
        let roles = (0..size).map(|n| if n == 0 { Role::Monitor } else { Role::Peer });
        Plan {
            name: "mesh".to_owned(),
            seed: 1,
            buffer_chunks: (2 * u32::from(size)).clamp(1, MAX_BUFFER_CHUNKS),
            max_team: size,
            max_losses: DEFAULT_MAX_LOSSES,
            chunk_us: (1e6 / DEFAULT_CHUNK_RATE) as u64,
            chunks: DEFAULT_ROUNDS as u32 * u32::from(size),
            roles: roles.collect(),
            initial: size,
            join_us: 0,
            lans: Vec::new(),
            link: Link::IDEAL,
            own_links: Vec::new(),
            actions: Vec::new(),
            islands: Vec::new(),
            stop_after_lost: None,
            stop_at_us: None,
        }
    }

    /// The name of the member with this index.
    pub fn name_of(&self, node: u16) -> Option<NodeId> {
        let place = usize::from(node).checked_sub(1)?;
        self.roles.get(place).map(|role| NodeId { role: *role, number: place as u32 })
    }

    /// Both ways between any two that differ are lost with this probability.
    pub fn lose(&mut self, loss: f64) {
        self.link.loss = loss;
        self.own_links.iter_mut().for_each(|(.., link)| link.loss = loss);
    }
}
