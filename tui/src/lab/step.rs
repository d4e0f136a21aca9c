//! One step of a lab: what is next, what the node concerned makes of it, what
//! it sends, says and plays because of it.

use std::rc::Rc;

use p2psp_core::wire::Acquaintance;
use p2psp_core::{Departure, Node, Peer, PeerEvent, Phase, Playout, Rules, SplitterEvent};

use super::journal::{Effect, End, Event, EventKind, Outcome};
use super::lans::node_at;
use super::ledger::{self, Broken, Ledger};
use super::member::{Invitation, Life, SPLITTER, Seen};
use super::queue::{Action, Brief, Task};
use super::{Air, Journal, Lab, Member, TEAM};
use crate::net::storage::PeerStorage;

/// How long one who was turned away waits before it asks again.
const RETRY_US: u64 = 250_000;
/// Chunks that may wait at a peer for each member of a large team: as on a
/// board, so that a thousand peers can be kept more than once.
const PENDING_PER_MEMBER: usize = 4;
/// How often it asks in all.
const MAX_JOINS: u32 = 100;

impl Lab {
    /// Does the next thing; `None` if the run is over.
    pub fn step(&mut self) -> Option<Event> {
        if self.ended.is_some() {
            return None;
        }
        self.journal.effects.clear();
        self.journal.steps += 1;
        let mut kind = match self.deed_at(self.journal.steps) {
            Some(deed) => self.do_by_hand(deed),
            None => self.advance(),
        };
        self.forget_idle_timers();
        if self.journal.violation.is_some() {
            self.ended = Some(End::Violation);
        } else if self.plan.stop_after_lost.is_some_and(|lost| self.journal.totals.lost >= lost) {
            self.ended = Some(End::Losses);
        } else if let EventKind::Ended(end) = &mut kind {
            self.ended = Some(*end);
        }
        Some(Event { at_us: self.air.now_us, kind })
    }

    /// Steps until the run is over.
    pub fn run(&mut self) {
        while self.step().is_some() {}
    }

    pub(super) fn start(&mut self) {
        let now = self.air.now();
        self.splitter.splitter().start(now);
        self.settle_splitter();
    }

    /// When the next step is to be done, unless something is done by hand
    /// first; `None` if the run is over.
    pub fn next_us(&self) -> Option<u64> {
        if self.ended.is_some() {
            return None;
        }
        let packet = self.air.packets.next(self.air.now_us).map(|(at_us, _)| at_us);
        if !self.air.open && packet.is_none() && self.gathered < self.plan.initial {
            return Some(self.air.now_us);
        }
        let next_us = packet.into_iter().chain(self.agenda.next_us()).min()?;
        Some(
            self.plan
                .stop_at_us
                .map_or(next_us, |stop_us| stop_us.max(self.air.now_us).min(next_us)),
        )
    }

    /// Deadlines that were put off stand in the agenda twice; away with the
    /// first ones, so that the next task is something that will happen.
    fn forget_idle_timers(&mut self) {
        while let Some((at_us, Task::Timer(node))) = self.agenda.next() {
            let due_us = match node {
                SPLITTER => self.splitter_timer_us,
                _ => self.members[usize::from(node) - 1].timer_us,
            };
            if due_us.is_some_and(|due_us| due_us <= at_us) {
                return;
            }
            self.agenda.pop();
        }
    }

