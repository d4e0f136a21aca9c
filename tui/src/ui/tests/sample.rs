//! A small team in mid-stream, always the same.

use std::net::SocketAddr;
use std::sync::Arc;

use p2psp_core::{PlayerState, PlayerStatus};

use crate::observe::{
    BufferFill, Change, History, Latency, Level, LogLine, MemberRow, Name, NeighbourRow,
    NodeSnapshot, PeerSnapshot, PeerSummary, Ring, Slot, Snapshot, SplitterSnapshot,
    SplitterSummary, StreamInfo, Tables, Transmission, Waiting,
};
use crate::ui::Scene;

/// `B` of the sample.
const B: u32 = 16;
/// The newest chunk.
const NEWEST: u32 = 137;

/// A scene that never changes.
#[derive(Debug, Default)]
pub struct Still {
    pub snapshot: Snapshot,
    pub now: f64,
    pub asked_to_quit: bool,
}

impl Still {
    pub fn of(snapshot: Snapshot) -> Still {
        Still { now: snapshot.t, snapshot, asked_to_quit: false }
    }
}

impl Scene for Still {
    fn snapshot(&mut self) -> Snapshot {
        Snapshot { t: self.now, ..self.snapshot.clone() }
    }

    fn now(&self) -> f64 {
        self.now
    }

    fn status(&self) -> String {
        super::super::format::duration(self.now)
    }

    fn quit(&mut self) -> bool {
        self.asked_to_quit = true;
        true
    }
}

fn endpoint(node: Name) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 40_000 + node.number().unwrap_or(0) as u16))
}

/// M0, P1, P2 … as many as wanted.
pub fn names(members: u32) -> Vec<Name> {
    (0..members)
        .map(|number| if number == 0 { Name::monitor(0) } else { Name::peer(number) })
        .collect()
}

fn stream() -> StreamInfo {
    StreamInfo {
        name: "Radio Sample".into(),
        content_type: "audio/mpeg".into(),
        title: String::new(),
    }
}

/// A splitter, and `members` members of which the last has lost chunks.
pub fn team(members: u32) -> Snapshot {
    let names = names(members);
    let mut nodes = vec![Arc::new(splitter(&names))];
    let peers =
        names.iter().map(|name| Arc::new(NodeSnapshot::Peer(Box::new(peer(*name, &names)))));
    nodes.extend(peers);
    let mut history = History::default();
    (0..40).for_each(|_| history.sample(&nodes));
    Snapshot {
        t: 42.0,
        history,
        log: log(),
        transmissions: transmissions(&names),
        flow_s: 0.5,
        flow_chunks: 2,
        nodes,
    }
}

/// A peer that knows nobody from inside but itself.
pub fn alone() -> Snapshot {
    let names = names(5);
    let node = Arc::new(NodeSnapshot::Peer(Box::new(peer(Name::peer(2), &names))));
    let mut transmissions = transmissions(&names);
    transmissions.retain(|sent| [sent.from, sent.to].contains(&Name::peer(2)));
    Snapshot { nodes: vec![node], transmissions, ..team(5) }
}

/// A splitter whose members are elsewhere, but for its own monitor.
pub fn splitter_alone() -> Snapshot {
    let mut snapshot = team(5);
    snapshot.nodes.truncate(2);
    snapshot
}

/// The same, and the last two of them are boards: one plays, one not yet.
pub fn boards() -> Snapshot {
    let mut snapshot = splitter_alone();
    let mut nodes = snapshot.nodes.iter_mut();
    let Some(NodeSnapshot::Splitter(splitter)) = nodes.next().map(Arc::make_mut) else {
        panic!("a splitter comes first");
    };
    let playing =
        PlayerStatus { state: PlayerState::Playing, level_ms: 480, concealed: 3, underruns: 1 };
    let buffering =
        PlayerStatus { state: PlayerState::Buffering, level_ms: 0, concealed: 0, underruns: 0 };
    splitter.team[3].status = Some(playing);
    splitter.team[4].status = Some(buffering);
    snapshot
}

fn splitter(names: &[Name]) -> NodeSnapshot {
    NodeSnapshot::Splitter(Box::new(SplitterSnapshot {
        addr: SocketAddr::from(([127, 0, 0, 1], 8001)),
        source: "http://localhost:8000/radio.mp3".into(),
        source_state: "up",
        stream: stream(),
        chunk_bytes: 1024,
        buffer_chunks: B,
        next_chunk: NEWEST + 1,
        max_team: 128,
        peers: names.len(),
        counts: SplitterSummary {
            chunks_sent: u64::from(NEWEST) + 1,
            bytes_in: 141_312,
            bytes_out: 141_312,
            peers_max: names.len() as u32,
            rejected: 3,
            complaints: 1,
        },
        rate_in: 16_012.0,
        rate_out: 16_012.0,
        upload: 1.0,
        team: names
            .iter()
            .map(|name| MemberRow {
                name: *name,
                endpoint: endpoint(*name),
                age_s: 41.0,
                chunks: 27,
                losses: u32::from(*name == Name::peer(1)),
                status: None,
            })
            .collect(),
    }))
}

