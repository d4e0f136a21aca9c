//! The lab on the screen: a run as a scene. It shows what a live team shows,
//! and two panels of its own: the step at hand, and how long chunks took.

mod cast;
mod keys;
mod latency;
mod step;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use self::cast::Cast;
pub use self::keys::Command;
use super::keys::{Binding, Tab};
use super::{App, Scene};
use crate::lab::export::{self, chart, picture};
use crate::lab::run::{Progress, Run, Stride, Until};
use crate::lab::scenario::Recipe;
use crate::lab::{Deed, Impossible, Name, view};
use crate::observe::{self, Snapshot};

/// The panels of its own.
const PANELS: [&str; 2] = ["Step", "Latency"];
/// How fast it runs: strides, and how many a second.
const SPEEDS: [(Stride, u32); 8] = [
    (Stride::Event, 1),
    (Stride::Event, 4),
    (Stride::Event, 10),
    (Stride::Chunk, 2),
    (Stride::Chunk, 5),
    (Stride::Chunk, 10),
    (Stride::Round, 2),
    (Stride::Round, 10),
];
/// The speed at first.
const FIRST_SPEED: usize = 1;
/// Steps of a run until something happens between two frames, at most, so that
/// keys are heard.
const SLICE_STEPS: u64 = 2_000;
/// How long it may run until something happens between two frames.
const SLICE: Duration = Duration::from_millis(60);
/// Largest number that can be asked for.
const MAX_DIGITS: u32 = 9;

/// What it does by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Nothing: it waits for keys.
    Stands,
    /// It runs; the next stride is due then.
    Runs { due: Instant },
    /// It runs until something happens.
    Waits { until: Until },
    /// A number is typed.
    Asks { chunk: Option<u32> },
}

/// A run on the screen.
#[derive(Debug)]
pub struct LabScene {
    pub(super) run: Run,
    recipe: Recipe,
    folder: PathBuf,
    mode: Mode,
    speed: usize,
    cast: Option<Cast>,
}

impl LabScene {
    /// A run that stands at the place that its recipe says. Files are saved in
    /// `folder`.
    pub fn new(recipe: Recipe, folder: &Path) -> LabScene {
        let mut run = Run::new(recipe.plan.clone(), recipe.script.clone());
        if recipe.position > 0 {
            run.go_to(recipe.position);
        }
        LabScene {
            run,
            recipe,
            folder: folder.to_owned(),
            mode: Mode::Stands,
            speed: FIRST_SPEED,
            cast: None,
        }
    }

    /// The run.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// What to tell of a run that was opened and did not come out as it was
    /// saved; nothing if it did.
    pub fn differs(&self) -> Option<String> {
        let expected = self.recipe.trace_hash?;
        (expected != self.run.lab().trace_hash()).then(|| {
            "this run was saved by another version, and comes out differently here".to_owned()
        })
    }

    fn perform(
        &mut self,
        command: Command,
        digit: u32,
        selected: Option<observe::Name>,
    ) -> Option<String> {
        if let Mode::Asks { chunk } = self.mode {
            return self.answer(command, digit, chunk);
        }
        if !matches!(command, Command::Run | Command::Faster | Command::Slower | Command::Record) {
            self.mode = Mode::Stands;
        }
        match command {
            Command::EventForward => self.forward(Stride::Event),
            Command::EventBack => self.back(Stride::Event),
            Command::ChunkForward => self.forward(Stride::Chunk),
            Command::ChunkBack => self.back(Stride::Chunk),
            Command::RoundForward => self.forward(Stride::Round),
            Command::RoundBack => self.back(Stride::Round),
            Command::Start => {
                self.run.go_to(0);
                None
            }
            Command::Run => self.run_or_stop(),
            Command::Faster => self.set_speed((self.speed + 1).min(SPEEDS.len() - 1)),
            Command::Slower => self.set_speed(self.speed.saturating_sub(1)),
            Command::UntilLoss => self.wait_for(Until::Loss),
            Command::UntilBroken => self.wait_for(Until::Broken),
            Command::AskChunk => {
                self.mode = Mode::Asks { chunk: None };
                Some(asked(None))
            }
            Command::Drop => self.by_hand(Deed::Drop),
            Command::Delay => self.by_hand(Deed::Delay(self.run.lab().plan().chunk_us)),
            Command::Double => self.by_hand(Deed::Duplicate),
            Command::Add => self.by_hand(Deed::Add),
            Command::Kill | Command::Leave | Command::Cheat | Command::Part => {
                let node = selected.and_then(observe::Name::number).map(|number| number as u16 + 1);
                let Some(node) = node else {
                    return Some("select a member first: ↑ ↓".to_owned());
                };
                self.by_hand(match command {
                    Command::Kill => Deed::Kill(node),
                    Command::Leave => Deed::Leave(node),
                    Command::Cheat => Deed::Cheat(node),
                    _ if self.run.lab().is_cut_off(node) => Deed::Heal(node),
                    _ => Deed::Part(node),
                })
            }
            Command::Forget => Some(match self.run.forget_what_follows() {
                0 => "nothing is done by hand after this place".to_owned(),
                1 => "forgotten: one thing done by hand after this place".to_owned(),
                many => format!("forgotten: {many} things done by hand after this place"),
            }),
            Command::SaveRun => Some(self.save_run()),
            Command::SavePicture => Some(self.save_picture()),
            Command::SaveChart => Some(self.save_chart()),
            Command::Record => Some(self.record()),
            Command::Digit | Command::Rubout | Command::Enter | Command::Cancel => None,
        }
    }

