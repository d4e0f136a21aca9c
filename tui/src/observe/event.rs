//! Events: what `--json` prints and the log says.

use std::fmt;
use std::net::SocketAddr;

use p2psp_core::PeerStats;
use serde::{Serialize, Serializer};

use super::snapshot::NodeSnapshot;

/// One line of `--json`.
#[derive(Debug, Serialize)]
pub struct Line<'a> {
    /// Version of the format.
    pub v: u32,
    /// Seconds since the program started.
    pub t: f64,
    /// The node: `S`, `M0`, `P1` …
    pub node: &'a str,
    /// What happened.
    #[serde(flatten)]
    pub event: &'a Event,
}

/// How much an event matters to who watches the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Level {
    /// What is to be expected.
    #[default]
    Info,
    /// A chunk was lost.
    Loss,
    /// Something that the user may want to act upon.
    Warning,
}

/// What happened at a node.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The node can be reached.
    Listening {
        /// Where.
        addr: SocketAddr,
        /// By whom: `team` or `player`.
        what: &'static str,
    },
    /// A peer is in the team (the splitter says so), or the node itself, or a
    /// neighbour that joined later.
    Joined {
        /// Its name.
        peer: String,
        /// Its public endpoint, where known.
        #[serde(skip_serializing_if = "Option::is_none")]
        addr: Option<SocketAddr>,
    },
    /// A peer has left, or the node itself.
    Left {
        /// Its name.
        peer: String,
        /// Why.
        reason: String,
    },
    /// The stream's source: `up`, `down`, `ended`.
    Source {
        /// Its state.
        state: &'static str,
        /// More about it.
        #[serde(skip_serializing_if = "String::is_empty")]
        detail: String,
    },
    /// Playing starts.
    Playing {
        /// With this chunk.
        first: u32,
    },
    /// A chunk did not come in time.
    Lost {
        /// Its number.
        chunk: u32,
        /// How many in a row, if more than one.
        #[serde(skip_serializing_if = "is_one")]
        count: u32,
    },
    /// What is being played has another title from here on.
    Title {
        /// It; may be empty.
        title: String,
        /// The first chunk with anything of it.
        chunk: u32,
    },
    /// Whether a neighbour's multicast arrives (IMS): `silent`, and served by
    /// unicast instead; `back`.
    Multicast {
        /// `silent` or `back`.
        state: &'static str,
        /// The neighbour's name.
        peer: String,
        /// Its endpoint, when silent.
        #[serde(skip_serializing_if = "Option::is_none")]
        addr: Option<SocketAddr>,
    },
    /// Something that the user should know and may want to act upon.
    Warning {
        /// One line.
        message: String,
    },
    /// The numbers, each second.
    #[serde(serialize_with = "serialize_stats")]
    Stats(Box<NodeSnapshot>),
    /// The last word of a splitter.
    #[serde(rename = "summary")]
    SplitterSummary(SplitterSummary),
    /// The last word of a peer.
    #[serde(rename = "summary")]
    PeerSummary(PeerSummary),
}

/// A splitter's numbers at its end.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SplitterSummary {
    /// Chunks sent.
    pub chunks_sent: u64,
    /// Bytes of the stream that came in while there was a team or not.
    pub bytes_in: u64,
    /// Bytes of the stream that went out.
    pub bytes_out: u64,
    /// Most members at a time.
    pub peers_max: u32,
    /// Datagrams turned away.
    pub rejected: u64,
    /// Complaints of monitors.
    pub complaints: u64,
}

/// A peer's numbers at its end.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PeerSummary {
    /// Chunks stored.
    pub chunks_received: u64,
    /// Chunks played.
    pub chunks_played: u64,
    /// Chunks that did not come in time.
    pub chunks_lost: u64,
    /// Chunks that came twice.
    pub duplicates: u64,
    /// Chunks that came too late.
    pub late: u64,
    /// Bytes of the stream played.
    pub bytes_played: u64,
    /// Chunks sent to neighbours.
    pub chunks_sent: u64,
    /// Datagrams turned away.
    pub rejected: u64,
}

impl Level {
    /// A short name.
    pub const fn name(self) -> &'static str {
        match self {
            Level::Info => "info",
            Level::Loss => "loss",
            Level::Warning => "warning",
        }
    }
}

impl Event {
    /// How much it matters.
    pub fn level(&self) -> Level {
        match self {
            Event::Lost { .. } => Level::Loss,
            Event::Warning { .. } | Event::Source { state: "down", .. } => Level::Warning,
            Event::Left { reason, .. } if !matches!(reason.as_str(), "goodbye" | "ended") => {
                Level::Warning
            }
            _ => Level::Info,
        }
    }
}

