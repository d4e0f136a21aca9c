//! A run that one walks about in: forward and back by event, chunk time and
//! round, to any step at once; by hand; until something happens.
//!
//! Positions are numbers of steps done. A [`Run`] stands at one of them, with
//! the state of the lab there, and keeps the *move at hand*: the events of the
//! last event, chunk time or round before it, and what they changed. Where it
//! came from makes no difference to what it shows.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use super::explain::explain;
use super::hand::{Deed, Impossible, MAX_DEEDS, Script};
use super::keyframes::Keyframes;
use super::samples::Samples;
use super::tables::{Change, Tables};
use super::{Effect, End, Event, Lab, Member, Plan};
use crate::observe::History;

/// Steps of the move at hand that are kept with what came of them; of a longer
/// one only the last.
pub const MAX_AT_HAND: usize = 4096;
/// Steps of the move at hand that are told in sentences, the first ones.
pub const MAX_TOLD: usize = 256;
/// From one keyframe to the next on the way forward, in steps; at least, and
/// for each member.
const KEYFRAME_STEPS: (u64, u64) = (4096, 32);
/// How far before the goal of a way back keyframes are kept, in steps: further
/// ways back will be short.
const KEYFRAMES_BEHIND: [u64; 6] = [16_384, 4096, 1024, 256, 64, 16];
/// Larger teams keep none farther than so many steps before: nearly all members
/// change from there on, and copying them takes longer than playing on.
const LARGE_TEAM: usize = 256;
/// A move by hand begins with a keyframe if the last one is farther away.
const NEAR_STEPS: u64 = 64;

/// How far one goes at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stride {
    /// One step of the lab: a delivery, a chunk cut, a deadline …
    Event,
    /// To the end of a chunk time: all that happens before the next chunk.
    Chunk,
    /// To the end of a round: as many chunk times as the team had members when
    /// it began.
    Round,
}

/// What one waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// A member loses a chunk.
    Loss,
    /// The end of this chunk time.
    Chunk(u32),
    /// A rule is broken, or the run is over.
    Broken,
}

/// How waiting stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It has come.
    Reached,
    /// The run is over, and it has not come.
    Over,
    /// Not yet: call again.
    NotYet,
}

/// The move at hand.
#[derive(Debug, Default)]
pub struct AtHand {
    /// The position before it.
    pub from: u64,
    /// Its last events and what came of each, oldest first.
    pub steps: VecDeque<(Event, Vec<Effect>)>,
    /// Its first sentences: an event, and what happened in it.
    pub told: Vec<(Event, String)>,
    /// The members before it.
    pub before: Vec<Rc<Member>>,
}

impl AtHand {
    /// The last event.
    pub fn last(&self) -> Option<&(Event, Vec<Effect>)> {
        self.steps.back()
    }

    /// Everything that came of it, in order.
    pub fn effects(&self) -> impl Iterator<Item = &Effect> {
        self.steps.iter().flat_map(|(_, effects)| effects)
    }

    /// The members that it has changed, by index.
    pub fn touched<'a>(&'a self, lab: &'a Lab) -> impl Iterator<Item = u16> + 'a {
        let unchanged = |place: usize, member: &Rc<Member>| {
            self.before.get(place).is_some_and(|before| Rc::ptr_eq(before, member))
        };
        let all = lab.members().iter().enumerate();
        all.filter(move |(place, one)| !unchanged(*place, one)).map(|(place, _)| place as u16 + 1)
    }
}

/// The beginning of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Round {
    /// The chunk time it begins with.
    start: u64,
    /// The chunk time after its last.
    end: u64,
}

/// A run, and a place in it.
#[derive(Debug)]
pub struct Run {
    lab: Lab,
    script: Script,
    frames: Keyframes,
    at_hand: AtHand,
    /// For each chunk time that was reached: how many steps were done before
    /// it. All that happens before chunk 0 counts as chunk time 0.
    marks: Vec<u64>,
    rounds: Vec<Round>,
    /// For each chunk time that is over.
    samples: Samples,
    stride: Stride,
}