    // -- going --

    fn forward(&mut self, stride: Stride) -> Option<String> {
        (!self.run.forward(stride)).then(|| "the run is over: ← b B go back".to_owned())
    }

    fn back(&mut self, stride: Stride) -> Option<String> {
        (!self.run.back(stride)).then(|| "this is the beginning: → n N go forward".to_owned())
    }

    fn run_or_stop(&mut self) -> Option<String> {
        self.mode = match self.mode {
            Mode::Stands => Mode::Runs { due: Instant::now() },
            _ => Mode::Stands,
        };
        (self.mode != Mode::Stands).then(|| self.say_speed())
    }

    fn set_speed(&mut self, speed: usize) -> Option<String> {
        self.speed = speed;
        Some(self.say_speed())
    }

    fn say_speed(&self) -> String {
        let (stride, a_second) = SPEEDS[self.speed];
        format!("{a_second} {} a second: + faster, - slower", plural(stride))
    }

    fn wait_for(&mut self, until: Until) -> Option<String> {
        self.mode = Mode::Waits { until };
        Some("runs; Space stops it".to_owned())
    }

    fn answer(&mut self, command: Command, digit: u32, chunk: Option<u32>) -> Option<String> {
        let chunk = match command {
            Command::Digit if chunk.unwrap_or(0) < 10_u32.pow(MAX_DIGITS - 1) => {
                Some(10 * chunk.unwrap_or(0) + digit)
            }
            Command::Rubout => chunk.filter(|chunk| *chunk >= 10).map(|chunk| chunk / 10),
            Command::Enter => {
                self.mode = Mode::Stands;
                return self.go_to_chunk(chunk?);
            }
            Command::Cancel => {
                self.mode = Mode::Stands;
                return None;
            }
            _ => chunk,
        };
        self.mode = Mode::Asks { chunk };
        Some(asked(chunk))
    }

    fn go_to_chunk(&mut self, chunk: u32) -> Option<String> {
        if self.run.back_to_chunk(chunk) {
            return None;
        }
        self.wait_for(Until::Chunk(chunk))
    }

    /// Runs on until something happens, for a moment.
    fn go_on(&mut self, until: Until) {
        let start = Instant::now();
        while start.elapsed() < SLICE {
            match self.run.advance_until(until, SLICE_STEPS) {
                Progress::NotYet => {}
                Progress::Reached | Progress::Over => {
                    self.mode = Mode::Stands;
                    return;
                }
            }
        }
    }

    // -- by hand --

    fn by_hand(&mut self, deed: Deed) -> Option<String> {
        let later =
            self.run.script().iter().filter(|(step, _)| *step > self.run.position()).count();
        let name = |node: u16| -> Name { self.run.lab().name(node) };
        let why = match self.run.lab().can_do(deed) {
            Ok(()) => None,
            Err(Impossible::Over) => Some("the run is over: go back first".to_owned()),
            Err(Impossible::NothingUnderWay) => {
                Some("no datagram is under way: → until one is sent".to_owned())
            }
            Err(Impossible::NotThere(node)) => Some(format!("{} is not in the team", name(node))),
            Err(Impossible::NothingToDo(node)) => {
                Some(format!("{} is like that already", name(node)))
            }
            Err(Impossible::TooMany) => Some("that is too much for one run".to_owned()),
        };
        if why.is_some() {
            return why;
        }
        match (self.run.by_hand(deed), later) {
            (Err(_), _) => Some("that is too much for one run".to_owned()),
            (Ok(()), 0) => None,
            (Ok(()), _) => Some(format!("what was done by hand later is forgotten: {later}")),
        }
    }

