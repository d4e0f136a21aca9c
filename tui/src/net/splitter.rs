//! A splitter on real sockets: reads its source, cuts chunks, feeds the team
//! and takes in joiners; runs a monitor of its own (PROTOCOL.md 2, 3, 7, 8.1).

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use p2psp_core::wire::{MAX_BUFFER_CHUNKS, MAX_TEXT_BYTES, Refusal};
use p2psp_core::{
    ChunkNumber, Key, Node, Role, SplitterConfig, SplitterEvent, SplitterStats, TeamId,
};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, spawn_blocking, yield_now};
use tokio::time::{MissedTickBehavior, interval, sleep_until, timeout};

use super::join::{self, Request};
use super::peer::{self, PeerError, PeerOptions, PlayerPort};
use super::pump::drain_transmits;
use super::storage::SplitterStorage;
use super::{Clock, LanOptions, SNAPSHOT_INTERVAL, Stop, Stopper, TeamSocket, lan};
use crate::observe::{
    Event, MemberRow, Mode, Name, NodeSnapshot, Observer, PeerSummary, Rate, Sightings,
    SplitterSnapshot, SplitterSummary, StreamInfo,
};
use crate::source::{self, Source, SourceError, SourceItem, SourceOptions, SourceSpec};
use crate::stations::{Announced, Announcement};

/// The rate assumed where none can be told, in bytes a second.
const ASSUMED_RATE: f64 = 16_000.0;
/// Smallest buffer that `--latency` leads to, in chunks.
const MIN_BUFFER_CHUNKS: u32 = 8;
/// Most chunks cut in one go before their datagrams are sent.
const MAX_CUT_BATCH: u32 = 256;
/// How long a live source waits for the first member before it goes on
/// without; others wait for as long as it takes.
const FIRST_MEMBER_PATIENCE: Duration = Duration::from_secs(3);
/// Join requests that wait for the splitter's task.
const MAX_WAITING_REQUESTS: usize = 16;
/// Receive calls in a row before other things get their turn.
const RECEIVE_ROUNDS: usize = 4;
/// How long the splitter's own monitor may take to end after the splitter.
const MONITOR_PATIENCE: Duration = Duration::from_secs(5);
/// Pause before the splitter's own monitor is started again.
const MONITOR_PAUSE: Duration = Duration::from_secs(1);

/// How a splitter is set up.
#[derive(Debug, Clone)]
pub struct SplitterOptions {
    /// Where the stream comes from.
    pub source: SourceSpec,
    /// What the stream is called, instead of what its source is called.
    pub name: Option<String>,
    /// A rate that overrides what the media says, in kbit/s.
    pub rate_kbit: Option<u64>,
    /// Where peers join: TCP and UDP.
    pub listen: SocketAddr,
    /// Length of a chunk, in bytes.
    pub chunk_bytes: u16,
    /// How much of the stream a peer's start-up buffer holds.
    pub latency: Duration,
    /// `B` in chunks, instead of what follows from the latency.
    pub buffer_chunks: Option<u32>,
    /// `N*`.
    pub max_team: u16,
    /// What a monitor has to know; without it, one on this host is trusted.
    pub monitor_key: Option<String>,
    /// Whether to run a monitor in this process.
    pub own_monitor: bool,
    /// How the splitter's own monitor plays in its LAN.
    pub lan: LanOptions,
    /// Whether to announce the station on the local network.
    pub announce: bool,
    /// Seed of the team's id and keys; random without.
    pub seed: Option<u64>,
    /// Number of the first chunk.
    pub first_chunk: u32,
}

/// Why a splitter failed.
#[derive(Debug)]
pub enum SplitterError {
    /// Its source.
    Source(SourceError),
    /// Its address can't be had.
    Listen(SocketAddr, io::Error),
    /// The operating system has no random numbers.
    Random,
}

impl fmt::Display for SplitterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SplitterError::Source(error) => error.fmt(f),
            SplitterError::Listen(at, error) if error.kind() == io::ErrorKind::AddrInUse => {
                write!(f, "{at} is in use: is a splitter running already? choose another --listen")
            }
            SplitterError::Listen(at, error) => {
                write!(f, "can't listen at {at} ({error}): choose another --listen")
            }
            SplitterError::Random => {
                f.write_str("the operating system gives no random numbers: give --seed NUMBER")
            }
        }
    }
}

impl std::error::Error for SplitterError {}

