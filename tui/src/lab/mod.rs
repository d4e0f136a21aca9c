//! The lab: a whole team in one thread and in virtual time.
//!
//! A [`Lab`] drives the same splitter and peers as the live program over a
//! network that exists only here: it delays, loses, repeats, reorders, parts.
//! It reads no clock and nothing random but its seed: a [`Plan`] makes the
//! same run on every machine, and a clone of a lab in mid-run goes on exactly
//! alike.
//!
//! [`Lab::step`] does one thing (a delivery, a chunk cut, a deadline, a join)
//! and tells it as an [`Event`]; [`Lab::effects`] tells what came of it. After
//! each step the rules that must always hold are checked ([`Broken`]).
//!
//! Time is counted from chunk 0, which is cut when all initial members have
//! joined, over a perfect network.

mod air;
mod arrivals;
pub mod explain;
pub mod export;
mod hand;
mod journal;
mod keyframes;
mod lans;
mod ledger;
mod link;
mod member;
mod plan;
mod queue;
pub mod report;
mod rng;
pub mod run;
mod samples;
pub mod scenario;
pub mod sim;
mod step;
pub mod sweep;
pub mod tables;
pub mod view;

use std::rc::Rc;
use std::sync::Arc;

use p2psp_core::{ChunkNumber, Key, NodeId, Splitter, SplitterConfig, TeamId};

use air::Air;
pub use arrivals::{ARRIVALS, Arrivals};
pub use hand::{Deed, Impossible, Script};
use journal::Journal;
pub use journal::{Effect, End, Event, EventKind, Outcome, Totals, Violation};
pub use lans::{GROUP, MAX_LANS};
pub use ledger::Broken;
pub use link::{Link, Loss};
pub use member::{Life, Member, SPLITTER, Seen};
pub use plan::Plan;
pub use queue::{Action, Brief};
use queue::{Agenda, Task};
pub(crate) use rng::Rng;

use crate::net::storage::SplitterStorage;

/// Length of a lab's chunks, in bytes. What is in them does not matter.
pub const CHUNK_BYTES: usize = p2psp_core::wire::MIN_CHUNK_BYTES;
/// The number of a lab's team.
const TEAM: TeamId = TeamId(0x1AB);

/// A team, its network and its future. A clone goes on exactly alike.
#[derive(Debug, Clone)]
pub struct Lab {
    plan: Arc<Plan>,
    splitter: SplitterStorage,
    /// The splitter's deadline that stands in the agenda.
    splitter_timer_us: Option<u64>,
    /// Shared with the clones of this lab until they change.
    members: Vec<Rc<Member>>,
    agenda: Agenda,
    air: Air,
    journal: Journal,
    /// How many of the initial members have begun to join.
    gathered: u16,
    cut: u32,
    ended: Option<End>,
    script: Script,
    checks_tables: bool,
}

impl Lab {
    /// A lab in which nothing has happened yet.
    pub fn new(plan: Plan) -> Lab {
        let config = SplitterConfig {
            team: TEAM,
            key: Key::new(seed_key(plan.seed)),
            chunk_bytes: CHUNK_BYTES as u16,
            buffer_chunks: plan.buffer_chunks,
            max_team: plan.max_team,
            max_losses: plan.max_losses,
            first_chunk: ChunkNumber::ZERO,
        };
        let members = (1..=plan.roles.len() as u16).filter_map(|node| plan.name_of(node));
        let mut agenda = Agenda::default();
        agenda.add(0, Task::Cut);
        for (at_us, action) in &plan.actions {
            agenda.add(*at_us, Task::Act(*action));
        }
        let mut lab = Lab {
            splitter: SplitterStorage::new(config),
            splitter_timer_us: None,
            members: members.map(|name| Rc::new(Member::new(name))).collect(),
            agenda,
            air: Air::new(&plan),
            journal: Journal::new(),
            gathered: 0,
            cut: 0,
            ended: None,
            script: Script::default(),
            checks_tables: cfg!(debug_assertions),
            plan: Arc::new(plan),
        };
        lab.start();
        lab
    }

    /// Whether to check after each step the tables of the node concerned, too,
    /// which costs its team. By itself in debug builds only.
    pub fn check_tables(&mut self, yes: bool) {
        self.checks_tables = yes;
    }

