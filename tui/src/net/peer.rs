//! A peer or monitor on real sockets: joins, gathers, forwards, plays to its
//! players and, when its splitter is lost, joins again (PROTOCOL.md 3 to 8.1).

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use p2psp_core::{
    ChunkNumber, Departure, Instant, JoinError, Lan, Node, PeerEvent, PeerStats, Phase, Playout,
    Role, TeamId, Title,
};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{MissedTickBehavior, interval, sleep_until, timeout};

use super::joining::{enter_lan, first_join, rejoin};
use super::pump::drain_transmits;
use super::socket::Outbox;
use super::storage::PeerStorage;
use super::{
    Clock, JoinFailure, Joined, LanError, LanOptions, SNAPSHOT_INTERVAL, Stop, TeamSocket,
};
use crate::media::Format;
use crate::observe::{
    BufferFill, ChangeLog, Event, Latency, Mode, Name, NeighbourRow, NodeSnapshot, Observer,
    PeerSnapshot, PeerSummary, Rate, Ring, Sightings, StreamInfo, Tables, chunk_ms,
};
use crate::player::{self, Hub, Sink, SinkError, Stream};

/// Receive calls in a row before other things get their turn.
const RECEIVE_ROUNDS: usize = 4;
/// How long players may take to read what is left at the end.
const PLAYERS_PATIENCE: Duration = Duration::from_secs(3);
/// Ports tried for [`PlayerPort::Near`].
const NEAR_PORTS: u16 = 100;
/// Titles that wait for their chunk; one more pushes out the oldest.
const MAX_TITLES: usize = 16;
/// The name of a peer that has not joined yet.
pub(super) const UNNAMED: &str = "P?";
/// Bounds of what is kept of the played stream, for players that lag and as a
/// burst for those that come, in bytes.
const RING_BYTES: (usize, usize) = (1 << 20, 64 << 20);

/// Where players are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlayerPort {
    /// Nowhere.
    None,
    /// There, or the peer fails.
    At(SocketAddr),
    /// There, or at one of the next ports, or anywhere.
    Near(SocketAddr),
}

/// Where the stream is written to besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// A file.
    File(PathBuf),
    /// Standard output.
    Stdout,
}

/// How a peer is set up.
#[derive(Debug, Clone)]
pub struct PeerOptions {
    /// Where the splitter is.
    pub splitter: SocketAddr,
    /// Address of the team socket.
    pub bind: SocketAddr,
    /// How to play in the LAN.
    pub lan: LanOptions,
    /// Where players are served.
    pub player: PlayerPort,
    /// Where the stream is written to besides.
    pub out: Option<Output>,
    /// Peer or monitor.
    pub role: Role,
    /// The monitor key, for a monitor.
    pub password: Vec<u8>,
}

/// Why a peer failed.
#[derive(Debug)]
pub enum PeerError {
    /// Its team socket can't be had.
    Socket(SocketAddr, io::Error),
    /// Its player port can't be had.
    Player(SocketAddr, io::Error),
    /// It can't play by the rules it was told.
    Lan(LanError),
    /// It could not join.
    Join(JoinFailure),
    /// The team does not fit into it.
    Team(JoinError),
    /// Its output broke.
    Output(SinkError),
}

impl fmt::Display for PeerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PeerError::Socket(at, error) => {
                write!(f, "can't use {at} for the team ({error}): choose another --bind")
            }
            PeerError::Player(at, error) if error.kind() == io::ErrorKind::AddrInUse => {
                write!(f, "{at} is in use: choose another address for players by --player, or none")
            }
            PeerError::Player(at, error) => {
                write!(f, "can't serve players at {at} ({error}): choose another --player")
            }
            PeerError::Lan(error) => error.fmt(f),
            PeerError::Join(failure) => failure.fmt(f),
            PeerError::Team(error) => write!(f, "can't join: {error}"),
            PeerError::Output(error) => write!(f, "--out: {error}"),
        }
    }
}

impl std::error::Error for PeerError {}