/// Runs a splitter until its source ends, it is told to stop, or it fails.
/// Tells `ready` where peers can join.
///
/// # Errors
///
/// [`SplitterError`]; one line that says what to do.
pub async fn run(
    options: SplitterOptions,
    observer: Observer,
    mut stop: Stop,
    ready: Option<oneshot::Sender<SocketAddr>>,
) -> Result<SplitterSummary, SplitterError> {
    let seed = match options.seed {
        Some(seed) => seed,
        None => getrandom::u64().map_err(|_| SplitterError::Random)?,
    };
    let (listener, socket) = bind(options.listen).await?;
    let addr = socket.local_addr().unwrap_or(options.listen);
    let source_options =
        SourceOptions { rate_kbit: options.rate_kbit, cut_bytes: usize::from(options.chunk_bytes) };
    let (sender, mut requests) = mpsc::channel(MAX_WAITING_REQUESTS);
    let server = tokio::spawn(join::serve(listener, sender));
    let source = match open(&options.source, &source_options, &mut requests, &mut stop).await {
        Some(Ok(source)) => source,
        not_opened => {
            server.abort();
            return match not_opened {
                Some(Err(error)) => Err(SplitterError::Source(error)),
                _ => {
                    let nothing = summary(&SplitterStats::default());
                    observer.report("S", &Event::SplitterSummary(nothing));
                    Ok(nothing)
                }
            };
        }
    };
    let stream = StreamInfo {
        name: station_name(options.name.as_deref().or(source.info().name.as_deref())),
        content_type: shortened(&source.info().content_type),
        title: String::new(),
    };
    let monitor_key = match &options.monitor_key {
        Some(key) => key.clone().into_bytes(),
        None => seed.to_le_bytes().to_vec(),
    };
    let mut task = Task {
        clock: Clock::start(),
        place: observer.place(),
        storage: SplitterStorage::new(config(&options, seed, &source, &observer)),
        addr,
        host: host_address(addr),
        socket,
        stream,
        source_state: "up",
        unsent: BytesMut::new(),
        rates: <[Rate; 2]>::default(),
        last_stats: None,
        last_published: None,
        sightings: Sightings::new(observer.mode() == Mode::Screen),
        outgrown: false,
        monitor_key,
        observer,
        options,
    };
    task.report(Event::Source { state: "up", detail: task.options.source.to_string() });
    task.report(Event::Listening { addr, what: "team" });
    if let Some(ready) = ready {
        let _ = ready.send(addr);
    }
    let announcement = task.announce(source.info().rate_bytes_per_s);
    let monitor = task.options.own_monitor.then(|| task.spawn_monitor());
    let result = task.serve(source, requests, &mut stop).await;
    server.abort();
    if let Some(announcement) = announcement {
        let _ = spawn_blocking(|| announcement.withdraw()).await;
    }
    if let Some((stopper, monitor)) = monitor {
        stopper.stop();
        let _ = timeout(MONITOR_PATIENCE, monitor).await;
    }
    task.publish();
    let summary = summary(task.storage.splitter().stats());
    task.report(Event::SplitterSummary(summary));
    result.map(|()| summary)
}

/// Opens the source; until it is open, whoever wants to join is asked to try
/// again. `None` when told to stop.
async fn open(
    spec: &SourceSpec,
    options: &SourceOptions,
    requests: &mut mpsc::Receiver<Request>,
    stop: &mut Stop,
) -> Option<Result<Source, SourceError>> {
    let mut opening = pin!(source::open(spec, options));
    loop {
        tokio::select! {
            () = stop.wait() => return None,
            opened = &mut opening => return Some(opened),
            Some(request) = requests.recv() => {
                let _ = request.answer.send(join::refusal(Refusal::NoStreamYet));
            }
        }
    }
}

async fn bind(listen: SocketAddr) -> Result<(TcpListener, TeamSocket), SplitterError> {
    let fail = |error| SplitterError::Listen(listen, error);
    let listener = TcpListener::bind(listen).await.map_err(fail)?;
    let addr = listener.local_addr().map_err(fail)?;
    let socket = TeamSocket::bind(addr).map_err(fail)?;
    Ok((listener, socket))
}

