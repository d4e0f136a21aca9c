//! The splitter: numbers the chunks, gives each to one member of the team,
//! takes in joiners and removes who is gone or selfish (2, 3, 7, 8.1).
//!
//! The join dialogue runs over TCP, in the driver: [`Splitter::admit`] makes
//! an [`Admission`], from which the driver takes the answers. The joiner is a
//! member when its first `[hello]` arrives.

mod state;
mod view;

use core::net::SocketAddr;

pub use state::{
    Admission, History, Member, PushError, SplitterConfig, SplitterEvent, SplitterState,
    SplitterStats,
};
use state::{HELLO_SILENCE, Joining, Plan, SplitterCore, TICK};
pub use view::MemberView;

use crate::buffer::NOBODY;
use crate::endpoints::{Endpoints, Entry, Link};
use crate::node::{Departure, Node, NodeId, Reject, Role, Rules, Transmit};
use crate::time::{Instant, earlier};
use crate::wire::{self, Message, Refusal, Welcome};
use crate::{BadTitle, ChunkNumber, PlayerStatus, Tag, Title};

/// The memory that a splitter lives in. All of its state is here: who copies
/// it copies the splitter.
#[derive(Debug)]
pub struct SplitterMemory<'s> {
    /// Everything that is no table.
    pub state: &'s mut SplitterState,
    /// One for each member; the team can't be larger.
    pub members: &'s mut [Entry<Member>],
    /// As many as `members`.
    pub links: &'s mut [Link],
    /// As many as `members`: the join order.
    pub order: &'s mut [u16],
    /// The origins of the last chunks (2.3); more than `2B` plus the largest
    /// team, so that a complaint finds its chunk.
    pub history: &'s mut [History],
    /// The length of a chunk.
    pub payload: &'s mut [u8],
}

/// A splitter, in borrowed memory.
#[derive(Debug)]
pub struct Splitter<'s> {
    core: &'s mut SplitterCore,
    members: Endpoints<'s, Member>,
    order: &'s mut [u16],
    history: &'s mut [History],
    payload: &'s mut [u8],
}