    fn advance(&mut self) -> EventKind {
        loop {
            let packet = self.air.packets.next(self.air.now_us).map(|(at_us, _)| at_us);
            if !self.air.open && packet.is_none() && self.gathered < self.plan.initial {
                self.gathered += 1;
                return self.join(self.gathered, 0);
            }
            let task = self.agenda.next_us();
            let next_us = match (packet, task) {
                (Some(packet), Some(task)) => packet.min(task),
                (one, other) => one.or(other).unwrap_or(u64::MAX),
            };
            if let Some(end_us) = self.plan.stop_at_us.filter(|end_us| *end_us <= next_us) {
                self.air.now_us = self.air.now_us.max(end_us);
                return EventKind::Ended(End::Time);
            }
            self.air.now_us = next_us;
            if packet == Some(next_us)
                && let Some(slot) = self.air.packets.pop(next_us)
            {
                match self.deliver(slot) {
                    Some(kind) => return kind,
                    None => continue,
                }
            }
            self.air.open = true;
            let Some(task) = self.agenda.pop() else { return EventKind::Ended(End::Chunks) };
            let done = match task {
                Task::Act(action) => self.act(action),
                Task::Timer(node) => self.timer(node),
                Task::Cut => Some(self.cut()),
            };
            if let Some(kind) = done {
                return kind;
            }
        }
    }

    // -- datagrams --

    /// `None`: nobody listens to the group there.
    fn deliver(&mut self, slot: u32) -> Option<EventKind> {
        let packet = self.air.packets.at(slot);
        let (from, to, brief, multicast) = (packet.from, packet.to, packet.brief, packet.multicast);
        let bytes = &packet.bytes[..usize::from(packet.len)];
        let (now, from_endpoint) = (self.air.now(), self.air.lans.endpoint(from));
        let outcome = if to == SPLITTER {
            let result = self.splitter.splitter().handle_datagram(now, from_endpoint, bytes);
            self.air.packets.release(slot);
            self.settle_splitter();
            result.map_or_else(Outcome::Rejected, |()| Outcome::Taken)
        } else {
            let member = Rc::make_mut(&mut self.members[usize::from(to) - 1]);
            let Some(storage) = &mut member.storage else {
                self.air.packets.release(slot);
                let outcome = Outcome::Unheard;
                return (!multicast).then_some(EventKind::Delivered {
                    from,
                    to,
                    brief,
                    multicast,
                    outcome,
                });
            };
            let mut peer = storage.peer();
            let stats = peer.stats();
            let (received_before, late_before) = (stats.chunks_received, stats.late);
            let (duplicates_before, highest) = (stats.duplicates, peer.buffer().highest);
            let result = peer.handle_datagram(now, from_endpoint, bytes);
            let stats = peer.stats();
            let stored = stats.chunks_received > received_before;
            let late = stats.late > late_before;
            member.seen.late += stats.late - late_before;
            member.seen.duplicates += stats.duplicates - duplicates_before;
            self.air.packets.release(slot);
            if let (true, Brief::Chunk(number)) = (stored, brief) {
                let seen = &mut member.seen;
                seen.stored += 1;
                let behind = highest.map_or(0, |highest| number.distance_to(highest));
                seen.most_behind = seen.most_behind.max(u32::try_from(behind).unwrap_or(0));
                let cut_us = u64::from(number.get()) * self.plan.chunk_us;
                let delay_us = self.air.now_us.saturating_sub(cut_us);
                seen.delay_sum_us += delay_us;
                seen.delay_max_us = seen.delay_max_us.max(delay_us);
                member.arrivals.note(number, delay_us);
                let fine = member.ledger.store(number);
                self.journal.check(self.air.now_us, to, fine);
                self.journal.note(Effect::Stored { member: to, chunk: number });
            }
            self.settle(to, stored || late);
            match (result, brief) {
                (Err(reject), _) => Outcome::Rejected(reject),
                (Ok(()), Brief::Chunk(_)) if late => Outcome::Late,
                (Ok(()), Brief::Chunk(_)) if !stored => Outcome::Duplicate,
                _ => Outcome::Taken,
            }
        };
        Some(EventKind::Delivered { from, to, brief, multicast, outcome })
    }

