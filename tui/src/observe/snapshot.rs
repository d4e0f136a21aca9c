//! Snapshots: all that a screen or a report may know about a running team.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use p2psp_core::{BufferView, MemberView, NeighbourView, PlayerStatus};
use serde::Serialize;

use super::Name;
use super::event::{Level, PeerSummary, SplitterSummary};
use super::flow::Transmission;
use super::history::{History, ratio};
use super::ring::Ring;
use super::tables::{Change, Tables};

/// Over how long a rate is averaged.
const RATE_WINDOW: Duration = Duration::from_secs(3);
/// Readings kept for it.
const RATE_READINGS: usize = 32;

/// What there is to see at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Seconds since the program started, or since chunk 0.
    pub t: f64,
    /// The nodes that are seen from inside, splitter first.
    pub nodes: Vec<Arc<NodeSnapshot>>,
    /// The last log lines, oldest first.
    pub log: Vec<LogLine>,
    /// The last transmissions, oldest first.
    pub transmissions: Vec<Transmission>,
    /// Those of so many last seconds are drawn as arrows …
    pub flow_s: f64,
    /// … if they are of so many last chunks.
    pub flow_chunks: usize,
    /// How it went so far, a sample a second.
    pub history: History,
}

impl Snapshot {
    /// The splitter, if it is seen from inside.
    pub fn splitter(&self) -> Option<&SplitterSnapshot> {
        self.nodes.iter().find_map(|node| node.as_splitter())
    }

    /// The peers that are seen from inside.
    pub fn peers(&self) -> impl Iterator<Item = &PeerSnapshot> {
        self.nodes.iter().filter_map(|node| node.as_peer())
    }

    /// The peer of this name, if it is seen from inside.
    pub fn peer(&self, name: Name) -> Option<&PeerSnapshot> {
        self.peers().find(|peer| peer.name == name)
    }
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct LogLine {
    /// Seconds since the program started.
    pub t: f64,
    /// The node that said it.
    pub node: String,
    /// How much it matters.
    pub level: Level,
    /// What it said.
    pub text: String,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum NodeSnapshot {
    /// A splitter.
    Splitter(Box<SplitterSnapshot>),
    /// A peer or monitor.
    Peer(Box<PeerSnapshot>),
}

/// What stream it is.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct StreamInfo {
    /// Its name; may be empty.
    pub name: String,
    /// Its content type.
    pub content_type: String,
    /// What is being played; may be empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub title: String,
}

/// A splitter at one moment. Rates in bytes a second.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SplitterSnapshot {
    /// Where peers join.
    pub addr: SocketAddr,
    /// The source, as the user named it.
    pub source: String,
    /// `up`, `down`, `ended`.
    pub source_state: &'static str,
    /// The stream.
    pub stream: StreamInfo,
    /// Length of a chunk, in bytes.
    pub chunk_bytes: u16,
    /// `B`, in chunks.
    pub buffer_chunks: u32,
    /// The number that the next chunk will get.
    pub next_chunk: u32,
    /// `N*`.
    pub max_team: u16,
    /// Members now.
    pub peers: usize,
    /// What it has counted so far.
    #[serde(flatten)]
    pub counts: SplitterSummary,
    /// Rate in.
    pub rate_in: f64,
    /// Rate out.
    pub rate_out: f64,
    /// Bytes out as a multiple of bytes in: how often the stream is uploaded.
    pub upload: f64,
    /// The team, in join order.
    pub team: Vec<MemberRow>,
}

/// A member, as the splitter sees it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MemberRow {
    /// Its name.
    #[serde(rename = "peer")]
    pub name: Name,
    /// Its public endpoint.
    #[serde(rename = "addr")]
    pub endpoint: SocketAddr,
    /// How long it is in the team, in seconds.
    pub age_s: f64,
    /// Chunks it was the origin of.
    pub chunks: u64,
    /// How many of them were complained about.
    #[serde(rename = "complaints")]
    pub losses: u32,
    /// How its player is doing, if it tells that (3.7): a board does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<PlayerStatus>,
}

/// How a buffer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct BufferFill {
    /// `B`, in chunks.
    pub buffer_chunks: u32,
    /// Chunks stored and not yet played.
    pub buffer_filled: u32,
    /// The next chunk to be played.
    pub next_chunk: u32,
}

