//! What a run has to report: a line of JSON for each effect, and at the end a
//! summary, as JSON or as a table.

use std::fmt;
use std::io::{self, Write};

use p2psp_core::ChunkNumber;
use serde::{Serialize, Serializer};

use super::{Brief, Effect, Lab, Name, SPLITTER};

/// Members that a table shows, those with the most losses first.
const MAX_ROWS: usize = 10;

/// A line of `sim --json`, as DESIGN.md has it.
#[derive(Debug, Serialize)]
struct Line<'a> {
    v: u32,
    t: f64,
    node: Name,
    #[serde(flatten)]
    what: What<'a>,
}

#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum What<'a> {
    Sent {
        from: Name,
        to: Name,
        chunk: u32,
    },
    Joined {
        peer: Name,
    },
    Left {
        peer: Name,
        reason: &'static str,
    },
    Playing {
        first: u32,
    },
    Lost {
        chunk: u32,
        #[serde(skip_serializing_if = "is_one")]
        count: u32,
    },
    Summary(&'a Summary),
}

/// A run's numbers at its end.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The scenario.
    pub scenario: String,
    /// Its seed.
    pub seed: u64,
    /// Chunks sent by the splitter and by peers.
    pub transmissions: u64,
    /// Chunks played by all peers.
    pub chunks_played: u64,
    /// Chunks lost by all peers, after each had started to play.
    pub chunks_lost: u64,
    /// Lost of all that were to be played.
    pub loss_ratio: f64,
    /// Chunks that came to a peer twice.
    pub duplicates: u64,
    /// Chunks that came after their turn.
    pub late: u64,
    /// From cut to stored, on average, in chunk times.
    pub latency_mean: f64,
    /// The longest such time, in chunk times.
    pub latency_max: f64,
    /// How many positions behind the highest of its peer a chunk came at most.
    pub most_behind: u32,
    /// Wall-clock time that the run took.
    pub seconds: f64,
    /// Transmissions for each of them.
    pub transmissions_per_second: f64,
    /// Hash of all transmissions and plays, in hexadecimal.
    #[serde(serialize_with = "hexadecimal")]
    pub trace_hash: u64,
}

impl Summary {
    /// The numbers of a lab that took `seconds`.
    pub fn of(lab: &Lab, seconds: f64) -> Summary {
        let totals = *lab.totals();
        let (mut stored, mut delay_us, mut delay_max_us, mut most_behind) = (0, 0, 0, 0);
        let (mut duplicates, mut late) = (0, 0);
        for member in &lab.members {
            let seen = member.seen;
            stored += seen.stored;
            delay_us += seen.delay_sum_us;
            delay_max_us = delay_max_us.max(seen.delay_max_us);
            most_behind = most_behind.max(seen.most_behind);
            duplicates += seen.duplicates;
            late += seen.late;
        }
        Summary {
            scenario: lab.plan().name.clone(),
            seed: lab.plan().seed,
            transmissions: totals.transmissions,
            chunks_played: totals.played,
            chunks_lost: totals.lost,
            loss_ratio: totals.loss_ratio(),
            duplicates,
            late,
            latency_mean: lab.chunk_times(delay_us) / (stored.max(1) as f64),
            latency_max: lab.chunk_times(delay_max_us),
            most_behind,
            seconds,
            transmissions_per_second: totals.transmissions as f64 / seconds.max(1e-9),
            trace_hash: lab.trace_hash(),
        }
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Writes what the last step of a lab has brought about, one object a line.
///
/// # Errors
///
/// Those of `out`.
pub fn write_effects(lab: &Lab, out: &mut dyn Write) -> io::Result<()> {
    let number = |chunk: ChunkNumber| chunk.get();
    for effect in lab.effects() {
        let (node, what) = match *effect {
            Effect::Sent { from, to, brief: Brief::Chunk(chunk) } => {
                let (from_name, to) = (lab.name(from), lab.name(to));
                (from, What::Sent { from: from_name, to, chunk: number(chunk) })
            }
            Effect::Joined { member } => (SPLITTER, What::Joined { peer: lab.name(member) }),
            Effect::Left { member, reason } => {
                (SPLITTER, What::Left { peer: lab.name(member), reason: reason.name() })
            }
            Effect::Playing { member, first } => (member, What::Playing { first: number(first) }),
            Effect::Lost { member, chunk, chunks } => {
                (member, What::Lost { chunk: number(chunk), count: chunks })
            }
            _ => continue,
        };
        write_line(lab, node, what, out)?;
    }
    Ok(())
}

/// Writes the summary, the last line.
///
/// # Errors
///
/// Those of `out`.
pub fn write_summary(lab: &Lab, summary: &Summary, out: &mut dyn Write) -> io::Result<()> {
    write_line(lab, SPLITTER, What::Summary(summary), out)
}

/// Writes the numbers of a run as a table, with the members that lost most.
///
/// # Errors
///
/// Those of `out`.
pub fn write_table(lab: &Lab, summary: &Summary, out: &mut dyn Write) -> io::Result<()> {
    let plan = lab.plan().clone();
    writeln!(
        out,
        "{}: {} members at the start, B = {}, chunks of {} ms, seed {}",
        plan.name,
        plan.initial,
        plan.buffer_chunks,
        plan.chunk_us as f64 / 1e3,
        plan.seed
    )?;
    writeln!(out, "{summary}")?;
    let mut order: Vec<u16> = (1..=lab.members.len() as u16).collect();
    order.sort_by_key(|node| std::cmp::Reverse(lab.members[usize::from(*node) - 1].seen.lost));
    writeln!(
        out,
        "{:<8}{:<9}{:>10}{:>10}{:>10}{:>12}",
        "member", "", "played", "lost", "sent", "latency"
    )?;
    for node in order.iter().take(MAX_ROWS) {
        let member = &lab.members[usize::from(*node) - 1];
        let seen = member.seen;
        writeln!(
            out,
            "{:<8}{:<9}{:>10}{:>10}{:>10}{:>12.2}",
            lab.name(*node).to_string(),
            format!("{:?}", member.life).to_lowercase(),
            seen.played,
            seen.lost,
            seen.sent,
            lab.chunk_times(seen.delay_sum_us) / seen.stored.max(1) as f64,
        )?;
    }
    match order.len().saturating_sub(MAX_ROWS) {
        0 => Ok(()),
        more => writeln!(out, "and {more} more"),
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "transmissions {:>12}   {:.0} a second, {:.2} s",
            self.transmissions, self.transmissions_per_second, self.seconds
        )?;
        writeln!(
            f,
            "chunks played {:>12}   {} came twice, {} late",
            self.chunks_played, self.duplicates, self.late
        )?;
        writeln!(f, "chunks lost   {:>12}   ratio {:.6}", self.chunks_lost, self.loss_ratio)?;
        writeln!(
            f,
            "latency       {:>12.2}   chunk times; at most {:.2}, {} positions behind",
            self.latency_mean, self.latency_max, self.most_behind
        )?;
        writeln!(f, "trace hash    {:016x}", self.trace_hash)
    }
}

fn write_line(lab: &Lab, node: u16, what: What<'_>, out: &mut dyn Write) -> io::Result<()> {
    let t = (lab.chunk_times(lab.now_us()) * 1e6).round() / 1e6;
    let line = Line { v: 1, t, node: lab.name(node), what };
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}

fn hexadecimal<S: Serializer>(hash: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{hash:016x}"))
}

fn is_one(count: &u32) -> bool {
    *count == 1
}
