//! `sim --sweep`: the same scenario over and over, with other sizes, buffers,
//! losses, each with several seeds; what came out on average, and how much
//! runs differ.

use std::io::{self, Write};

use super::report::Summary;
use super::scenario::{Overrides, ScenarioError};
use super::sim::Progress;
use super::{Lab, Plan};

/// Most combinations of values.
pub const MAX_POINTS: usize = 10_000;
/// Seeds of each, unless the command line says otherwise.
pub const DEFAULT_SEEDS: u32 = 5;

/// What can be swept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// Members from the start.
    Peers,
    /// `B`, in chunks; or as a share of the team with a trailing `N`: `0.5N`.
    Buffer,
    /// Loss, 0 to 1.
    Loss,
    /// Latency, in milliseconds.
    LatencyMs,
    /// Rounds.
    Rounds,
}

/// One dimension: `peers=5,10,20`.
#[derive(Debug, Clone, PartialEq)]
pub struct Sweep {
    key: Key,
    values: Vec<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Value {
    Plain(f64),
    /// So many times the team.
    Teams(f64),
}

impl std::str::FromStr for Sweep {
    type Err = String;

    fn from_str(text: &str) -> Result<Sweep, String> {
        let usage = "write KEY=VALUE,VALUE…; keys: peers, buffer (0.5N: half the team), loss, \
                     latency-ms, rounds";
        let (key, values) = text.split_once('=').ok_or(usage)?;
        let (key, least, most) = match key {
            "peers" => (Key::Peers, 1.0, f64::from(p2psp_core::wire::MAX_TEAM)),
            "buffer" => (Key::Buffer, 1.0, f64::from(p2psp_core::wire::MAX_BUFFER_CHUNKS)),
            "loss" => (Key::Loss, 0.0, 1.0),
            "latency-ms" => (Key::LatencyMs, 0.0, 600_000.0),
            "rounds" => (Key::Rounds, 1.0, 1e9),
            _ => return Err(usage.to_owned()),
        };
        let values = values.split(',').map(|text| {
            let wrong = || format!("{text:?}: must be a number from {least} to {most}");
            if let (Key::Buffer, Some(number)) = (key, text.strip_suffix('N')) {
                let teams = number.parse().ok().filter(|teams| (0.0..=100.0).contains(teams));
                return teams.map(Value::Teams).ok_or_else(wrong);
            }
            let number: Option<f64> = text.parse().ok();
            let whole = !matches!(key, Key::Loss | Key::LatencyMs);
            number
                .filter(|number| (least..=most).contains(number))
                .filter(|number| !whole || number.fract() == 0.0)
                .map(Value::Plain)
                .ok_or_else(wrong)
        });
        Ok(Sweep { key, values: values.collect::<Result<_, _>>()? })
    }
}

impl Key {
    const fn name(self) -> &'static str {
        match self {
            Key::Peers => "peers",
            Key::Buffer => "buffer",
            Key::Loss => "loss",
            Key::LatencyMs => "latency-ms",
            Key::Rounds => "rounds",
        }
    }
}

/// Why a sweep did not come to its end.
#[derive(Debug)]
pub enum SweepFailure {
    /// What was asked for can't be played.
    Usage(String),
    /// The reader has gone, or the disk is full.
    Write(io::Error),
    /// A rule was broken; where.
    Broken(String),
}

impl From<io::Error> for SweepFailure {
    fn from(error: io::Error) -> SweepFailure {
        SweepFailure::Write(error)
    }
}

/// Plays every combination with `seeds` seeds and writes a line of CSV for
/// each: the values, then loss ratio (mean, standard deviation, least, most,
/// seed of the worst),
/// and mean latency in chunk times.
///
/// # Errors
///
/// [`SweepFailure`].
pub fn run(
    sweeps: &[Sweep],
    seeds: u32,
    base: &Overrides,
    plan: &dyn Fn(&Overrides) -> Result<Plan, ScenarioError>,
    out: &mut dyn Write,
    progress: Progress<'_>,
) -> Result<(), SweepFailure> {
    let points =
        sweeps.iter().try_fold(1_usize, |points, one| points.checked_mul(one.values.len()));
    if points.is_none_or(|points| points > MAX_POINTS) {
        return Err(SweepFailure::Usage(format!("a sweep has at most {MAX_POINTS} combinations")));
    }
    for sweep in sweeps {
        write!(out, "{},", sweep.key.name())?;
    }
    writeln!(
        out,
        "seeds,loss_mean,loss_sd,loss_min,loss_max,worst_seed,latency_mean,transmissions"
    )?;
    for point in 0..points.unwrap_or(0) {
        let values = values_at(sweeps, point);
        let mut overrides = *base;
        for (key, value) in &values {
            set(&mut overrides, *key, *value);
        }
        set_buffer(&mut overrides, &values, plan)?;
        let all = points.unwrap_or(1) as f64 * f64::from(seeds.max(1));
        let before = point as f64 * f64::from(seeds);
        let mut done = |runs: u32| progress(Some((before + f64::from(runs)) / all));
        let line = measure(seeds, overrides, plan, &mut done)?;
        progress(None);
        for (key, value) in &values {
            match (key, value) {
                (Key::Buffer, _) => write!(out, "{},", overrides.buffer.unwrap_or(0))?,
                (_, Value::Plain(value) | Value::Teams(value)) => write!(out, "{value},")?,
            }
        }
        writeln!(out, "{line}")?;
        out.flush()?;
    }
    Ok(())
}

