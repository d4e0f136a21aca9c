//! Random schedules: members that join, leave, die and come back over a
//! network that loses, repeats, delays and reorders. At each step what must
//! never be is not; when the disturbance is over, the team plays without loss.

mod team;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use p2psp_core::wire::{self, MAX_DATAGRAM_BYTES, Message};
use p2psp_core::{
    ChunkNumber, Departure, Node, PeerEvent, Phase, Playout, Role, SplitterConfig, SplitterEvent,
    Storage,
};
use team::{InFlight, PeerStorage, Rng, Team, config, payload};

/// More than any input may cause.
const ENDLESS: usize = 4096;
const MAX_MEMBERS: usize = 9;
const BUFFER: u32 = 64;

/// How bad the network is, in percent of datagrams; delays in steps.
#[derive(Clone, Copy)]
struct Weather {
    lose: usize,
    repeat: usize,
    delay: usize,
    most_delay: usize,
}

const FAIR: Weather = Weather { lose: 0, repeat: 0, delay: 0, most_delay: 1 };

/// What was seen of a member in its present membership.
#[derive(Default)]
struct Seen {
    cursor: Option<ChunkNumber>,
    played: Option<ChunkNumber>,
    chunks_played: u64,
}

/// A team in the weather.
struct World {
    team: Team,
    rng: Rng,
    weather: Weather,
    /// Datagrams under way, by the step in which they arrive.
    wire: BTreeMap<(u64, u64), InFlight>,
    step: u64,
    serial: u64,
    seen: Vec<Seen>,
    /// A member whose network is down.
    cut_off: Option<SocketAddr>,
    /// A copy of a member that gets the same inputs from its making on.
    shadow: Option<(usize, Box<PeerStorage>)>,
    compared: usize,
    seed: u64,
}

impl World {
    fn new(seed: u64, config: SplitterConfig) -> World {
        World {
            team: Team::new(config),
            rng: Rng::new(seed),
            weather: FAIR,
            wire: BTreeMap::new(),
            step: 0,
            serial: 0,
            seen: Vec::new(),
            cut_off: None,
            shadow: None,
            compared: 0,
            seed,
        }
    }

    // -- actions --

    fn join(&mut self) {
        let index = self.team.add();
        self.seen.push(Seen::default());
        self.enter(index, if index == 0 { Role::Monitor } else { Role::Peer });
    }

    /// Joins, anew maybe: a driver makes a new peer then.
    fn enter(&mut self, index: usize, role: Role) {
        if self.shadow.as_ref().is_some_and(|(copied, _)| *copied == index) {
            self.shadow = None;
        }
        *self.team.members[index].storage = Storage::new();
        self.team.members[index].dead = false;
        self.seen[index] = Seen::default();
        self.team.admit(index, role);
        self.collect(index);
    }

    fn leave(&mut self, index: usize) {
        let now = self.team.now;
        self.team.members[index].peer().leave(now);
        if let Some((_, shadow)) = self.shadow_of(index) {
            p2psp_core::Peer::new(shadow.memory()).leave(now);
        }
        self.collect(index);
    }

    fn cut(&mut self) {
        let number = self.team.splitter().next_chunk();
        self.team.splitter().push_chunk(&payload(number)).expect("drained");
        self.collect_splitter();
    }

    fn pass(&mut self, time: Duration) {
        let end = self.team.now + time;
        loop {
            let mut next = self.team.splitter().poll_timeout();
            for member in self.team.members.iter_mut().filter(|member| !member.dead) {
                let due = member.peer().poll_timeout();
                next = next.into_iter().chain(due).min();
            }
            let Some(due) = next.filter(|due| *due <= end) else { break };
            self.team.now = due;
            let mut splitter = self.team.splitter();
            splitter.handle_timeout(due);
            assert!(splitter.poll_timeout().is_none_or(|next| next > due), "{}", self.seed);
            self.collect_splitter();
            for index in 0..self.team.members.len() {
                if self.team.members[index].dead {
                    continue;
                }
                let mut peer = self.team.members[index].peer();
                peer.handle_timeout(due);
                assert!(peer.poll_timeout().is_none_or(|next| next > due), "{}", self.seed);
                if let Some((_, shadow)) = self.shadow_of(index) {
                    p2psp_core::Peer::new(shadow.memory()).handle_timeout(due);
                }
                self.collect(index);
            }
        }
        self.team.now = end;
    }