fn peer(name: Name, names: &[Name]) -> PeerSnapshot {
    let number = name.number().unwrap_or(0);
    let lost = if number + 1 == names.len() as u32 { 2 } else { 0 };
    let others: Vec<Name> = names.iter().copied().filter(|other| *other != name).collect();
    let waits = others.first().copied().unwrap_or_default();
    let counts = PeerSummary {
        chunks_received: 138 - lost,
        chunks_played: 122 - lost,
        chunks_lost: lost,
        duplicates: u64::from(number % 2),
        late: 0,
        bytes_played: 124_928 - 1024 * lost,
        chunks_sent: 108,
        rejected: 0,
    };
    let player = SocketAddr::from(([127, 0, 0, 1], 9998 + number as u16));
    PeerSnapshot {
        name,
        endpoint: Some(endpoint(name)),
        age_s: 41.0,
        state: "playing",
        splitter: SocketAddr::from(([127, 0, 0, 1], 8001)),
        player: (!name.is_monitor()).then_some(player),
        players: usize::from(number == 1),
        players_dropped: 0,
        stream: stream(),
        buffer: BufferFill { buffer_chunks: B, buffer_filled: B - 1, next_chunk: 122 },
        counts,
        loss_ratio: counts.loss_ratio(),
        latency: Latency { latency_chunks: B, latency_ms: Some(1023.3) },
        chunk_bytes: 1024,
        pending: 1,
        rate_in: 15_987.0,
        rate_out: 12_790.0 + 10.0 * f64::from(number),
        neighbours: others.len(),
        neighbour_rows: others.iter().map(|other| neighbour(*other)).collect(),
        tables: Tables {
            forward: vec![(name, others), (waits, vec![Name::Lan])],
            pending: vec![(waits, Waiting { count: 1, oldest: vec![NEWEST] })],
        },
        changes: vec![
            (0.1, Change::Added { origin: name, neighbour: waits }),
            (41.5, Change::Queued { neighbour: waits, chunk: NEWEST }),
        ],
        ring: ring(names, number, lost > 0),
    }
}

fn neighbour(name: Name) -> NeighbourRow {
    NeighbourRow {
        name,
        endpoint: endpoint(name),
        received: 27,
        sent: 26,
        activity: (name.number().unwrap_or(0) % 3) as i8 - 1,
        served: true,
        lan: name.number().unwrap_or(0).is_multiple_of(2),
    }
}

/// All chunks but the newest, which has not come to everybody yet.
fn ring(names: &[Name], number: u32, lossy: bool) -> Ring {
    let len = 2 * B;
    let slot = |slot: u32| {
        let chunk = NEWEST - (NEWEST % len + len - slot) % len;
        let origin = names[chunk as usize % names.len()];
        match chunk {
            NEWEST if !number.is_multiple_of(2) => Slot::Empty,
            135 if number == 3 => Slot::Gap { chunk },
            116 | 117 if lossy => Slot::Lost { chunk },
            ..122 => Slot::Played { chunk, origin },
            _ => Slot::Waiting { chunk, origin },
        }
    };
    Ring {
        len: len as usize,
        first: 0,
        slots: (0..len).map(slot).collect(),
        cursor: Some(122 % len as usize),
        newest: Some(NEWEST as usize % len as usize),
    }
}

/// The last ten chunks, each to everybody; chunk 135 also to the LAN.
fn transmissions(names: &[Name]) -> Vec<Transmission> {
    let mut all = Vec::new();
    for chunk in NEWEST - 9..=NEWEST {
        let t = 42.0 - f64::from(NEWEST - chunk) * 0.064;
        let origin = names[chunk as usize % names.len()];
        all.push(Transmission { t, from: Name::Splitter, to: origin, chunk });
        let to_lan = (chunk == 135).then_some(Name::Lan);
        let others = names.iter().copied().filter(|name| *name != origin).chain(to_lan);
        all.extend(others.map(|to| Transmission { t, from: origin, to, chunk }));
    }
    all
}

fn log() -> Vec<LogLine> {
    let line = |t, node: &str, level, text: &str| LogLine {
        t,
        node: node.to_owned(),
        level,
        text: text.to_owned(),
    };
    vec![
        line(0.0, "S", Level::Info, "source up: http://localhost:8000/radio.mp3"),
        line(0.0, "S", Level::Info, "peers may join at 127.0.0.1:8001"),
        line(0.1, "S", Level::Info, "P1 joined (127.0.0.1:40001)"),
        line(1.0, "P1", Level::Info, "plays from chunk 0 on"),
        line(38.5, "P4", Level::Loss, "lost 2 chunks from 116 on"),
        line(40.0, "S", Level::Warning, "source down: the server closed the connection"),
        line(40.5, "S", Level::Info, "source up"),
    ]
}