    // -- views --

    /// What is played here.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What came of the last step, in order.
    pub fn effects(&self) -> &[Effect] {
        &self.journal.effects
    }

    /// The time, in microseconds after chunk 0.
    pub fn now_us(&self) -> u64 {
        self.air.now_us
    }

    /// The time, in chunk times after chunk 0.
    pub fn chunk_times(&self, at_us: u64) -> f64 {
        at_us as f64 / self.plan.chunk_us as f64
    }

    /// How many steps were done.
    pub fn steps(&self) -> u64 {
        self.journal.steps
    }

    /// Datagrams under way.
    pub fn under_way(&self) -> usize {
        self.air.packets.len()
    }

    /// Why the run is over, if it is.
    pub fn ended(&self) -> Option<End> {
        self.ended
    }

    /// The first rule that was broken, if one was.
    pub fn violation(&self) -> Option<&Violation> {
        self.journal.violation.as_ref()
    }

    /// How many chunks the splitter has cut.
    pub fn chunks_cut(&self) -> u32 {
        self.cut
    }

    /// Sums over the run so far.
    pub fn totals(&self) -> &Totals {
        &self.journal.totals
    }

    /// A hash of all transmissions and plays so far, in order and with their
    /// times: the same on every machine.
    pub fn trace_hash(&self) -> u64 {
        self.journal.trace_hash()
    }

    /// A hash of everything that matters from here on: two labs with the same
    /// one are in the same state. It walks all tables: slow.
    pub fn state_hash(&self) -> u64 {
        struct Sink(std::hash::DefaultHasher);
        impl std::fmt::Write for Sink {
            fn write_str(&mut self, text: &str) -> std::fmt::Result {
                std::hash::Hasher::write(&mut self.0, text.as_bytes());
                Ok(())
            }
        }
        let mut sink = Sink(std::hash::DefaultHasher::new());
        let state = Lab { script: Script::default(), ..self.clone() };
        let written = std::fmt::write(&mut sink, format_args!("{state:?}"));
        debug_assert!(written.is_ok(), "the sink takes everything");
        std::hash::Hasher::finish(&sink.0)
    }

    /// About how much memory this takes that is not shared with `other`, in
    /// bytes.
    pub(super) fn bytes_beside(&self, other: &Lab) -> usize {
        let shared = |place: usize, member: &Rc<Member>| {
            other.members.get(place).is_some_and(|one| Rc::ptr_eq(one, member))
        };
        let own = self.members.iter().enumerate().filter(|(place, one)| !shared(*place, one));
        let members: usize = own.map(|(_, member)| member.bytes()).sum();
        let rest = self.splitter.bytes() + self.air.packets.bytes() + 8 * self.members.len();
        members + rest + size_of::<Lab>()
    }

    /// The splitter.
    pub fn splitter(&mut self) -> Splitter<'_> {
        self.splitter.splitter()
    }

    /// All members that the scenario knows, in the order of their names; the
    /// index of the first is 1.
    pub fn members(&self) -> &[Rc<Member>] {
        &self.members
    }

    /// The member with this index.
    pub fn member_mut(&mut self, node: u16) -> Option<&mut Member> {
        self.members.get_mut(usize::from(node).checked_sub(1)?).map(Rc::make_mut)
    }

    /// A node's name: `S`, `M0`, `P1` …; of [`GROUP`], `LAN`.
    pub fn name(&self, node: u16) -> Name {
        match self.plan.name_of(node) {
            Some(id) => Name::Member(id),
            None if node == GROUP => Name::Lan,
            None => Name::Splitter,
        }
    }
}

/// A node's name, to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    /// The splitter.
    Splitter,
    /// The group of a LAN.
    Lan,
    /// A member.
    Member(NodeId),
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Name::Splitter => f.write_str("S"),
            Name::Lan => f.write_str("LAN"),
            Name::Member(id) => id.fmt(f),
        }
    }
}

fn seed_key(seed: u64) -> [u8; 16] {
    let mut rng = Rng::new(seed);
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&rng.bits().to_le_bytes());
    bytes[8..].copy_from_slice(&rng.bits().to_le_bytes());
    bytes
}