    /// Delivers what is due in this step.
    fn deliver(&mut self) {
        self.step += 1;
        while let Some(first) = self.wire.first_entry()
            && first.key().0 <= self.step
        {
            let InFlight { from, to, bytes, .. } = first.remove();
            let now = self.team.now;
            if to == self.team.splitter_endpoint {
                let _ = self.team.splitter().handle_datagram(now, from, &bytes);
                self.collect_splitter();
                continue;
            }
            let Some(index) = self.team.members.iter().position(|member| member.endpoint == to)
            else {
                panic!("seed {}: sent to {to}, who is nobody", self.seed)
            };
            if self.team.members[index].dead {
                continue;
            }
            let result = self.team.members[index].peer().handle_datagram(now, from, &bytes);
            if let Some((_, shadow)) = self.shadow_of(index) {
                let mut copy = p2psp_core::Peer::new(shadow.memory());
                assert_eq!(copy.handle_datagram(now, from, &bytes), result);
            }
            self.collect(index);
        }
    }

    fn shadow_of(&mut self, index: usize) -> Option<&mut (usize, Box<PeerStorage>)> {
        self.shadow.as_mut().filter(|(copied, _)| *copied == index)
    }

    fn begin_shadow(&mut self, index: usize) {
        self.shadow = Some((index, self.team.members[index].storage.clone()));
    }

    // -- outputs --

    fn send(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let copies = 1 + usize::from(self.rng.percent(self.weather.repeat));
        for _ in 0..copies {
            let down = self.cut_off == Some(from) || self.cut_off == Some(to);
            if down || self.rng.percent(self.weather.lose) {
                continue;
            }
            let delayed = self.rng.percent(self.weather.delay);
            let delay = if delayed { 1 + self.rng.below(self.weather.most_delay) } else { 0 };
            self.serial += 1;
            let at = (self.step + 1 + delay as u64, self.serial);
            self.wire.insert(at, InFlight { from, to, bytes: bytes.to_vec(), multicast: false });
        }
    }

    fn collect_splitter(&mut self) {
        let mut buf = [0; MAX_DATAGRAM_BYTES];
        let from = self.team.splitter_endpoint;
        let mut sent = 0;
        while let Some(transmit) = self.team.splitter().poll_transmit(&mut buf) {
            if let Message::Chunk { number, origin, payload: bytes } =
                wire::decode(&buf[..transmit.len]).expect("legal").message
            {
                assert_eq!(origin, transmit.to, "seed {}: the one it goes to", self.seed);
                assert_eq!(bytes, payload(number));
            }
            self.send(from, transmit.to, &buf[..transmit.len]);
            sent += 1;
            assert!(sent < ENDLESS, "seed {}: the splitter sends without end", self.seed);
        }
        while let Some(event) = self.team.splitter().poll_event() {
            self.team.splitter_events.push(event);
        }
    }

