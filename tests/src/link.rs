//! A board's cable without root: QEMU holds one end (its `dgram` back end: a
//! datagram is a frame), this process the other. The board becomes a host of
//! the loopback network, with an address of its own in 127.0.0.0/8; splitter
//! and peers are ordinary processes of this host.
//!
//! The board's datagrams leave from a socket at the board's address, and what
//! comes there goes to the board. Its connections end here and go on from the
//! board's address. What it sends to groups reaches nobody.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, ChecksumCapabilities, Device, DeviceCapabilities, Medium};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IpCidr, IpProtocol, Ipv4Packet,
    Ipv4Repr, UdpPacket, UdpRepr,
};

use crate::board::TEAM_PORT;

/// Address of the board's network chip.
pub(crate) const BOARD_MAC: [u8; 6] = [0x52, 0x54, 0, 0, 0, 2];
/// Where all others are, for the board.
const HOST_MAC: [u8; 6] = [0x52, 0x54, 0, 0, 0, 1];
/// The ends of the cable, at the board's address: QEMU's and ours.
const QEMU_PORT: u16 = 4553;
const OUR_PORT: u16 = 4554;
/// Of this network's own stack; nobody is there.
const STACK: Ipv4Addr = Ipv4Addr::new(127, 255, 255, 254);
/// Longest frame, without its checksum.
const FRAME_BYTES: usize = 1514;
/// Connections of the board at the same time.
const CONVERSATIONS: usize = 4;
/// Frames or datagrams taken in a row.
const BUDGET: usize = 64;
/// How soon the end of the link is noticed.
const TICK: Duration = Duration::from_millis(100);

/// A cable between a board and the loopback network. Dropping it pulls it out.
#[derive(Debug)]
pub(crate) struct Link {
    /// Of the board.
    pub(crate) address: Ipv4Addr,
    over: Arc<AtomicBool>,
    worker: Option<JoinHandle<()>>,
}

impl Link {
    /// A board that can connect to `splitter_port` of any loopback address.
    pub(crate) fn new(splitter_port: u16) -> Link {
        let (address, team) = free_address();
        let our_end = UdpSocket::bind((address, OUR_PORT)).expect("the address is ours");
        let mut host = Host::new(address, team, Cable::new(address, our_end), splitter_port);
        let over = Arc::new(AtomicBool::new(false));
        let for_worker = Arc::clone(&over);
        let worker = thread::spawn(move || {
            while !for_worker.load(Ordering::Relaxed) {
                host.turn();
            }
        });
        Link { address, over, worker: Some(worker) }
    }

    /// QEMU's end of it, as `-netdev` takes it.
    pub(crate) fn netdev(&self) -> String {
        let end = |name, port| {
            format!("{name}.type=inet,{name}.host={},{name}.port={port}", self.address)
        };
        format!("dgram,id=n0,{},{}", end("local", QEMU_PORT), end("remote", OUR_PORT))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(worker) = self.worker.take() {
            let _ = worker.join();
        }
    }
}

/// An address that no other board of this host has, and the socket by which
/// nobody else gets it.
fn free_address() -> (Ipv4Addr, UdpSocket) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..100 {
        let number = std::process::id() * 64 + COUNT.fetch_add(1, Ordering::Relaxed);
        let address = Ipv4Addr::from_bits(0x7f01_0000 + number % 0xfd_0000);
        match UdpSocket::bind((address, TEAM_PORT)) {
            Ok(socket) => return (address, socket),
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            Err(error) => panic!("no socket at {address}:{TEAM_PORT}: {error}"),
        }
    }
    panic!("another program of this host has UDP port {TEAM_PORT}: stop it");
}

/// All that the board finds on its network.
struct Host {
    board: Ipv4Addr,
    /// The board's team socket, on this host.
    team: UdpSocket,
    cable: Cable,
    /// Answers for every address, and has the near ends of connections.
    stack: Interface,
    sockets: SocketSet<'static>,
    conversations: [Conversation; CONVERSATIONS],
    splitter_port: u16,
}