/// Runs a peer until its stream ends, it is told to stop, or it fails.
///
/// # Errors
///
/// [`PeerError`]; one line that says what to do.
pub async fn run(
    options: PeerOptions,
    observer: Observer,
    mut stop: Stop,
) -> Result<PeerSummary, PeerError> {
    let mut socket =
        TeamSocket::bind(options.bind).map_err(|error| PeerError::Socket(options.bind, error))?;
    let listener = listen(options.player).await?;
    enter_lan(&options, &mut socket, &observer)?;
    let Some(mut joined) = first_join(&options, &mut socket, &mut stop).await? else {
        let nothing = PeerSummary::of(&PeerStats::default());
        observer.report(UNNAMED, &Event::PeerSummary(nothing));
        return Ok(nothing);
    };
    let heard = listener.is_some() || options.out.is_some();
    let ring = 8 * joined.welcome.buffer_chunks as usize * usize::from(joined.welcome.chunk_bytes);
    let hub = Hub::new(if heard { ring.clamp(RING_BYTES.0, RING_BYTES.1) } else { 0 });
    let place = observer.place();
    let mut life = Life {
        clock: Clock::start(),
        player: listener.as_ref().and_then(|listener| listener.local_addr().ok()),
        name: joined.welcome.id.to_string(),
        place,
        watch: Watch::new(observer.mode() == Mode::Screen),
        observer,
        hub: hub.clone(),
        heard,
        stream: StreamInfo::default(),
        storage: PeerStorage::for_team(&joined.welcome),
        splitter: options.splitter,
        team: None,
        titles: VecDeque::new(),
        former: PeerStats::default(),
        rates: <[Rate; 3]>::default(),
        last_stats: None,
        last_published: None,
    };
    let server = listener.map(|listener| tokio::spawn(player::serve(listener, hub.clone())));
    let mut sink = options.out.as_ref().map(|out| {
        let sink = match out {
            Output::File(path) => Sink::file(path),
            Output::Stdout => Sink::stdout(),
        };
        tokio::spawn(sink.run(&hub))
    });
    if let Some(addr) = life.player {
        life.observer.report(&life.name, &Event::Listening { addr, what: "player" });
    }

    let mut result = Ok(());
    loop {
        let outcome = match life.enter(joined, socket.lan().copied()) {
            Ok(started) => life.membership(&mut socket, &mut stop, &mut sink, started).await,
            Err(error) => Err(PeerError::Team(error)),
        };
        match outcome {
            Ok(Outcome::Over) => break,
            Ok(Outcome::Again) => {}
            Err(error) => {
                result = Err(error);
                break;
            }
        }
        match rejoin(&options, &mut socket, &mut stop, |line| life.warn(line)).await {
            Some(again) => joined = again,
            None => break,
        }
    }
    life.finish(server, sink, result).await
}

async fn listen(player: PlayerPort) -> Result<Option<TcpListener>, PeerError> {
    let fail = |addr| move |error| PeerError::Player(addr, error);
    match player {
        PlayerPort::None => Ok(None),
        PlayerPort::At(addr) => player::bind(addr).await.map(Some).map_err(fail(addr)),
        PlayerPort::Near(addr) => {
            for offset in 0..NEAR_PORTS {
                let port = addr.port().saturating_add(offset);
                if let Ok(listener) = player::bind(SocketAddr::new(addr.ip(), port)).await {
                    return Ok(Some(listener));
                }
            }
            let any = SocketAddr::new(addr.ip(), 0);
            player::bind(any).await.map(Some).map_err(fail(addr))
        }
    }
}

/// How a membership ended.
enum Outcome {
    /// For good.
    Over,
    /// The splitter is lost, or has lost this peer.
    Again,
}

/// What one peer is made of, whatever team it is in.
struct Life {
    clock: Clock,
    observer: Observer,
    place: usize,
    name: String,
    player: Option<SocketAddr>,
    splitter: SocketAddr,
    team: Option<TeamId>,
    stream: StreamInfo,
    hub: Hub,
    /// Whether anybody can listen to what is played.
    heard: bool,
    storage: PeerStorage,
    /// Titles of chunks that are yet to be played.
    titles: VecDeque<Title>,
    /// What was counted in earlier memberships.
    former: PeerStats,
    /// Of what is played, sent and received.
    rates: [Rate; 3],
    last_stats: Option<std::time::Instant>,
    last_published: Option<std::time::Instant>,
    watch: Watch,
}

/// What is followed for snapshots only.
struct Watch {
    /// Chunks sent and received since the last one.
    sightings: Sightings,
    changes: ChangeLog,
    joined: Instant,
    /// The first chunk that is played in this membership.
    begin: Option<ChunkNumber>,
}