/// How far play-out is behind the newest chunk.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Latency {
    /// In chunk times.
    pub latency_chunks: u32,
    /// In milliseconds, once the rate of the stream is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
}

/// A peer or monitor at one moment. Rates in bytes a second.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PeerSnapshot {
    /// Its name.
    #[serde(skip)]
    pub name: Name,
    /// Its public endpoint, as its splitter sees it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<SocketAddr>,
    /// How long it is in the team, in seconds.
    pub age_s: f64,
    /// `joining`, `buffering`, `playing`, `leaving`, `outside`.
    pub state: &'static str,
    /// Where its splitter is.
    pub splitter: SocketAddr,
    /// Where players may listen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub player: Option<SocketAddr>,
    /// Players listening.
    pub players: usize,
    /// Players dropped because they stalled.
    pub players_dropped: u64,
    /// The stream.
    pub stream: StreamInfo,
    /// Its buffer.
    #[serde(flatten)]
    pub buffer: BufferFill,
    /// What it has counted so far.
    #[serde(flatten)]
    pub counts: PeerSummary,
    /// Lost chunks as a part of all that should have been played; 0 to 1.
    pub loss_ratio: f64,
    /// How far behind it plays.
    #[serde(flatten)]
    pub latency: Latency,
    /// Length of a chunk, in bytes.
    pub chunk_bytes: u16,
    /// Chunks that wait to be sent to neighbours.
    pub pending: usize,
    /// Rate of what it plays.
    pub rate_in: f64,
    /// Rate of what it sends.
    pub rate_out: f64,
    /// How many neighbours it serves.
    pub neighbours: usize,
    /// Its neighbours.
    pub neighbour_rows: Vec<NeighbourRow>,
    /// Its tables.
    #[serde(skip)]
    pub tables: Tables,
    /// What changed in them last, oldest first, and when.
    #[serde(skip)]
    pub changes: Vec<(f64, Change)>,
    /// The slots of its buffer.
    #[serde(skip)]
    pub ring: Ring,
}

/// A neighbour, as a peer sees it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NeighbourRow {
    /// Its name, once known.
    #[serde(rename = "peer")]
    pub name: Name,
    /// Its endpoint.
    #[serde(rename = "addr")]
    pub endpoint: SocketAddr,
    /// Chunks that came from it.
    pub received: u32,
    /// Chunks sent to it.
    pub sent: u32,
    /// Chunks it originated, less rounds (8.2).
    pub activity: i8,
    /// Whether it is served.
    pub served: bool,
    /// Whether it is in the same LAN (9.1).
    pub lan: bool,
}

impl MemberRow {
    /// What a splitter knows of a member that joined `age_s` seconds ago.
    pub fn of(member: &MemberView, name: Name, age_s: f64) -> MemberRow {
        MemberRow {
            name,
            endpoint: member.endpoint,
            age_s,
            chunks: member.chunks,
            losses: member.losses,
            status: member.status,
        }
    }
}

impl NeighbourRow {
    /// What a peer knows of a neighbour.
    pub fn of(neighbour: &NeighbourView) -> NeighbourRow {
        NeighbourRow {
            name: Name::at(neighbour.endpoint, neighbour.id),
            endpoint: neighbour.endpoint,
            received: neighbour.received,
            sent: neighbour.sent,
            activity: neighbour.activity,
            served: neighbour.served,
            lan: neighbour.lan,
        }
    }
}

impl BufferFill {
    /// How the core's buffer stands.
    pub fn of(buffer: &BufferView) -> BufferFill {
        BufferFill {
            buffer_chunks: buffer.chunks,
            buffer_filled: buffer.filled,
            next_chunk: buffer.cursor.map_or(0, |cursor| cursor.get()),
        }
    }
}

impl Latency {
    /// Of a buffer whose chunks last `chunk_ms` each.
    pub fn of(buffer: &BufferView, chunk_ms: Option<f64>) -> Latency {
        let chunks = match (buffer.cursor, buffer.highest) {
            (Some(cursor), Some(newest)) => (cursor.distance_to(newest) + 1).max(0) as u32,
            _ => 0,
        };
        Latency {
            latency_chunks: chunks,
            latency_ms: chunk_ms.map(|chunk_ms| chunk_ms * f64::from(chunks)),
        }
    }
}

