//! The network's task: joins the team, is a full peer of it, hands what is
//! played to the sound; joins again, for as long as it takes, when the
//! splitter, the link or the address goes away.

use core::mem::MaybeUninit;
use core::net::{IpAddr, SocketAddr};

use embassy_futures::select::{Either, Either4, select, select4};
use embassy_net::tcp::TcpSocket;
use embassy_net::udp::{PacketMetadata, UdpMetadata, UdpSocket};
use embassy_net::{IpAddress, IpEndpoint, Stack};
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::signal::Signal;
use embassy_time::{Duration, Instant as Time, TimeoutError, Timer, with_deadline, with_timeout};
use p2psp_core::{Departure, Instant, Lan, Node, NodeId, Peer, PeerEvent};

use crate::arp::Questions;
use crate::audio;
use crate::dialogue::{Dialogue, FRAME_BUFFER_BYTES, Failure, REQUEST_BYTES};
use crate::discovery;
use crate::handover::{Due, HAND_OVER_PAUSE, hand_over, play_out};
use crate::queue::Queue;
use crate::settings::Splitter;
use crate::status::{State, Status};
use crate::stream::Stream;

/// How long a connection may take to come about, and a dialogue to be over.
const DIALOGUE_TIME: Duration = Duration::from_secs(4);
/// How often stations are asked for before a pause, and how long each time
/// they may take to answer.
const QUERIES: (usize, Duration) = (3, Duration::from_secs(1));
/// Pauses for [`Settings::pauses`] that no splitter minds.
pub const REJOIN_PAUSES: (Duration, Duration) =
    (Duration::from_millis(250), Duration::from_secs(2));
/// A datagram that can't be sent for so long, since nobody answers for its
/// address, is given up with what is queued behind it.
const SEND_PATIENCE: Duration = Duration::from_millis(1250);
/// How long the end of a connection may take.
const ABORT_TIME: Duration = Duration::from_millis(250);
/// How often status and address are looked at.
const TICK: Duration = Duration::from_millis(500);
/// Datagrams taken in a row before other things get their turn.
const RECEIVE_BUDGET: usize = 16;

/// Port of a board's team socket, if nothing else is said.
const TEAM_PORT: u16 = 4552;

/// Where the team is.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Where the splitter is.
    pub splitter: Splitter,
    /// Port of the team socket.
    pub port: u16,
    /// The group of the LAN, for IMS; [`Lan::DEFAULT_GROUP`] mostly. Without
    /// it the board plays by DBS.
    pub group: Option<SocketAddr>,
    /// First and longest pause before joining again; [`REJOIN_PAUSES`] mostly.
    pub pauses: (Duration, Duration),
}

impl Settings {
    /// The usual ones: port 4552, [`Lan::DEFAULT_GROUP`], [`REJOIN_PAUSES`].
    pub const fn new(splitter: Splitter) -> Settings {
        let (port, group) = (TEAM_PORT, Some(Lan::DEFAULT_GROUP));
        Settings { splitter, port, group, pauses: REJOIN_PAUSES }
    }
}

/// Memory for the sockets.
///
/// - `RX`: bytes of datagrams that wait to be read, twice, for the team and for
///   the group: as many as come while the sound decodes.
/// - `TX`: bytes of datagrams that wait to be sent.
pub struct Buffers<const RX: usize, const TX: usize> {
    team: [u8; RX],
    group: [u8; RX],
    tx: [u8; TX],
    tcp_rx: [u8; 1024],
    tcp_tx: [u8; 64],
    scratch: Scratch,
    /// Not all zeros when it is empty.
    metadata: MaybeUninit<[Metadata; 3]>,
}

/// Datagrams that can wait in a socket.
const DATAGRAMS: usize = 16;
/// Of the datagrams in a socket, in one direction.
type Metadata = [PacketMetadata; DATAGRAMS];
/// For a datagram on its way out, or the frame of a join dialogue.
type Scratch = [u8; FRAME_BUFFER_BYTES];

/// [`Buffers`] of any size.
pub struct BufferSlices<'b> {
    team: &'b mut [u8],
    group: &'b mut [u8],
    tx: &'b mut [u8],
    tcp_rx: &'b mut [u8],
    tcp_tx: &'b mut [u8],
    scratch: &'b mut Scratch,
    metadata: &'b mut [Metadata; 3],
}