fn config(
    options: &SplitterOptions,
    seed: u64,
    source: &Source,
    observer: &Observer,
) -> SplitterConfig {
    let rate = source.info().rate_bytes_per_s;
    let wanted = options.buffer_chunks.unwrap_or_else(|| {
        if rate.is_none() {
            let message = "the stream's rate can't be told; the buffer is made for 128 kbit/s: \
                           set it by --buffer CHUNKS"
                .to_owned();
            observer.report("S", &Event::Warning { message });
        }
        let chunks = options.latency.as_secs_f64() * rate.unwrap_or(ASSUMED_RATE)
            / f64::from(options.chunk_bytes);
        (chunks.ceil() as u32).max(MIN_BUFFER_CHUNKS)
    });
    let mut key = [0; 16];
    for (half, salt) in key.as_chunks_mut::<8>().0.iter_mut().zip([0, 0x9e37_79b9_7f4a_7c15]) {
        *half = (seed ^ salt).to_le_bytes();
    }
    let key = Key::new(key);
    SplitterConfig {
        team: TeamId(key.public_number()),
        key,
        chunk_bytes: options.chunk_bytes,
        buffer_chunks: wanted.min(MAX_BUFFER_CHUNKS),
        max_team: options.max_team,
        max_losses: MAX_LOSSES,
        first_chunk: ChunkNumber::new(options.first_chunk),
    }
}

/// `L*`.
const MAX_LOSSES: u16 = 16;

/// The address by which others reach a socket bound to all addresses of this
/// host: that of the interface with the default route.
fn host_address(bound: SocketAddr) -> Option<IpAddr> {
    if !bound.ip().is_unspecified() {
        return None;
    }
    lan::host_address()
}

/// What the stream is called, in one line.
fn station_name(name: Option<&str>) -> String {
    shortened(name.unwrap_or("").replace(char::is_control, " ").trim())
}

