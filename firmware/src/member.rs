//! The network's task: joins the team, is a full peer of it, hands what is
//! played to the sound; joins again, for as long as it takes, when the
//! splitter, the link or the address goes away.

use core::net::{IpAddr, SocketAddr};

use embassy_futures::select::{Either, Either4, select, select4};
use embassy_net::tcp::TcpSocket;
use embassy_net::udp::{PacketMetadata, UdpMetadata, UdpSocket};
use embassy_net::{IpAddress, IpEndpoint, Stack};
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::signal::Signal;
use embassy_time::{Duration, Instant as Time, Timer, with_timeout};
use p2psp_core::{Departure, Instant, Lan, Node, Peer, PeerEvent, Playout};

use crate::audio;
use crate::dialogue::{Dialogue, FRAME_BUFFER_BYTES, Failure, REQUEST_BYTES};
use crate::queue::Queue;
use crate::status::{State, Status};
use crate::stream::Stream;

/// How long a connection may take to come about, and a dialogue to be over.
const DIALOGUE_TIME: Duration = Duration::from_secs(4);
/// First and longest pause before joining again.
const REJOIN_PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));
/// A datagram that can't be sent for so long, since nobody answers for its
/// address, is given up with what is queued behind it. The network stack asks
/// for one address a second at most.
const SEND_PATIENCE: Duration = Duration::from_millis(1250);
/// How long the end of a connection may take.
const ABORT_TIME: Duration = Duration::from_millis(250);
/// How soon to look again whether the sound has room for the next chunk.
const HAND_OVER_PAUSE: Duration = Duration::from_millis(10);
/// How long the sound of a stream that has ended may go on.
const PLAY_OUT_TIME: Duration = Duration::from_secs(10);
/// How often status and address are looked at.
const TICK: Duration = Duration::from_millis(500);
/// Datagrams taken in a row before other things get their turn.
const RECEIVE_BUDGET: usize = 16;

/// Where the team is.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The splitter's address.
    pub splitter: SocketAddr,
    /// Port of the team socket.
    pub port: u16,
    /// The group of the LAN, for IMS; [`Lan::DEFAULT_GROUP`] mostly. Without
    /// it the board plays by DBS.
    pub group: Option<SocketAddr>,
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
}

/// Datagrams that can wait in a socket.
const DATAGRAMS: usize = 16;
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
}