/// How long a chunk lasts, in milliseconds, at a rate in bytes a second.
pub fn chunk_ms(chunk_bytes: u16, rate: f64) -> Option<f64> {
    (rate > 0.0).then(|| 1e3 * f64::from(chunk_bytes) / rate)
}

impl NodeSnapshot {
    /// The node's name.
    pub fn name(&self) -> Name {
        match self {
            NodeSnapshot::Splitter(_) => Name::Splitter,
            NodeSnapshot::Peer(peer) => peer.name,
        }
    }

    /// The peer, if it is one.
    pub fn as_peer(&self) -> Option<&PeerSnapshot> {
        match self {
            NodeSnapshot::Peer(peer) => Some(peer),
            NodeSnapshot::Splitter(_) => None,
        }
    }

    /// The splitter, if it is one.
    pub fn as_splitter(&self) -> Option<&SplitterSnapshot> {
        match self {
            NodeSnapshot::Splitter(splitter) => Some(splitter),
            NodeSnapshot::Peer(_) => None,
        }
    }
}

impl PeerSnapshot {
    /// Chunks waiting to be played, of the `B` that should; `None` before it
    /// has a buffer.
    pub fn fill(&self) -> Option<f64> {
        let BufferFill { buffer_chunks, buffer_filled, .. } = self.buffer;
        (buffer_chunks > 0).then(|| f64::from(buffer_filled) / f64::from(buffer_chunks))
    }

    /// Whether it is a monitor.
    pub fn is_monitor(&self) -> bool {
        self.name.is_monitor()
    }
}

impl PeerSummary {
    /// Lost chunks as a part of all that should have been played; 0 to 1.
    pub fn loss_ratio(&self) -> f64 {
        ratio(self.chunks_lost, self.chunks_played + self.chunks_lost)
    }
}

impl fmt::Display for NodeSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NodeSnapshot::Splitter(splitter) => write!(
                f,
                "{} peers, in {:.1} kB/s, out {:.1} kB/s, source {}",
                splitter.peers,
                splitter.rate_in / 1e3,
                splitter.rate_out / 1e3,
                splitter.source_state
            ),
            NodeSnapshot::Peer(peer) => write!(
                f,
                "{}: plays {:.1} kB/s, sends {:.1} kB/s to {}, lost {} ({:.2} %), buffer {}/{}",
                peer.state,
                peer.rate_in / 1e3,
                peer.rate_out / 1e3,
                peer.neighbours,
                peer.counts.chunks_lost,
                peer.loss_ratio * 100.0,
                peer.buffer.buffer_filled,
                peer.buffer.buffer_chunks
            ),
        }
    }
}

/// The rate of a growing count, averaged over the last seconds.
#[derive(Debug, Clone, Default)]
pub struct Rate(VecDeque<(Instant, u64)>);

impl Rate {
    /// Takes a reading and tells the rate per second.
    pub fn update(&mut self, now: Instant, count: u64) -> f64 {
        let enough = |(then, _): &(Instant, u64)| now.duration_since(*then) > RATE_WINDOW;
        while self.0.len() >= RATE_READINGS || (self.0.len() > 1 && enough(&self.0[1])) {
            self.0.pop_front();
        }
        self.0.push_back((now, count));
        let (then, before) = self.0[0];
        let seconds = now.duration_since(then).as_secs_f64();
        if seconds > 0.0 { count.saturating_sub(before) as f64 / seconds } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_averaged_over_the_window() {
        let start = Instant::now();
        let mut rate = Rate::default();
        assert_eq!(rate.update(start, 100), 0.0);
        for tenth in 1..=60u64 {
            let now = start + Duration::from_millis(tenth * 100);
            assert_eq!(rate.update(now, 100 + tenth * 20).round(), 200.0);
        }
        let stalled = start + Duration::from_secs(20);
        rate.update(stalled, 1300);
        assert_eq!(rate.update(stalled + Duration::from_secs(3), 1300), 0.0);
    }
}