    /// Drains a peer as a driver does, and looks at it from all sides.
    fn collect(&mut self, index: usize) {
        let mut buf = [0; MAX_DATAGRAM_BYTES];
        let from = self.team.members[index].endpoint;
        let mut sent: Vec<(SocketAddr, Vec<u8>)> = Vec::new();
        let mut peer = self.team.members[index].peer();
        while let Some(transmit) = peer.poll_transmit(&mut buf) {
            sent.push((transmit.to, buf[..transmit.len].to_vec()));
            assert!(sent.len() < ENDLESS, "seed {}: sends without end", self.seed);
        }
        if let Some((_, shadow)) = self.shadow.as_mut().filter(|(copied, _)| *copied == index) {
            let mut copy = p2psp_core::Peer::new(shadow.memory());
            for (to, bytes) in &sent {
                let transmit = copy.poll_transmit(&mut buf).expect("as the original");
                assert_eq!((transmit.to, &buf[..transmit.len]), (*to, &bytes[..]));
            }
            assert_eq!(copy.poll_transmit(&mut buf), None);
            while copy.next_chunk() != Playout::NotYet {}
            while copy.poll_event().is_some() {}
            self.compared += 1;
        }
        for (to, bytes) in sent {
            self.check_datagram(from, to, &bytes);
            self.send(from, to, &bytes);
        }
        self.check_play(index);
        let mut events = Vec::new();
        let mut peer = self.team.members[index].peer();
        while let Some(event) = peer.poll_event() {
            events.push(event);
        }
        self.team.members[index].events.extend(events);
    }

    // -- what must never be --

    fn check_datagram(&self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let seed = self.seed;
        assert_ne!(from, to, "seed {seed}: to oneself");
        if let Message::Chunk { number, origin, payload: bytes } =
            wire::decode(bytes).expect("legal").message
        {
            assert_ne!(origin, to, "seed {seed}: chunk {number} back to its origin");
            assert_eq!(origin, from, "seed {seed}: DBS forwards one's own chunks only");
            assert_ne!(to, self.team.splitter_endpoint, "seed {seed}: to the splitter");
            assert_eq!(bytes, payload(number), "seed {seed}");
        }
    }

    fn check_play(&mut self, index: usize) {
        let seed = self.seed;
        let (member, seen) = (&mut self.team.members[index], &mut self.seen[index]);
        let mut played = Vec::new();
        let mut peer = member.peer();
        loop {
            let first = match peer.next_chunk() {
                Playout::NotYet => break,
                Playout::Chunk { number, payload: bytes } => {
                    assert_eq!(bytes, payload(number), "seed {seed}");
                    played.push(Ok(number.get()));
                    seen.chunks_played += 1;
                    number
                }
                Playout::Lost { number, chunks } => {
                    assert!((1..10_000).contains(&chunks), "seed {seed}: {chunks} lost");
                    played.extend((0..chunks).map(|offset| Err(number.plus(offset).get())));
                    number
                }
            };
            // Strictly increasing, without a gap, so nothing plays twice.
            if let Some(last) = seen.played {
                assert_eq!(last.next(), first, "seed {seed}, member {index}");
            }
            seen.played = played.last().map(|one| ChunkNumber::new(one.unwrap_or_else(|n| n)));
            assert!(played.len() < 20_000, "seed {seed}: plays without end");
        }
        let buffer = peer.buffer();
        if let (Some(before), Some(after)) = (seen.cursor, buffer.cursor) {
            assert!(before.distance_to(after) >= 0, "seed {seed}: the cursor goes back");
        }
        seen.cursor = buffer.cursor;
        assert_eq!(peer.stats().chunks_played, seen.chunks_played);
        assert!(peer.stats().chunks_received >= seen.chunks_played, "seed {seed}");
        member.played.extend(played);
    }

    fn check_tables(&mut self, index: usize) {
        let seed = self.seed;
        let at = self.team.members[index].endpoint;
        let peer = self.team.members[index].peer();
        let neighbours: BTreeSet<usize> = peer.neighbours().map(|one| one.place).collect();
        assert!(peer.neighbours().all(|one| one.endpoint != at), "seed {seed}: its own neighbour");
        for (place, chunks) in peer.pending() {
            assert!(neighbours.contains(&place), "seed {seed}: pending for nobody");
            let chunks: Vec<u32> = chunks.map(|chunk| chunk.get()).collect();
            let distinct: BTreeSet<u32> = chunks.iter().copied().collect();
            assert_eq!(chunks.len(), distinct.len(), "seed {seed}: pending twice: {chunks:?}");
        }
        for (_, mut to) in peer.forward() {
            assert!(to.all(|place| neighbours.contains(&place)), "seed {seed}: forward to nobody");
        }
        let stored: Vec<u32> = peer.slots().flatten().map(|(number, _)| number.get()).collect();
        let mut distinct = stored.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(stored.len(), distinct.len(), "seed {seed}: stored twice");
        assert!(peer.buffer().filled as usize <= stored.len() + 1, "seed {seed}");
    }

