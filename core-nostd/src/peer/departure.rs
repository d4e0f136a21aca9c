//! What a peer sends, and when (3.3, 3.6, 5.5, 5.6, 7.1).
//!
//! Nothing is queued as bytes: what is due stands in the tables, and each
//! datagram is planned and then written when the driver asks for it.

use core::net::SocketAddr;

use super::state::{HELLO_INTERVAL, LEAVE_RETRY, MAX_GOODBYES, Phase, SPLITTER_SILENCE};
use super::{MYSELF, Peer, PeerEvent};
use crate::buffer::NOBODY;
use crate::node::{Departure, Transmit};
use crate::sets;
use crate::wire::{self, Message};
use crate::{ChunkNumber, Instant, Tag};

/// The next datagram.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Plan {
    HelloSplitter,
    GoodbyeSplitter,
    Hello(u16),
    /// A `[hello]` to the group, from one who had no chunk for it (9).
    HelloGroup,
    /// A question to an origin that only a third party has named.
    Rumour(SocketAddr),
    Goodbye(u16),
    Complaint(ChunkNumber),
    Chunk {
        place: u16,
        number: ChunkNumber,
    },
}

impl Plan {
    pub(super) fn is_for(&self, neighbour: usize) -> bool {
        match self {
            Plan::Hello(place) | Plan::Goodbye(place) | Plan::Chunk { place, .. } => {
                usize::from(*place) == neighbour
            }
            _ => false,
        }
    }
}