impl Run {
    /// A run in which nothing has happened yet, with what will be done by hand
    /// in it.
    pub fn new(plan: Plan, script: Vec<(u64, Deed)>) -> Run {
        let script = Arc::new(script);
        let mut lab = Lab::new(plan);
        lab.set_script(Arc::clone(&script));
        let mut run = Run {
            lab,
            script,
            frames: Keyframes::default(),
            at_hand: AtHand::default(),
            marks: vec![0],
            rounds: Vec::new(),
            samples: Samples::default(),
            stride: Stride::Event,
        };
        run.begin_move(Stride::Event);
        run
    }

    // -- going --

    /// Goes forward; `false` if the run is over.
    pub fn forward(&mut self, stride: Stride) -> bool {
        let Some(next) = self.next_chunk_time() else { return false };
        self.begin_move(stride);
        self.advance();
        match stride {
            Stride::Event => {}
            Stride::Chunk => while self.next_chunk_time() == Some(next) && self.advance() {},
            Stride::Round => {
                let end = self.round_of(next).end;
                while self.next_chunk_time().is_some_and(|next| next < end) && self.advance() {}
            }
        }
        true
    }

    /// Goes back; `false` at the beginning. What is shown then is the move of
    /// the same size that led there.
    pub fn back(&mut self, stride: Stride) -> bool {
        let here = self.position();
        if here == 0 {
            return false;
        }
        let to = self.start_of(here, stride);
        self.show(self.start_of(to, stride), to, stride);
        true
    }

    /// Goes to a position, or to the end if that comes before. Shows the event
    /// that led there.
    pub fn go_to(&mut self, step: u64) {
        if step > self.position() {
            self.begin_move(Stride::Event);
            while self.position() < step && self.pass().is_some() {}
        }
        let to = step.min(self.position());
        self.show(to.saturating_sub(1), to, Stride::Event);
    }

    /// Goes back to the end of a chunk time that is over already; `false` if it
    /// is not.
    pub fn back_to_chunk(&mut self, chunk: u32) -> bool {
        match self.marks.get(chunk as usize + 1).copied() {
            Some(end) if end <= self.position() => {
                self.show(self.start_of(end, Stride::Chunk), end, Stride::Chunk);
                true
            }
            _ => false,
        }
    }

    /// Goes on until something happens, for at most so many steps. When it has
    /// come, shows the event with which it came.
    pub fn advance_until(&mut self, until: Until, max_steps: u64) -> Progress {
        self.stride = Stride::Event;
        self.at_hand = AtHand { from: self.position(), ..AtHand::default() };
        for _ in 0..max_steps {
            if let Until::Chunk(chunk) = until
                && self.next_chunk_time().is_some_and(|next| next > chunk.into())
            {
                return self.arrived(Progress::Reached);
            }
            if self.pass().is_none() {
                let broken = matches!(self.lab.ended(), Some(End::Violation));
                let reached = until == Until::Broken && broken;
                return self.arrived(if reached { Progress::Reached } else { Progress::Over });
            }
            let lost = |effect: &Effect| matches!(effect, Effect::Lost { .. });
            if until == Until::Loss && self.lab.effects().iter().any(lost) {
                return self.arrived(Progress::Reached);
            }
        }
        Progress::NotYet
    }

    fn arrived(&mut self, progress: Progress) -> Progress {
        let here = self.position();
        self.show(here.saturating_sub(1), here, Stride::Event);
        progress
    }

    // -- by hand --

    /// Does something by hand, as the next step. What was to be done by hand
    /// later is forgotten.
    ///
    /// # Errors
    ///
    /// [`Impossible`], and nothing is changed.
    pub fn by_hand(&mut self, deed: Deed) -> Result<(), Impossible> {
        self.lab.can_do(deed)?;
        if self.script.len() >= MAX_DEEDS {
            return Err(Impossible::TooMany);
        }
        self.forget_what_follows();
        let step = self.position() + 1;
        Arc::make_mut(&mut self.script).push((step, deed));
        self.lab.set_script(Arc::clone(&self.script));
        self.forward(Stride::Event);
        Ok(())
    }