    fn living(&mut self) -> Vec<usize> {
        let members = self.team.members.iter_mut().enumerate();
        members
            .filter_map(|(index, member)| {
                (!member.dead && member.peer().phase() == Phase::Member).then_some(index)
            })
            .collect()
    }

    fn gone(&mut self) -> Vec<usize> {
        let members = self.team.members.iter_mut().enumerate();
        members
            .filter_map(|(index, member)| {
                (member.dead || member.peer().phase() == Phase::Outside).then_some(index)
            })
            .collect()
    }

    /// One random thing happens.
    fn disturb(&mut self) {
        let living = self.living();
        // The monitor is run by whoever runs the splitter: it stays.
        let some = living.get(self.rng.below(living.len().max(1))).copied().filter(|one| *one > 0);
        match self.rng.below(100) {
            0..55 => self.cut(),
            55..60 if self.team.members.len() < MAX_MEMBERS => self.join(),
            60..64 => {
                let gone = self.gone();
                if !gone.is_empty() {
                    let index = gone[self.rng.below(gone.len())];
                    self.enter(index, if index == 0 { Role::Monitor } else { Role::Peer });
                }
            }
            64..66 => {
                if let Some(index) = some {
                    self.leave(index);
                }
            }
            66..68 => {
                if let Some(index) = some {
                    self.team.members[index].dead = true;
                }
            }
            68..72 => {
                if let Some(index) = some {
                    self.begin_shadow(index);
                }
            }
            72..74 => {
                let down = some.map(|index| self.team.members[index].endpoint);
                self.cut_off = self.cut_off.map_or(down, |_| None);
            }
            74..77 => {
                let time = Duration::from_millis(1 + self.rng.below(700) as u64);
                self.pass(time);
            }
            _ => self.pass(Duration::from_millis(10)),
        }
        self.deliver();
        for index in 0..self.team.members.len() {
            self.check_tables(index);
        }
    }

    /// The disturbance is over: the dead are missed and removed, who was
    /// dismissed joins again, and the team gets going.
    fn recover(&mut self) {
        self.weather = FAIR;
        self.cut_off = None;
        for _ in 0..200 {
            self.cut();
            self.deliver();
            self.pass(Duration::from_millis(45));
            if self.team.members[0].peer().phase() == Phase::Outside {
                self.enter(0, Role::Monitor);
            }
        }
        let living = self.living();
        assert_eq!(self.team.size(), living.len(), "seed {}", self.seed);
    }

    /// A time without losses, at every member.
    fn plays_without_loss(&mut self, chunks: usize) {
        let living = self.living();
        let before: Vec<_> = self
            .team
            .members
            .iter()
            .map(|member| (member.played.len(), member.lost(), member.events.len()))
            .collect();
        for _ in 0..chunks {
            self.cut();
            self.deliver();
            self.pass(Duration::from_millis(10));
        }
        assert_eq!(self.living(), living, "seed {}", self.seed);
        for index in living {
            let (member, (played, lost, events)) = (&self.team.members[index], before[index]);
            let news = &member.events[events..];
            assert_eq!(member.lost(), lost, "seed {}, member {index}: {news:?}", self.seed);
            let played = member.played.len() - played;
            assert!(played + MAX_MEMBERS >= chunks, "seed {}, member {index}", self.seed);
        }
    }
}

