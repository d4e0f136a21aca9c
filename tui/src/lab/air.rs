//! Between the nodes: takes what a node sends and decides its fate.

use std::sync::Arc;

use p2psp_core::wire::{self, Message};
use p2psp_core::{Instant, Transmit};

use super::journal::{Effect, Journal};
use super::lans::{GROUP, Lans, node_at};
use super::ledger::Broken;
use super::link::{Fate, Links};
use super::plan::Plan;
use super::queue::{Brief, Packets};
use super::rng::Rng;

/// The network, and the time.
#[derive(Debug, Clone)]
pub(super) struct Air {
    pub(super) packets: Packets,
    pub(super) links: Links,
    pub(super) lans: Arc<Lans>,
    pub(super) rng: Rng,
    pub(super) now_us: u64,
    /// Until chunk 0 is cut the network is perfect.
    pub(super) open: bool,
}

impl Air {
    pub(super) fn new(plan: &Plan) -> Air {
        let mut links = Links::new(plan.link);
        for (from, to, link) in &plan.own_links {
            links.set(*from, *to, *link);
        }
        Air {
            packets: Packets::default(),
            links,
            lans: Arc::new(Lans::new(&plan.lans)),
            rng: Rng::new(plan.seed),
            now_us: 0,
            open: false,
        }
    }

    /// The core's time.
    pub(super) fn now(&self) -> Instant {
        Instant::from_micros(self.now_us)
    }

    /// Takes the datagram that `from` has written at `slot`; tells what it
    /// says. A selfish sender's chunks go nowhere.
    pub(super) fn take(
        &mut self,
        journal: &mut Journal,
        from: u16,
        selfish: bool,
        slot: u32,
        transmit: Transmit,
    ) -> Brief {
        let to = node_at(transmit.to);
        let packet = self.packets.at_mut(slot);
        packet.len = transmit.len as u8;
        (packet.from, packet.to, packet.multicast) = (from, to, false);
        packet.brief = match wire::decode(&packet.bytes[..transmit.len]).map(|one| one.message) {
            Ok(Message::Chunk { number, origin, .. }) => {
                if to == from {
                    journal.check(self.now_us, from, Err(Broken::SentToOneself(number)));
                } else if from != super::SPLITTER && node_at(origin) == to {
                    journal.check(self.now_us, from, Err(Broken::SentToOrigin(number)));
                } else if to == GROUP && node_at(origin) != from {
                    journal.check(self.now_us, from, Err(Broken::MulticastOfOther(number)));
                }
                Brief::Chunk(number)
            }
            Ok(Message::Hello { .. }) => Brief::Hello,
            Ok(Message::Goodbye { .. }) => Brief::Goodbye,
            Ok(Message::Lost { number }) => Brief::Lost(number),
            _ => Brief::Other,
        };
        let brief = packet.brief;
        if let (true, Brief::Chunk(chunk)) = (selfish, brief) {
            journal.note(Effect::Kept { from, to, chunk });
            self.packets.release(slot);
            return brief;
        }
        journal.sent(self.now_us, from, to, brief);
        if to == GROUP {
            self.multicast(journal, slot);
        } else {
            self.launch(journal, slot);
        }
        brief
    }

    /// One datagram to the group: a copy to each that is in the sender's LAN,
    /// each with a fate of its own.
    fn multicast(&mut self, journal: &mut Journal, slot: u32) {
        let from = self.packets.at(slot).from;
        let lans = self.lans.clone();
        for hearer in lans.hearers(from) {
            let copy = self.packets.reserve();
            let mut packet = self.packets.at(slot).clone();
            (packet.to, packet.multicast) = (hearer, true);
            *self.packets.at_mut(copy) = packet;
            self.launch(journal, copy);
        }
        self.packets.release(slot);
    }

    fn launch(&mut self, journal: &mut Journal, slot: u32) {
        let packet = self.packets.at(slot);
        let (from, to, brief) = (packet.from, packet.to, packet.brief);
        let fate = match self.open {
            true => self.links.send(self.now_us, from, to, &mut self.rng),
            false => Fate::Arrives { after_us: 0, again_us: None },
        };
        match fate {
            Fate::Lost(loss) => {
                journal.note(Effect::Dropped { from, to, brief, loss });
                journal.totals.dropped += 1;
                self.packets.release(slot);
            }
            Fate::Arrives { after_us, again_us } => {
                self.packets.send(slot, self.now_us, after_us);
                if let Some(again_us) = again_us {
                    let twin = self.packets.reserve();
                    *self.packets.at_mut(twin) = self.packets.at(slot).clone();
                    self.packets.send(twin, self.now_us, again_us);
                }
            }
        }
    }
}
