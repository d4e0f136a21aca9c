//! What happened: the effects of the step at hand, totals, the trace's hash
//! and the first rule that was broken.

use p2psp_core::wire::Refusal;
use p2psp_core::{ChunkNumber, Departure, Reject};

use super::hand::Deed;
use super::ledger::Broken;
use super::link::Loss;
use super::member::SPLITTER;
use super::queue::Brief;
use crate::observe::ratio;

/// What one step of a lab was. What came of it: [`Effect`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// When, in microseconds after chunk 0.
    pub at_us: u64,
    /// What.
    pub kind: EventKind,
}

/// The kinds of steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// The splitter answers a member that asks to join (3.1, 3.2).
    Asked {
        /// The member.
        member: u16,
        /// Why it may not, or can't be reached.
        refusal: Option<Refusal>,
    },
    /// A member has got the splitter's answer, and says hello (3.3).
    Entered {
        /// The member.
        member: u16,
    },
    /// The splitter cuts a chunk (2).
    Cut {
        /// The chunk.
        chunk: ChunkNumber,
        /// Who gets it; nobody without a team.
        origin: Option<u16>,
    },
    /// A datagram arrives.
    Delivered {
        /// Its sender.
        from: u16,
        /// Its receiver.
        to: u16,
        /// What it says.
        brief: Brief,
        /// Whether it was sent to the group of a LAN.
        multicast: bool,
        /// What the receiver made of it.
        outcome: Outcome,
    },
    /// A deadline of a node has come.
    Timer {
        /// The node.
        node: u16,
    },
    /// A member begins to leave (7.1).
    Leaves {
        /// The member.
        member: u16,
    },
    /// A member dies.
    Crashed {
        /// The member.
        member: u16,
    },
    /// A member stops forwarding.
    Cheats {
        /// The member.
        member: u16,
    },
    /// A partition begins.
    Parted {
        /// Its place in the scenario.
        partition: u16,
    },
    /// A partition ends.
    Healed {
        /// Its place in the scenario.
        partition: u16,
    },
    /// Something was done by hand.
    ByHand(Deed),
    /// The run is over.
    Ended(End),
}

impl EventKind {
    /// The node that it happens to.
    pub fn node(&self) -> u16 {
        match *self {
            EventKind::Asked { member, .. }
            | EventKind::Entered { member }
            | EventKind::Leaves { member }
            | EventKind::Crashed { member }
            | EventKind::Cheats { member } => member,
            EventKind::Delivered { to, .. } => to,
            EventKind::Timer { node } => node,
            _ => SPLITTER,
        }
    }
}

/// What a receiver made of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It took it in.
    Taken,
    /// It is a chunk that was there already (5.1).
    Duplicate,
    /// It is a chunk whose turn is over (5.1).
    Late,
    /// It turned it away.
    Rejected(Reject),
    /// There is nobody any more.
    Unheard,
}

/// Why a run is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// All chunks were cut and had their time.
    Chunks,
    /// The time is over.
    Time,
    /// So many chunks were lost as the scenario waits for.
    Losses,
    /// A rule was broken.
    Violation,
}

/// What came of a step, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// A datagram was sent.
    Sent {
        /// Its sender.
        from: u16,
        /// Its receiver, or [`GROUP`](super::GROUP).
        to: u16,
        /// What it says.
        brief: Brief,
    },
    /// The network lost it.
    Dropped {
        /// Its sender.
        from: u16,
        /// Its receiver.
        to: u16,
        /// What it says.
        brief: Brief,
        /// Why.
        loss: Loss,
    },
    /// A datagram was delayed by hand.
    Delayed {
        /// Its sender.
        from: u16,
        /// Its receiver.
        to: u16,
        /// What it says.
        brief: Brief,
        /// By how many microseconds.
        by_us: u64,
    },
    /// A datagram was doubled by hand.
    Duplicated {
        /// Its sender.
        from: u16,
        /// Its receiver.
        to: u16,
        /// What it says.
        brief: Brief,
    },
    /// A selfish member kept a chunk to itself.
    Kept {
        /// The member.
        from: u16,
        /// Who should have got it.
        to: u16,
        /// The chunk.
        chunk: ChunkNumber,
    },
    /// A member stored a chunk.
    Stored {
        /// The member.
        member: u16,
        /// The chunk.
        chunk: ChunkNumber,
    },
    /// A member starts to play.
    Playing {
        /// The member.
        member: u16,
        /// With this chunk.
        first: ChunkNumber,
    },
    /// A member played a chunk.
    Played {
        /// The member.
        member: u16,
        /// The chunk.
        chunk: ChunkNumber,
    },
    /// A chunk had not come when its turn came.
    Lost {
        /// The member.
        member: u16,
        /// The first such chunk.
        chunk: ChunkNumber,
        /// How many in a row.
        chunks: u32,
    },
    /// The splitter took a member into the team.
    Joined {
        /// The member.
        member: u16,
    },
    /// The splitter took a member out of the team.
    Left {
        /// The member.
        member: u16,
        /// Why.
        reason: Departure,
    },
}