impl Watch {
    fn new(wanted: bool) -> Watch {
        Watch {
            sightings: Sightings::new(wanted),
            changes: ChangeLog::default(),
            joined: Instant::ZERO,
            begin: None,
        }
    }
}

/// The stream of a membership, until its first chunk is played.
type NotStarted = Option<Stream>;

impl Life {
    /// Enters a team, and plays by IMS in `lan`.
    fn enter(&mut self, joined: Joined, lan: Option<Lan>) -> Result<NotStarted, JoinError> {
        self.former = self.stats();
        self.storage = PeerStorage::for_team(&joined.welcome);
        self.splitter = joined.splitter;
        self.name = joined.welcome.id.to_string();
        self.stream = StreamInfo {
            name: joined.name.clone(),
            content_type: joined.content_type.clone(),
            title: std::mem::take(&mut self.stream.title),
        };
        if self.team.replace(joined.team).is_some_and(|team| team != joined.team) {
            self.stream.title.clear();
        }
        self.titles.clear();
        let now = self.clock.now();
        self.watch.joined = now;
        self.watch.begin = None;
        let mut peer = self.storage.peer();
        peer.join(now, joined.splitter, joined.team, &joined.welcome)?;
        if let Some(lan) = lan {
            peer.use_lan(lan)?;
        }
        for member in &joined.members {
            peer.add_member(member)?;
        }
        peer.admitted(now);
        Ok(Some(Stream {
            format: Format::detect(Some(&joined.content_type), &joined.header),
            content_type: joined.content_type,
            header: joined.header,
            name: Some(joined.name).filter(|name| !name.is_empty()),
        }))
    }

