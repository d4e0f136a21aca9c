//! A run as a file: its scenario, what the command line said over it, and what
//! was done by hand.
//!
//! It is a scenario with two further tables, `[run]` and `[[by_hand]]`, so that
//! whatever plays scenarios plays it.

use std::fmt::Write;

use p2psp_core::wire::{MAX_BUFFER_CHUNKS, MAX_TEAM};
use serde::Deserialize;
use toml::Spanned;

use super::value::{Milliseconds, Number, Share, Whole};
use super::{MAX_CHUNKS, Overrides, Wrong};
use crate::lab::hand::{Deed, MAX_DEEDS};
use crate::lab::plan::Plan;
use crate::lab::run::Run;

/// The largest number of a step.
const MAX_STEP: u64 = i64::MAX as u64;

/// All that it takes to play a run again.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    /// What is played.
    pub plan: Plan,
    /// What is done by hand: the step, and what.
    pub script: Vec<(u64, Deed)>,
    /// Where the run stood when it was saved.
    pub position: u64,
    /// Its trace hash there, to see whether it comes out the same.
    pub trace_hash: Option<u64>,
    /// The text of the scenario.
    pub(super) text: String,
    /// Whether the text gives a name.
    pub(super) named: bool,
    /// What was said over it.
    pub(super) overrides: Overrides,
}

/// `[run]`: what was said over the scenario, and where the run stood.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RunTable {
    peers: Option<Whole<1, { MAX_TEAM as u64 }>>,
    rounds: Option<Whole<1, { MAX_CHUNKS as u64 }>>,
    buffer: Option<Whole<1, { MAX_BUFFER_CHUNKS as u64 }>>,
    seed: Option<Whole<0, { i64::MAX as u64 }>>,
    loss: Option<Number<Share>>,
    latency_ms: Option<Number<Milliseconds>>,
    stop_us: Option<Whole<0, MAX_STEP>>,
    pub(super) step: Option<Whole<0, MAX_STEP>>,
    pub(super) trace_hash: Option<Spanned<String>>,
}

/// `[[by_hand]]`: something done by hand.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeedTable {
    step: Spanned<Whole<1, MAX_STEP>>,
    r#do: Spanned<String>,
    peer: Option<Spanned<String>>,
    ms: Option<Number<Milliseconds>>,
}

impl RunTable {
    /// What the command line says now, and what it said then.
    pub(super) fn beneath(&self, over: &Overrides) -> Overrides {
        Overrides {
            peers: over.peers.or(self.peers.map(|peers| peers.0 as u16)),
            rounds: over.rounds.or(self.rounds.map(|rounds| rounds.0 as u32)),
            buffer: over.buffer.or(self.buffer.map(|buffer| buffer.0 as u32)),
            seed: over.seed.or(self.seed.map(|seed| seed.0)),
            loss: over.loss.or(self.loss.map(|loss| loss.0)),
            latency_us: over.latency_us.or(self.latency_ms.map(|latency| latency.micros())),
            stop_at_us: over.stop_at_us.or(self.stop_us.map(|stop| stop.0)),
        }
    }

    pub(super) fn hash(&self) -> Result<Option<u64>, Wrong> {
        let Some(hash) = &self.trace_hash else { return Ok(None) };
        match u64::from_str_radix(hash.get_ref(), 16) {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(Wrong {
                span: Some(hash.span()),
                reason: "must be up to 16 hexadecimal digits".to_owned(),
            }),
        }
    }
}

/// What the tables of a file say, in order of the steps.
pub(super) fn script(tables: &[DeedTable], plan: &Plan) -> Result<Vec<(u64, Deed)>, Wrong> {
    let mut script: Vec<(u64, Deed)> = Vec::new();
    let mut members = plan.roles.len();
    if let Some(table) = tables.get(MAX_DEEDS) {
        let reason = format!("more than {MAX_DEEDS} things done by hand");
        return Err(Wrong { span: Some(table.step.span()), reason });
    }
    for table in tables {
        let step = table.step.get_ref().0;
        if script.last().is_some_and(|(last, _)| *last >= step) {
            let reason = "steps must be in order, each once".to_owned();
            return Err(Wrong { span: Some(table.step.span()), reason });
        }
        let deed = deed(table, plan, members)?;
        members += usize::from(deed == Deed::Add);
        script.push((step, deed));
    }
    Ok(script)
}

