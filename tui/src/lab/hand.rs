//! What is done by hand: the next datagram dropped, delayed or doubled, a peer
//! killed, added, cut off.
//!
//! A deed is a step of the run like any other. Those of a run are its
//! *script*: each has the number of its step, so that a run that is played
//! again, or opened from a file, does them again at the same place.

use std::rc::Rc;
use std::sync::Arc;

use p2psp_core::Role;

use super::journal::Effect;
use super::link::Loss;
use super::member::{Life, Member};
use super::queue::{Action, Brief};
use super::scenario::MAX_MEMBERS;
use super::{EventKind, Lab};

/// Most deeds of one run.
pub const MAX_DEEDS: usize = 100_000;
/// Partitions made by hand are numbered from here: one for each node.
const FIRST_ISLAND: usize = 1 << 32;

/// Something done by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Deed {
    /// The network loses the next datagram.
    Drop,
    /// The next datagram comes so many microseconds later.
    Delay(u64),
    /// The next datagram comes twice.
    Duplicate,
    /// This member dies without a word.
    Kill(u16),
    /// This member leaves in good order (7.1).
    Leave(u16),
    /// From now on this member forwards nothing.
    Cheat(u16),
    /// A new peer asks to join.
    Add,
    /// This member is cut off from all others.
    Part(u16),
    /// It no longer is.
    Heal(u16),
}

/// Deeds with the numbers of their steps, in order.
pub type Script = Arc<Vec<(u64, Deed)>>;

/// Why something can't be done by hand now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Impossible {
    /// The run is over.
    Over,
    /// No datagram is under way.
    NothingUnderWay,
    /// This one is not in the team.
    NotThere(u16),
    /// It is cut off already, or it is not.
    NothingToDo(u16),
    /// There are as many members as a lab can have, or as many deeds.
    TooMany,
}

impl Lab {
    /// Sets what is done by hand from here on. What is to be done at steps
    /// that are over is not done any more.
    pub fn set_script(&mut self, script: Script) {
        self.script = script;
    }

    /// Whether this can be done now.
    ///
    /// # Errors
    ///
    /// [`Impossible`]
    pub fn can_do(&self, deed: Deed) -> Result<(), Impossible> {
        if self.ended.is_some() {
            return Err(Impossible::Over);
        }
        let life = |node: u16| {
            let place = usize::from(node).checked_sub(1);
            place.and_then(|place| self.members.get(place)).map(|member| member.life)
        };
        let there = |node| match life(node) {
            Some(Life::Present | Life::Asking) => Ok(()),
            _ => Err(Impossible::NotThere(node)),
        };
        match deed {
            Deed::Drop | Deed::Delay(_) | Deed::Duplicate if self.under_way() == 0 => {
                Err(Impossible::NothingUnderWay)
            }
            Deed::Drop | Deed::Delay(_) | Deed::Duplicate => Ok(()),
            Deed::Kill(node) | Deed::Leave(node) => there(node),
            Deed::Cheat(node) => {
                there(node)?;
                match self.members[usize::from(node) - 1].selfish {
                    true => Err(Impossible::NothingToDo(node)),
                    false => Ok(()),
                }
            }
            Deed::Add if self.members.len() >= MAX_MEMBERS => Err(Impossible::TooMany),
            Deed::Add => Ok(()),
            Deed::Part(node) | Deed::Heal(node) => {
                life(node).ok_or(Impossible::NotThere(node))?;
                match self.is_cut_off(node) == matches!(deed, Deed::Part(_)) {
                    true => Err(Impossible::NothingToDo(node)),
                    false => Ok(()),
                }
            }
        }
    }

    /// Whether this member was cut off by hand.
    pub fn is_cut_off(&self, node: u16) -> bool {
        self.air.links.has_partition(FIRST_ISLAND + usize::from(node))
    }

    /// The deed that the script has for the step with this number.
    pub(super) fn deed_at(&self, step: u64) -> Option<Deed> {
        if self.script.is_empty() {
            return None;
        }
        let place = self.script.binary_search_by_key(&step, |(step, _)| *step).ok()?;
        Some(self.script[place].1)
    }

    /// Does a deed; one that is not possible has no effect.
    pub(super) fn do_by_hand(&mut self, deed: Deed) -> EventKind {
        if self.can_do(deed).is_ok() {
            match deed {
                Deed::Drop | Deed::Delay(_) | Deed::Duplicate => self.seize_next(deed),
                Deed::Kill(node) => drop(self.act(Action::Crash(node))),
                Deed::Leave(node) => drop(self.act(Action::Leave(node))),
                Deed::Cheat(node) => drop(self.act(Action::Cheat(node))),
                Deed::Add => self.add_peer(),
                Deed::Part(node) => {
                    let mut island = vec![false; self.members.len() + 1];
                    island[usize::from(node)] = true;
                    self.air.links.part(FIRST_ISLAND + usize::from(node), island);
                }
                Deed::Heal(node) => self.air.links.heal(FIRST_ISLAND + usize::from(node)),
            }
        }
        EventKind::ByHand(deed)
    }

    /// Interferes with the datagram that arrives next.
    fn seize_next(&mut self, deed: Deed) {
        let now_us = self.air.now_us;
        let packets = &mut self.air.packets;
        let Some((at_us, slot)) = packets.next(now_us) else { return };
        let wait_us = at_us.saturating_sub(now_us);
        let packet = packets.at(slot);
        let (from, to, brief) = (packet.from, packet.to, packet.brief);
        match deed {
            Deed::Drop => {
                packets.pop(at_us);
                packets.release(slot);
                self.journal.note(Effect::Dropped { from, to, brief, loss: Loss::ByHand });
                self.journal.totals.dropped += 1;
            }
            Deed::Delay(by_us) => {
                packets.pop(at_us);
                packets.send(slot, now_us, wait_us.saturating_add(by_us));
                self.journal.note(Effect::Delayed { from, to, brief, by_us });
            }
            _ => {
                let twin = packets.reserve();
                *packets.at_mut(twin) = packets.at(slot).clone();
                packets.send(twin, now_us, wait_us);
                self.journal.note(Effect::Duplicated { from, to, brief });
            }
        }
    }

    fn add_peer(&mut self) {
        let plan = Arc::make_mut(&mut self.plan);
        plan.roles.push(Role::Peer);
        let node = plan.roles.len() as u16;
        let join_us = plan.join_us;
        if let Some(name) = self.plan.name_of(node) {
            self.members.push(Rc::new(Member::new(name)));
            self.join(node, join_us);
        }
    }

    /// What the next datagram says, its sender and its receiver.
    pub fn next_datagram(&self) -> Option<(u16, u16, Brief)> {
        let (_, slot) = self.air.packets.next(self.air.now_us)?;
        let packet = self.air.packets.at(slot);
        Some((packet.from, packet.to, packet.brief))
    }
}