impl Peer<'_> {
    /// Decides on the next datagram and tells where it goes.
    pub(super) fn plan(&mut self) -> Option<SocketAddr> {
        if self.core.plan.is_none() {
            self.core.plan = self.next_plan();
        }
        let plan = self.core.plan?;
        let to = self.destination(plan);
        debug_assert!(to.is_some(), "a plan is dropped with its neighbour");
        to
    }

    /// Writes the datagram that [`Peer::plan`] has decided on.
    pub(super) fn transmit(&mut self, buf: &mut [u8]) -> Option<Transmit> {
        loop {
            let to = self.plan()?;
            let plan = self.core.plan.take()?;
            if let Some(len) = self.write(plan, buf) {
                self.note_sent(plan);
                return Some(Transmit { to, len });
            }
        }
    }

    fn write(&self, plan: Plan, buf: &mut [u8]) -> Option<usize> {
        let id = self.core.id;
        let rules = self.rules();
        let hello = |answer, unicast, status| Message::Hello { id, answer, rules, unicast, status };
        let (tag, message) = match plan {
            Plan::HelloSplitter => (self.core.splitter_tag, hello(false, false, self.core.status)),
            Plan::HelloGroup => (self.core.group_tag, hello(false, false, None)),
            Plan::GoodbyeSplitter => (self.core.splitter_tag, goodbye(id)),
            Plan::Complaint(number) => (self.core.splitter_tag, Message::Lost { number }),
            Plan::Hello(place) => {
                let (_, neighbour) = self.neighbours.get(usize::from(place))?;
                let unicast = neighbour.reach.wants_unicast();
                (neighbour.tag, hello(false, unicast, None))
            }
            Plan::Rumour(endpoint) => (self.core.key.tag(endpoint), hello(true, false, None)),
            Plan::Goodbye(place) => (self.tag_of(place), goodbye(id)),
            Plan::Chunk { place, number } => {
                let (origin, payload) = self.buffer.get(number)?;
                let (origin, _) = self.neighbours.get(usize::from(origin))?;
                (self.tag_of(place), Message::Chunk { number, origin, payload })
            }
        };
        let len = wire::encode(self.core.team, tag, message, buf);
        debug_assert!(len.is_ok(), "the driver's buffer is too short");
        len.ok()
    }

    fn note_sent(&mut self, plan: Plan) {
        match plan {
            Plan::Chunk { place, .. } => {
                self.core.stats.chunks_sent += 1;
                self.core.multicast |= self.core.group == place;
                if let Some(neighbour) = self.neighbours.get_mut(usize::from(place)) {
                    neighbour.sent = neighbour.sent.saturating_add(1);
                }
            }
            Plan::Complaint(_) => self.core.stats.complaints += 1,
            _ => {}
        }
    }

    /// Says goodbye (7.1): to the splitter first, then to the neighbours, and
    /// sends what is pending without waiting for chunks to come.
    pub(super) fn start_leaving(&mut self, now: Instant) {
        match self.core.phase {
            Phase::Member => {}
            Phase::Leaving => return,
            Phase::Outside | Phase::Joining => {
                self.core.end();
                self.core.event(PeerEvent::Left { answered: false });
                return;
            }
        }
        self.core.phase = Phase::Leaving;
        self.core.tick = None;
        self.core.part_splitter = true;
        self.core.goodbyes = 1;
        self.core.leave_retry = Some(now + LEAVE_RETRY);
        self.sets.clear_row(sets::GREET);
    }

    /// Time for the `[goodbye]`s to the neighbours, after which the peer is out.
    /// Until now chunks that the splitter sent before it knew were forwarded.
    pub(super) fn depart(&mut self, answered: bool) {
        self.core.departing = Some(answered);
        self.core.leave_retry = None;
        // When the whole team ends, the splitter says that to everyone, and a
        // neighbour that is a moment later may still have something for me.
        if !self.core.ended {
            let group = self.group_place();
            for (place, ..) in self.neighbours.iter() {
                if place != MYSELF && Some(place) != group {
                    self.sets.insert(sets::FAREWELL, place);
                }
            }
        }
    }

    /// Out of the team; if the stream has ended, plays out what there is.
    fn finish_leaving(&mut self, answered: bool) {
        if self.core.ended {
            self.buffer.drain();
        }
        self.core.end();
        self.core.event(PeerEvent::Left { answered });
    }

    pub(super) fn expire(&mut self, now: Instant) {
        if self.core.tick.is_some_and(|tick| tick <= now) {
            self.core.tick = Some(now + HELLO_INTERVAL);
            self.core.greet_splitter = true;
            self.greet_again();
            self.tick_lan();
            if now.since(self.core.heard_splitter) >= SPLITTER_SILENCE {
                self.core.heard_splitter = now;
                self.core.event(PeerEvent::SplitterSilent);
            }
        }
        if self.core.leave_retry.is_some_and(|retry| retry <= now) {
            if self.core.goodbyes >= MAX_GOODBYES {
                self.depart(self.core.ended);
            } else {
                self.core.goodbyes += 1;
                self.core.part_splitter = true;
                self.core.leave_retry = Some(now + LEAVE_RETRY);
            }
        }
    }

    /// Members of the list that were never heard may not have got the first
    /// `[hello]`.
    fn greet_again(&mut self) {
        if !core::mem::take(&mut self.core.ungreeted) {
            return;
        }
        for place in MYSELF + 1..self.neighbours.capacity() {
            let Some(neighbour) = self.neighbours.get_mut(place) else { continue };
            if neighbour.heard.is_none() && neighbour.greetings > 0 {
                self.greet(place);
                self.core.ungreeted = true;
            }
        }
    }

    fn next_plan(&mut self) -> Option<Plan> {
        if core::mem::take(&mut self.core.part_splitter) {
            return Some(Plan::GoodbyeSplitter);
        }
        match self.core.phase {
            Phase::Outside | Phase::Joining => return None,
            Phase::Leaving => return self.next_leaving_plan(),
            Phase::Member => {}
        }
        // A joiner greets the splitter last: from then on chunks come.
        if self.core.greets {
            if let Some(place) = self.sets.first(sets::GREET) {
                self.sets.remove(sets::GREET, place);
                if let Some(neighbour) = self.neighbours.get_mut(place) {
                    neighbour.greetings = neighbour.greetings.saturating_sub(1);
                }
                return Some(Plan::Hello(place as u16));
            }
            self.core.greets = false;
        }
        if core::mem::take(&mut self.core.greet_splitter) {
            return Some(Plan::HelloSplitter);
        }
        if core::mem::take(&mut self.core.greet_group) {
            return Some(Plan::HelloGroup);
        }
        if let Some(number) = self.core.complaints.pop_front() {
            return Some(Plan::Complaint(number));
        }
        if let Some(endpoint) = self.core.rumours.pop_front() {
            return Some(Plan::Rumour(endpoint));
        }
        self.next_chunk_plan()
    }

    /// Everything pending, without waiting for chunks to serve with (7.1);
    /// then, when it is time, `[goodbye]` to the neighbours.
    fn next_leaving_plan(&mut self) -> Option<Plan> {
        while let Some(place) = self.sets.first(sets::BUSY) {
            if let Some(plan) = self.take_pending(place) {
                return Some(plan);
            }
            self.sets.remove(sets::BUSY, place);
        }
        let answered = self.core.departing?;
        if let Some(place) = self.sets.first(sets::FAREWELL) {
            self.sets.remove(sets::FAREWELL, place);
            return Some(Plan::Goodbye(place as u16));
        }
        self.finish_leaving(answered);
        None
    }

    /// A chunk received lets me serve one neighbour: all that is pending for
    /// it, oldest first, in one burst (5.5).
    fn next_chunk_plan(&mut self) -> Option<Plan> {
        loop {
            if let Some(place) = self.core.serving {
                if let Some(plan) = self.take_pending(usize::from(place)) {
                    return Some(plan);
                }
                self.sets.remove(sets::BUSY, usize::from(place));
                self.core.serving = None;
            }
            if self.core.credits == 0 {
                return None;
            }
            self.core.credits -= 1;
            let Some(next) = self.next_neighbour() else {
                // The chunk at hand serves now or never: nothing is saved up.
                self.core.credits = 0;
                return None;
            };
            if usize::from(self.core.newcomer) == next {
                self.core.newcomer = NOBODY;
            }
            self.core.serving = Some(next as u16);
            self.core.last_served = next as u16;
        }
    }

    /// Whose turn it is (5.6): the one heard from for the first time, then
    /// round robin; those with nothing pending are passed over.
    fn next_neighbour(&self) -> Option<usize> {
        let newcomer = usize::from(self.core.newcomer);
        if self.core.newcomer != NOBODY && self.sets.contains(sets::BUSY, newcomer) {
            return Some(newcomer);
        }
        self.sets.next_after(sets::BUSY, usize::from(self.core.last_served))
    }

    /// The oldest chunk pending for a neighbour that is still in the buffer.
    fn take_pending(&mut self, place: usize) -> Option<Plan> {
        let neighbour = self.neighbours.get_mut(place)?;
        while let Some(number) = self.pending.pop(&mut neighbour.pending) {
            match self.buffer.get(number) {
                Some((origin, _)) if origin != NOBODY => {
                    return Some(Plan::Chunk { place: place as u16, number });
                }
                _ => self.core.stats.pending_stale += 1,
            }
        }
        None
    }

    fn destination(&self, plan: Plan) -> Option<SocketAddr> {
        match plan {
            Plan::HelloSplitter | Plan::GoodbyeSplitter | Plan::Complaint(_) => self.core.splitter,
            Plan::HelloGroup => self.core.lan.map(|lan| lan.group),
            Plan::Rumour(endpoint) => Some(endpoint),
            Plan::Hello(place) | Plan::Goodbye(place) | Plan::Chunk { place, .. } => {
                self.neighbours.get(usize::from(place)).map(|(endpoint, _)| endpoint)
            }
        }
    }

    fn tag_of(&self, place: u16) -> Tag {
        self.neighbours.get(usize::from(place)).map_or(Tag::NONE, |(_, neighbour)| neighbour.tag)
    }
}

fn goodbye(id: crate::NodeId) -> Message<'static> {
    Message::Goodbye { id, reason: Departure::Goodbye }
}
