//! What a datagram does to a peer (3.4, 5, 7.2, 8.2).

use core::net::SocketAddr;

use super::state::{
    END_GRACE, HELLO_INTERVAL, LAN_SILENCE, MAX_ACTIVITY, MAX_GOODBYES, MIN_ACTIVITY,
    NEIGHBOUR_SILENCE, Neighbour, Phase,
};
use super::{MYSELF, Peer, PeerEvent};
use crate::buffer::{NOBODY, Stored};
use crate::node::{Departure, Reject};
use crate::sets::{self, Bits, WORD_BITS};
use crate::wire::{self, Message};
use crate::{ChunkNumber, Instant, NodeId, Tag, Title};

/// Whom a chunk came from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sender {
    Splitter,
    Neighbour(usize),
}

impl Peer<'_> {
    pub(super) fn arrive(
        &mut self,
        now: Instant,
        from: SocketAddr,
        datagram: &[u8],
    ) -> Result<(), Reject> {
        if matches!(self.core.phase, Phase::Outside) {
            return Err(Reject::NotJoined);
        }
        let envelope = wire::decode_for(self.core.team, datagram)?;
        // The splitter is known by its tag, not by its address: a host with
        // several addresses may answer from another one.
        if envelope.tag == self.core.splitter_tag {
            return self.splitter_says(now, envelope.message);
        }
        if self.core.lan.is_some() && envelope.tag == self.core.group_tag {
            return self.group_says(now, from, envelope.message);
        }
        match envelope.message {
            Message::Chunk { number, origin, payload } => {
                let place = self.meet(now, from, envelope.tag)?;
                self.note_unicast(place);
                self.chunk(now, Sender::Neighbour(place), number, origin, payload)
            }
            // My own, sent back by one who was only named to me.
            Message::Hello { id, .. } if id == self.core.id => Err(Reject::Unexpected),
            Message::Hello { id, answer, rules, unicast, .. } => {
                let place = self.meet(now, from, envelope.tag)?;
                self.hello(place, id, answer);
                self.note_rules(place, rules);
                self.note_wish(place, unicast);
                Ok(())
            }
            Message::Goodbye { .. } => {
                let place = self.known(from, envelope.tag)?;
                let id = self.remove(place);
                self.core.event(PeerEvent::NeighbourLeft { id, reason: Departure::Goodbye });
                Ok(())
            }
            _ => Err(Reject::Unexpected),
        }
    }

    fn splitter_says(&mut self, now: Instant, message: Message<'_>) -> Result<(), Reject> {
        match message {
            Message::Chunk { number, origin, payload } => {
                if self.core.endpoint != Some(origin) {
                    return Err(Reject::Malformed);
                }
                self.confirm(now);
                self.core.first_own.get_or_insert(number);
                self.chunk(now, Sender::Splitter, number, origin, payload)
            }
            Message::Hello { id, .. } if id == self.core.id => {
                self.confirm(now);
                Ok(())
            }
            Message::Goodbye { id, reason } if id == self.core.id => {
                self.dismissed(now, reason);
                Ok(())
            }
            Message::Title { from, text } => {
                self.confirm(now);
                self.entitle(from, text)
            }
            _ => Err(Reject::Unexpected),
        }
    }

    fn confirm(&mut self, now: Instant) {
        self.core.heard_splitter = now;
        if !self.core.confirmed && self.core.phase == Phase::Member {
            self.core.confirmed = true;
            self.core.event(PeerEvent::Joined);
        }
    }

    /// A title, told for the first time or once more (2.6).
    fn entitle(&mut self, from: ChunkNumber, text: &str) -> Result<(), Reject> {
        if self.core.title.as_ref().is_none_or(|title| title.gives_way_to(from, text)) {
            let title = Title::new(from, text).map_err(|_| Reject::Malformed)?;
            self.core.title = Some(title);
            self.core.event(PeerEvent::Title { from });
        }
        Ok(())
    }

    fn dismissed(&mut self, now: Instant, reason: Departure) {
        match (self.core.phase, reason) {
            (Phase::Member, Departure::Ended) => {
                // Others wait for what is pending here, and no more chunks
                // will come to serve them with (5.5): send it all (7.3).
                self.start_leaving(now);
                self.core.ended = true;
                self.core.goodbyes = MAX_GOODBYES;
                self.core.leave_retry = Some(now + END_GRACE);
                self.core.event(PeerEvent::Dismissed { reason });
            }
            // The splitter did not get the answer.
            (Phase::Leaving, Departure::Ended) if self.core.ended => self.core.part_splitter = true,
            (Phase::Leaving, _) => {
                if !self.core.ended && self.core.departing.is_none() {
                    self.depart(true);
                }
            }
            _ => {
                self.core.end();
                self.sets.clear_row(sets::GREET);
                self.core.event(PeerEvent::Dismissed { reason });
            }
        }
    }

    /// The place of a neighbour that is in the table.
    fn known(&mut self, from: SocketAddr, tag: Tag) -> Result<usize, Reject> {
        let place = self.neighbours.find_sender(from).ok_or(Reject::Stranger)?;
        match self.neighbours.get(place) {
            Some((_, neighbour)) if self.is_neighbour(place) && neighbour.tag == tag => Ok(place),
            _ => Err(Reject::Forged),
        }
    }

    /// The place of whoever speaks: a neighbour, or one who proves to have
    /// joined after this peer. Adds it to `forward[self]` (3.4, 5.3).
    fn meet(&mut self, now: Instant, from: SocketAddr, tag: Tag) -> Result<usize, Reject> {
        let place = match self.known(from, tag) {
            Ok(place) => place,
            Err(reject) if self.core.key.tag(from) != tag => return Err(reject),
            Err(_) => self.welcome(from, tag)?,
        };
        self.heard(now, place);
        Ok(place)
    }

    /// A neighbour has spoken: it is served from now on, and if it is the
    /// first time, next (5.6).
    pub(super) fn heard(&mut self, now: Instant, place: usize) {
        let serves_anew = self.core.phase == Phase::Member && self.serve(place);
        let Some(neighbour) = self.neighbours.get_mut(place) else { return };
        if neighbour.heard.replace(now).is_none() {
            self.core.newcomer = place as u16;
        }
        if serves_anew {
            neighbour.activity = neighbour.activity.max(0);
        }
    }

    fn welcome(&mut self, from: SocketAddr, tag: Tag) -> Result<usize, Reject> {
        if self.core.phase != Phase::Member || self.core.endpoint == Some(from) {
            return Err(Reject::Unexpected);
        }
        if let Some(earlier) = self.neighbours.find(from) {
            if !self.is_neighbour(earlier) {
                return Err(Reject::Forged);
            }
            // It was an older member, and has joined again since.
            self.remove(earlier);
        } else if self.neighbours.len() == self.neighbours.capacity() {
            self.make_room();
        }
        self.neighbours.insert(from, Neighbour::new(None, tag)).map_err(|_| Reject::TableFull)
    }

    /// Gives up a neighbour that is no longer served, if there is one (4).
    fn make_room(&mut self) {
        let found = self
            .neighbours
            .iter()
            .map(|(place, ..)| place)
            .find(|place| self.is_neighbour(*place) && !self.serves(*place));
        if let Some(place) = found {
            self.remove(place);
        }
    }

    fn hello(&mut self, place: usize, id: NodeId, answer: bool) {
        if let Some(neighbour) = self.neighbours.get_mut(place)
            // One that has joined again from its endpoint has another name.
            && neighbour.id.is_none_or(|known| known.number < id.number)
        {
            neighbour.id = Some(id);
            self.core.event(PeerEvent::NeighbourJoined { id: Some(id) });
        }
        if answer {
            self.greet(place);
        }
    }

    /// Section 5, in its order.
    pub(super) fn chunk(
        &mut self,
        now: Instant,
        sender: Sender,
        number: ChunkNumber,
        origin: SocketAddr,
        payload: &[u8],
    ) -> Result<(), Reject> {
        if payload.len() > usize::from(self.buffer.chunk_bytes()) {
            return Err(Reject::Malformed);
        }
        let origin_place = match sender {
            Sender::Splitter => Some(MYSELF),
            // In a full mesh the sender is the origin: no second look-up.
            Sender::Neighbour(place) => match self.neighbours.get(place) {
                Some((endpoint, _)) if endpoint == origin => Some(place),
                _ => self.neighbours.find(origin),
            },
        };
        if let Sender::Neighbour(_) = sender
            && origin_place == Some(MYSELF)
        {
            // What I am the origin of comes from the splitter only.
            return Err(Reject::Unexpected);
        }
        let origin_index = origin_place.map_or(NOBODY, |place| place as u16);
        let reach = match sender {
            Sender::Splitter => None,
            Sender::Neighbour(_) => Some(2 * self.neighbours.len() as u32),
        };
        match self.buffer.store(number, origin_index, payload, reach) {
            Stored::New => {}
            Stored::Duplicate => {
                self.core.stats.duplicates += 1;
                return Ok(());
            }
            Stored::Late => {
                self.core.stats.late += 1;
                // (ours) One that comes too late to be played serves as well:
                // else those who wait for me would wait longer, and get theirs
                // too late, too.
                if self.buffer.is_playing() {
                    self.earn_turn();
                }
                return Ok(());
            }
            Stored::TooFarAhead => return Err(Reject::OutOfRange),
        }
        self.core.stats.chunks_received += 1;
        self.account(now, sender, origin, origin_place);
        if let Some(origin_place) = origin_place {
            self.queue(sender, origin_place, number);
        }
        self.earn_turn();
        self.count_round(now);
        Ok(())
    }

    /// A chunk received lets me serve one neighbour (5.5).
    fn earn_turn(&mut self) {
        if self.core.phase == Phase::Member {
            self.core.credits = self.core.credits.saturating_add(1);
        }
    }

    /// Who sent and who originated it (5.3, 8.2).
    fn account(
        &mut self,
        now: Instant,
        sender: Sender,
        origin: SocketAddr,
        origin_place: Option<usize>,
    ) {
        if let Sender::Neighbour(place) = sender
            && let Some(neighbour) = self.neighbours.get_mut(place)
        {
            neighbour.received = neighbour.received.saturating_add(1);
        }
        match origin_place {
            Some(MYSELF) => {}
            Some(place) => {
                if let Some(neighbour) = self.neighbours.get_mut(place) {
                    neighbour.activity = neighbour.activity.saturating_add(1).min(MAX_ACTIVITY);
                }
            }
            None => self.ask(now, origin),
        }
    }

    /// A third party's word is no proof: asks the member itself. At most one
    /// question a second, so that nobody can be made to flood it.
    pub(super) fn ask(&mut self, now: Instant, endpoint: SocketAddr) {
        if now >= self.core.next_rumour && !self.core.rumours.is_full() {
            self.core.next_rumour = now + HELLO_INTERVAL;
            let _ = self.core.rumours.push_back(endpoint);
        }
    }

    /// Appends the chunk to `pending[n]` for every `n` of `forward[o]` (5.4),
    /// but never sends it back to where it came from.
    fn queue(&mut self, sender: Sender, origin: usize, number: ChunkNumber) {
        let row = match self.neighbours.get(origin) {
            _ if origin == MYSELF => sets::FORWARD_SELF,
            Some((_, neighbour)) if neighbour.row != NOBODY => usize::from(neighbour.row),
            _ => return,
        };
        for index in 0..self.sets.row_words() {
            for bit in Bits(self.sets.word(row, index)) {
                let place = index * WORD_BITS + bit;
                if place == origin || sender == Sender::Neighbour(place) {
                    continue;
                }
                let Some(neighbour) = self.neighbours.get_mut(place) else { continue };
                if self.pending.push(&mut neighbour.pending, number) {
                    self.sets.insert(sets::BUSY, place);
                } else {
                    self.core.stats.pending_full += 1;
                }
            }
        }
    }

    /// A round is over when as many chunks came as there are members; then
    /// every activity goes down by one (8.2).
    fn count_round(&mut self, now: Instant) {
        self.core.round_chunks += 1;
        if self.core.round_chunks <= self.core.served {
            return;
        }
        self.core.round_chunks = 0;
        for index in 0..self.sets.row_words() {
            for bit in Bits(self.served_word(index)) {
                self.end_round_of(now, index * WORD_BITS + bit);
            }
        }
    }

    fn end_round_of(&mut self, now: Instant, place: usize) {
        let Some(neighbour) = self.neighbours.get_mut(place) else { return };
        neighbour.activity = neighbour.activity.saturating_sub(1);
        // One never heard at all is given the time since this peer joined.
        let heard = neighbour.heard.unwrap_or(self.core.joined);
        let patience = if neighbour.reach.lan { LAN_SILENCE } else { NEIGHBOUR_SILENCE };
        if neighbour.activity < MIN_ACTIVITY && now.since(heard) >= patience {
            let id = neighbour.id;
            self.stop_serving(place);
            self.core.event(PeerEvent::NeighbourLeft { id, reason: Departure::Silent });
        }
    }
}