    fn cut(&mut self) -> EventKind {
        if self.cut >= self.plan.chunks {
            return EventKind::Ended(End::Chunks);
        }
        self.cut += 1;
        self.agenda.add(u64::from(self.cut) * self.plan.chunk_us, Task::Cut);
        let mut splitter = self.splitter.splitter();
        let chunk = splitter.next_chunk();
        let cut = splitter.push_chunk(&ledger::payload(chunk));
        debug_assert!(cut.is_ok(), "the chunk before was sent, the length is right");
        self.settle_splitter();
        let to = self.journal.effects.iter().find_map(|effect| match effect {
            Effect::Sent { from: SPLITTER, to, brief: Brief::Chunk(_) } => Some(*to),
            _ => None,
        });
        EventKind::Cut { chunk, origin: to }
    }

    fn timer(&mut self, node: u16) -> Option<EventKind> {
        let (now, now_us) = (self.air.now(), self.air.now_us);
        if node == SPLITTER {
            self.splitter_timer_us.take_if(|due_us| *due_us <= now_us)?;
            let mut splitter = self.splitter.splitter();
            if splitter.poll_timeout().is_some_and(|due| due <= now) {
                splitter.handle_timeout(now);
            }
            self.settle_splitter();
        } else {
            let member = Rc::make_mut(&mut self.members[usize::from(node) - 1]);
            member.timer_us.take_if(|due_us| *due_us <= now_us)?;
            let mut peer = member.storage.as_mut().map(PeerStorage::peer)?;
            if peer.poll_timeout().is_some_and(|due| due <= now) {
                peer.handle_timeout(now);
            }
            self.settle(node, false);
        }
        Some(EventKind::Timer { node })
    }

    // -- the scenario --

    pub(super) fn act(&mut self, action: Action) -> Option<EventKind> {
        match action {
            Action::Join(member) => {
                let life = self.member_mut(member)?.life;
                let open = matches!(life, Life::Absent | Life::Asking | Life::Present);
                open.then(|| self.join(member, self.plan.join_us))
            }
            Action::Enter(member) => self.enter(member),
            Action::Leave(node) => {
                let now = self.air.now();
                let member = self.member_mut(node)?;
                match member.peer() {
                    Some(mut peer) => peer.leave(now),
                    None => member.retire(Life::Gone),
                }
                self.settle(node, false);
                Some(EventKind::Leaves { member: node })
            }
            Action::Crash(member) => {
                self.member_mut(member)?.retire(Life::Dead);
                Some(EventKind::Crashed { member })
            }
            Action::Cheat(member) => {
                self.member_mut(member)?.selfish = true;
                Some(EventKind::Cheats { member })
            }
            Action::Part(partition) => {
                let island = self.plan.islands.get(usize::from(partition))?.clone();
                self.air.links.part(partition.into(), island);
                Some(EventKind::Parted { partition })
            }
            Action::Heal(partition) => {
                self.air.links.heal(partition.into());
                Some(EventKind::Healed { partition })
            }
        }
    }

    /// The splitter answers a joiner (3.1, 3.2); the answer takes its time.
    pub(super) fn join(&mut self, node: u16, delay_us: u64) -> EventKind {
        let now = self.air.now();
        let role = self.plan.roles[usize::from(node) - 1];
        let member = Rc::make_mut(&mut self.members[usize::from(node) - 1]);
        member.joins += 1;
        let mut refusal = None;
        let mut splitter = self.splitter.splitter();
        let reached = !self.air.links.are_parted(node, SPLITTER);
        let lans = &self.air.lans;
        let rules = if lans.lan(node).is_some() { Rules::Ims } else { Rules::Dbs };
        match reached.then(|| splitter.admit(now, lans.endpoint(node), role, rules, true)) {
            Some(Ok(admission)) => {
                let list: Vec<Acquaintance> = splitter.list(&admission).collect();
                member.invitation = Some(Box::new(Invitation { admission, list }));
                if member.storage.is_none() {
                    member.life = Life::Asking;
                }
                if delay_us > 0 {
                    let at_us = self.air.now_us.saturating_add(delay_us);
                    self.agenda.add(at_us, Task::Act(Action::Enter(node)));
                } else {
                    self.enter(node);
                }
            }
            other => {
                refusal = other.and_then(Result::err);
                if member.joins < MAX_JOINS {
                    let at_us = self.air.now_us.saturating_add(RETRY_US);
                    self.agenda.add(at_us, Task::Act(Action::Join(node)));
                }
            }
        }
        EventKind::Asked { member: node, refusal }
    }