/// The values of the combination with this number; the last one changes first.
fn values_at(sweeps: &[Sweep], mut point: usize) -> Vec<(Key, Value)> {
    let mut values: Vec<(Key, Value)> = Vec::with_capacity(sweeps.len());
    for sweep in sweeps.iter().rev() {
        values.push((sweep.key, sweep.values[point % sweep.values.len()]));
        point /= sweep.values.len();
    }
    values.reverse();
    values
}

fn set(overrides: &mut Overrides, key: Key, value: Value) {
    let Value::Plain(value) = value else { return };
    match key {
        Key::Peers => overrides.peers = Some(value as u16),
        Key::Buffer => overrides.buffer = Some(value as u32),
        Key::Loss => overrides.loss = Some(value),
        Key::LatencyMs => overrides.latency_us = Some((value * 1e3).round() as u64),
        Key::Rounds => overrides.rounds = Some(value as u32),
    }
}

/// A buffer given in teams, once the team is known.
fn set_buffer(
    overrides: &mut Overrides,
    values: &[(Key, Value)],
    plan: &dyn Fn(&Overrides) -> Result<Plan, ScenarioError>,
) -> Result<(), SweepFailure> {
    for (_, value) in values {
        if let Value::Teams(teams) = value {
            let team = plan(overrides).map_err(|error| SweepFailure::Usage(error.0))?.initial;
            let buffer = (f64::from(team) * teams).round() as u32;
            overrides.buffer = Some(buffer.clamp(1, p2psp_core::wire::MAX_BUFFER_CHUNKS));
        }
    }
    Ok(())
}

fn measure(
    seeds: u32,
    mut overrides: Overrides,
    plan: &dyn Fn(&Overrides) -> Result<Plan, ScenarioError>,
    done: &mut dyn FnMut(u32),
) -> Result<String, SweepFailure> {
    let first = overrides.seed.unwrap_or(1);
    let (mut sum, mut squares) = (0.0, 0.0);
    let (mut least, mut most, mut worst) = (f64::MAX, -1.0, first);
    let (mut latency, mut transmissions, mut runs_done) = (0.0, 0, 0);
    for seed in (0..seeds).map(|n| first.wrapping_add(n.into())) {
        overrides.seed = Some(seed);
        let mut lab = Lab::new(plan(&overrides).map_err(|error| SweepFailure::Usage(error.0))?);
        lab.run();
        if let Some(violation) = lab.violation() {
            let (name, step) = (lab.name(violation.node), violation.step);
            let said = format!("seed {seed}, step {step}: {name} {}", violation.broken);
            return Err(SweepFailure::Broken(said));
        }
        let summary = Summary::of(&lab, 0.0);
        sum += summary.loss_ratio;
        squares += summary.loss_ratio * summary.loss_ratio;
        least = summary.loss_ratio.min(least);
        if summary.loss_ratio > most {
            (most, worst) = (summary.loss_ratio, seed);
        }
        latency += summary.latency_mean;
        transmissions += summary.transmissions;
        runs_done += 1;
        done(runs_done);
    }
    let runs = f64::from(seeds.max(1));
    let (mean, latency) = (sum / runs, latency / runs);
    // Of a sample: one run has no spread.
    let variance = (squares - sum * mean).max(0.0) / (runs - 1.0).max(1.0);
    let spread = variance.sqrt();
    Ok(format!(
        "{seeds},{mean:.6},{spread:.6},{least:.6},{most:.6},{worst},{latency:.3},{}",
        transmissions / u64::from(seeds.max(1))
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dimensions_are_read_or_turned_away() {
        let sweep: Sweep = "buffer=10,0.5N".parse().unwrap();
        assert_eq!(sweep.values, [Value::Plain(10.0), Value::Teams(0.5)]);
        for bad in ["peers", "peers=0", "peers=2.5", "loss=2", "colour=1", "peers=", "buffer=xN"] {
            assert!(bad.parse::<Sweep>().is_err(), "{bad}");
        }
    }

    #[test]
    fn every_combination_comes_once() {
        let sweeps = ["peers=2,3".parse().unwrap(), "loss=0,0.1,0.2".parse().unwrap()];
        let all: Vec<_> = (0..6).map(|point| values_at(&sweeps, point)).collect();
        assert_eq!(all[0], [(Key::Peers, Value::Plain(2.0)), (Key::Loss, Value::Plain(0.0))]);
        assert_eq!(all[4], [(Key::Peers, Value::Plain(3.0)), (Key::Loss, Value::Plain(0.1))]);
        assert!((1..6).all(|point| all[..point].iter().all(|one| *one != all[point])));
    }
}