    // -- files --

    fn save_run(&self) -> String {
        let text = self.recipe.save(&self.run);
        self.told(export::save(&self.folder, &self.recipe.plan.name, "toml", &text))
    }

    fn save_picture(&self) -> String {
        let text = picture::svg(&self.run);
        self.told(export::save(&self.folder, &self.recipe.plan.name, "svg", &text))
    }

    fn save_chart(&mut self) -> String {
        let text = chart::svg(&mut self.run);
        let name = format!("{}-chart", self.recipe.plan.name);
        self.told(export::save(&self.folder, &name, "svg", &text))
    }

    fn record(&mut self) -> String {
        match self.cast.take() {
            Some(cast) => {
                let name = &self.recipe.plan.name;
                self.told(export::save(&self.folder, name, "cast", &cast.finish()))
            }
            None => {
                self.cast = Some(Cast::new());
                "records the screen; R once more saves it".to_owned()
            }
        }
    }

    fn told(&self, saved: std::io::Result<PathBuf>) -> String {
        match saved {
            Ok(path) => {
                format!("saved {}", path.file_name().unwrap_or_default().to_string_lossy())
            }
            Err(error) => format!("can't save here ({error})"),
        }
    }
}

impl Scene for LabScene {
    fn snapshot(&mut self) -> Snapshot {
        view::snapshot(&mut self.run)
    }

    fn now(&self) -> f64 {
        self.run.lab().now_us() as f64 / 1e6
    }

    fn bindings(&self) -> &'static [Binding] {
        match self.mode {
            Mode::Asks { .. } => keys::ASKING,
            _ => keys::BINDINGS,
        }
    }

    fn panels(&self) -> &'static [&'static str] {
        &PANELS
    }

    fn first_tab(&self) -> Tab {
        Tab::Scene(0)
    }

    fn draw_panel(&self, panel: usize, frame: &mut Frame<'_>, area: Rect, app: &App) {
        match panel {
            0 => step::draw(frame, area, &self.run, app),
            _ => latency::draw(frame, area, &self.run, app),
        }
    }

    fn act(&mut self, command: u16, selected: Option<observe::Name>) -> Option<String> {
        let (command, digit) = Command::from_number(command)?;
        self.perform(command, digit, selected)
    }

    fn advance(&mut self) -> bool {
        match self.mode {
            Mode::Stands | Mode::Asks { .. } => return false,
            Mode::Waits { until } => self.go_on(until),
            Mode::Runs { due } => {
                let now = Instant::now();
                if now < due {
                    return false;
                }
                let (stride, a_second) = SPEEDS[self.speed];
                self.mode = match self.run.forward(stride) {
                    true => Mode::Runs { due: now + Duration::from_secs(1) / a_second },
                    false => Mode::Stands,
                };
            }
        }
        true
    }

    fn rest(&self) -> Duration {
        match self.mode {
            Mode::Stands | Mode::Asks { .. } => Duration::MAX,
            Mode::Runs { due } => due.saturating_duration_since(Instant::now()),
            Mode::Waits { .. } => Duration::ZERO,
        }
    }

    fn drawn(&mut self, picture: &Buffer) {
        if let Some(cast) = &mut self.cast {
            cast.take(picture);
        }
    }

    fn status(&self) -> String {
        let lab = self.run.lab();
        let mode = match self.mode {
            Mode::Stands | Mode::Asks { .. } => "",
            Mode::Runs { .. } => "runs  ",
            Mode::Waits { .. } => "runs on  ",
        };
        let recording = if self.cast.is_some() { "REC  " } else { "" };
        match (lab.ended(), self.run.chunk_time()) {
            (Some(_), _) => format!("{recording}over after {} steps", self.run.position()),
            (None, None) => format!("{recording}{mode}the beginning"),
            (None, Some(chunk)) => {
                format!("{recording}{mode}chunk {chunk}, step {}", self.run.position())
            }
        }
    }

    fn quit(&mut self) -> bool {
        if self.cast.is_some() {
            self.record();
        }
        false
    }
}

fn asked(chunk: Option<u32>) -> String {
    let typed = chunk.map_or(String::new(), |chunk| chunk.to_string());
    format!("to the end of chunk time: {typed}_   Enter goes there, Esc stays")
}

fn plural(stride: Stride) -> &'static str {
    match stride {
        Stride::Event => "events",
        Stride::Chunk => "chunk times",
        Stride::Round => "rounds",
    }
}
