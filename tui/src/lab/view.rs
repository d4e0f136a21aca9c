//! A run as a snapshot: what the screen's panels show of it.

use std::sync::Arc;

use p2psp_core::{Peer, Phase};

use super::run::Run;
use super::tables::Tables as Figures;
use super::{Brief, CHUNK_BYTES, Effect, Lab, Life, Member};
use crate::observe::{
    BufferFill, Latency, Level, LogLine, MemberRow, Name, NeighbourRow, NodeSnapshot, PeerSnapshot,
    PeerSummary, Ring, Snapshot, SplitterSnapshot, SplitterSummary, StreamInfo, Tables,
    Transmission,
};

/// Members that are shown from inside; of a larger team, the first.
pub const MAX_SEEN: usize = 64;
/// Transmissions that are shown.
const MAX_TRANSMISSIONS: usize = 1024;
/// Longer ago than any: all that a snapshot has is of the move at hand.
const FOR_EVER_S: f64 = 1e12;

/// What there is to see at this place of a run. The transmissions, log lines
/// and changes are those of the move at hand.
pub fn snapshot(run: &mut Run) -> Snapshot {
    let t = seconds(run.lab().now_us());
    let mut nodes = vec![Arc::new(NodeSnapshot::Splitter(Box::new(splitter(run.lab_mut(), t))))];
    let (lab, at_hand) = (run.lab(), run.at_hand());
    let there = |member: &&std::rc::Rc<Member>| member.storage.is_some();
    for member in lab.members().iter().filter(there).take(MAX_SEEN) {
        let place = usize::try_from(member.name().number).unwrap_or(usize::MAX);
        let before = at_hand.before.get(place);
        if let Some(peer) = peer(lab, member, before.map(|before| &**before), t) {
            nodes.push(Arc::new(NodeSnapshot::Peer(Box::new(peer))));
        }
    }
    Snapshot {
        t,
        nodes,
        log: log(run),
        transmissions: transmissions(run),
        flow_s: FOR_EVER_S,
        flow_chunks: usize::MAX,
        history: run.samples(),
    }
}

/// A node's name, as the screen has it.
pub fn name(lab: &Lab, node: u16) -> Name {
    match lab.name(node) {
        super::Name::Splitter => Name::Splitter,
        super::Name::Lan => Name::Lan,
        super::Name::Member(id) => Name::Node(id),
    }
}

fn transmissions(run: &Run) -> Vec<Transmission> {
    let lab = run.lab();
    let steps = run.at_hand().steps.iter();
    let all = steps.flat_map(|(event, effects)| effects.iter().map(|effect| (event.at_us, effect)));
    let mut sent: Vec<Transmission> = all
        .filter_map(|(at_us, effect)| match *effect {
            Effect::Sent { from, to, brief: Brief::Chunk(chunk) } => Some(Transmission {
                t: seconds(at_us),
                from: name(lab, from),
                to: name(lab, to),
                chunk: chunk.get(),
            }),
            _ => None,
        })
        .collect();
    sent.split_off(sent.len().saturating_sub(MAX_TRANSMISSIONS))
}

fn log(run: &Run) -> Vec<LogLine> {
    let lines = run.at_hand().told.iter().map(|(event, text)| LogLine {
        t: seconds(event.at_us),
        node: run.lab().name(event.kind.node()).to_string(),
        level: match text.contains("BROKEN") {
            true => Level::Warning,
            false if text.contains(" lost, ") => Level::Loss,
            false => Level::Info,
        },
        text: text.clone(),
    });
    lines.collect()
}