impl<'s> Splitter<'s> {
    /// The splitter that lives in this memory: a new one in new memory, or the
    /// one that was there before.
    ///
    /// # Panics
    ///
    /// If a slice is shorter than the configuration needs: the memory was laid
    /// out wrongly.
    pub fn new(memory: SplitterMemory<'s>) -> Splitter<'s> {
        let SplitterMemory { state, members, links, order, history, payload } = memory;
        let config = &state.core.config;
        assert!(payload.len() >= usize::from(config.chunk_bytes), "a chunk does not fit");
        assert!(members.len() >= usize::from(config.max_team), "the team does not fit");
        assert!(links.len() >= members.len(), "links and members differ");
        assert!(order.len() >= members.len(), "join order and members differ");
        assert!(history.len() > usize::from(config.max_team), "the history is too short");
        Splitter {
            core: &mut state.core,
            members: Endpoints::new(&mut state.members, links, members),
            order,
            history,
            payload,
        }
    }

    // -- commands --

    /// Starts the clock of a new splitter.
    pub fn start(&mut self, now: Instant) {
        self.core.tick.get_or_insert(now + TICK);
    }

    /// Takes in a joiner's request (3.1): who it is and what it gets to know.
    /// `endpoint` is the address of its connection with the port it named;
    /// `rules` are those by which it will play.
    ///
    /// # Errors
    ///
    /// Why it can't join (3.5).
    pub fn admit(
        &mut self,
        now: Instant,
        endpoint: SocketAddr,
        role: Role,
        rules: Rules,
        trusted: bool,
    ) -> Result<Admission, Refusal> {
        if self.core.stopping {
            return Err(Refusal::Stopping);
        }
        if role == Role::Monitor && !trusted {
            return Err(Refusal::NotTrusted);
        }
        if self.is_full(endpoint) {
            return Err(Refusal::TeamFull);
        }
        let id = NodeId { role, number: self.core.next_number };
        self.core.next_number += 1;
        let key = self.core.config.key.of_member(endpoint, id.number);
        self.core.remember_joining(Joining { endpoint, id, rules, since: now });
        Ok(Admission { id, endpoint, key })
    }

    /// The welcome for an admitted joiner (3.2); the driver adds header and
    /// names.
    pub fn welcome<'a>(
        &self,
        admission: &Admission,
        header_bytes: u32,
        content_type: &'a str,
        name: &'a str,
    ) -> Welcome<'a> {
        Welcome {
            id: admission.id,
            you: admission.endpoint,
            key: admission.key,
            group_tag: self.core.config.key.group_tag(),
            chunk_bytes: self.core.config.chunk_bytes,
            buffer_chunks: self.core.config.buffer_chunks,
            max_team: self.core.config.max_team,
            header_bytes,
            content_type,
            name,
        }
    }

    /// The list of members for an admitted joiner, in join order (3.2), and
    /// after them those who are about to be: two who join at the same time
    /// must know each other, too. A member that is just joining again from its
    /// endpoint stands there as what it is about to be.
    pub fn list<'a>(
        &'a self,
        admission: &'a Admission,
    ) -> impl Iterator<Item = wire::Acquaintance> + 'a {
        let earlier = |joining: &&Joining| joining.id.number < admission.id.number;
        let members = self.places().filter_map(move |place| {
            let (endpoint, member) = self.members.get(place)?;
            let mut joining = self.core.joining.iter().filter(earlier);
            let again = joining.find(|joining| joining.endpoint == endpoint);
            let member = (member.id, member.rules);
            Some((endpoint, again.map_or(member, |joining| (joining.id, joining.rules))))
        });
        let joining = self.core.joining.iter().filter(earlier);
        let joining = joining
            .filter(|joining| self.members.find(joining.endpoint).is_none())
            .map(|joining| (joining.endpoint, (joining.id, joining.rules)));
        let room = usize::from(self.core.config.max_team) - 1;
        members
            .chain(joining)
            .filter(|(endpoint, _)| *endpoint != admission.endpoint)
            .take(room)
            .map(|(endpoint, (id, rules))| {
                let key = self.core.config.key.of_member(endpoint, id.number);
                wire::Acquaintance { id, endpoint, rules, tag: key.tag(admission.endpoint) }
            })
    }

    /// Cuts the next chunk: numbers it and sends it to the next member, round
    /// robin in join order (2.2). Tells its number and origin; without a team
    /// the number is used up, so that numbers go on telling the place in the
    /// stream.
    ///
    /// # Errors
    ///
    /// [`PushError`] if the payload's length is out of range or the chunk
    /// before it was not yet sent; the number is not used then.
    pub fn push_chunk(
        &mut self,
        payload: &[u8],
    ) -> Result<(ChunkNumber, Option<NodeId>), PushError> {
        if payload.is_empty() || payload.len() > usize::from(self.core.config.chunk_bytes) {
            return Err(PushError::Length);
        }
        if self.core.outgoing.is_some() || matches!(self.core.plan, Some(Plan::Chunk(_))) {
            return Err(PushError::NotDrained);
        }
        let number = self.core.next_chunk;
        self.core.next_chunk = number.next();
        self.core.stats.bytes_in += payload.len() as u64;
        let place = self.next_origin();
        let slot = number.get() as usize % self.history.len();
        self.history[slot] = History { number, place: NOBODY, id: 0 };
        let Some(place) = place else {
            self.core.stats.chunks_unsent += 1;
            return Ok((number, None));
        };
        let Some(member) = self.members.get_mut(place) else { return Ok((number, None)) };
        let id = member.id;
        member.chunks += 1;
        if member.chunks.is_multiple_of(state::CHUNKS_PER_PARDON) {
            member.losses = member.losses.saturating_sub(1);
        }
        self.history[slot] = History { number, place: place as u16, id: id.number };
        self.payload[..payload.len()].copy_from_slice(payload);
        self.core.outgoing = Some(state::Outgoing { number, place, len: payload.len() });
        Ok((number, Some(id)))
    }

    /// The next chunk begins something of this title: tells the team (2.6).
    /// An empty text takes the last title back. Tells the chunk's number.
    ///
    /// # Errors
    ///
    /// [`BadTitle`] if the text is too long or has control characters.
    pub fn set_title(&mut self, text: &str) -> Result<ChunkNumber, BadTitle> {
        let from = self.core.next_chunk;
        self.core.title = Some(Title::new(from, text)?);
        for place in &self.order[..self.members.len()] {
            if let Some(member) = self.members.get_mut(usize::from(*place)) {
                member.entitle();
            }
        }
        self.core.title_turn = 0;
        Ok(from)
    }

    // -- team --

    fn is_full(&self, endpoint: SocketAddr) -> bool {
        let size = usize::from(self.core.config.max_team).min(self.members.capacity());
        self.members.len() >= size && self.members.find(endpoint).is_none()
    }

    fn places(&self) -> impl Iterator<Item = usize> + '_ {
        self.order[..self.members.len()].iter().map(|place| usize::from(*place))
    }

    fn next_origin(&mut self) -> Option<usize> {
        let size = self.members.len();
        let place = *self.order[..size].get(self.core.turn)?;
        self.core.turn += 1;
        if self.core.turn >= size {
            self.core.turn = 0;
        }
        Some(usize::from(place))
    }

    /// Puts a joiner at the end of the team (3.5).
    fn insert(
        &mut self,
        now: Instant,
        joining: Joining,
        status: Option<PlayerStatus>,
    ) -> Result<(), Reject> {
        let Joining { endpoint, id, rules, .. } = joining;
        if let Some(earlier) = self.members.find(endpoint) {
            self.remove(earlier, Departure::Rejoined);
        }
        if self.is_full(endpoint) {
            self.core.reply(endpoint, id, Some(Departure::TeamFull));
            return Err(Reject::TableFull);
        }
        let key = self.core.config.key.of_member(endpoint, id.number);
        let size = self.members.len();
        let member = Member { status, ..Member::new(id, rules, key.splitter_tag(), now) };
        let place = self.members.insert(endpoint, member).map_err(|_| Reject::TableFull)?;
        self.order[size] = place as u16;
        self.core.stats.peers_max = self.core.stats.peers_max.max(size as u32 + 1);
        self.core.event(SplitterEvent::Joined { id, endpoint });
        Ok(())
    }

    fn remove(&mut self, place: usize, reason: Departure) {
        let size = self.members.len();
        let Some((endpoint, member)) = self.members.remove(place) else { return };
        let Some(turn) = self.order[..size].iter().position(|one| usize::from(*one) == place)
        else {
            return;
        };
        self.order.copy_within(turn + 1..size, turn);
        if turn < self.core.turn {
            self.core.turn -= 1;
        }
        if self.core.turn >= size - 1 {
            self.core.turn = 0;
        }
        if self.core.outgoing.as_ref().is_some_and(|outgoing| outgoing.place == place) {
            self.core.outgoing = None;
        }
        self.core.plan = self.core.plan.take_if(|plan| !plan.is_for(place));
        if self.core.stopping && turn < self.core.farewell_turn {
            self.core.farewell_turn -= 1;
        }
        if turn < self.core.title_turn && self.core.title_turn != usize::MAX {
            self.core.title_turn -= 1;
        }
        self.core.title_reply.take_if(|member| *member == place);
        self.core.event(SplitterEvent::Left { id: member.id, endpoint, reason });
    }

    // -- inputs --

    fn arrive(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> Result<(), Reject> {
        let envelope = wire::decode_for(self.core.config.team, datagram)?;
        let (tag, message) = (envelope.tag, envelope.message);
        let known = self
            .members
            .find(from)
            .filter(|place| self.members.get(*place).is_some_and(|(_, member)| member.tag == tag));
        match known {
            Some(place) => self.member_says(now, place, message),
            None => self.other_says(now, from, tag, message),
        }
    }

    fn member_says(
        &mut self,
        now: Instant,
        place: usize,
        message: Message<'_>,
    ) -> Result<(), Reject> {
        let (endpoint, member) = self.members.get(place).ok_or(Reject::Stranger)?;
        let id = member.id;
        match message {
            Message::Hello { id: named, status, .. } if named == id => {
                if let Some(member) = self.members.get_mut(place) {
                    member.heard = now;
                    member.status = status;
                }
                self.core.reply(endpoint, id, None);
                self.core.title_reply = Some(place);
                Ok(())
            }
            Message::Goodbye { id: named, .. } if named == id => {
                self.remove(place, Departure::Goodbye);
                if !self.core.stopping {
                    self.core.reply(endpoint, id, Some(Departure::Goodbye));
                }
                self.finish_if_alone();
                Ok(())
            }
            Message::Lost { number } if id.role == Role::Monitor => self.blame(now, number),
            _ => Err(Reject::Unexpected),
        }
    }

    /// A joiner's first `[hello]`; or a former member, who has to be told.
    fn other_says(
        &mut self,
        now: Instant,
        from: SocketAddr,
        tag: Tag,
        message: Message<'_>,
    ) -> Result<(), Reject> {
        let unproven = match self.members.find(from) {
            Some(_) => Reject::Forged,
            None => Reject::Stranger,
        };
        let (id, hello) = match message {
            Message::Hello { id, status, .. } => (id, Some(status)),
            Message::Goodbye { id, .. } => (id, None),
            _ => return Err(unproven),
        };
        let key = self.core.config.key.of_member(from, id.number);
        if id.number >= self.core.next_number || key.splitter_tag() != tag {
            return Err(unproven);
        }
        let joining = self.core.take_joining(from, id);
        if let (Some(status), Some(joining), false) = (hello, joining, self.core.stopping) {
            self.insert(now, joining, status)?;
            self.core.reply(from, id, None);
            self.core.title_reply = self.members.find(from);
        } else {
            let reason = if hello.is_some() { Departure::NotAMember } else { Departure::Goodbye };
            self.core.reply(from, id, Some(reason));
        }
        Ok(())
    }

    /// A monitor's complaint (8.1). Each chunk is charged once, to its origin.
    fn blame(&mut self, now: Instant, number: ChunkNumber) -> Result<(), Reject> {
        let age = number.distance_to(self.core.next_chunk);
        if age < 1 || age as usize > self.history.len() {
            return Err(Reject::OutOfRange);
        }
        self.core.stats.complaints += 1;
        let slot = number.get() as usize % self.history.len();
        let History { number: there, place, id } = self.history[slot];
        if there != number || place == NOBODY {
            return Ok(());
        }
        self.history[slot].place = NOBODY;
        let Some(member) = self.members.get_mut(usize::from(place)) else { return Ok(()) };
        if member.id.number != id {
            return Ok(());
        }
        member.losses = member.losses.saturating_add(1);
        member.losses_ever = member.losses_ever.saturating_add(1);
        let selfish = member.is_selfish(now, self.core.config.max_losses);
        if selfish && member.id.role == Role::Peer {
            self.expel(usize::from(place));
        }
        Ok(())
    }

    /// Removes a peer that was charged too often; all counts start anew (8.1).
    fn expel(&mut self, place: usize) {
        let Some((endpoint, id)) = self.members.get(place).map(|(at, member)| (at, member.id))
        else {
            return;
        };
        self.remove(place, Departure::Losses);
        self.core.reply(endpoint, id, Some(Departure::Losses));
        for place in &self.order[..self.members.len()] {
            if let Some(member) = self.members.get_mut(usize::from(*place)) {
                member.losses = 0;
            }
        }
    }

    // -- outputs --

    fn next_plan(&mut self) -> Option<Plan> {
        if let Some(reply) = self.core.replies.pop_front() {
            return Some(Plan::Reply(reply));
        }
        if let Some(outgoing) = self.core.outgoing.take() {
            return Some(Plan::Chunk(outgoing));
        }
        if let Some(place) = self.core.title_reply.take()
            && self.tells_title(place)
        {
            return Some(Plan::Title(place));
        }
        let size = self.members.len();
        while let Some(place) = self.order[..size].get(self.core.title_turn).copied() {
            self.core.title_turn += 1;
            if self.tells_title(usize::from(place)) {
                return Some(Plan::Title(usize::from(place)));
            }
        }
        self.core.title_turn = usize::MAX;
        let place = *self.order[..size].get(self.core.farewell_turn)?;
        self.core.farewell_turn += 1;
        Some(Plan::Farewell(usize::from(place)))
    }

    /// Whether a member has yet to be told the title; it counts as told.
    fn tells_title(&mut self, place: usize) -> bool {
        let Some(member) = self.members.get_mut(place) else { return false };
        let tells = self.core.title.is_some() && member.title_repeats > 0;
        member.title_repeats -= u8::from(tells);
        tells
    }

    fn write(&self, plan: &Plan, buf: &mut [u8]) -> Option<usize> {
        let (tag, message) = match *plan {
            Plan::Reply(state::Reply { endpoint, id, goodbye }) => {
                let tag = self.core.config.key.of_member(endpoint, id.number).splitter_tag();
                let message = match goodbye {
                    Some(reason) => Message::Goodbye { id, reason },
                    None => {
                        let (answer, rules, unicast) = (false, Rules::Dbs, false);
                        Message::Hello { id, answer, rules, unicast, status: None }
                    }
                };
                (tag, message)
            }
            Plan::Chunk(state::Outgoing { number, place, len }) => {
                let (origin, member) = self.members.get(place)?;
                (member.tag, Message::Chunk { number, origin, payload: &self.payload[..len] })
            }
            Plan::Title(place) => {
                let (_, member) = self.members.get(place)?;
                let title = self.core.title.as_ref()?;
                (member.tag, Message::Title { from: title.from(), text: title.text() })
            }
            Plan::Farewell(place) => {
                let (_, member) = self.members.get(place)?;
                (member.tag, Message::Goodbye { id: member.id, reason: Departure::Ended })
            }
        };
        let len = wire::encode(self.core.config.team, tag, message, buf);
        debug_assert!(len.is_ok(), "the driver's buffer is too short");
        len.ok()
    }

    fn finish_if_alone(&mut self) {
        if self.core.stopping && self.members.len() == 0 {
            self.finish();
        }
    }

    fn finish(&mut self) {
        self.core.tick = None;
        self.core.leave_retry = None;
        self.core.farewell_turn = usize::MAX;
        if !core::mem::replace(&mut self.core.stopped, true) {
            self.core.event(SplitterEvent::Stopped { unanswered: self.members.len() as u32 });
        }
    }

    /// Removes who was silent for too long (3.6); as many as there is room for
    /// in the event queue, the rest a moment later.
    fn remove_silent(&mut self, now: Instant) {
        let silent = |member: &Member| now.since(member.heard) >= HELLO_SILENCE;
        let mut turn = 0;
        while turn < self.members.len() && !self.core.events.is_full() {
            let place = usize::from(self.order[turn]);
            if self.members.get(place).is_some_and(|(_, member)| silent(member)) {
                self.remove(place, Departure::Silent);
            } else {
                turn += 1;
            }
        }
    }
}

