//! A whole team in one thread: a splitter and its peers on a network without
//! delay, which delivers one datagram after the other in causal order.

#![allow(dead_code, reason = "each test uses its part")]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use p2psp_core::wire::{self, Envelope, MAX_DATAGRAM_BYTES, Message};
use p2psp_core::{
    ChunkNumber, Instant, Key, Lan, Node, NodeId, Peer, PeerEvent, Playout, Role, Rules, Splitter,
    SplitterConfig, SplitterEvent, SplitterStorage, Storage, TeamId,
};

pub const TEAM: TeamId = TeamId(0x5eed);
pub const CHUNK: usize = 32;

pub type PeerStorage = Storage<64, 1024, CHUNK>;

/// Small, seeded randomness (xorshift).
pub struct Rng(pub u64);

impl Rng {
    /// One whose first numbers do not tell its seed.
    pub fn new(seed: u64) -> Rng {
        let mut rng = Rng(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        for _ in 0..8 {
            rng.next();
        }
        rng
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() >> 8) as usize % end
    }

    pub fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

/// A datagram on its way.
#[derive(Clone)]
pub struct InFlight {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub bytes: Vec<u8>,
    /// One copy of what was sent to the group of a LAN.
    pub multicast: bool,
}

/// A chunk that went from one node to another, as `S>M0:2`.
pub type Sent = String;

pub struct Member {
    pub endpoint: SocketAddr,
    /// The LAN in which it plays by IMS.
    pub lan: Option<Lan>,
    pub storage: Box<PeerStorage>,
    pub events: Vec<PeerEvent>,
    /// Numbers played (`Ok`) or lost (`Err`).
    pub played: Vec<Result<u32, u32>>,
    /// How far behind the highest that the peer had a chunk came at most.
    pub most_behind: i32,
    /// A dead peer neither hears nor speaks.
    pub dead: bool,
    /// A selfish peer forwards nothing.
    pub selfish: bool,
}

impl Member {
    pub fn peer(&mut self) -> Peer<'_> {
        Peer::new(self.storage.memory())
    }

    pub fn lost(&self) -> usize {
        self.played.iter().filter(|one| one.is_err()).count()
    }
}

pub struct Team {
    pub now: Instant,
    pub splitter_endpoint: SocketAddr,
    pub splitter: Box<SplitterStorage<64, 4096, CHUNK>>,
    pub splitter_events: Vec<SplitterEvent>,
    pub members: Vec<Member>,
    pub sent: Vec<Sent>,
    pub newest: ChunkNumber,
    /// Time from one chunk to the next.
    pub chunk_time: Duration,
    /// Datagrams that must not arrive.
    pub drop: Box<dyn FnMut(&InFlight) -> bool>,
}

pub fn config(buffer_chunks: u32) -> SplitterConfig {
    SplitterConfig {
        team: TEAM,
        key: Key::new([42; 16]),
        chunk_bytes: CHUNK as u16,
        buffer_chunks,
        max_team: 64,
        max_losses: 8,
        first_chunk: ChunkNumber::ZERO,
    }
}

pub fn endpoint(n: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1 + n as u8], 4000))
}

/// The bytes of a chunk tell its number.
pub fn payload(number: ChunkNumber) -> Vec<u8> {
    number.get().to_le_bytes().repeat(CHUNK / 4)
}

impl Team {
    pub fn new(config: SplitterConfig) -> Team {
        let newest = config.first_chunk;
        let mut team = Team {
            now: Instant::from_micros(1),
            splitter_endpoint: SocketAddr::from(([10, 0, 1, 1], 8001)),
            splitter: Box::new(SplitterStorage::new(config)),
            splitter_events: Vec::new(),
            members: Vec::new(),
            sent: Vec::new(),
            newest,
            chunk_time: Duration::ZERO,
            drop: Box::new(|_| false),
        };
        let now = team.now;
        team.splitter().start(now);
        team
    }

    /// A team whose members (monitor first) have all joined.
    pub fn of(size: usize, config: SplitterConfig) -> Team {
        let mut team = Team::new(config);
        for n in 0..size {
            team.join(if n == 0 { Role::Monitor } else { Role::Peer });
        }
        team
    }

