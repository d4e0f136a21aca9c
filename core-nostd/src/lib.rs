//! The rules of P2PSP, played without sockets, clocks or a heap.
//!
//! A [`Splitter`] numbers the chunks of a stream and sends each to exactly one
//! [`Peer`] of its team; the peers pass the chunks on to one another until all
//! have all of them. Both are *sans-I/O*: a driver hands in datagrams and the
//! time, and takes out datagrams, events and the next deadline. The same code
//! runs on Linux sockets, on a microcontroller's network stack and in virtual
//! time.
//!
//! The contract of a driver: after every call that takes `now`, drain
//! [`Node::poll_transmit`], then `poll_event`, then (of a peer)
//! [`Peer::next_chunk`], and call [`Node::handle_timeout`] when the instant
//! that [`Node::poll_timeout`] names has come. A driver may hand in several
//! datagrams before it drains, but bursts grow, and of answers and events only
//! a few wait: what exceeds their queues is dropped.
//!
//! Memory is lent: a [`Storage`] (arrays sized by const generics, for a
//! `static`) or slices that a host allocates ([`PeerMemory`],
//! [`SplitterMemory`]). All state is in there, so that a copy of the storage
//! is a copy of the node.
//!
//! Comments cite the sections of `PROTOCOL.md`, which stands beside this crate's
//! sources, as (5.4).
#![no_std]
#![forbid(unsafe_code)]

mod auth;
mod buffer;
mod chunk;
mod endpoints;
mod node;
mod peer;
mod pending;
mod sets;
mod splitter;
mod status;
mod storage;
mod time;
mod title;
pub mod wire;

pub use auth::{Key, Tag};
pub use buffer::Slot;
pub use chunk::ChunkNumber;
pub use endpoints::{Entry, Link};
pub use node::{Departure, Node, NodeId, Reject, RejectCounts, Role, Rules, TeamId, Transmit};
pub use peer::{
    BufferView, JoinError, Lan, Neighbour, NeighbourView, Peer, PeerEvent, PeerMemory, PeerState,
    PeerStats, Phase, Playout,
};
pub use pending::PendingEntry;
pub use sets::FIRST_RELAY_SET;
pub use splitter::{
    Admission, History, Member, MemberView, PushError, Splitter, SplitterConfig, SplitterEvent,
    SplitterMemory, SplitterState, SplitterStats,
};
pub use status::{PlayerState, PlayerStatus};
pub use storage::{SplitterStorage, Storage};
pub use time::Instant;
pub use title::{BadTitle, Title};