    /// A joiner has the answer: a new peer, which says hello (3.3).
    fn enter(&mut self, node: u16) -> Option<EventKind> {
        let now = self.air.now();
        let invitation = self.member_mut(node)?.invitation.take()?;
        let splitter = self.splitter.splitter();
        let welcome = splitter.welcome(&invitation.admission, 0, "", "");
        let span = 4 * (self.plan.buffer_chunks as usize + usize::from(self.plan.max_team));
        let member = Rc::make_mut(&mut self.members[usize::from(node) - 1]);
        member.retire(Life::Present);
        member.ledger = Ledger::new(span);
        let storage =
            member.storage.insert(PeerStorage::with_pending(&welcome, PENDING_PER_MEMBER));
        let mut peer = storage.peer();
        let lans = &self.air.lans;
        let mut joined = peer.join(now, lans.endpoint(SPLITTER), TEAM, &welcome);
        if let Some(lan) = lans.lan(node) {
            joined = joined.and_then(|()| peer.use_lan(lan));
        }
        for acquaintance in &invitation.list {
            joined = joined.and_then(|()| peer.add_member(acquaintance));
        }
        debug_assert!(joined.is_ok(), "memory was made for this team");
        peer.admitted(now);
        self.settle(node, false);
        Some(EventKind::Entered { member: node })
    }

    // -- outputs --

    /// Takes all that a member has to send, to say and to play. `received`: a
    /// chunk has just come, which lets it serve one neighbour (5.5).
    fn settle(&mut self, node: u16, received: bool) {
        let Lab { members, air, journal, .. } = self;
        let member = Rc::make_mut(&mut members[usize::from(node) - 1]);
        let news = drain(member, air, journal, node, received);
        if self.checks_tables {
            let fine = self.check_pending(node);
            self.journal.check(self.air.now_us, node, fine);
        }
        let member = Rc::make_mut(&mut self.members[usize::from(node) - 1]);
        match news {
            Some(News::Out) => member.retire(Life::Gone),
            Some(News::JoinAgain) if member.joins < MAX_JOINS => {
                let at_us = self.air.now_us.saturating_add(RETRY_US);
                self.agenda.add(at_us, Task::Act(Action::Join(node)));
            }
            _ => {}
        }
        let Some(storage) = &mut member.storage else { return };
        let due_us = storage.peer().poll_timeout().map(|due| due.as_micros());
        schedule(&mut self.agenda, &mut member.timer_us, node, due_us);
    }

    fn settle_splitter(&mut self) {
        let Lab { splitter, air, journal, agenda, splitter_timer_us, .. } = self;
        let mut splitter = splitter.splitter();
        loop {
            let slot = air.packets.reserve();
            let Some(transmit) = splitter.poll_transmit(&mut air.packets.at_mut(slot).bytes) else {
                air.packets.release(slot);
                break;
            };
            air.take(journal, SPLITTER, false, slot, transmit);
        }
        while let Some(event) = splitter.poll_event() {
            match event {
                SplitterEvent::Joined { endpoint, .. } => {
                    journal.note(Effect::Joined { member: node_at(endpoint) });
                }
                SplitterEvent::Left { endpoint, reason, .. } => {
                    journal.note(Effect::Left { member: node_at(endpoint), reason });
                }
                SplitterEvent::Stopped { .. } => {}
            }
        }
        let due_us = splitter.poll_timeout().map(|due| due.as_micros());
        schedule(agenda, splitter_timer_us, SPLITTER, due_us);
    }