fn splitter(lab: &mut Lab, t: f64) -> SplitterSnapshot {
    let (name, cut) = (lab.plan().name.clone(), u64::from(lab.cut));
    let buffer_chunks = lab.plan().buffer_chunks;
    let ended = lab.ended().is_some();
    let addr = lab.air.lans.endpoint(super::SPLITTER);
    let members: Vec<Name> =
        (0..=lab.members().len() as u16).map(|node| self::name(lab, node)).collect();
    let splitter = lab.splitter();
    let stats = *splitter.stats();
    let team = splitter.members().map(|member| {
        let name = members.get(usize::from(super::lans::node_at(member.endpoint))).copied();
        let age_s = t - seconds(member.joined.as_micros());
        MemberRow::of(&member, name.unwrap_or_default(), age_s)
    });
    let team: Vec<MemberRow> = team.collect();
    let rate = |chunks: u64| if t > 0.0 { chunks as f64 * CHUNK_BYTES as f64 / t } else { 0.0 };
    SplitterSnapshot {
        addr,
        source: name,
        source_state: if ended { "ended" } else { "up" },
        stream: StreamInfo::default(),
        chunk_bytes: CHUNK_BYTES as u16,
        buffer_chunks,
        next_chunk: splitter.next_chunk().get(),
        max_team: splitter.config().max_team,
        peers: team.len(),
        counts: SplitterSummary {
            chunks_sent: stats.chunks_sent,
            bytes_in: cut * CHUNK_BYTES as u64,
            bytes_out: stats.chunks_sent * CHUNK_BYTES as u64,
            peers_max: u32::try_from(team.len()).unwrap_or(u32::MAX),
            rejected: stats.rejects.total(),
            complaints: stats.complaints,
        },
        rate_in: rate(cut),
        rate_out: rate(stats.chunks_sent),
        upload: if cut > 0 { stats.chunks_sent as f64 / cut as f64 } else { 0.0 },
        team,
    }
}

fn peer(lab: &Lab, member: &Member, before: Option<&Member>, t: f64) -> Option<PeerSnapshot> {
    let mut storage = member.storage.clone()?;
    let peer = storage.peer();
    let counts = PeerSummary::of(&member.earlier_stats.plus(peer.stats()));
    let (tables, buffer) = (Tables::of(&peer), peer.buffer());
    let old = before.and_then(|before| before.storage.clone());
    let old = old.map_or_else(Tables::default, |mut storage| Tables::of(&storage.peer()));
    let changes = tables.changes_since(&old).into_iter().map(|change| (t, change)).collect();
    let chunk_ms = lab.plan().chunk_us as f64 / 1e3;
    let rate = |chunks: u64| if t > 0.0 { chunks as f64 * CHUNK_BYTES as f64 / t } else { 0.0 };
    let neighbours: Vec<NeighbourRow> =
        peer.neighbours().map(|neighbour| NeighbourRow::of(&neighbour)).collect();
    Some(PeerSnapshot {
        name: Name::Node(member.name()),
        endpoint: peer.endpoint(),
        age_s: 0.0,
        state: state(&peer, member),
        splitter: lab.air.lans.endpoint(super::SPLITTER),
        player: None,
        players: 0,
        players_dropped: 0,
        stream: StreamInfo::default(),
        buffer: BufferFill::of(&buffer),
        loss_ratio: counts.loss_ratio(),
        latency: Latency::of(&buffer, Some(chunk_ms)),
        chunk_bytes: CHUNK_BYTES as u16,
        pending: tables.waiting(),
        rate_in: rate(counts.chunks_played),
        rate_out: rate(counts.chunks_sent),
        counts,
        neighbours: neighbours.iter().filter(|neighbour| neighbour.served).count(),
        neighbour_rows: neighbours,
        ring: Ring::of(&peer, member.begin),
        tables,
        changes,
    })
}

fn state(peer: &Peer<'_>, member: &Member) -> &'static str {
    match (peer.phase(), member.life()) {
        (_, Life::Dead) | (Phase::Outside, _) => "outside",
        (Phase::Joining, _) => "joining",
        (Phase::Leaving, _) => "leaving",
        (Phase::Member, _) if peer.buffer().playing => "playing",
        (Phase::Member, _) => "buffering",
    }
}

/// What a figure says of each member that is there: its name, `F`, `P` and
/// buffer.
pub fn figures(lab: &Lab, most: usize) -> Vec<(u16, Figures)> {
    let all = lab.members().iter().enumerate();
    let there = all.filter(|(_, member)| member.storage.is_some()).take(most);
    there.map(|(place, member)| (place as u16 + 1, Figures::of(member))).collect()
}

fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}