/// A broken rule: who broke it and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Violation {
    /// The step in which it was seen.
    pub step: u64,
    /// The time, in microseconds.
    pub at_us: u64,
    /// The node.
    pub node: u16,
    /// The rule.
    pub broken: Broken,
}

/// Sums over a whole run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Chunks sent, by the splitter and by peers.
    pub transmissions: u64,
    /// Other datagrams sent.
    pub messages: u64,
    /// Datagrams that the network lost.
    pub dropped: u64,
    /// Chunks played, by all peers.
    pub played: u64,
    /// Chunks lost, by all peers, after each had started to play.
    pub lost: u64,
}

impl Totals {
    /// Lost of all that were to be played; 0 if none were.
    pub fn loss_ratio(&self) -> f64 {
        ratio(self.lost, self.played + self.lost)
    }
}

/// Takes down what happens.
#[derive(Debug, Clone)]
pub(super) struct Journal {
    pub(super) effects: Vec<Effect>,
    pub(super) totals: Totals,
    pub(super) violation: Option<Violation>,
    pub(super) steps: u64,
    hash: u64,
}

/// The constants of FNV-1a, which is done here by words.
const HASH_START: u64 = 0xCBF2_9CE4_8422_2325;
const HASH_PRIME: u64 = 0x0000_0100_0000_01B3;

impl Journal {
    pub(super) fn new() -> Journal {
        Journal {
            effects: Vec::new(),
            totals: Totals::default(),
            violation: None,
            steps: 0,
            hash: HASH_START,
        }
    }

    pub(super) fn note(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    pub(super) fn sent(&mut self, at_us: u64, from: u16, to: u16, brief: Brief) {
        self.effects.push(Effect::Sent { from, to, brief });
        if let Brief::Chunk(chunk) = brief {
            self.totals.transmissions += 1;
            self.trace(at_us << 1, from, to, chunk);
        } else {
            self.totals.messages += 1;
        }
    }

    pub(super) fn played(&mut self, at_us: u64, member: u16, chunk: ChunkNumber) {
        self.effects.push(Effect::Played { member, chunk });
        self.totals.played += 1;
        self.trace(at_us << 1 | 1, member, member, chunk);
    }

    pub(super) fn lost(&mut self, member: u16, chunk: ChunkNumber, chunks: u32) {
        self.effects.push(Effect::Lost { member, chunk, chunks });
        self.totals.lost += u64::from(chunks);
    }

    /// Keeps the first breach.
    pub(super) fn check(&mut self, at_us: u64, node: u16, result: Result<(), Broken>) {
        if let (Err(broken), None) = (result, self.violation) {
            self.violation = Some(Violation { step: self.steps, at_us, node, broken });
        }
    }

    /// The hash of all transmissions and plays, in order.
    pub(super) fn trace_hash(&self) -> u64 {
        self.hash
    }

    fn trace(&mut self, time: u64, from: u16, to: u16, chunk: ChunkNumber) {
        let what = u64::from(from) << 48 | u64::from(to) << 32 | u64::from(chunk.get());
        for word in [time, what] {
            self.hash = (self.hash ^ word).wrapping_mul(HASH_PRIME);
            self.hash ^= self.hash >> 32;
        }
    }
}
