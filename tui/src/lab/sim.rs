//! `p2psp-tui sim`: plays a scenario to its end and reports.

use std::io::{self, Write};
use std::sync::Arc;

use super::report::{self, Summary};
use super::scenario::{self, Overrides, Recipe, ScenarioError};
use super::sweep::{self, Sweep, SweepFailure};
use super::{Lab, Plan};

/// Takes how much of the work is done, 0 to 1; `None` before something is
/// written.
pub type Progress<'a> = &'a mut dyn FnMut(Option<f64>);

/// Steps from one word on the progress to the next.
const PROGRESS_STEPS: u64 = 1 << 15;

/// What to play, and how to report.
#[derive(Debug, Clone, Default)]
pub struct SimOptions {
    /// A scenario built in or a file; without: a full mesh.
    pub scenario: Option<String>,
    /// What the command line says over the scenario.
    pub overrides: Overrides,
    /// One JSON object a line; else a table.
    pub json: bool,
    /// With these, many runs and a line of CSV for each combination.
    pub sweeps: Vec<Sweep>,
    /// Seeds of each combination of a sweep.
    pub seeds: u32,
}

/// Why there is no report.
#[derive(Debug)]
pub enum SimFailure {
    /// What was asked for can't be played.
    Usage(String),
    /// It went wrong at work.
    Failed(String),
}

impl SimOptions {
    /// What is to be played, and what is done by hand in it.
    fn recipe(&self) -> Result<Recipe, ScenarioError> {
        match &self.scenario {
            Some(name) => scenario::open(name, &self.overrides),
            None => scenario::read("mesh", "", &self.overrides),
        }
    }

    fn plan_with(&self, overrides: &Overrides) -> Result<Plan, ScenarioError> {
        match &self.scenario {
            Some(name) => scenario::load(name, overrides),
            None => scenario::parse("mesh", "", overrides),
        }
    }
}

/// Plays and reports to `out`. `elapsed` tells the wall-clock seconds since
/// the start: nothing else in a report depends on the clock.
///
/// # Errors
///
/// A scenario that can't be played, a reader that has gone, a broken rule.
pub fn run(
    options: &SimOptions,
    out: &mut dyn Write,
    elapsed: &dyn Fn() -> f64,
    progress: Progress<'_>,
) -> Result<(), SimFailure> {
    if !options.sweeps.is_empty() {
        return run_sweep(options, out, progress);
    }
    let recipe = options.recipe().map_err(|error| SimFailure::Usage(error.to_string()))?;
    let mut lab = Lab::new(recipe.plan);
    lab.set_script(Arc::new(recipe.script));
    match play(&mut lab, options.json, out, elapsed, progress) {
        Ok(()) => {}
        // Whoever read has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
        Err(error) => return Err(SimFailure::Failed(format!("can't write: {error}"))),
    }
    match lab.violation() {
        None => Ok(()),
        Some(violation) => Err(SimFailure::Failed(format!(
            "at chunk time {:.3}, step {}: {} {}",
            lab.chunk_times(violation.at_us),
            violation.step,
            lab.name(violation.node),
            violation.broken
        ))),
    }
}

fn run_sweep(
    options: &SimOptions,
    out: &mut dyn Write,
    progress: Progress<'_>,
) -> Result<(), SimFailure> {
    let plan = |overrides: &Overrides| options.plan_with(overrides);
    match sweep::run(&options.sweeps, options.seeds, &options.overrides, &plan, out, progress) {
        Ok(()) => Ok(()),
        Err(SweepFailure::Usage(reason)) => Err(SimFailure::Usage(reason)),
        Err(SweepFailure::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(SweepFailure::Write(error)) => Err(SimFailure::Failed(format!("can't write: {error}"))),
        Err(SweepFailure::Broken(reason)) => Err(SimFailure::Failed(reason)),
    }
}

fn play(
    lab: &mut Lab,
    json: bool,
    out: &mut dyn Write,
    elapsed: &dyn Fn() -> f64,
    progress: Progress<'_>,
) -> io::Result<()> {
    while lab.step().is_some() {
        if lab.steps().is_multiple_of(PROGRESS_STEPS) {
            progress(Some(f64::from(lab.chunks_cut()) / f64::from(lab.plan().chunks)));
        }
        if json {
            report::write_effects(lab, out)?;
        }
    }
    progress(None);
    let summary = Summary::of(lab, elapsed());
    match json {
        true => report::write_summary(lab, &summary, out)?,
        false => report::write_table(lab, &summary, out)?,
    }
    out.flush()
}