    pub fn splitter(&mut self) -> Splitter<'_> {
        Splitter::new(self.splitter.memory())
    }

    /// Joins a peer, as a driver would; its index.
    pub fn join(&mut self, role: Role) -> usize {
        let index = self.add();
        self.join_again(index, role);
        index
    }

    /// Adds one that has not joined yet; its index.
    pub fn add(&mut self) -> usize {
        self.add_at(endpoint(self.members.len()), None)
    }

    /// Adds one at an endpoint, maybe in a LAN; its index.
    pub fn add_at(&mut self, endpoint: SocketAddr, lan: Option<Lan>) -> usize {
        let index = self.members.len();
        self.members.push(Member {
            endpoint,
            lan,
            storage: Box::new(PeerStorage::new()),
            events: Vec::new(),
            played: Vec::new(),
            most_behind: 0,
            dead: false,
            selfish: false,
        });
        index
    }

    pub fn join_again(&mut self, index: usize, role: Role) {
        self.admit(index, role);
        self.settle();
    }

    /// The join dialogue, without the `[hello]`s that follow.
    pub fn admit(&mut self, index: usize, role: Role) {
        let (now, at) = (self.now, self.members[index].endpoint);
        let splitter_endpoint = self.splitter_endpoint;
        let mut splitter = Splitter::new(self.splitter.memory());
        let rules = if self.members[index].lan.is_some() { Rules::Ims } else { Rules::Dbs };
        let admission = splitter.admit(now, at, role, rules, true).expect("admitted");
        let welcome = splitter.welcome(&admission, 0, "audio/mpeg", "");
        let mut peer = Peer::new(self.members[index].storage.memory());
        peer.join(now, splitter_endpoint, TEAM, &welcome).expect("fits");
        if let Some(lan) = self.members[index].lan {
            Peer::new(self.members[index].storage.memory()).use_lan(lan).expect("fits");
        }
        let mut peer = Peer::new(self.members[index].storage.memory());
        for member in splitter.list(&admission) {
            peer.add_member(&member).expect("fits");
        }
        peer.admitted(now);
    }

    /// Cuts the next chunk and delivers all that follows from it.
    pub fn cut(&mut self) -> ChunkNumber {
        let number = self.splitter().next_chunk();
        self.newest = number;
        self.splitter().push_chunk(&payload(number)).expect("drained");
        self.settle();
        if !self.chunk_time.is_zero() {
            self.pass(self.chunk_time);
        }
        number
    }

    pub fn cut_many(&mut self, chunks: usize) {
        for _ in 0..chunks {
            self.cut();
        }
    }

    /// Lets time pass; deadlines come when they are due.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let mut next = self.splitter().poll_timeout();
            for member in self.members.iter_mut().filter(|member| !member.dead) {
                let due = member.peer().poll_timeout();
                next = match (next, due) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                };
            }
            let Some(due) = next.filter(|due| *due <= end) else { break };
            self.now = due;
            let now = self.now;
            self.splitter().handle_timeout(now);
            assert!(self.splitter().poll_timeout().is_none_or(|next| next > now));
            for member in self.members.iter_mut().filter(|member| !member.dead) {
                member.peer().handle_timeout(now);
                assert!(member.peer().poll_timeout().is_none_or(|next| next > now));
            }
            self.settle();
        }
        self.now = end;
    }

    /// Delivers everything until nobody has anything to say.
    pub fn settle(&mut self) {
        let mut wire = VecDeque::new();
        loop {
            self.collect(&mut wire);
            let Some(datagram) = wire.pop_front() else { break };
            for copy in self.copies(datagram) {
                if !(self.drop)(&copy) {
                    self.deliver(&copy);
                }
            }
        }
    }

    /// What is sent to a group comes to all of the sender's LAN, the sender's
    /// own host included.
    fn copies(&self, datagram: InFlight) -> Vec<InFlight> {
        if !datagram.to.ip().is_multicast() {
            return vec![datagram];
        }
        let here = |lan: &Lan| lan.group == datagram.to && lan.contains(datagram.from.ip());
        let hearers = self.members.iter().filter(|member| member.lan.as_ref().is_some_and(here));
        hearers
            .map(|member| InFlight { to: member.endpoint, multicast: true, ..datagram.clone() })
            .collect()
    }

    pub fn deliver(&mut self, datagram: &InFlight) {
        let now = self.now;
        if datagram.to == self.splitter_endpoint {
            let _ = self.splitter().handle_datagram(now, datagram.from, &datagram.bytes);
            return;
        }
        let Some(member) = self.members.iter_mut().find(|member| member.endpoint == datagram.to)
        else {
            return;
        };
        if member.dead {
            return;
        }
        if let Ok(Envelope { message: Message::Chunk { number, .. }, .. }) =
            wire::decode(&datagram.bytes)
        {
            let highest = member.peer().buffer().highest.unwrap_or(number);
            member.most_behind = member.most_behind.max(number.distance_to(highest));
        }
        let _ = member.peer().handle_datagram(now, datagram.from, &datagram.bytes);
        member.play();
    }

    fn collect(&mut self, wire: &mut VecDeque<InFlight>) {
        let mut buf = [0; MAX_DATAGRAM_BYTES];
        let mut out = Vec::new();
        let mut splitter = Splitter::new(self.splitter.memory());
        while let Some(transmit) = splitter.poll_transmit(&mut buf) {
            let bytes = buf[..transmit.len].to_vec();
            out.push(InFlight {
                from: self.splitter_endpoint,
                to: transmit.to,
                bytes,
                multicast: false,
            });
        }
        while let Some(event) = splitter.poll_event() {
            self.splitter_events.push(event);
        }
        for member in self.members.iter_mut().filter(|member| !member.dead) {
            let (from, selfish) = (member.endpoint, member.selfish);
            let mut events = Vec::new();
            let mut peer = member.peer();
            while let Some(transmit) = peer.poll_transmit(&mut buf) {
                let bytes = buf[..transmit.len].to_vec();
                let chunk = matches!(wire::decode(&bytes).unwrap().message, Message::Chunk { .. });
                if !(selfish && chunk) {
                    out.push(InFlight { from, to: transmit.to, bytes, multicast: false });
                }
            }
            while let Some(event) = peer.poll_event() {
                events.push(event);
            }
            member.events.extend(events);
            member.play();
        }
        for datagram in &out {
            if let Message::Chunk { number, .. } = wire::decode(&datagram.bytes).unwrap().message {
                let (from, to) = (self.name(datagram.from), self.name(datagram.to));
                self.sent.push(format!("{from}>{to}:{number}"));
            }
        }
        wire.extend(out);
    }

    pub fn name(&mut self, endpoint: SocketAddr) -> String {
        if endpoint == self.splitter_endpoint {
            return "S".to_owned();
        }
        if endpoint.ip().is_multicast() {
            return "LAN".to_owned();
        }
        self.members
            .iter_mut()
            .find(|member| member.endpoint == endpoint)
            .map_or("?".to_owned(), |member| member.peer().id().to_string())
    }

    /// `forward` of a member as in the published figures: `M0: [P1, P2]`.
    pub fn forward(&mut self, index: usize) -> String {
        let peer = self.members[index].peer();
        let name = |place| name_at(&peer, place);
        let rows: Vec<String> = peer
            .forward()
            .map(|(origin, to)| {
                let to: Vec<String> = to.map(name).collect();
                format!("{}: [{}]", name(origin), to.join(", "))
            })
            .collect();
        rows.join("; ")
    }

    /// `pending` of a member: `M0: 3 4`.
    pub fn pending(&mut self, index: usize) -> String {
        let peer = self.members[index].peer();
        let rows: Vec<String> = peer
            .pending()
            .map(|(to, chunks)| {
                let chunks: Vec<String> = chunks.map(|chunk| chunk.to_string()).collect();
                format!("{}: {}", name_at(&peer, to), chunks.join(" "))
            })
            .collect();
        rows.join("; ")
    }

    pub fn take_sent(&mut self) -> String {
        std::mem::take(&mut self.sent).join(" ")
    }

    pub fn size(&mut self) -> usize {
        self.splitter().team_size()
    }
}

fn name_at(peer: &Peer<'_>, place: usize) -> String {
    if peer.group_place() == Some(place) {
        return "LAN".to_owned();
    }
    peer.name(place).map_or("?".to_owned(), |id: NodeId| id.to_string())
}

impl Member {
    fn play(&mut self) {
        let mut played = Vec::new();
        let mut peer = Peer::new(self.storage.memory());
        loop {
            match peer.next_chunk() {
                Playout::Chunk { number, payload: bytes } => {
                    assert_eq!(bytes, payload(number), "the bytes of chunk {number}");
                    played.push(Ok(number.get()));
                }
                Playout::Lost { number, chunks } => {
                    played.extend((0..chunks).map(|offset| Err(number.plus(offset).get())));
                }
                Playout::NotYet => break,
            }
        }
        while let Some(event) = peer.poll_event() {
            self.events.push(event);
        }
        self.played.extend(played);
    }
}