/// As long as a welcome allows.
fn shortened(text: &str) -> String {
    let mut end = text.len().min(MAX_TEXT_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

/// What a running splitter is made of.
struct Task {
    options: SplitterOptions,
    observer: Observer,
    place: usize,
    clock: Clock,
    storage: SplitterStorage,
    socket: TeamSocket,
    addr: SocketAddr,
    /// Stands for the loopback address, which is no good to other hosts.
    host: Option<IpAddr>,
    stream: StreamInfo,
    source_state: &'static str,
    /// Bytes of the stream that do not fill a chunk yet.
    unsent: BytesMut,
    rates: [Rate; 2],
    last_stats: Option<std::time::Instant>,
    last_published: Option<std::time::Instant>,
    /// Chunks sent since the last snapshot.
    sightings: Sightings,
    outgrown: bool,
    monitor_key: Vec<u8>,
}

impl Task {
    async fn serve(
        &mut self,
        mut source: Source,
        mut requests: mpsc::Receiver<Request>,
        stop: &mut Stop,
    ) -> Result<(), SplitterError> {
        let quiet = self.observer.mode() != Mode::Screen;
        let mut ticker = interval(if quiet { Duration::from_secs(1) } else { SNAPSHOT_INTERVAL });
        ticker.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let patience = tokio::time::Instant::now() + FIRST_MEMBER_PATIENCE;
        let live = matches!(self.options.source, SourceSpec::Http(_));
        let mut result = Ok(());
        let mut stopping = false;
        let mut started = false;
        self.storage.splitter().start(self.clock.now());
        loop {
            started |= self.storage.splitter().team_size() > 0;
            let deadline = self.storage.splitter().poll_timeout();
            let due = async {
                match deadline {
                    Some(deadline) => sleep_until(self.clock.at(deadline)).await,
                    None => std::future::pending().await,
                }
            };
            // Not by rank: datagrams without end must not keep the stream out.
            tokio::select! {
                () = stop.wait(), if !stopping => {
                    stopping = true;
                    self.storage.splitter().leave(self.clock.now());
                }
                () = due => self.storage.splitter().handle_timeout(self.clock.now()),
                _ = ticker.tick() => self.publish_if_due(),
                Some(request) = requests.recv() => self.admit(request, source.header()),
                _ = self.socket.readable() => self.receive().await,
                () = sleep_until(patience), if live && !started => started = true,
                item = source.next(), if started && !stopping => match item {
                    Ok(SourceItem::Data(bytes)) => {
                        self.unsent.extend_from_slice(&bytes);
                        self.cut().await;
                    }
                    Ok(SourceItem::Title(title)) => self.entitle(title),
                    Ok(SourceItem::Skipped { reason }) => self.warn(reason),
                    Ok(SourceItem::Down { reason }) => self.source("down", reason),
                    Ok(SourceItem::Up) => self.source("up", String::new()),
                    Ok(SourceItem::Ended) => {
                        self.cut_rest().await;
                        self.source("ended", String::new());
                        stopping = true;
                        self.storage.splitter().leave(self.clock.now());
                    }
                    Err(error) => {
                        self.source("ended", error.to_string());
                        result = Err(SplitterError::Source(error));
                        stopping = true;
                        self.storage.splitter().leave(self.clock.now());
                    }
                },
            }
            self.drain();
            self.socket.flush().await;
            if self.tell_events() {
                return result;
            }
        }
    }

    /// Cuts all whole chunks that have come.
    async fn cut(&mut self) {
        let chunk = usize::from(self.options.chunk_bytes);
        let buffer = self.storage.splitter().config().buffer_chunks;
        // Batches are sorted by destination, which puts chunks out of order
        // within a batch: it has to be small against the buffer.
        let batch = (buffer / 8).clamp(1, MAX_CUT_BATCH);
        while self.unsent.len() >= chunk {
            for _ in 0..batch {
                if self.unsent.len() < chunk {
                    break;
                }
                self.cut_one(chunk);
            }
            self.socket.flush().await;
        }
    }

    /// At the end: the last chunk, which may be shorter.
    async fn cut_rest(&mut self) {
        self.cut().await;
        if !self.unsent.is_empty() {
            self.cut_one(self.unsent.len());
            self.socket.flush().await;
        }
    }

    fn cut_one(&mut self, len: usize) {
        let mut splitter = self.storage.splitter();
        let pushed = splitter.push_chunk(&self.unsent[..len]);
        debug_assert!(pushed.is_ok(), "drained after every chunk");
        self.drain();
        self.unsent.advance(len);
    }

    fn drain(&mut self) {
        let outbox = self.socket.outbox();
        drain_transmits(&mut self.storage.splitter(), outbox, &mut self.sightings, &self.observer);
    }

    async fn receive(&mut self) {
        for _ in 0..RECEIVE_ROUNDS {
            let now = self.clock.now();
            let received = self.socket.receive(|from, datagram, outbox| {
                let mut splitter = self.storage.splitter();
                // What is wrong with it has been counted.
                let _ = splitter.handle_datagram(now, from, datagram);
                drain_transmits(&mut splitter, outbox, &mut self.sightings, &self.observer);
            });
            self.socket.flush().await;
            if received == 0 {
                return;
            }
        }
        // More is waiting: timers and other tasks first.
        yield_now().await;
    }

    fn admit(&mut self, request: Request, header: &[u8]) {
        let endpoint = self.seen_as(request.endpoint);
        let trusted = request.password == self.monitor_key
            || (self.options.monitor_key.is_none() && request.local);
        let now = self.clock.now();
        let mut splitter = self.storage.splitter();
        let frames = match splitter.admit(now, endpoint, request.role, request.rules, trusted) {
            Ok(admission) => {
                let StreamInfo { name, content_type, .. } = &self.stream;
                let len = u32::try_from(header.len()).unwrap_or(u32::MAX);
                let welcome = splitter.welcome(&admission, len, content_type, name);
                let team = splitter.config().team;
                join::admission(team, welcome, header, splitter.list(&admission))
            }
            Err(refusal) => {
                if refusal == Refusal::TeamFull {
                    self.warn(format!(
                        "{endpoint} wanted to join, but the team has --max-team {} members",
                        self.options.max_team
                    ));
                }
                join::refusal(refusal)
            }
        };
        let _ = request.answer.send(frames);
    }

    /// How the team reaches who was seen at `addr`: one on this host by the
    /// host's address.
    fn seen_as(&self, addr: SocketAddr) -> SocketAddr {
        match self.host {
            Some(host) if addr.ip().is_loopback() => SocketAddr::new(host, addr.port()),
            _ => addr,
        }
    }

    fn source(&mut self, state: &'static str, detail: String) {
        self.source_state = state;
        self.report(Event::Source { state, detail });
    }

    /// Tells the team what comes next (2.6).
    fn entitle(&mut self, title: String) {
        if let Ok(chunk) = self.storage.splitter().set_title(&title) {
            self.stream.title.clone_from(&title);
            self.report(Event::Title { title, chunk: chunk.get() });
        }
    }

    /// Reports what happened; whether the splitter has stopped.
    fn tell_events(&mut self) -> bool {
        let mut stopped = false;
        while let Some(event) = self.storage.splitter().poll_event() {
            self.report(match event {
                SplitterEvent::Joined { id, endpoint } => {
                    Event::Joined { peer: id.to_string(), addr: Some(endpoint) }
                }
                SplitterEvent::Left { id, reason, .. } => {
                    Event::Left { peer: id.to_string(), reason: reason.to_string() }
                }
                SplitterEvent::Stopped { .. } => {
                    stopped = true;
                    continue;
                }
            });
        }
        let splitter = self.storage.splitter();
        let (size, buffer) = (splitter.team_size(), splitter.config().buffer_chunks);
        let outgrown = splitter.outgrown();
        if outgrown && !self.outgrown {
            self.warn(format!(
                "the team of {size} has outgrown its buffer of {buffer} chunks, so chunks will \
                 be lost: raise --latency or --buffer"
            ));
        }
        self.outgrown = outgrown;
        stopped
    }

    /// Announces the station on the local network.
    fn announce(&mut self, rate_bytes_per_s: Option<f64>) -> Option<Announcement> {
        if !self.options.announce {
            return None;
        }
        let announced = Announced {
            team: self.storage.splitter().config().team,
            addr: self.addr,
            name: &self.stream.name,
            content_type: &self.stream.content_type,
            rate_bytes_per_s,
        };
        Announcement::new(&announced).unwrap_or_else(|error| {
            self.warn(format!("the station can't be announced on this network: {error}"));
            None
        })
    }

    /// Starts a monitor in this process; if it fails it is started again.
    fn spawn_monitor(&self) -> (Stopper, JoinHandle<Option<PeerSummary>>) {
        let mut splitter = self.addr;
        if splitter.ip().is_unspecified() {
            splitter.set_ip(IpAddr::from([127, 0, 0, 1]));
        }
        let bind_ip = if self.host.is_some() { self.addr.ip() } else { splitter.ip() };
        let options = PeerOptions {
            splitter,
            bind: SocketAddr::new(bind_ip, 0),
            lan: self.options.lan.clone(),
            player: PlayerPort::None,
            out: None,
            role: Role::Monitor,
            password: self.monitor_key.clone(),
        };
        let observer = self.observer.clone();
        let (stopper, stop) = Stopper::new();
        let monitor = tokio::spawn(async move {
            loop {
                match peer::run(options.clone(), observer.clone(), stop.clone()).await {
                    Ok(summary) => return Some(summary),
                    Err(PeerError::Join(_)) if stop.is_set() => return None,
                    Err(error) => {
                        let message = format!("the splitter's own monitor: {error}");
                        observer.report("S", &Event::Warning { message });
                    }
                }
                if timeout(MONITOR_PAUSE, stop.clone().wait()).await.is_ok() {
                    return None;
                }
            }
        });
        (stopper, monitor)
    }

    fn warn(&self, message: String) {
        self.report(Event::Warning { message });
    }

    fn report(&self, event: Event) {
        self.observer.report("S", &event);
    }

    fn publish_if_due(&mut self) {
        if self.observer.is_due(self.last_published, std::time::Instant::now()) {
            self.publish();
        }
    }

    fn publish(&mut self) {
        let now = std::time::Instant::now();
        self.last_published = Some(now);
        let snapshot = NodeSnapshot::Splitter(Box::new(self.snapshot(now)));
        if self.last_stats.is_none_or(|last| now - last >= Duration::from_millis(950)) {
            self.last_stats = Some(now);
            self.report(Event::Stats(Box::new(snapshot.clone())));
        }
        let splitter = self.storage.splitter();
        let names: Vec<_> = match self.sightings.wanted() {
            true => splitter.members().map(|member| (member.endpoint, member.id)).collect(),
            false => Vec::new(),
        };
        let seen = self.sightings.take(Name::Splitter, |endpoint| {
            let known = names.iter().find(|(at, _)| *at == endpoint);
            Name::at(endpoint, known.map(|(_, id)| *id))
        });
        self.observer.publish(self.place, snapshot, seen);
    }

    fn snapshot(&mut self, now: std::time::Instant) -> SplitterSnapshot {
        let core_now = self.clock.now();
        let splitter = self.storage.splitter();
        let (stats, config) = (splitter.stats(), splitter.config());
        SplitterSnapshot {
            addr: self.addr,
            source: self.options.source.to_string(),
            source_state: self.source_state,
            stream: self.stream.clone(),
            chunk_bytes: config.chunk_bytes,
            buffer_chunks: config.buffer_chunks,
            next_chunk: splitter.next_chunk().get(),
            max_team: config.max_team,
            peers: splitter.team_size(),
            counts: summary(stats),
            rate_in: self.rates[0].update(now, stats.bytes_in),
            rate_out: self.rates[1].update(now, stats.bytes_out),
            upload: stats.bytes_out as f64 / stats.bytes_in.max(1) as f64,
            team: splitter
                .members()
                .map(|member| {
                    let age_s = core_now.since(member.joined).as_secs_f64();
                    MemberRow::of(&member, member.id.into(), age_s)
                })
                .collect(),
        }
    }
}

fn summary(stats: &SplitterStats) -> SplitterSummary {
    SplitterSummary {
        chunks_sent: stats.chunks_sent,
        bytes_in: stats.bytes_in,
        bytes_out: stats.bytes_out,
        peers_max: stats.peers_max,
        rejected: stats.rejects.total(),
        complaints: stats.complaints,
    }
}