    /// Forgets what is still to be done by hand after this position; tells how
    /// many deeds that were.
    pub fn forget_what_follows(&mut self) -> usize {
        let here = self.position();
        self.frames.forget_after(here);
        // A mark says that the step after it belongs to its chunk time: the
        // step after this position may become another.
        self.marks.truncate(self.marks.partition_point(|mark| *mark < here).max(1));
        self.samples.truncate(self.marks.len() - 1);
        let reached = self.marks.len() as u64;
        self.rounds.retain(|round| round.start < reached);
        let done = self.script.partition_point(|(step, _)| *step <= here);
        let forgotten = self.script.len() - done;
        if forgotten > 0 {
            Arc::make_mut(&mut self.script).truncate(done);
            self.lab.set_script(Arc::clone(&self.script));
        }
        forgotten
    }

    // -- views --

    /// The lab as it is here.
    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    /// The lab as it is here, to look into its nodes.
    pub fn lab_mut(&mut self) -> &mut Lab {
        &mut self.lab
    }

    /// How many steps were done.
    pub fn position(&self) -> u64 {
        self.lab.steps()
    }

    /// How many chunk times were reached so far.
    pub fn chunk_times_known(&self) -> usize {
        self.marks.len()
    }

    /// The chunk time that this position belongs to; `None` at the beginning.
    pub fn chunk_time(&self) -> Option<u64> {
        self.chunk_time_of(self.position())
    }

    /// The move that led here.
    pub fn at_hand(&self) -> &AtHand {
        &self.at_hand
    }

    /// The size of that move.
    pub fn stride(&self) -> Stride {
        self.stride
    }

    /// What was and will be done by hand.
    pub fn script(&self) -> &[(u64, Deed)] {
        &self.script
    }

    /// About how much memory the keyframes take besides the lab, in bytes.
    pub fn keyframe_bytes(&self) -> usize {
        self.frames.bytes(&self.lab)
    }

    /// The chunk time that a position belongs to, if it was reached.
    pub fn chunk_time_known(&self, position: u64) -> Option<u64> {
        self.chunk_time_of(position)
    }

    /// What the move at hand has changed, of at most so many members.
    pub fn changes(&self, members: usize) -> Vec<Change> {
        let of = |member: u16| {
            let before = self.at_hand.before.get(usize::from(member) - 1);
            let before = before.map_or_else(Tables::default, |before| Tables::of(before));
            let now = Tables::of(&self.lab.members()[usize::from(member) - 1]);
            now.changes_since(&before, &self.lab, member)
        };
        self.at_hand.touched(&self.lab).take(members).flat_map(of).collect()
    }

    /// How the numbers went in the chunk times before this one.
    pub fn samples(&self) -> History {
        self.samples.history(self.chunk_time().map_or(0, |chunk_time| chunk_time as usize))
    }

    /// All steps from the beginning of chunk time `first` to this position,
    /// with what came of each; of more than `most` the last.
    pub fn history(&mut self, first: u64, most: usize) -> VecDeque<(Event, Vec<Effect>)> {
        let here = self.position();
        let start = self.marks.get(first as usize).copied().unwrap_or(0).min(here);
        let (from, stride) = (self.at_hand.from, self.stride);
        let mut all = VecDeque::new();
        self.restore(start);
        while self.position() < here {
            let Some(event) = self.lab.step() else { break };
            if all.len() == most {
                all.pop_front();
            }
            all.push_back((event, self.lab.effects().to_vec()));
        }
        self.show(from, here, stride);
        all
    }

    // -- inside --

    /// The chunk time of the next step.
    fn next_chunk_time(&self) -> Option<u64> {
        Some(self.lab.next_us()? / self.lab.plan().chunk_us)
    }