/// Asks the board to leave the team in good order.
pub type Leave = Signal<CriticalSectionRawMutex, ()>;

/// What the member shares with other tasks.
#[derive(Clone, Copy)]
pub struct Shared<'a> {
    /// To the sound.
    pub queue: &'a Queue,
    /// To whom it may concern.
    pub status: &'a Status,
    /// To the network driver, [`Asking`](crate::arp::Asking).
    pub questions: &'a Questions,
    /// From whoever may end it.
    pub leave: &'a Leave,
}

impl<const RX: usize, const TX: usize> Buffers<RX, TX> {
    /// Empty.
    pub const fn new() -> Buffers<RX, TX> {
        Buffers {
            team: [0; RX],
            group: [0; RX],
            tx: [0; TX],
            tcp_rx: [0; 1024],
            tcp_tx: [0; 64],
            scratch: [0; FRAME_BUFFER_BYTES],
            metadata: MaybeUninit::uninit(),
        }
    }

    /// Lends them.
    pub fn slices(&mut self) -> BufferSlices<'_> {
        BufferSlices {
            team: &mut self.team,
            group: &mut self.group,
            tx: &mut self.tx,
            tcp_rx: &mut self.tcp_rx,
            tcp_tx: &mut self.tcp_tx,
            scratch: &mut self.scratch,
            metadata: self.metadata.write([[PacketMetadata::EMPTY; DATAGRAMS]; 3]),
        }
    }
}

impl<const RX: usize, const TX: usize> Default for Buffers<RX, TX> {
    fn default() -> Self {
        Buffers::new()
    }
}

/// Is a peer until it has left as asked.
pub async fn run(
    stack: Stack<'_>,
    settings: Settings,
    mut peer: Peer<'_>,
    buffers: BufferSlices<'_>,
    shared: Shared<'_>,
) {
    let BufferSlices { team, group, tx, tcp_rx, tcp_tx, scratch, metadata } = buffers;
    let [received, sent, group_received] = metadata;
    let mut member = Member {
        stack,
        settings,
        socket: UdpSocket::new(stack, received, team, sent, tx),
        // Nothing is sent from the group's port.
        group: UdpSocket::new(stack, group_received, group, &mut [], &mut []),
        scratch,
        shared,
        avoided: None,
    };
    let Shared { status, leave, .. } = shared;
    member.open_group();
    let pauses = settings.pauses;
    let mut pause = pauses.0;
    loop {
        member.wait_for_network().await;
        status.update(|now| now.state = State::Joining);
        member.open_socket();
        let connection = TcpSocket::new(stack, tcp_rx, tcp_tx);
        match select(leave.wait(), member.join(connection, &mut peer)).await {
            Either::First(()) => break,
            Either::Second(Ok(stream)) => {
                pause = pauses.0;
                member.begin(stream, &mut peer);
                if member.membership(&mut peer).await == Outcome::Over {
                    break;
                }
            }
            Either::Second(Err(failure)) => {
                member.report(failure);
                pause = (pause * 2).min(pauses.1);
            }
        }
        if let Either::First(()) = select(leave.wait(), member.pause(pause)).await {
            break;
        }
    }
    info!("left the team");
    status.update(|now| now.state = State::Left);
}

/// How a membership ended.
#[derive(PartialEq, Eq)]
enum Outcome {
    /// For good.
    Over,
    /// The splitter is lost, or has lost this peer.
    Again,
}

struct Member<'a> {
    stack: Stack<'a>,
    settings: Settings,
    socket: UdpSocket<'a>,
    group: UdpSocket<'a>,
    scratch: &'a mut Scratch,
    shared: Shared<'a>,
    /// A station that could not be joined: another is better, if there is one.
    avoided: Option<SocketAddr>,
}

