//! Snapshots: all that a screen or a report may know about a running team.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::event::{PeerSummary, SplitterSummary};

/// Over how long a rate is averaged.
const RATE_WINDOW: Duration = Duration::from_secs(3);
/// Readings kept for it.
const RATE_READINGS: usize = 32;

/// What there is to see at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Seconds since the program started.
    pub t: f64,
    /// The nodes of this process, splitter first.
    pub nodes: Vec<NodeSnapshot>,
    /// The last log lines, oldest first.
    pub log: Vec<LogLine>,
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct LogLine {
    /// Seconds since the program started.
    pub t: f64,
    /// The node that said it.
    pub node: String,
    /// What it said.
    pub text: String,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum NodeSnapshot {
    /// A splitter.
    Splitter(SplitterSnapshot),
    /// A peer or monitor.
    Peer(PeerSnapshot),
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
    /// The team, in join order.
    #[serde(skip)]
    pub team: Vec<MemberRow>,
}

/// A member, as the splitter sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct MemberRow {
    /// Its name.
    pub name: String,
    /// Its public endpoint.
    pub endpoint: SocketAddr,
    /// How long it is in the team.
    pub age: Duration,
    /// Chunks it was the origin of.
    pub chunks: u64,
    /// How many of them were complained about.
    pub losses: u32,
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

/// A peer or monitor at one moment. Rates in bytes a second.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PeerSnapshot {
    /// Its name.
    #[serde(skip)]
    pub name: String,
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
    /// Rate of what it plays.
    pub rate_in: f64,
    /// Rate of what it sends.
    pub rate_out: f64,
    /// How many neighbours it serves.
    pub neighbours: usize,
    /// Its neighbours.
    #[serde(skip)]
    pub neighbour_rows: Vec<NeighbourRow>,
}

/// A neighbour, as a peer sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct NeighbourRow {
    /// Its name, once known.
    pub name: Option<String>,
    /// Its endpoint.
    pub endpoint: SocketAddr,
    /// Chunks that came from it.
    pub received: u32,
    /// Chunks sent to it.
    pub sent: u32,
    /// Whether it is served.
    pub served: bool,
}

impl NodeSnapshot {
    /// The node's name.
    pub fn name(&self) -> &str {
        match self {
            NodeSnapshot::Splitter(_) => "S",
            NodeSnapshot::Peer(peer) => &peer.name,
        }
    }
}

impl PeerSnapshot {
    /// Lost chunks as a part of all that should have been played; 0 to 1.
    pub fn loss_ratio(&self) -> f64 {
        let PeerSummary { chunks_played, chunks_lost, .. } = self.counts;
        let due = chunks_played + chunks_lost;
        if due == 0 { 0.0 } else { chunks_lost as f64 / due as f64 }
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
                peer.loss_ratio() * 100.0,
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