    /// Is a member until it ends one way or the other.
    async fn membership(
        &mut self,
        socket: &mut TeamSocket,
        stop: &mut Stop,
        sink: &mut Option<JoinHandle<Result<u64, SinkError>>>,
        mut not_started: NotStarted,
    ) -> Result<Outcome, PeerError> {
        let quiet = self.observer.mode() != Mode::Screen;
        let mut ticker = interval(if quiet { Duration::from_secs(1) } else { SNAPSHOT_INTERVAL });
        ticker.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut told_to_stop = false;
        let mut events = Vec::new();
        self.after_input(socket.outbox(), &mut not_started, &mut events);
        socket.flush().await;
        loop {
            let deadline = self.storage.peer().poll_timeout();
            let due = async {
                match deadline {
                    Some(deadline) => sleep_until(self.clock.at(deadline)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.wait(), if !told_to_stop => {
                    told_to_stop = true;
                    self.storage.peer().leave(self.clock.now());
                }
                broken = broken_sink(sink) => {
                    self.storage.peer().leave(self.clock.now());
                    self.after_input(socket.outbox(), &mut not_started, &mut events);
                    socket.flush().await;
                    return Err(PeerError::Output(broken));
                }
                () = due => self.storage.peer().handle_timeout(self.clock.now()),
                _ = ticker.tick() => self.publish_if_due(),
                _ = socket.readable() => {
                    for round in 1..=RECEIVE_ROUNDS {
                        let now = self.clock.now();
                        let received = socket.receive(|from, datagram, outbox| {
                            self.see_received(from, datagram);
                            // What is wrong with it has been counted.
                            let _ = self.storage.peer().handle_datagram(now, from, datagram);
                            self.after_input(outbox, &mut not_started, &mut events);
                        });
                        socket.flush().await;
                        if received == 0 {
                            break;
                        }
                        if round == RECEIVE_ROUNDS {
                            // More is waiting: timers and other tasks first.
                            yield_now().await;
                        }
                    }
                }
            }
            self.after_input(socket.outbox(), &mut not_started, &mut events);
            socket.flush().await;
            for event in events.drain(..) {
                if let Some(outcome) = self.outcome_of(event, told_to_stop) {
                    // What the end has made playable.
                    self.play(&mut not_started);
                    return Ok(outcome);
                }
            }
        }
    }

    /// Drains the node: datagrams, events, chunks to be played.
    fn after_input(
        &mut self,
        outbox: &mut Outbox,
        not_started: &mut NotStarted,
        events: &mut Vec<PeerEvent>,
    ) {
        let mut peer = self.storage.peer();
        drain_transmits(&mut peer, outbox, &mut self.watch.sightings, &self.observer);
        self.play(not_started);
        let mut peer = self.storage.peer();
        while let Some(event) = peer.poll_event() {
            match event {
                PeerEvent::Title { .. } => {
                    if self.titles.len() == MAX_TITLES {
                        self.titles.pop_front();
                    }
                    self.titles.extend(peer.title().cloned());
                }
                event => events.push(event),
            }
        }
    }

    fn see_received(&mut self, from: SocketAddr, datagram: &[u8]) {
        if self.watch.sightings.wanted() {
            let now = self.observer.elapsed();
            self.watch.sightings.see(now, false, from, datagram);
        }
    }

    fn play(&mut self, not_started: &mut NotStarted) {
        let mut peer = self.storage.peer();
        let chunk_bytes = u64::from(peer.chunk_bytes());
        loop {
            match peer.next_chunk() {
                Playout::NotYet => return,
                Playout::Chunk { number, payload } => {
                    let title = due_title(&mut self.titles, number);
                    if self.heard {
                        if let Some(stream) = not_started.take() {
                            self.hub.start(stream, u64::from(number.get()) * chunk_bytes);
                        }
                        if let Some(title) = &title {
                            self.hub.entitle(title.text());
                        }
                        self.hub.write(payload);
                    }
                    if let Some(title) = title.filter(|new| new.text() != self.stream.title) {
                        self.stream.title = title.text().to_owned();
                        let (title, chunk) = (self.stream.title.clone(), title.from().get());
                        self.observer.report(&self.name, &Event::Title { title, chunk });
                    }
                }
                Playout::Lost { number, chunks } => {
                    self.hub.gap(u64::from(chunks) * chunk_bytes);
                    let lost = Event::Lost { chunk: number.get(), count: chunks };
                    self.observer.report(&self.name, &lost);
                }
            }
        }
    }

    fn outcome_of(&mut self, event: PeerEvent, told_to_stop: bool) -> Option<Outcome> {
        if let PeerEvent::Playing { first } = event {
            self.watch.begin = Some(first);
        }
        let report = |event: Event| self.observer.report(&self.name, &event);
        let name = |id: Option<p2psp_core::NodeId>| id.map_or("?".into(), |id| id.to_string());
        match event {
            PeerEvent::Joined => report(Event::Joined { peer: self.name.clone(), addr: None }),
            PeerEvent::NeighbourJoined { id } => {
                report(Event::Joined { peer: name(id), addr: None });
            }
            PeerEvent::NeighbourLeft { id, reason } => {
                report(Event::Left { peer: name(id), reason: reason.to_string() });
            }
            PeerEvent::MulticastSilent { id, endpoint } => {
                report(Event::Multicast { state: "silent", peer: name(id), addr: Some(endpoint) })
            }
            PeerEvent::MulticastBack { id } => {
                report(Event::Multicast { state: "back", peer: name(id), addr: None });
            }
            // Kept until its chunk is played.
            PeerEvent::Title { .. } => {}
            PeerEvent::Playing { first } => report(Event::Playing { first: first.get() }),
            PeerEvent::Left { .. } => {
                let reason = if told_to_stop { "goodbye" } else { "ended" };
                report(Event::Left { peer: self.name.clone(), reason: reason.into() });
                return Some(Outcome::Over);
            }
            PeerEvent::Dismissed { reason: Departure::Ended } => {
                report(Event::Source { state: "ended", detail: String::new() });
            }
            PeerEvent::Dismissed { reason } => {
                report(Event::Left { peer: self.name.clone(), reason: reason.to_string() });
                return Some(Outcome::Again);
            }
            PeerEvent::SplitterSilent => {
                self.warn(format!("the splitter at {} is silent; joining again", self.splitter));
                return Some(Outcome::Again);
            }
        }
        None
    }

    fn warn(&self, message: String) {
        self.observer.report(&self.name, &Event::Warning { message });
    }

    /// Ends what hangs on the peer and says the last word.
    async fn finish(
        mut self,
        server: Option<JoinHandle<()>>,
        sink: Option<JoinHandle<Result<u64, SinkError>>>,
        mut result: Result<(), PeerError>,
    ) -> Result<PeerSummary, PeerError> {
        self.hub.end();
        let _ = timeout(PLAYERS_PATIENCE, self.hub.idle()).await;
        if let Some(server) = server {
            server.abort();
        }
        if let Some(sink) = sink
            && result.is_ok()
            && let Ok(Ok(Err(error))) = timeout(PLAYERS_PATIENCE, sink).await
        {
            result = Err(PeerError::Output(error));
        }
        self.publish();
        let summary = PeerSummary::of(&self.stats());
        self.observer.report(&self.name, &Event::PeerSummary(summary));
        result.map(|()| summary)
    }

    /// All that was counted, in earlier memberships, too.
    fn stats(&mut self) -> PeerStats {
        self.former.plus(self.storage.peer().stats())
    }

    fn publish_if_due(&mut self) {
        if self.observer.is_due(self.last_published, std::time::Instant::now()) {
            self.publish();
        }
    }

    /// Renews the snapshot; each second, reports it.
    fn publish(&mut self) {
        let now = std::time::Instant::now();
        self.last_published = Some(now);
        let snapshot = self.snapshot(now);
        let seen = self.watch.sightings.take(snapshot.name, |endpoint| {
            let mut rows = snapshot.neighbour_rows.iter();
            match rows.find(|row| row.endpoint == endpoint) {
                Some(row) => row.name,
                None if endpoint == snapshot.splitter => Name::Splitter,
                None => Name::at(endpoint, None),
            }
        });
        let snapshot = NodeSnapshot::Peer(Box::new(snapshot));
        if self.last_stats.is_none_or(|last| now - last >= Duration::from_millis(950)) {
            self.last_stats = Some(now);
            self.observer.report(&self.name, &Event::Stats(Box::new(snapshot.clone())));
        }
        self.observer.publish(self.place, snapshot, seen);
    }

    fn snapshot(&mut self, now: std::time::Instant) -> PeerSnapshot {
        let stats = self.stats();
        let hub = self.hub.stats();
        let core_now = self.clock.now();
        let t = self.observer.elapsed();
        let peer = self.storage.peer();
        let buffer = peer.buffer();
        let rows: Vec<NeighbourRow> = peer.neighbours().map(|it| NeighbourRow::of(&it)).collect();
        let chunk_bytes = peer.chunk_bytes();
        let rate_in = self.rates[0].update(now, stats.bytes_played);
        let received = stats.chunks_received * u64::from(chunk_bytes);
        let stream_rate = self.rates[2].update(now, received);
        let tables = Tables::of(&peer);
        let screen = self.watch.sightings.wanted();
        if screen {
            self.watch.changes.update(t, &tables);
        }
        PeerSnapshot {
            name: peer.id().into(),
            endpoint: peer.endpoint(),
            age_s: core_now.since(self.watch.joined).as_secs_f64(),
            state: match peer.phase() {
                Phase::Outside => "outside",
                Phase::Joining => "joining",
                Phase::Leaving => "leaving",
                Phase::Member if buffer.playing => "playing",
                Phase::Member => "buffering",
            },
            splitter: self.splitter,
            player: self.player,
            players: hub.players,
            players_dropped: hub.dropped,
            stream: self.stream.clone(),
            buffer: BufferFill::of(&buffer),
            counts: PeerSummary::of(&stats),
            loss_ratio: PeerSummary::of(&stats).loss_ratio(),
            latency: Latency::of(&buffer, chunk_ms(chunk_bytes, stream_rate)),
            chunk_bytes,
            pending: tables.waiting(),
            rate_in,
            rate_out: self.rates[1].update(now, stats.chunks_sent * u64::from(chunk_bytes)),
            neighbours: rows.iter().filter(|row| row.served).count(),
            neighbour_rows: rows,
            changes: self.watch.changes.changes(),
            ring: if screen { Ring::of(&peer, self.watch.begin) } else { Ring::default() },
            tables: if screen { tables } else { Tables::default() },
        }
    }
}

/// The title that begins with this chunk or began since the one before.
fn due_title(titles: &mut VecDeque<Title>, chunk: ChunkNumber) -> Option<Title> {
    let mut due = None;
    while titles.front().is_some_and(|title| !chunk.is_before(title.from())) {
        due = titles.pop_front();
    }
    due
}

/// Waits until the output fails; for ever if it does not.
async fn broken_sink(sink: &mut Option<JoinHandle<Result<u64, SinkError>>>) -> SinkError {
    let Some(task) = sink else { return std::future::pending().await };
    let ended = task.await;
    *sink = None;
    match ended {
        Ok(Err(error)) => error,
        Ok(Ok(_)) | Err(_) => std::future::pending().await,
    }
}