impl Host {
    fn new(board: Ipv4Addr, team: UdpSocket, mut cable: Cable, splitter_port: u16) -> Host {
        team.set_nonblocking(true).expect("a socket");
        let config = Config::new(EthernetAddress(HOST_MAC).into());
        let mut stack = Interface::new(config, &mut cable, Instant::now());
        stack.set_any_ip(true);
        stack.update_ip_addrs(|addresses| {
            addresses.push(IpCidr::new(STACK.into(), 8)).expect("there is room for one");
        });
        let mut sockets = SocketSet::new(Vec::new());
        let conversations = [(); CONVERSATIONS].map(|()| {
            let buffer = || tcp::SocketBuffer::new(vec![0; 4096]);
            Conversation { near: sockets.add(tcp::Socket::new(buffer(), buffer())), far: None }
        });
        Host { board, team, cable, stack, sockets, conversations, splitter_port }
    }

    /// Waits for something to come, and passes it on.
    fn turn(&mut self) {
        self.wait();
        self.take_frames();
        self.take_datagrams();
        self.stack.poll(Instant::now(), &mut self.cable, &mut self.sockets);
        for conversation in &mut self.conversations {
            let near = self.sockets.get_mut(conversation.near);
            conversation.pump(near, self.board, self.splitter_port);
        }
        self.stack.poll(Instant::now(), &mut self.cable, &mut self.sockets);
    }

    fn wait(&mut self) {
        let due = self.stack.poll_delay(Instant::now(), &self.sockets);
        let wait = due.map_or(TICK, |due| TICK.min(due.into()));
        let wait = Timespec { tv_sec: 0, tv_nsec: wait.subsec_nanos().into() };
        let mut places = vec![
            PollFd::new(&self.cable.socket, PollFlags::IN),
            PollFd::new(&self.team, PollFlags::IN),
        ];
        for conversation in &self.conversations {
            // What can't be passed on now is not waited for.
            let room = self.sockets.get::<tcp::Socket<'_>>(conversation.near).can_send();
            let far = conversation.far.as_ref().filter(|_| room);
            places.extend(far.map(|far| PollFd::new(far, PollFlags::IN)));
        }
        // Whatever was interrupted is tried again in the next turn.
        let _ = poll(&mut places, Some(&wait));
    }

    /// From the board: its datagrams go out, all else is for the stack.
    fn take_frames(&mut self) {
        let mut frame = [0; 2 * FRAME_BYTES];
        for _ in 0..BUDGET {
            let Ok(len) = self.cable.socket.recv(&mut frame) else { return };
            match datagram_for_host(&frame[..len]) {
                Some((from, to, payload)) => {
                    if *from.ip() == self.board && from.port() == TEAM_PORT {
                        let _ = self.team.send_to(payload, to);
                    }
                }
                None => self.cable.received.push_back(frame[..len].to_vec()),
            }
        }
    }

    /// What has come to the board's address.
    fn take_datagrams(&mut self) {
        let mut datagram = [0; 1 << 16];
        for _ in 0..BUDGET {
            let Ok((len, from)) = self.team.recv_from(&mut datagram) else { return };
            let SocketAddr::V4(from) = from else { continue };
            let to = SocketAddrV4::new(self.board, TEAM_PORT);
            let frame = frame_of(from, to, &datagram[..len]);
            // Boards put no fragments together.
            if frame.len() <= FRAME_BYTES {
                self.cable.send(&frame);
            }
        }
    }
}

/// A connection of the board: its end here, and how it goes on.
struct Conversation {
    near: SocketHandle,
    far: Option<TcpStream>,
}