fn deed(table: &DeedTable, plan: &Plan, members: usize) -> Result<Deed, Wrong> {
    let peer = || match &table.peer {
        Some(name) => member(name, plan, members),
        None => Err(Wrong {
            span: Some(table.r#do.span()),
            reason: "needs a peer: peer = \"P1\"".to_owned(),
        }),
    };
    Ok(match table.r#do.get_ref().as_str() {
        "drop" => Deed::Drop,
        "delay" => Deed::Delay(table.ms.map_or(plan.chunk_us, |time| time.micros())),
        "duplicate" => Deed::Duplicate,
        "add" => Deed::Add,
        "kill" => Deed::Kill(peer()?),
        "leave" => Deed::Leave(peer()?),
        "selfish" => Deed::Cheat(peer()?),
        "part" => Deed::Part(peer()?),
        "heal" => Deed::Heal(peer()?),
        other => {
            let reason = format!(
                "no {other:?}: there are drop, delay, duplicate, add, kill, leave, selfish, part, heal"
            );
            return Err(Wrong { span: Some(table.r#do.span()), reason });
        }
    })
}

/// The index of a member, also of one that is added by hand.
fn member(name: &Spanned<String>, plan: &Plan, members: usize) -> Result<u16, Wrong> {
    let text = name.get_ref();
    let number = text.get(1..).and_then(|digits| digits.parse::<usize>().ok());
    let node = number.filter(|number| *number < members).map(|number| number as u16 + 1);
    // Whoever is added is a peer.
    let is_named = |node: u16| match plan.name_of(node) {
        Some(id) => id.to_string() == *text,
        None => *text == format!("P{}", node - 1),
    };
    node.filter(|node| is_named(*node)).ok_or_else(|| Wrong {
        span: Some(name.span()),
        reason: format!("no {text:?} in this run, which has {members} members by then"),
    })
}

impl Recipe {
    /// The run as a file that plays again.
    pub fn save(&self, run: &Run) -> String {
        let mut text = String::new();
        if !self.named {
            let _ = writeln!(text, "name = {}", quoted(&self.plan.name));
        }
        text.push_str(without_run(&self.text).trim_end());
        text.push_str("\n\n# What the command line said, and where the run stood.\n[run]\n");
        let over = &self.overrides;
        let mut note = |key: &str, value: Option<String>| {
            if let Some(value) = value {
                let _ = writeln!(text, "{key} = {value}");
            }
        };
        note("peers", over.peers.map(|peers| peers.to_string()));
        note("rounds", over.rounds.map(|rounds| rounds.to_string()));
        note("buffer", over.buffer.map(|buffer| buffer.to_string()));
        note("seed", Some(self.plan.seed.to_string()));
        note("loss", over.loss.map(|loss| loss.to_string()));
        note("latency_ms", over.latency_us.map(|us| (us as f64 / 1e3).to_string()));
        note("stop_us", over.stop_at_us.map(|us| us.to_string()));
        note("step", Some(run.position().to_string()));
        note("trace_hash", Some(format!("\"{:016x}\"", run.lab().trace_hash())));
        for (step, deed) in run.script() {
            let _ = write!(text, "\n[[by_hand]]\nstep = {step}\n");
            let (what, member) = match *deed {
                Deed::Drop => ("drop", None),
                Deed::Delay(_) => ("delay", None),
                Deed::Duplicate => ("duplicate", None),
                Deed::Add => ("add", None),
                Deed::Kill(node) => ("kill", Some(node)),
                Deed::Leave(node) => ("leave", Some(node)),
                Deed::Cheat(node) => ("selfish", Some(node)),
                Deed::Part(node) => ("part", Some(node)),
                Deed::Heal(node) => ("heal", Some(node)),
            };
            let _ = writeln!(text, "do = \"{what}\"");
            if let Deed::Delay(by_us) = deed {
                let _ = writeln!(text, "ms = {}", *by_us as f64 / 1e3);
            }
            if let Some(node) = member {
                let name = match self.plan.name_of(node) {
                    Some(id) => id.to_string(),
                    None => format!("P{}", node - 1),
                };
                let _ = writeln!(text, "peer = \"{name}\"");
            }
        }
        text
    }
}

/// A scenario without the tables of an earlier run.
fn without_run(text: &str) -> String {
    let mut kept = String::new();
    let mut inside = false;
    for line in text.lines() {
        let head = line.split('#').next().unwrap_or("").trim();
        if head.starts_with('[') {
            inside = matches!(head, "[run]" | "[[by_hand]]");
        }
        let remark = line.starts_with("# What the command line said, and where");
        if !inside && !remark {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// A text as TOML has it.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            control if control.is_control() => {
                let _ = write!(out, "\\u{:04X}", control as u32);
            }
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::scenario;

    #[test]
    fn a_saved_run_is_read_as_it_was() {
        let over = Overrides {
            peers: Some(4),
            rounds: Some(9),
            buffer: Some(11),
            seed: Some(5),
            loss: Some(0.25),
            latency_us: Some(1500),
            stop_at_us: Some(123_456),
        };
        let text = "peers = 3\n[link]\njitter_ms = 2\n[[join]]\nat = 5 # [run]\n";
        let recipe = scenario::read("a \"b\"\\", text, &over).unwrap();
        let mut run = Run::new(recipe.plan.clone(), Vec::new());
        run.go_to(20);
        for deed in [Deed::Add, Deed::Part(2), Deed::Kill(6), Deed::Heal(2), Deed::Leave(3)] {
            run.by_hand(deed).unwrap();
        }
        let mut text = recipe.save(&run);
        for _ in 0..2 {
            let again = scenario::read("file", &text, &Overrides::default()).unwrap();
            assert_eq!((&again.plan, again.position), (&recipe.plan, 25), "{text}");
            assert_eq!(again.script, run.script(), "{text}");
            assert_eq!(again.trace_hash, Some(run.lab().trace_hash()));
            let once_more = again.save(&run);
            assert_eq!(once_more.matches("[run]").count(), text.matches("[run]").count());
            text = once_more;
        }
        let over = Overrides { seed: Some(6), ..Overrides::default() };
        let other = scenario::read("file", &text, &over).unwrap();
        assert_eq!((other.plan.seed, other.plan.buffer_chunks), (6, 11), "the command line wins");
    }
}