impl Node for Splitter<'_> {
    type Event = SplitterEvent;

    fn handle_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        datagram: &[u8],
    ) -> Result<(), Reject> {
        self.arrive(now, from, datagram).inspect_err(|reject| {
            self.core.stats.rejects.count(*reject);
        })
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.core.tick.is_some_and(|tick| tick <= now) {
            self.core.tick = Some(now + TICK);
            self.core.forget_joining(now);
            self.remove_silent(now);
            for place in &self.order[..self.members.len()] {
                if let Some(member) = self.members.get_mut(usize::from(*place)) {
                    member.tick();
                }
            }
        }
        if self.core.leave_retry.is_some_and(|retry| retry <= now) {
            if self.core.goodbyes >= state::MAX_GOODBYES {
                self.finish();
            } else {
                self.core.goodbyes += 1;
                self.core.farewell_turn = 0;
                self.core.leave_retry = Some(now + state::STOP_RETRY);
            }
        }
    }

    /// Says `[goodbye]` to the team (7.3). [`SplitterEvent::Stopped`] comes when
    /// all have answered or were told often enough.
    fn leave(&mut self, now: Instant) {
        if core::mem::replace(&mut self.core.stopping, true) {
            return;
        }
        self.core.goodbyes = 1;
        self.core.farewell_turn = 0;
        self.core.leave_retry = Some(now + state::STOP_RETRY);
        self.finish_if_alone();
    }

    fn poll_destination(&mut self) -> Option<SocketAddr> {
        loop {
            if self.core.plan.is_none() {
                self.core.plan = self.next_plan();
            }
            let to = match self.core.plan.as_ref()? {
                Plan::Reply(reply) => Some(reply.endpoint),
                Plan::Chunk(state::Outgoing { place, .. })
                | Plan::Farewell(place)
                | Plan::Title(place) => self.members.get(*place).map(|(endpoint, _)| endpoint),
            };
            if to.is_some() {
                return to;
            }
            self.core.plan = None;
        }
    }

    fn poll_transmit(&mut self, buf: &mut [u8]) -> Option<Transmit> {
        loop {
            let to = self.poll_destination()?;
            let plan = self.core.plan.take()?;
            let Some(len) = self.write(&plan, buf) else { continue };
            if let Plan::Chunk(outgoing) = plan {
                self.core.stats.chunks_sent += 1;
                self.core.stats.bytes_out += outgoing.len as u64;
            }
            return Some(Transmit { to, len });
        }
    }

    fn poll_event(&mut self) -> Option<SplitterEvent> {
        self.core.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        earlier(self.core.tick, self.core.leave_retry)
    }
}