impl PeerSummary {
    /// What a peer has counted.
    pub fn of(stats: &PeerStats) -> PeerSummary {
        PeerSummary {
            chunks_received: stats.chunks_received,
            chunks_played: stats.chunks_played,
            chunks_lost: stats.chunks_lost,
            duplicates: stats.duplicates,
            late: stats.late,
            bytes_played: stats.bytes_played,
            chunks_sent: stats.chunks_sent,
            rejected: stats.rejects.total(),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Listening { addr, what: "player" } => {
                write!(f, "players may listen at http://{addr}/")
            }
            Event::Listening { addr, .. } => write!(f, "peers may join at {addr}"),
            Event::Joined { peer, addr: Some(addr) } => write!(f, "{peer} joined ({addr})"),
            Event::Joined { peer, addr: None } => write!(f, "{peer} joined"),
            Event::Left { peer, reason } => write!(f, "{peer} left ({reason})"),
            Event::Source { state, detail } if detail.is_empty() => write!(f, "source {state}"),
            Event::Source { state, detail } => write!(f, "source {state}: {detail}"),
            Event::Playing { first } => write!(f, "plays from chunk {first} on"),
            Event::Lost { chunk, count: 1 } => write!(f, "lost chunk {chunk}"),
            Event::Lost { chunk, count } => write!(f, "lost {count} chunks from {chunk} on"),
            Event::Title { title, .. } if title.is_empty() => f.write_str("no title"),
            Event::Title { title, .. } => write!(f, "title: {title}"),
            Event::Multicast { addr: Some(addr), peer, .. } => write!(
                f,
                "multicast from {} ({peer}) does not arrive; served by unicast",
                addr.ip()
            ),
            Event::Multicast { peer, .. } => write!(f, "multicast from {peer} arrives again"),
            Event::Warning { message } => write!(f, "warning: {message}"),
            Event::Stats(node) => node.fmt(f),
            Event::SplitterSummary(end) => write!(
                f,
                "sent {} chunks ({} bytes in, {} out) to at most {} peers",
                end.chunks_sent, end.bytes_in, end.bytes_out, end.peers_max
            ),
            Event::PeerSummary(end) => write!(
                f,
                "played {} chunks ({} bytes), lost {}, sent {}",
                end.chunks_played, end.bytes_played, end.chunks_lost, end.chunks_sent
            ),
        }
    }
}

fn is_one(count: &u32) -> bool {
    *count == 1
}

fn serialize_stats<S: Serializer>(node: &NodeSnapshot, serializer: S) -> Result<S::Ok, S::Error> {
    node.serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn line(event: &Event, expected: &str) {
        let line = Line { v: 1, t: 0.25, node: "P1", event };
        assert_eq!(serde_json::to_string(&line).unwrap(), expected);
    }

    #[test]
    fn lines_are_as_promised() {
        line(
            &Event::Listening { addr: SocketAddr::from(([127, 0, 0, 1], 9)), what: "team" },
            r#"{"v":1,"t":0.25,"node":"P1","event":"listening","addr":"127.0.0.1:9","what":"team"}"#,
        );
        line(
            &Event::Lost { chunk: 7, count: 1 },
            r#"{"v":1,"t":0.25,"node":"P1","event":"lost","chunk":7}"#,
        );
        line(
            &Event::Title { title: "A \"b\"".into(), chunk: 9 },
            r#"{"v":1,"t":0.25,"node":"P1","event":"title","title":"A \"b\"","chunk":9}"#,
        );
        line(
            &Event::Left { peer: "P2".into(), reason: "silent".into() },
            r#"{"v":1,"t":0.25,"node":"P1","event":"left","peer":"P2","reason":"silent"}"#,
        );
        line(
            &Event::SplitterSummary(SplitterSummary {
                chunks_sent: 1,
                bytes_in: 2,
                bytes_out: 3,
                peers_max: 4,
                rejected: 5,
                complaints: 6,
            }),
            r#"{"v":1,"t":0.25,"node":"P1","event":"summary","chunks_sent":1,"bytes_in":2,"bytes_out":3,"peers_max":4,"rejected":5,"complaints":6}"#,
        );
    }

    #[test]
    fn what_matters_stands_out() {
        let left = |reason: &str| Event::Left { peer: "P2".into(), reason: reason.into() };
        for (event, level) in [
            (Event::Playing { first: 1 }, Level::Info),
            (left("goodbye"), Level::Info),
            (left("silent"), Level::Warning),
            (Event::Lost { chunk: 7, count: 1 }, Level::Loss),
            (Event::Source { state: "up", detail: String::new() }, Level::Info),
            (Event::Source { state: "down", detail: String::new() }, Level::Warning),
            (Event::Warning { message: String::new() }, Level::Warning),
        ] {
            assert_eq!(event.level(), level, "{event}");
        }
    }
}
