//! Scenarios: what happens in a lab, written in TOML.
//!
//! The format stands in `scenarios/README.md`, beside those built in. A file
//! that can't be meant is turned away with its name, line and column, and with
//! what is allowed there.

mod compile;
mod recipe;
mod value;

use std::path::Path;

use p2psp_core::wire::{MAX_BUFFER_CHUNKS, MAX_TEAM};
use serde::Deserialize;
use toml::Spanned;

use self::value::{BurstLength, Milliseconds, Moment, Number, PerSecond, Share, Whole};
use super::plan::Plan;
pub use recipe::Recipe;
use recipe::{DeedTable, RunTable};

/// Most chunks of a run.
pub const MAX_CHUNKS: u32 = 1_000_000_000;
/// Most members in all, those who come later included.
pub const MAX_MEMBERS: usize = 60_000;
/// Longest scenario, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The scenarios that need no file: name and text.
pub const BUILT_IN: [(&str, &str); 9] = [
    ("figures", include_str!("../scenarios/figures.toml")),
    ("join-storm", include_str!("../scenarios/join-storm.toml")),
    ("churn", include_str!("../scenarios/churn.toml")),
    ("lossy", include_str!("../scenarios/lossy.toml")),
    ("selfish", include_str!("../scenarios/selfish.toml")),
    ("lan", include_str!("../scenarios/lan.toml")),
    ("mixed", include_str!("../scenarios/mixed.toml")),
    ("buffer", include_str!("../scenarios/buffer.toml")),
    ("big", include_str!("../scenarios/big.toml")),
];

/// Why a scenario can't be played: one line, with the place in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScenarioError(pub String);

impl std::fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the command line says about a run, over what the scenario says.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Overrides {
    /// Members from the start, the monitor included.
    pub peers: Option<u16>,
    /// Rounds of that many chunks.
    pub rounds: Option<u32>,
    /// `B`.
    pub buffer: Option<u32>,
    /// Seed of everything random.
    pub seed: Option<u64>,
    /// Loss of all links, 0 to 1.
    pub loss: Option<f64>,
    /// Latency of links that have none of their own, in microseconds.
    pub latency_us: Option<u64>,
    /// End of the run, in microseconds after chunk 0.
    pub stop_at_us: Option<u64>,
}

/// The plan of a scenario: one built in, or a file.
///
/// # Errors
///
/// [`ScenarioError`] with file, line and what is allowed.
pub fn load(name: &str, overrides: &Overrides) -> Result<Plan, ScenarioError> {
    Ok(open(name, overrides)?.plan)
}