impl Conversation {
    fn pump(&mut self, near: &mut tcp::Socket<'_>, board: Ipv4Addr, splitter_port: u16) {
        match near.state() {
            tcp::State::Listen | tcp::State::SynReceived => {}
            tcp::State::Closed => {
                self.far = None;
                let listens = near.listen(splitter_port);
                debug_assert_eq!(listens, Ok(()), "it is closed, and the port is not 0");
            }
            tcp::State::TimeWait => near.abort(),
            _ if self.pass_on(near, board).is_err() => near.abort(),
            _ => {}
        }
    }

    fn pass_on(&mut self, near: &mut tcp::Socket<'_>, board: Ipv4Addr) -> io::Result<()> {
        let far = match &mut self.far {
            Some(far) => far,
            none => none.insert(connect(board, near)?),
        };
        while near.can_recv() {
            let written = near.recv(|bytes| {
                let written = far.write(bytes);
                (*written.as_ref().unwrap_or(&0), written)
            });
            match written.map_err(|_| ErrorKind::BrokenPipe)? {
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                written => written?,
            };
        }
        if !near.may_recv() {
            let _ = far.shutdown(Shutdown::Write);
        }
        while near.can_send() {
            let read = near.send(|room| {
                let read = far.read(room);
                (*read.as_ref().unwrap_or(&0), read)
            });
            match read.map_err(|_| ErrorKind::BrokenPipe)? {
                Ok(0) => near.close(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                read => {
                    read?;
                }
            }
        }
        Ok(())
    }
}

/// Connects to where `near` was to lead, from the board's address.
fn connect(board: Ipv4Addr, near: &tcp::Socket<'_>) -> io::Result<TcpStream> {
    let wanted = near.local_endpoint().ok_or(ErrorKind::NotConnected)?;
    let to = SocketAddr::new(wanted.addr.into(), wanted.port);
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    rustix::net::bind(&socket, &SocketAddrV4::new(board, 0))?;
    rustix::net::connect(&socket, &to)?;
    // A connection that the board aborts is aborted.
    rustix::net::sockopt::set_socket_linger(&socket, Some(Duration::ZERO))?;
    let stream = TcpStream::from(socket);
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// Our end of the cable, as the stack's network chip.
struct Cable {
    socket: UdpSocket,
    qemu: SocketAddrV4,
    /// Frames for the stack.
    received: VecDeque<Vec<u8>>,
}

impl Cable {
    fn new(board: Ipv4Addr, socket: UdpSocket) -> Cable {
        socket.set_nonblocking(true).expect("a socket");
        Cable { socket, qemu: SocketAddrV4::new(board, QEMU_PORT), received: VecDeque::new() }
    }

    /// Before QEMU runs, it is lost.
    fn send(&self, frame: &[u8]) {
        let _ = self.socket.send_to(frame, self.qemu);
    }
}

impl Device for Cable {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sender<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received, Sender<'_>)> {
        let frame = self.received.pop_front()?;
        Some((Received(frame), Sender(self)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sender<'_>> {
        Some(Sender(self))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = FRAME_BYTES;
        capabilities
    }
}

/// A frame for the stack.
struct Received(Vec<u8>);

impl phy::RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

/// The right to send a frame.
struct Sender<'a>(&'a Cable);

impl phy::TxToken for Sender<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let result = f(&mut frame);
        self.0.send(&frame);
        result
    }
}

/// A datagram: from, to, and its payload.
type Datagram<'f> = (SocketAddrV4, SocketAddrV4, &'f [u8]);

/// The datagram to a loopback address that a frame carries whole and sound.
fn datagram_for_host(frame: &[u8]) -> Option<Datagram<'_>> {
    let checked = ChecksumCapabilities::default();
    datagram_in(frame, &checked).filter(|(_, to, _)| to.ip().is_loopback())
}

