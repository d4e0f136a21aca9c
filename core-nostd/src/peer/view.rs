//! What others may see of a peer: screens, the lab, logs and tests.

use core::net::SocketAddr;

use super::{MYSELF, Peer, PeerStats, Phase};
use crate::buffer::NOBODY;
use crate::node::{NodeId, TeamId};
use crate::sets;
use crate::{ChunkNumber, Neighbour, Title};

/// One neighbour, as seen by a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NeighbourView {
    /// Its place in the table, for the other views.
    pub place: usize,
    /// Its name, once known.
    pub id: Option<NodeId>,
    /// Its endpoint.
    pub endpoint: SocketAddr,
    /// Whether it is served: it is in `forward[self]`, or the group is (9).
    pub served: bool,
    /// Whether it is in the peer's subnet and both play by IMS (9.1).
    pub lan: bool,
    /// Whether anything ever came from it.
    pub heard: bool,
    /// Chunks it originated, less rounds (8.2).
    pub activity: i8,
    /// Chunks that came from it.
    pub received: u32,
    /// Chunks sent to it.
    pub sent: u32,
}

/// The chunk buffer, as seen from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BufferView {
    /// `B`, in chunks.
    pub chunks: u32,
    /// Chunks stored and not yet played.
    pub filled: u32,
    /// The next chunk to be played; the first received until playing starts.
    pub cursor: Option<ChunkNumber>,
    /// The highest number received.
    pub highest: Option<ChunkNumber>,
    /// Whether playing has started.
    pub playing: bool,
}

impl Peer<'_> {
    /// Where the peer is in its life.
    pub fn phase(&self) -> Phase {
        self.core.phase
    }

    /// Its name in the team it joined last.
    pub fn id(&self) -> NodeId {
        self.core.id
    }

    /// The newest title that the splitter has told. It may be of a chunk that
    /// is played later (2.6).
    pub fn title(&self) -> Option<&Title> {
        self.core.title.as_ref()
    }

    /// Its team.
    pub fn team(&self) -> TeamId {
        self.core.team
    }

    /// Its public endpoint, as the splitter sees it.
    pub fn endpoint(&self) -> Option<SocketAddr> {
        self.core.endpoint
    }

    /// What it has counted.
    pub fn stats(&self) -> &PeerStats {
        &self.core.stats
    }

    /// Its neighbours, in table order.
    pub fn neighbours(&self) -> impl Iterator<Item = NeighbourView> + '_ {
        self.neighbours.iter().filter(|(place, ..)| self.is_neighbour(*place)).map(
            |(place, endpoint, neighbour)| NeighbourView {
                place,
                id: neighbour.id,
                endpoint,
                served: self.serves(place),
                lan: neighbour.reach.lan,
                heard: neighbour.heard.is_some(),
                activity: neighbour.activity,
                received: neighbour.received,
                sent: neighbour.sent,
            },
        )
    }

    /// The name of who is at a place of the table, this peer included.
    pub fn name(&self, place: usize) -> Option<NodeId> {
        self.neighbours.get(place)?.1.id
    }

    /// The table `forward` (4): for each origin with an entry, this peer
    /// first, the places of those who get its chunks.
    pub fn forward(&self) -> impl Iterator<Item = (usize, impl Iterator<Item = usize> + '_)> + '_ {
        self.neighbours.iter().filter_map(|(place, _, neighbour)| {
            let row = if place == MYSELF { sets::FORWARD_SELF as u16 } else { neighbour.row };
            (row != NOBODY).then(|| (place, self.sets.iter(usize::from(row))))
        })
    }

    /// The table `pending` (4): for each neighbour with an entry its place and
    /// the chunks, oldest first.
    pub fn pending(
        &self,
    ) -> impl Iterator<Item = (usize, impl Iterator<Item = ChunkNumber> + '_)> + '_ {
        self.neighbours
            .iter()
            .filter(|(_, _, neighbour): &(usize, SocketAddr, &Neighbour)| {
                !neighbour.pending.is_empty()
            })
            .map(|(place, _, neighbour)| (place, self.pending.iter(neighbour.pending)))
    }

    /// Length of a chunk, in bytes.
    pub fn chunk_bytes(&self) -> u16 {
        self.buffer.chunk_bytes()
    }

    /// How the buffer stands.
    pub fn buffer(&self) -> BufferView {
        BufferView {
            chunks: self.buffer.chunks(),
            filled: self.buffer.filled(),
            cursor: self.buffer.cursor(),
            highest: self.buffer.highest(),
            playing: self.buffer.is_playing(),
        }
    }

    /// The slots of the buffer in slot order: number and place of the origin
    /// (`None` if that has left) of the chunk in each.
    pub fn slots(&self) -> impl Iterator<Item = Option<(ChunkNumber, Option<usize>)>> + '_ {
        self.buffer.slots().map(|slot| {
            slot.map(|(number, origin)| (number, (origin != NOBODY).then_some(origin.into())))
        })
    }
}