impl Member<'_> {
    async fn wait_for_network(&self) {
        while !(self.stack.is_link_up() && self.stack.is_config_up()) {
            self.shared.status.update(|now| now.state = State::NoNetwork);
            self.shared.status.network_is_alive();
            Timer::after(Duration::from_millis(100)).await;
        }
    }

    /// A pause before the next attempt; over at once when the link is back.
    async fn pause(&self, pause: Duration) {
        self.shared.status.network_is_alive();
        if !self.stack.is_link_up() {
            self.wait_for_network().await;
            return;
        }
        Timer::after(pause).await;
    }

    /// Empties the team socket and opens it anew.
    fn open_socket(&mut self) {
        self.socket.close();
        let bound = self.socket.bind(self.settings.port);
        debug_assert!(bound.is_ok(), "it was closed and the port is not 0");
    }

    /// Listens to the group of the LAN (9.4).
    fn open_group(&mut self) {
        let Some(group) = self.settings.group else { return };
        let IpAddr::V4(address) = group.ip() else { return };
        let bound = self.group.bind(group.port());
        debug_assert!(bound.is_ok(), "it is not bound yet and the port is not 0");
        if self.stack.join_multicast_group(address).is_err() {
            warning!("the group of the LAN can't be joined");
        }
    }

    /// Where this board is in its LAN, if it plays by IMS.
    fn lan(&self) -> Option<Lan> {
        let config = self.stack.config_v4()?;
        let group = self.settings.group?;
        let address = IpAddr::V4(config.address.address());
        Some(Lan { address, prefix: config.address.prefix_len(), group })
    }

    /// The splitter's address, or that of the first station which answers.
    async fn find_splitter(&mut self) -> Result<SocketAddr, Failure> {
        let name = match self.settings.splitter {
            Splitter::At(address) => return Ok(address),
            Splitter::Station(name) => name,
        };
        let group = endpoint_of(discovery::GROUP).ok_or(Failure::NoStation)?;
        let config = self.stack.config_v4().ok_or(Failure::NoStation)?;
        let query = discovery::query();
        let mut spare = None;
        for _ in 0..QUERIES.0 {
            self.shared.status.network_is_alive();
            let _ = self.socket.send_to(&query, group).await;
            let until = Time::now() + QUERIES.1;
            while until > Time::now() {
                let answer = self.socket.recv_from_with(|answer, _| {
                    discovery::find(answer, name, |address| config.address.contains_addr(&address))
                });
                match with_deadline(until, answer).await {
                    Ok(Some(address)) if self.avoided == Some(address) => spare = Some(address),
                    Ok(Some(address)) => return Ok(address),
                    Ok(None) | Err(TimeoutError) => {}
                }
            }
            if let Some(spare) = spare {
                return Ok(spare);
            }
        }
        Err(Failure::NoStation)
    }

    async fn join(
        &mut self,
        mut connection: TcpSocket<'_>,
        peer: &mut Peer<'_>,
    ) -> Result<Stream, Failure> {
        let splitter = self.find_splitter().await?;
        self.avoided = Some(splitter);
        // Answers of other stations are none of the team's datagrams.
        self.open_socket();
        let endpoint = endpoint_of(splitter).ok_or(Failure::Unreachable)?;
        self.shared.status.network_is_alive();
        connection.set_timeout(Some(DIALOGUE_TIME));
        let connected = with_timeout(DIALOGUE_TIME, connection.connect(endpoint)).await;
        if !matches!(connected, Ok(Ok(()))) {
            return Err(Failure::Unreachable);
        }
        self.shared.status.network_is_alive();
        let talk = self.talk(splitter, &mut connection, peer);
        let result = with_timeout(DIALOGUE_TIME, talk).await.unwrap_or(Err(Failure::BrokenOff));
        // The splitter has said all it had to say: no need to wait for it.
        connection.abort();
        let _ = with_timeout(ABORT_TIME, connection.flush()).await;
        if result.is_ok() {
            self.avoided = None;
        }
        result
    }

    async fn talk(
        &mut self,
        splitter: SocketAddr,
        connection: &mut TcpSocket<'_>,
        peer: &mut Peer<'_>,
    ) -> Result<Stream, Failure> {
        let lan = self.lan();
        let mut dialogue = Dialogue::new(splitter, lan, self.scratch);
        let mut request = [0; REQUEST_BYTES];
        let len = dialogue.request(self.settings.port, &mut request);
        let mut request = &request[..len];
        while !request.is_empty() {
            let written = connection.write(request).await.map_err(|_| Failure::BrokenOff)?;
            request = &request[written..];
        }
        loop {
            let taken = connection
                .read_with(|bytes| {
                    let taken = dialogue.take(now(), bytes, peer);
                    (bytes.len(), (taken, bytes.is_empty()))
                })
                .await;
            match taken.map_err(|_| Failure::BrokenOff)? {
                (Err(failure), _) => return Err(failure),
                (Ok(Some(stream)), _) => return Ok(stream),
                (Ok(None), true) => return Err(Failure::BrokenOff),
                (Ok(None), false) => {}
            }
        }
    }

    fn report(&self, failure: Failure) {
        self.shared.status.update(|now| now.failed_joins += 1);
        match (failure, self.settings.splitter) {
            (Failure::Refused(p2psp_core::wire::Refusal::NoStreamYet), _) => {}
            (Failure::NoStation, Splitter::Station(Some(name))) => {
                warning!("can't join {}: {}", name, failure.advice());
            }
            (failure, _) => warning!("can't join: {}", failure.advice()),
        }
    }

    fn begin(&self, stream: Stream, peer: &mut Peer<'_>) {
        self.shared.status.update(|now| {
            now.state = State::Buffering;
            now.joins += 1;
        });
        peer.set_status(Some(self.shared.status.get().of_player()));
        info!("joined the team as number {}", peer.id().number);
        if !audio::can_play(&stream) {
            warning!("this stream can't be played here: send WAV (16 bits, IMA-ADPCM) or MP3");
        }
        self.shared.queue.begin(stream);
    }

    /// Asks for the hardware addresses of the neighbours that are `meant` and
    /// live in this board's subnet.
    fn ask_for_neighbours(&self, peer: &Peer<'_>, meant: impl Fn(Option<NodeId>) -> bool) {
        let Some(config) = self.stack.config_v4() else { return };
        let (own, subnet) = (config.address.address(), config.address);
        for neighbour in peer.neighbours().filter(|neighbour| meant(neighbour.id)) {
            match neighbour.endpoint.ip() {
                IpAddr::V4(ip) if subnet.contains_addr(&ip) => self.shared.questions.ask(own, ip),
                _ => {}
            }
        }
    }

    /// Is a member until it ends one way or the other.
    async fn membership(&mut self, peer: &mut Peer<'_>) -> Outcome {
        let address = self.address();
        self.ask_for_neighbours(peer, |_| true);
        let mut outgoing: Option<Outgoing> = None;
        let mut leaving = false;
        let mut tick = Time::now() + TICK;
        loop {
            hand_over(peer, self.shared.queue);
            if let Some(outcome) = self.events(peer, leaving) {
                if outcome == Outcome::Over || !peer.buffer().playing {
                    return outcome;
                }
                let Shared { queue, status, leave, .. } = self.shared;
                return match select(leave.wait(), play_out(peer, queue, status)).await {
                    Either::First(()) => Outcome::Over,
                    Either::Second(()) => outcome,
                };
            }
            if outgoing.is_none() {
                outgoing = peer.poll_transmit(self.scratch).map(|transmit| Outgoing {
                    len: transmit.len,
                    to: endpoint_of(transmit.to),
                    since: Time::now(),
                });
            }
            let deadline = peer.poll_timeout().map_or(tick, |deadline| tick.min(time(deadline)));
            let deadline = match Due::of(peer).chunks {
                0 => deadline,
                _ => deadline.min(Time::now() + HAND_OVER_PAUSE),
            };
            match self.next_event(&outgoing, deadline).await {
                Either4::First(()) => self.receive(peer),
                Either4::Second(()) => outgoing = None,
                Either4::Third(()) => {}
                Either4::Fourth(()) => {
                    leaving = true;
                    peer.leave(now());
                }
            }
            if outgoing.as_ref().is_some_and(|outgoing| outgoing.since.elapsed() > SEND_PATIENCE) {
                self.open_socket();
                outgoing = None;
            }
            if peer.poll_timeout().is_some_and(|deadline| deadline <= now()) {
                peer.handle_timeout(now());
            }
            if tick <= Time::now() {
                tick = Time::now() + TICK;
                self.shared.status.network_is_alive();
                self.shared.status.count(peer.stats());
                self.shared.status.update(|now| now.overflowed = self.shared.queue.dropped());
                peer.set_status(Some(self.shared.status.get().of_player()));
                if address != self.address() {
                    warning!("the address has changed");
                    return Outcome::Again;
                }
            }
        }
    }

    /// Waits for a datagram, for the last one to be on its way, for the
    /// deadline, or for the wish to leave.
    async fn next_event(
        &self,
        outgoing: &Option<Outgoing>,
        deadline: Time,
    ) -> Either4<(), (), (), ()> {
        let send = async {
            match outgoing {
                Some(Outgoing { len, to: Some(to), .. }) => {
                    // Without a route it is lost, as on any network.
                    let _ = self.socket.send_to(&self.scratch[..*len], *to).await;
                }
                Some(Outgoing { to: None, .. }) => {}
                None => core::future::pending().await,
            }
        };
        let patience = outgoing.as_ref().map_or(deadline, |outgoing| {
            deadline.min(outgoing.since + SEND_PATIENCE + Duration::from_millis(1))
        });
        let received = select(self.socket.wait_recv_ready(), self.group.wait_recv_ready());
        let received = async {
            received.await;
        };
        select4(received, send, Timer::at(patience), self.shared.leave.wait()).await
    }

    /// Takes what has come from the team and from the group.
    fn receive(&mut self, peer: &mut Peer<'_>) {
        for _ in 0..RECEIVE_BUDGET {
            let mut idle = true;
            for socket in [&mut self.socket, &mut self.group] {
                let received = socket.recv_from_with(|datagram, from: UdpMetadata| {
                    // What is wrong with it has been counted.
                    let _ = peer.handle_datagram(now(), address_of(from.endpoint), datagram);
                });
                idle &= embassy_futures::poll_once(received).is_pending();
            }
            hand_over(peer, self.shared.queue);
            if idle {
                return;
            }
        }
    }

    fn events(&self, peer: &mut Peer<'_>, leaving: bool) -> Option<Outcome> {
        while let Some(event) = peer.poll_event() {
            match event {
                PeerEvent::Playing { first } => {
                    info!("first chunk: {}", first.get());
                    self.shared.status.update(|now| now.state = State::Playing);
                }
                PeerEvent::Left { answered } => {
                    info!("goodbye (answered: {})", answered);
                    self.shared.status.count(peer.stats());
                    return Some(if leaving { Outcome::Over } else { Outcome::Again });
                }
                PeerEvent::Dismissed { reason: Departure::Ended } => {
                    info!("the stream has ended");
                }
                PeerEvent::Dismissed { reason } => {
                    warning!("out of the team: {}", reason.name());
                    return Some(Outcome::Again);
                }
                PeerEvent::SplitterSilent => {
                    warning!("the splitter is silent");
                    return Some(Outcome::Again);
                }
                PeerEvent::NeighbourJoined { id } => {
                    self.ask_for_neighbours(peer, |known| known == id);
                }
                PeerEvent::Joined
                | PeerEvent::MulticastSilent { .. }
                | PeerEvent::MulticastBack { .. }
                | PeerEvent::Title { .. }
                | PeerEvent::NeighbourLeft { .. } => {}
            }
        }
        None
    }

    fn address(&self) -> Option<embassy_net::Ipv4Address> {
        self.stack.config_v4().map(|config| config.address.address())
    }
}

/// A datagram that waits to be sent.
struct Outgoing {
    len: usize,
    to: Option<IpEndpoint>,
    since: Time,
}

fn now() -> Instant {
    Instant::from_micros(Time::now().as_micros())
}

fn time(instant: Instant) -> Time {
    Time::from_micros(instant.as_micros())
}

/// `None` for what this stack does not speak.
fn endpoint_of(address: SocketAddr) -> Option<IpEndpoint> {
    match address.ip() {
        IpAddr::V4(ip) => Some(IpEndpoint::new(IpAddress::Ipv4(ip), address.port())),
        IpAddr::V6(_) => None,
    }
}

fn address_of(endpoint: IpEndpoint) -> SocketAddr {
    let IpAddress::Ipv4(ip) = endpoint.addr;
    SocketAddr::new(IpAddr::V4(ip), endpoint.port)
}
