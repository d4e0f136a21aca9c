//! What is still to come: datagrams under way and the tasks of the clock.
//!
//! Order: by time; at one instant first the datagrams, in the order in which
//! they were sent, until the network is quiet; then one task. So without delay
//! everything that follows from a task has happened before the next.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use p2psp_core::ChunkNumber;

/// Longest datagram of a lab: a chunk of [`CHUNK_BYTES`](super::CHUNK_BYTES)
/// over IPv4 with what is around it, and a few bytes to spare.
pub(super) const PACKET_BYTES: usize = 48;

/// What a datagram says, in brief.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Brief {
    /// A chunk.
    Chunk(ChunkNumber),
    /// `[hello]`.
    Hello,
    /// `[goodbye]`.
    Goodbye,
    /// A complaint about this chunk.
    Lost(ChunkNumber),
    /// Anything else.
    Other,
}

/// A datagram.
#[derive(Debug, Clone)]
pub(super) struct Packet {
    pub(super) bytes: [u8; PACKET_BYTES],
    pub(super) len: u8,
    pub(super) from: u16,
    pub(super) to: u16,
    /// A copy of what was sent to the group of a LAN.
    pub(super) multicast: bool,
    pub(super) brief: Brief,
}

impl Packet {
    pub(super) const EMPTY: Packet = Packet {
        bytes: [0; PACKET_BYTES],
        len: 0,
        from: 0,
        to: 0,
        multicast: false,
        brief: Brief::Other,
    };
}

/// Datagrams under way. They stay where they are written until delivered.
#[derive(Debug, Clone, Default)]
pub(super) struct Packets {
    slots: Vec<Packet>,
    free: Vec<u32>,
    /// Those that arrive at this very instant, in order.
    now: VecDeque<u32>,
    later: BinaryHeap<Reverse<(u64, u64, u32)>>,
    serial: u64,
}

impl Packets {
    /// A place to write a datagram into.
    pub(super) fn reserve(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.slots.push(Packet::EMPTY);
            (self.slots.len() - 1) as u32
        })
    }

    /// The datagram at a place.
    pub(super) fn at(&self, slot: u32) -> &Packet {
        &self.slots[slot as usize]
    }

    /// The datagram at a place, to write it.
    pub(super) fn at_mut(&mut self, slot: u32) -> &mut Packet {
        &mut self.slots[slot as usize]
    }

    /// Sends the datagram at a place on its way.
    pub(super) fn send(&mut self, slot: u32, now_us: u64, after_us: u64) {
        if after_us == 0 {
            self.now.push_back(slot);
        } else {
            self.serial += 1;
            self.later.push(Reverse((now_us.saturating_add(after_us), self.serial, slot)));
        }
    }

    /// Gives a place back.
    pub(super) fn release(&mut self, slot: u32) {
        self.free.push(slot);
    }

    /// When the next one arrives, and its place.
    pub(super) fn next(&self, now_us: u64) -> Option<(u64, u32)> {
        let later = self.later.peek().map(|Reverse((at_us, _, slot))| (*at_us, *slot));
        match (self.now.front(), later) {
            (Some(slot), None) => Some((now_us, *slot)),
            (Some(slot), Some((at_us, _))) if at_us > now_us => Some((now_us, *slot)),
            (_, later) => later,
        }
    }

    /// Takes the next one, which arrives at `at_us`. Those that were under way
    /// before come before those sent at this instant.
    pub(super) fn pop(&mut self, at_us: u64) -> Option<u32> {
        if let Some(Reverse((due_us, _, slot))) = self.later.peek().copied()
            && due_us <= at_us
        {
            self.later.pop();
            return Some(slot);
        }
        self.now.pop_front()
    }

    /// About how much memory they take, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.slots.len() * size_of::<Packet>()
    }

    /// How many are under way.
    pub(super) fn len(&self) -> usize {
        self.now.len() + self.later.len()
    }
}

/// What the clock has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Task {
    /// Something of the scenario.
    Act(Action),
    /// A deadline of a node.
    Timer(u16),
    /// The next chunk.
    Cut,
}

/// What a scenario, or whoever plays with the lab, makes happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// A member asks the splitter to join.
    Join(u16),
    /// It has got the answer.
    Enter(u16),
    /// It leaves in good order.
    Leave(u16),
    /// It dies without a word.
    Crash(u16),
    /// From now on it forwards nothing.
    Cheat(u16),
    /// A partition of the scenario begins.
    Part(u16),
    /// It ends.
    Heal(u16),
}

/// The tasks, in order of time; at one instant actions, then deadlines, then
/// the next chunk.
#[derive(Debug, Clone, Default)]
pub(super) struct Agenda {
    tasks: BinaryHeap<Reverse<(u64, u8, u64, Task)>>,
    serial: u64,
}

impl Agenda {
    pub(super) fn add(&mut self, at_us: u64, task: Task) {
        let rank = match task {
            Task::Act(_) => 0,
            Task::Timer(_) => 1,
            Task::Cut => 2,
        };
        self.serial += 1;
        self.tasks.push(Reverse((at_us, rank, self.serial, task)));
    }

    /// When the next one is due.
    pub(super) fn next_us(&self) -> Option<u64> {
        self.tasks.peek().map(|Reverse((at_us, ..))| *at_us)
    }

    /// The next one, and when it is due.
    pub(super) fn next(&self) -> Option<(u64, Task)> {
        self.tasks.peek().map(|Reverse((at_us, .., task))| (*at_us, *task))
    }

    pub(super) fn pop(&mut self) -> Option<Task> {
        self.tasks.pop().map(|Reverse((.., task))| task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_come_by_time_then_in_the_order_sent() {
        let mut packets = Packets::default();
        let mut slots = Vec::new();
        for after_us in [5, 3, 5, 0, 3, 0] {
            let slot = packets.reserve();
            packets.send(slot, 10, after_us);
            slots.push(slot);
        }
        let mut order = Vec::new();
        let mut now_us = 10;
        while let Some(at_us) = packets.next(now_us).map(|(at_us, _)| at_us) {
            now_us = at_us;
            let slot = packets.pop(now_us).expect("is due");
            order.push((now_us, slots.iter().position(|one| *one == slot).expect("ours")));
            packets.release(slot);
            if order.len() == 3 {
                // Sent at an instant at which others arrive: after them.
                let slot = packets.reserve();
                slots.push(slot);
                packets.send(slot, now_us, 0);
            }
        }
        // The place of the first one is used again for the last.
        assert_eq!(order.len(), 7);
        assert_eq!(order[..4], [(10, 3), (10, 5), (13, 1), (13, 4)]);
        assert_eq!(order[4].0, 13);
        assert_eq!(order[5..], [(15, 0), (15, 2)]);
        assert_eq!((packets.len(), packets.next(now_us)), (0, None));
    }

    #[test]
    fn at_one_instant_actions_come_before_deadlines_and_the_chunk_last() {
        let mut agenda = Agenda::default();
        let tasks =
            [Task::Cut, Task::Timer(2), Task::Act(Action::Join(4)), Task::Act(Action::Join(3))];
        for task in tasks {
            agenda.add(5, task);
        }
        agenda.add(4, Task::Cut);
        let order: Vec<_> = std::iter::from_fn(|| agenda.pop()).collect();
        let expected = [Task::Cut, tasks[2], tasks[3], Task::Timer(2), Task::Cut];
        assert_eq!(order, expected);
    }
}