    fn chunk_time_of(&self, position: u64) -> Option<u64> {
        (position > 0).then(|| self.marks.partition_point(|mark| *mark < position) as u64 - 1)
    }

    fn round_of(&self, chunk_time: u64) -> Round {
        let after = self.rounds.partition_point(|round| round.start <= chunk_time);
        self.rounds.get(after.saturating_sub(1)).copied().unwrap_or(Round { start: 0, end: 1 })
    }

    /// Where the move of this size begins that ends at `position`.
    fn start_of(&self, position: u64, stride: Stride) -> u64 {
        let Some(chunk_time) = self.chunk_time_of(position) else { return 0 };
        match stride {
            Stride::Event => position - 1,
            Stride::Chunk => self.marks[chunk_time as usize],
            Stride::Round => self.marks[self.round_of(chunk_time).start as usize],
        }
    }

    /// Goes to `to`, with all from `from` on as the move at hand.
    fn show(&mut self, from: u64, to: u64, stride: Stride) {
        self.restore(from);
        self.begin_move(stride);
        while self.position() < to && self.advance() {}
    }

    /// Stands at a position at or before the last one known.
    fn restore(&mut self, step: u64) {
        if step < self.position()
            && let Some(frame) = self.frames.before(step)
        {
            self.lab = frame.clone();
            self.lab.set_script(Arc::clone(&self.script));
        }
        let large = self.lab.members().len() > LARGE_TEAM;
        let mut stops = KEYFRAMES_BEHIND
            .iter()
            .filter(|behind| !large || **behind <= LARGE_TEAM as u64)
            .filter_map(|behind| step.checked_sub(*behind));
        let mut stop = stops.find(|stop| *stop > self.position());
        while self.position() < step && self.lab.step().is_some() {
            if stop == Some(self.position()) {
                self.frames.keep(&self.lab);
                stop = stops.next();
            }
        }
    }

    fn begin_move(&mut self, stride: Stride) {
        let here = self.position();
        if self.frames.before(here).is_none_or(|frame| here - frame.steps() >= NEAR_STEPS) {
            self.frames.keep(&self.lab);
        }
        self.stride = stride;
        self.at_hand =
            AtHand { from: here, before: self.lab.members().to_vec(), ..AtHand::default() };
    }

    /// One step of the move at hand.
    fn advance(&mut self) -> bool {
        let Some(event) = self.pass() else { return false };
        if self.at_hand.steps.len() == MAX_AT_HAND {
            self.at_hand.steps.pop_front();
        }
        if self.at_hand.told.len() < MAX_TOLD {
            self.at_hand.told.push((event, explain(&self.lab, &event, self.lab.effects())));
        }
        self.at_hand.steps.push_back((event, self.lab.effects().to_vec()));
        true
    }

    /// One step.
    fn pass(&mut self) -> Option<Event> {
        let begun = self.marks.len();
        let is_over = self.next_chunk_time().is_some_and(|next| next >= begun as u64);
        // What is done by hand still belongs to the chunk time before.
        if is_over && self.samples.len() < begun && self.lab.deed_at(self.position() + 1).is_none()
        {
            self.samples.take(&mut self.lab);
        }
        let event = self.lab.step()?;
        let here = self.position();
        let chunk_time = event.at_us / self.lab.plan().chunk_us;
        while self.marks.len() as u64 <= chunk_time {
            self.marks.push(here - 1);
        }
        // The step was to be earlier, but nothing came of that.
        while self.samples.len() + 1 < self.marks.len() {
            self.samples.take(&mut self.lab);
        }
        if self.rounds.last().is_none_or(|round| round.end <= chunk_time) {
            let size = self.lab.splitter().team_size().max(1) as u64;
            self.rounds.push(Round { start: chunk_time, end: chunk_time + size });
        }
        let (least, for_each) = KEYFRAME_STEPS;
        if here.is_multiple_of(least.max(for_each * self.lab.members().len() as u64)) {
            self.frames.keep(&self.lab);
        }
        Some(event)
    }
}