fn disturbed(seed: u64, steps: usize) -> World {
    let mut rng = Rng::new(seed ^ 0xC0FFEE);
    // Every other run has no expulsions, and every third goes across the wrap.
    let max_losses = if seed.is_multiple_of(2) { u16::MAX } else { 8 };
    let first = if seed.is_multiple_of(3) { 0u32.wrapping_sub(rng.below(400) as u32) } else { 0 };
    let first_chunk = ChunkNumber::new(first);
    let config = SplitterConfig { max_losses, first_chunk, ..config(BUFFER) };
    let mut world = World::new(seed, config);
    for _ in 0..2 + rng.below(3) {
        world.join();
        world.deliver();
        world.deliver();
    }
    world.weather = Weather {
        lose: rng.below(30),
        repeat: rng.below(30),
        delay: rng.below(50),
        most_delay: 1 + rng.below(40),
    };
    for _ in 0..steps {
        world.disturb();
    }
    world
}

#[test]
fn whatever_happens_the_team_recovers() {
    recovers(0..100);
}

#[test]
fn whatever_else_happens_the_team_recovers() {
    recovers(100..200);
}

fn recovers(seeds: std::ops::Range<u64>) {
    let (mut compared, mut left, mut expelled, mut silent, mut dismissed) = (0, 0, 0, 0, 0);
    for seed in seeds {
        let mut world = disturbed(seed, 260);
        world.recover();
        world.plays_without_loss(100);
        compared += world.compared;
        for event in &world.team.splitter_events {
            match event {
                SplitterEvent::Left { reason: Departure::Goodbye, .. } => left += 1,
                SplitterEvent::Left { reason: Departure::Losses, .. } => expelled += 1,
                SplitterEvent::Left { reason: Departure::Silent, .. } => silent += 1,
                _ => {}
            }
        }
        let events = world.team.members.iter().flat_map(|member| &member.events);
        dismissed += events
            .filter(|event| {
                matches!(event, PeerEvent::Dismissed { .. } | PeerEvent::SplitterSilent)
            })
            .count();
    }
    // The schedules did what they were made for.
    assert!(left > 30 && expelled > 0 && silent > 30, "{left} {expelled} {silent}");
    assert!(dismissed > 0, "{dismissed}");
    assert!(compared > 5_000, "{compared} comparisons with a copy");
}

/// 6.4 in bad weather: what is lost is lost, everything else plays in order
/// across the wrap.
#[test]
fn the_wrap_of_numbers_in_bad_weather() {
    for seed in 1000..1020 {
        let first_chunk = ChunkNumber::new(u32::MAX - 300);
        let config = SplitterConfig { first_chunk, max_losses: u16::MAX, ..config(BUFFER) };
        let mut world = World::new(seed, config);
        for _ in 0..5 {
            world.join();
            world.deliver();
            world.deliver();
        }
        world.weather = Weather { lose: 3, repeat: 10, delay: 30, most_delay: 12 };
        for _ in 0..600 {
            world.cut();
            world.deliver();
            world.pass(Duration::from_millis(10));
        }
        for (index, member) in world.team.members.iter().enumerate() {
            let (played, lost) = (member.played.len(), member.lost());
            assert!(played > 500, "seed {seed}, member {index}: {played}");
            assert!(lost * 100 < played * 15, "seed {seed}, member {index}: {lost} of {played}");
            assert!(
                member.played.contains(&Ok(u32::MAX)) || member.played.contains(&Err(u32::MAX))
            );
            assert!(matches!(member.played.last(), Some(Ok(200..) | Err(200..))));
        }
        world.weather = FAIR;
        for _ in 0..200 {
            world.cut();
            world.deliver();
            world.pass(Duration::from_millis(10));
        }
        world.plays_without_loss(100);
    }
}

/// Two runs with one seed are one.
#[test]
fn one_seed_is_one_run() {
    let run = |seed| {
        let world = disturbed(seed, 260);
        let played: Vec<_> = world.team.members.into_iter().map(|member| member.played).collect();
        (world.serial, world.team.splitter_events, played)
    };
    assert!(run(7) == run(7));
    assert!(run(7) != run(8));
}