/// Asks the board to leave the team in good order.
pub type Leave = Signal<CriticalSectionRawMutex, ()>;

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
    queue: &Queue,
    status: &Status,
    leave: &Leave,
) {
    let BufferSlices { team, group, tx, tcp_rx, tcp_tx, scratch } = buffers;
    let (mut rx_meta, mut tx_meta) =
        ([PacketMetadata::EMPTY; DATAGRAMS], [PacketMetadata::EMPTY; DATAGRAMS]);
    // Nothing is sent from the group's port.
    let (mut group_meta, mut no_meta) =
        ([PacketMetadata::EMPTY; DATAGRAMS], [PacketMetadata::EMPTY; 0]);
    let mut member = Member {
        stack,
        settings,
        socket: UdpSocket::new(stack, &mut rx_meta, team, &mut tx_meta, tx),
        group: UdpSocket::new(stack, &mut group_meta, group, &mut no_meta, &mut []),
        scratch,
        queue,
        status,
        leave,
    };
    member.open_group();
    let mut pause = REJOIN_PAUSES.0;
    loop {
        member.wait_for_network().await;
        status.update(|now| now.state = State::Joining);
        member.open_socket();
        let connection = TcpSocket::new(stack, tcp_rx, tcp_tx);
        let joined = select(leave.wait(), member.join(connection, &mut peer)).await;
        match joined {
            Either::First(()) => break,
            Either::Second(Ok(stream)) => {
                pause = REJOIN_PAUSES.0;
                member.begin(stream, &mut peer);
                if member.membership(&mut peer).await == Outcome::Over {
                    break;
                }
            }
            Either::Second(Err(failure)) => {
                member.report(failure);
                pause = (pause * 2).min(REJOIN_PAUSES.1);
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
    queue: &'a Queue,
    status: &'a Status,
    leave: &'a Leave,
}

impl Member<'_> {
    async fn wait_for_network(&self) {
        while !(self.stack.is_link_up() && self.stack.is_config_up()) {
            self.status.update(|now| now.state = State::NoNetwork);
            self.status.network_is_alive();
            Timer::after(Duration::from_millis(100)).await;
        }
    }

    /// A pause before the next attempt; over at once when the link is back.
    async fn pause(&self, pause: Duration) {
        self.status.network_is_alive();
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

    async fn join(
        &mut self,
        mut connection: TcpSocket<'_>,
        peer: &mut Peer<'_>,
    ) -> Result<Stream, Failure> {
        self.status.network_is_alive();
        let splitter = self.settings.splitter;
        let endpoint = endpoint_of(splitter).ok_or(Failure::Unreachable)?;
        connection.set_timeout(Some(DIALOGUE_TIME));
        let connected = with_timeout(DIALOGUE_TIME, connection.connect(endpoint)).await;
        if !matches!(connected, Ok(Ok(()))) {
            return Err(Failure::Unreachable);
        }
        self.status.network_is_alive();
        let talk = self.talk(&mut connection, peer);
        let result = with_timeout(DIALOGUE_TIME, talk).await.unwrap_or(Err(Failure::BrokenOff));
        // The splitter has said all it had to say: no need to wait for it.
        connection.abort();
        let _ = with_timeout(ABORT_TIME, connection.flush()).await;
        result
    }

    async fn talk(
        &mut self,
        connection: &mut TcpSocket<'_>,
        peer: &mut Peer<'_>,
    ) -> Result<Stream, Failure> {
        let splitter = self.settings.splitter;
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
        match failure {
            Failure::Refused(p2psp_core::wire::Refusal::NoStreamYet) => {}
            failure => warning!("can't join: {}", failure.advice()),
        }
    }

    fn begin(&self, stream: Stream, peer: &mut Peer<'_>) {
        self.status.update(|now| {
            now.state = State::Buffering;
            now.joins += 1;
        });
        peer.set_status(Some(self.status.get().of_player()));
        info!("joined the team as number {}", peer.id().number);
        if !audio::can_play(&stream) {
            warning!("this stream can't be played here: send WAV (16 bits, IMA-ADPCM) or MP3");
        }
        self.queue.begin(stream);
    }

    /// Is a member until it ends one way or the other.
    async fn membership(&mut self, peer: &mut Peer<'_>) -> Outcome {
        let address = self.address();
        let mut outgoing: Option<Outgoing> = None;
        let mut leaving = false;
        let mut tick = Time::now() + TICK;
        loop {
            self.hand_over(peer);
            if let Some(outcome) = self.events(peer, leaving) {
                if outcome == Outcome::Over || !peer.buffer().playing {
                    return outcome;
                }
                self.play_out(peer).await;
                return outcome;
            }
            if outgoing.is_none() {
                outgoing = peer.poll_transmit(self.scratch).map(|transmit| Outgoing {
                    len: transmit.len,
                    to: endpoint_of(transmit.to),
                    since: Time::now(),
                });
            }
            let deadline = peer.poll_timeout().map_or(tick, |deadline| tick.min(time(deadline)));
            let deadline = match due_chunks(peer) {
                (0, ..) => deadline,
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
                self.status.network_is_alive();
                self.status.count(peer.stats());
                self.status.update(|now| now.overflowed = self.queue.dropped());
                peer.set_status(Some(self.status.get().of_player()));
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
        select4(received, send, Timer::at(patience), self.leave.wait()).await
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
            self.hand_over(peer);
            if idle {
                return;
            }
        }
    }

    /// Hands what is due to the sound, as far as there is room: what is not
    /// handed over stays in the peer's buffer, up to half of `B`.
    fn hand_over(&self, peer: &mut Peer<'_>) {
        loop {
            let (due, most, chunk_bytes) = due_chunks(peer);
            self.queue.set_behind(due as usize * chunk_bytes, most as usize * chunk_bytes);
            let full = !self.queue.has_room(chunk_bytes);
            // Whether anything is due beside that the peer knows best: a chunk
            // may wait aside, far ahead of all others.
            if full && due <= most {
                return;
            }
            match peer.next_chunk() {
                Playout::Chunk { .. } if full => self.queue.drop_chunk(),
                Playout::Chunk { number, payload } => {
                    let pushed = self.queue.push(number.get(), payload);
                    debug_assert!(pushed, "there was room");
                }
                // Its number will be missing.
                Playout::Lost { .. } => {}
                Playout::NotYet => return,
            }
        }
    }

    /// Plays what is left when the stream has ended.
    async fn play_out(&self, peer: &mut Peer<'_>) {
        let chunk_bytes = usize::from(peer.chunk_bytes());
        let until = Time::now() + PLAY_OUT_TIME;
        self.queue.set_behind(0, 0);
        while Time::now() < until {
            if !self.queue.has_room(chunk_bytes) {
                Timer::after(HAND_OVER_PAUSE).await;
                continue;
            }
            match peer.next_chunk() {
                Playout::Chunk { number, payload } => {
                    self.queue.push(number.get(), payload);
                }
                Playout::Lost { .. } => {}
                Playout::NotYet => return,
            }
        }
    }

    fn events(&self, peer: &mut Peer<'_>, leaving: bool) -> Option<Outcome> {
        while let Some(event) = peer.poll_event() {
            match event {
                PeerEvent::Playing { first } => {
                    info!("first chunk: {}", first.get());
                    self.status.update(|now| now.state = State::Playing);
                }
                PeerEvent::Left { answered } => {
                    info!("goodbye (answered: {})", answered);
                    self.status.count(peer.stats());
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
                PeerEvent::Joined
                | PeerEvent::NeighbourJoined { .. }
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

/// Chunks whose turn to be played has come, how many of them may wait, and the
/// length of each.
fn due_chunks(peer: &Peer<'_>) -> (u32, u32, usize) {
    let buffer = peer.buffer();
    let due = match (buffer.cursor, buffer.highest) {
        (Some(cursor), Some(highest)) if buffer.playing => {
            i64::from(cursor.distance_to(highest)) + 1 - i64::from(buffer.chunks)
        }
        _ => 0,
    };
    let due = u32::try_from(due).unwrap_or(0);
    (due, buffer.chunks / 2, peer.chunk_bytes().into())
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