/// Reads a scenario, one built in or a file, or a run that was saved.
///
/// # Errors
///
/// [`ScenarioError`] with file, line and what is allowed.
pub fn open(name: &str, overrides: &Overrides) -> Result<Recipe, ScenarioError> {
    if let Some((_, text)) = BUILT_IN.iter().find(|(built_in, _)| *built_in == name) {
        return read(name, text, overrides);
    }
    let path = Path::new(name);
    let fail = |reason: &str| {
        let names: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
        let names = names.join(", ");
        ScenarioError(format!("{name}: {reason}; name a TOML file, or one of {names}"))
    };
    let size = std::fs::metadata(path).map_err(|error| fail(&error.to_string()))?.len();
    if size > MAX_FILE_BYTES {
        return Err(fail("too long for a scenario"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| fail(&error.to_string()))?;
    read(name, &text, overrides)
}

/// The plan of a scenario's text; `file` is what errors call it.
///
/// # Errors
///
/// [`ScenarioError`] with file, line and what is allowed.
pub fn parse(file: &str, text: &str, overrides: &Overrides) -> Result<Plan, ScenarioError> {
    Ok(read(file, text, overrides)?.plan)
}

/// Reads the text of a scenario or of a run that was saved; `file` is what
/// errors call it.
///
/// # Errors
///
/// [`ScenarioError`] with file, line and what is allowed.
pub fn read(file: &str, text: &str, overrides: &Overrides) -> Result<Recipe, ScenarioError> {
    let at = |span: Option<std::ops::Range<usize>>, reason: &str| {
        let (line, column) = place(text, span.map_or(0, |span| span.start));
        let reason = reason.trim().replace('\n', "; ");
        ScenarioError(format!("{file}:{line}:{column}: {reason}"))
    };
    let scenario: Scenario =
        toml::from_str(text).map_err(|error| at(error.span(), error.message()))?;
    recipe(file, text, &scenario, overrides).map_err(|wrong| at(wrong.span, &wrong.reason))
}

fn recipe(
    file: &str,
    text: &str,
    scenario: &Scenario,
    overrides: &Overrides,
) -> Result<Recipe, Wrong> {
    let overrides = scenario.run.beneath(overrides);
    let plan = compile::compile(file, scenario, &overrides)?;
    Ok(Recipe {
        script: recipe::script(&scenario.by_hand, &plan)?,
        position: scenario.run.step.map_or(0, |step| step.0),
        trace_hash: scenario.run.hash()?,
        text: text.to_owned(),
        named: scenario.name.is_some(),
        overrides,
        plan,
    })
}

/// Line and column, from 1, of a place in a text.
fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    (line, column)
}

/// Something that parses but can't be meant.
#[derive(Debug)]
struct Wrong {
    span: Option<std::ops::Range<usize>>,
    reason: String,
}

type Names = Vec<Spanned<String>>;

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    name: Option<String>,
    #[allow(dead_code, reason = "a remark for readers of the file")]
    about: Option<String>,
    seed: Option<Whole<0, { i64::MAX as u64 }>>,
    monitors: Option<Whole<0, { MAX_TEAM as u64 }>>,
    peers: Option<Whole<0, { MAX_TEAM as u64 }>>,
    max_team: Option<Whole<1, { MAX_TEAM as u64 }>>,
    max_losses: Option<Whole<0, { u16::MAX as u64 }>>,
    buffer: Option<Whole<1, { MAX_BUFFER_CHUNKS as u64 }>>,
    chunk_rate: Option<Number<PerSecond>>,
    chunks: Option<Spanned<Whole<1, { MAX_CHUNKS as u64 }>>>,
    rounds: Option<Whole<1, { MAX_CHUNKS as u64 }>>,
    join_ms: Option<Number<Milliseconds>>,
    #[serde(default)]
    link: LinkTable,
    #[serde(default)]
    links: Vec<PairTable>,
    #[serde(default)]
    lan: Vec<LanTable>,
    #[serde(default)]
    join: Vec<JoinTable>,
    #[serde(default)]
    leave: Vec<NamesTable>,
    #[serde(default)]
    crash: Vec<NamesTable>,
    #[serde(default)]
    selfish: Vec<SelfishTable>,
    #[serde(default)]
    partition: Vec<PartitionTable>,
    churn: Option<ChurnTable>,
    #[serde(default)]
    stop: StopTable,
    #[serde(default)]
    run: RunTable,
    #[serde(default)]
    by_hand: Vec<DeedTable>,
}

/// `[link]`: what all links are like.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LinkTable {
    latency_ms: Option<Number<Milliseconds>>,
    jitter_ms: Option<Number<Milliseconds>>,
    loss: Option<Number<Share>>,
    burst: Option<Number<BurstLength>>,
    duplicate: Option<Number<Share>>,
    reorder: Option<Number<Share>>,
    reorder_ms: Option<Number<Milliseconds>>,
    rate: Option<Number<PerSecond>>,
    queue: Option<Whole<0, 1_000_000>>,
}

/// `[[links]]`: what is different between two, or between some and all.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PairTable {
    from: Names,
    to: Option<Names>,
    #[serde(default)]
    one_way: bool,
    latency_ms: Option<Number<Milliseconds>>,
    jitter_ms: Option<Number<Milliseconds>>,
    loss: Option<Number<Share>>,
    burst: Option<Number<BurstLength>>,
    duplicate: Option<Number<Share>>,
    reorder: Option<Number<Share>>,
    reorder_ms: Option<Number<Milliseconds>>,
    rate: Option<Number<PerSecond>>,
    queue: Option<Whole<0, 1_000_000>>,
}

/// `[[lan]]`: some are in one LAN, or without names all who are in no other.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LanTable {
    peers: Option<Names>,
}

/// `[[join]]`: some peers come later.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct JoinTable {
    at: Moment,
    peers: Option<Whole<1, { MAX_TEAM as u64 }>>,
    /// Chunks from one to the next.
    every: Option<Whole<0, { MAX_CHUNKS as u64 }>>,
}

/// `[[leave]]`, `[[crash]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NamesTable {
    at: Moment,
    peers: Names,
}

/// `[[selfish]]`: some forward nothing, from the start or later.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SelfishTable {
    at: Option<Moment>,
    peers: Names,
}

/// `[[partition]]`: some are cut off from all others.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PartitionTable {
    at: Moment,
    until: Option<Spanned<Moment>>,
    peers: Names,
}

/// `[churn]`: now and then one goes and another comes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChurnTable {
    at: Option<Moment>,
    until: Option<Moment>,
    every: Whole<1, { MAX_CHUNKS as u64 }>,
    /// Share of those who go without a word.
    crash: Option<Number<Share>>,
}

/// `[stop]`: when to stop before all chunks are cut.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct StopTable {
    lost: Option<Whole<1, { u32::MAX as u64 }>>,
    at: Option<Moment>,
}