/// The datagram that a frame carries whole.
pub(crate) fn datagram_in<'f>(
    frame: &'f [u8],
    checked: &ChecksumCapabilities,
) -> Option<Datagram<'f>> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    if frame.ethertype() != EthernetProtocol::Ipv4 {
        return None;
    }
    let packet = Ipv4Packet::new_checked(frame.payload()).ok()?;
    let ip = Ipv4Repr::parse(&packet, checked).ok()?;
    let fragment = packet.more_frags() || packet.frag_offset() != 0;
    if ip.next_header != IpProtocol::Udp || fragment {
        return None;
    }
    let datagram = UdpPacket::new_checked(packet.payload()).ok()?;
    let (from, to) = (ip.src_addr.into(), ip.dst_addr.into());
    let udp = UdpRepr::parse(&datagram, &from, &to, checked).ok()?;
    let from = SocketAddrV4::new(ip.src_addr, udp.src_port);
    Some((from, SocketAddrV4::new(ip.dst_addr, udp.dst_port), datagram.payload()))
}

/// The frame with a datagram for the board.
fn frame_of(from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) -> Vec<u8> {
    let checked = ChecksumCapabilities::default();
    let udp = UdpRepr { src_port: from.port(), dst_port: to.port() };
    let ip = Ipv4Repr {
        src_addr: *from.ip(),
        dst_addr: *to.ip(),
        next_header: IpProtocol::Udp,
        payload_len: udp.header_len() + payload.len(),
        hop_limit: 64,
    };
    let ethernet = EthernetRepr {
        src_addr: EthernetAddress(HOST_MAC),
        dst_addr: EthernetAddress(BOARD_MAC),
        ethertype: EthernetProtocol::Ipv4,
    };
    let len = EthernetFrame::<&[u8]>::buffer_len(ip.buffer_len() + ip.payload_len);
    let mut frame = EthernetFrame::new_unchecked(vec![0; len]);
    ethernet.emit(&mut frame);
    let mut packet = Ipv4Packet::new_unchecked(frame.payload_mut());
    ip.emit(&mut packet, &checked);
    let mut datagram = UdpPacket::new_unchecked(packet.payload_mut());
    let copy = |place: &mut [u8]| place.copy_from_slice(payload);
    let (from, to) = (ip.src_addr.into(), ip.dst_addr.into());
    udp.emit(&mut datagram, &from, &to, payload.len(), copy, &checked);
    frame.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8001);
    const TO: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(127, 1, 2, 3), TEAM_PORT);

    #[test]
    fn datagrams_come_out_of_their_frames_as_they_went_in() {
        for payload in [&b""[..], b"a", &[7; 1472]] {
            let frame = frame_of(FROM, TO, payload);
            assert_eq!(datagram_for_host(&frame), Some((FROM, TO, payload)));
            assert_eq!((&frame[..6], &frame[6..12]), (&BOARD_MAC[..], &HOST_MAC[..]));
        }
        assert_eq!(frame_of(FROM, TO, &[7; 1472]).len(), FRAME_BYTES);
    }

    #[test]
    fn what_is_no_sound_datagram_to_a_loopback_address_is_none() {
        let frame = frame_of(FROM, TO, b"hello");
        for len in 0..frame.len() {
            assert_eq!(datagram_for_host(&frame[..len]), None, "{len} bytes");
        }
        // But for the addresses of the chips, each byte is under a checksum.
        for at in 12..frame.len() {
            let mut wrong = frame.clone();
            wrong[at] ^= 0x10;
            assert_eq!(datagram_for_host(&wrong), None, "byte {at}");
        }
        let group = SocketAddrV4::new(Ipv4Addr::new(224, 0, 0, 1), 1234);
        assert_eq!(datagram_for_host(&frame_of(FROM, group, b"hello")), None);
    }

    #[test]
    fn boards_have_addresses_of_their_own() {
        let [first, second] = [Link::new(8001), Link::new(8001)];
        assert!(first.address.is_loopback() && second.address.is_loopback());
        assert_ne!(first.address, second.address);
        assert!(first.netdev().contains(&first.address.to_string()), "{}", first.netdev());
    }
}
