//! What others may see of a splitter.

use core::net::SocketAddr;

use super::{Splitter, SplitterConfig, SplitterStats};
use crate::node::NodeId;
use crate::{ChunkNumber, Instant, PlayerStatus};

/// One member of the team, as seen by the splitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemberView {
    /// Its name.
    pub id: NodeId,
    /// Its public endpoint.
    pub endpoint: SocketAddr,
    /// When it became a member.
    pub joined: Instant,
    /// When its last `[hello]` came.
    pub heard: Instant,
    /// Chunks of which it was the origin.
    pub chunks: u64,
    /// How many of them were complained about (8.1).
    pub losses: u32,
    /// How its player is doing, if its last `[hello]` told that (3.7).
    pub status: Option<PlayerStatus>,
}

impl Splitter<'_> {
    /// The members in join order.
    pub fn members(&self) -> impl Iterator<Item = MemberView> + '_ {
        self.places().filter_map(|place| {
            let (endpoint, member) = self.members.get(place)?;
            Some(MemberView {
                id: member.id,
                endpoint,
                joined: member.joined,
                heard: member.heard,
                chunks: member.chunks,
                losses: member.losses_ever,
                status: member.status,
            })
        })
    }

    /// `N`: how many members there are.
    pub fn team_size(&self) -> usize {
        self.members.len()
    }

    /// Whether the team has outgrown the buffer (`B < N`, 5.7).
    pub fn outgrown(&self) -> bool {
        self.members.len() > self.core.config.buffer_chunks as usize
    }

    /// How it was set up.
    pub fn config(&self) -> &SplitterConfig {
        &self.core.config
    }

    /// The number that the next chunk will get.
    pub fn next_chunk(&self) -> ChunkNumber {
        self.core.next_chunk
    }

    /// What it has counted.
    pub fn stats(&self) -> &SplitterStats {
        &self.core.stats
    }
}