    /// `pending` names neighbours only, and these have joined the team (4).
    fn check_pending(&mut self, node: u16) -> Result<(), Broken> {
        let joined: Vec<bool> = self.members.iter().map(|member| member.joins > 0).collect();
        let Some(peer) = self.member_mut(node).and_then(Member::peer) else { return Ok(()) };
        let mut neighbours = peer.neighbours();
        for (place, _) in peer.pending() {
            if peer.group_place() == Some(place) {
                continue;
            }
            let neighbour = neighbours.find(|neighbour| neighbour.place == place);
            let member = neighbour.map(|neighbour| usize::from(node_at(neighbour.endpoint)));
            let known = member.and_then(|member| joined.get(member.checked_sub(1)?));
            if known != Some(&true) {
                return Err(Broken::PendingForStranger);
            }
        }
        Ok(())
    }
}

/// What a peer's events mean for its part in the scenario.
enum News {
    Out,
    JoinAgain,
}

/// Takes what a peer sends, says and plays, until there is no more.
fn drain(
    member: &mut Member,
    air: &mut Air,
    journal: &mut Journal,
    node: u16,
    received: bool,
) -> Option<News> {
    let mut peer = member.storage.as_mut()?.peer();
    let mut news = None;
    let mut may_serve = match peer.phase() {
        Phase::Member => usize::from(received),
        _ => usize::MAX,
    };
    let mut served = None;
    loop {
        loop {
            let slot = air.packets.reserve();
            let Some(transmit) = peer.poll_transmit(&mut air.packets.at_mut(slot).bytes) else {
                air.packets.release(slot);
                break;
            };
            let to = transmit.to;
            let brief = air.take(journal, node, member.selfish, slot, transmit);
            if let Brief::Chunk(_) = brief {
                member.seen.sent += u64::from(!member.selfish);
                if served.replace(to) != Some(to) {
                    let fine = may_serve.checked_sub(1).ok_or(Broken::ServedSeveral);
                    may_serve = fine.unwrap_or(0);
                    journal.check(air.now_us, node, fine.map(drop));
                }
            }
        }
        while let Some(event) = peer.poll_event() {
            match event {
                PeerEvent::Playing { first } => {
                    member.begin = Some(first);
                    journal.note(Effect::Playing { member: node, first });
                }
                PeerEvent::Left { .. }
                | PeerEvent::Dismissed { reason: Departure::Losses | Departure::Ended } => {
                    news = Some(News::Out);
                }
                PeerEvent::Dismissed { .. } | PeerEvent::SplitterSilent => {
                    news = Some(News::JoinAgain);
                }
                _ => {}
            }
        }
        if !play(&mut peer, &mut member.seen, &mut member.ledger, air, journal, node) {
            return news;
        }
        // Playing has made news: that it started, or losses to complain about.
    }
}

/// Plays all that is due; whether anything was.
fn play(
    peer: &mut Peer<'_>,
    seen: &mut Seen,
    ledger: &mut Ledger,
    air: &Air,
    journal: &mut Journal,
    node: u16,
) -> bool {
    let mut due = false;
    loop {
        let fine = match peer.next_chunk() {
            Playout::Chunk { number, payload } => {
                seen.played += 1;
                journal.played(air.now_us, node, number);
                ledger.play(number, payload)
            }
            Playout::Lost { number, chunks } => {
                seen.lost += u64::from(chunks);
                journal.lost(node, number, chunks);
                ledger.lose(number, chunks)
            }
            Playout::NotYet => return due,
        };
        due = true;
        journal.check(air.now_us, node, fine);
    }
}

/// Puts a node's deadline into the agenda, unless an earlier one stands there:
/// that will look again.
fn schedule(
    agenda: &mut super::Agenda,
    timer_us: &mut Option<u64>,
    node: u16,
    due_us: Option<u64>,
) {
    let Some(due_us) = due_us else { return };
    if timer_us.is_none_or(|standing_us| due_us < standing_us) {
        *timer_us = Some(due_us);
        agenda.add(due_us, Task::Timer(node));
    }
}
